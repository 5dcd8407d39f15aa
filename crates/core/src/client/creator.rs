//! `ClientCreator`: a protocol for each connection, and no factory. Retries nothing.

use crate::{
    deferred::Deferred,
    protocol::Protocol,
    reactor::{Connection, Reactor},
};
use std::{fmt, rc::Rc};

/// Makes connections that need no factory: each call gets a protocol of its own.
pub struct ClientCreator<M> {
    reactor: Reactor,
    make: Rc<M>,
}

impl<P: Protocol, M: Fn() -> P + 'static> ClientCreator<M> {
    /// Connections on `reactor`, with protocols that `make` makes.
    pub fn new(reactor: &Reactor, make: M) -> Self {
        Self {
            reactor: reactor.clone(),
            make: Rc::new(make),
        }
    }

    /// Connects to an endpoint (`tcp:127.0.0.1:1234`). Fires after the protocol's `connection_made`; cancelling it
    /// gives the attempt up.
    #[track_caller]
    pub fn connect(&self, to: &str) -> Deferred<Connection<P>> {
        let make = Rc::clone(&self.make);
        self.reactor.connect(to, move || make())
    }
}

impl<M> fmt::Debug for ClientCreator<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCreator")
    }
}
