//! A driver that watches both sides of its contract: what the engine asks of it, and what it reports. Every breach goes
//! into the ledger. Changes nothing.

use crate::ledger::Ledger;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    rc::Rc,
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

/// What a token stands for, as far as its contract goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Port,
    Connecting,
    Open {
        is_reading: bool,
        has_ended: bool,
        is_shut: bool,
    },
    Datagrams,
    Child,
}

impl State {
    const OPEN: Self = Self::Open {
        is_reading: false,
        has_ended: false,
        is_shut: false,
    };
}

/// How many tokens live; for whoever looks from outside.
pub(crate) type Open = Rc<Cell<usize>>;

/// A driver under watch.
pub(crate) struct Checked<D> {
    inner: D,
    ledger: Ledger,
    tokens: BTreeMap<Token, State>,
    open: Open,
    latest: RefCell<Time>,
}

impl<D: Driver> Checked<D> {
    pub(crate) fn new(inner: D, ledger: &Ledger, open: &Open) -> Self {
        Self {
            inner,
            ledger: ledger.clone(),
            tokens: BTreeMap::new(),
            open: Rc::clone(open),
            latest: RefCell::new(Time(0)),
        }
    }

    fn add(&mut self, token: Token, state: State) {
        let before = self.tokens.insert(token, state);
        self.ledger.check(before.is_none(), || {
            format!("{token:?} was given out as {state:?} while it was {before:?}")
        });
        let taken = self.tokens.range(
            Token {
                generation: 0,
                ..token
            }..=Token {
                generation: u32::MAX,
                ..token
            },
        );
        let taken = taken.count();
        self.ledger.check(taken == 1, || {
            format!("the slot of {token:?} is used {taken} times")
        });
        self.open.set(self.tokens.len());
    }

    fn remove(&mut self, token: Token, what: &str) -> Option<State> {
        let removed = self.tokens.remove(&token);
        self.ledger.check(removed.is_some(), || {
            format!("{what} of {token:?}, which is dead")
        });
        self.open.set(self.tokens.len());
        removed
    }

    /// An event of a connection that is there.
    fn open(&mut self, token: Token, what: &str) -> Option<&mut State> {
        let found = self.tokens.get_mut(&token);
        let is_open = matches!(found, Some(State::Open { .. }));
        if !is_open {
            let state = found.copied();
            self.ledger
                .broke(format!("{what} of {token:?}, which is {state:?}"));
            return None;
        }
        found
    }

    fn look(&mut self, report: &Report, lease: &Lease) {
        match *report {
            Report::Accepted { port, conn, .. } => {
                let state = self.tokens.get(&port).copied();
                self.ledger.check(state == Some(State::Port), || {
                    format!("accepted at {port:?}, which is {state:?}")
                });
                self.add(conn, State::OPEN);
            }
            Report::Connected { conn } => {
                let state = self.tokens.insert(conn, State::OPEN);
                self.ledger.check(state == Some(State::Connecting), || {
                    format!("connected: {conn:?}, which is {state:?}")
                });
            }
            Report::Data { conn } => {
                let length = lease.bytes().len();
                self.ledger
                    .check(length > 0, || format!("data of {conn:?} without data"));
                let ledger = self.ledger.clone();
                if let Some(State::Open {
                    is_reading,
                    has_ended,
                    ..
                }) = self.open(conn, "data")
                {
                    ledger.check(*is_reading, || {
                        format!("data of {conn:?}, which is not to be read")
                    });
                    ledger.check(!*has_ended, || format!("data of {conn:?} after its end"));
                }
            }
            Report::ReadClosed { conn } => {
                let ledger = self.ledger.clone();
                if let Some(State::Open { has_ended, .. }) = self.open(conn, "the end") {
                    let again = std::mem::replace(has_ended, true);
                    ledger.check(!again, || format!("the end of {conn:?} came twice"));
                }
            }
            Report::Sent { conn, .. } => {
                self.open(conn, "room");
            }
            Report::Closed { token, .. } => drop(self.remove(token, "the end")),
            Report::ChildExited { child, .. } => {
                let state = self.remove(child, "the exit");
                self.ledger.check(state == Some(State::Child), || {
                    format!("the exit of {child:?}, which is {state:?}")
                });
            }
            Report::Datagrams { port }
            | Report::DatagramError { port, .. }
            | Report::DatagramRoom { port } => {
                let state = self.tokens.get(&port).copied();
                self.ledger.check(state == Some(State::Datagrams), || {
                    format!("datagrams of {port:?}, which is {state:?}")
                });
            }
            _ => {}
        }
    }

    fn asked(&mut self, token: Token, what: &str) -> Option<&mut State> {
        let found = self.tokens.get_mut(&token);
        if found.is_none() {
            self.ledger
                .broke(format!("{what} {token:?}, which is dead"));
        }
        found
    }

    fn set_reading(&mut self, token: Token, yes: bool) {
        if let Some(State::Open { is_reading, .. }) = self.asked(token, "reading") {
            *is_reading = yes;
        }
    }
}

impl<D: Driver> Driver for Checked<D> {
    fn now(&self) -> Time {
        let now = self.inner.now();
        let latest = self.latest.replace(now);
        self.ledger.check(now >= latest, || {
            format!("the clock went from {latest:?} to {now:?}")
        });
        now
    }

    fn next(&mut self, lease: &mut Lease) -> Option<Report> {
        let report = self.inner.next(lease)?;
        self.look(&report, lease);
        Some(report)
    }

    fn listen(&mut self, at: &Address, options: &ListenOptions) -> io::Result<(Token, Address)> {
        let (token, at) = self.inner.listen(at, options)?;
        self.add(token, State::Port);
        Ok((token, at))
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token> {
        let token = self.inner.connect(to, options)?;
        self.add(token, State::Connecting);
        Ok(token)
    }

    fn start_reading(&mut self, token: Token) {
        self.set_reading(token, true);
        self.inner.start_reading(token);
    }

    fn stop_reading(&mut self, token: Token) {
        self.set_reading(token, false);
        self.inner.stop_reading(token);
    }

    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        let ledger = self.ledger.clone();
        if let Some(State::Open { is_shut, .. }) = self.asked(token, "sending to") {
            ledger.check(!*is_shut, || format!("sending to {token:?} after its end"));
        }
        self.inner.send(token, out)
    }

    fn shutdown_write(&mut self, token: Token) {
        if let Some(State::Open { is_shut, .. }) = self.asked(token, "ending") {
            *is_shut = true;
        }
        self.inner.shutdown_write(token);
    }

    fn close(&mut self, token: Token, abort: bool) {
        self.remove(token, "closing");
        self.inner.close(token, abort);
    }

    fn spawn(&mut self, command: &Command) -> Result<Spawned, SpawnError> {
        let spawned = self.inner.spawn(command)?;
        self.add(spawned.child, State::Child);
        for pipe in &spawned.pipes {
            self.add(pipe.conn, State::OPEN);
        }
        Ok(spawned)
    }

    fn signal_child(&mut self, child: Token, signal: Signal) -> io::Result<()> {
        self.asked(child, "a signal to");
        self.inner.signal_child(child, signal)
    }

    fn bind(&mut self, at: &Address, options: &BindOptions) -> io::Result<(Token, Address)> {
        let (token, at) = self.inner.bind(at, options)?;
        self.add(token, State::Datagrams);
        Ok((token, at))
    }

    fn connect_datagrams(&mut self, token: Token, to: &Address) -> io::Result<Address> {
        self.asked(token, "connecting");
        self.inner.connect_datagrams(token, to)
    }

    fn send_datagrams(&mut self, token: Token, out: &mut DatagramQueue) -> io::Result<()> {
        self.asked(token, "datagrams to");
        self.inner.send_datagrams(token, out)
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

    fn local_address(&self, token: Token) -> Address {
        self.inner.local_address(token)
    }

    fn set_option(&mut self, token: Token, option: SocketOption) -> io::Result<()> {
        self.inner.set_option(token, option)
    }

    fn adopt(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        self.inner.adopt(opened)
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
