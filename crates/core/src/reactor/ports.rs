//! Ports: listening, accepting within the limits, changing while they listen, and stopping. Parses no endpoint.

use super::{Core, Entry, Reactor};
use crate::{
    address::{Address, Peer},
    deferred::{Canceller, Deferred},
    driver::{ListenOptions, Token},
    endpoint::{EndpointSpec, Side},
    error::{CannotListen, ConnectingCancelled, NotListening},
    factory::{IntoFactory, SharedFactory},
    failure::Result,
    layer::Plan,
    limits::Limits,
    transport::{Link, Origin, PortCounts, Role, Transport, flags::SERVER},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt, io,
    net::IpAddr,
    rc::{Rc, Weak},
    time::Duration,
};

/// Something that listens. Dropping it changes nothing: it listens until it is stopped.
#[derive(Clone)]
pub struct Port {
    core: Weak<Core>,
    place: Place,
    state: Rc<PortState>,
}

#[derive(Clone)]
enum Place {
    Driver(Token),
    /// The driver has none: there is one connection, which this gives up before it begins.
    Lone(Option<Canceller>),
}

/// What a port has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortStatistics {
    /// Connections that are open.
    pub connections: usize,
    /// Connections that its factory has taken so far.
    pub accepted: u64,
    /// Connections refused because of a limit.
    pub refused: u64,
    /// Bytes that came through its connections: below layers, such as TLS, and for one that a layer was pushed into, since
    /// then.
    pub received: u64,
    /// Bytes that have left through them.
    pub sent: u64,
}

pub(super) struct PortState {
    address: Address,
    /// What was asked for, and how many ports had been opened before.
    pub(super) at: (String, u64),
    factory: RefCell<SharedFactory>,
    /// Of connections that come from now on.
    origin: RefCell<Rc<Origin>>,
    counts: Rc<PortCounts>,
    open: Cell<bool>,
}

/// Accepted connections by the network they come from; IPv6 counts by /64, which one subscriber has to itself.
#[derive(Default)]
pub(super) struct PeerCounts(RefCell<BTreeMap<u64, usize>>);

impl Reactor {
    /// Listens at an endpoint (`tcp:8007`, `tcp:8007:interface=127.0.0.1`) and builds a protocol for each connection.
    ///
    /// # Errors
    /// The endpoint is not one, or nothing can listen there.
    pub fn listen<M>(&self, at: &str, factory: impl IntoFactory<M>) -> Result<Port> {
        self.listen_shared(at, &SharedFactory::new(factory))
    }

    /// The same with a factory that serves several endpoints.
    ///
    /// # Errors
    /// The endpoint is not one, or nothing can listen there.
    pub fn listen_shared(&self, at: &str, factory: &SharedFactory) -> Result<Port> {
        self.listen_spec(&EndpointSpec::parse(at)?, factory)
    }

    /// The same for an endpoint string in its parts: what kinds that lie on others are built from.
    ///
    /// # Errors
    /// The endpoint is not one, or nothing can listen there.
    pub fn listen_spec(&self, spec: &EndpointSpec, factory: &SharedFactory) -> Result<Port> {
        self.kind(spec)?.listen(self, spec, factory)
    }

    /// Listens at several endpoints, with one factory: it is started before the first listens and stopped after the last
    /// has stopped. The ports come in the order of the endpoints.
    ///
    /// ```
    /// # use tress_core::{Protocol, testing::memory::Table};
    /// # struct Quiet;
    /// # impl Protocol for Quiet {}
    /// # let (table, factory) = (Table::new(), || Quiet);
    /// # let reactor = table.reactor();
    /// let ports = reactor.listen_all(["tcp:8007", "tcp:8008:interface=127.0.0.1"], factory)?;
    /// # assert_eq!(ports[1].local_address().to_string(), "127.0.0.1:8008");
    /// # Ok::<(), tress_core::Failure>(())
    /// ```
    ///
    /// # Errors
    /// One of the endpoints is not one: nothing was opened. Or nothing can listen at one of them, or the factory failed
    /// to start: those that listened have been stopped.
    pub fn listen_all<M, A: AsRef<str>>(
        &self,
        at: impl IntoIterator<Item = A>,
        factory: impl IntoFactory<M>,
    ) -> Result<Vec<Port>> {
        let at: Vec<A> = at.into_iter().collect();
        for at in &at {
            self.check_endpoint(at.as_ref(), Side::Server)?;
        }
        let factory = SharedFactory::new(factory);
        let mut ports: Vec<Port> = Vec::with_capacity(at.len());
        for at in &at {
            match self.listen_shared(at.as_ref(), &factory) {
                Ok(port) => ports.push(port),
                Err(failure) => {
                    ports.iter().rev().for_each(Port::stop_listening);
                    return Err(failure);
                }
            }
        }
        Ok(ports)
    }

    /// Listens at an address: what endpoint kinds are built from.
    ///
    /// # Errors
    /// Nothing can listen there, or the factory failed to start.
    pub fn listen_at(
        &self,
        address: &Address,
        options: &ListenOptions,
        factory: &SharedFactory,
    ) -> Result<Port> {
        let at = address.to_string();
        // What several processes may open is passed on all the same: peers wait in its own queue.
        if (!options.reuse_port || self.inherits_ports())
            && let Some(port) = self.listen_borrowed(&at, factory)
        {
            let port = port?;
            if let Place::Driver(token) = port.place {
                self.note_file(address, token, &options.unix);
            }
            return Ok(port);
        }
        let listening = self.0.driver.borrow_mut().listen(address, options);
        let listening = listening.map_err(|error| CannotListen {
            at: at.clone(),
            error,
        })?;
        if !options.reuse_port {
            self.lend(&at, listening.0)?;
        }
        self.begin_port(&at, listening, factory)
    }

    /// A driver's port gets its place in the table. `at` is what was asked for.
    pub(super) fn begin_port(
        &self,
        at: &str,
        (token, address): (Token, Address),
        factory: &SharedFactory,
    ) -> Result<Port> {
        let core = &self.0;
        if let Err(failure) = factory.port_started() {
            core.driver.borrow_mut().close(token, false);
            return Err(failure);
        }
        let state = Rc::new(PortState::new(self, at, address, factory));
        core.put(token, Entry::Port(token.generation, Rc::clone(&state)));
        Ok(Port {
            core: Rc::downgrade(core),
            place: Place::Driver(token),
            state,
        })
    }

    /// A port with one connection, which is on its way already: the driver knows nothing of it.
    pub(super) fn lone_port(
        &self,
        address: Address,
        factory: &SharedFactory,
        connection: Deferred<Transport>,
    ) -> Port {
        let only = connection.canceller();
        let at = address.to_string();
        let state = Rc::new(PortState::new(self, &at, address, factory));
        let port = Rc::clone(&state);
        let begun = connection.add_both(move |result| {
            port.open.set(false);
            match result {
                Err(failure) if failure.check::<ConnectingCancelled>().is_none() => {
                    let at = &port.address;
                    tracing::error!(target: "tress", "the connection of {at} did not begin: {failure:?}");
                }
                Ok(_) | Err(_) => {}
            }
        });
        begun.detach();
        Port {
            core: Rc::downgrade(&self.0),
            place: Place::Lone(only),
            state,
        }
    }
}

impl Port {
    /// Accepts no more. Open connections go on. A second call does nothing.
    pub fn stop_listening(&self) {
        let Some(core) = self.core.upgrade().filter(|_| self.state.open.get()) else {
            return;
        };
        match &self.place {
            Place::Driver(token) if core.take(*token).is_some() => {
                core.close_port(*token, &self.state);
            }
            Place::Lone(Some(only)) => only.cancel(),
            Place::Driver(_) | Place::Lone(None) => {}
        }
    }

    /// Builds protocols by this factory from now on: no peer that waits is lost, and open connections go on with what they
    /// have. What the kind of endpoint put below each protocol (`tls:`, `haproxy:`) stays, so the factory until now must not
    /// have been one of [`SharedFactory::layered`] itself. A factory that served this port alone is stopped.
    ///
    /// # Errors
    /// The new factory failed to start: nothing has changed. Or the port listens no more.
    pub fn set_factory(&self, factory: &SharedFactory) -> Result {
        let Some(core) = self.core.upgrade().filter(|_| self.state.open.get()) else {
            return Err(NotListening.into());
        };
        factory.port_started()?;
        let layers = self.state.factory.borrow().layers().to_vec();
        let old = self.state.factory.replace(factory.on(layers));
        if let Err(failure) = old.port_stopped() {
            core.failed("stop_factory", &failure);
        }
        Ok(())
    }

    /// Connections that come from now on obey these limits; those that are open keep theirs.
    pub fn set_limits(&self, limits: &Rc<Limits>) {
        let origin = self.state.origin.borrow().with_limits(limits);
        self.state.origin.replace(Rc::new(origin));
    }

    /// Its open connections, each by what its protocol knows it by. Walks over all connections of the reactor.
    #[must_use]
    pub fn connections(&self) -> Vec<Transport> {
        let Some(core) = self.core.upgrade() else {
            return Vec::new();
        };
        let table = core.table.borrow();
        let own = table.iter().filter_map(|entry| self.own(entry));
        own.map(Transport::top).collect()
    }

    /// What it has done and holds. Walks over all connections of the reactor: for several ports, ask
    /// [`Port::statistics_of`].
    #[must_use]
    pub fn statistics(&self) -> PortStatistics {
        Self::statistics_of([self])[0]
    }

    /// The same of several ports of one reactor, in their order, with one walk over its connections.
    #[must_use]
    pub fn statistics_of<'p>(ports: impl IntoIterator<Item = &'p Self>) -> Vec<PortStatistics> {
        let ports: Vec<&Self> = ports.into_iter().collect();
        let live = ports.iter().find_map(|port| port.core.upgrade());
        let live = live.map(|core| Self::of_open(&core)).unwrap_or_default();
        let statistics = ports.iter().map(|port| {
            let counts = &port.state.counts;
            let [received, sent] = live.get(&Rc::as_ptr(counts)).copied().unwrap_or_default();
            PortStatistics {
                connections: counts.open.get(),
                accepted: counts.accepted.get(),
                refused: counts.refused.get(),
                received: counts.received.get() + received,
                sent: counts.sent.get() + sent,
            }
        });
        statistics.collect()
    }

    /// The bytes that came and left through connections that are open, by whose connections they are.
    fn of_open(core: &Core) -> BTreeMap<*const PortCounts, [u64; 2]> {
        let mut bytes = BTreeMap::<_, [u64; 2]>::new();
        for entry in core.table.borrow().iter() {
            let Entry::Conn(_, link) = entry else {
                continue;
            };
            if let Some(port) = &link.0.origin.port {
                let one = link.statistics();
                let [received, sent] = bytes.entry(Rc::as_ptr(port)).or_default();
                *received += one.received;
                *sent += one.sent;
            }
        }
        bytes
    }

    /// The connection, if it is one of its own.
    fn own<'e>(&self, entry: &'e Entry) -> Option<&'e Transport> {
        let Entry::Conn(_, link) = entry else {
            return None;
        };
        let port = link.0.origin.port.as_ref()?;
        Rc::ptr_eq(port, &self.state.counts).then_some(link)
    }

    /// Where it listens, with the port number that the system chose where 0 was asked for.
    #[must_use]
    pub fn local_address(&self) -> &Address {
        &self.state.address
    }

    /// Whether it is a socket that listens. What is one connection from the start (`stdio:`) is none, and no other process can
    /// go on with it.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        matches!(self.place, Place::Driver(_))
    }

    /// Whether it still listens.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.state.open.get()
    }
}

impl PortState {
    fn new(reactor: &Reactor, at: &str, address: Address, factory: &SharedFactory) -> Self {
        let counts = Rc::<PortCounts>::default();
        Self {
            address,
            at: (at.to_owned(), reactor.0.sharing.borrow_mut().number()),
            factory: RefCell::new(factory.clone()),
            origin: RefCell::new(Rc::new(Origin {
                shared: Rc::clone(&reactor.0.shared),
                limits: reactor.limits(),
                role: Role::Server,
                port: Some(Rc::clone(&counts)),
            })),
            counts,
            open: Cell::new(true),
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({})", self.state.address)
    }
}

impl Core {
    /// Closes a port that has been taken out of the table.
    pub(super) fn close_port(&self, token: Token, port: &PortState) {
        port.open.set(false);
        self.driver.borrow_mut().close(token, false);
        let factory = port.factory.borrow().clone();
        match self.shared.core.upgrade() {
            // The factory itself stops the port: it is told once it has returned.
            Some(core) if factory.is_busy() => {
                Reactor(core).call_later(Duration::ZERO, move || factory.port_stopped());
            }
            _ => {
                if let Err(failure) = factory.port_stopped() {
                    self.failed("stop_factory", &failure);
                }
            }
        }
    }

    /// A peer has connected.
    pub(super) fn accepted(self: &Rc<Self>, port: Token, conn: Token, peer: Address) {
        let state = match self.table.borrow().get(port.slot as usize) {
            Some(Entry::Port(generation, state)) if *generation == port.generation => {
                Rc::clone(state)
            }
            _ => return self.driver.borrow_mut().close(conn, true),
        };
        self.counters.accepted.set(self.counters.accepted.get() + 1);
        let (origin, counts) = (Rc::clone(&state.origin.borrow()), &state.counts);
        if let Err(limit) = self.admit(&peer, &origin.limits) {
            counts.refused.set(counts.refused.get() + 1);
            return self.refuse(conn, &peer, limit);
        }
        let link = Link::new(&origin, conn, SERVER, Peer::from(peer));
        let link = Transport(Rc::new(link));
        let plan = Plan::new(&state.factory.borrow());
        match plan.build(&link) {
            Ok(true) => {
                counts.began();
                self.begin(conn, &link);
            }
            Ok(false) => self.turn_away(conn, &link),
            Err(failure) => {
                self.failed("build_protocol", &failure);
                self.turn_away(conn, &link);
            }
        }
    }

    #[cold]
    pub(super) fn accept_failed(&self, port: Token, error: &io::Error) {
        let counters = &self.counters;
        counters.accept_errors.set(counters.accept_errors.get() + 1);
        if self.may_warn(&counters.accept_warned) {
            let at = match self.table.borrow().get(port.slot as usize) {
                Some(Entry::Port(_, state)) => state.address.clone(),
                _ => Address::Unknown,
            };
            tracing::warn!(target: "tress", "cannot accept at {at}: {error}");
        }
    }

    /// A connection that was counted has ended.
    pub(super) fn peer_left(&self, link: &Transport) {
        self.peers.leave(&link.peer());
    }

    /// Counts the peer, or says which limit it is beyond.
    fn admit(&self, peer: &Address, limits: &Limits) -> Result<(), &'static str> {
        if self.counters.accepted_open.get() >= limits.connections {
            return Err("connections");
        }
        if self.peers.enter(peer, limits.connections_per_peer) {
            Ok(())
        } else {
            Err("connections_per_peer")
        }
    }

    /// The factory wants no connection with this peer.
    fn turn_away(&self, conn: Token, link: &Transport) {
        self.peer_left(link);
        self.driver.borrow_mut().close(conn, false);
    }

    #[cold]
    fn refuse(&self, conn: Token, peer: &Address, limit: &str) {
        self.driver.borrow_mut().close(conn, true);
        let counters = &self.counters;
        counters.refused.set(counters.refused.get() + 1);
        if self.may_warn(&counters.refuse_warned) {
            let total = counters.refused.get();
            tracing::warn!(target: "tress", "refused {peer}: the limit {limit:?} is reached ({total} refused so far)");
        }
    }
}

impl PeerCounts {
    fn network(peer: &Address) -> Option<u64> {
        Some(match peer.ip()? {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => u64::from(v4.to_bits()),
                // The upper half of an IPv6 address in use is never below 2^32.
                None => u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX),
            },
        })
    }

    fn enter(&self, peer: &Address, limit: usize) -> bool {
        let Some(network) = Self::network(peer) else {
            return true;
        };
        let mut counts = self.0.borrow_mut();
        let count = counts.entry(network).or_insert(0);
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, peer: &Address) {
        let Some(network) = Self::network(peer) else {
            return;
        };
        let mut counts = self.0.borrow_mut();
        if let Some(count) = counts.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the two are counted together.
    #[track_caller]
    fn check(one: &str, other: &str, together: bool) {
        let limit_is_reached = |other: &str| {
            let counts = PeerCounts::default();
            let [one, other] = [one, other].map(|ip| {
                let ip: IpAddr = ip.parse().expect("it is an IP address");
                Address::Ip((ip, 80).into())
            });
            assert!(counts.enter(&one, 1));
            !counts.enter(&other, 1)
        };
        assert!(limit_is_reached(one));
        assert_eq!(limit_is_reached(other), together, "{one} {other}");
    }

    #[test]
    fn peers_are_counted_by_the_network_that_one_subscriber_has() {
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("::ffff:192.0.2.1", "::ffff:192.0.2.2", false);
        check("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true);
        check("2001:db8:0:1::1", "2001:db8::1", false);
        check("2001:db8:0:1::1", "2001:db8:1:1::1", false);
        check("192.0.2.1", "2001:db8::1", false);
    }
}
