//! Where a connection comes from or goes to. Holds no socket and looks up no name.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    rc::Rc,
};

/// An address of either end of a connection, or a place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A UNIX socket.
    Unix(UnixName),
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
            Self::Unix(_) | Self::Name(_) | Self::Unknown => None,
        }
    }

    /// The IP address without the port.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix(_) | Self::Name(_) | Self::Unknown => None,
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
            Self::Unix(name) => name.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The name of a UNIX socket. A connection over one is like any other, but nobody sees that the other end aborted it:
/// for the system that is a close, too, unless there was something that end had not read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A file.
    Path(Rc<Path>),
    /// A name without a file, on Linux (`unix(7)`): without the NUL byte in front.
    Abstract(Rc<[u8]>),
    /// It has none, as most clients.
    Unnamed,
}

/// What makes a name of no use for a UNIX socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUnixName {
    /// There is none.
    Empty,
    /// A NUL byte is in it.
    Nul,
    /// It is longer than [`UnixName::BYTES_MAX`].
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl UnixName {
    /// The longest name, in bytes: what Linux has room for.
    pub const BYTES_MAX: usize = 107;

    /// The name as it is written in an endpoint: `@` or a NUL byte in front makes it an abstract one (Twisted knows only
    /// the NUL byte, systemd only `@`). A file whose name begins with `@` is written `./@name`.
    ///
    /// # Errors
    /// No socket can have that name.
    pub fn parse(text: &str) -> Result<Self, BadUnixName> {
        let name = match text.strip_prefix(['@', '\0']) {
            Some(name) => Self::Abstract(name.as_bytes().into()),
            None => Self::Path(Path::new(text).into()),
        };
        name.check().map(|()| name)
    }

    /// Whether a socket can listen at it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), BadUnixName> {
        let bytes = match self {
            Self::Path(path) => path.as_os_str().as_encoded_bytes(),
            Self::Abstract(name) => name,
            Self::Unnamed => &[],
        };
        match bytes.len() {
            0 => Err(BadUnixName::Empty),
            _ if matches!(self, Self::Path(_)) && bytes.contains(&0) => Err(BadUnixName::Nul),
            bytes if bytes > Self::BYTES_MAX => Err(BadUnixName::TooLong { bytes }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            Self::Unnamed => f.write_str("unnamed"),
        }
    }
}

impl fmt::Display for BadUnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a UNIX socket to listen at or connect to needs a name"),
            Self::Nul => f.write_str("the name of a UNIX socket has a NUL byte in it"),
            Self::TooLong { bytes } => {
                let most = UnixName::BYTES_MAX;
                write!(
                    f,
                    "the name of a UNIX socket has {bytes} bytes; the limit is {most}"
                )
            }
        }
    }
}

impl Error for BadUnixName {}

/// A peer's address in 16 bytes: what every idle connection keeps.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    V4([u8; 4], u16),
    /// An unnamed UNIX socket.
    Unnamed,
    Other(Box<Address>),
}

impl From<Address> for Peer {
    fn from(address: Address) -> Self {
        match address {
            Address::Ip(SocketAddr::V4(v4)) => Self::V4(v4.ip().octets(), v4.port()),
            Address::Unix(UnixName::Unnamed) => Self::Unnamed,
            other => Self::Other(Box::new(other)),
        }
    }
}

impl Peer {
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::V4(octets, port) => Address::Ip((*octets, *port).into()),
            Self::Unnamed => Address::Unix(UnixName::Unnamed),
            Self::Other(address) => (**address).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, BadUnixName>) {
        let name = UnixName::parse(text);
        let shown = name.as_ref().map(|name| {
            let kind = match name {
                UnixName::Path(_) => "path",
                UnixName::Abstract(_) => "abstract",
                UnixName::Unnamed => "unnamed",
            };
            format!("{kind} {name}")
        });
        assert_eq!(shown.as_deref().map_err(|bad| **bad), expected);
    }

    #[test]
    fn a_unix_name_is_a_path_or_abstract() {
        check("/run/x", Ok("path /run/x"));
        check("x", Ok("path x"));
        check("@x", Ok("abstract @x"));
        check("\0x", Ok("abstract @x"));
        check("./@x", Ok("path ./@x"));
        check("@@", Ok("abstract @@"));
        check("@a\0b", Ok("abstract @a\\x00b"));
        check("", Err(BadUnixName::Empty));
        check("@", Err(BadUnixName::Empty));
        check("/a\0b", Err(BadUnixName::Nul));
    }

    #[test]
    fn a_unix_name_has_at_most_107_bytes() {
        let long = "x".repeat(107);
        assert!(UnixName::parse(&long).is_ok());
        assert!(UnixName::parse(&format!("@{long}")).is_ok());
        for text in [format!("x{long}"), format!("@x{long}")] {
            let error = UnixName::parse(&text).expect_err("it is too long");
            assert_eq!(error, BadUnixName::TooLong { bytes: 108 });
            assert!(
                error
                    .to_string()
                    .ends_with("has 108 bytes; the limit is 107")
            );
        }
    }

    #[test]
    fn what_a_connection_keeps_of_its_peer_has_16_bytes() {
        assert_eq!(size_of::<Peer>(), 16);
        for address in [
            Address::from(SocketAddr::from(([127, 0, 0, 1], 80))),
            Address::Unix(UnixName::Unnamed),
            Address::Unix(UnixName::Path(Path::new("/x").into())),
            Address::Unknown,
        ] {
            assert_eq!(Peer::from(address.clone()).address(), address);
        }
    }
}
