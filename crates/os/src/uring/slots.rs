//! The sockets of the io_uring driver and what is known of each. Starts and ends no operation.

use super::work::Key;
use crate::{
    seam::{self, Call},
    unix,
};
use socket2::Socket;
use std::{collections::VecDeque, io, rc::Rc, time::Duration};
use tress_core::{
    Address,
    driver::{SocketOption, Token},
};

/// A slot's flags. The core wants what comes in.
pub(super) const READING: u16 = 1;
/// Nothing more comes in.
pub(super) const ENDED: u16 = 2;
/// The slot is on the list of the next round.
pub(super) const QUEUED: u16 = 4;
/// The write side is to be shut once the send in flight is done.
pub(super) const SHUT: u16 = 8;
/// A port that has failed to accept rests.
pub(super) const RESTING: u16 = 16;
/// The core wants the open files that come.
pub(super) const PASSING: u16 = 32;
/// Another reactor or process may have it open as well. From a port, each takes peers by itself.
pub(super) const SHARED: u16 = 64;
/// A stream that did not wait before it was ours, and does not after.
pub(super) const NO_WAIT_AFTER: u16 = 128;
/// A stream that can carry open files.
pub(super) const UNIX: u16 = 256;

/// Peers taken from a port that others have, too, before everything else has its turn.
const TAKEN_AT_ONCE: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Free,
    Listening,
    Connecting,
    Open,
    /// Closed by the core; what the peer still sends is thrown away.
    Lingering,
    /// The driver beside the ring has it, under this token.
    Beside(Token),
}

/// What came in while nobody wanted it.
pub(super) enum Parked {
    Bytes(Box<[u8]>),
    End,
    Failed(io::Error),
    Peer(Socket),
}

/// A place for a socket. The generation grows when the place is emptied, so that late completions find nobody.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) socket: Option<Rc<Socket>>,
    pub(super) state: State,
    flags: u16,
    generation: u32,
    /// The operation that accepts, connects or receives, and the one that sends.
    pub(super) incoming: Option<Key>,
    pub(super) outgoing: Option<Key>,
    pub(super) parked: VecDeque<Parked>,
    /// The turn in which bytes, or peers, were last handed over, and how many.
    turn: u32,
    used: usize,
}

impl Slot {
    #[inline]
    pub(super) fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// Those of these flags that it has.
    pub(super) fn of(&self, flags: u16) -> u16 {
        self.flags & flags
    }

    #[inline]
    pub(super) fn set(&mut self, flags: u16) {
        self.flags |= flags;
    }

    #[inline]
    pub(super) fn clear(&mut self, flags: u16) {
        self.flags &= !flags;
    }

    /// Whether what comes in now goes straight to the core.
    #[inline]
    pub(super) fn is_open_for(&mut self, turn: u32, bytes_per_turn: usize) -> bool {
        self.has(READING) && self.parked.is_empty() && self.may_take(turn, bytes_per_turn)
    }

    /// Whether the connection may hand over more bytes in this turn.
    #[inline]
    pub(super) fn may_take(&mut self, turn: u32, bytes_per_turn: usize) -> bool {
        if self.turn != turn {
            self.turn = turn;
            self.used = 0;
        }
        self.used < bytes_per_turn
    }

    /// Whether peers are taken from it one by one, and another may be in this turn.
    #[inline]
    pub(super) fn takes_peers(&mut self, turn: u32) -> bool {
        self.state == State::Listening
            && self.has(SHARED)
            && self.has(READING)
            && !self.has(RESTING)
            && self.incoming.is_none()
            && self.parked.is_empty()
            && self.may_take(turn, TAKEN_AT_ONCE)
    }

    /// Counts bytes, or peers, against the turn's share.
    #[inline]
    pub(super) fn took(&mut self, bytes: usize) {
        self.used += bytes;
    }

    /// Whoever else has it open has made it such that it does not wait: for that io_uring would not wait either, but fail
    /// again and again.
    #[cold]
    pub(super) fn wait_again(&self) {
        if self.has(SHARED)
            && self.state != State::Listening
            && let Some(socket) = &self.socket
        {
            socket.set_nonblocking(false).ok();
        }
    }

    /// Others that have it open find it as it was.
    pub(super) fn restore(&self) {
        if self.has(NO_WAIT_AFTER)
            && let Some(socket) = &self.socket
        {
            // It worked the other way round.
            socket.set_nonblocking(true).ok();
        }
    }

    /// Closing it will reset the connection.
    pub(super) fn reset_on_close(&self) {
        if let Some(socket) = &self.socket {
            // An error means that there is nothing left to reset.
            seam::call(Call::Setsockopt, || socket.set_linger(Some(Duration::ZERO))).ok();
        }
    }

    pub(super) fn local_address(&self) -> Address {
        if self.state == State::Lingering {
            return Address::Unknown;
        }
        let Some(socket) = &self.socket else {
            return Address::Unknown;
        };
        let address = seam::call(Call::Getsockname, || socket.local_addr());
        address.map_or(Address::Unknown, |address| unix::address_of(&address))
    }

    pub(super) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        let (State::Open, Some(socket)) = (self.state, &self.socket) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match option {
            SocketOption::NoDelay(yes) => {
                match seam::call(Call::Setsockopt, || socket.set_tcp_nodelay(yes)) {
                    // A UNIX socket never delays anything.
                    Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
                    result => result,
                }
            }
            SocketOption::KeepAlive(yes) => {
                seam::call(Call::Setsockopt, || socket.set_keepalive(yes))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// The flags of a stream whose peer is there.
pub(super) fn flags_of(peer: &Address) -> u16 {
    match peer {
        Address::Unix(_) => UNIX,
        _ => 0,
    }
}

/// All slots.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// A slot for a socket.
    pub(super) fn insert(&mut self, socket: Option<Socket>, state: State, flags: u16) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("descriptors are 31 bits")
        });
        let slot = &mut self.slots[index as usize];
        slot.socket = socket.map(Rc::new);
        slot.state = state;
        slot.flags = flags;
        Token {
            slot: index,
            generation: slot.generation,
        }
    }

    /// The slot of a token that is not dead.
    #[inline]
    pub(super) fn get(&mut self, token: Token) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        (slot.generation == token.generation && slot.state != State::Free).then_some(slot)
    }

    pub(super) fn peek(&self, token: Token) -> Option<&Slot> {
        let slot = self.slots.get(token.slot as usize)?;
        (slot.generation == token.generation && slot.state != State::Free).then_some(slot)
    }

    /// Empties a slot and returns what was in it.
    pub(super) fn remove(&mut self, token: Token) -> Option<Slot> {
        let slot = self.get(token)?;
        let empty = Slot {
            generation: slot.generation.wrapping_add(1),
            ..Slot::default()
        };
        let removed = std::mem::replace(slot, empty);
        self.free.push(token.slot);
        Some(removed)
    }

    /// All that have been given out once.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// How many slots are in use.
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
