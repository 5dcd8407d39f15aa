//! `SimDriver`: a reactor's way into the virtual network. Holds the batch of one turn; knows no segment and no latency.

use crate::{
    children,
    faults::Fault,
    network::{Network, Reported},
    process::{Caught, SimProcess, Socket},
};
use fastrand::Rng;
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::{Duration, SystemTime},
};
use tress_core::{
    Address, Limits, Signal, Time,
    clock::Clock as _,
    datagram::DatagramQueue,
    driver::{
        BindOptions, ConnectOptions, DATAGRAMS_PER_TURN, Driver, Lease, ListenOptions, Report,
        SocketOption, Spawned, Stopwatch, Token,
    },
    jobs::{Job, JobCounts, JobId, JobLimits, Refused},
    outgoing::Outgoing,
    process::{Command, SpawnError},
    reactor::SignalSender,
    testing::ManualClock,
};

/// What a short read gives, at most.
const SHORT_READ_BYTES: usize = 16;
/// The buffer that is put in the core's lease.
pub(crate) const BUFFER_BYTES: usize = 65_536;

/// A driver on one host of a [`World`](crate::World): what a process is to a machine. Dropping it closes all its
/// sockets, and kills its children that are not detached.
pub struct SimDriver {
    network: Rc<RefCell<Network>>,
    process: usize,
    signals: Caught,
    clock: ManualClock,
    rng: Rng,
    woken: Arc<Flag>,
    /// Slots that this turn still has to report from.
    batch: VecDeque<u32>,
    bytes_per_turn: usize,
    /// What may still be read from the first of the batch.
    budget: usize,
    /// How many datagrams may still be.
    datagrams: usize,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl SimDriver {
    pub(crate) fn new(network: &Rc<RefCell<Network>>, host: usize) -> Self {
        let mut inside = network.borrow_mut();
        let bytes_per_turn = Limits::default().bytes_per_turn;
        Self {
            network: Rc::clone(network),
            process: inside.add_process(host),
            signals: Caught::default(),
            clock: inside.clock.clone(),
            rng: inside.fork_rng(),
            woken: Arc::default(),
            batch: VecDeque::new(),
            bytes_per_turn,
            budget: bytes_per_turn,
            datagrams: DATAGRAMS_PER_TURN,
        }
    }

    /// Who can raise signals in it, also when a reactor has taken it.
    #[must_use]
    pub fn process(&self) -> SimProcess {
        SimProcess(Rc::clone(&self.signals))
    }

    /// Reports for a slot that may be a datagram port.
    fn report_datagrams(&mut self, slot: u32, lease: &mut Lease) -> Option<Report> {
        let mut network = self.network.borrow_mut();
        let at = network.process(self.process).at(slot);
        let Some((port, Socket::Datagrams(id))) = at else {
            return None;
        };
        if self.budget == 0 {
            return None;
        }
        let datagrams = &mut lease.datagrams;
        let report = network.report_datagrams(port, id, self.datagrams, datagrams)?;
        let mut read = 0;
        if let Report::Datagrams { .. } = report {
            let each = (0..datagrams.len()).filter_map(|index| datagrams.get(index));
            read = each.map(|(_, data)| data.len()).sum();
            self.datagrams -= datagrams.len();
            self.budget = self.budget.saturating_sub(read);
        }
        let now = network.now();
        network.statistics.record(now, self.process, &report, read);
        Some(report)
    }

    /// A job whose time has come.
    fn report_job(&self) -> Option<Report> {
        let mut network = self.network.borrow_mut();
        let job = network.process_mut(self.process).jobs.take_due()?;
        let (now, report) = (network.now(), Report::RunJob { job });
        network.statistics.record(now, self.process, &report, 0);
        Some(report)
    }

    /// Reports for one slot; what it reads it puts in the lease.
    fn report(&mut self, slot: u32, lease: &mut Lease) -> Option<Report> {
        let mut network = self.network.borrow_mut();
        if lease.buffer.is_empty() {
            lease.buffer = vec![0; BUFFER_BYTES].into();
            lease.reused = true;
        }
        lease.length = 0;
        let mut most = self.budget.min(lease.buffer.len());
        if most > 1 && network.faults.strikes(Fault::ShortRead) {
            most = network.faults.up_to(most.min(SHORT_READ_BYTES));
        }
        let report = match network.report(self.process, slot, &mut lease.buffer[..most]) {
            Reported::Nothing | Reported::Data(_, 0) => return None,
            Reported::Report(report) => report,
            Reported::Data(conn, length) => {
                self.budget -= length;
                lease.length = length;
                Report::Data { conn }
            }
        };
        let now = network.now();
        network
            .statistics
            .record(now, self.process, &report, lease.length);
        Some(report)
    }
}

impl Driver for SimDriver {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        let calendar = self.network.borrow().calendar;
        SystemTime::UNIX_EPOCH + calendar + Duration::from_nanos(self.clock.now().0)
    }

    fn entropy(&mut self) -> u64 {
        self.rng.u64(..)
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.woken))
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        self.clock.stopwatch()
    }

    fn backlog(&self) -> bool {
        !self.batch.is_empty() || self.network.borrow().process(self.process).is_ready()
    }

    fn set_bytes_per_turn(&mut self, bytes: usize) {
        self.bytes_per_turn = bytes.max(1);
        self.budget = self.bytes_per_turn;
    }

    /// Never blocks: when nothing can be reported now, the clock jumps to the next arrival in the world or to the end
    /// of the timeout, whichever is first, and that is all. When neither will ever come it is an error.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let woken = self.woken.0.swap(false, Ordering::Acquire);
        self.network.borrow().check_alive(self.process)?;
        children::deliver(&self.network);
        let mut network = self.network.borrow_mut();
        network.may_jump();
        let ready = !self.batch.is_empty() || network.process(self.process).is_ready();
        if !ready && !woken && timeout != Some(Duration::ZERO) {
            let end = timeout.map(|timeout| network.now() + timeout);
            let arrival = network.next_arrival();
            let next = end.into_iter().chain(arrival).min();
            let Some(next) = next.filter(|next| *next != Time::NEVER) else {
                return Err(io::Error::other("deadlock: nothing will ever happen"));
            };
            let next = network.woken_before(next).unwrap_or(next);
            self.clock.advance_to(next);
            drop(network);
            children::deliver(&self.network);
        } else {
            drop(network);
        }
        self.network
            .borrow_mut()
            .process_mut(self.process)
            .take_ready(&mut self.batch);
        Ok(())
    }

    fn next(&mut self, lease: &mut Lease) -> Option<Report> {
        if let Some(report) = self.report_job() {
            return Some(report);
        }
        while let Some(&slot) = self.batch.front() {
            let report = self.report_datagrams(slot, lease);
            if let Some(report) = report.or_else(|| self.report(slot, lease)) {
                return Some(report);
            }
            self.batch.pop_front();
            self.budget = self.bytes_per_turn;
            self.datagrams = DATAGRAMS_PER_TURN;
            self.network.borrow_mut().requeue(self.process, slot);
        }
        None
    }

    fn listen(&mut self, at: &Address, options: &ListenOptions) -> io::Result<(Token, Address)> {
        let mut network = self.network.borrow_mut();
        let (token, at) = network.listen(self.process, socket_address(at)?, options)?;
        Ok((token, at.into()))
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token> {
        let bind = options.bind.as_ref().map(socket_address).transpose()?;
        let mut network = self.network.borrow_mut();
        network.connect(self.process, socket_address(to)?, bind)
    }

    fn start_reading(&mut self, token: Token) {
        let mut network = self.network.borrow_mut();
        network.set_reading(self.process, token, true);
    }

    fn stop_reading(&mut self, token: Token) {
        let mut network = self.network.borrow_mut();
        network.set_reading(self.process, token, false);
    }

    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        self.network.borrow_mut().send(self.process, token, out)
    }

    fn shutdown_write(&mut self, token: Token) {
        self.network
            .borrow_mut()
            .shutdown_write(self.process, token);
    }

    fn close(&mut self, token: Token, abort: bool) {
        self.network.borrow_mut().close(self.process, token, abort);
    }

    fn local_address(&self, token: Token) -> Address {
        let network = self.network.borrow();
        let address = network.local_address(self.process, token);
        address.map_or(Address::Unknown, Address::from)
    }

    /// The options change nothing in a virtual network, and are there on every living socket.
    fn set_option(&mut self, token: Token, option: SocketOption) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        match network.process(self.process).get(token) {
            Some(Socket::Datagrams(_)) => network.set_datagram_option(self.process, token, option),
            Some(_) if option == SocketOption::Descriptors(true) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Some(_) if matches!(option, SocketOption::TerminalSize { .. }) => {
                network.terminal_resized(self.process, token)
            }
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn spawn(&mut self, command: &Command) -> Result<Spawned, SpawnError> {
        // It is the user's code: nothing is borrowed while it runs.
        let make = self.network.borrow().children.program(command)?;
        let program = make();
        let mut network = self.network.borrow_mut();
        network.spawn(self.process, command, program)
    }

    fn signal_child(&mut self, child: Token, signal: Signal) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        network.signal_child(self.process, child, signal)
    }

    /// # Errors
    /// It has no name: what a number means is a system's own business.
    fn catch_signal(&mut self, signal: Signal, sender: SignalSender) -> io::Result<()> {
        if let Signal::Number(_) = signal {
            let text = "the simulator knows signals by their names only";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        self.signals.borrow_mut().insert(signal, sender);
        Ok(())
    }

    fn release_signal(&mut self, signal: Signal) {
        self.signals.borrow_mut().remove(&signal);
    }

    fn bind(&mut self, at: &Address, options: &BindOptions) -> io::Result<(Token, Address)> {
        let mut network = self.network.borrow_mut();
        let (token, at) = network.bind(self.process, socket_address(at)?, options)?;
        Ok((token, at.into()))
    }

    fn connect_datagrams(&mut self, token: Token, to: &Address) -> io::Result<Address> {
        let mut network = self.network.borrow_mut();
        let peer = network.connect_datagrams(self.process, token, socket_address(to)?)?;
        Ok(peer.into())
    }

    fn send_datagrams(&mut self, token: Token, out: &mut DatagramQueue) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        network.send_datagrams(self.process, token, out)
    }

    fn start_job(&mut self, job: Job) -> Result<JobId, Refused> {
        self.network.borrow_mut().start_job(self.process, job)
    }

    fn cancel_job(&mut self, job: JobId) -> Option<Job> {
        let mut network = self.network.borrow_mut();
        network.process_mut(self.process).jobs.cancel(job)
    }

    fn set_job_limits(&mut self, limits: JobLimits) {
        let mut network = self.network.borrow_mut();
        network.set_job_limits(self.process, limits);
    }

    fn job_counts(&self) -> JobCounts {
        self.network.borrow().process(self.process).jobs.counts()
    }
}

impl Drop for SimDriver {
    fn drop(&mut self) {
        self.signals.borrow_mut().clear();
        let mut network = self.network.borrow_mut();
        for token in network.process(self.process).tokens() {
            let kill = match network.process(self.process).get(token) {
                Some(Socket::Child(id)) => network.children.is_attached(id),
                _ => false,
            };
            network.close(self.process, token, kill);
        }
        let jobs = std::mem::take(&mut network.process_mut(self.process).jobs);
        drop(network);
        // What a job holds may be anything.
        drop(jobs);
    }
}

impl fmt::Debug for SimDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDriver({})", self.process)
    }
}

pub(crate) fn socket_address(address: &Address) -> io::Result<SocketAddr> {
    match address {
        Address::Ip(address) => Ok(SocketAddr::new(address.ip().to_canonical(), address.port())),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the virtual network has IP addresses only",
        )),
    }
}
