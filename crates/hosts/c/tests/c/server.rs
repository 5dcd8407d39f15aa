//! A finger server that answers when the test says so. Knows nothing of who asks.

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Port, Reactor, Result, Transport,
    framing::{LineReceiver, LineTransport, Lines},
};
use tress_os::Mio;

pub(crate) struct Server {
    pub(crate) reactor: Reactor,
    port: Port,
    desk: Rc<Desk>,
}

/// Who waits.
struct Desk {
    asked: RefCell<Vec<String>>,
    waiting: RefCell<Vec<Transport>>,
    answers: Cell<bool>,
    text: String,
}

struct Clerk(Rc<Desk>);

impl LineReceiver for Clerk {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        let line = String::from_utf8_lossy(line).into_owned();
        self.0.asked.borrow_mut().push(line);
        self.0
            .waiting
            .borrow_mut()
            .push(Transport::clone(transport));
        self.0.serve();
        Ok(())
    }
}

impl Desk {
    fn serve(&self) {
        if self.answers.get() {
            for transport in self.waiting.borrow_mut().drain(..) {
                transport.write(self.text.as_bytes());
                transport.lose_connection();
            }
        }
    }
}

impl Server {
    pub(crate) fn new(text: &str) -> Self {
        let reactor = Reactor::with(Mio::new().expect("epoll works"));
        let desk = Rc::new(Desk {
            asked: RefCell::default(),
            waiting: RefCell::default(),
            answers: Cell::new(false),
            text: text.to_owned(),
        });
        let clerks = Rc::clone(&desk);
        let port = reactor.listen("tcp:0:interface=127.0.0.1", move || {
            Lines::new(Clerk(Rc::clone(&clerks)))
        });
        Self {
            port: port.expect("a port is free"),
            reactor,
            desk,
        }
    }

    pub(crate) fn at(&self) -> String {
        format!("tcp:{}", self.port.local_address())
    }

    /// The lines so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.desk.asked.borrow().clone()
    }

    /// Answers those who wait, and all who come.
    pub(crate) fn answer(&self) {
        self.desk.answers.set(true);
        self.desk.serve();
    }

    /// Nobody is served any more.
    pub(crate) fn close(&self) {
        self.port.stop_listening();
        self.settle();
    }

    /// Turns until nothing is left to do.
    pub(crate) fn settle(&self) {
        for _ in 0..20 {
            self.turn();
        }
    }

    pub(crate) fn turn(&self) {
        let turned = self.reactor.turn(Some(Duration::from_micros(100)));
        turned.expect("the driver works");
    }
}

/// The library that C links, which lies beside this program.
pub(crate) fn library() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    program.with_file_name("libtress_c.so")
}
