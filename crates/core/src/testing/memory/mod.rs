//! A protocol on a table top: bytes in, bytes out, time by hand. Opens no socket and needs no loop of its own.
//!
//! ```
//! use tress_core::{Protocol, Result, Transport, testing::memory::Tester};
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
//!         transport.write(data);
//!         Ok(())
//!     }
//! }
//!
//! let tester = Tester::new(Echo);
//! tester.receive(b"hello");
//! assert_eq!(tester.sent(), b"hello");
//! tester.peer_closes_write();
//! assert!(tester.is_closed());
//! ```

mod driver;
mod network;

pub use driver::MemoryDriver;
pub use network::LINK_BYTES;

use crate::{
    descriptor::Descriptor,
    driver::{ListenOptions, Token},
    factory::SharedFactory,
    failure::{Failure, Result},
    protocol::Protocol,
    reactor::{Connection, Reactor},
    received::Received,
    signal::Signal,
    testing::ManualClock,
    transport::Transport,
};
use network::{Arrived, End};
use std::{
    cell::{Cell, OnceCell},
    fmt, io,
    ops::Deref,
    rc::Rc,
    time::Duration,
};

/// More turns than this without coming to rest, and a protocol talks to itself.
const MOST_TURNS: usize = 100_000;

/// A reactor in memory: its clock, its network and a way to let it come to rest.
#[derive(Clone, Debug)]
pub struct Table {
    reactor: Reactor,
    clock: ManualClock,
    driver: MemoryDriver,
}

impl Default for Table {
    fn default() -> Self {
        let clock = ManualClock::new();
        let driver = MemoryDriver::new(&clock);
        Self {
            reactor: Reactor::with(driver.clone()),
            clock,
            driver,
        }
    }
}

impl Table {
    /// An empty one, at time zero. `listen("tcp:80", …)` and `connect("tcp:192.0.2.2:80", …)` work on its reactor.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its reactor.
    #[must_use]
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// The clock, for code under test that lets time pass inside a callback.
    #[must_use]
    pub fn clock(&self) -> ManualClock {
        self.clock.clone()
    }

    /// Lets the loop turn until there is nothing to do at this time.
    ///
    /// # Panics
    /// It never comes to rest.
    pub fn settle(&self) {
        for _ in 0..MOST_TURNS {
            let turned = self.reactor.turn(Some(Duration::ZERO));
            turned.expect("a turn in memory cannot fail");
            let due = self.reactor.next_deadline() == Some(Duration::ZERO);
            if !due && !self.reactor.has_backlog() {
                return;
            }
        }
        panic!("the protocols did not come to rest in {MOST_TURNS} turns");
    }

    /// Lets time pass, from one deadline to the next, so that every timed call runs at its own time.
    pub fn advance(&self, by: Duration) {
        let mut left = by;
        self.settle();
        while !left.is_zero() {
            let next = self.reactor.next_deadline().unwrap_or(left);
            let step = next.min(left);
            self.clock.advance(step);
            left -= step;
            self.settle();
        }
    }

    /// Raises a signal: its handlers run in the next turn. False when there is none.
    pub fn raise(&self, signal: Signal) -> bool {
        self.driver.raise(signal)
    }

    /// Connects a peer that is none of ours to a protocol that listens.
    fn seat<P: Protocol>(&self, protocol: P) -> Side<P> {
        let (side, token) = self.listen(protocol);
        let arrived = self
            .driver
            .arrive(&driver::server_address(), driver::client_address());
        token.set(arrived);
        self.settle();
        side
    }

    /// Lets a protocol listen for its one connection.
    fn listen<P: Protocol>(&self, protocol: P) -> (Side<P>, Rc<Cell<Option<Token>>>) {
        let (seat, side) = Side::new(self, protocol);
        let mut seat = Some(seat);
        let factory = SharedFactory::new(move |_: &crate::address::Address| seat.take());
        let address = driver::server_address();
        let listening = self
            .reactor
            .listen_at(&address, &ListenOptions::default(), &factory);
        listening.expect("nobody else listens on this table");
        let token = Rc::clone(&side.token);
        (side, token)
    }
}

/// One of our ends of a connection in memory.
pub struct Side<P> {
    table: Table,
    transport: Rc<OnceCell<Transport>>,
    token: Rc<Cell<Option<Token>>>,
    protocol: std::marker::PhantomData<fn(P)>,
}

impl<P: Protocol> Side<P> {
    fn new(table: &Table, protocol: P) -> (Seat<P>, Self) {
        let transport = Rc::new(OnceCell::new());
        let seat = Seat {
            protocol,
            transport: Rc::clone(&transport),
        };
        let side = Self {
            table: table.clone(),
            transport,
            token: Rc::default(),
            protocol: std::marker::PhantomData,
        };
        (seat, side)
    }

    /// The connection's transport.
    ///
    /// # Panics
    /// The connection was never made.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        self.transport.get().expect("the connection was made")
    }

    /// Calls `function` with the living protocol and lets the loop come to rest.
    ///
    /// # Panics
    /// The connection has ended.
    pub fn with<R: 'static>(&self, function: impl FnOnce(&mut P, &Transport) -> R + 'static) -> R {
        let result = Rc::new(Cell::new(None));
        let to = Rc::clone(&result);
        let connection = Connection::<Seat<P>>::new(self.transport().clone());
        let call = move |seat: &mut Seat<P>, transport: &Transport| {
            to.set(Some(function(&mut seat.protocol, transport)));
        };
        connection.call(call).add_errback(|_| Ok(())).detach();
        self.table.settle();
        result.take().expect("the connection is alive")
    }

    /// Whether we have closed or aborted the connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.end(), Some(End::Closed | End::Aborted))
    }

    /// Whether we have aborted it: because a protocol asked for that, failed or was too late.
    #[must_use]
    pub fn was_aborted(&self) -> bool {
        self.end() == Some(End::Aborted)
    }

    /// Whether the connection is there no more, whoever ended it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end().is_some()
    }

    fn end(&self) -> Option<End> {
        self.table.driver.with(self.token(), |conn| conn.end)
    }

    fn token(&self) -> Token {
        match self.token.get() {
            Some(token) => token,
            None => self.transport().0.token,
        }
    }
}

impl<P> Deref for Side<P> {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

/// A protocol that is alone with a peer whom a test plays.
pub struct Tester<P>(Side<P>);

impl<P: Protocol> Tester<P> {
    /// Connects a peer at 192.0.2.1:1 to `protocol` on a reactor of its own; `connection_made` has run after this.
    #[must_use]
    pub fn new(protocol: P) -> Self {
        Self::on(&Table::new(), protocol)
    }

    /// The same on a table whose limits or endpoint kinds have been changed. One tester to a table.
    #[must_use]
    pub fn on(table: &Table, protocol: P) -> Self {
        Self(table.seat(protocol))
    }

    /// The peer sends this, which arrives as a whole; then the loop comes to rest. What arrives while reading is
    /// paused waits.
    pub fn receive(&self, data: &[u8]) {
        if !data.is_empty() {
            self.push(Arrived::Data(data.to_vec()));
        }
    }

    /// The peer sends this, which arrives in pieces of `every` bytes, one a turn.
    pub fn receive_cut(&self, data: &[u8], every: usize) {
        for piece in data.chunks(every.max(1)) {
            self.receive(piece);
        }
    }

    /// Takes what the protocol has sent so far and the peer could read.
    #[must_use]
    pub fn sent(&self) -> Vec<u8> {
        let token = self.token();
        self.table
            .driver
            .with(token, |c| std::mem::take(&mut c.sent))
    }

    /// Whether the protocol has told the peer that it sends no more.
    #[must_use]
    pub fn write_is_closed(&self) -> bool {
        self.table.driver.with(self.token(), |c| c.write_closed)
    }

    /// The peer sends no more, and still reads.
    pub fn peer_closes_write(&self) {
        self.push(Arrived::WriteClosed);
    }

    /// The peer resets the connection.
    pub fn peer_resets(&self) {
        self.push(Arrived::Broken(io::ErrorKind::ConnectionReset));
    }

    /// The peer reads nothing more: what is written queues up.
    pub fn peer_stops_reading(&self) {
        self.peer_takes(0);
    }

    /// The peer reads this many bytes and then no more.
    pub fn peer_takes(&self, bytes: usize) {
        let token = self.token();
        self.table.driver.with(token, |conn| conn.window = bytes);
        self.settle();
    }

    /// The peer reads everything again.
    pub fn peer_reads_on(&self) {
        self.peer_takes(usize::MAX);
    }

    fn push(&self, arrived: Arrived) {
        self.table.driver.push(self.token(), arrived);
        self.settle();
    }
}

impl<P> Deref for Tester<P> {
    type Target = Side<P>;

    fn deref(&self) -> &Side<P> {
        &self.0
    }
}

/// Two protocols that are connected with each other.
#[derive(Debug)]
pub struct Pair<S, C> {
    /// The end that was connected to.
    pub server: Side<S>,
    /// The end that connected.
    pub client: Side<C>,
}

/// Joins two protocols on one table; both have had their `connection_made`, and what they said has arrived.
/// At most [`LINK_BYTES`] are under way in each direction.
pub fn linked_pair<S: Protocol, C: Protocol>(server: S, client: C) -> Pair<S, C> {
    let table = Table::new();
    let (server, _) = table.listen(server);
    let (seat, client) = Side::new(&table, client);
    let connecting = table.reactor.connect_protocol("tcp:192.0.2.2:80", seat);
    connecting.map(|_| ()).detach();
    table.settle();
    Pair { server, client }
}

impl<S, C> Deref for Pair<S, C> {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.server.table
    }
}

/// Remembers the transport of the protocol in it, and does nothing else.
struct Seat<P> {
    protocol: P,
    transport: Rc<OnceCell<Transport>>,
}

impl<P: Protocol> Protocol for Seat<P> {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.transport.set(transport.clone()).ok();
        self.protocol.connection_made(transport)
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.protocol.data_received(transport, data)
    }
    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        self.protocol.buffer_received(transport, received)
    }
    fn file_descriptor_received(&mut self, transport: &Transport, file: Descriptor) -> Result {
        self.protocol.file_descriptor_received(transport, file)
    }
    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.protocol.read_closed(transport)
    }
    fn write_paused(&mut self, transport: &Transport) -> Result {
        self.protocol.write_paused(transport)
    }
    fn write_resumed(&mut self, transport: &Transport) -> Result {
        self.protocol.write_resumed(transport)
    }
    fn reading_resumed(&mut self, transport: &Transport) -> Result {
        self.protocol.reading_resumed(transport)
    }
    fn layer_pushed(&mut self, transport: &Transport) -> Result {
        self.protocol.layer_pushed(transport)
    }
    fn inner_requests(&mut self, transport: &Transport) -> Result {
        self.protocol.inner_requests(transport)
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.protocol.connection_lost(reason);
    }
    fn name(&self) -> &'static str {
        self.protocol.name()
    }
}

impl<P> fmt::Debug for Side<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Side").field(&self.transport.get()).finish()
    }
}

impl<P> fmt::Debug for Tester<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tester").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests;
