//! Looks at sockets that were opened elsewhere: whether they are what they are said to be, and where they are. Knows no
//! driver.

use crate::{
    seam::{self, Call},
    unix,
};
use rustix::fs::OFlags;
use socket2::{Domain, SockRef, Type};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tress_core::Address;

/// A stream socket that was opened elsewhere, which no longer waits.
pub(crate) struct Adopted {
    pub(crate) socket: OwnedFd,
    /// A port's own address, a connection's peer.
    pub(crate) address: Address,
    /// It waited before it was ours.
    pub(crate) has_waited: bool,
}

/// A port. What it accepts inherits `TCP_NODELAY` from it.
pub(crate) fn port(descriptor: OwnedFd) -> io::Result<Adopted> {
    stream(descriptor, true, "a stream socket that listens")
}

/// A connection.
pub(crate) fn connection(descriptor: OwnedFd) -> io::Result<Adopted> {
    stream(descriptor, false, "a stream socket that is connected")
}

/// A datagram socket, which no longer waits.
pub(crate) fn datagrams(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    checked(descriptor, Type::DGRAM, false, "a datagram socket")
}

fn stream(descriptor: OwnedFd, listens: bool, what: &str) -> io::Result<Adopted> {
    let flags = rustix::fs::fcntl_getfl(&descriptor)?;
    let socket = checked(descriptor, Type::STREAM, listens, what)?;
    let shown = SockRef::from(&socket);
    let address = if listens {
        seam::call(Call::Getsockname, || shown.local_addr())?
    } else {
        seam::call(Call::Getpeername, || shown.peer_addr())?
    };
    if shown.domain()? != Domain::UNIX {
        seam::call(Call::Setsockopt, || shown.set_tcp_nodelay(true))?;
    }
    Ok(Adopted {
        address: unix::address_of(&address),
        has_waited: !flags.contains(OFlags::NONBLOCK),
        socket,
    })
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
