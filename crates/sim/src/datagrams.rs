//! Datagrams in the virtual network: ports, groups, and who gets what. Without faults, loses only what nobody can
//! take: to nobody, too long, or beyond a full buffer. Never moves the clock.

use crate::{
    faults::Fault,
    host::loopback,
    network::{Flight, Network},
    process::Socket,
    stream::Owner,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use tress_core::{
    datagram::{DatagramQueue, Datagrams},
    driver::{BindOptions, Report, SocketOption, Token},
};

/// The first of the ports that are given out where none was asked for (RFC 6335, section 6).
const FIRST_DYNAMIC_PORT: u16 = 49_152;
/// What waits unread at one port, bytes; more is lost. Each counts [`OVERHEAD_BYTES`] more than its data.
const WAITING_BYTES: usize = 212_992;
const OVERHEAD_BYTES: usize = 256;
/// How much longer than others a datagram takes that others overtake, at most.
const REORDERED: u32 = 100;
/// Handed over at once.
const TOGETHER: usize = 32;

pub(crate) type PortId = u64;

/// All datagram ports of a world.
#[derive(Debug, Default)]
pub(crate) struct DatagramPorts {
    /// In the order in which they were opened.
    ports: BTreeMap<PortId, DatagramPort>,
    opened: PortId,
}

#[derive(Debug)]
struct DatagramPort {
    owner: Owner,
    host: usize,
    local: SocketAddr,
    peer: Option<SocketAddr>,
    options: BindOptions,
    groups: BTreeSet<IpAddr>,
    ttl: u8,
    loops: bool,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    waiting_bytes: usize,
    /// Dropped since the last report, because they were longer than the port takes.
    too_long: u64,
    is_refused: bool,
}

impl DatagramPort {
    fn has_report(&self) -> bool {
        self.is_refused || self.too_long > 0 || !self.waiting.is_empty()
    }

    /// Whether this is where `to` leads, on this port's host.
    fn is_at(&self, to: SocketAddr) -> bool {
        let own = self.local;
        own.port() == to.port()
            && own.is_ipv4() == to.is_ipv4()
            && (own.ip() == to.ip() || own.ip().is_unspecified())
    }

    fn is_for(&self, from: SocketAddr, to: SocketAddr) -> bool {
        if self.peer.is_some_and(|peer| peer != from) {
            return false;
        }
        let own = self.local;
        let is_wide = own.port() == to.port() && own.is_ipv4() == to.is_ipv4();
        match to.ip() {
            ip if ip.is_multicast() => {
                let is_heard = own.ip().is_unspecified() || own.ip() == ip;
                is_wide && is_heard && self.groups.contains(&ip)
            }
            IpAddr::V4(Ipv4Addr::BROADCAST) => is_wide && own.ip().is_unspecified(),
            _ => self.is_at(to),
        }
    }

    fn arrive(&mut self, from: SocketAddr, data: &[u8]) -> bool {
        let bytes = data.len() + OVERHEAD_BYTES;
        if self.waiting_bytes + bytes > WAITING_BYTES {
            return false;
        }
        if data.len() > self.options.longest {
            self.too_long += 1;
        } else {
            self.waiting_bytes += bytes;
            self.waiting.push_back((from, data.to_vec()));
        }
        true
    }
}

impl DatagramPorts {
    /// The address of a new port on this host.
    fn place(
        &self,
        host: usize,
        mut at: SocketAddr,
        options: &BindOptions,
    ) -> io::Result<SocketAddr> {
        let others = || self.ports.values().filter(|port| port.host == host);
        if at.port() == 0 {
            let is_free = |number: &u16| others().all(|port| port.local.port() != *number);
            let free = (FIRST_DYNAMIC_PORT..=u16::MAX).find(is_free);
            at.set_port(free.ok_or(io::ErrorKind::AddrInUse)?);
            return Ok(at);
        }
        let is_taken = others().any(|port| {
            let overlaps = port.is_at(at)
                || at.ip().is_unspecified()
                    && port.local.is_ipv4() == at.is_ipv4()
                    && port.local.port() == at.port();
            overlaps && !(port.options.reuse && options.reuse)
        });
        if is_taken {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(at)
    }

    pub(crate) fn local_address(&self, id: PortId) -> Option<SocketAddr> {
        Some(self.ports.get(&id)?.local)
    }

    pub(crate) fn has_report(&self, id: PortId) -> bool {
        self.ports.get(&id).is_some_and(DatagramPort::has_report)
    }

    pub(crate) fn close(&mut self, id: PortId) {
        self.ports.remove(&id);
    }
}

impl Network {
    pub(crate) fn bind(
        &mut self,
        process: usize,
        at: SocketAddr,
        options: &BindOptions,
    ) -> io::Result<(Token, SocketAddr)> {
        self.check_alive(process)?;
        let host = self.process(process).host;
        let ip = at.ip();
        if !ip.is_unspecified() && !ip.is_multicast() && !self.host_mut(host).is_own(ip) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let local = self.datagrams.place(host, at, options)?;
        self.host_mut(host).take_descriptor()?;
        self.datagrams.opened += 1;
        let id = self.datagrams.opened;
        let token = self.process_mut(process).add(Socket::Datagrams(id));
        let port = DatagramPort {
            owner: Owner {
                process,
                slot: token.slot,
            },
            host,
            local,
            peer: None,
            options: options.clone(),
            groups: BTreeSet::new(),
            ttl: 1,
            loops: true,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            too_long: 0,
            is_refused: false,
        };
        self.datagrams.ports.insert(id, port);
        Ok((token, local))
    }

    pub(crate) fn connect_datagrams(
        &mut self,
        process: usize,
        token: Token,
        mut to: SocketAddr,
    ) -> io::Result<SocketAddr> {
        if to.ip().is_unspecified() {
            to.set_ip(loopback(to.ip()));
        }
        let (id, host) = self.datagram_port(process, token)?;
        let from = self.host_mut(host).towards(to.ip());
        let from = from.ok_or(io::ErrorKind::NetworkUnreachable)?;
        let port = self.datagrams.ports.get_mut(&id).expect("it was there");
        if port.local.ip().is_unspecified() {
            port.local.set_ip(from);
        }
        port.peer = Some(to);
        Ok(to)
    }

    pub(crate) fn send_datagrams(
        &mut self,
        process: usize,
        token: Token,
        out: &mut DatagramQueue,
    ) -> io::Result<()> {
        let (id, _) = self.datagram_port(process, token)?;
        while !out.is_empty() {
            self.send_first(id, out)?;
            out.consume(1);
        }
        Ok(())
    }

    pub(crate) fn set_datagram_option(
        &mut self,
        process: usize,
        token: Token,
        option: SocketOption,
    ) -> io::Result<()> {
        let (id, _) = self.datagram_port(process, token)?;
        let port = self.datagrams.ports.get_mut(&id).expect("it was there");
        match option {
            SocketOption::Broadcast(yes) => port.options.broadcast = yes,
            SocketOption::MulticastTtl(ttl) => port.ttl = ttl,
            SocketOption::MulticastLoopback(yes) => port.loops = yes,
            // There is one network, which all hosts are on.
            SocketOption::MulticastInterface(_) => {}
            SocketOption::JoinGroup(group, _) => {
                if !group.is_multicast() || group.is_ipv4() != port.local.is_ipv4() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                if !port.groups.insert(group) {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
            }
            SocketOption::LeaveGroup(group, _) => {
                if !port.groups.remove(&group) {
                    return Err(io::ErrorKind::AddrNotAvailable.into());
                }
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(())
    }

    /// What a port has to report: its datagrams, at most `most` of them, or that nobody is at the other end.
    pub(crate) fn report_datagrams(
        &mut self,
        port: Token,
        id: PortId,
        most: usize,
        datagrams: &mut Datagrams,
    ) -> Option<Report> {
        let from = self.datagrams.ports.get_mut(&id)?;
        if std::mem::take(&mut from.is_refused) {
            let error = io::ErrorKind::ConnectionRefused.into();
            return Some(Report::DatagramError { port, error });
        }
        datagrams.clear();
        datagrams.too_long = std::mem::take(&mut from.too_long);
        while datagrams.len() < most.min(TOGETHER)
            && let Some((peer, data)) = from.waiting.pop_front()
        {
            from.waiting_bytes -= data.len() + OVERHEAD_BYTES;
            datagrams.push(peer.into(), &data);
        }
        let any = datagrams.too_long > 0 || !datagrams.is_empty();
        any.then_some(Report::Datagrams { port })
    }

    /// A datagram arrives at a host: whoever it is for gets it, and if that is nobody, its sender may be told.
    pub(crate) fn datagram_arrives(&mut self, flown: &Datagram) {
        let Datagram { from, to, host, .. } = *flown;
        if self.host_mut(host).is_down {
            self.statistics.datagrams_lost += 1;
            return;
        }
        let for_many = is_for_many(to.ip());
        let ports = self.datagrams.ports.values_mut();
        let mut found = Vec::new();
        for port in ports.filter(|port| port.host == host && port.is_for(from, to)) {
            if port.arrive(from, &flown.data) {
                self.statistics.datagrams += 1;
            } else {
                self.statistics.datagrams_lost += 1;
            }
            found.push(port.owner);
            if !for_many {
                break;
            }
        }
        if found.is_empty() && !for_many {
            self.statistics.datagrams_lost += 1;
            let at = self.now() + self.latency();
            let unreachable = Flight::Unreachable {
                port: flown.port,
                to,
            };
            self.launch(at, unreachable);
        }
        for owner in found {
            self.requeue(owner.process, owner.slot);
        }
    }

    /// The sender of a datagram is told that nobody was there, which only a connected port hears.
    pub(crate) fn unreachable_arrives(&mut self, id: PortId, to: SocketAddr) {
        if let Some(port) = self.datagrams.ports.get_mut(&id)
            && port.peer == Some(to)
        {
            port.is_refused = true;
            let owner = port.owner;
            self.requeue(owner.process, owner.slot);
        }
    }

    fn datagram_port(&self, process: usize, token: Token) -> io::Result<(PortId, usize)> {
        match self.process(process).get(token) {
            Some(Socket::Datagrams(id)) => Ok((id, self.process(process).host)),
            Some(Socket::Port(_) | Socket::Stream(_) | Socket::Child(_)) | None => {
                Err(io::ErrorKind::NotConnected.into())
            }
        }
    }

    fn send_first(&mut self, id: PortId, out: &DatagramQueue) -> io::Result<()> {
        let Some((to, data)) = out.iter().next() else {
            return Ok(());
        };
        let peer = self.datagrams.ports[&id].peer;
        let mut to = match to {
            Some(to) => crate::driver::socket_address(to)?,
            None => peer.ok_or(io::ErrorKind::NotConnected)?,
        };
        if to.ip().is_unspecified() {
            to.set_ip(loopback(to.ip()));
        }
        let port = &self.datagrams.ports[&id];
        let (host, local, ttl, loops) = (port.host, port.local, port.ttl, port.loops);
        if to.ip() == Ipv4Addr::BROADCAST && !port.options.broadcast {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut from = local;
        if from.ip().is_unspecified() {
            let own = self.host_mut(host).towards(to.ip());
            from.set_ip(own.ok_or(io::ErrorKind::NetworkUnreachable)?);
        }
        let targets: Vec<usize> = if !is_for_many(to.ip()) {
            let target = match to.ip() {
                ip if ip.is_loopback() => Some(host),
                ip => self.host_of(ip),
            };
            // To nobody: it is lost, and nobody tells.
            self.statistics.datagrams_lost += u64::from(target.is_none());
            target.into_iter().collect()
        } else if to.ip().is_multicast() && ttl == 0 {
            vec![host]
        } else {
            (0..self.hosts()).collect()
        };
        for target in targets {
            if target == host && to.ip().is_multicast() && !loops {
                continue;
            }
            self.travel(Datagram {
                port: id,
                from,
                to,
                host: target,
                data: data.to_vec(),
            });
        }
        Ok(())
    }

    /// Sends a datagram on its way to one host. Each travels for as long as the policy says, and jitter may change
    /// their order.
    fn travel(&mut self, datagram: Datagram) {
        let now = self.now();
        let from = self.datagrams.ports.get(&datagram.port);
        let is_cut = from.is_some_and(|from| {
            let until = self.partitions.until(from.host, datagram.host, now);
            until.is_some()
        });
        if is_cut || self.faults.strikes(Fault::LostDatagram) {
            self.statistics.datagrams_lost += 1;
            return;
        }
        let mut at = now + self.latency();
        if self.faults.strikes(Fault::ReorderedDatagram) {
            at = at + self.faults.while_up_to(self.policy.latency * REORDERED);
        }
        if self.faults.strikes(Fault::DuplicatedDatagram) {
            let again = now + self.latency();
            self.launch(again, Flight::Datagram(datagram.clone()));
        }
        self.launch(at, Flight::Datagram(datagram));
    }
}

/// A datagram on its way to one host.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    /// Whose it is.
    port: PortId,
    from: SocketAddr,
    to: SocketAddr,
    host: usize,
    data: Vec<u8>,
}

fn is_for_many(ip: IpAddr) -> bool {
    ip.is_multicast() || ip == Ipv4Addr::BROADCAST
}
