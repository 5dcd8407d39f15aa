//! The sockets of the mio driver and what is known of each. Decides nothing about when to read or write.

use super::{children::Child, datagrams, files::Files};
use crate::{
    seam::{self, Call},
    streams,
    unix::{self, SocketFile},
};
use mio::{
    event::Source,
    net::{TcpListener, TcpStream, UdpSocket, UnixListener},
};
use socket2::SockRef;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use tress_core::{
    Address,
    driver::{ConnectOptions, ListenOptions, SocketOption},
};

/// An event's bits.
pub(super) const READABLE: u8 = 1;
pub(super) const WRITABLE: u8 = 2;
pub(super) const HUNG_UP: u8 = 4;

/// A slot's flags. The core wants data.
pub(super) const READING: u16 = 1;
/// There may be something to read that no new edge will tell.
pub(super) const UNREAD: u16 = 2;
/// The kernel had no room for output.
pub(super) const BLOCKED: u16 = 4;
/// The peer sends no more, as has been reported.
pub(super) const ENDED: u16 = 16;
/// The kernel reports room for output.
pub(super) const FOR_WRITING: u16 = 8;
/// The core wants the open files that come.
pub(super) const PASSING: u16 = 32;
/// Another process may have it open as well.
pub(super) const SHARED: u16 = 64;
/// Its end is still to be reported.
pub(super) const BROKEN: u16 = 128;
/// A stream that waited before it was ours, and does so again after.
pub(super) const WAITS_AFTER: u16 = 256;

/// Streams are what mio calls `TcpStream`, those of UNIX sockets too: nothing that is asked of one differs, but its
/// addresses, and so the path of every message has no case to tell apart.
#[derive(Default)]
pub(super) enum Socket {
    #[default]
    Free,
    Listener(TcpListener),
    UnixListener(UnixListener),
    Connecting(TcpStream),
    Stream(TcpStream),
    /// Closed by the core; what the peer still sends is thrown away.
    Lingering(TcpStream),
    /// What mio calls `UdpSocket`, UNIX datagram sockets too.
    Datagrams(UdpSocket),
    /// Pipes, terminals and files.
    Files(Files),
    /// A child process.
    Child(Child),
}

/// A place for a socket. The generation grows when the place is emptied, so that late events find nobody.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) socket: Socket,
    generation: u32,
    flags: u16,
}

/// Generations are 31 bits, so that no packed token is that of the waker.
const GENERATIONS: u32 = 0x7fff_ffff;

impl Slot {
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// The generation for the next socket, while the slot is free.
    pub(super) fn next_generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn fill(&mut self, socket: Socket, flags: u16) {
        self.socket = socket;
        self.flags = flags;
    }

    pub(super) fn empty(&mut self) {
        self.restore();
        self.socket = Socket::Free;
        self.generation = (self.generation + 1) & GENERATIONS;
        self.flags = 0;
    }

    /// Others that have it open find it as it was.
    pub(super) fn restore(&self) {
        if self.has(WAITS_AFTER)
            && let Socket::Stream(stream) | Socket::Lingering(stream) = &self.socket
        {
            // It worked the other way round.
            SockRef::from(stream).set_nonblocking(false).ok();
        }
    }

    /// A connection that was being made is there.
    pub(super) fn connected(&mut self) {
        if let Socket::Connecting(stream) = std::mem::take(&mut self.socket) {
            self.socket = Socket::Stream(stream);
        }
    }

    #[inline]
    pub(super) fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flags: u16) {
        self.flags |= flags;
    }

    #[inline]
    pub(super) fn clear(&mut self, flags: u16) {
        self.flags &= !flags;
    }

    /// Whether this is that socket, and nothing but reading is to be done.
    #[inline]
    pub(super) fn is_plain_reader(&self, generation: u32) -> bool {
        self.generation == generation && self.flags & (READING | BLOCKED | PASSING) == READING
    }
}

impl Socket {
    pub(super) fn source(&mut self) -> Option<&mut dyn Source> {
        match self {
            Self::Free => None,
            Self::Listener(listener) => Some(listener),
            Self::UnixListener(listener) => Some(listener),
            Self::Datagrams(socket) => Some(socket),
            Self::Files(files) => Some(files),
            Self::Child(child) => Some(child),
            Self::Connecting(stream) | Self::Stream(stream) | Self::Lingering(stream) => {
                Some(stream)
            }
        }
    }

    /// Closing it will reset the connection.
    pub(super) fn reset_on_close(&self) {
        if let Self::Connecting(stream) | Self::Stream(stream) | Self::Lingering(stream) = self {
            // An error means that there is nothing left to reset.
            let reset = || SockRef::from(stream).set_linger(Some(Duration::ZERO));
            seam::call(Call::Setsockopt, reset).ok();
        }
    }

    pub(super) fn local_address(&self) -> Address {
        let socket = match self {
            Self::Free | Self::Lingering(_) | Self::Files(_) | Self::Child(_) => {
                return Address::Unknown;
            }
            Self::Listener(listener) => listener.as_fd(),
            Self::UnixListener(listener) => listener.as_fd(),
            Self::Datagrams(socket) => socket.as_fd(),
            Self::Connecting(stream) | Self::Stream(stream) => stream.as_fd(),
        };
        let address = seam::call(Call::Getsockname, || SockRef::from(&socket).local_addr());
        address.map_or(Address::Unknown, |address| unix::address_of(&address))
    }

    /// The next peer of a port; `None` when this is none.
    pub(super) fn next_peer(&self) -> Option<io::Result<(TcpStream, Address)>> {
        match self {
            Self::Listener(listener) => {
                let accepted = seam::call(Call::Accept, || listener.accept());
                Some(accepted.map(|(stream, peer)| (stream, Address::Ip(peer))))
            }
            Self::UnixListener(listener) => {
                let accepted = seam::call(Call::Accept, || listener.accept());
                Some(accepted.map(|(stream, peer)| {
                    let stream = TcpStream::from(OwnedFd::from(stream));
                    (stream, Address::Unix(unix::name_of(&peer)))
                }))
            }
            Self::Free
            | Self::Connecting(_)
            | Self::Stream(_)
            | Self::Lingering(_)
            | Self::Files(_)
            | Self::Child(_)
            | Self::Datagrams(_) => None,
        }
    }

    pub(super) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        if let Self::Datagrams(socket) = self {
            return datagrams::set_option(socket, option);
        }
        let Self::Stream(stream) = self else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match option {
            SocketOption::NoDelay(yes) => {
                match seam::call(Call::Setsockopt, || stream.set_nodelay(yes)) {
                    // A UNIX socket never delays anything.
                    Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
                    result => result,
                }
            }
            SocketOption::KeepAlive(yes) => seam::call(Call::Setsockopt, || {
                SockRef::from(stream).set_keepalive(yes)
            }),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A listening socket, the address it has, and its file if it has one. The file goes when that is dropped, which is to
/// happen before the socket is closed.
pub(super) fn listen(
    at: &Address,
    options: &ListenOptions,
) -> io::Result<(Socket, Address, Option<SocketFile>)> {
    let (socket, address, file) = streams::listen(at, options)?;
    let listener = match at {
        Address::Unix(_) => Socket::UnixListener(UnixListener::from_std(socket.into())),
        _ => Socket::Listener(TcpListener::from_std(socket.into())),
    };
    Ok((listener, address, file))
}

/// A socket that has started to connect.
pub(super) fn connect(to: &Address, options: &ConnectOptions) -> io::Result<TcpStream> {
    if let Address::Unix(name) = to {
        let socket = unix::connect(name, options)?;
        return Ok(TcpStream::from(OwnedFd::from(socket)));
    }
    let (socket, address) = streams::prepare(to, options)?;
    match seam::call(Call::Connect, || socket.connect(&address)) {
        Ok(()) => {}
        Err(error) if in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// The latter two when a signal has interrupted the first call. `EAGAIN` is not among them: nothing has begun.
fn in_progress(error: &io::Error) -> bool {
    let error = error.raw_os_error();
    matches!(
        error,
        Some(libc::EINPROGRESS | libc::EALREADY | libc::EISCONN)
    )
}
