//! A driver made of queues: both ends in one reactor, bounded buffers, slots used again at once, and late reports for
//! whoever had them before. No operating system.

use crate::{
    address::Address,
    clock::Clock,
    driver::{
        ConnectOptions, Driver, Lease, ListenOptions, Report, SocketOption, Stopwatch, Token,
    },
    outgoing::Outgoing,
    testing::ManualClock,
    time::Time,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::{Arc, Condvar, Mutex},
    task::{Wake, Waker},
    time::{Duration, SystemTime},
};

/// What one end keeps for the other that does not read.
const BUFFER: usize = 256 * 1024;

/// The timeouts that the loop waited with.
#[derive(Clone, Default)]
pub(super) struct Waits(Rc<RefCell<Vec<Option<Duration>>>>);

impl Waits {
    pub(super) fn last(&self) -> Option<Option<Duration>> {
        self.0.borrow().last().copied()
    }
}

#[derive(Default)]
struct Alarm(Mutex<bool>, Condvar);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

enum Socket {
    Free,
    Port {
        address: Address,
        waiting: VecDeque<(Token, Address)>,
    },
    Connecting,
    Conn(Box<Conn>),
}

#[derive(Default)]
struct Conn {
    peer: Option<Token>,
    local: Option<Address>,
    inbound: VecDeque<u8>,
    /// The peer sends no more.
    ended: bool,
    end_told: bool,
    /// The peer has closed and throws away what comes.
    discards: bool,
    broken: Option<io::ErrorKind>,
    reading: bool,
    /// A send that did not fit.
    wants_room: bool,
    connected_untold: bool,
    write_shut: bool,
    /// Read in this turn.
    in_turn: usize,
}

pub(super) struct Loopback {
    clock: ManualClock,
    waits: Waits,
    alarm: Arc<Alarm>,
    sockets: Vec<(u32, Socket)>,
    bytes_per_turn: usize,
    next_port: u16,
    /// Where `next` goes on, and how many it has looked at without finding anything.
    at: usize,
    reports: VecDeque<Report>,
    entropy: u64,
}

impl Loopback {
    pub(super) fn new(clock: ManualClock, waits: Waits) -> Self {
        Self {
            clock,
            waits,
            alarm: Arc::default(),
            sockets: Vec::new(),
            bytes_per_turn: 65_536,
            next_port: 1024,
            at: 0,
            reports: VecDeque::new(),
            entropy: 1,
        }
    }

    fn add(&mut self, socket: Socket) -> Token {
        let free = self
            .sockets
            .iter()
            .position(|(_, socket)| matches!(socket, Socket::Free));
        let slot = free.unwrap_or_else(|| {
            self.sockets.push((0, Socket::Free));
            self.sockets.len() - 1
        });
        let entry = &mut self.sockets[slot];
        *entry = (entry.0 + 1, socket);
        Token {
            slot: u32::try_from(slot).unwrap(),
            generation: entry.0,
        }
    }

    /// Reports that come when their socket has gone and its slot has been given out again: they must reach nobody.
    fn report_late(&mut self, token: Token) {
        self.reports.extend([
            Report::Data { conn: token },
            Report::ReadClosed { conn: token },
            Report::Sent {
                conn: token,
                bytes: 0,
                emptied: None,
            },
            Report::Connected { conn: token },
            Report::Closed {
                token,
                error: io::ErrorKind::ConnectionReset.into(),
            },
        ]);
    }

    fn conn(&mut self, token: Token) -> Option<&mut Conn> {
        match self.sockets.get_mut(token.slot as usize) {
            Some((generation, Socket::Conn(conn))) if *generation == token.generation => Some(conn),
            _ => None,
        }
    }

    fn port(&self, address: &Address) -> Option<Token> {
        let found = self.sockets.iter().position(
            |(_, socket)| matches!(socket, Socket::Port { address: at, .. } if at == address),
        )?;
        Some(Token {
            slot: u32::try_from(found).unwrap(),
            generation: self.sockets[found].0,
        })
    }

    /// Whether this socket's peer can take more, or has gone, which a send will find out.
    fn has_room(&self, conn: &Conn) -> bool {
        let far = conn.peer.and_then(|peer| {
            let (generation, socket) = self.sockets.get(peer.slot as usize)?;
            (*generation == peer.generation).then_some(socket)
        });
        !matches!(far, Some(Socket::Conn(far)) if far.inbound.len() >= BUFFER)
    }

    /// Whether this socket has something to report now.
    fn is_ready(&self, slot: usize) -> bool {
        match &self.sockets[slot].1 {
            Socket::Free | Socket::Connecting => false,
            Socket::Port { waiting, .. } => !waiting.is_empty(),
            Socket::Conn(conn) => {
                conn.connected_untold
                    || conn.broken.is_some()
                    || conn.wants_room && self.has_room(conn)
                    || conn.reading && (!conn.inbound.is_empty() || conn.ended && !conn.end_told)
            }
        }
    }

    fn report(&mut self, slot: usize, lease: &mut Lease) -> Option<Report> {
        if !self.is_ready(slot) {
            return None;
        }
        let limit = self.bytes_per_turn;
        let room = match &self.sockets[slot].1 {
            Socket::Conn(conn) => self.has_room(conn),
            Socket::Free | Socket::Connecting | Socket::Port { .. } => false,
        };
        let token = Token {
            slot: u32::try_from(slot).unwrap(),
            generation: self.sockets[slot].0,
        };
        match &mut self.sockets[slot].1 {
            Socket::Free | Socket::Connecting => None,
            Socket::Port { waiting, .. } => {
                let (conn, peer) = waiting.pop_front()?;
                Some(Report::Accepted {
                    port: token,
                    conn,
                    peer,
                })
            }
            Socket::Conn(conn) => {
                if std::mem::take(&mut conn.connected_untold) {
                    return Some(Report::Connected { conn: token });
                }
                if let Some(kind) = conn.broken {
                    self.sockets[slot].1 = Socket::Free;
                    return Some(Report::Closed {
                        token,
                        error: kind.into(),
                    });
                }
                if room && std::mem::take(&mut conn.wants_room) {
                    return Some(Report::Sent {
                        conn: token,
                        bytes: 0,
                        emptied: None,
                    });
                }
                let length = conn.inbound.len().min(4096).min(limit - conn.in_turn);
                if !conn.inbound.is_empty() {
                    if length == 0 {
                        return None;
                    }
                    conn.in_turn += length;
                    lease.buffer = conn.inbound.drain(..length).collect();
                    lease.length = length;
                    return Some(Report::Data { conn: token });
                }
                conn.end_told = true;
                Some(Report::ReadClosed { conn: token })
            }
        }
    }
}

impl Driver for Loopback {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    fn entropy(&mut self) -> u64 {
        self.entropy += 1;
        self.entropy
    }

    fn waker(&self) -> Waker {
        Arc::clone(&self.alarm).into()
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        self.clock.stopwatch()
    }

    fn backlog(&self) -> bool {
        !self.reports.is_empty() || (0..self.sockets.len()).any(|slot| self.is_ready(slot))
    }

    fn set_bytes_per_turn(&mut self, bytes: usize) {
        self.bytes_per_turn = bytes;
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.waits.0.borrow_mut().push(timeout);
        self.at = 0;
        let ready = self.backlog();
        for (_, socket) in &mut self.sockets {
            if let Socket::Conn(conn) = socket {
                conn.in_turn = 0;
            }
        }
        let mut woken = self.alarm.0.lock().unwrap();
        // Time is set by hand: a wait with a timeout is over at once, one without waits for a thread.
        while timeout.is_none() && !ready && !*woken {
            woken = self.alarm.1.wait(woken).unwrap();
        }
        *woken = false;
        Ok(())
    }

    fn next(&mut self, lease: &mut Lease) -> Option<Report> {
        if let Some(report) = self.reports.pop_front() {
            if matches!(report, Report::Data { .. }) {
                lease.buffer = (*b"late").into();
                lease.length = 4;
            }
            return Some(report);
        }
        while self.at < self.sockets.len() {
            if let Some(report) = self.report(self.at, lease) {
                return Some(report);
            }
            self.at += 1;
        }
        None
    }

    fn listen(&mut self, at: &Address, _: &ListenOptions) -> io::Result<(Token, Address)> {
        let ip = at.ip().ok_or(io::ErrorKind::Unsupported)?;
        let port = match at.port() {
            Some(0) | None => {
                self.next_port += 1;
                self.next_port
            }
            Some(port) => port,
        };
        let address = Address::from(SocketAddr::new(ip, port));
        if self.port(&address).is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let token = self.add(Socket::Port {
            address: address.clone(),
            waiting: VecDeque::new(),
        });
        Ok((token, address))
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> io::Result<Token> {
        let bind = options.bind.as_ref().and_then(Address::ip);
        if bind.is_some_and(|ip| !ip.is_loopback()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        if to.ip() == Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))) {
            return Ok(self.add(Socket::Connecting));
        }
        let Some(port) = self.port(to) else {
            let token = self.add(Socket::Connecting);
            self.reports.push_back(Report::Closed {
                token,
                error: io::ErrorKind::ConnectionRefused.into(),
            });
            return Ok(token);
        };
        self.next_port += 1;
        let from = Address::from(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.next_port));
        let near = self.add(Socket::Conn(Box::new(Conn {
            local: Some(from.clone()),
            connected_untold: true,
            ..Conn::default()
        })));
        let far = self.add(Socket::Conn(Box::new(Conn {
            local: Some(to.clone()),
            peer: Some(near),
            ..Conn::default()
        })));
        self.conn(near).unwrap().peer = Some(far);
        match &mut self.sockets[port.slot as usize].1 {
            Socket::Port { waiting, .. } => waiting.push_back((far, from)),
            _ => unreachable!("it was found"),
        }
        Ok(near)
    }

    fn start_reading(&mut self, token: Token) {
        let Some(conn) = self.conn(token) else { return };
        conn.reading = true;
        if token.generation > 1 {
            self.report_late(Token {
                generation: token.generation - 1,
                ..token
            });
        }
    }

    fn stop_reading(&mut self, token: Token) {
        if let Some(conn) = self.conn(token) {
            conn.reading = false;
        }
    }

    fn send(&mut self, token: Token, out: &mut Outgoing) -> io::Result<()> {
        let conn = self.conn(token).expect("the core knows who lives");
        assert!(!conn.write_shut || out.is_empty(), "sent after the end");
        let peer = conn.peer;
        if conn.discards {
            out.consume(out.unsent());
            return Ok(());
        }
        let Some(far) = peer.and_then(|peer| self.conn(peer)) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut slices = [IoSlice::new(&[]); 8];
        let mut sent = 0;
        let count = out.slices(&mut slices);
        for slice in &slices[..count] {
            let fits = slice.len().min(BUFFER - far.inbound.len());
            far.inbound.extend(&slice[..fits]);
            sent += fits;
        }
        out.consume(sent);
        self.conn(token).unwrap().wants_room = !out.is_empty();
        Ok(())
    }

    fn shutdown_write(&mut self, token: Token) {
        let conn = self.conn(token).expect("the core knows who lives");
        conn.write_shut = true;
        let peer = conn.peer;
        if let Some(far) = peer.and_then(|peer| self.conn(peer)) {
            far.ended = true;
        }
    }

    fn close(&mut self, token: Token, abort: bool) {
        let Some((generation, socket)) = self.sockets.get_mut(token.slot as usize) else {
            return;
        };
        if *generation != token.generation {
            return;
        }
        match std::mem::replace(socket, Socket::Free) {
            Socket::Port { waiting, .. } => {
                for (conn, _) in waiting {
                    self.close(conn, true);
                }
            }
            Socket::Conn(conn) => {
                if let Some(far) = conn.peer.and_then(|peer| self.conn(peer)) {
                    far.ended = true;
                    far.discards = true;
                    if abort {
                        far.broken = Some(io::ErrorKind::ConnectionReset);
                    }
                }
            }
            Socket::Free | Socket::Connecting => {}
        }
    }

    fn local_address(&self, token: Token) -> Address {
        match &self.sockets[token.slot as usize].1 {
            Socket::Conn(conn) => conn.local.clone().unwrap_or(Address::Unknown),
            Socket::Port { address, .. } => address.clone(),
            Socket::Free | Socket::Connecting => Address::Unknown,
        }
    }

    fn set_option(&mut self, _: Token, _: SocketOption) -> io::Result<()> {
        Ok(())
    }
}
