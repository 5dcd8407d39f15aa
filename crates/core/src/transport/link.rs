//! What a connection keeps: one allocation, small, because a server holds tens of thousands that do nothing.

use super::{Transport, layers::Layers};
use crate::{
    address::Peer,
    descriptor::Passing,
    driver::Token,
    failure::{Failure, Result},
    limits::Limits,
    outgoing::Outgoing,
    producer::Producer,
    protocol::Protocol,
    reactor::{Core, Reactor, Rest},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
    time::Duration,
};

/// A queued call to a protocol; it gets the reason when the connection has ended before it was made.
pub(crate) type Call = Box<dyn FnOnce(Result<(&mut dyn Protocol, &Transport)>)>;
/// Who wants to know when an outgoing connection has ended.
pub(crate) type Watcher = Rc<dyn Fn(&Reactor, Failure)>;

/// One connection.
pub(crate) struct Link {
    pub(crate) origin: Rc<Origin>,
    pub(crate) token: Token,
    pub(crate) flags: Cell<u32>,
    /// When something last went either way, in [`Shared::coarse`] units.
    pub(crate) active: Cell<u32>,
    /// When the handshake, or closing, began.
    pub(crate) since: Cell<u32>,
    /// Borrowed while it runs, which is what keeps it from being re-entered. `None` before it is built and after the end.
    pub(crate) protocol: RefCell<Option<Box<dyn Protocol>>>,
    pub(crate) out: RefCell<Outgoing>,
    rare: OnceCell<Box<Rare>>,
    pub(crate) received: Cell<u64>,
    pub(crate) written: Cell<u64>,
    pub(crate) peer: Peer,
}

/// What few connections need.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) calls: RefCell<VecDeque<Call>>,
    pub(crate) producer: RefCell<Option<Box<dyn Producer>>>,
    pub(crate) idle: Cell<Option<Duration>>,
    /// Open files that wait in the output.
    pub(crate) passing: RefCell<Passing>,
    pub(crate) reason: Cell<Option<Failure>>,
    pub(super) layers: OnceCell<Box<Layers>>,
}

impl Shared {
    /// The cork grows no larger than this: what is more becomes the connection's own queue, bytes. A buffer grows by
    /// doubling, and one must hold what reaches the default high-water mark, with what a layer adds.
    pub(crate) const CORK_BYTES: usize = 131_072;

    /// Moves what is corked to the queue of the connection that wrote it.
    pub(crate) fn uncork(&self, link: &Link) {
        let mut out = link.out.borrow_mut();
        std::mem::swap(&mut *self.cork.borrow_mut(), &mut out);
        let flags = link.flags.get() & !super::flags::CORKED;
        link.flags.set(flags | super::flags::OUT);
    }

    /// The next turn has something to flush.
    pub(crate) fn mark_dirty(&self) {
        self.any_dirty.set(true);
        self.rest.asked();
    }

    /// Keeps an emptied buffer for the next who writes.
    pub(crate) fn recycle(&self, buffer: Vec<u8>) {
        if buffer.capacity() <= Self::CORK_BYTES {
            self.cork.borrow_mut().recycle(buffer);
        }
    }
}

/// What all connections of one port, or of one attempt to connect, have in common.
pub(crate) struct Origin {
    pub(crate) shared: Rc<Shared>,
    pub(crate) limits: Rc<Limits>,
    pub(crate) role: Role,
    /// Of the port that accepted them.
    pub(crate) port: Option<Rc<PortCounts>>,
}

/// What a port has done. Nothing here is touched for a byte: connections count when they begin and when they end.
#[derive(Default)]
pub(crate) struct PortCounts {
    pub(crate) open: Cell<usize>,
    pub(crate) accepted: Cell<u64>,
    pub(crate) refused: Cell<u64>,
    /// Of connections that have ended.
    pub(crate) received: Cell<u64>,
    pub(crate) sent: Cell<u64>,
}

impl Origin {
    /// The same with other limits. Only of a port, whose role is no one's own.
    pub(crate) fn with_limits(&self, limits: &Rc<Limits>) -> Self {
        Self {
            shared: Rc::clone(&self.shared),
            limits: Rc::clone(limits),
            role: Role::Server,
            port: self.port.clone(),
        }
    }
}

impl PortCounts {
    /// A connection has its protocol.
    pub(crate) fn began(&self) {
        self.accepted.set(self.accepted.get() + 1);
        self.open.set(self.open.get() + 1);
    }

    /// One has ended, and what was not sent has not been thrown away yet.
    pub(crate) fn ended(&self, link: &Transport) {
        let counted = link.statistics();
        self.open.set(self.open.get() - 1);
        self.received.set(self.received.get() + counted.received);
        self.sent.set(self.sent.get() + counted.sent);
    }
}

pub(crate) enum Role {
    Server,
    /// Who wants to know when it ends, after the protocol does.
    Client(Option<Watcher>),
}

/// What all connections of a reactor reach without going through it.
pub(crate) struct Shared {
    pub(crate) core: Weak<Core>,
    /// What the running connection writes, as long as it has no queue of its own: sent right after its callback,
    /// so that in the usual case a connection never has a buffer.
    pub(crate) cork: RefCell<Outgoing>,
    /// Connections of which something was asked while they were not running.
    pub(crate) dirty: RefCell<Vec<Token>>,
    /// Whether there are any: what a turn looks at.
    pub(crate) any_dirty: Cell<bool>,
    /// The time of this turn, in units of 2^26 nanoseconds (67 ms).
    pub(crate) coarse: Cell<u32>,
    /// Who turns the reactor, while it waits elsewhere.
    pub(crate) rest: Rest,
}

/// Nanoseconds to [`Shared::coarse`] units.
pub(crate) const COARSE_SHIFT: u32 = 26;

impl Link {
    /// Without a protocol.
    pub(crate) fn new(origin: &Rc<Origin>, token: Token, flags: u32, peer: Peer) -> Self {
        Self {
            origin: Rc::clone(origin),
            token,
            flags: Cell::new(flags),
            active: Cell::new(origin.shared.coarse.get()),
            since: Cell::new(origin.shared.coarse.get()),
            protocol: RefCell::default(),
            out: RefCell::default(),
            rare: OnceCell::new(),
            received: Cell::new(0),
            written: Cell::new(0),
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
