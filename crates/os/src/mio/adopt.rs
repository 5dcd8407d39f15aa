//! Takes over what was opened elsewhere: inherited from who started this process, received through a socket, or made by
//! other code. Looks at what it is, since nobody else did.

use super::{Mio, Socket, files::Files, socket};
use crate::{
    seam::{self, Call},
    unix,
};
use mio::{
    Interest,
    net::{TcpListener, TcpStream, UdpSocket, UnixListener},
};
use socket2::{Domain, SockRef, Type};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tress_core::{
    Address, Descriptor,
    clock::Clock,
    driver::{Opened, Token},
};

impl<C: Clock> Mio<C> {
    /// Takes it over. It is closed when that fails.
    pub(super) fn take_over(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        match opened {
            Opened::Port(descriptor) => self.take_port(descriptor.into()),
            Opened::Stream(descriptor) => self.take_stream(descriptor.into()),
            Opened::Datagrams(descriptor, longest) => {
                let socket = checked(descriptor.into(), Type::DGRAM, false, "a datagram socket")?;
                self.insert_datagrams(UdpSocket::from_std(socket.into()), None, longest)
            }
            Opened::Files { input, output } => {
                let files = Files::new(input.map(OwnedFd::from), output.map(OwnedFd::from))?;
                let flags = files.flags();
                let token = self.insert(Socket::Files(files), flags, Interest::READABLE)?;
                Ok((token, Address::Unknown))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// A copy of a port's socket.
    pub(super) fn copied(&mut self, token: Token) -> io::Result<Descriptor> {
        let slot = self.slot(token).ok_or(io::ErrorKind::NotConnected)?;
        // A copy of a UNIX socket has neither the file nor its lock: those are the first's.
        let copied = match &slot.socket {
            Socket::Listener(listener) => listener.as_fd().try_clone_to_owned()?,
            Socket::UnixListener(listener) => listener.as_fd().try_clone_to_owned()?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(copied.into())
    }

    fn take_port(&mut self, descriptor: OwnedFd) -> io::Result<(Token, Address)> {
        let socket = checked(
            descriptor,
            Type::STREAM,
            true,
            "a stream socket that listens",
        )?;
        let address = seam::call(Call::Getsockname, || SockRef::from(&socket).local_addr())?;
        let address = unix::address_of(&address);
        let listener = if let Address::Unix(_) = address {
            Socket::UnixListener(UnixListener::from_std(socket.into()))
        } else {
            // What it accepts inherits it.
            let shown = SockRef::from(&socket);
            seam::call(Call::Setsockopt, || shown.set_tcp_nodelay(true))?;
            Socket::Listener(TcpListener::from_std(socket.into()))
        };
        let flags = socket::READING | socket::SHARED;
        let token = self.insert(listener, flags, Interest::READABLE)?;
        Ok((token, address))
    }

    fn take_stream(&mut self, descriptor: OwnedFd) -> io::Result<(Token, Address)> {
        let flags = rustix::fs::fcntl_getfl(&descriptor)?;
        let socket = checked(
            descriptor,
            Type::STREAM,
            false,
            "a stream socket that is connected",
        )?;
        let shown = SockRef::from(&socket);
        let peer = seam::call(Call::Getpeername, || shown.peer_addr())?;
        let peer = unix::address_of(&peer);
        if shown.domain()? != Domain::UNIX {
            seam::call(Call::Setsockopt, || shown.set_tcp_nodelay(true))?;
        }
        let stream = Socket::Stream(TcpStream::from_std(socket.into()));
        let waits = !flags.contains(rustix::fs::OFlags::NONBLOCK);
        let flags = socket::SHARED | if waits { socket::WAITS_AFTER } else { 0 };
        let token = self.insert(stream, flags, Interest::READABLE)?;
        Ok((token, peer))
    }
}

/// The socket, which no longer waits, if it is one of that type.
fn checked(descriptor: OwnedFd, expected: Type, listens: bool, what: &str) -> io::Result<OwnedFd> {
    let socket = SockRef::from(&descriptor);
    let found = match seam::call(Call::Getsockopt, || socket.r#type()) {
        Ok(found) if found != expected => Some(name_of(found)),
        Ok(_) if !is_family(socket.domain()?) => Some("a socket that is neither of IP nor of UNIX"),
        Ok(Type::STREAM) if socket.is_listener()? != listens && listens => {
            Some("a socket that does not listen")
        }
        Ok(Type::STREAM) if socket.is_listener()? != listens => Some("a socket that listens"),
        Ok(_) => None,
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => Some("no socket"),
        Err(error) => return Err(error),
    };
    if let Some(found) = found {
        let text = format!("expected {what}; it is {found}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    socket.set_nonblocking(true)?;
    rustix::io::fcntl_setfd(descriptor.as_fd(), rustix::io::FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

fn is_family(domain: Domain) -> bool {
    [Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&domain)
}

fn name_of(found: Type) -> &'static str {
    match found {
        Type::STREAM => "a stream socket",
        Type::DGRAM => "a datagram socket",
        Type::SEQPACKET => "a socket of packets in order",
        _ => "another kind of socket",
    }
}
