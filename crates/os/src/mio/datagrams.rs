//! Datagram ports of the mio driver: many datagrams with one system call, either way, and no more from one port than its
//! turn allows. Knows no protocol.

use super::{Mio, READABLE, Socket, WRITABLE, socket};
use crate::{
    seam::{self, Call},
    sys::datagrams::{Headers, TOGETHER},
    unix::{self, SocketFile},
};
use mio::{Interest, net::UdpSocket};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockRef, Type};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
};
use tress_core::{
    Address, UnixName,
    clock::Clock,
    datagram::{DatagramQueue, Datagrams},
    driver::{BindOptions, DATAGRAMS_PER_TURN, Interface, Lease, Report, SocketOption, Token},
};

/// No port takes longer datagrams, whatever its limit: there is a buffer for [`TOGETHER`] of them. More than any system
/// lets a UNIX socket send.
const LONGEST_BYTES_MAX: usize = 1024 * 1024;

/// What the driver knows of its datagram ports.
#[derive(Default)]
pub(super) struct Ports {
    /// By slot.
    bound: BTreeMap<u32, Bound>,
    headers: Headers,
    /// What the port under the cursor has received in this turn.
    received: usize,
    bytes: usize,
}

/// What a port was opened with.
struct Bound {
    longest: usize,
    is_unix: bool,
    is_connected: bool,
    /// Whom the last datagram of a UNIX socket came from: its name need not be made anew for each.
    last: Option<(SockAddr, Address)>,
}

impl Ports {
    pub(super) fn remove(&mut self, slot: u32) {
        self.bound.remove(&slot);
    }

    /// Receives what is there, at most [`TOGETHER`]. True when more may be there.
    fn receive(
        &mut self,
        slot: u32,
        socket: &UdpSocket,
        datagrams: &mut Datagrams,
    ) -> io::Result<bool> {
        datagrams.clear();
        let Some(bound) = self.bound.get_mut(&slot) else {
            return Ok(false);
        };
        let part = bound.longest.max(1);
        let buffer = datagrams.buffer(part * TOGETHER);
        let count = self.headers.receive(socket, buffer, bound.longest)?;
        for index in 0..count {
            let received = self.headers.received(index);
            self.bytes += received.length;
            if !received.is_whole {
                datagrams.too_long += 1;
                continue;
            }
            let from = match received.from {
                None if bound.is_unix => Address::Unix(UnixName::Unnamed),
                None => Address::Unknown,
                Some(name) if bound.is_unix => bound.name(name),
                Some(name) => unix::address_of(&name),
            };
            let start = index * part;
            datagrams.add(from, start..start + received.length);
        }
        self.received += count;
        // Behind the last one an error may wait that shows no new edge.
        Ok(count == TOGETHER || bound.is_connected)
    }
}

impl Bound {
    fn name(&mut self, name: SockAddr) -> Address {
        match &self.last {
            Some((last, address)) if *last == name => address.clone(),
            _ => {
                let address = unix::address_of(&name);
                self.last = Some((name, address.clone()));
                address
            }
        }
    }
}

impl<C: Clock> Mio<C> {
    /// Opens a port.
    pub(super) fn bind_port(
        &mut self,
        at: &Address,
        options: &BindOptions,
    ) -> io::Result<(Token, Address)> {
        let (socket, file) = bind(at, options)?;
        let (token, address) = self.insert_datagrams(socket, file, options.longest)?;
        Ok(match at {
            // As it was asked for.
            Address::Unix(_) => (token, at.clone()),
            _ => (token, address),
        })
    }

    /// Gives a socket its slot.
    pub(super) fn insert_datagrams(
        &mut self,
        socket: UdpSocket,
        file: Option<SocketFile>,
        longest: usize,
    ) -> io::Result<(Token, Address)> {
        let shown = SockRef::from(&socket);
        let address = seam::call(Call::Getsockname, || shown.local_addr())?;
        let address = unix::address_of(&address);
        let is_connected = seam::call(Call::Getpeername, || shown.peer_addr()).is_ok();
        // One that nobody else has loses nothing by being taken out before it is closed.
        let token = self.insert(
            Socket::Datagrams(socket),
            socket::SHARED,
            Interest::READABLE,
        )?;
        if let Some(file) = file {
            self.files.insert(token.slot, file);
        }
        let bound = Bound {
            longest: longest.min(LONGEST_BYTES_MAX),
            is_unix: matches!(address, Address::Unix(_)),
            is_connected,
            last: None,
        };
        self.datagrams.bound.insert(token.slot, bound);
        Ok((token, address))
    }

    pub(super) fn connect_port(&mut self, token: Token, to: &Address) -> io::Result<Address> {
        let slot = self.slot(token).ok_or(io::ErrorKind::NotConnected)?;
        let Socket::Datagrams(socket) = &slot.socket else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let socket = SockRef::from(socket);
        let address = socket_address(to)?;
        seam::call(Call::Connect, || socket.connect(&address))?;
        let peer = match to {
            Address::Unix(_) => to.clone(),
            _ => unix::address_of(&seam::call(Call::Getpeername, || socket.peer_addr())?),
        };
        if let Some(bound) = self.datagrams.bound.get_mut(&token.slot) {
            bound.is_connected = true;
        }
        Ok(peer)
    }

    /// Something has come for a port, or there is room. The cursor stays as long as there may be more.
    pub(super) fn datagram_event(
        &mut self,
        port: Token,
        bits: u8,
        lease: &mut Lease,
    ) -> Option<Report> {
        let slot = &mut self.slots[port.slot as usize];
        if bits & WRITABLE != 0 && slot.has(socket::BLOCKED) {
            slot.clear(socket::BLOCKED);
            self.ready[self.cursor].1 &= !WRITABLE;
            return Some(Report::DatagramRoom { port });
        }
        let ports = &mut self.datagrams;
        if ports.received >= DATAGRAMS_PER_TURN || ports.bytes >= self.bytes_per_turn {
            self.again.push((port, READABLE));
            self.leave_datagrams();
            return None;
        }
        let Socket::Datagrams(socket) = &slot.socket else {
            return None;
        };
        match ports.receive(port.slot, socket, &mut lease.datagrams) {
            Ok(more) => {
                if !more {
                    self.leave_datagrams();
                }
                Some(Report::Datagrams { port })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.leave_datagrams();
                None
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => {
                ports.received += 1;
                Some(Report::DatagramError { port, error })
            }
        }
    }

    fn leave_datagrams(&mut self) {
        self.datagrams.received = 0;
        self.datagrams.bytes = 0;
        self.cursor += 1;
    }

    pub(super) fn send_from_port(
        &mut self,
        port: Token,
        out: &mut DatagramQueue,
    ) -> io::Result<()> {
        let slot = self.slots.get(port.slot as usize);
        let slot = slot.filter(|slot| slot.generation() == port.generation);
        let Some(Socket::Datagrams(socket)) = slot.map(|slot| &slot.socket) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        while !out.is_empty() {
            let addressed = out
                .iter()
                .map(|(to, data)| (to.map(socket_address).transpose(), data));
            match self.datagrams.headers.send(socket, addressed) {
                Ok(count) => out.consume(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let bound = self.datagrams.bound.get(&port.slot);
                    if bound.is_some_and(|bound| bound.is_unix && !bound.is_connected) {
                        // Whoever is to get it has no room, and of that no event tells.
                        return Err(error);
                    }
                    return self.wait_for_room(port);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn bind(at: &Address, options: &BindOptions) -> io::Result<(UdpSocket, Option<SocketFile>)> {
    let (socket, file) = match at {
        Address::Ip(at) => (bind_ip(*at, options)?, None),
        Address::Unix(name) => unix::bind_datagrams(name, options.mode)?,
        other => return Err(no_socket(other)),
    };
    Ok((UdpSocket::from(OwnedFd::from(socket)), file))
}

fn bind_ip(at: SocketAddr, options: &BindOptions) -> io::Result<socket2::Socket> {
    let of = Domain::for_address(at);
    let new = || socket2::Socket::new(of, Type::DGRAM, Some(Protocol::UDP));
    let socket = seam::call(Call::Socket, new)?;
    socket.set_nonblocking(true)?;
    // Otherwise a port also hears of groups that other programs joined.
    match at {
        SocketAddr::V4(_) => seam::call(Call::Setsockopt, || socket.set_multicast_all_v4(false))?,
        SocketAddr::V6(_) => {
            seam::call(Call::Setsockopt, || socket.set_only_v6(true))?;
            seam::call(Call::Setsockopt, || socket.set_multicast_all_v6(false))?;
        }
    }
    if options.reuse {
        seam::call(Call::Setsockopt, || socket.set_reuse_address(true))?;
        seam::call(Call::Setsockopt, || socket.set_reuse_port(true))?;
    }
    seam::call(Call::Setsockopt, || socket.set_broadcast(options.broadcast))?;
    seam::call(Call::Bind, || socket.bind(&at.into()))?;
    Ok(socket)
}

fn socket_address(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Ip(address) => Ok((*address).into()),
        Address::Unix(name) => unix::socket_address(name),
        other => Err(no_socket(other)),
    }
}

fn no_socket(address: &Address) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("the mio driver has no datagrams for the address {address}"),
    )
}

/// Changes a port.
pub(super) fn set_option(socket: &UdpSocket, option: SocketOption) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let own = seam::call(Call::Getsockname, || socket.local_addr())?;
    let Some(own) = own.as_socket() else {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a UNIX socket has no such option",
        ));
    };
    seam::call(Call::Setsockopt, || set(&socket, option, own.is_ipv4()))
}

fn set(socket: &SockRef<'_>, option: SocketOption, is_ipv4: bool) -> io::Result<()> {
    match (option, is_ipv4) {
        (SocketOption::Broadcast(yes), _) => socket.set_broadcast(yes),
        (SocketOption::JoinGroup(IpAddr::V4(group), on), true) => {
            socket.join_multicast_v4_n(&group, &v4_interface(on))
        }
        (SocketOption::LeaveGroup(IpAddr::V4(group), on), true) => {
            socket.leave_multicast_v4_n(&group, &v4_interface(on))
        }
        (SocketOption::JoinGroup(IpAddr::V6(group), on), false) => {
            socket.join_multicast_v6(&group, v6_interface(on)?)
        }
        (SocketOption::LeaveGroup(IpAddr::V6(group), on), false) => {
            socket.leave_multicast_v6(&group, v6_interface(on)?)
        }
        (SocketOption::JoinGroup(..) | SocketOption::LeaveGroup(..), _) => {
            Err(invalid("the group is of another family than the port"))
        }
        (SocketOption::MulticastTtl(ttl), true) => socket.set_multicast_ttl_v4(ttl.into()),
        (SocketOption::MulticastTtl(ttl), false) => socket.set_multicast_hops_v6(ttl.into()),
        (SocketOption::MulticastLoopback(yes), true) => socket.set_multicast_loop_v4(yes),
        (SocketOption::MulticastLoopback(yes), false) => socket.set_multicast_loop_v6(yes),
        (SocketOption::MulticastInterface(on), true) => match on {
            Interface::Any => socket.set_multicast_if_v4(&Ipv4Addr::UNSPECIFIED),
            Interface::Address(address) => socket.set_multicast_if_v4(&address),
            Interface::Index(_) => Err(invalid(
                "for IPv4 the interface to send through is named by its address",
            )),
        },
        (SocketOption::MulticastInterface(on), false) => {
            socket.set_multicast_if_v6(v6_interface(on)?)
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn v4_interface(interface: Interface) -> InterfaceIndexOrAddress {
    match interface {
        Interface::Any => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
        Interface::Address(address) => InterfaceIndexOrAddress::Address(address),
        Interface::Index(index) => InterfaceIndexOrAddress::Index(index),
    }
}

fn v6_interface(interface: Interface) -> io::Result<u32> {
    match interface {
        Interface::Any => Ok(0),
        Interface::Index(index) => Ok(index),
        Interface::Address(_) => Err(invalid("for IPv6 an interface is named by its number")),
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
