//! A reactor whose addresses answer as a test says, when it says, and whose names a test looks up. Every event is
//! logged with its time in milliseconds.

use crate::{
    address::Address,
    clock::Clock as _,
    deferred::{Deferred, Resolver},
    driver::{
        ConnectOptions, Driver, Lease, ListenOptions, Report, SocketOption, Stopwatch, Token,
    },
    names::{HostName, NameResolver},
    outgoing::Outgoing,
    protocol::Protocol,
    reactor::Reactor,
    testing::ManualClock,
    time::Time,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    task::Waker,
    time::{Duration, SystemTime},
};

/// What comes of an attempt, after so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepts(u64),
    Refuses(u64),
    /// Nobody ever answers.
    Silent,
    /// The system cannot even try.
    Fails,
}

/// `6a` is the IPv6 address `::a`, `43` the IPv4 address 192.0.2.3, both at port 80.
pub(super) fn address(name: &str) -> SocketAddr {
    let (family, number) = name.split_at(1);
    let number = u8::from_str_radix(number, 16).unwrap();
    match family {
        "4" => (Ipv4Addr::new(192, 0, 2, number), 80).into(),
        _ => (Ipv6Addr::from(u128::from(number)), 80).into(),
    }
}

pub(super) fn short(address: &Address) -> String {
    match address {
        Address::Ip(SocketAddr::V4(v4)) => format!("4{:x}", v4.ip().octets()[3]),
        Address::Ip(SocketAddr::V6(v6)) => format!("6{:x}", v6.ip().octets()[15]),
        other => other.to_string(),
    }
}

#[derive(Clone, Default)]
pub(super) struct Log(Rc<RefCell<Vec<String>>>, ManualClock);

impl Log {
    pub(super) fn note(&self, event: impl AsRef<str>) {
        let at = self.1.now().0 / 1_000_000;
        self.0.borrow_mut().push(format!("{at} {}", event.as_ref()));
    }

    /// What has happened since the last time.
    pub(super) fn take(&self) -> String {
        self.0.take().join(", ")
    }
}

struct Socket {
    generation: u32,
    /// `None` when it is free.
    to: Option<Address>,
    /// When it reports what.
    due: Option<(Time, bool)>,
}

/// A driver that only connects.
struct Net {
    log: Log,
    outcomes: BTreeMap<String, Outcome>,
    sockets: Vec<Socket>,
}

#[derive(Clone)]
struct Wire(Rc<RefCell<Net>>);

impl Net {
    fn next_due(&self) -> Option<(Time, usize, bool)> {
        let due = self.sockets.iter().enumerate();
        due.filter_map(|(slot, socket)| socket.due.map(|(at, works)| (at, slot, works)))
            .min()
    }
}

impl Driver for Wire {
    fn now(&self) -> Time {
        self.0.borrow().log.1.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.borrow().log.1.wall()
    }

    fn entropy(&mut self) -> u64 {
        1
    }

    fn waker(&self) -> Waker {
        Waker::noop().clone()
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        self.0.borrow().log.1.stopwatch()
    }

    fn backlog(&self) -> bool {
        let due = self.0.borrow().next_due();
        due.is_some_and(|(at, ..)| at <= self.now())
    }

    fn set_bytes_per_turn(&mut self, _: usize) {}

    fn wait(&mut self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn next(&mut self, _: &mut Lease) -> Option<Report> {
        let now = self.now();
        let mut net = self.0.borrow_mut();
        let (at, slot, works) = net.next_due()?;
        if at > now {
            return None;
        }
        let socket = &mut net.sockets[slot];
        socket.due = None;
        let token = Token {
            slot: u32::try_from(slot).unwrap(),
            generation: socket.generation,
        };
        if works {
            return Some(Report::Connected { conn: token });
        }
        socket.to = None;
        let error = io::Error::other("refused");
        Some(Report::Closed { token, error })
    }

    fn listen(&mut self, _: &Address, _: &ListenOptions) -> io::Result<(Token, Address)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&mut self, to: &Address, _: &ConnectOptions) -> io::Result<Token> {
        let now = self.now();
        let mut net = self.0.borrow_mut();
        net.log.note(format!("try {}", short(to)));
        let after = |milliseconds| now + Duration::from_millis(milliseconds);
        let due = match net.outcomes.get(&short(to)) {
            Some(Outcome::Accepts(delay)) => Some((after(*delay), true)),
            Some(Outcome::Refuses(delay)) => Some((after(*delay), false)),
            Some(Outcome::Silent) | None => None,
            Some(Outcome::Fails) => return Err(io::Error::other("no route")),
        };
        // A slot is never used again here: the order of the slots is that of the attempts.
        net.sockets.push(Socket {
            generation: 1,
            to: Some(to.clone()),
            due,
        });
        Ok(Token {
            slot: u32::try_from(net.sockets.len() - 1).unwrap(),
            generation: 1,
        })
    }

    fn start_reading(&mut self, _: Token) {}

    fn stop_reading(&mut self, _: Token) {}

    fn send(&mut self, _: Token, out: &mut Outgoing) -> io::Result<()> {
        out.consume(out.unsent());
        Ok(())
    }

    fn shutdown_write(&mut self, _: Token) {}

    fn close(&mut self, token: Token, _: bool) {
        let mut net = self.0.borrow_mut();
        let socket = &mut net.sockets[token.slot as usize];
        let to = socket.to.take().expect("it is closed once");
        socket.due = None;
        net.log.note(format!("close {}", short(&to)));
    }

    fn local_address(&self, _: Token) -> Address {
        Address::Unknown
    }

    fn set_option(&mut self, _: Token, _: SocketOption) -> io::Result<()> {
        Ok(())
    }
}

/// A resolver that the test answers for.
#[derive(Clone)]
pub(super) struct Names {
    log: Log,
    asked: Rc<RefCell<Vec<Resolver<Vec<SocketAddr>>>>>,
}

impl NameResolver for Names {
    fn lookup(&self, _: &Reactor, name: &HostName, port: u16) -> Deferred<Vec<SocketAddr>> {
        self.log.note(format!("look up {name}:{port}"));
        let (log, name) = (self.log.clone(), name.clone());
        let (resolver, deferred) =
            Deferred::with_canceller(move || log.note(format!("forget {name}")));
        self.asked.borrow_mut().push(resolver);
        deferred
    }
}

impl Names {
    /// The first question that has no answer yet.
    pub(super) fn question(&self) -> Resolver<Vec<SocketAddr>> {
        self.asked.borrow_mut().remove(0)
    }

    pub(super) fn answer(&self, names: &str) {
        let addresses = names.split_whitespace().map(address).collect();
        self.question().resolve(addresses);
    }
}

pub(super) struct Quiet;

impl Protocol for Quiet {}

pub(super) struct World {
    pub(super) reactor: Reactor,
    pub(super) names: Names,
    pub(super) log: Log,
    clock: ManualClock,
    net: Rc<RefCell<Net>>,
}

impl World {
    pub(super) fn new(outcomes: &[(&str, Outcome)]) -> Self {
        let clock = ManualClock::new();
        let log = Log(Rc::default(), clock.clone());
        let outcomes = outcomes
            .iter()
            .map(|(name, outcome)| ((*name).to_owned(), *outcome));
        let net = Rc::new(RefCell::new(Net {
            log: log.clone(),
            outcomes: outcomes.collect(),
            sockets: Vec::new(),
        }));
        let reactor = Reactor::with(Wire(Rc::clone(&net)));
        let names = Names {
            log: log.clone(),
            asked: Rc::default(),
        };
        reactor.set_name_resolver(names.clone());
        Self {
            reactor,
            names,
            log,
            clock,
            net,
        }
    }

    /// Connects; the factory and the end are logged.
    pub(super) fn connect(&self, to: &str) -> Deferred<()> {
        let (built, log) = (self.log.clone(), self.log.clone());
        let build = move |peer: &Address| {
            built.note(format!("build {}", short(peer)));
            Some(Quiet)
        };
        self.reactor.connect(to, build).add_both(move |result| {
            log.note(match result {
                Ok(connection) => {
                    // So that nothing but what is forgotten is left.
                    connection.transport().abort_connection();
                    "ok".to_owned()
                }
                Err(failure) => format!("failed: {failure}"),
            });
        })
    }

    /// Turns until nothing is left to do at this time.
    pub(super) fn settle(&self) {
        for _ in 0..1000 {
            let turned = self.reactor.turn(Some(Duration::ZERO));
            turned.expect("a turn here cannot fail");
            let due = self.reactor.next_deadline() == Some(Duration::ZERO);
            if !due && !self.reactor.has_backlog() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Lets so many milliseconds pass, from one event to the next.
    pub(super) fn pass(&self, milliseconds: u64) {
        let end = self.clock.now() + Duration::from_millis(milliseconds);
        self.settle();
        while self.clock.now() < end {
            let timed = self.reactor.next_deadline();
            let timed = timed.map(|until| self.clock.now() + until);
            let due = self.net.borrow().next_due().map(|(at, ..)| at);
            let next = [timed, due, Some(end)].into_iter().flatten().min();
            self.clock.advance_to(next.unwrap_or(end));
            self.settle();
        }
    }

    /// The reactor holds nothing that it did not hold at the beginning.
    #[track_caller]
    pub(super) fn check_nothing_left(&self) {
        self.settle();
        let statistics = self.reactor.statistics();
        let left = (statistics.timers, statistics.tasks, statistics.connections);
        assert_eq!(left, (0, 0, 0), "timers, tasks, connections");
        let open = self
            .net
            .borrow()
            .sockets
            .iter()
            .filter(|s| s.to.is_some())
            .count();
        assert_eq!(open, 0, "sockets");
        assert_eq!(self.reactor.0.lookups_waiting(), 0, "lookups");
    }
}
