//! Where a connection comes from or goes to. Holds no socket and looks up no name.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

/// An address of either end of a connection, or a place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A place with a name of its own: an in-memory peer of a test.
    Name(Rc<str>),
    /// The driver could not say, for instance because the peer has gone.
    Unknown,
}

impl Address {
    /// The port number of an IP address.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Name(_) | Self::Unknown => None,
        }
    }

    /// The IP address without the port.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Name(_) | Self::Unknown => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// A peer's address in 16 bytes: what every idle connection keeps.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    V4([u8; 4], u16),
    Other(Box<Address>),
}

impl From<Address> for Peer {
    fn from(address: Address) -> Self {
        match address {
            Address::Ip(SocketAddr::V4(v4)) => Self::V4(v4.ip().octets(), v4.port()),
            other => Self::Other(Box::new(other)),
        }
    }
}

impl Peer {
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::V4(octets, port) => Address::Ip((*octets, *port).into()),
            Self::Other(address) => (**address).clone(),
        }
    }
}
