//! What the loop needs of an operating system, a simulator or a test: the trait `Driver` and its reports.
//!
//! A driver is pulled and never pushes: it never calls the core, so no borrow of it is alive while user code runs.
//! It makes the tokens. It knows nothing of protocols.

use crate::{address::Address, outgoing::Outgoing, received::Spares, time::Time};
use std::{
    fmt, io,
    rc::Rc,
    task::Waker,
    time::{Duration, SystemTime},
};

/// Names a socket of a driver: a slot and how often the slot was given out, so that a late report reaches nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// Index into the driver's table, and into the core's.
    pub slot: u32,
    /// How often the slot has been given out.
    pub generation: u32,
}

/// Where a driver puts received bytes for one callback. The core keeps one and passes it to every
/// [`Driver::next`], which may fill, exchange or take back its buffer: so nothing moves on the way. A protocol may
/// take the buffer and leave another ([`Received::take`](crate::received::Received::take)).
#[derive(Default)]
pub struct Lease {
    /// The driver's buffer; empty until the driver puts one in.
    pub buffer: Box<[u8]>,
    /// How many bytes of it were received.
    pub length: usize,
    /// For which connection, after [`Driver::next_data`].
    pub conn: Token,
    /// The driver's own mark, such as the number of the buffer in a ring.
    pub mark: u32,
    /// Whether the driver goes on with this buffer: then whoever takes it leaves one of the same length in its place.
    pub reused: bool,
    /// What is left there; made when it is needed first.
    pub(crate) spares: Option<Rc<Spares>>,
}

impl Lease {
    /// What was received.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} bytes)", self.length)
    }
}

/// What happened below.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report {
    /// A peer connected to a port. Nothing is read from it before `start_reading`.
    Accepted {
        /// The port.
        port: Token,
        /// The new connection.
        conn: Token,
        /// The peer.
        peer: Address,
    },
    /// A port could not accept; it goes on trying by itself.
    AcceptFailed {
        /// The port.
        port: Token,
        /// Why.
        error: io::Error,
    },
    /// A connection asked for with `connect` is there. Nothing is read from it before `start_reading`.
    Connected {
        /// The connection.
        conn: Token,
    },
    /// Bytes arrived, at least one: they are in the lease.
    Data {
        /// The connection.
        conn: Token,
    },
    /// The peer sends no more. Comes once, after the last `Data`.
    ReadClosed {
        /// The connection.
        conn: Token,
    },
    /// Bytes that `send` had taken have left, or there is room again for more.
    Sent {
        /// The connection.
        conn: Token,
        /// How many taken bytes have left; zero where `send` takes none.
        bytes: usize,
        /// The emptied buffer, for the core's pool.
        emptied: Option<Vec<u8>>,
    },
    /// The connection or the attempt has ended. The last report for this token, which is dead.
    Closed {
        /// The connection.
        token: Token,
        /// Why.
        error: io::Error,
    },
}

/// How to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections the operating system may queue before they are accepted.
    pub backlog: u32,
    /// For the file of a UNIX socket.
    pub unix: UnixOptions,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            unix: UnixOptions::default(),
        }
    }
}

/// The file of a UNIX socket that listens. Defaults are Twisted's (`internet/endpoints.py`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixOptions {
    /// The file's mode, whatever the umask is: who may write to it may connect. `0o666` by default.
    pub mode: u32,
    /// Holds the lock file, which is the path with `.lock` behind it, while it listens. On by default.
    pub lock_file: bool,
}

impl Default for UnixOptions {
    fn default() -> Self {
        Self {
            mode: 0o666,
            lock_file: true,
        }
    }
}

/// How to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The local address to connect from.
    pub bind: Option<Address>,
    /// To a UNIX socket: only when a living process holds its lock file.
    pub unix_lock_file: bool,
}

/// An option of a living connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// Small writes leave at once (`TCP_NODELAY`, on by default).
    NoDelay(bool),
    /// The operating system probes an idle peer (`SO_KEEPALIVE`).
    KeepAlive(bool),
}

/// Measures how long a callback held the loop, cheaply: read once an event.
pub trait Stopwatch {
    /// A count that only grows.
    fn ticks(&self) -> u64;

    /// How long a difference of two counts is.
    fn duration(&self, ticks: u64) -> Duration;

    /// The fewest ticks that `duration` can be: a cheap first test before [`Stopwatch::duration`] is asked.
    fn at_least(&self, duration: Duration) -> u64;
}

/// A source of events and a sink of bytes. All methods but `wait` return at once.
pub trait Driver: 'static {
    /// The driver's clock, which never goes back.
    fn now(&self) -> Time;

    /// The calendar's time.
    fn wall(&self) -> SystemTime;

    /// Random bits; the same for the same seed in a simulation.
    fn entropy(&mut self) -> u64;

    /// Ends a `wait` early, from any thread.
    fn waker(&self) -> Waker;

    /// What the stall detector reads.
    fn stopwatch(&self) -> Box<dyn Stopwatch>;

    /// A descriptor that becomes readable when `wait` would return, for a foreign loop.
    fn poll_fd(&self) -> Option<i32> {
        None
    }

    /// Whether a `wait` would return at once although nothing new arrives.
    fn backlog(&self) -> bool {
        false
    }

    /// Reads at most this much from one connection before the others have their turn.
    fn set_bytes_per_turn(&mut self, bytes: usize);

    /// Waits for events, at most for `timeout`; a zero timeout polls. Does not wait while there is a backlog.
    ///
    /// # Errors
    /// What makes the driver useless; an interrupted wait is none.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// The next event of the last `wait`. The lease holds what the last `Data` put there, which has been dealt with,
    /// and takes what the next one brings. Never blocks.
    fn next(&mut self, lease: &mut Lease) -> Option<Report>;

    /// Whether the next event is plain data for a connection, as most are: then both are in the lease. Otherwise
    /// nothing changes, and [`Driver::next`] tells. A driver for which this is shorter has its own: every message comes
    /// through here.
    #[inline]
    fn next_data(&mut self, lease: &mut Lease) -> bool {
        let _ = lease;
        false
    }

    /// Listens for connections.
    ///
    /// # Errors
    /// The address is of no use, taken, or needs a right.
    fn listen(&mut self, at: &Address, options: &ListenOptions) -> io::Result<(Token, Address)>;

    /// Starts to connect; `Connected` or `Closed` follows.
    ///
    /// # Errors
    /// The attempt cannot even start.
    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token>;

    /// Lets `Data` come. On a port: lets `Accepted` come, as after `listen`.
    fn start_reading(&mut self, token: Token);

    /// No `Data` (on a port: no `Accepted`) comes after this; what is in flight is kept.
    fn stop_reading(&mut self, token: Token);

    /// Sends what it can of `out` and takes that from it; a `Sent` follows unless all of it has left.
    ///
    /// # Errors
    /// The connection is broken. The token stays alive until `close`.
    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()>;

    /// The first try to send what one callback wrote: what one call takes, and `send` sees to the rest. A driver for
    /// which that is shorter has its own: every message goes through here.
    ///
    /// # Errors
    /// As `send`.
    #[inline]
    fn try_send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        self.send(token, out)
    }

    /// Tells the peer that no more bytes follow.
    fn shutdown_write(&mut self, token: Token);

    /// Closes a port or a connection; the token is dead at once. `abort` resets the connection.
    fn close(&mut self, token: Token, abort: bool);

    /// Our own end's address.
    fn local_address(&self, token: Token) -> Address;

    /// Changes a living connection.
    ///
    /// # Errors
    /// The driver or the socket has no such option.
    fn set_option(&mut self, token: Token, option: SocketOption) -> io::Result<()>;
}
