//! The completion driver: io_uring on Linux. Experimental; behind the feature `uring`.
//!
//! One operation accepts all peers of a port that is ours alone, and one receives all bytes of a connection, into buffers that all
//! connections share. A buffer is lent to the core for one callback and comes back with the next pull. Output that
//! was taken belongs to the ring until it has left. A token dies at once; its operations live on until their last
//! completion, which finds nobody. Knows no protocol.

mod accept;
mod adopt;
pub(crate) mod bell;
mod beside;
mod linger;
mod options;
mod passing;
mod reading;
mod slots;
pub(crate) mod work;
mod writing;

#[cfg(test)]
mod pitfalls;
#[cfg(test)]
mod tests;

use crate::{
    clock::SystemClock,
    pool::{self, Pool},
    seam::{self, Call},
    signals::Caught,
    streams,
    sys::{self, ring::Ring},
    unix::{self, SocketFile},
};
use accept::Accepting;
use bell::Bell;
use beside::{Beside, SHARED_BUFFER, SharedClock};
pub use options::UringOptions;
use slots::{READING, SHARED, Slots, State};
use socket2::SockAddr;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    rc::Rc,
    sync::Arc,
    task::{Wake, Waker},
    time::{Duration, SystemTime},
};
use tress_core::{
    Address, Descriptor, Signal, Time, UnixName,
    clock::Clock,
    datagram::DatagramQueue,
    descriptor::Passing,
    driver::{
        BindOptions, ConnectOptions, Driver, Lease, ListenOptions, Opened, Report, SocketOption,
        Spawned, Stopwatch, Token, UnixOptions,
    },
    jobs::{Job, JobCounts, JobId, JobLimits, Refused},
    outgoing::Outgoing,
    process::{Command, SpawnError},
    reactor::SignalSender,
};
use work::{Done, Loan, Outcome, Setup, Work};

/// The token of the waker's operation, which is no socket's.
const NOBODY: Token = Token {
    slot: u32::MAX,
    generation: 0,
};
/// The same for the driver beside the ring.
const BESIDE: Token = Token {
    slot: u32::MAX,
    generation: 1,
};

/// The experimental driver on io_uring. `new` fails where Linux does not offer it: then take [`crate::Mio`].
///
/// A callback gets at most 4096 bytes, the size of the ring's buffers; `bytes_per_turn` bounds how many such
/// callbacks a connection has in a turn. It belongs to the thread that made it.
pub struct Uring<C = SystemClock> {
    /// The files of UNIX ports, by slot. Dropped before the sockets: see [`SocketFile`].
    files: BTreeMap<u32, SocketFile>,
    /// What epoll does as well, once there is some of it.
    beside: Option<Box<Beside<C>>>,
    ring: Ring,
    /// A completion before which a test has put another.
    #[cfg(feature = "faults")]
    held: Option<Done>,
    slots: Slots,
    /// Slots with something parked that can go to the core: in this round, and in the next.
    round: Vec<Token>,
    cursor: usize,
    again: Vec<Token>,
    /// Connections that receive again once buffers have come back, or from the next round on.
    starved: Vec<Token>,
    /// How many waits there were.
    turn: u32,
    bytes_per_turn: usize,
    /// The buffer for what comes neither with the ring's buffers nor parked, while it is not lent.
    shared: Box<[u8]>,
    accepting: Accepting,
    jobs: Pool,
    waker: Arc<UringWaker>,
    signals: Caught,
    random: fastrand::Rng,
    clock: SharedClock<C>,
}

impl Uring {
    /// A driver on the system's clock.
    ///
    /// # Errors
    /// This Linux has no io_uring, an old one, or does not let this process have it.
    pub fn new() -> io::Result<Self> {
        Self::with_clock(SystemClock)
    }
}

impl<C: Clock> Uring<C> {
    /// A driver on another clock, for tests.
    ///
    /// # Errors
    /// As [`Uring::new`].
    pub fn with_clock(clock: C) -> io::Result<Self> {
        Self::with_options(clock, &UringOptions::default())
    }

    /// A driver that uses of io_uring what these options say.
    ///
    /// # Errors
    /// As [`Uring::new`]; and `InvalidInput` for a number out of its bounds.
    pub fn with_options(clock: C, options: &UringOptions) -> io::Result<Self> {
        options.check()?;
        if !options.deferred_work {
            return Self::with_setup(Setup::Plain, clock, options).map_err(|(_, error)| error);
        }
        Self::with_setup(Setup::best(), clock, options).or_else(|(clock, _)| {
            let plain = Self::with_setup(Setup::Plain, clock, options);
            plain.map_err(|(_, error)| error)
        })
    }

    /// A driver on a ring of this kind; gives the clock back on failure.
    fn with_setup(setup: Setup, clock: C, options: &UringOptions) -> Result<Self, (C, io::Error)> {
        let made = || {
            let (io, options) = setup.build(options)?;
            let ring = Ring::new(io, options)?;
            let waker = Arc::new(sys::event_descriptor()?);
            Ok((ring, waker, Accepting::new()?))
        };
        let (mut ring, event, accepting) = match made() {
            Ok(made) => made,
            Err(error) => return Err((clock, error)),
        };
        ring.start(NOBODY, Work::Watch(Arc::clone(&event)));
        let bell = ring.bell();
        Ok(Self {
            files: BTreeMap::new(),
            beside: None,
            ring,
            #[cfg(feature = "faults")]
            held: None,
            slots: Slots::default(),
            round: Vec::new(),
            cursor: 0,
            again: Vec::new(),
            starved: Vec::new(),
            turn: 0,
            bytes_per_turn: 65_536,
            shared: Box::default(),
            accepting,
            jobs: pool::for_jobs(),
            waker: Arc::new(UringWaker { event, bell }),
            signals: Caught::default(),
            random: fastrand::Rng::new(),
            clock: SharedClock::new(clock),
        })
    }

    /// Begins with what was left over from the last round, and looks again at who had to wait.
    fn start_round(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.cursor = 0;
        self.round.clear();
        std::mem::swap(&mut self.round, &mut self.again);
        for token in std::mem::take(&mut self.starved) {
            self.arm(token);
        }
        for port in self.accepting.rested() {
            self.rested(port);
        }
    }

    /// The next completion.
    #[cfg(not(feature = "faults"))]
    #[inline]
    fn pull(&mut self) -> Option<Done> {
        self.ring.pull()
    }

    /// The same, with an error before it if a test has planned one.
    #[cfg(feature = "faults")]
    fn pull(&mut self) -> Option<Done> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        let done = self.ring.pull()?;
        match seam::ring::before(&done) {
            None => Some(done),
            before => {
                self.held = Some(done);
                before
            }
        }
    }

    /// Hands a completion to whom it belongs.
    fn completed(&mut self, done: Done, lease: &mut Lease) -> Option<Report> {
        let Done {
            token,
            outcome,
            more,
        } = done;
        if !more && token.slot != NOBODY.slot && self.slots.get(token).is_none() {
            // With the last operation of a socket that was closed goes its descriptor.
            self.accepting.descriptor_freed();
        }
        match outcome {
            Outcome::Accepted(result) => self.accepted(token, result, more),
            Outcome::Connected(result, to) => self.connected(token, result, to),
            Outcome::Received(result, loan) => self.received(token, result, loan, more, lease),
            Outcome::Sent(result, piece) => self.sent(token, result, piece),
            Outcome::Rested => {
                self.rest_is_over(token);
                None
            }
            Outcome::Readable if token == BESIDE => {
                self.beside_is_ready();
                None
            }
            Outcome::Readable => self.readable(token, lease),
            Outcome::Writable => self.writable(token),
            Outcome::Woken => {
                if !more {
                    let event = Arc::clone(&self.waker.event);
                    self.ring.start(NOBODY, Work::Watch(event));
                }
                None
            }
        }
    }

    fn start_connecting(&mut self, conn: Token, to: Rc<SockAddr>) {
        if let Some(slot) = self.slots.get(conn)
            && let Some(socket) = &slot.socket
        {
            let work = Work::Connect(Rc::clone(socket), to);
            slot.incoming = Some(self.ring.start(conn, work));
        }
    }

    /// A connection that was being made is there, or not; or a signal has come between.
    fn connected(
        &mut self,
        conn: Token,
        result: io::Result<()>,
        to: Rc<SockAddr>,
    ) -> Option<Report> {
        let slot = self.slots.get(conn)?;
        slot.incoming = None;
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.start_connecting(conn, to);
                None
            }
            Ok(()) => {
                slot.state = State::Open;
                self.arm(conn);
                Some(Report::Connected { conn })
            }
            Err(error) => {
                self.remove(conn);
                Some(Report::Closed { token: conn, error })
            }
        }
    }

    /// The time of a port's rest is over, or that of a socket that lingers.
    fn rest_is_over(&mut self, token: Token) {
        match self.slots.get(token).map(|slot| slot.state) {
            Some(State::Listening) => self.rested(token),
            Some(State::Lingering) => self.remove(token),
            Some(State::Free | State::Connecting | State::Open | State::Beside(_)) | None => {}
        }
    }

    /// Has the slot looked at in the next round.
    fn queue(&mut self, token: Token) {
        if let Some(slot) = self.slots.get(token)
            && !slot.has(slots::QUEUED)
        {
            slot.set(slots::QUEUED);
            self.again.push(token);
            self.ring.asked();
        }
    }

    /// The token dies; the socket is closed when its last operation is done.
    fn remove(&mut self, token: Token) {
        // Before the socket is closed.
        if !self.files.is_empty() && self.slots.get(token).is_some() {
            self.files.remove(&token.slot);
        }
        let Some(slot) = self.slots.remove(token) else {
            return;
        };
        slot.restore();
        let operations = [slot.incoming, slot.outgoing];
        for key in operations.into_iter().flatten() {
            self.ring.cancel(key);
        }
        if operations == [None, None] {
            self.accepting.descriptor_freed();
        }
    }

    /// What the last `Data` lent goes back to the ring.
    #[inline]
    fn take_back(&mut self, lease: &mut Lease) {
        if let Some(id) = lease.mark.checked_sub(1) {
            let shared = lease.mark == SHARED_BUFFER;
            lease.mark = 0;
            lease.length = 0;
            let buffer = std::mem::take(&mut lease.buffer);
            if shared {
                self.shared = buffer;
            } else {
                self.ring.give_back(Loan { buffer, id });
            }
        }
    }
}

impl<C: Clock> Driver for Uring<C> {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    fn entropy(&mut self) -> u64 {
        self.random.u64(..)
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.waker))
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        self.clock.stopwatch()
    }

    /// An eventfd that the kernel writes to: see `bell`. None, with a line in the log, where it cannot be had.
    fn poll_fd(&self) -> Option<i32> {
        let descriptor = self.ring.descriptor().inspect_err(
            |error| tracing::error!(target: "tress", "no other loop can watch io_uring: {error}"),
        );
        descriptor.ok()
    }

    /// Hosted, it is all that a turn leaves to the next and that the descriptor does not tell: what is parked for the
    /// core; what the driver beside the ring has, or has failed with; what the kernel has not been told of, so that it
    /// would never answer; what it has told since, or would tell when the ring is entered; and ports and connections that
    /// the next round looks at again. Alone, `wait` finds most of these itself, and they cost nothing here.
    fn backlog(&self) -> bool {
        if !self.again.is_empty() || self.beside_has_backlog() {
            return true;
        }
        let looks_again = || !self.starved.is_empty() || self.accepting.will_resume();
        self.ring.is_watched() && (looks_again() || self.ring.has_backlog())
    }

    fn deadline(&self) -> Time {
        let beside = self.beside.as_ref();
        beside.map_or(Time::NEVER, |beside| beside.mio.deadline())
    }

    fn set_bytes_per_turn(&mut self, bytes: usize) {
        self.bytes_per_turn = bytes.max(1);
        if let Some(beside) = &mut self.beside {
            beside.mio.set_bytes_per_turn(bytes);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.start_round();
        let timeout = if self.round.is_empty() {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        let timeout = self.wait_beside(timeout)?;
        self.ring.enter(timeout)
    }

    fn next(&mut self, lease: &mut Lease) -> Option<Report> {
        self.take_back(lease);
        while let Some(&token) = self.round.get(self.cursor) {
            let report = self.unpark(token, lease);
            if report.is_some() {
                return report;
            }
        }
        while let Some(done) = self.pull() {
            let report = self.completed(done, lease);
            if report.is_some() {
                return report;
            }
        }
        self.next_beside(lease)
    }

    fn listen(&mut self, at: &Address, options: &ListenOptions) -> io::Result<(Token, Address)> {
        let (socket, address, file) = streams::listen(at, options)?;
        // For others, io_uring would not wait.
        socket.set_nonblocking(false)?;
        let flags = READING | slots::flags_of(&address);
        let token = self.slots.insert(Some(socket), State::Listening, flags);
        self.files.extend(file.map(|file| (token.slot, file)));
        self.arm(token);
        Ok((token, address))
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token> {
        let (socket, address) = match to {
            Address::Unix(name) => (unix::connect(name, options)?, None),
            _ => {
                let (socket, address) = streams::prepare(to, options)?;
                (socket, Some(address))
            }
        };
        socket.set_nonblocking(false)?;
        let flags = slots::flags_of(to);
        let token = self.slots.insert(Some(socket), State::Connecting, flags);
        match address {
            Some(address) => self.start_connecting(token, Rc::new(address)),
            // It is there, which the next round tells.
            None => self.queue(token),
        }
        Ok(token)
    }

    fn start_reading(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else {
            return;
        };
        if let State::Beside(_) = slot.state {
            if let Some((mio, inner)) = self.beside_of(token) {
                mio.start_reading(inner);
            }
            return;
        }
        slot.set(READING);
        if !slot.parked.is_empty() {
            self.queue(token);
        } else if slot.has(slots::UNIX) {
            // Whoever asks for open files in the callback that follows is still to get the first ones.
            self.starved.push(token);
            self.ring.asked();
        } else {
            self.arm(token);
        }
    }

    fn stop_reading(&mut self, token: Token) {
        if let Some((mio, inner)) = self.beside_of(token) {
            return mio.stop_reading(inner);
        }
        if let Some(slot) = self.slots.get(token) {
            slot.clear(READING);
            self.disarm(token);
        }
    }

    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        if let Some((mio, inner)) = self.beside_of(token) {
            return mio.send(inner, out);
        }
        self.start_sending(token, out)
    }

    fn shutdown_write(&mut self, token: Token) {
        if let Some((mio, inner)) = self.beside_of(token) {
            return mio.shutdown_write(inner);
        }
        self.shut_after_sending(token);
    }

    fn close(&mut self, token: Token, abort: bool) {
        if self.close_beside(token, abort) {
            return;
        }
        let Some(slot) = self.slots.get(token) else {
            return;
        };
        if abort {
            slot.reset_on_close();
        } else if slot.state == State::Listening && slot.has(SHARED) {
            // Others go on accepting.
            if let Some(key) = slot.incoming {
                self.ring.cancel_now(key);
            }
        } else if slot.state == State::Listening {
            // Otherwise it would go on accepting until the cancellation is through.
            if let Some(socket) = &slot.socket {
                seam::call(Call::Shutdown, || socket.shutdown(std::net::Shutdown::Read)).ok();
            }
        } else if self.linger(token) {
            return;
        }
        self.remove(token);
    }

    fn local_address(&self, token: Token) -> Address {
        match (self.slots.peek(token), &self.beside) {
            (None, _) => Address::Unknown,
            (Some(slot), beside) => match (slot.state, beside) {
                (State::Beside(inner), Some(beside)) => beside.mio.local_address(inner),
                _ => slot.local_address(),
            },
        }
    }

    fn catch_signal(&mut self, signal: Signal, sender: SignalSender) -> io::Result<()> {
        self.signals.catch(signal, sender)
    }

    fn release_signal(&mut self, signal: Signal) {
        self.signals.release(signal);
    }

    fn set_option(&mut self, token: Token, option: SocketOption) -> io::Result<()> {
        if let Some((mio, inner)) = self.beside_of(token) {
            return mio.set_option(inner, option);
        }
        if let SocketOption::Descriptors(yes) = option {
            return self.set_passing(token, yes);
        }
        let slot = self.slots.get(token).ok_or(io::ErrorKind::NotConnected)?;
        slot.set_option(option)
    }

    fn send_passing(
        &mut self,
        token: Token,
        out: &mut Outgoing,
        files: &mut Passing,
    ) -> io::Result<()> {
        if let Some((mio, inner)) = self.beside_of(token) {
            return mio.send_passing(inner, out, files);
        }
        self.send_files(token, out, files)
    }

    fn adopt(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        self.take_over(opened)
    }

    fn copy_port(&mut self, token: Token) -> io::Result<Descriptor> {
        self.copied(token)
    }

    fn leave_file(&mut self, token: Token) {
        if self.slots.get(token).is_some()
            && let Some(file) = self.files.remove(&token.slot)
        {
            file.leave();
        }
    }

    fn take_file(&mut self, token: Token, options: &UnixOptions, of: u32) -> io::Result<()> {
        if let Address::Unix(UnixName::Path(path)) = self.local_address(token) {
            let file = SocketFile::take(&path, options, of)?;
            self.files.insert(token.slot, file);
        }
        Ok(())
    }

    fn spawn(&mut self, command: &Command) -> Result<Spawned, SpawnError> {
        self.spawn_beside(command)
    }

    fn signal_child(&mut self, child: Token, signal: Signal) -> io::Result<()> {
        let (mio, inner) = self.beside_of(child).ok_or(io::ErrorKind::NotFound)?;
        mio.signal_child(inner, signal)
    }

    fn bind(&mut self, at: &Address, options: &BindOptions) -> io::Result<(Token, Address)> {
        self.open_beside(|mio| mio.bind(at, options))
    }

    fn connect_datagrams(&mut self, token: Token, to: &Address) -> io::Result<Address> {
        let (mio, inner) = self.beside_of(token).ok_or(io::ErrorKind::NotConnected)?;
        mio.connect_datagrams(inner, to)
    }

    fn send_datagrams(&mut self, token: Token, out: &mut DatagramQueue) -> io::Result<()> {
        let (mio, inner) = self.beside_of(token).ok_or(io::ErrorKind::NotConnected)?;
        mio.send_datagrams(inner, out)
    }

    fn start_job(&mut self, job: Job) -> Result<JobId, Refused> {
        self.jobs.start(job)
    }

    fn cancel_job(&mut self, job: JobId) -> Option<Job> {
        self.jobs.cancel(job)
    }

    fn set_job_limits(&mut self, limits: JobLimits) {
        self.jobs.set_limits(limits);
    }

    fn job_counts(&self) -> JobCounts {
        self.jobs.counts()
    }
}

impl<C> Drop for Uring<C> {
    fn drop(&mut self) {
        self.slots.iter().for_each(slots::Slot::restore);
    }
}

impl<C> std::fmt::Debug for Uring<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Uring({} sockets)", self.slots.count())
    }
}

/// What ends a wait, of the driver itself or of the loop that it is in.
struct UringWaker {
    /// It is only ever written to: each write is told, whatever its count.
    event: Arc<File>,
    bell: Bell,
}

impl Wake for UringWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = (&*self.event).write_all(&1_u64.to_ne_bytes());
        if let Err(error) = woken.and_then(|()| self.bell.ring()) {
            tracing::error!(target: "tress", "the loop could not be woken: {error}");
        }
    }
}
