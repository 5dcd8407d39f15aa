//! Accepting, without spinning when descriptors run out.
//!
//! One operation accepts all peers of a port. Where others accept from it, too (workers, processes), the ring only tells that
//! peers wait, and they are taken with a call each: so whoever is idle has them.
//!
//! One descriptor is kept in reserve. When none is left it is given up, so that waiting peers can be accepted and
//! told by closing that there is no room; then the port rests for a moment. Source: Twisted's `internet/tcp.py`.

use super::{
    Uring,
    slots::{self, Parked, READING, RESTING, SHARED, State, UNIX},
    work::Work,
};
use crate::{
    blame::{Blame, blame},
    seam::{self, Call},
    unix,
};
use io_uring::types::Timespec;
use socket2::Socket;
use std::{fs::File, io, rc::Rc, time::Duration};
use tress_core::{
    Address,
    clock::Clock,
    driver::{Report, Token},
};

/// Peers turned away at once when descriptors run out.
const SHED_AT_ONCE: u32 = 32;
/// How long a port rests when descriptors have run out.
const REST: Duration = Duration::from_millis(100);

/// What the driver knows of accepting.
pub(super) struct Accepting {
    reserve: Option<File>,
    /// Ports that rest.
    resting: Vec<Token>,
    /// A descriptor was closed since: no need to rest longer.
    freed: bool,
}

impl Accepting {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            reserve: Some(reserve()?),
            resting: Vec::new(),
            freed: false,
        })
    }

    #[inline]
    pub(super) fn descriptor_freed(&mut self) {
        self.freed = true;
    }

    /// Whether ports rest that need not any longer.
    #[inline]
    pub(super) fn will_resume(&self) -> bool {
        self.freed && !self.resting.is_empty()
    }

    /// The ports that need not rest longer.
    #[inline]
    pub(super) fn rested(&mut self) -> Vec<Token> {
        if self.will_resume() {
            std::mem::take(&mut self.resting)
        } else {
            Vec::new()
        }
    }
}

impl<C: Clock> Uring<C> {
    /// A peer came to a port, or the port failed.
    pub(super) fn accepted(
        &mut self,
        port: Token,
        result: io::Result<Socket>,
        more: bool,
    ) -> Option<Report> {
        let slot = self.slots.get(port)?;
        if !more {
            slot.incoming = None;
        }
        let report = match result {
            Ok(socket) => {
                if slot.has(READING) && slot.parked.is_empty() {
                    Some(self.introduce(port, socket))
                } else {
                    slot.parked.push_back(Parked::Peer(socket));
                    None
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                slot.wait_again();
                None
            }
            Err(error) => match blame(&error) {
                // Nothing is wrong with the port.
                Blame::Nobody | Blame::Peer => None,
                Blame::Shortage => {
                    self.turn_away(port);
                    self.rest(port);
                    Some(Report::AcceptFailed { port, error })
                }
                Blame::Port => {
                    self.rest(port);
                    Some(Report::AcceptFailed { port, error })
                }
            },
        };
        if !more {
            self.arm(port);
        }
        report
    }

    /// A port that others have, too, has peers waiting, or had: all were told, and whoever comes first has them. One is
    /// taken, and the rest of this round's share when the round goes on.
    pub(super) fn has_peers(&mut self, port: Token) -> Option<Report> {
        let turn = self.turn;
        if !self.slots.get(port)?.takes_peers(turn) {
            self.arm(port);
            return None;
        }
        let report = self.take_peer(port);
        if report.is_some() {
            self.round.push(port);
        }
        report
    }

    /// Takes a peer, if one is still there.
    pub(super) fn take_peer(&mut self, port: Token) -> Option<Report> {
        let slot = self.slots.get(port)?;
        slot.took(1);
        let socket = Rc::clone(slot.socket.as_ref()?);
        match seam::call(Call::Accept, || socket.accept()) {
            Ok((socket, _)) => Some(self.introduce(port, socket)),
            Err(error) => self.accepted(port, Err(error), false),
        }
    }

    /// Makes a connection of a peer's socket.
    pub(super) fn introduce(&mut self, port: Token, socket: Socket) -> Report {
        let peer = seam::call(Call::Getpeername, || socket.peer_addr());
        let peer = peer.map_or(Address::Unknown, |peer| unix::address_of(&peer));
        // The peer may be unknown, the port is not.
        let port_flags = self.slots.get(port).map_or(0, |slot| slot.of(UNIX));
        let flags = port_flags | slots::flags_of(&peer);
        let conn = self.slots.insert(Some(socket), State::Open, flags);
        Report::Accepted { port, conn, peer }
    }

    /// Turns some peers away with the reserved descriptor.
    #[cold]
    fn turn_away(&mut self, port: Token) {
        if let Some(slot) = self.slots.get(port)
            && let Some(socket) = &slot.socket
        {
            self.accepting.reserve = None;
            turn_away(socket, slot.has(SHARED));
            self.accepting.reserve = reserve().ok();
        }
    }

    #[cold]
    fn rest(&mut self, port: Token) {
        let Some(slot) = self.slots.get(port) else {
            return;
        };
        slot.set(RESTING);
        self.accepting.freed = false;
        self.accepting.resting.push(port);
        self.ring
            .start(port, Work::Rest(Rc::new(Timespec::from(seam::rest(REST)))));
    }

    /// A port accepts again.
    pub(super) fn rested(&mut self, port: Token) {
        self.accepting.resting.retain(|resting| *resting != port);
        if self.accepting.reserve.is_none() {
            self.accepting.reserve = reserve().ok();
        }
        if let Some(slot) = self.slots.get(port) {
            slot.clear(RESTING);
            self.arm(port);
        }
    }
}

/// Accepts peers to close them at once. The ring needs a socket that waits, and this one that does not, as one that is
/// shared is already.
fn turn_away(socket: &Socket, is_shared: bool) {
    if is_shared || socket.set_nonblocking(true).is_ok() {
        for _ in 0..SHED_AT_ONCE {
            if seam::call(Call::Accept, || socket.accept()).is_err() {
                break;
            }
        }
        if !is_shared {
            // It cannot fail: it has just worked.
            socket.set_nonblocking(false).ok();
        }
    }
}

/// A descriptor that costs nothing else.
fn reserve() -> io::Result<File> {
    seam::call(Call::Open, || File::open("/dev/null"))
}
