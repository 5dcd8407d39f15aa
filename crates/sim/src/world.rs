//! `World`: one virtual network, one clock, one seed, and the crank that turns reactors in it. Knows no segment.

use crate::{children, driver::SimDriver, network::Network};
use std::{cell::RefCell, fmt, io, net::IpAddr, rc::Rc, time::Duration};
use tress_core::{
    Reactor, Time,
    driver::{Report, Token},
};

/// Turns at one time, or jumps of the clock at which nothing is reported, after which this is taken to go on for ever.
const MOST_QUIET: usize = 100_000;
/// Jumps of the clock in one [`World::run_until_idle`], reports or not.
const MOST_JUMPS: usize = 10_000_000;

/// A virtual network with its clock; clones are the same one. It belongs to one thread.
#[derive(Clone)]
pub struct World(pub(crate) Rc<RefCell<Network>>);

/// How the links of a world behave. The same for all of them, those within one host included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// How long a segment travels.
    pub latency: Duration,
    /// At most this much more or less, as the seed decides. Order within a connection is kept all the same.
    pub jitter: Duration,
    /// Bytes that one direction of a connection holds, in flight and unread, before its sender must wait. Counts for
    /// connections made from now on.
    pub window: usize,
    /// The largest segment, bytes; the seed decides how large each is.
    pub segment: usize,
    /// The longest that a job takes; the seed decides how long each does. Counts for jobs that begin from now on.
    pub job: Duration,
    /// Bytes a second that each direction of a connection carries; 0 for any number.
    pub bandwidth: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::from_micros(500),
            window: 65_536,
            segment: 1460,
            job: Duration::from_millis(10),
            bandwidth: 0,
        }
    }
}

/// What has happened in a world so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Segments that have arrived, those that carry no bytes included.
    pub segments: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Attempts to connect that found nobody listening.
    pub refused: u64,
    /// Resets that reached a living connection.
    pub resets: u64,
    /// Datagrams that arrived at a port, once for each.
    pub datagrams: u64,
    /// Datagrams that found nobody, or a port whose buffer was full.
    pub datagrams_lost: u64,
    /// Reports that drivers made.
    pub reports: u64,
    hash: u64,
}

impl World {
    /// An empty network at time zero. The same seed and the same program give the same events at the same times.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Network::new(seed))))
    }

    /// A driver for one reactor on the host with this IP address, which is made if it is new. Several drivers on one
    /// host are like several processes: they share its ports and its descriptors.
    ///
    /// # Panics
    /// `address` is no IP address, or not one that a host can have.
    #[must_use]
    #[track_caller]
    pub fn host(&self, address: &str) -> SimDriver {
        let ip = host_address(address);
        let host = self.0.borrow_mut().host_at(ip);
        SimDriver::new(&self.0, host)
    }

    /// Gives the host at `address` one more address.
    ///
    /// # Panics
    /// There is no such host, or `another` is taken.
    #[track_caller]
    pub fn add_address(&self, address: &str, another: &str) {
        let ip = host_address(another);
        let mut network = self.0.borrow_mut();
        let host = find(&network, address);
        assert!(
            network.host_of(ip).is_none(),
            "a host has the address {ip} already"
        );
        network.host_mut(host).add_address(ip);
    }

    /// Lets the drivers of a host have at most this many sockets open at once. Beyond it `listen` and `connect` fail
    /// with EMFILE, and a port reports that it cannot accept, once, and accepts again as soon as one is closed.
    ///
    /// # Panics
    /// There is no such host.
    #[track_caller]
    pub fn set_descriptor_limit(&self, address: &str, limit: Option<usize>) {
        let mut network = self.0.borrow_mut();
        let host = find(&network, address);
        network.set_descriptor_limit(host, limit);
    }

    /// How the links behave.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.0.borrow().policy
    }

    /// Changes how the links behave from now on.
    pub fn set_policy(&self, policy: Policy) {
        self.0.borrow_mut().policy = policy;
    }

    /// The clock that all reactors of this world share.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.borrow().now()
    }

    /// Lets time pass. What falls due happens when reactors are turned the next time.
    pub fn advance(&self, by: Duration) {
        self.0.borrow().clock.advance(by);
        children::deliver(&self.0);
    }

    /// Turns the reactors until they have nothing left to do at this time.
    ///
    /// # Errors
    /// They never come to rest, or one can go on no more.
    pub fn settle(&self, reactors: &[&Reactor]) -> io::Result<()> {
        for _ in 0..MOST_QUIET {
            for reactor in reactors {
                reactor.turn(Some(Duration::ZERO))?;
            }
            if self.is_at_rest(reactors) {
                return Ok(());
            }
        }
        Err(io::Error::other(
            "the reactors do not come to rest: something happens again and again at one time",
        ))
    }

    /// Settles, lets the clock jump to the next thing that happens (an arrival, or a deadline of a reactor), and
    /// settles again. False when nothing will happen.
    ///
    /// # Errors
    /// As [`World::settle`].
    pub fn step(&self, reactors: &[&Reactor]) -> io::Result<bool> {
        self.settle(reactors)?;
        let Some(next) = self.next_event(reactors) else {
            return Ok(false);
        };
        self.wait_until(next, reactors)?;
        self.settle(reactors)?;
        Ok(true)
    }

    /// Steps until nothing is in flight and no timed call waits. Deadlines of quiet connections do not count, or every
    /// connection would end by its idle deadline: use [`World::run_for`] to see those.
    ///
    /// # Errors
    /// As [`World::settle`]; or there was no end to it, for instance because a timed call repeats for ever.
    pub fn run_until_idle(&self, reactors: &[&Reactor]) -> io::Result<()> {
        self.settle(reactors)?;
        let mut quiet = 0;
        for _ in 0..MOST_JUMPS {
            if self.is_idle(reactors) {
                return Ok(());
            }
            let Some(next) = self.next_event(reactors) else {
                return Ok(());
            };
            let before = self.statistics().reports;
            self.wait_until(next, reactors)?;
            self.settle(reactors)?;
            let reported = self.statistics().reports > before;
            quiet = if reported { 0 } else { quiet + 1 };
            if quiet > MOST_QUIET {
                break;
            }
        }
        Err(io::Error::other(
            "the world does not become idle: does a timed call repeat for ever?",
        ))
    }

    /// Steps until this much time has passed.
    ///
    /// # Errors
    /// As [`World::settle`].
    pub fn run_for(&self, time: Duration, reactors: &[&Reactor]) -> io::Result<()> {
        let end = self.now() + time;
        self.settle(reactors)?;
        while let Some(next) = self.next_event(reactors)
            && next <= end
        {
            self.wait_until(next, reactors)?;
            self.settle(reactors)?;
        }
        self.wait_until(end, reactors)?;
        self.settle(reactors)
    }

    /// What has happened so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.borrow().statistics
    }

    /// A hash over every report that any driver made, and everything that a child's program was told: when, which driver
    /// or child, its kind, token and number of bytes, but not the bytes. Equal traces have equal hashes.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.0.borrow().statistics.hash
    }

    /// The reactors wait, and it is this time when the clock stops. A wait that ends before, for nothing, is a turn.
    fn wait_until(&self, time: Time, reactors: &[&Reactor]) -> io::Result<()> {
        for reactor in reactors {
            let woken = self.0.borrow_mut().woken_before(time);
            if let Some(woken) = woken {
                self.0.borrow().clock.advance_to(woken);
                reactor.turn(Some(Duration::ZERO))?;
            }
        }
        self.advance_to(time);
        Ok(())
    }

    fn advance_to(&self, time: Time) {
        self.0.borrow().clock.advance_to(time);
        children::deliver(&self.0);
    }

    /// When the next thing happens.
    fn next_event(&self, reactors: &[&Reactor]) -> Option<Time> {
        let (now, arrival) = {
            let network = self.0.borrow();
            (network.now(), network.next_arrival())
        };
        let deadlines = reactors.iter().filter_map(|r| r.next_deadline());
        deadlines
            .map(|after| now + after)
            .chain(arrival)
            .min()
            .filter(|next| *next != Time::NEVER)
    }

    fn is_at_rest(&self, reactors: &[&Reactor]) -> bool {
        let network = self.0.borrow();
        let arrived = network
            .next_arrival()
            .is_some_and(|next| next <= network.now());
        drop(network);
        let mut reactors = reactors.iter();
        !arrived && reactors.all(|r| !r.has_backlog() && r.next_deadline() != Some(Duration::ZERO))
    }

    fn is_idle(&self, reactors: &[&Reactor]) -> bool {
        if self.0.borrow().next_arrival().is_some() {
            return false;
        }
        let mut statistics = reactors.iter().map(|r| (r, r.statistics()));
        statistics.all(|(r, s)| s.timers == 0 && (s.connections > 0 || r.next_deadline().is_none()))
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(at {:?})", self.now())
    }
}

impl Statistics {
    /// A driver makes this report, for which it read so many bytes.
    pub(crate) fn record(&mut self, now: Time, process: usize, report: &Report, read: usize) {
        let none = Token {
            slot: 0,
            generation: 0,
        };
        let (kind, token, bytes) = match report {
            Report::Accepted { conn, .. } => (1, *conn, 0),
            Report::AcceptFailed { port, .. } => (2, *port, 0),
            Report::Connected { conn } => (3, *conn, 0),
            Report::Data { conn } => (4, *conn, read),
            Report::ReadClosed { conn } => (5, *conn, 0),
            Report::Sent { conn, bytes, .. } => (6, *conn, *bytes),
            Report::Closed { token, .. } => (7, *token, 0),
            Report::Datagrams { port } => (8, *port, read),
            Report::DatagramError { port, .. } => (9, *port, 0),
            Report::DatagramRoom { port } => (10, *port, 0),
            Report::RunJob { .. } => (12, none, 0),
            Report::ChildExited { child, .. } => (11, *child, 0),
            _ => (0, none, 0),
        };
        self.reports += 1;
        let token = u64::from(token.slot) << 32 | u64::from(token.generation);
        for value in [now.0, process as u64, kind, token, bytes as u64] {
            self.fold(value);
        }
    }

    /// A child's program is told something.
    pub(crate) fn record_program(&mut self, now: Time, child: u32, (kind, bytes): (u64, usize)) {
        for value in [now.0, u64::from(child), 32 + kind, bytes as u64] {
            self.fold(value);
        }
    }

    /// FNV-1a.
    fn fold(&mut self, value: u64) {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        if self.hash == 0 {
            self.hash = BASIS;
        }
        for byte in value.to_le_bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }
}

#[track_caller]
pub(crate) fn host_address(text: &str) -> IpAddr {
    let ip: Option<IpAddr> = text.parse().ok();
    match ip.filter(|ip| !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast()) {
        Some(ip) => ip,
        None => panic!("\"{text}\" is no IP address that a host can have"),
    }
}

#[track_caller]
pub(crate) fn find(network: &Network, text: &str) -> usize {
    match network.host_of(host_address(text)) {
        Some(host) => host,
        None => panic!("no host has the address {text}"),
    }
}
