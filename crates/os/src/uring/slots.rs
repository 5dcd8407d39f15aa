//! The sockets of the io_uring driver and what is known of each. Starts and ends no operation.

use super::work::Key;
use crate::seam::{self, Call};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{collections::VecDeque, io, net::SocketAddr, rc::Rc, time::Duration};
use tress_core::{
    Address,
    driver::{ConnectOptions, ListenOptions, SocketOption, Token},
};

/// A slot's flags. The core wants what comes in.
pub(super) const READING: u8 = 1;
/// Nothing more comes in.
pub(super) const ENDED: u8 = 2;
/// The slot is on the list of the next round.
pub(super) const QUEUED: u8 = 4;
/// The write side is to be shut once the send in flight is done.
pub(super) const SHUT: u8 = 8;
/// A port that has failed to accept rests.
pub(super) const RESTING: u8 = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Free,
    Listening,
    Connecting,
    Open,
    /// Closed by the core; what the peer still sends is thrown away.
    Lingering,
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
    flags: u8,
    generation: u32,
    /// The operation that accepts, connects or receives, and the one that sends.
    pub(super) incoming: Option<Key>,
    pub(super) outgoing: Option<Key>,
    pub(super) parked: VecDeque<Parked>,
    /// The turn in which bytes were last handed over, and how many.
    turn: u32,
    used: usize,
}

impl Slot {
    #[inline]
    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flags: u8) {
        self.flags |= flags;
    }

    #[inline]
    pub(super) fn clear(&mut self, flags: u8) {
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

    /// Counts bytes against the turn's share.
    #[inline]
    pub(super) fn took(&mut self, bytes: usize) {
        self.used += bytes;
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
        let address = self
            .socket
            .as_ref()
            .and_then(|socket| seam::call(Call::Getsockname, || socket.local_addr()).ok());
        address_of(address)
    }

    pub(super) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        let (State::Open, Some(socket)) = (self.state, &self.socket) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match option {
            SocketOption::NoDelay(yes) => {
                seam::call(Call::Setsockopt, || socket.set_tcp_nodelay(yes))
            }
            SocketOption::KeepAlive(yes) => {
                seam::call(Call::Setsockopt, || socket.set_keepalive(yes))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
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
    pub(super) fn insert(&mut self, socket: Socket, state: State, flags: u8) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("descriptors are 31 bits")
        });
        let slot = &mut self.slots[index as usize];
        slot.socket = Some(Rc::new(socket));
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

    /// How many slots are in use.
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// A listening socket. What it accepts inherits `TCP_NODELAY` from it, which saves a call a connection.
pub(super) fn listen(at: &Address, options: &ListenOptions) -> io::Result<Socket> {
    let address = ip(at)?;
    let socket = new_socket(address)?;
    seam::call(Call::Setsockopt, || socket.set_reuse_address(true))?;
    if address.is_ipv6() {
        seam::call(Call::Setsockopt, || socket.set_only_v6(true))?;
    }
    seam::call(Call::Bind, || socket.bind(&address.into()))?;
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    seam::call(Call::Listen, || socket.listen(backlog))?;
    Ok(socket)
}

/// A socket that is to connect, and to what.
pub(super) fn connect(to: &Address, options: &ConnectOptions) -> io::Result<(Socket, SockAddr)> {
    let address = ip(to)?;
    let socket = new_socket(address)?;
    if let Some(bind) = &options.bind {
        let bind = ip(bind)?.into();
        seam::call(Call::Bind, || socket.bind(&bind))?;
    }
    Ok((socket, address.into()))
}

/// A blocking socket: for others, io_uring would not wait.
fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let of = Domain::for_address(address);
    let socket = seam::call(Call::Socket, || {
        Socket::new(of, Type::STREAM, Some(Protocol::TCP))
    })?;
    seam::call(Call::Setsockopt, || socket.set_tcp_nodelay(true))?;
    Ok(socket)
}

/// The address, when the system could say it.
pub(super) fn address_of(address: Option<SockAddr>) -> Address {
    let address = address.and_then(|address| address.as_socket());
    address.map_or(Address::Unknown, Address::Ip)
}

fn ip(address: &Address) -> io::Result<SocketAddr> {
    match address {
        Address::Ip(address) => Ok(*address),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("the io_uring driver has no sockets for the address {other}"),
        )),
    }
}
