//! A reactor inside GLib: who wakes it, a main loop inside a callback, and what cannot be attached.
#![expect(clippy::disallowed_methods, reason = "calls from another thread")]

use glib::{MainContext, MainLoop};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};
use tress_core::{
    Protocol, Reactor, Result, Transport,
    testing::{ManualClock, memory::MemoryDriver},
};
use tress_os::Mio;

/// So long that a test which waits for it has failed.
const NEVER: Duration = Duration::from_secs(3600);

/// A process has one default main loop, and each test a thread.
fn alone() -> MutexGuard<'static, ()> {
    static MAIN_LOOP: Mutex<()> = Mutex::new(());
    MAIN_LOOP.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reactor() -> Reactor {
    Reactor::with(Mio::new().expect("epoll works"))
}

/// Notes what it gets, and shows its transport.
#[derive(Clone, Default)]
struct Peer {
    transport: Rc<RefCell<Option<Transport>>>,
    received: Rc<RefCell<Vec<u8>>>,
}

impl Protocol for Peer {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.transport.replace(Some(transport.clone()));
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.received.borrow_mut().extend(data);
        Ok(())
    }
}

/// Lets GLib go on until this holds.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        MainContext::default().iteration(true);
    }
}

/// A server and a client on one reactor.
fn connected(reactor: &Reactor) -> (Peer, Peer) {
    let (server, client) = (Peer::default(), Peer::default());
    let (serves, connects) = (server.clone(), client.clone());
    let port = reactor.listen("tcp:0:interface=127.0.0.1", move || serves.clone());
    let port = port.expect("a port is free").local_address().port();
    let to = format!("tcp:127.0.0.1:{}", port.expect("it is TCP"));
    reactor.connect_protocol(&to, connects).detach();
    until(|| server.transport.borrow().is_some() && client.transport.borrow().is_some());
    (server, client)
}

/// What is written between two turns leaves, and timed calls come, although nothing comes from anywhere.
#[test]
fn what_is_asked_between_turns_is_done() {
    let _alone = alone();
    let reactor = reactor();
    let _attached = tress_glib::attach(&reactor).expect("it has a descriptor");
    let (server, client) = connected(&reactor);
    // Until nobody has anything to do.
    while MainContext::default().iteration(false) {}
    let transport = server.transport.borrow().clone().expect("it was made");
    transport.write(b"between");
    until(|| *client.received.borrow() == b"between");
    let later = reactor.call_later(NEVER, || ());
    while MainContext::default().iteration(false) {}
    let called = Rc::new(Cell::new(false));
    let set = Rc::clone(&called);
    reactor.call_later(Duration::from_millis(3), move || set.set(true));
    until(|| called.get());
    assert!(later.is_active());
}

#[test]
fn run_ends_with_the_reactor() {
    let _alone = alone();
    let reactor = reactor();
    for _ in 0..2 {
        let remote = reactor.remote();
        let thread = thread::spawn(move || {
            let stop = |reactor: &Reactor| {
                reactor.call_when_running({
                    let own = reactor.clone();
                    move || own.stop()
                })
            };
            remote.call_from_thread(stop).expect("there is room");
        });
        tress_glib::run(&reactor).expect("it works");
        assert!(!reactor.is_running());
        thread.join().expect("no panic");
    }
    let own = reactor.clone();
    reactor.call_when_running(move || own.stop());
    tress_glib::run(&reactor).expect("it stops at once");
}

/// As dialogs do: the reactor rests meanwhile, GLib does not, and then all goes on.
#[test]
fn a_main_loop_inside_a_callback() {
    let _alone = alone();
    let reactor = reactor();
    let _attached = tress_glib::attach(&reactor).expect("it has a descriptor");
    let (server, client) = connected(&reactor);
    let ticks = Rc::new(Cell::new(0));
    let counts = Rc::clone(&ticks);
    let to_client = server.transport.borrow().clone().expect("it was made");
    let own = reactor.clone();
    reactor.call_later(Duration::ZERO, move || {
        to_client.write(b"inside");
        own.call_later(Duration::ZERO, || ());
        own.remote()
            .call_from_thread(|_| ())
            .expect("there is room");
        let (dialog, turns) = (MainLoop::new(None, false), own.statistics().turns);
        let closes = dialog.clone();
        glib::timeout_add_local(Duration::from_millis(1), move || {
            counts.set(counts.get() + 1);
            if counts.get() < 5 {
                return glib::ControlFlow::Continue;
            }
            closes.quit();
            glib::ControlFlow::Break
        });
        dialog.run();
        assert_eq!(own.statistics().turns, turns);
    });
    until(|| *client.received.borrow() == b"inside");
    assert_eq!(ticks.get(), 5);
    assert_eq!(reactor.statistics().failures, 0);
}

#[test]
fn dropping_it_detaches() {
    let _alone = alone();
    let reactor = reactor();
    let attached = tress_glib::attach(&reactor).expect("it has a descriptor");
    until(|| reactor.statistics().turns > 0);
    drop(attached);
    let turns = reactor.statistics().turns;
    reactor.call_later(Duration::ZERO, || ());
    while MainContext::default().iteration(false) {}
    assert_eq!(reactor.statistics().turns, turns);
    let again = tress_glib::attach(&reactor).expect("it has a descriptor");
    until(|| reactor.statistics().turns > turns);
    drop(again);
}

#[test]
fn what_cannot_be_attached() {
    let _alone = alone();
    let memory = Reactor::with(MemoryDriver::new(&ManualClock::new()));
    let error = tress_glib::attach(&memory).expect_err("it has none");
    assert_eq!(
        error.to_string(),
        "the reactor's driver has no descriptor for another loop to watch"
    );
    assert!(tress_glib::run(&memory).is_err());
    assert!(!memory.is_running(), "it is half started");
    // The main loop is another thread's.
    let (told, owns) = mpsc::channel();
    let (ends, ended) = mpsc::channel::<()>();
    let owner = thread::spawn(move || {
        let context = MainContext::default();
        let acquired = context.acquire().expect("nobody has it");
        told.send(()).ok();
        ended.recv().ok();
        drop(acquired);
    });
    owns.recv().expect("it is owned");
    let error = tress_glib::attach(&reactor()).expect_err("it is another's");
    assert!(
        error.to_string().contains("belongs to another thread"),
        "{error}"
    );
    drop(ends);
    owner.join().expect("no panic");
}
