//! A driver whose connections are pairs of pipes that it adopts, for whoever connects to a port of its network. All else
//! is another driver's.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    rc::Rc,
    task::Waker,
    time::{Duration, SystemTime},
};
use tress_core::{
    Address, Descriptor, Time,
    driver::{
        ConnectOptions, Driver, Lease, ListenOptions, Opened, Report, SocketOption, Stopwatch,
        Token,
    },
    jobs::{Job, JobCounts, JobId, JobLimits, Refused},
    outgoing::Outgoing,
    reactor::SignalSender,
    signal::Signal,
};

/// Who listens, by port number.
#[derive(Default)]
pub(crate) struct Network {
    ports: BTreeMap<u16, (Token, Rc<RefCell<Arrived>>)>,
    clients: u16,
}

/// Ends of connections that a driver has not taken yet, by port.
type Arrived = VecDeque<(Token, Opened, Address)>;

pub(crate) struct Piped<D> {
    inner: D,
    network: Rc<RefCell<Network>>,
    arrived: Rc<RefCell<Arrived>>,
    /// The number of each port.
    ports: BTreeMap<Token, u16>,
    connected: VecDeque<Token>,
    local: BTreeMap<Token, Address>,
}

impl<D: Driver> Piped<D> {
    pub(crate) fn new(inner: D, network: &Rc<RefCell<Network>>) -> Self {
        Self {
            inner,
            network: Rc::clone(network),
            arrived: Rc::default(),
            ports: BTreeMap::new(),
            connected: VecDeque::new(),
            local: BTreeMap::new(),
        }
    }

    /// Both ends of a new connection.
    fn pair() -> io::Result<[Opened; 2]> {
        let file = |end: OwnedFd| Some(Descriptor::from(end));
        let [(there, from_here), (here, from_there)] = [io::pipe()?, io::pipe()?];
        Ok([
            Opened::Files {
                input: file(here.into()),
                output: file(from_here.into()),
            },
            Opened::Files {
                input: file(there.into()),
                output: file(from_there.into()),
            },
        ])
    }

    fn has_news(&self) -> bool {
        !self.connected.is_empty() || !self.arrived.borrow().is_empty()
    }

    fn arrival(&mut self) -> Option<Report> {
        if let Some(conn) = self.connected.pop_front() {
            return Some(Report::Connected { conn });
        }
        let (port, opened, peer) = self.arrived.borrow_mut().pop_front()?;
        Some(match self.inner.adopt(opened) {
            Ok((conn, _)) => {
                let local = self.inner.local_address(port);
                self.local.insert(conn, local);
                Report::Accepted { port, conn, peer }
            }
            Err(error) => Report::AcceptFailed { port, error },
        })
    }
}

impl<D: Driver> Driver for Piped<D> {
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

    fn catch_signal(&mut self, signal: Signal, sender: SignalSender) -> io::Result<()> {
        self.inner.catch_signal(signal, sender)
    }

    fn release_signal(&mut self, signal: Signal) {
        self.inner.release_signal(signal);
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

    fn backlog(&self) -> bool {
        self.has_news() || self.inner.backlog()
    }

    fn set_bytes_per_turn(&mut self, bytes: usize) {
        self.inner.set_bytes_per_turn(bytes);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let news = self.has_news().then_some(Duration::ZERO);
        self.inner.wait(news.or(timeout))
    }

    fn next(&mut self, lease: &mut Lease) -> Option<Report> {
        self.arrival().or_else(|| self.inner.next(lease))
    }

    fn listen(&mut self, at: &Address, options: &ListenOptions) -> io::Result<(Token, Address)> {
        let (port, address) = self.inner.listen(at, options)?;
        let number = address.port().expect("it is an IP address");
        self.ports.insert(port, number);
        let mut network = self.network.borrow_mut();
        network
            .ports
            .insert(number, (port, Rc::clone(&self.arrived)));
        Ok((port, address))
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token> {
        let mut network = self.network.borrow_mut();
        let known = to.port().and_then(|number| network.ports.get(&number));
        let (Some((port, arrived)), None) = (known.cloned(), &options.bind) else {
            return self.inner.connect(to, options);
        };
        let [ours, theirs] = Self::pair()?;
        let (conn, _) = self.inner.adopt(ours)?;
        network.clients += 1;
        let local = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, network.clients)));
        self.local.insert(conn, local.clone());
        self.connected.push_back(conn);
        arrived.borrow_mut().push_back((port, theirs, local));
        Ok(conn)
    }

    fn start_reading(&mut self, token: Token) {
        self.inner.start_reading(token);
    }

    fn stop_reading(&mut self, token: Token) {
        self.inner.stop_reading(token);
    }

    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        self.inner.send(token, out)
    }

    fn try_send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        self.inner.try_send(token, out)
    }

    fn shutdown_write(&mut self, token: Token) {
        self.inner.shutdown_write(token);
    }

    fn close(&mut self, token: Token, abort: bool) {
        self.local.remove(&token);
        self.connected.retain(|conn| *conn != token);
        if let Some(number) = self.ports.remove(&token) {
            self.network.borrow_mut().ports.remove(&number);
            self.arrived
                .borrow_mut()
                .retain(|(port, ..)| *port != token);
        }
        self.inner.close(token, abort);
    }

    fn local_address(&self, token: Token) -> Address {
        let local = self.local.get(&token);
        local.map_or_else(|| self.inner.local_address(token), Address::clone)
    }

    fn set_option(&mut self, token: Token, option: SocketOption) -> io::Result<()> {
        self.inner.set_option(token, option)
    }
}
