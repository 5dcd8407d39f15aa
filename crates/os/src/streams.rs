//! Making the sockets of streams, which do not wait. Knows no driver.

use crate::{
    seam::{self, Call},
    unix::{self, SocketFile},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{io, net::SocketAddr};
use tress_core::{
    Address,
    driver::{ConnectOptions, ListenOptions},
};

/// A listening socket, the address it has, and its file if it has one. The file goes when that is dropped, which is to
/// happen before the socket is closed.
pub(crate) fn listen(
    at: &Address,
    options: &ListenOptions,
) -> io::Result<(Socket, Address, Option<SocketFile>)> {
    if let Address::Unix(name) = at {
        let (socket, file) = unix::listen(name, options)?;
        return Ok((socket, at.clone(), file));
    }
    let socket = listen_at_ip(ip(at)?, options)?;
    let address = seam::call(Call::Getsockname, || socket.local_addr())?;
    Ok((socket, unix::address_of(&address), None))
}

/// What it accepts inherits `TCP_NODELAY` from it on Linux, which saves a call a connection.
fn listen_at_ip(address: SocketAddr, options: &ListenOptions) -> io::Result<Socket> {
    let socket = new_stream(address)?;
    seam::call(Call::Setsockopt, || socket.set_reuse_address(true))?;
    if options.reuse_port {
        seam::call(Call::Setsockopt, || socket.set_reuse_port(true))?;
    }
    if address.is_ipv6() {
        seam::call(Call::Setsockopt, || socket.set_only_v6(true))?;
    }
    seam::call(Call::Setsockopt, || socket.set_tcp_nodelay(true))?;
    seam::call(Call::Bind, || socket.bind(&address.into()))?;
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    seam::call(Call::Listen, || socket.listen(backlog))?;
    Ok(socket)
}

/// A socket that is to connect to an IP address, and the address. UNIX sockets connect at once: [`unix::connect`].
pub(crate) fn prepare(to: &Address, options: &ConnectOptions) -> io::Result<(Socket, SockAddr)> {
    let address = ip(to)?;
    let socket = new_stream(address)?;
    seam::call(Call::Setsockopt, || socket.set_tcp_nodelay(true))?;
    if let Some(bind) = &options.bind {
        let bind = ip(bind)?.into();
        seam::call(Call::Bind, || socket.bind(&bind))?;
    }
    Ok((socket, address.into()))
}

fn new_stream(address: SocketAddr) -> io::Result<Socket> {
    let of = Domain::for_address(address);
    let socket = seam::call(Call::Socket, || {
        Socket::new(of, Type::STREAM, Some(Protocol::TCP))
    })?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn ip(address: &Address) -> io::Result<SocketAddr> {
    match address {
        Address::Ip(address) => Ok(*address),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("this driver has no sockets for the address {other}"),
        )),
    }
}
