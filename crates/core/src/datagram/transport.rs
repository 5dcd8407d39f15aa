//! `DatagramTransport`: the handle through which a datagram protocol, and anybody else, asks something of a port. A
//! mailbox like `Transport`: what is written is queued, and the loop sends it after the running callback.

use super::{DatagramError, DatagramProtocol, DatagramQueue};
use crate::{
    address::{Address, UnixName},
    deferred::{Deferred, Resolver},
    driver::{Driver, Interface, SocketOption, Token},
    error::ReactorGone,
    failure::{Failure, Result},
    limits::Limits,
    reactor::{Core, Reactor},
};
use std::{
    cell::{Cell, RefCell},
    fmt, io,
    net::{IpAddr, SocketAddr},
    rc::{Rc, Weak},
};

/// The longest data of a UDP datagram over IPv4 and over IPv6, bytes.
const IPV4_BYTES_MAX: usize = 65_507;
const IPV6_BYTES_MAX: usize = 65_527;

/// A handle on one datagram port: eight bytes, cheap to clone, good to keep. Dropping it changes nothing: the port is
/// open until it is stopped.
#[derive(Clone)]
pub struct DatagramTransport(pub(crate) Rc<Link>);

/// One port.
pub(crate) struct Link {
    pub(crate) core: Weak<Core>,
    pub(crate) token: Token,
    pub(crate) limits: Rc<Limits>,
    pub(crate) name: &'static str,
    local: Address,
    pub(crate) peer: RefCell<Option<Address>>,
    pub(crate) state: Cell<State>,
    /// Borrowed while it runs, which is what keeps it from being re-entered. `None` after the end.
    pub(crate) protocol: RefCell<Option<Box<dyn DatagramProtocol>>>,
    pub(crate) queue: RefCell<DatagramQueue>,
    /// The driver takes no more for now, and will say when it does.
    pub(crate) is_blocked: Cell<bool>,
    /// `connection_refused` is to come.
    pub(crate) is_refused: Cell<bool>,
    /// It stands in the list of those that the loop looks at.
    pub(crate) is_listed: Cell<bool>,
    /// Who waits for the end.
    pub(crate) waiting: RefCell<Vec<Resolver<()>>>,
    pub(crate) counts: Cell<DatagramStatistics>,
}

/// Where a port is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// `stop_listening` was called: nothing more is delivered or queued.
    Stopping,
    Stopped,
}

/// What a port has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramStatistics {
    /// Datagrams that were delivered.
    pub received: u64,
    /// Datagrams that came and were dropped: longer than the limit `datagram`, or not from the peer of a connected
    /// port.
    pub receive_dropped: u64,
    /// Datagrams that have left for the operating system.
    pub sent: u64,
    /// Datagrams that were to be sent and were dropped: the queue was full, or the system refused them.
    pub send_dropped: u64,
    /// Callbacks that failed or panicked.
    pub failures: u64,
    /// Bytes that wait to leave, with 64 for each datagram.
    pub queued: usize,
}

impl DatagramTransport {
    /// Sends `data` to the peer that the port is connected to, as one datagram. It may be lost on its way, as any.
    ///
    /// # Errors
    /// It was not queued, and why.
    pub fn write(&self, data: &[u8]) -> Result<(), DatagramError> {
        let bytes = match &*self.0.peer.borrow() {
            Some(peer) => self.0.longest(peer),
            None => return Err(DatagramError::NotConnected),
        };
        self.queue(None, data, bytes)
    }

    /// Sends `data` to `to`, as one datagram. On a connected port that must be its peer.
    ///
    /// # Errors
    /// It was not queued, and why.
    pub fn write_to(&self, data: &[u8], to: &Address) -> Result<(), DatagramError> {
        match &*self.0.peer.borrow() {
            None => {}
            Some(peer) if is_same(peer, to) => {
                return self.queue(None, data, self.0.longest(peer));
            }
            Some(peer) => return Err(DatagramError::OtherPeer(peer.clone())),
        }
        if !self.0.reaches(to) {
            return Err(DatagramError::Unreachable(to.clone()));
        }
        self.queue(Some(to), data, self.0.longest(to))
    }

    /// From now on the port sends to `to` and hears only from there. Once: a connected port stays connected.
    ///
    /// # Errors
    /// It is connected or closed, or nothing like this port reaches that address.
    pub fn connect(&self, to: &Address) -> Result {
        if let Some(peer) = &*self.0.peer.borrow() {
            return Err(DatagramError::OtherPeer(peer.clone()).into());
        }
        if !self.0.reaches(to) {
            return Err(DatagramError::Unreachable(to.clone()).into());
        }
        let peer = self.with_driver(|driver, token| driver.connect_datagrams(token, to))?;
        self.0.peer.replace(Some(peer));
        Ok(())
    }

    /// Closes the port, after the running callback and after what was written has been handed to the system, as far as
    /// that has room at once. Fires after `stop_protocol`. Twisted's `stopListening`.
    #[track_caller]
    pub fn stop_listening(&self) -> Deferred<()> {
        if self.0.state.get() == State::Stopped {
            return Deferred::succeed(());
        }
        self.0.state.set(State::Stopping);
        let (resolver, stopped) = Deferred::pair();
        self.0.waiting.borrow_mut().push(resolver);
        self.ask();
        stopped
    }

    /// Whether nobody has stopped it.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.0.state.get() == State::Open
    }

    /// Where the port is, with the port number that the system chose where 0 was asked for.
    #[must_use]
    pub fn local_address(&self) -> Address {
        let now = self.with_driver(|driver, token| Ok(driver.local_address(token)));
        match now {
            Ok(address) if address != Address::Unknown => address,
            Ok(_) | Err(_) => self.0.local.clone(),
        }
    }

    /// Whom the port is connected to.
    #[must_use]
    pub fn peer(&self) -> Option<Address> {
        self.0.peer.borrow().clone()
    }

    /// Whether it may send to broadcast addresses; no at first.
    ///
    /// # Errors
    /// The port is no UDP port, or closed.
    pub fn set_broadcast(&self, yes: bool) -> Result {
        self.set_option(SocketOption::Broadcast(yes))
    }

    /// Hears what is sent to a multicast group from now on, through this interface; only of groups joined here. It is
    /// left when the port is closed.
    ///
    /// # Errors
    /// The group is none, is joined already, is of another family than the port, or the interface has no multicast.
    pub fn join_group(&self, group: IpAddr, interface: Interface) -> Result {
        self.set_option(SocketOption::JoinGroup(group, interface))
            .map_err(|failure| failure.context(format!("joining the group {group}")))
    }

    /// Hears no more of a group.
    ///
    /// # Errors
    /// It was not joined through this interface.
    pub fn leave_group(&self, group: IpAddr, interface: Interface) -> Result {
        self.set_option(SocketOption::LeaveGroup(group, interface))
            .map_err(|failure| failure.context(format!("leaving the group {group}")))
    }

    /// How many routers what is sent to a group may pass, that is one less than this: 1 at first, for this network
    /// only. 0 keeps it on this machine.
    ///
    /// # Errors
    /// The port is no UDP port, or closed.
    pub fn set_multicast_ttl(&self, ttl: u8) -> Result {
        self.set_option(SocketOption::MulticastTtl(ttl))
    }

    /// Whether what is sent to a group also goes to the members on this machine; yes at first.
    ///
    /// # Errors
    /// The port is no UDP port, or closed.
    pub fn set_multicast_loopback(&self, yes: bool) -> Result {
        self.set_option(SocketOption::MulticastLoopback(yes))
    }

    /// Through which interface is sent to groups.
    ///
    /// # Errors
    /// There is no such interface, or the port is no UDP port, or closed.
    pub fn set_multicast_interface(&self, interface: Interface) -> Result {
        self.set_option(SocketOption::MulticastInterface(interface))
    }

    /// The reactor it runs on.
    ///
    /// # Errors
    /// The reactor has been dropped.
    pub fn reactor(&self) -> Result<Reactor> {
        Ok(Reactor(self.0.core.upgrade().ok_or(ReactorGone)?))
    }

    /// What it has done so far.
    #[must_use]
    pub fn statistics(&self) -> DatagramStatistics {
        let queued = self.0.queue.try_borrow().map_or(0, |queue| queue.pending());
        DatagramStatistics {
            queued,
            ..self.0.counts.get()
        }
    }

    fn queue(
        &self,
        to: Option<&Address>,
        data: &[u8],
        longest: usize,
    ) -> Result<(), DatagramError> {
        if self.0.state.get() != State::Open {
            return Err(DatagramError::Stopped);
        }
        if data.len() > longest {
            return Err(DatagramError::TooLong {
                bytes: data.len(),
                limit: longest,
            });
        }
        let mut queue = self.0.queue.borrow_mut();
        let limit = self.0.limits.datagram_output;
        if queue.pending_with(data.len()) > limit {
            drop(queue);
            self.0.count(|counts| counts.send_dropped += 1);
            if let Some(core) = self.0.core.upgrade() {
                core.count_dropped(1);
            }
            return Err(DatagramError::QueueFull { limit });
        }
        queue.push(to, data);
        drop(queue);
        self.ask();
        Ok(())
    }

    /// Makes sure that the loop looks at the port. Whoever runs its callback does so anyway.
    fn ask(&self) {
        if !self.0.is_listed.get()
            && self.0.protocol.try_borrow_mut().is_ok()
            && let Some(core) = self.0.core.upgrade()
        {
            core.list_datagrams(&self.0);
        }
    }

    fn set_option(&self, option: SocketOption) -> Result {
        self.with_driver(|driver, token| driver.set_option(token, option))
    }

    fn with_driver<R>(&self, f: impl FnOnce(&mut dyn Driver, Token) -> io::Result<R>) -> Result<R> {
        if self.0.state.get() == State::Stopped {
            return Err(DatagramError::Stopped.into());
        }
        let core = self.0.core.upgrade().ok_or(ReactorGone)?;
        let mut driver = core.driver.borrow_mut();
        f(&mut **driver, self.0.token).map_err(Failure::from)
    }
}

impl Link {
    pub(crate) fn new(
        core: Weak<Core>,
        (token, local): (Token, Address),
        limits: Rc<Limits>,
        protocol: Box<dyn DatagramProtocol>,
    ) -> Self {
        Self {
            core,
            token,
            limits,
            name: (*protocol).name(),
            local,
            peer: RefCell::default(),
            state: Cell::new(State::Open),
            protocol: RefCell::new(Some(protocol)),
            queue: RefCell::default(),
            is_blocked: Cell::new(false),
            is_refused: Cell::new(false),
            is_listed: Cell::new(false),
            waiting: RefCell::default(),
            counts: Cell::default(),
        }
    }

    pub(crate) fn count(&self, f: impl FnOnce(&mut DatagramStatistics)) {
        let mut counts = self.counts.get();
        f(&mut counts);
        self.counts.set(counts);
    }

    /// Whether the port is one of the machine's network, and not of its files.
    pub(crate) fn is_ip(&self) -> bool {
        matches!(self.local, Address::Ip(_))
    }

    /// Whether this is whom a datagram of this port may come from.
    pub(crate) fn hears(&self, from: &Address) -> bool {
        let peer = self.peer.borrow();
        peer.as_ref().is_none_or(|peer| is_same(peer, from))
    }

    fn reaches(&self, to: &Address) -> bool {
        match (&self.local, to) {
            (Address::Ip(own), Address::Ip(to)) => own.is_ipv4() == to.is_ipv4(),
            (Address::Unix(_), Address::Unix(to)) => *to != UnixName::Unnamed,
            _ => false,
        }
    }

    /// The longest datagram to that address, bytes.
    fn longest(&self, to: &Address) -> usize {
        let most = match to {
            Address::Ip(SocketAddr::V4(_)) => IPV4_BYTES_MAX,
            Address::Ip(SocketAddr::V6(_)) => IPV6_BYTES_MAX,
            Address::Unix(_) | Address::Name(_) | Address::Unknown => usize::MAX,
        };
        most.min(self.limits.datagram)
    }
}

/// Whether two addresses are one place. The scope and the flow of an IPv6 address are no part of that.
fn is_same(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Ip(one), Address::Ip(other)) => {
            one.ip() == other.ip() && one.port() == other.port()
        }
        _ => one == other,
    }
}

impl fmt::Debug for DatagramTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatagramTransport({})", self.0.local)
    }
}
