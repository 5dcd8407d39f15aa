//! What a connection keeps: one allocation, small, because a server holds tens of thousands that do nothing.

use super::Transport;
use crate::{
    address::Peer,
    driver::Token,
    failure::Failure,
    limits::Limits,
    outgoing::Outgoing,
    producer::Producer,
    protocol::Protocol,
    reactor::{Core, Reactor},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
    time::Duration,
};

/// A queued call to a protocol; it gets `None` when the connection has ended.
pub(crate) type Call = Box<dyn FnOnce(Option<(&mut dyn Protocol, &Transport)>)>;

/// One connection.
pub(crate) struct Link {
    pub(crate) origin: Rc<Origin>,
    pub(crate) token: Token,
    pub(crate) flags: Cell<u32>,
    /// When the deadline that counts now started, in [`Shared::coarse`] units.
    pub(crate) stamp: Cell<u32>,
    /// Borrowed while it runs, which is what keeps it from being re-entered. `None` after the end.
    pub(crate) protocol: RefCell<Option<Box<dyn Protocol>>>,
    pub(crate) out: RefCell<Outgoing>,
    rare: OnceCell<Box<Rare>>,
    pub(crate) received: Cell<u64>,
    pub(crate) sent: Cell<u64>,
    pub(crate) peer: Peer,
}

/// What few connections need.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) calls: RefCell<VecDeque<Call>>,
    pub(crate) producer: RefCell<Option<Box<dyn Producer>>>,
    pub(crate) idle: Cell<Option<Duration>>,
    pub(crate) reason: Cell<Option<Failure>>,
}

/// What all connections of one port, or of one attempt to connect, have in common.
pub(crate) struct Origin {
    pub(crate) shared: Rc<Shared>,
    pub(crate) limits: Rc<Limits>,
    pub(crate) role: Role,
}

pub(crate) enum Role {
    Server,
    /// Who wants to know when it ends, after the protocol does.
    Client(Option<Rc<dyn Fn(&Reactor, Failure)>>),
}

/// What all connections of a reactor reach without going through it.
pub(crate) struct Shared {
    pub(crate) core: Weak<Core>,
    /// A spare output buffer: whoever writes borrows it, whoever has flushed gives it back.
    pub(crate) pool: Cell<Vec<u8>>,
    /// Connections of which something was asked while they were not running.
    pub(crate) dirty: RefCell<Vec<Token>>,
    /// The time of this turn, in units of 2^26 nanoseconds (67 ms).
    pub(crate) coarse: Cell<u32>,
}

/// Nanoseconds to [`Shared::coarse`] units.
pub(crate) const COARSE_SHIFT: u32 = 26;

impl Link {
    pub(crate) fn new(
        origin: &Rc<Origin>,
        token: Token,
        flags: u32,
        peer: Peer,
        protocol: Box<dyn Protocol>,
    ) -> Self {
        Self {
            origin: Rc::clone(origin),
            token,
            flags: Cell::new(flags),
            stamp: Cell::new(origin.shared.coarse.get()),
            protocol: RefCell::new(Some(protocol)),
            out: RefCell::default(),
            rare: OnceCell::new(),
            received: Cell::new(0),
            sent: Cell::new(0),
            peer,
        }
    }

    pub(crate) fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    pub(crate) fn rare_if_any(&self) -> Option<&Rare> {
        self.rare.get().map(|rare| &**rare)
    }
}
