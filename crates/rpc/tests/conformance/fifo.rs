//! A raw client of protocols that answer in the order of the requests. Knows no protocol.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};
use tress_core::{Deferred, Failure, Protocol, Reactor, Resolver, Result, Transport};
use tress_rpc::{Fault, fault};

/// A connection; dropping it breaks it off.
pub(crate) struct Fifo {
    transport: Transport,
    waiting: Waiting,
}

type Waiting = Rc<RefCell<VecDeque<Resolver<Vec<u8>>>>>;

impl Fifo {
    /// Connects; `cut` says how many bytes the first answer has, when it is whole.
    pub(crate) fn connect(
        reactor: &Reactor,
        to: &str,
        cut: fn(&[u8]) -> Option<usize>,
    ) -> Deferred<Self> {
        let waiting = Waiting::default();
        let (made, connected) = Deferred::pair();
        let end = End {
            waiting: Rc::clone(&waiting),
            cut,
            bytes: Vec::new(),
            made: Some(made),
        };
        reactor.connect_protocol(to, end).detach();
        connected.map(move |transport| Self { transport, waiting })
    }

    /// What is answered to this.
    pub(crate) fn ask(&self, request: &[u8]) -> Deferred<Vec<u8>> {
        if self.transport.is_closing() {
            return Deferred::fail(gone());
        }
        let (resolver, answer) = Deferred::pair();
        self.waiting.borrow_mut().push_back(resolver);
        self.transport.write(request);
        answer
    }
}

fn gone() -> Fault {
    Fault::new(fault::BUSY, "the connection has ended")
}

impl Drop for Fifo {
    fn drop(&mut self) {
        self.transport.abort_connection();
    }
}

struct End {
    waiting: Waiting,
    cut: fn(&[u8]) -> Option<usize>,
    bytes: Vec<u8>,
    made: Option<Resolver<Transport>>,
}

impl Protocol for End {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        if let Some(made) = self.made.take() {
            made.resolve(transport.clone());
        }
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.bytes.extend_from_slice(data);
        while let Some(length) = (self.cut)(&self.bytes) {
            let answer = self.bytes.drain(..length).collect();
            let resolver = self.waiting.borrow_mut().pop_front();
            if let Some(resolver) = resolver {
                resolver.resolve(answer);
            }
        }
        Ok(())
    }

    fn connection_lost(&mut self, _: Failure) {
        let waiting = self.waiting.take();
        for resolver in waiting {
            resolver.fail(gone());
        }
    }
}
