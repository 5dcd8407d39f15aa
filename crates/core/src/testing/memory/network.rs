//! The network of the memory driver: queues between connections. Knows no clock and no driver.

use crate::{
    address::Address,
    driver::{Lease, Report, Token},
    jobs::{Job, JobLimits, JobQueue},
    reactor::SignalSender,
    signal::Signal,
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

/// Bytes that wait between two linked ends before the writer has to wait too.
pub const LINK_BYTES: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Network {
    /// A slot is never given out twice.
    pub(super) places: Vec<Place>,
    pub(super) entropy: u64,
    pub(super) jobs: JobQueue,
    /// How many of those this turn may report.
    pub(super) jobs_due: usize,
    pub(super) job_limits: JobLimits,
    pub(super) signals: BTreeMap<Signal, SignalSender>,
}

#[derive(Debug)]
pub(super) enum Place {
    Port(ListeningPort),
    Conn(Conn),
}

#[derive(Debug)]
pub(super) struct ListeningPort {
    pub(super) local: Address,
    pub(super) paused: bool,
    pub(super) closed: bool,
    pub(super) waiting: VecDeque<Token>,
    /// How many of those this turn may report.
    pub(super) due: usize,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) local: Address,
    pub(super) peer: Address,
    pub(super) arrived: VecDeque<Arrived>,
    /// How many of those this turn may report.
    pub(super) due: usize,
    pub(super) reading: bool,
    /// The other end, when it is one of ours.
    pub(super) other: Option<u32>,
    /// What left for a peer that is not one of ours, and how many bytes more that takes.
    pub(super) sent: Vec<u8>,
    pub(super) window: usize,
    pub(super) write_closed: bool,
    /// Somebody waits for room.
    pub(super) blocked: bool,
    pub(super) end: Option<End>,
}

/// What comes to a connection.
#[derive(Debug)]
pub(super) enum Arrived {
    Connected,
    Data(Vec<u8>),
    WriteClosed,
    Broken(io::ErrorKind),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Aborted,
    ByPeer,
}

impl Network {
    /// The next job of this turn.
    pub(super) fn take_due_job(&mut self) -> Option<Job> {
        self.jobs_due = self.jobs_due.checked_sub(1)?;
        self.jobs.pop().map(|(_, job)| job)
    }

    pub(super) fn conn(&mut self, slot: u32) -> &mut Conn {
        match self.places.get_mut(slot as usize) {
            Some(Place::Conn(conn)) => conn,
            _ => unreachable!("the core uses only tokens it was given"),
        }
    }

    pub(super) fn conn_ref(&self, slot: u32) -> &Conn {
        match &self.places[slot as usize] {
            Place::Conn(conn) => conn,
            Place::Port(_) => unreachable!("the core uses only tokens it was given"),
        }
    }

    pub(super) fn add(&mut self, place: Place) -> Token {
        let slot = u32::try_from(self.places.len()).expect("fewer than 2^32 connections");
        self.places.push(place);
        token(slot)
    }

    /// Puts a new connection into a port's queue; `None` when nobody listens there.
    pub(super) fn arrive(
        &mut self,
        to: &Address,
        peer: Address,
        other: Option<u32>,
    ) -> Option<Token> {
        let listens = |place: &Place| matches!(place, Place::Port(port) if !port.closed && port.local.port() == to.port());
        let at = self.places.iter().position(listens)?;
        let conn = Conn {
            other,
            ..Conn::new(to.clone(), peer)
        };
        let token = self.add(Place::Conn(conn));
        if let Place::Port(port) = &mut self.places[at] {
            port.waiting.push_back(token);
        }
        Some(token)
    }

    /// How many bytes may leave a connection now.
    pub(super) fn room(&self, conn: &Conn) -> usize {
        let Some(other) = conn.other else {
            return conn.window;
        };
        match &self.places[other as usize] {
            Place::Conn(other) if other.end.is_none() => LINK_BYTES.saturating_sub(other.waiting()),
            // Whoever has gone takes everything, and answers with a reset.
            Place::Conn(_) | Place::Port(_) => usize::MAX,
        }
    }

    pub(super) fn deliver(&mut self, slot: u32, data: &[u8]) {
        let conn = self.conn(slot);
        let Some(other) = conn.other else {
            conn.sent.extend_from_slice(data);
            conn.window = conn.window.saturating_sub(data.len());
            return;
        };
        if self.conn(other).end.is_some() {
            let broken = Arrived::Broken(io::ErrorKind::ConnectionReset);
            return self.conn(slot).push(broken);
        }
        self.conn(other).push(Arrived::Data(data.to_vec()));
    }

    /// What a slot has to report of what was there when the turn began.
    pub(super) fn report(&mut self, slot: u32, lease: &mut Lease) -> Option<Report> {
        let conn = match &mut self.places[slot as usize] {
            Place::Port(port) => return port.accept(slot),
            Place::Conn(conn) => conn,
        };
        let token = token(slot);
        if conn.deliverable() && conn.due > 0 {
            conn.due -= 1;
            return Some(match conn.arrived.pop_front()? {
                Arrived::Connected => Report::Connected { conn: token },
                Arrived::Data(bytes) => {
                    lease.length = bytes.len();
                    lease.buffer = bytes.into_boxed_slice();
                    Report::Data { conn: token }
                }
                Arrived::WriteClosed => Report::ReadClosed { conn: token },
                Arrived::Broken(kind) => {
                    conn.end = Some(End::ByPeer);
                    let error = kind.into();
                    Report::Closed { token, error }
                }
            });
        }
        if !self.has_room(slot) {
            return None;
        }
        self.conn(slot).blocked = false;
        Some(Report::Sent {
            conn: token,
            bytes: 0,
            emptied: None,
        })
    }

    /// Whether somebody waits for room and there is some.
    fn has_room(&self, slot: u32) -> bool {
        match &self.places[slot as usize] {
            Place::Conn(conn) => conn.blocked && conn.end.is_none() && self.room(conn) > 0,
            Place::Port(_) => false,
        }
    }

    pub(super) fn slots(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_ready(&self) -> bool {
        let mut slots = self.slots();
        let ready = |slot: u32| match &self.places[slot as usize] {
            Place::Port(port) => !port.paused && !port.closed && !port.waiting.is_empty(),
            Place::Conn(conn) => conn.deliverable() || self.has_room(slot),
        };
        !self.jobs.is_empty() || slots.any(ready)
    }
}

impl ListeningPort {
    fn accept(&mut self, slot: u32) -> Option<Report> {
        if self.paused || self.closed || self.due == 0 {
            return None;
        }
        self.due -= 1;
        let conn = self.waiting.pop_front()?;
        Some(Report::Accepted {
            port: token(slot),
            conn,
            peer: Address::Unknown,
        })
    }
}

impl Conn {
    pub(super) fn new(local: Address, peer: Address) -> Self {
        Self {
            local,
            peer,
            arrived: VecDeque::new(),
            due: 0,
            reading: false,
            other: None,
            sent: Vec::new(),
            window: usize::MAX,
            write_closed: false,
            blocked: false,
            end: None,
        }
    }

    pub(super) fn push(&mut self, arrived: Arrived) {
        if self.end.is_some() {
            return;
        }
        if matches!(arrived, Arrived::Broken(_)) {
            self.arrived.clear();
            self.due = 1;
        }
        self.arrived.push_back(arrived);
    }

    fn waiting(&self) -> usize {
        let bytes = |arrived: &Arrived| match arrived {
            Arrived::Data(data) => data.len(),
            Arrived::Connected | Arrived::WriteClosed | Arrived::Broken(_) => 0,
        };
        self.arrived.iter().map(bytes).sum()
    }

    fn deliverable(&self) -> bool {
        self.end.is_none()
            && match self.arrived.front() {
                Some(Arrived::Data(_) | Arrived::WriteClosed) => self.reading,
                Some(Arrived::Connected | Arrived::Broken(_)) => true,
                None => false,
            }
    }
}

/// A slot is never given out twice, so there is but one generation.
fn token(slot: u32) -> Token {
    let generation = 0;
    Token { slot, generation }
}
