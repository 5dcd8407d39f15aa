//! What the loop needs of an operating system, a simulator or a test: the trait `Driver` and its reports.
//!
//! A driver is pulled and never pushes: it never calls the core, so no borrow of it is alive while user code runs.
//! It makes the tokens. It knows nothing of protocols.

use crate::{
    address::Address,
    datagram::{DatagramQueue, Datagrams},
    descriptor::{Descriptor, Passing},
    jobs::{Job, JobCounts, JobId, JobLimits, Refused, unsupported},
    outgoing::Outgoing,
    process::{Command, ExitStatus, SpawnError},
    reactor::SignalSender,
    received::Spares,
    signal::Signal,
    time::Time,
};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr},
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
    /// The open files that came with the bytes of a [`Report::Data`]. The core takes them out.
    pub descriptors: Vec<Descriptor>,
    /// The datagrams that a [`Report::Datagrams`] tells of.
    pub datagrams: Datagrams,
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
    /// Datagrams arrived, or some were too long: the lease tells.
    Datagrams {
        /// The port.
        port: Token,
    },
    /// Something went wrong with a datagram port, which goes on: `ConnectionRefused` when nobody has the address that it
    /// is connected to.
    DatagramError {
        /// The port.
        port: Token,
        /// What.
        error: io::Error,
    },
    /// There is room again for what `send_datagrams` left.
    DatagramRoom {
        /// The port.
        port: Token,
    },
    /// The time of a job has come on a driver that has no threads for jobs: the core runs it now.
    RunJob {
        /// The job.
        job: Job,
    },
    /// A child process has exited, and nothing is left of it but what it wrote. The last report for this token.
    ChildExited {
        /// The child.
        child: Token,
        /// How.
        status: ExitStatus,
    },
}

/// A child process that was started.
#[derive(Debug)]
pub struct Spawned {
    /// Names it; `ChildExited` follows.
    pub child: Token,
    /// Its number in the system.
    pub id: u32,
    /// Our ends of its pipes, each a connection of its own. Nothing is read from one before `start_reading`.
    pub pipes: Vec<SpawnedPipe>,
}

/// Our end of one descriptor of a child.
#[derive(Debug)]
pub struct SpawnedPipe {
    /// The number that the child knows it by; 1 for its terminal.
    pub descriptor: u32,
    /// The connection.
    pub conn: Token,
    /// Whether the child reads what is written to it.
    pub is_writable: bool,
}

/// Datagrams that a driver hands over from one port before the others have their turn, unless
/// [`Driver::set_bytes_per_turn`] ends it earlier.
pub const DATAGRAMS_PER_TURN: usize = 64;

/// How to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections the operating system may queue before they are accepted.
    pub backlog: u32,
    /// Other sockets may listen at the same IP address, if they say so too, and the system shares the peers out among them
    /// (`SO_REUSEPORT`). Workers then open a socket each instead of sharing one. Off by default.
    pub reuse_port: bool,
    /// For the file of a UNIX socket.
    pub unix: UnixOptions,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            reuse_port: false,
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

/// How to open a datagram port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindOptions {
    /// Several ports may be at one address: each gets what comes for a multicast group, and one of them the rest.
    pub reuse: bool,
    /// It may send to broadcast addresses.
    pub broadcast: bool,
    /// The mode of a UNIX socket's file, whatever the umask is: who may write to it may send. `0o666` by default.
    pub mode: u32,
    /// The longest datagram it takes, bytes. Longer ones are dropped and counted.
    pub longest: usize,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            reuse: false,
            broadcast: false,
            mode: UnixOptions::default().mode,
            longest: crate::limits::Limits::default().datagram,
        }
    }
}

/// A network interface, for multicast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// The one that the system chooses by its routes.
    #[default]
    Any,
    /// The one that has this address. For IPv4.
    Address(Ipv4Addr),
    /// The one with this number, as the system counts them (`ip link`). For IPv6, and for joining IPv4 groups.
    Index(u32),
}

/// How to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The local address to connect from.
    pub bind: Option<Address>,
    /// To a UNIX socket: only when a living process holds its lock file.
    pub unix_lock_file: bool,
}

/// Something that was opened elsewhere and that a driver takes over: inherited, received, or made by other code.
#[derive(Debug)]
#[non_exhaustive]
pub enum Opened {
    /// A stream socket that listens.
    Port(Descriptor),
    /// A stream socket that is connected.
    Stream(Descriptor),
    /// A datagram socket that has an address, and the longest datagram it shall take, bytes.
    Datagrams(Descriptor, usize),
    /// What is no socket, as one connection: pipes, terminals, files. Bytes come from the one and go to the other, which
    /// may be a copy of it. With only an output, the connection ends when nobody can read what is written any more.
    Files {
        /// Where bytes come from.
        input: Option<Descriptor>,
        /// Where bytes go to.
        output: Option<Descriptor>,
    },
}

/// An option of a living connection, or of a datagram port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// Small writes leave at once (`TCP_NODELAY`, on by default).
    NoDelay(bool),
    /// The operating system probes an idle peer (`SO_KEEPALIVE`).
    KeepAlive(bool),
    /// Open files that come over a UNIX socket are put in the lease, and not closed (off by default).
    Descriptors(bool),
    /// A datagram port may send to broadcast addresses (`SO_BROADCAST`, off by default).
    Broadcast(bool),
    /// A datagram port hears what is sent to this group; only groups that it joined itself.
    JoinGroup(IpAddr, Interface),
    /// It hears no more of it.
    LeaveGroup(IpAddr, Interface),
    /// How far what it sends to groups goes (`IP_MULTICAST_TTL`, 1 by default).
    MulticastTtl(u8),
    /// Members of a group on this machine get it too (`IP_MULTICAST_LOOP`, on by default).
    MulticastLoopback(bool),
    /// Through which interface it sends to groups.
    MulticastInterface(Interface),
    /// How large a terminal is.
    TerminalSize {
        /// Lines of text.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
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

    /// A descriptor for a foreign loop, which turns the driver: `wait` without waiting, and `next` until there is nothing
    /// more. Then, as long as there is a [`Driver::backlog`], it turns it again; and only when there is none may it wait
    /// for this descriptor, or for [`Driver::deadline`]. The descriptor becomes readable when something comes after
    /// `backlog` was asked, and no loop needs to read it: the next `wait` does what that takes. It may be readable in
    /// vain. The same descriptor each time, as long as the driver is there.
    fn poll_fd(&self) -> Option<i32> {
        None
    }

    /// Whether a `wait` would return at once although nothing new arrives. Once somebody has asked for
    /// [`Driver::poll_fd`], all of it that the descriptor does not tell of.
    fn backlog(&self) -> bool {
        false
    }

    /// When the driver itself has something to do, for a foreign loop: `wait` takes care of it otherwise.
    fn deadline(&self) -> Time {
        Time::NEVER
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

    /// Sends what there is room for now, straight from where it lies, and says how many bytes; the core keeps the rest.
    /// Only while nothing waits. A driver that cannot do better than `send` has none of it.
    ///
    /// # Errors
    /// The connection is broken. The token stays alive until `close`.
    fn send_directly(&mut self, token: Token, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let _ = (token, pieces);
        Ok(0)
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

    /// As `send`, when open files wait in `out`: each leaves with its byte, in order, and is taken from `passing`.
    ///
    /// # Errors
    /// The connection is broken, or carries no open files.
    fn send_passing(
        &mut self,
        token: Token,
        out: &mut Outgoing,
        passing: &mut Passing,
    ) -> io::Result<()> {
        let _ = (token, out, passing);
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this driver sends no open files",
        ))
    }

    /// Takes over what was opened elsewhere, and says at what address it is: a connected socket's peer, its own address
    /// otherwise. A connection is there at once; nothing is read from it before `start_reading`. Other processes that have
    /// it open see that it no longer blocks, but for pipes and terminals not after the end.
    ///
    /// # Errors
    /// It is not what it is said to be, or the driver has no such thing. It is closed then.
    fn adopt(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        drop(opened);
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this driver takes over nothing that was opened elsewhere",
        ))
    }

    /// A copy of the socket of a port, for another driver to take over: both listen at the same.
    ///
    /// # Errors
    /// There is no room for one more, or the driver's ports are not the system's.
    fn copy_port(&mut self, token: Token) -> io::Result<Descriptor> {
        let _ = token;
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this driver cannot share a port between workers",
        ))
    }

    /// Another process goes on with a port of which it has a copy: closing it here leaves the file of a UNIX socket, and its
    /// lock, to that one.
    fn leave_file(&mut self, token: Token) {
        let _ = token;
    }

    /// The file of a UNIX port that process `of` has left to this one, its mode and its lock are this port's from now on.
    ///
    /// # Errors
    /// The file is not there, or the lock is another's. The port listens all the same.
    fn take_file(&mut self, token: Token, options: &UnixOptions, of: u32) -> io::Result<()> {
        let _ = (token, options, of);
        Ok(())
    }

    /// Starts a child process.
    ///
    /// # Errors
    /// It names the program and the reason. Nothing of the child is left.
    fn spawn(&mut self, command: &Command) -> Result<Spawned, SpawnError> {
        Err(SpawnError {
            program: command.shown(),
            doing: None,
            error: io::Error::new(
                io::ErrorKind::Unsupported,
                "this driver starts no processes",
            ),
        })
    }

    /// Sends a signal to a child, and never to another process that has its number now. `close` gives a child up: with
    /// `abort` it is killed.
    ///
    /// # Errors
    /// The system has no such signal, or forbids it; or the child has exited.
    fn signal_child(&mut self, child: Token, signal: Signal) -> io::Result<()> {
        let _ = (child, signal);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Tells `sender` whenever this process gets the signal, until it is released. Once for each signal.
    ///
    /// # Errors
    /// The system has no such signal or does not let it be caught; or the driver has none, as by default.
    fn catch_signal(&mut self, signal: Signal, sender: SignalSender) -> io::Result<()> {
        drop((signal, sender));
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this driver has no signals",
        ))
    }

    /// A signal that was caught does again what it did before.
    fn release_signal(&mut self, signal: Signal) {
        let _ = signal;
    }

    /// Opens a datagram port. An unnamed UNIX address opens one that can only send. `Datagrams` come at once.
    ///
    /// # Errors
    /// The address is of no use, taken, or needs a right; or the driver has no datagrams, as by default.
    fn bind(&mut self, at: &Address, options: &BindOptions) -> io::Result<(Token, Address)> {
        let _ = (at, options);
        Err(no_datagrams())
    }

    /// Lets a datagram port send to one address only and hear only from there. Gives that address as the system has it.
    ///
    /// # Errors
    /// Nothing reaches the address, or nobody has it.
    fn connect_datagrams(&mut self, token: Token, to: &Address) -> io::Result<Address> {
        let _ = (token, to);
        Err(no_datagrams())
    }

    /// Sends what it can of `out` and takes that from it. When some is left, a `DatagramRoom` follows.
    ///
    /// # Errors
    /// The first of what is left cannot be sent, whatever waits. It stays there, and nothing follows by itself.
    fn send_datagrams(&mut self, token: Token, out: &mut DatagramQueue) -> io::Result<()> {
        let _ = (token, out);
        Err(no_datagrams())
    }

    /// Has a job run by a thread, in its turn. It is run once, or given back by `cancel_job`, or dropped with the driver.
    ///
    /// # Errors
    /// The job itself, when too many wait or no thread is to be had; or the driver runs no jobs, as by default.
    fn start_job(&mut self, job: Job) -> Result<JobId, Refused> {
        Err(unsupported(job))
    }

    /// Gives back a job that no thread has taken yet: it never runs.
    fn cancel_job(&mut self, job: JobId) -> Option<Job> {
        let _ = job;
        None
    }

    /// How many threads there may be for jobs, and how many jobs may wait, from now on.
    fn set_job_limits(&mut self, limits: JobLimits) {
        let _ = limits;
    }

    /// What there is of both now.
    fn job_counts(&self) -> JobCounts {
        JobCounts::default()
    }
}

#[cold]
fn no_datagrams() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this driver has no datagrams")
}
