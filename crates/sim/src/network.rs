//! The virtual network: what is in flight between the hosts, and the connections they have. Moves segments when they
//! are due; never moves the clock, and calls no driver and no reactor.

use crate::{
    children::{ChildId, Children},
    crash::crashed,
    datagrams::{Datagram, DatagramPorts, PortId},
    faults::{Fault, Faults, Partitions},
    host::{Accepting, EMFILE, Host, Listener, ListenerKey, loopback},
    names::NameTable,
    process::{Process, Socket},
    stream::{End, EndId, Event, Owner, Segment, is_client, peer_of},
    world::{Policy, Statistics},
};
use fastrand::Rng;
use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tress_core::{
    Time,
    clock::Clock as _,
    driver::{ListenOptions, Report, Token},
    jobs::JobId,
    outgoing::Outgoing,
    process::ExitStatus,
    testing::ManualClock,
};

/// Pieces of output that are looked at for one segment.
const SLICES: usize = 16;
/// The calendar of a simulation starts here, so that certificates are valid: the first second of 2026.
const CALENDAR_START: Duration = Duration::from_secs(1_767_225_600);
/// How much longer a late segment takes, at most.
const LATE: Duration = Duration::from_millis(500);
/// How long a partition lasts that comes by chance, at most.
const PARTITION: Duration = Duration::from_secs(2);
/// How late a port hears of a connection, at most; and how long descriptors are out, at most.
const LATE_ACCEPT: Duration = Duration::from_secs(1);
/// What a small window is of a usual one.
const SMALL_WINDOW: usize = 64;

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) clock: ManualClock,
    pub(crate) policy: Policy,
    pub(crate) statistics: Statistics,
    pub(crate) names: NameTable,
    pub(crate) datagrams: DatagramPorts,
    pub(crate) children: Children,
    pub(crate) faults: Faults,
    pub(crate) partitions: Partitions,
    /// The calendar's time at time zero, since the UNIX epoch.
    pub(crate) calendar: Duration,
    /// What children read passes through it.
    pub(crate) scratch: Vec<u8>,
    rng: Rng,
    hosts: Vec<Host>,
    processes: Vec<Process>,
    ends: BTreeMap<EndId, End>,
    next_end: EndId,
    /// By arrival, FIFO among equals.
    flights: BTreeMap<(Time, u64), Flight>,
    flown: u64,
}

#[derive(Debug)]
pub(crate) enum Flight {
    /// An attempt to connect.
    Attempt {
        client: EndId,
        host: usize,
        to: SocketAddr,
    },
    Segment {
        end: EndId,
        /// Where that end is, or was, if that is known.
        host: Option<usize>,
        segment: Segment,
    },
    /// A port hears of what has come to it.
    Look(Owner),
    /// Listeners of this host that found no descriptor try again.
    Retry {
        host: usize,
    },
    Datagram(Datagram),
    /// A job has had its time.
    Job {
        process: usize,
        job: JobId,
    },
    /// A datagram that this port sent found nobody.
    Unreachable {
        port: PortId,
        to: SocketAddr,
    },
    /// A child's program is loaded.
    Started {
        child: ChildId,
    },
    /// The time is over that a child asked for.
    Alarm {
        child: ChildId,
    },
    /// A child has ended, which this driver waits for.
    Exited {
        child: ChildId,
        parent: Owner,
        status: ExitStatus,
    },
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            clock: ManualClock::new(),
            policy: Policy::default(),
            statistics: Statistics::default(),
            names: NameTable::new(),
            datagrams: DatagramPorts::default(),
            children: Children::default(),
            faults: Faults::new(seed),
            partitions: Partitions::default(),
            calendar: CALENDAR_START,
            scratch: Vec::new(),
            rng: Rng::with_seed(seed),
            hosts: Vec::new(),
            processes: Vec::new(),
            ends: BTreeMap::new(),
            next_end: 0,
            flights: BTreeMap::new(),
            flown: 0,
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// A generator of its own for somebody who must not disturb the network's.
    pub(crate) fn fork_rng(&mut self) -> Rng {
        self.rng.fork()
    }

    /// The host that has this address.
    pub(crate) fn host_of(&self, ip: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.has_address(ip))
    }

    /// The host that has this address, made if there is none.
    pub(crate) fn host_at(&mut self, ip: IpAddr) -> usize {
        self.host_of(ip).unwrap_or_else(|| {
            self.hosts.push(Host::new(ip));
            self.hosts.len() - 1
        })
    }

    /// How many hosts there are.
    pub(crate) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    pub(crate) fn host_mut(&mut self, host: usize) -> &mut Host {
        &mut self.hosts[host]
    }

    pub(crate) fn add_process(&mut self, host: usize) -> usize {
        self.processes.push(Process::new(host));
        self.processes.len() - 1
    }

    pub(crate) fn process(&self, process: usize) -> &Process {
        &self.processes[process]
    }

    /// The drivers and children of a host.
    pub(crate) fn processes_of(&self, host: usize) -> Vec<usize> {
        let all = 0..self.processes.len();
        all.filter(|process| self.processes[*process].host == host)
            .collect()
    }

    /// Whether the host of a driver is as it was when that driver was made.
    pub(crate) fn check_alive(&self, process: usize) -> io::Result<()> {
        match self.processes[process].is_dead {
            true => Err(crashed()),
            false => Ok(()),
        }
    }

    /// An end is no more, and nobody is told.
    pub(crate) fn forget_end(&mut self, id: EndId) {
        self.ends.remove(&id);
    }

    /// A listener is no more, and nobody is told.
    pub(crate) fn forget_listener(&mut self, host: usize, key: ListenerKey) {
        if let Some(listener) = self.hosts[host].listeners.remove(&key) {
            for id in listener.queue {
                self.ends.remove(&id);
            }
            for (client, to) in listener.waiting {
                let attempt = Flight::Attempt { client, host, to };
                self.hosts[host].missed.push(attempt);
            }
        }
    }

    pub(crate) fn process_mut(&mut self, process: usize) -> &mut Process {
        &mut self.processes[process]
    }

    /// When the next segment arrives, or a program goes on.
    pub(crate) fn next_arrival(&self) -> Option<Time> {
        if self.children.is_runnable() {
            return Some(self.now());
        }
        let first = self.flights.first_key_value();
        first.map(|((at, _), _)| *at)
    }

    /// Hands over everything that has arrived by now.
    pub(crate) fn deliver_due(&mut self) {
        let now = self.now();
        while let Some(first) = self.flights.first_entry() {
            let at = first.key().0;
            if at > now {
                return;
            }
            let flight = first.remove();
            let host = match &flight {
                Flight::Attempt { host, .. } => Some(*host),
                Flight::Segment { host, .. } => *host,
                _ => None,
            };
            let Err(flight) = self.is_missed(flight, host) else {
                continue;
            };
            match flight {
                Flight::Attempt { client, host, to } => self.attempt_arrives(at, client, host, to),
                Flight::Segment { end, segment, .. } => self.segment_arrives(at, end, segment),
                Flight::Look(owner) => self.requeue(owner.process, owner.slot),
                Flight::Retry { host } => {
                    let retrying = self.hosts[host].retry();
                    self.make_ready(retrying);
                }
                Flight::Job { process, job } => self.job_ends(at, process, job),
                Flight::Datagram(datagram) => self.datagram_arrives(&datagram),
                Flight::Unreachable { port, to } => self.unreachable_arrives(port, to),
                Flight::Started { child } => self.child_started(child),
                Flight::Alarm { child } => self.child_alarm(child),
                Flight::Exited {
                    child,
                    parent,
                    status,
                } => self.exit_arrives(child, parent, status),
            }
        }
    }

    /// More descriptors may be used on this host than before, or fewer.
    pub(crate) fn set_descriptor_limit(&mut self, host: usize, limit: Option<usize>) {
        let retrying = self.hosts[host].set_limit(limit);
        self.make_ready(retrying);
    }

    pub(crate) fn listen(
        &mut self,
        process: usize,
        at: SocketAddr,
        options: &ListenOptions,
    ) -> io::Result<(Token, SocketAddr)> {
        self.check_alive(process)?;
        if options.reuse_port {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the simulator has one socket for each port: `reuse` is not for it",
            ));
        }
        let host = &mut self.hosts[self.processes[process].host];
        let at = host.place(at)?;
        host.take_descriptor()?;
        let key = (at.port(), at.ip());
        let token = self.processes[process].add(Socket::Port(key));
        let slot = token.slot;
        let listener = Listener::new(Owner { process, slot }, options.backlog);
        host.listeners.insert(key, listener);
        Ok((token, at))
    }

    pub(crate) fn connect(
        &mut self,
        process: usize,
        mut to: SocketAddr,
        bind: Option<SocketAddr>,
    ) -> io::Result<Token> {
        self.check_alive(process)?;
        if to.ip().is_unspecified() {
            to.set_ip(loopback(to.ip()));
        }
        if self.faults.strikes(Fault::NoDescriptor) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let own = self.processes[process].host;
        let target = if to.ip().is_loopback() {
            Some(own)
        } else {
            self.host_of(to.ip())
        };
        let host = &mut self.hosts[own];
        host.take_descriptor()?;
        let from = match host.source(to.ip(), bind) {
            Ok(from) => from,
            Err(error) => {
                self.free_descriptor(process);
                return Err(error);
            }
        };
        let client = self.new_end();
        let token = self.processes[process].add(Socket::Stream(client));
        let slot = token.slot;
        let mut end = End::opening(from, to, self.window());
        end.owner = Some(Owner { process, slot });
        end.hosts = (own, target.unwrap_or(own));
        self.ends.insert(client, end);
        // Whoever is not there never answers.
        if let Some(host) = target
            && !self.faults.strikes(Fault::BlackHoledConnect)
        {
            let now = self.now();
            let from = self.partitions.until(own, host, now).unwrap_or(now);
            let at = from + self.latency();
            self.launch(at, Flight::Attempt { client, host, to });
        }
        Ok(token)
    }

    pub(crate) fn set_reading(&mut self, process: usize, token: Token, reading: bool) {
        match self.processes[process].get(token) {
            Some(Socket::Stream(id)) => {
                if let Some(end) = self.ends.get_mut(&id) {
                    end.set_reading(reading);
                }
            }
            Some(Socket::Port(key)) => {
                let host = self.processes[process].host;
                if let Some(listener) = self.hosts[host].listeners.get_mut(&key) {
                    listener.accepting = match reading {
                        true => Accepting::Yes,
                        false => Accepting::Stopped,
                    };
                }
            }
            Some(Socket::Datagrams(_) | Socket::Child(_)) | None => return,
        }
        self.requeue(process, token.slot);
    }

    /// Takes from `out` what the window has room for, and sends it in pieces of a size that the seed decides.
    pub(crate) fn send(
        &mut self,
        process: usize,
        token: Token,
        out: &mut Outgoing,
    ) -> io::Result<()> {
        let (id, mut left) = self.reserve(process, token, out.unsent())?;
        while left > 0 {
            let size = self.segment_size().min(left);
            let bytes = copy_front(out, size);
            out.consume(bytes.len());
            left -= bytes.len();
            self.transmit(self.now(), peer_of(id), Segment::Data(bytes));
        }
        Ok(())
    }

    /// Sends what the window has room for, and says how much that is.
    pub(crate) fn send_bytes(
        &mut self,
        process: usize,
        token: Token,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let (id, sent) = self.reserve(process, token, bytes.len())?;
        let mut left = &bytes[..sent];
        while !left.is_empty() {
            let (piece, rest) = left.split_at(self.segment_size().min(left.len()));
            self.transmit(self.now(), peer_of(id), Segment::Data(piece.to_vec()));
            left = rest;
        }
        Ok(sent)
    }

    fn reserve(
        &mut self,
        process: usize,
        token: Token,
        wanted: usize,
    ) -> io::Result<(EndId, usize)> {
        let Some(Socket::Stream(id)) = self.processes[process].get(token) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let is_short = wanted > 1 && self.faults.strikes(Fault::ShortWrite);
        let most = if is_short {
            self.faults.up_to(wanted - 1)
        } else {
            wanted
        };
        let end = self.ends.get_mut(&id);
        let end = end.ok_or(io::ErrorKind::NotConnected)?;
        let count = end.reserve(wanted, most)?;
        if is_short {
            self.requeue(process, token.slot);
        }
        Ok((id, count))
    }

    pub(crate) fn shutdown_write(&mut self, process: usize, token: Token) {
        if let Some(Socket::Stream(id)) = self.processes[process].get(token)
            && let Some(end) = self.ends.get_mut(&id)
            && let Some(segment) = end.shut()
        {
            self.transmit(self.now(), peer_of(id), segment);
        }
    }

    pub(crate) fn close(&mut self, process: usize, token: Token, abort: bool) {
        let Some(socket) = self.processes[process].remove(token) else {
            return;
        };
        let now = self.now();
        let host = self.processes[process].host;
        match socket {
            Socket::Port(key) => self.close_listener(now, host, key),
            Socket::Datagrams(id) => self.datagrams.close(id),
            Socket::Child(id) => self.give_up_child(id, abort),
            Socket::Stream(id) => {
                if let Some(end) = self.ends.remove(&id) {
                    if let Some(local) = end.address().filter(|_| is_client(id)) {
                        self.hosts[host].release_port(local.port());
                    }
                    for segment in end.close(abort).into_iter().flatten() {
                        self.transmit(now, peer_of(id), segment);
                    }
                }
            }
        }
        self.free_descriptor(process);
    }

    /// A driver has one descriptor fewer open. What children have open is not counted.
    pub(crate) fn free_descriptor(&mut self, process: usize) {
        let process = &self.processes[process];
        if process.child.is_none() {
            let retrying = self.hosts[process.host].free_descriptor();
            self.make_ready(retrying);
        }
    }

    /// Names for the two ends of a new connection: this one and its [`peer_of`].
    pub(crate) fn new_end(&mut self) -> EndId {
        let new = self.next_end;
        self.next_end += 2;
        new
    }

    pub(crate) fn insert_end(&mut self, id: EndId, end: End) {
        self.ends.insert(id, end);
    }

    pub(crate) fn end(&self, id: EndId) -> Option<&End> {
        self.ends.get(&id)
    }

    pub(crate) fn local_address(&self, process: usize, token: Token) -> Option<SocketAddr> {
        match self.processes[process].get(token)? {
            Socket::Port((port, ip)) => Some(SocketAddr::new(ip, port)),
            Socket::Stream(id) => self.ends.get(&id)?.address(),
            Socket::Datagrams(id) => self.datagrams.local_address(id),
            Socket::Child(_) => None,
        }
    }

    /// The next report of a slot. What it reads, it reads to `buffer`.
    pub(crate) fn report(&mut self, process: usize, slot: u32, buffer: &mut [u8]) -> Reported {
        match self.processes[process].at(slot) {
            Some((token, Socket::Port(key))) => self.accept(process, token, key),
            Some((token, Socket::Stream(id))) => self.stream_report(process, token, id, buffer),
            Some((token, Socket::Child(id))) => self.child_report(process, token, id),
            Some((_, Socket::Datagrams(_))) | None => Reported::Nothing,
        }
    }

    /// Makes the slot ready if it has something to report.
    pub(crate) fn requeue(&mut self, process: usize, slot: u32) {
        let has_report = match self.processes[process].at(slot) {
            Some((_, Socket::Port(key))) => {
                let host = &self.hosts[self.processes[process].host];
                host.listeners.get(&key).is_some_and(Listener::has_report)
            }
            Some((_, Socket::Stream(id))) => {
                self.ends.get(&id).is_some_and(|end| end.event().is_some())
            }
            Some((_, Socket::Datagrams(id))) => self.datagrams.has_report(id),
            Some((_, Socket::Child(id))) => self.children.has_exited(id),
            None => false,
        };
        if has_report {
            self.processes[process].make_ready(slot);
            if let Some(child) = self.processes[process].child {
                self.children.wake(child);
            }
        }
    }

    fn stream_report(
        &mut self,
        process: usize,
        conn: Token,
        id: EndId,
        buffer: &mut [u8],
    ) -> Reported {
        let Some(end) = self.ends.get_mut(&id) else {
            return Reported::Nothing;
        };
        let Some(event) = end.event() else {
            return Reported::Nothing;
        };
        if event == Event::Data && self.faults.strikes(Fault::SpuriousReadiness) {
            return Reported::Report(sent(conn));
        }
        end.reported(event);
        Reported::Report(match event {
            Event::Connected => Report::Connected { conn },
            Event::Sent => sent(conn),
            Event::ReadClosed => Report::ReadClosed { conn },
            Event::Closed(kind) => {
                self.close(process, conn, true);
                let error = kind.into();
                Report::Closed { token: conn, error }
            }
            Event::Data => {
                let length = end.read(buffer);
                if length > 0 {
                    self.statistics.bytes += length as u64;
                    self.transmit(self.now(), peer_of(id), Segment::Credit(length));
                }
                return Reported::Data(conn, length);
            }
        })
    }

    fn accept(&mut self, process: usize, port: Token, key: ListenerKey) -> Reported {
        let now = self.now();
        let host_index = self.processes[process].host;
        let host = &mut self.hosts[host_index];
        if !host.listeners.get(&key).is_some_and(Listener::has_report) {
            return Reported::Nothing;
        }
        let strikes = self.faults.strikes(Fault::NoDescriptor);
        let descriptor = match strikes {
            true => Err(io::Error::from_raw_os_error(EMFILE)),
            false => host.take_descriptor(),
        };
        let Some(listener) = host.listeners.get_mut(&key) else {
            return Reported::Nothing;
        };
        if let Err(error) = descriptor {
            listener.accepting = Accepting::Starved;
            if strikes {
                let at = now + self.faults.while_up_to(LATE_ACCEPT);
                self.launch(at, Flight::Retry { host: host_index });
            }
            return Reported::Report(Report::AcceptFailed { port, error });
        }
        let id = listener.queue.pop_front().expect("has_report saw one");
        let conn = self.processes[process].add(Socket::Stream(id));
        let end = self.ends.get_mut(&id).expect("the queue holds living ends");
        let slot = conn.slot;
        end.owner = Some(Owner { process, slot });
        let peer = end.peer.into();
        self.statistics.connections += 1;
        self.requeue(process, slot);
        self.refill(now, host_index, key);
        Reported::Report(Report::Accepted { port, conn, peer })
    }

    /// Lets attempts that waited unanswered into the backlog.
    fn refill(&mut self, now: Time, host: usize, key: ListenerKey) {
        while let Some(listener) = self.hosts[host].listeners.get_mut(&key)
            && !listener.is_full()
            && let Some((client, to)) = listener.waiting.pop_front()
        {
            self.attempt_arrives(now, client, host, to);
        }
    }

    fn attempt_arrives(&mut self, at: Time, client: EndId, host: usize, to: SocketAddr) {
        // Whoever gave up meanwhile is forgotten.
        let Some(from) = self.ends.get(&client).map(|end| end.local) else {
            return;
        };
        let hosts = (host, self.ends[&client].hosts.0);
        let host = &mut self.hosts[host];
        let listener = host
            .listener_at(to)
            .and_then(|key| host.listeners.get_mut(&key));
        let Some(listener) = listener.filter(|_| !self.faults.strikes(Fault::RefusedConnect))
        else {
            self.statistics.refused += 1;
            return self.transmit(at, client, Segment::Refused);
        };
        if listener.is_full() {
            return listener.waiting.push_back((client, to));
        }
        let server = peer_of(client);
        listener.queue.push_back(server);
        let owner = listener.owner;
        let mut end = End::accepted(to, from, self.window());
        end.hosts = hosts;
        self.ends.insert(server, end);
        self.transmit(at, client, Segment::Accepted);
        if self.faults.strikes(Fault::LateAccept) {
            let at = at + self.faults.while_up_to(LATE_ACCEPT);
            self.launch(at, Flight::Look(owner));
        } else {
            self.requeue(owner.process, owner.slot);
        }
    }

    fn segment_arrives(&mut self, at: Time, id: EndId, segment: Segment) {
        self.statistics.segments += 1;
        let Some(end) = self.ends.get_mut(&id) else {
            if matches!(segment, Segment::Data(_) | Segment::Accepted) {
                self.transmit(at, peer_of(id), Segment::Reset);
            }
            return;
        };
        if matches!(segment, Segment::Reset) {
            self.statistics.resets += 1;
        }
        end.arrive(segment);
        if let Some(owner) = end.owner {
            self.requeue(owner.process, owner.slot);
        }
    }

    fn close_listener(&mut self, now: Time, host: usize, key: ListenerKey) {
        let Some(listener) = self.hosts[host].listeners.remove(&key) else {
            return;
        };
        for server in listener.queue {
            self.ends.remove(&server);
            self.transmit(now, peer_of(server), Segment::Reset);
        }
        for (client, _) in listener.waiting {
            self.transmit(now, client, Segment::Refused);
        }
    }

    /// Sends a segment to an end, behind everything that is on its way there.
    fn transmit(&mut self, from: Time, end: EndId, segment: Segment) {
        let Some(receiver) = self.ends.get(&end) else {
            // Bytes for an end that has gone are answered by a reset; nothing else is missed there.
            if matches!(segment, Segment::Data(_)) {
                let host = self.ends.get(&peer_of(end)).map(|end| end.hosts.1);
                let at = from + self.latency();
                self.launch(at, Flight::Segment { end, host, segment });
            }
            return;
        };
        let (to, by) = receiver.hosts;
        let size = match &segment {
            Segment::Data(bytes) => bytes.len(),
            _ => 0,
        };
        if to != by && size > 0 && self.faults.strikes(Fault::Reset) {
            self.send_to(from, end, Segment::Reset, 0);
            return self.send_to(from, peer_of(end), Segment::Reset, 0);
        }
        self.send_to(from, end, segment, size);
    }

    fn send_to(&mut self, from: Time, end: EndId, segment: Segment, size: usize) {
        let mut at = from + self.latency();
        let Some(receiver) = self.ends.get(&end) else {
            return;
        };
        let (to, by) = receiver.hosts;
        if to != by {
            if self.faults.strikes(Fault::LateSegment) {
                at = at + self.faults.while_up_to(LATE);
            }
            if self.faults.strikes(Fault::Partition) {
                let until = from + self.faults.while_up_to(PARTITION);
                self.partitions.begin(to, by, until, from);
            }
            if let Some(until) = self.partitions.until(to, by, from) {
                at = until + at.since(from);
            }
        }
        let bandwidth = self.policy.bandwidth;
        let receiver = self.ends.get_mut(&end).expect("it was there");
        if bandwidth > 0 {
            // The segment before it has to be through.
            let free = receiver.link_free.max(from);
            let nanos = size as u128 * 1_000_000_000 / bandwidth as u128;
            let through = free + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            receiver.link_free = through;
            at = at + through.since(from);
        }
        at = at.max(receiver.latest);
        receiver.latest = at;
        let host = Some(to);
        self.launch(at, Flight::Segment { end, host, segment });
    }

    /// How much a new connection holds, each way.
    fn window(&mut self) -> usize {
        match self.faults.strikes(Fault::SmallWindow) {
            true => self.policy.window.div_ceil(SMALL_WINDOW),
            false => self.policy.window,
        }
    }

    pub(crate) fn launch(&mut self, at: Time, flight: Flight) {
        self.flights.insert((at, self.flown), flight);
        self.flown += 1;
    }

    pub(crate) fn latency(&mut self) -> Duration {
        let Policy {
            latency, jitter, ..
        } = self.policy;
        let spread = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX / 2);
        let extra = Duration::from_nanos(self.rng.u64(0..=spread.saturating_mul(2)));
        (latency + extra).saturating_sub(jitter)
    }

    /// How long the next job takes.
    pub(crate) fn job_time(&mut self) -> Duration {
        let most = u64::try_from(self.policy.job.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.u64(0..=most))
    }

    /// Half of the segments are tiny: a protocol must not care where its bytes are cut.
    fn segment_size(&mut self) -> usize {
        let most = self.policy.segment.max(1);
        let most = if self.rng.bool() { most.min(16) } else { most };
        self.rng.usize(1..=most)
    }

    fn make_ready(&mut self, owners: Vec<Owner>) {
        for owner in owners {
            self.requeue(owner.process, owner.slot);
        }
    }
}

fn sent(conn: Token) -> Report {
    Report::Sent {
        conn,
        bytes: 0,
        emptied: None,
    }
}

/// What a slot had to say.
pub(crate) enum Reported {
    Nothing,
    /// This many bytes were read to the buffer; none when there was no room in it.
    Data(Token, usize),
    Report(Report),
}

/// A copy of the first `size` bytes of `out`, or of fewer when they are in many pieces.
fn copy_front(out: &Outgoing, size: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = out.slices(&mut slices);
    let mut bytes = Vec::with_capacity(size);
    for slice in &slices[..count] {
        let left = size - bytes.len();
        bytes.extend_from_slice(&slice[..left.min(slice.len())]);
    }
    bytes
}
