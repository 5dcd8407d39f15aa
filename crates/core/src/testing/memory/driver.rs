//! A driver whose network is a table of queues. Opens no socket and never waits: whoever tests moves bytes and time.

use super::network::{Arrived, Conn, End, ListeningPort, Network, Place};
use crate::{
    address::Address,
    clock::Clock,
    driver::{
        ConnectOptions, Driver, Lease, ListenOptions, Report, SocketOption, Stopwatch, Token,
    },
    jobs::{Job, JobCounts, JobId, JobLimits, Refused},
    outgoing::Outgoing,
    reactor::SignalSender,
    signal::Signal,
    testing::ManualClock,
    time::Time,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    task::Waker,
    time::{Duration, SystemTime},
};

/// Connections in memory. Whoever connects to a port number that somebody listens at is linked to it; nothing is lost,
/// split or delayed. A clone reaches the same network.
#[derive(Clone, Debug, Default)]
pub struct MemoryDriver {
    clock: ManualClock,
    network: Rc<RefCell<Network>>,
}

impl MemoryDriver {
    /// A network without connections, on this clock.
    #[must_use]
    pub fn new(clock: &ManualClock) -> Self {
        Self {
            clock: clock.clone(),
            ..Self::default()
        }
    }

    /// Lets a peer that is none of ours connect to a port.
    pub(super) fn arrive(&self, port: &Address, peer: Address) -> Option<Token> {
        self.network.borrow_mut().arrive(port, peer, None)
    }

    /// Whether anybody handles the signal; if so, in the next turn.
    pub(super) fn raise(&self, signal: Signal) -> bool {
        let network = self.network.borrow();
        let sender = network.signals.get(&signal);
        sender.map(SignalSender::raise).is_some()
    }

    pub(super) fn push(&self, token: Token, arrived: Arrived) {
        self.with(token, |conn| conn.push(arrived));
    }

    /// Looks at a connection, which may have ended.
    pub(super) fn with<R>(&self, token: Token, f: impl FnOnce(&mut Conn) -> R) -> R {
        f(self.network.borrow_mut().conn(token.slot))
    }
}

impl Driver for MemoryDriver {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// The numbers 1, 2, 3: the same in every run.
    fn entropy(&mut self) -> u64 {
        let mut network = self.network.borrow_mut();
        network.entropy += 1;
        network.entropy
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        self.clock.stopwatch()
    }

    fn backlog(&self) -> bool {
        self.network.borrow().is_ready()
    }

    fn set_bytes_per_turn(&mut self, _bytes: usize) {}

    /// Never waits.
    ///
    /// # Errors
    /// Nothing has arrived and the timeout is not zero: on this clock nothing would ever happen.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        if !network.is_ready() && timeout != Some(Duration::ZERO) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a reactor in memory never waits: turn it with a zero timeout and advance its clock",
            ));
        }
        network.jobs_due = network.jobs.len();
        for place in &mut network.places {
            match place {
                Place::Port(port) => port.due = port.waiting.len(),
                Place::Conn(conn) => conn.due = conn.arrived.len(),
            }
        }
        Ok(())
    }

    fn next(&mut self, lease: &mut Lease) -> Option<Report> {
        let mut network = self.network.borrow_mut();
        let network = &mut *network;
        if let Some(job) = network.take_due_job() {
            return Some(Report::RunJob { job });
        }
        let mut report = network.slots().find_map(|slot| network.report(slot, lease));
        if let Some(Report::Accepted { conn, peer, .. }) = &mut report {
            *peer = network.conn(conn.slot).peer.clone();
        }
        report
    }

    fn listen(&mut self, at: &Address, _options: &ListenOptions) -> io::Result<(Token, Address)> {
        let Address::Ip(mut local) = *at else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let mut network = self.network.borrow_mut();
        let taken = |number: u16, places: &[Place]| {
            let same = |place: &Place| matches!(place, Place::Port(port) if !port.closed && port.local.port() == Some(number));
            places.iter().any(same)
        };
        if local.port() == 0 {
            let free = (49_152..=u16::MAX).find(|number| !taken(*number, &network.places));
            local.set_port(free.ok_or(io::ErrorKind::AddrInUse)?);
        } else if taken(local.port(), &network.places) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let token = network.add(Place::Port(ListeningPort {
            local: local.into(),
            paused: false,
            closed: false,
            waiting: VecDeque::new(),
            due: 0,
        }));
        Ok((token, local.into()))
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token> {
        let local = options.bind.clone().unwrap_or_else(client_address);
        let mut network = self.network.borrow_mut();
        let client = network.add(Place::Conn(Conn::new(local.clone(), to.clone())));
        let server = network.arrive(to, local, Some(client.slot));
        let conn = network.conn(client.slot);
        conn.other = server.map(|server| server.slot);
        conn.push(match server {
            Some(_) => Arrived::Connected,
            None => Arrived::Broken(io::ErrorKind::ConnectionRefused),
        });
        Ok(client)
    }

    fn start_reading(&mut self, token: Token) {
        match &mut self.network.borrow_mut().places[token.slot as usize] {
            Place::Port(port) => port.paused = false,
            Place::Conn(conn) => conn.reading = true,
        }
    }

    fn stop_reading(&mut self, token: Token) {
        match &mut self.network.borrow_mut().places[token.slot as usize] {
            Place::Port(port) => port.paused = true,
            Place::Conn(conn) => conn.reading = false,
        }
    }

    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        while !out.is_empty() {
            let room = network.room(network.conn_ref(token.slot));
            if room == 0 {
                network.conn(token.slot).blocked = true;
                return Ok(());
            }
            let mut first = [io::IoSlice::new(&[])];
            out.slices(&mut first);
            let count = first[0].len().min(room);
            network.deliver(token.slot, &first[0][..count]);
            out.consume(count);
        }
        Ok(())
    }

    fn shutdown_write(&mut self, token: Token) {
        let mut network = self.network.borrow_mut();
        let conn = network.conn(token.slot);
        conn.write_closed = true;
        if let Some(other) = conn.other {
            network.conn(other).push(Arrived::WriteClosed);
        }
    }

    fn close(&mut self, token: Token, abort: bool) {
        let mut network = self.network.borrow_mut();
        if let Place::Port(port) = &mut network.places[token.slot as usize] {
            port.closed = true;
            return;
        }
        let conn = network.conn(token.slot);
        conn.end = Some(if abort { End::Aborted } else { End::Closed });
        let ended_writing = std::mem::replace(&mut conn.write_closed, true);
        if let Some(other) = conn.other {
            if abort {
                let broken = Arrived::Broken(io::ErrorKind::ConnectionReset);
                network.conn(other).push(broken);
            } else if !ended_writing {
                network.conn(other).push(Arrived::WriteClosed);
            }
        }
    }

    fn local_address(&self, token: Token) -> Address {
        match &self.network.borrow().places[token.slot as usize] {
            Place::Port(port) => port.local.clone(),
            Place::Conn(conn) => conn.local.clone(),
        }
    }

    fn catch_signal(&mut self, signal: Signal, sender: SignalSender) -> io::Result<()> {
        let signals = &mut self.network.borrow_mut().signals;
        signals.insert(signal, sender);
        Ok(())
    }

    fn release_signal(&mut self, signal: Signal) {
        self.network.borrow_mut().signals.remove(&signal);
    }

    /// Every option is accepted and means nothing.
    fn set_option(&mut self, _token: Token, _option: SocketOption) -> io::Result<()> {
        Ok(())
    }

    /// The loop runs it in its next turn: there is no thread.
    fn start_job(&mut self, job: Job) -> Result<JobId, Refused> {
        let mut network = self.network.borrow_mut();
        if let Err(error) = network.job_limits.room(0, network.jobs.len()) {
            return Err(Refused { job, error });
        }
        Ok(network.jobs.push(job))
    }

    fn cancel_job(&mut self, job: JobId) -> Option<Job> {
        self.network.borrow_mut().jobs.remove(job)
    }

    fn set_job_limits(&mut self, limits: JobLimits) {
        self.network.borrow_mut().job_limits = limits;
    }

    fn job_counts(&self) -> JobCounts {
        JobCounts {
            waiting: self.network.borrow().jobs.len(),
            ..JobCounts::default()
        }
    }
}

/// Where whoever connects comes from.
pub(super) fn client_address() -> Address {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 1)).into()
}

/// Where a tested protocol listens.
pub(super) fn server_address() -> Address {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 2), 80)).into()
}
