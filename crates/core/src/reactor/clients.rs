//! Outgoing connections: where they go, their protocol once they are there, and the typed handle on a live one.

use super::{
    Core, Entry, Reactor,
    dial::{Dial, Purpose, Won},
    lose,
};
use crate::{
    address::{Address, Peer},
    deferred::{Deferred, Outcome},
    driver::{ConnectOptions, Token},
    endpoint::EndpointSpec,
    error::{ConnectingCancelled, ConnectionDone, NoProtocol, NotRunning},
    factory::{IntoFactory, SharedFactory},
    failure::{Failure, Result},
    layer::{MakeLayer, Plan},
    names::{HostName, NameResolver},
    protocol::Protocol,
    transport::{
        Link, Origin, Role, Transport, Watcher,
        flags::{LOST, READ_WHEN_FULL},
    },
};
use std::{any::Any, cell::Cell, fmt, marker::PhantomData, rc::Rc};

/// What a connection is made with.
#[derive(Clone)]
pub struct Target {
    /// Where to.
    pub to: Destination,
    /// From where.
    pub options: ConnectOptions,
    /// How long it may take; the limit `connect` when `None`.
    pub timeout: Option<std::time::Duration>,
    /// What lies below the protocol, the layer on the driver first. A kind of endpoint that lies on another adds its
    /// own at the end. The protocol is built when all of them are up.
    pub layers: Vec<MakeLayer>,
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To this address.
    Address(Address),
    /// To whichever address of this host works, at this port.
    Host(HostName, u16),
}

impl Target {
    /// This address, with no options.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self::from(Destination::Address(address))
    }
}

impl From<Destination> for Target {
    /// With no options.
    fn from(to: Destination) -> Self {
        Self {
            to,
            options: ConnectOptions::default(),
            timeout: None,
            layers: Vec::new(),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("to", &self.to)
            .field("options", &self.options)
            .field("timeout", &self.timeout)
            .field("layers", &self.layers.len())
            .finish()
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
    /// stopped after. Fires after the protocol's `connection_made`, which comes when all layers of the endpoint are up
    /// (so after the handshake of `tls:`), and fails with the layer's failure when that comes first. Cancelling it gives
    /// the attempt up.
    ///
    /// A host name (`tcp:example.org:8007`) is looked up, and its addresses are tried by RFC 8305: IPv6 and IPv4 in
    /// turn, another every [`CONNECTION_ATTEMPT_DELAY`](crate::names::CONNECTION_ATTEMPT_DELAY) and as soon as one
    /// fails; the first that is there wins. The timeout is over all of it. When every address fails, this fails with
    /// [`NoAddressWorked`](crate::error::NoAddressWorked), which lists them.
    #[track_caller]
    pub fn connect<M, F: IntoFactory<M>>(
        &self,
        to: &str,
        factory: F,
    ) -> Deferred<Connection<<F::Factory as crate::factory::Factory>::Protocol>> {
        let factory = SharedFactory::new(factory);
        match use_once(&factory) {
            Ok(watcher) => self
                .connect_shared(to, &factory, Some(watcher))
                .map(Connection::new),
            Err(failure) => Deferred::fail(failure),
        }
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
        match self.look_up(to) {
            Ok((target, names)) => self.connect_at(target, names, factory, watcher),
            Err(failure) => Deferred::fail(failure),
        }
    }

    /// What an endpoint string in its parts connects to: what kinds that lie on others are built from.
    ///
    /// # Errors
    /// The endpoint is not one.
    pub fn target(&self, spec: &EndpointSpec) -> Result<Target> {
        self.kind(spec)?.target(self, spec)
    }

    /// Where an endpoint goes, and who looks its name up if it has one.
    fn look_up(&self, to: &str) -> Result<(Target, Option<Rc<dyn NameResolver>>)> {
        let spec = EndpointSpec::parse(to)?;
        let target = self.target(&spec)?;
        let names = match &target.to {
            Destination::Address(_) => None,
            Destination::Host(name, _) => match self.name_resolver() {
                Some(names) => Some(names),
                None => {
                    return Err(spec.problem(format!(
                        "`{name}` is no IP address, and this reactor has no name resolver that could look it up"
                    )));
                }
            },
        };
        Ok((target, names))
    }

    fn connect_at(
        &self,
        target: Target,
        names: Option<Rc<dyn NameResolver>>,
        factory: &SharedFactory,
        watcher: Option<Watcher>,
    ) -> Deferred<Transport> {
        if self.0.is_closing() {
            return Deferred::fail(NotRunning);
        }
        let limits = self.limits();
        let purpose = Purpose {
            factory: factory.on(target.layers),
            options: target.options,
            after: target.timeout.unwrap_or(limits.connect),
            flags: READ_WHEN_FULL,
            origin: Rc::new(Origin {
                shared: Rc::clone(&self.0.shared),
                limits,
                role: Role::Client(watcher),
                port: None,
            }),
        };
        match (target.to, names) {
            (Destination::Host(name, port), Some(names)) => {
                Dial::to_host(self, &*names, &name, port, purpose)
            }
            (Destination::Address(address), _) => Dial::to_address(self, address, purpose),
            (Destination::Host(..), None) => unreachable!("`target` found who looks it up"),
        }
    }
}

/// Starts a factory for one connection. It is stopped when that ends, or with the attempt if nothing comes of it.
pub(super) fn use_once(factory: &SharedFactory) -> Result<Watcher> {
    factory.port_started()?;
    let in_use = Cell::new(Some(InUse(factory.clone())));
    Ok(Rc::new(move |_: &Reactor, _| drop(in_use.take())))
}

impl Core {
    /// A connection that we asked for is there.
    pub(super) fn connected(self: &Rc<Self>, conn: Token) {
        let Some(Entry::Connecting(_, attempt)) = self.take(conn) else {
            return;
        };
        let Some(won) = attempt.won(self) else {
            return self.driver.borrow_mut().close(conn, true);
        };
        let Won {
            to,
            factory,
            origin,
            flags,
            dial,
        } = won;
        let link = Link::new(&origin, conn, flags, Peer::from(to));
        let link = Transport(Rc::new(link));
        dial.rises(&link);
        let waiting = Rc::clone(&dial);
        link.push_call(Box::new(move |live| {
            waiting.is_up(live.map(|(_, transport)| transport.clone()));
        }));
        let refused = match Plan::new(&factory).build(&link) {
            Ok(true) if !dial.is_over() => None,
            Ok(true) => Some(ConnectingCancelled.into()),
            Ok(false) => Some(NoProtocol.into()),
            Err(failure) => Some(failure),
        };
        if let Some(reason) = refused {
            self.driver.borrow_mut().close(conn, true);
            dial.is_up(Err(reason.clone()));
            // It never began: its protocol, if there is one, is told nothing.
            let unwanted = link.0.protocol.take();
            if let Some(unwanted) = unwanted {
                self.catch(unwanted.name(), || drop(unwanted));
            }
            return lose(&link, &reason);
        }
        self.begin(conn, &link);
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
