//! The readiness driver: epoll on Linux, kqueue elsewhere, through the crate `mio`, edge-triggered.
//!
//! One read buffer serves all connections: it is lent to the core for one callback and comes back with the next
//! pull. A connection costs 16 bytes here. Knows no protocol and keeps no output.

mod accept;
mod adopt;
mod children;
mod datagrams;
mod events;
mod files;
mod linger;
mod passing;
mod socket;

use crate::{
    clock::SystemClock,
    pool::{self, Pool},
    seam::{self, Call},
    signals::Caught,
    sys,
    unix::SocketFile,
    waits::Waits,
};
use accept::Accepting;
use linger::Lingering;
use mio::Interest;
use socket::{HUNG_UP, READABLE, Slot, Socket, WRITABLE};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    os::fd::AsRawFd,
    sync::Arc,
    task::{Wake, Waker},
    time::{Duration, SystemTime},
};
use tress_core::{
    Address, Descriptor, Time, UnixName,
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
    signal::Signal,
};

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
/// Pieces of output handed to the kernel at once.
const PIECES: usize = 64;
/// A place in the list of events that holds none.
const NOTHING: (Token, u8) = (
    Token {
        slot: u32::MAX,
        generation: 0,
    },
    0,
);
/// The token of the waker: no slot is so high.
const WAKER: mio::Token = mio::Token(usize::MAX);

/// The driver on the system's readiness interface; the default of `tress`.
pub struct Mio<C = SystemClock> {
    poll: mio::Poll,
    events: mio::Events,
    waits: Waits,
    /// The files of UNIX ports and of datagram ports, by slot. Dropped before the sockets: see [`SocketFile`].
    files: BTreeMap<u32, SocketFile>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// What the last wait found: the first `found` of these, of which `cursor` have been pulled. Longer than that,
    /// so that filling it checks nothing.
    ready: Vec<(Token, u8)>,
    found: usize,
    cursor: usize,
    /// What to look at again in the next turn although the kernel will not report it again.
    again: Vec<(Token, u8)>,
    /// Connections whose end is still to be reported, and why they end.
    broken: Vec<(Token, io::Error)>,
    bytes_per_turn: usize,
    accepting: Accepting,
    lingering: Lingering,
    datagrams: datagrams::Ports,
    jobs: Pool,
    waker: Arc<MioWaker>,
    signals: Caught,
    random: fastrand::Rng,
    clock: C,
}

impl Mio {
    /// A driver on the system's clock.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Self::with_clock(SystemClock)
    }
}

impl<C: Clock> Mio<C> {
    /// A driver on another clock, for tests.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn with_clock(clock: C) -> io::Result<Self> {
        let poll = seam::call(Call::EpollCreate, mio::Poll::new)?;
        let waker = seam::call(Call::EventFd, || mio::Waker::new(poll.registry(), WAKER))?;
        let waker = Arc::new(MioWaker(waker));
        Ok(Self {
            poll,
            events: mio::Events::with_capacity(EVENTS),
            waits: Waits::default(),
            files: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            ready: vec![NOTHING; EVENTS],
            found: 0,
            cursor: 0,
            again: Vec::new(),
            broken: Vec::new(),
            bytes_per_turn: 65_536,
            accepting: Accepting::new()?,
            lingering: Lingering::default(),
            datagrams: datagrams::Ports::default(),
            jobs: pool::for_jobs(),
            waker,
            signals: Caught::default(),
            random: fastrand::Rng::new(),
            clock,
        })
    }

    /// A slot for a socket, registered with the kernel.
    fn insert(&mut self, mut socket: Socket, flags: u16, interest: Interest) -> io::Result<Token> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot::default());
                u32::try_from(self.slots.len() - 1).expect("descriptors are 31 bits")
            }
        };
        let slot = &mut self.slots[index as usize];
        let token = Token {
            slot: index,
            generation: slot.next_generation(),
        };
        if let Some(source) = socket.source() {
            let registry = self.poll.registry();
            let registered = seam::call(Call::EpollCtl, || {
                registry.register(source, pack(token), interest)
            });
            if let Err(error) = registered {
                self.free.push(index);
                return Err(error);
            }
        }
        slot.fill(socket, flags);
        Ok(token)
    }

    #[inline]
    fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        (slot.generation() == token.generation).then_some(slot)
    }

    /// Closes the socket; the slot's next user has another generation.
    fn remove(&mut self, token: Token) {
        if let Some(slot) = self.slot(token) {
            match slot.socket {
                Socket::UnixListener(_) => drop(self.files.remove(&token.slot)),
                Socket::Datagrams(_) => {
                    self.files.remove(&token.slot);
                    self.datagrams.remove(token.slot);
                }
                Socket::Free
                | Socket::Listener(_)
                | Socket::Connecting(_)
                | Socket::Stream(_)
                | Socket::Files(_)
                | Socket::Child(_)
                | Socket::Lingering(_) => {}
            }
            let slot = &mut self.slots[token.slot as usize];
            if slot.has(socket::BROKEN) {
                self.broken.retain(|(broken, _)| *broken != token);
            }
            if slot.has(socket::SHARED)
                && let Some(source) = slot.socket.source()
            {
                // Closing would not end it while another process has it open. It fails only for what is not there.
                self.poll.registry().deregister(source).ok();
            }
            slot.empty();
            self.free.push(token.slot);
            self.accepting.descriptor_freed();
        }
    }

    /// Begins with what was left over from the last round, and makes room for what the kernel may report.
    #[inline]
    fn start_round(&mut self) {
        self.cursor = 0;
        self.found = 0;
        if !self.again.is_empty() {
            // Whoever was left over and then found by the kernel as well stands in it twice, and would read ever more.
            self.again.sort_unstable_by_key(|(token, _)| *token);
            self.again.dedup_by(|later, first| {
                let same = later.0 == first.0;
                first.1 |= if same { later.1 } else { 0 };
                same
            });
            self.found = self.again.len();
            self.ready
                .resize((self.found + EVENTS).max(self.ready.len()), NOTHING);
            self.ready[..self.found].copy_from_slice(&self.again);
            self.again.clear();
        }
    }

    /// A test made up that a socket has nothing for now: has the kernel tell again of those that have something.
    #[cfg(feature = "faults")]
    fn tell_again(&mut self) {
        let registry = self.poll.registry();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let token = Token {
                slot: u32::try_from(index).expect("descriptors are 31 bits"),
                generation: slot.generation(),
            };
            let mut interest = Interest::READABLE;
            if slot.has(socket::FOR_WRITING) {
                interest |= Interest::WRITABLE;
            }
            if let Some(source) = slot.socket.source() {
                // Not through `seam::call`: without a test it would not be made.
                let told = registry.reregister(source, pack(token), interest);
                told.expect("it is registered");
            }
        }
    }
}

impl<C: Clock> Driver for Mio<C> {
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

    fn poll_fd(&self) -> Option<i32> {
        Some(self.poll.as_raw_fd())
    }

    /// Also when the kernel may have had more to report than it could: a foreign loop sees no new edge for the rest.
    fn backlog(&self) -> bool {
        !self.again.is_empty() || self.events.iter().nth(EVENTS - 1).is_some()
    }

    fn deadline(&self) -> Time {
        self.accepting.deadline().min(self.lingering.deadline())
    }

    fn set_bytes_per_turn(&mut self, bytes: usize) {
        self.bytes_per_turn = bytes.max(1);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.start_round();
        let mut timeout = if self.found == 0 {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        if self.accepting.is_paused() {
            timeout = self.accepting.shorten(timeout);
        }
        if !self.lingering.is_empty() {
            timeout = self.lingering.shorten(timeout);
        }
        #[cfg(feature = "faults")]
        if seam::faults::owes_events() {
            self.tell_again();
        }
        let waited = seam::once(Call::EpollWait, || {
            self.poll.poll(&mut self.events, timeout)
        });
        if waited.is_err() {
            self.events.clear();
        }
        self.waits.ended(waited)?;
        let mut found = self.found;
        let places = &mut self.ready[found..];
        for (place, event) in places.iter_mut().zip(&self.events) {
            let readable = u8::from(event.is_readable()) * READABLE;
            // Of a pipe that is full and whose reader has gone it tells an error and no room: writing will show it.
            let writable = u8::from(event.is_writable() | event.is_error()) * WRITABLE;
            let hung_up = u8::from(event.is_read_closed()) * HUNG_UP;
            // The waker's token stands for no slot and so for nothing.
            *place = (unpack(event.token()), readable | writable | hung_up);
            found += 1;
        }
        self.found = found;
        if self.accepting.is_paused() {
            self.look_at_rested_ports();
        }
        if !self.lingering.is_empty() {
            self.end_lingering();
        }
        Ok(())
    }

    #[inline]
    fn next_data(&mut self, lease: &mut Lease) -> bool {
        let Some(&(token, bits)) = self.ready[..self.found].get(self.cursor) else {
            return false;
        };
        if bits & (READABLE | HUNG_UP) == READABLE
            && let Some(slot) = self.slots.get_mut(token.slot as usize)
            && slot.is_plain_reader(token.generation)
            && let Socket::Stream(stream) = &mut slot.socket
            && let Ok(length) = sys::receive(stream, &mut lease.buffer)
            && length > 0
        {
            self.cursor += 1;
            if length == lease.buffer.len() {
                self.again.push((token, bits));
            }
            lease.length = length;
            lease.conn = token;
            return true;
        }
        false
    }

    fn next(&mut self, lease: &mut Lease) -> Option<Report> {
        if lease.buffer.len() != self.bytes_per_turn {
            lease.buffer = vec![0; self.bytes_per_turn].into();
            lease.reused = true;
        }
        loop {
            let &(token, bits) = self.ready[..self.found].get(self.cursor)?;
            let report = match self.slot(token).map(|slot| &slot.socket) {
                Some(Socket::Stream(_)) => self.stream_event(token, bits, lease),
                Some(Socket::Connecting(_)) => self.connecting_event(token, bits),
                Some(Socket::Listener(_) | Socket::UnixListener(_)) => self.listener_event(token),
                Some(Socket::Lingering(_)) => self.lingering_event(token),
                Some(Socket::Datagrams(_)) => self.datagram_event(token, bits, lease),
                Some(Socket::Files(_)) => self.files_event(token, bits, lease),
                Some(Socket::Child(_)) => self.child_event(token),
                Some(Socket::Free) | None => {
                    self.cursor += 1;
                    None
                }
            };
            if report.is_some() {
                return report;
            }
        }
    }

    fn listen(&mut self, at: &Address, options: &ListenOptions) -> io::Result<(Token, Address)> {
        let (listener, address, file) = socket::listen(at, options)?;
        let token = self.insert(listener, socket::READING, Interest::READABLE)?;
        self.files.extend(file.map(|file| (token.slot, file)));
        Ok((token, address))
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token> {
        let stream = socket::connect(to, options)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.insert(Socket::Connecting(stream), socket::FOR_WRITING, both)
    }

    fn start_reading(&mut self, token: Token) {
        let Some(slot) = self.slot(token) else { return };
        slot.set(socket::READING);
        if slot.has(socket::UNREAD) {
            slot.clear(socket::UNREAD);
            // Whether the peer has also hung up is forgotten by now: look for both.
            self.again.push((token, READABLE | HUNG_UP));
        }
    }

    fn stop_reading(&mut self, token: Token) {
        if let Some(slot) = self.slot(token) {
            slot.clear(socket::READING);
            // What is in flight shows no new edge.
            slot.set(socket::UNREAD);
        }
    }

    #[inline]
    fn try_send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        if let Some(slot) = self.slots.get_mut(token.slot as usize)
            && slot.generation() == token.generation
            && let Socket::Stream(stream) = &mut slot.socket
            && let Some(bytes) = out.single()
        {
            match sys::send(stream, bytes) {
                Ok(sent) if sent == bytes.len() => out.clear_single(),
                result => return partly_sent(result, out),
            }
        }
        Ok(())
    }

    fn send_directly(&mut self, token: Token, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let Some(slot) = self.slot(token) else {
            return Ok(0);
        };
        let Socket::Stream(stream) = &mut slot.socket else {
            return Ok(0);
        };
        match seam::write_vectored(Call::Writev, pieces, |pieces| stream.write_vectored(pieces)) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(0)
            }
            result => result,
        }
    }

    /// Writes until everything has gone or the kernel has no room.
    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        let Some(slot) = self.slot(token) else {
            return Ok(());
        };
        while !out.is_empty() {
            let mut slices = [io::IoSlice::new(&[]); PIECES];
            let sent = match (&mut slot.socket, out.single()) {
                (Socket::Stream(stream), Some(bytes)) => sys::send(stream, bytes),
                (Socket::Stream(stream), None) => {
                    let pieces = out.slices(&mut slices);
                    seam::write_vectored(Call::Writev, &slices[..pieces], |slices| {
                        stream.write_vectored(slices)
                    })
                }
                (Socket::Files(files), _) => {
                    let pieces = out.slices(&mut slices);
                    files.write(&slices[..pieces])
                }
                _ => return Ok(()),
            };
            match sent {
                Ok(count) => out.consume(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.wait_for_room(token);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn shutdown_write(&mut self, token: Token) {
        // Not by `slot`, which would borrow the registry as well.
        let slot = self.slots.get_mut(token.slot as usize);
        let slot = slot.filter(|slot| slot.generation() == token.generation);
        match slot.map(|slot| &mut slot.socket) {
            Some(Socket::Stream(stream)) => {
                let shut = seam::call(Call::Shutdown, || {
                    stream.shutdown(std::net::Shutdown::Write)
                });
                if let Err(error) = shut
                    && error.kind() != io::ErrorKind::NotConnected
                {
                    self.broken(token, error);
                }
                // Otherwise the peer has gone, which reading will tell.
            }
            Some(Socket::Files(files)) => {
                files.close_output(self.poll.registry());
                // Nothing may be left of it, which no event tells.
                self.again.push((token, HUNG_UP));
            }
            _ => {}
        }
    }

    fn close(&mut self, token: Token, abort: bool) {
        if abort {
            if let Some(slot) = self.slot(token) {
                slot.socket.reset_on_close();
            }
        } else if self.linger(token) {
            return;
        }
        if !self.give_up_child(token, abort) {
            self.remove(token);
        }
    }

    fn copy_port(&mut self, token: Token) -> io::Result<Descriptor> {
        self.copied(token)
    }

    fn leave_file(&mut self, token: Token) {
        if self.slot(token).is_some()
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

    fn local_address(&self, token: Token) -> Address {
        let slot = self.slots.get(token.slot as usize);
        let slot = slot.filter(|slot| slot.generation() == token.generation);
        slot.map_or(Address::Unknown, |slot| slot.socket.local_address())
    }

    fn set_option(&mut self, token: Token, option: SocketOption) -> io::Result<()> {
        let slot = self.slot(token).ok_or(io::ErrorKind::NotConnected)?;
        match option {
            SocketOption::Descriptors(yes) => passing::set(slot, yes),
            SocketOption::TerminalSize { rows, columns } => {
                children::resize(&slot.socket, rows, columns)
            }
            option => slot.socket.set_option(option),
        }
    }

    fn send_passing(
        &mut self,
        token: Token,
        out: &mut Outgoing,
        passing: &mut Passing,
    ) -> io::Result<()> {
        self.send_descriptors(token, out, passing)
    }

    fn spawn(&mut self, command: &Command) -> Result<Spawned, SpawnError> {
        self.start_child(command)
    }

    fn signal_child(&mut self, child: Token, signal: Signal) -> io::Result<()> {
        self.signal(child, signal)
    }

    fn catch_signal(&mut self, signal: Signal, sender: SignalSender) -> io::Result<()> {
        self.signals.catch(signal, sender)
    }

    fn release_signal(&mut self, signal: Signal) {
        self.signals.release(signal);
    }

    fn adopt(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        self.take_over(opened)
    }

    fn bind(&mut self, at: &Address, options: &BindOptions) -> io::Result<(Token, Address)> {
        self.bind_port(at, options)
    }

    fn connect_datagrams(&mut self, token: Token, to: &Address) -> io::Result<Address> {
        self.connect_port(token, to)
    }

    fn send_datagrams(&mut self, token: Token, out: &mut DatagramQueue) -> io::Result<()> {
        self.send_from_port(token, out)
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

impl<C> Drop for Mio<C> {
    fn drop(&mut self) {
        self.slots.iter().for_each(Slot::restore);
    }
}

impl<C> std::fmt::Debug for Mio<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mio({} sockets)", self.slots.len() - self.free.len())
    }
}

/// A write that did not send everything.
#[cold]
#[inline(never)]
fn partly_sent(result: io::Result<usize>, out: &mut Outgoing) -> io::Result<()> {
    match result {
        Ok(sent) => out.consume(sent),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        },
    }
    Ok(())
}

struct MioWaker(mio::Waker);

impl Wake for MioWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Err(error) = self.0.wake() {
            tracing::error!(target: "tress", "the loop could not be woken: {error}");
        }
    }
}

fn pack(token: Token) -> mio::Token {
    mio::Token((token.generation as usize) << 32 | token.slot as usize)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of what was packed"
)]
fn unpack(token: mio::Token) -> Token {
    Token {
        slot: token.0 as u32,
        generation: (token.0 >> 32) as u32,
    }
}
