//! What was opened elsewhere becomes a port or a connection of this reactor: inherited, received through a socket, or
//! made by other code. Opens nothing, and does not look at what a descriptor is: the driver does.
//!
//! Other than in Twisted (`adoptStreamPort` and the like in `internet/posixbase.py`), which works on a copy, the reactor
//! takes the descriptor itself and closes it in the end. Who wants to keep one gives a copy (`try_clone`).

use super::{
    Connection, Reactor,
    clients::use_once,
    dial::{Dial, Purpose},
};
use crate::{
    address::Address,
    datagram::{DatagramProtocol, DatagramTransport},
    deferred::Deferred,
    descriptor::Descriptor,
    driver::{ConnectOptions, Opened, Token},
    error::{CannotListen, ConnectError, NotRunning},
    factory::{Factory, IntoFactory, SharedFactory},
    failure::Result,
    protocol::Protocol,
    reactor::Port,
    transport::{Origin, Role, Transport, Watcher},
};
use std::{io, rc::Rc, time::Duration};

/// What a socket is called that nobody gave a name.
const ELSEWHERE: &str = "a socket that was opened elsewhere";

impl Reactor {
    /// Listens at a stream socket that listens already, and builds a protocol for each connection. The socket is closed
    /// when the port is stopped; copies of it, in other processes too, go on listening without us.
    ///
    /// # Errors
    /// It is no such socket, the driver takes over none, or the factory failed to start. The socket is closed then.
    pub fn adopt_port<M>(
        &self,
        socket: impl Into<Descriptor>,
        factory: impl IntoFactory<M>,
    ) -> Result<Port> {
        self.adopt_port_shared(socket, &SharedFactory::new(factory))
    }

    /// The same with a factory that serves several endpoints.
    ///
    /// # Errors
    /// As [`Reactor::adopt_port`].
    pub fn adopt_port_shared(
        &self,
        socket: impl Into<Descriptor>,
        factory: &SharedFactory,
    ) -> Result<Port> {
        self.adopt_at(ELSEWHERE, Opened::Port(socket.into()), factory)
    }

    /// Makes a connection of a stream socket that is connected already, with a protocol of this factory, which is started
    /// before and stopped after. Its protocol hears of it from the next turn on; this fires after `connection_made`.
    /// Cancelling it before closes the socket.
    ///
    /// It counts for no limit of accepted connections and has no idle deadline unless it asks for one, as an outgoing
    /// connection; but it reads nothing while its output is full, as an accepted one.
    #[track_caller]
    pub fn adopt_connection<M, F: IntoFactory<M>>(
        &self,
        socket: impl Into<Descriptor>,
        factory: F,
    ) -> Deferred<Connection<<F::Factory as Factory>::Protocol>> {
        let adopted = self.adopt(Opened::Stream(socket.into()), factory);
        adopted.unwrap_or_else(Deferred::fail)
    }

    /// Makes one connection of what is no socket, or of two that are used one way each: pipes, terminals, files. Bytes
    /// come from `input` and go to `output`, which may be a copy of it; either may be missing. Otherwise as
    /// [`Reactor::adopt_connection`].
    ///
    /// To close the output is to half-close it. With an input, that nobody reads the output any more is known when
    /// something is written; without one, at once. A file is always ready: it is read as fast as the loop turns.
    #[track_caller]
    pub fn adopt_files<P: Protocol>(
        &self,
        input: Option<Descriptor>,
        output: Option<Descriptor>,
        protocol: P,
    ) -> Deferred<Connection<P>> {
        let mut protocol = Some(protocol);
        let factory = move |_: &Address| protocol.take();
        let adopted = self.adopt(Opened::Files { input, output }, factory);
        adopted.unwrap_or_else(Deferred::fail)
    }

    /// Makes one connection, as the two above, for who must know at once whether it has been taken over.
    ///
    /// # Errors
    /// It is not what it is said to be, the driver takes over no such thing ([`ConnectError`]), or the factory failed to
    /// start. It is closed then.
    #[track_caller]
    pub fn adopt<M, F: IntoFactory<M>>(
        &self,
        opened: Opened,
        factory: F,
    ) -> Result<Deferred<Connection<<F::Factory as Factory>::Protocol>>> {
        let factory = SharedFactory::new(factory);
        let there = self.take_over(opened)?.map_err(ConnectError)?;
        let watcher = self.use_for(&factory, there.0)?;
        let connection = self.begin_adopted(there, &factory, watcher);
        Ok(connection.map(Connection::new))
    }

    /// A port of what was opened elsewhere: what endpoint kinds such as `systemd:` and `stdio:` are built from. `at` is
    /// what errors and logs call it. What is a connection already becomes a port that has this one: it is stopped when
    /// that has begun, and stopping it before closes it.
    ///
    /// # Errors
    /// [`CannotListen`]: it is not what it is said to be, or the driver takes over no such thing; or the factory failed
    /// to start. It is closed then.
    pub fn adopt_at(&self, at: &str, opened: Opened, factory: &SharedFactory) -> Result<Port> {
        let listens = matches!(opened, Opened::Port(_));
        let there = self.take_over(opened)?.map_err(|error| CannotListen {
            at: at.to_owned(),
            error,
        })?;
        if listens {
            self.lend(at, there.0)?;
            return self.begin_port(at, there, factory);
        }
        let watcher = self.use_for(factory, there.0)?;
        let connection = self.begin_adopted(there, factory, watcher);
        Ok(self.lone_port(Address::Name(at.into()), factory, connection))
    }

    /// Gives a datagram socket that has an address to this protocol. Calls `start_protocol` before it returns. The
    /// socket is closed when the port is stopped.
    ///
    /// # Errors
    /// It is no such socket, the driver takes over none, or `start_protocol` failed. The socket is closed then.
    pub fn adopt_datagrams(
        &self,
        socket: impl Into<Descriptor>,
        protocol: impl DatagramProtocol,
    ) -> Result<DatagramTransport> {
        let longest = self.limits().datagram;
        let port = self.take_over(Opened::Datagrams(socket.into(), longest))?;
        let port = port.map_err(|error| CannotListen {
            at: ELSEWHERE.to_owned(),
            error,
        })?;
        self.begin_datagrams(port, None, Box::new(protocol))
    }

    fn take_over(&self, opened: Opened) -> Result<io::Result<(Token, Address)>> {
        if self.0.is_closing() {
            return Err(NotRunning.into());
        }
        Ok(self.0.driver.borrow_mut().adopt(opened))
    }

    /// Starts the factory for this connection, which is closed when that fails.
    fn use_for(&self, factory: &SharedFactory, token: Token) -> Result<Watcher> {
        use_once(factory).inspect_err(|_| self.0.driver.borrow_mut().close(token, false))
    }

    fn begin_adopted(
        &self,
        there: (Token, Address),
        factory: &SharedFactory,
        watcher: Watcher,
    ) -> Deferred<Transport> {
        let limits = self.limits();
        let purpose = Purpose {
            factory: factory.clone(),
            options: ConnectOptions::default(),
            // It is there: nothing is waited for.
            after: Duration::MAX,
            flags: 0,
            origin: Rc::new(Origin {
                shared: Rc::clone(&self.0.shared),
                limits,
                role: Role::Client(Some(watcher)),
                port: None,
            }),
        };
        Dial::adopted(self, there, purpose)
    }
}
