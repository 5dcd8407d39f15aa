//! Known bugs, planted in a driver that stands between the engine and the simulated one. The workload must notice each.
//! The one in timed calls is planted where the workload makes them.

use crate::ledger::Ledger;
use std::{
    collections::BTreeMap,
    io,
    task::Waker,
    time::{Duration, SystemTime},
};
use tress_core::{
    Address, Time,
    datagram::DatagramQueue,
    driver::{
        BindOptions, ConnectOptions, Driver, Lease, ListenOptions, Opened, Report, SocketOption,
        Spawned, Stopwatch, Token,
    },
    jobs::{Job, JobCounts, JobId, JobLimits, Refused},
    outgoing::Outgoing,
    process::{Command, SpawnError},
    reactor::SignalSender,
    signal::Signal,
};

/// A known bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A byte of a write is taken and never sent.
    LostWrite,
    /// A socket is closed twice.
    DoubleClose,
    /// What is reported of a connection is said to be of the one that had its slot before.
    StaleToken,
    /// A timed call comes after one that was due later.
    TimerReorder,
    /// A connection that is not to be read is read.
    NoPause,
}

impl Mutation {
    /// Every bug.
    pub const ALL: [Self; 5] = [
        Self::LostWrite,
        Self::DoubleClose,
        Self::StaleToken,
        Self::TimerReorder,
        Self::NoPause,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LostWrite => "lost-write",
            Self::DoubleClose => "double-close",
            Self::StaleToken => "stale-token",
            Self::TimerReorder => "timer-reorder",
            Self::NoPause => "no-pause",
        }
    }
}

/// A driver with a bug.
pub(crate) struct Mutant<D> {
    inner: D,
    ledger: Ledger,
    /// Which generations of a slot have been closed.
    closed: BTreeMap<u32, u32>,
}

impl<D: Driver> Mutant<D> {
    pub(crate) fn new(inner: D, ledger: &Ledger) -> Self {
        Self {
            inner,
            ledger: ledger.clone(),
            closed: BTreeMap::new(),
        }
    }
}

impl<D: Driver> Driver for Mutant<D> {
    fn next(&mut self, lease: &mut Lease) -> Option<Report> {
        let report = self.inner.next(lease)?;
        let Report::Data { conn } = report else {
            return Some(report);
        };
        let older = self.closed.get(&conn.slot).copied();
        let older = older.filter(|older| *older != conn.generation);
        match older.filter(|_| self.ledger.plants(Mutation::StaleToken, 3)) {
            Some(generation) => Some(Report::Data {
                conn: Token { generation, ..conn },
            }),
            None => Some(Report::Data { conn }),
        }
    }

    fn stop_reading(&mut self, token: Token) {
        if !self.ledger.plants(Mutation::NoPause, 2) {
            self.inner.stop_reading(token);
        }
    }

    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        if out.unsent() > 1 && self.ledger.plants(Mutation::LostWrite, 50) {
            out.consume(1);
        }
        self.inner.send(token, out)
    }

    fn close(&mut self, token: Token, abort: bool) {
        self.closed.insert(token.slot, token.generation);
        self.inner.close(token, abort);
        if self.ledger.plants(Mutation::DoubleClose, 10) {
            self.inner.close(token, abort);
        }
    }

    fn now(&self) -> Time {
        self.inner.now()
    }

    fn wall(&self) -> SystemTime {
        self.inner.wall()
    }

    fn entropy(&mut self) -> u64 {
        self.inner.entropy()
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        self.inner.stopwatch()
    }

    fn poll_fd(&self) -> Option<i32> {
        self.inner.poll_fd()
    }

    fn backlog(&self) -> bool {
        self.inner.backlog()
    }

    fn set_bytes_per_turn(&mut self, bytes: usize) {
        self.inner.set_bytes_per_turn(bytes);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.wait(timeout)
    }

    fn listen(&mut self, at: &Address, options: &ListenOptions) -> io::Result<(Token, Address)> {
        self.inner.listen(at, options)
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token> {
        self.inner.connect(to, options)
    }

    fn start_reading(&mut self, token: Token) {
        self.inner.start_reading(token);
    }

    fn shutdown_write(&mut self, token: Token) {
        self.inner.shutdown_write(token);
    }

    fn local_address(&self, token: Token) -> Address {
        self.inner.local_address(token)
    }

    fn set_option(&mut self, token: Token, option: SocketOption) -> io::Result<()> {
        self.inner.set_option(token, option)
    }

    fn adopt(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        self.inner.adopt(opened)
    }

    fn spawn(&mut self, command: &Command) -> Result<Spawned, SpawnError> {
        self.inner.spawn(command)
    }

    fn signal_child(&mut self, child: Token, signal: Signal) -> io::Result<()> {
        self.inner.signal_child(child, signal)
    }

    fn bind(&mut self, at: &Address, options: &BindOptions) -> io::Result<(Token, Address)> {
        self.inner.bind(at, options)
    }

    fn connect_datagrams(&mut self, token: Token, to: &Address) -> io::Result<Address> {
        self.inner.connect_datagrams(token, to)
    }

    fn send_datagrams(&mut self, token: Token, out: &mut DatagramQueue) -> io::Result<()> {
        self.inner.send_datagrams(token, out)
    }

    fn deadline(&self) -> Time {
        self.inner.deadline()
    }

    fn catch_signal(&mut self, signal: Signal, sender: SignalSender) -> io::Result<()> {
        self.inner.catch_signal(signal, sender)
    }

    fn release_signal(&mut self, signal: Signal) {
        self.inner.release_signal(signal);
    }

    fn start_job(&mut self, job: Job) -> Result<JobId, Refused> {
        self.inner.start_job(job)
    }

    fn cancel_job(&mut self, job: JobId) -> Option<Job> {
        self.inner.cancel_job(job)
    }

    fn set_job_limits(&mut self, limits: JobLimits) {
        self.inner.set_job_limits(limits);
    }

    fn job_counts(&self) -> JobCounts {
        self.inner.job_counts()
    }
}
