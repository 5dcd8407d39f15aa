//! Outgoing connections: attempts, their deadline and cancel, and the typed handle on a live one.

use super::{Core, Entry, Reactor};
use crate::{
    address::{Address, Peer},
    deferred::{Deferred, Outcome, Resolver},
    driver::{ConnectOptions, Token},
    error::{
        ConnectError, ConnectingCancelled, ConnectionDone, Deadline, NoProtocol, NotRunning,
        TimedOut,
    },
    factory::{IntoFactory, SharedFactory},
    failure::{Failure, Result},
    protocol::Protocol,
    transport::{
        Link, Origin, Role, Transport, Watcher,
        flags::{LOST, READ_WHEN_FULL},
    },
};
use std::{any::Any, cell::Cell, fmt, marker::PhantomData, rc::Rc};

/// A connection that is being made.
pub(super) struct Attempt {
    to: Address,
    factory: SharedFactory,
    origin: Rc<Origin>,
    resolver: Resolver<Transport>,
    timeout: super::DelayedCall,
}

/// What a connection is made with.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to.
    pub address: Address,
    /// From where.
    pub options: ConnectOptions,
    /// How long it may take; the limit `connect` when `None`.
    pub timeout: Option<std::time::Duration>,
}

impl Target {
    /// This address, with no options.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            options: ConnectOptions::default(),
            timeout: None,
        }
    }
}

/// A factory that was started for one connection, and is stopped when this is dropped.
struct InUse(SharedFactory);

impl Drop for InUse {
    fn drop(&mut self) {
        if let Err(failure) = self.0.port_stopped() {
            tracing::error!(target: "tress", "stop_factory failed: {failure:?}");
        }
    }
}

/// A handle on a live connection that knows its protocol's type.
pub struct Connection<P> {
    transport: Transport,
    protocol: PhantomData<fn(P)>,
}

impl Reactor {
    /// Connects to an endpoint (`tcp:127.0.0.1:8007`) with a protocol of this factory, which is started before and
    /// stopped after. Fires after the protocol's `connection_made`; cancelling it gives the attempt up.
    #[track_caller]
    pub fn connect<M, F: IntoFactory<M>>(
        &self,
        to: &str,
        factory: F,
    ) -> Deferred<Connection<<F::Factory as crate::factory::Factory>::Protocol>> {
        let factory = SharedFactory::new(factory);
        if let Err(failure) = factory.port_started() {
            return Deferred::fail(failure);
        }
        // Dropped when the connection ends, or with the attempt if there is none.
        let in_use = Cell::new(Some(InUse(factory.clone())));
        let watcher = Rc::new(move |_: &Self, _| drop(in_use.take()));
        self.connect_shared(to, &factory, Some(watcher))
            .map(Connection::new)
    }

    /// Connects with this one protocol.
    #[track_caller]
    pub fn connect_protocol<P: Protocol>(&self, to: &str, protocol: P) -> Deferred<Connection<P>> {
        let mut protocol = Some(protocol);
        self.connect(to, move |_: &Address| protocol.take())
    }

    pub(crate) fn connect_shared(
        &self,
        to: &str,
        factory: &SharedFactory,
        watcher: Option<Watcher>,
    ) -> Deferred<Transport> {
        match self
            .endpoint(to)
            .and_then(|(kind, spec)| kind.target(&spec))
        {
            Ok(target) => self.connect_at(&target, factory, watcher),
            Err(failure) => Deferred::fail(failure),
        }
    }

    fn connect_at(
        &self,
        target: &Target,
        factory: &SharedFactory,
        watcher: Option<Watcher>,
    ) -> Deferred<Transport> {
        let core = &self.0;
        if core.is_closing() {
            return Deferred::fail(NotRunning);
        }
        let connecting = core
            .driver
            .borrow_mut()
            .connect(&target.address, &target.options);
        let token = match connecting {
            Ok(token) => token,
            Err(error) => return Deferred::fail(ConnectError(error)),
        };
        let weak = Rc::downgrade(core);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            if let Some(core) = weak.upgrade() {
                core.give_up(token, ConnectingCancelled.into());
            }
        });
        let after = target.timeout.unwrap_or(self.limits().connect);
        let weak = Rc::downgrade(core);
        let timeout = self.call_later(after, move || {
            if let Some(core) = weak.upgrade() {
                core.give_up(
                    token,
                    TimedOut {
                        deadline: Deadline::Connect,
                        after,
                    }
                    .into(),
                );
            }
        });
        let attempt = Attempt {
            to: target.address.clone(),
            factory: factory.clone(),
            origin: Rc::new(Origin {
                shared: Rc::clone(&core.shared),
                limits: self.limits(),
                role: Role::Client(watcher),
            }),
            resolver,
            timeout,
        };
        core.put(
            token,
            Entry::Connecting(token.generation, Box::new(attempt)),
        );
        deferred
    }
}

impl Core {
    /// A connection that we asked for is there.
    pub(super) fn connected(self: &Rc<Self>, conn: Token) {
        let Some(Entry::Connecting(_, attempt)) = self.take(conn) else {
            return;
        };
        attempt.timeout.cancel().ok();
        let Attempt {
            to,
            factory,
            origin,
            resolver,
            ..
        } = *attempt;
        let protocol = match factory.build(&to) {
            Ok(Some(protocol)) if !resolver.is_cancelled() => protocol,
            Ok(Some(unwanted)) => {
                self.driver.borrow_mut().close(conn, true);
                return self.catch(unwanted.name(), || drop(unwanted));
            }
            refused => {
                self.driver.borrow_mut().close(conn, true);
                return resolver.fail(match refused {
                    Err(failure) => failure,
                    Ok(_) => NoProtocol.into(),
                });
            }
        };
        let link = Transport(Rc::new(Link::new(
            &origin,
            conn,
            READ_WHEN_FULL,
            Peer::from(to),
            protocol,
        )));
        let made = link.clone();
        link.push_call(Box::new(move |live| {
            if resolver.is_cancelled() {
                made.abort_connection();
            }
            resolver.fire(live.map(|_| made));
        }));
        self.begin(conn, &link);
    }

    fn give_up(&self, token: Token, reason: Failure) {
        let taken = match self.table.borrow().get(token.slot as usize) {
            Some(Entry::Connecting(generation, _)) => *generation == token.generation,
            _ => false,
        };
        if taken && let Some(Entry::Connecting(_, attempt)) = self.take(token) {
            self.driver.borrow_mut().close(token, true);
            attempt.failed(reason);
        }
    }
}

impl Attempt {
    /// It came to nothing.
    pub(super) fn failed(self, reason: Failure) {
        self.timeout.cancel().ok();
        self.resolver.fail(reason);
    }
}

impl<P: Protocol> Connection<P> {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            protocol: PhantomData,
        }
    }

    /// Calls `function` with the protocol and its transport, right after whatever callback runs now. Fails when the
    /// connection has ended.
    #[track_caller]
    pub fn call<R: Outcome>(
        &self,
        function: impl FnOnce(&mut P, &Transport) -> R + 'static,
    ) -> Deferred<R::Value> {
        if self.transport.has(LOST) {
            return Deferred::fail(ConnectionDone);
        }
        let (resolver, deferred) = Deferred::pair();
        self.transport.push_call(Box::new(move |live| {
            let result: Result<Deferred<R::Value>> = match live {
                Ok((protocol, transport)) => match (protocol as &mut dyn Any).downcast_mut::<P>() {
                    Some(protocol) => Ok(function(protocol, transport).into_deferred()),
                    None => Err(Failure::msg("the connection has another protocol")),
                },
                Err(reason) => Err(reason),
            };
            match result {
                Ok(deferred) => deferred.add_both(|result| resolver.fire(result)).detach(),
                Err(failure) => resolver.fail(failure),
            }
        }));
        deferred
    }

    /// The connection's transport.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }
}

impl<P> Clone for Connection<P> {
    fn clone(&self) -> Self {
        Self {
            transport: self.transport.clone(),
            protocol: PhantomData,
        }
    }
}

impl<P> fmt::Debug for Connection<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.transport.peer())
    }
}
