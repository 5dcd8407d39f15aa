//! A virtual machine: its addresses, ports, listeners and descriptors. Knows no stream's bytes and no clock.

use crate::{
    disk::Content,
    network::Flight,
    stream::{EndId, Owner},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The first of the ports that are given out where none was asked for (RFC 6335, section 6).
const FIRST_DYNAMIC_PORT: u16 = 49_152;
/// "Too many open files".
pub(crate) const EMFILE: i32 = 24;

/// A place in a host's table of listeners.
pub(crate) type ListenerKey = (u16, IpAddr);

#[derive(Debug)]
pub(crate) struct Host {
    addresses: Vec<IpAddr>,
    pub(crate) listeners: BTreeMap<ListenerKey, Listener>,
    /// Local ports of outgoing connections.
    client_ports: BTreeSet<u16>,
    next_port: u16,
    descriptors: usize,
    limit: Option<usize>,
    pub(crate) disk: Content,
    pub(crate) is_down: bool,
    /// What came while it was down and comes again.
    pub(crate) missed: Vec<Flight>,
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) owner: Owner,
    backlog: usize,
    pub(crate) accepting: Accepting,
    /// Made and not yet accepted.
    pub(crate) queue: VecDeque<EndId>,
    /// Attempts that found the queue full: who asks and for which address. They wait unanswered.
    pub(crate) waiting: VecDeque<(EndId, SocketAddr)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    Yes,
    /// Its user wants no connections for now.
    Stopped,
    /// It failed for want of a descriptor, and was reported; waits for one to be freed.
    Starved,
}

impl Listener {
    pub(crate) fn new(owner: Owner, backlog: u32) -> Self {
        Self {
            owner,
            backlog: usize::try_from(backlog).unwrap_or(usize::MAX).max(1),
            accepting: Accepting::Yes,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }

    pub(crate) fn has_report(&self) -> bool {
        self.accepting == Accepting::Yes && !self.queue.is_empty()
    }
}

impl Host {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self {
            addresses: vec![address],
            listeners: BTreeMap::new(),
            client_ports: BTreeSet::new(),
            next_port: FIRST_DYNAMIC_PORT,
            descriptors: 0,
            limit: None,
            disk: Content::default(),
            is_down: false,
            missed: Vec::new(),
        }
    }

    pub(crate) fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip)
    }

    pub(crate) fn add_address(&mut self, ip: IpAddr) {
        self.addresses.push(ip);
    }

    /// The address to listen at, with a port.
    pub(crate) fn place(&mut self, at: SocketAddr) -> io::Result<SocketAddr> {
        let ip = at.ip();
        if !ip.is_unspecified() && !self.is_own(ip) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = match at.port() {
            0 => self.free_port()?,
            port => port,
        };
        let taken = self
            .listeners
            .range((port, Ipv4Addr::UNSPECIFIED.into())..)
            .take_while(|((other, _), _)| *other == port)
            .any(|((_, other), _)| covers(*other, ip) || covers(ip, *other));
        if taken || self.client_ports.contains(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(SocketAddr::new(ip, port))
    }

    /// The address that a connection to `to` comes from; its port is taken until [`Host::release_port`].
    pub(crate) fn source(
        &mut self,
        to: IpAddr,
        bind: Option<SocketAddr>,
    ) -> io::Result<SocketAddr> {
        let bound = bind.map(|bind| bind.ip()).filter(|ip| !ip.is_unspecified());
        let ip = match bound {
            Some(ip) if !self.is_own(ip) => return Err(io::ErrorKind::AddrNotAvailable.into()),
            Some(ip) if ip.is_ipv4() != to.is_ipv4() => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            Some(ip) => ip,
            None => self
                .towards(to)
                .ok_or_else(|| io::Error::from(io::ErrorKind::NetworkUnreachable))?,
        };
        let port = match bind.map_or(0, |bind| bind.port()) {
            0 => self.free_port()?,
            port if self.is_port_used(port) => return Err(io::ErrorKind::AddrInUse.into()),
            port => port,
        };
        self.client_ports.insert(port);
        Ok(SocketAddr::new(ip, port))
    }

    /// Which own address is used to reach `to`.
    pub(crate) fn towards(&self, to: IpAddr) -> Option<IpAddr> {
        if to.is_loopback() {
            return Some(loopback(to));
        }
        if self.has_address(to) {
            return Some(to);
        }
        let mut own = self.addresses.iter().copied();
        own.find(|own| own.is_ipv4() == to.is_ipv4())
    }

    pub(crate) fn release_port(&mut self, port: u16) {
        self.client_ports.remove(&port);
    }

    /// Who listens at this address: the exact one first.
    pub(crate) fn listener_at(&self, to: SocketAddr) -> Option<ListenerKey> {
        let wildcard = if to.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        [to.ip(), wildcard, Ipv6Addr::UNSPECIFIED.into()]
            .map(|ip| (to.port(), ip))
            .into_iter()
            .find(|key| self.listeners.contains_key(key))
    }

    /// One more descriptor is used.
    pub(crate) fn take_descriptor(&mut self) -> io::Result<()> {
        if self.limit.is_some_and(|limit| self.descriptors >= limit) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        self.descriptors += 1;
        Ok(())
    }

    /// One descriptor fewer is used; returns the listeners that waited for one.
    pub(crate) fn free_descriptor(&mut self) -> Vec<Owner> {
        self.descriptors -= 1;
        self.retry()
    }

    pub(crate) fn set_limit(&mut self, limit: Option<usize>) -> Vec<Owner> {
        self.limit = limit;
        self.retry()
    }

    /// All its processes are gone.
    pub(crate) fn forget(&mut self) {
        self.client_ports.clear();
        self.descriptors = 0;
    }

    /// The listeners that waited for a descriptor, if there is one.
    pub(crate) fn retry(&mut self) -> Vec<Owner> {
        if self.limit.is_some_and(|limit| self.descriptors >= limit) {
            return Vec::new();
        }
        let starved = self.listeners.values_mut();
        starved
            .filter(|listener| listener.accepting == Accepting::Starved)
            .map(|listener| {
                listener.accepting = Accepting::Yes;
                listener.owner
            })
            .collect()
    }

    pub(crate) fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.has_address(ip)
    }

    fn is_port_used(&self, port: u16) -> bool {
        let mut listening = self.listeners.keys();
        self.client_ports.contains(&port) || listening.any(|(listens, _)| *listens == port)
    }

    fn free_port(&mut self) -> io::Result<u16> {
        for _ in FIRST_DYNAMIC_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_DYNAMIC_PORT);
            if !self.is_port_used(port) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

/// The loopback address of the same family.
pub(crate) fn loopback(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Whether a listener at `wide` also listens at `narrow`. The wildcard of IPv6 does at both kinds, as on Linux.
fn covers(wide: IpAddr, narrow: IpAddr) -> bool {
    wide == narrow || wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host::new([10, 0, 0, 1].into())
    }

    #[track_caller]
    fn listen(host: &mut Host, at: &str) -> io::Result<SocketAddr> {
        let at = host.place(at.parse().unwrap())?;
        let owner = Owner {
            process: 0,
            slot: 0,
        };
        host.listeners
            .insert((at.port(), at.ip()), Listener::new(owner, 1));
        Ok(at)
    }

    #[test]
    fn two_cannot_listen_at_one_place() {
        for (first, second, conflict) in [
            ("10.0.0.1:80", "10.0.0.1:80", true),
            ("10.0.0.1:80", "10.0.0.1:81", false),
            ("10.0.0.1:80", "127.0.0.1:80", false),
            ("0.0.0.0:80", "10.0.0.1:80", true),
            ("10.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "10.0.0.1:80", true),
            ("0.0.0.0:80", "[::]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
        ] {
            let mut host = host();
            listen(&mut host, first).unwrap();
            let kind = listen(&mut host, second).err().map(|error| error.kind());
            let expected = conflict.then_some(io::ErrorKind::AddrInUse);
            assert_eq!(kind, expected, "{first} and {second}");
        }
        let foreign = listen(&mut host(), "10.0.0.2:80").unwrap_err();
        assert_eq!(foreign.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn the_exact_listener_wins_over_the_wildcard() {
        let mut host = host();
        let found = |host: &Host, to: &str| host.listener_at(to.parse().unwrap());
        listen(&mut host, "[::]:80").unwrap();
        listen(&mut host, "127.0.0.1:81").unwrap();
        let any: IpAddr = Ipv6Addr::UNSPECIFIED.into();
        assert_eq!(found(&host, "10.0.0.1:80"), Some((80, any)));
        assert_eq!(found(&host, "[::1]:80"), Some((80, any)));
        assert_eq!(
            found(&host, "127.0.0.1:81"),
            Some((81, [127, 0, 0, 1].into()))
        );
        assert_eq!(found(&host, "10.0.0.1:81"), None);
    }

    #[test]
    fn ports_are_given_out_in_order_and_again_when_free() {
        let mut host = host();
        let to = IpAddr::from([10, 0, 0, 9]);
        assert_eq!(host.source(to, None).unwrap().to_string(), "10.0.0.1:49152");
        assert_eq!(
            listen(&mut host, "0.0.0.0:0").unwrap().to_string(),
            "0.0.0.0:49153"
        );
        let bind = Some(SocketAddr::from(([10, 0, 0, 1], 49_152)));
        let taken = host.source(to, bind).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        host.release_port(49_152);
        assert_eq!(host.source(to, bind).unwrap().to_string(), "10.0.0.1:49152");
        for _ in 0..16_382 {
            host.source(to, None).unwrap();
        }
        assert!(host.source(to, None).is_err());
    }

    #[test]
    fn the_source_is_on_the_way_to_the_target() {
        let mut host = host();
        host.add_address([10, 0, 0, 2].into());
        for (to, from) in [
            ("127.0.0.5", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("10.0.0.2", Some("10.0.0.2")),
            ("10.0.0.9", Some("10.0.0.1")),
            ("fd00::1", None),
        ] {
            let source = host.source(to.parse().unwrap(), None);
            let source = source.ok().map(|source| source.ip().to_string());
            assert_eq!(source.as_deref(), from, "to {to}");
        }
    }
}
