//! The header of the PROXY protocol: bytes in, addresses out. The limits come first, and only what is whole and within
//! them reaches the parser. Knows no connection, and keeps nothing.
//!
//! Source: the specification by HAProxy (`doc/proxy-protocol.txt`), and Twisted's `protocols/haproxy`. Other than
//! there, a header may come in pieces of any size. What stands behind the addresses of version 2 (TLVs, nested or not)
//! is not looked at.

use ppp::{v1, v2};
use std::{
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
};
use tress_core::{Address, UnixName};

/// The longest header of version 1, with its end of line: what its specification says.
pub const V1_BYTES_MAX: usize = 107;

/// The longest block behind the 16 fixed bytes of version 2. Addresses have at most 216; the rest is for TLVs, such as a
/// client's certificate, which HAProxy can pass on. Its field could say 65,535.
pub const V2_BLOCK_BYTES_MAX: usize = 4_096;

/// No header has more bytes.
pub const HEADER_BYTES_MAX: usize = V2_FIXED_BYTES + V2_BLOCK_BYTES_MAX;

const V2_FIXED_BYTES: usize = 16;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_SIGNATURE: &[u8] = b"PROXY ";

/// Version 2, and the connection is the proxy's own.
const V2_LOCAL: u8 = 0x20;
const V2_PROXY: u8 = 0x21;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// The proxy speaks for itself (LOCAL), or does not know (UNKNOWN): the real addresses hold.
    Not,
    /// The addresses at the proxy's other side.
    From {
        /// Who connected to the proxy.
        peer: Address,
        /// Where.
        host: Address,
    },
}

/// What came is no header, or none that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// It does not begin like one.
    Absent,
    /// It is longer than this many bytes, or says so.
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// It is a header of a version or a kind that nobody knows, or its addresses are none.
    Malformed(String),
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("it begins with no PROXY header"),
            Self::TooLong { limit } => {
                write!(
                    f,
                    "its PROXY header is longer than the limit of {limit} bytes"
                )
            }
            Self::Malformed(problem) => write!(f, "its PROXY header is wrong: {problem}"),
        }
    }
}

impl Error for BadHeader {}

/// Reads the header that `bytes` begin with: what it says and how long it is. `None`: more must come.
///
/// # Errors
/// They begin with none, whatever follows.
pub fn read_header(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, BadHeader> {
    if begins_like(bytes, V1_SIGNATURE) {
        read_v1(bytes)
    } else if begins_like(bytes, V2_SIGNATURE) {
        read_v2(bytes)
    } else {
        Err(BadHeader::Absent)
    }
}

/// Whether they agree as far as both go.
fn begins_like(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(one, other)| one == other)
}

fn read_v1(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, BadHeader> {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        return if within.len() < V1_BYTES_MAX {
            Ok(None)
        } else {
            let limit = V1_BYTES_MAX;
            Err(BadHeader::TooLong { limit })
        };
    };
    let line = &within[..=end];
    Ok(Some((parse_v1(line)?, line.len())))
}

fn parse_v1(line: &[u8]) -> Result<Proxied, BadHeader> {
    // Whatever stands behind UNKNOWN means nothing.
    if line == b"PROXY UNKNOWN\r\n"
        || line.starts_with(b"PROXY UNKNOWN ") && line.ends_with(b"\r\n")
    {
        return Ok(Proxied::Not);
    }
    // The parser reads ports as Rust's numbers, which may have a sign.
    if line.contains(&b'+') {
        return Err(BadHeader::Malformed("a sign in front of a port".to_owned()));
    }
    let header = v1::Header::try_from(line).map_err(malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => Proxied::Not,
        v1::Addresses::Tcp4(ip) => from_ip(
            (ip.source_address, ip.source_port),
            (ip.destination_address, ip.destination_port),
        ),
        v1::Addresses::Tcp6(ip) => from_ip(
            (ip.source_address, ip.source_port),
            (ip.destination_address, ip.destination_port),
        ),
    })
}

fn read_v2(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, BadHeader> {
    let kind = bytes.get(12).copied();
    if let Some(kind) = kind.filter(|kind| !matches!(*kind, V2_LOCAL | V2_PROXY)) {
        let problem = format!("version and command {kind:#04x} are unknown");
        return Err(BadHeader::Malformed(problem));
    }
    let Some(length) = bytes.get(14..V2_FIXED_BYTES) else {
        return Ok(None);
    };
    let block = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if block > V2_BLOCK_BYTES_MAX {
        let limit = HEADER_BYTES_MAX;
        return Err(BadHeader::TooLong { limit });
    }
    let length = V2_FIXED_BYTES + block;
    let Some(header) = bytes.get(..length) else {
        return Ok(None);
    };
    // What a LOCAL one says of addresses must be ignored, be it right or wrong.
    let proxied = match kind {
        Some(V2_LOCAL) => Proxied::Not,
        _ => parse_v2(header)?,
    };
    Ok(Some((proxied, length)))
}

fn parse_v2(header: &[u8]) -> Result<Proxied, BadHeader> {
    let header = v2::Header::try_from(header).map_err(malformed)?;
    if header.protocol == v2::Protocol::Unspecified {
        return Ok(Proxied::Not);
    }
    Ok(match header.addresses {
        v2::Addresses::Unspecified => Proxied::Not,
        v2::Addresses::IPv4(ip) => from_ip(
            (ip.source_address, ip.source_port),
            (ip.destination_address, ip.destination_port),
        ),
        v2::Addresses::IPv6(ip) => from_ip(
            (ip.source_address, ip.source_port),
            (ip.destination_address, ip.destination_port),
        ),
        v2::Addresses::Unix(names) => Proxied::From {
            peer: unix(&names.source),
            host: unix(&names.destination),
        },
    })
}

fn malformed(error: impl Error) -> BadHeader {
    BadHeader::Malformed(error.to_string())
}

fn from_ip<A: Into<IpAddr>>(peer: (A, u16), host: (A, u16)) -> Proxied {
    let address = |(ip, port): (A, u16)| Address::from(SocketAddr::new(ip.into(), port));
    Proxied::From {
        peer: address(peer),
        host: address(host),
    }
}

/// The name of a UNIX socket as the system's structure has it: a path to its first NUL byte; behind a NUL byte an
/// abstract name; nothing at all.
fn unix(name: &[u8; 108]) -> Address {
    let used = name
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    Address::Unix(match &name[..used] {
        [] => UnixName::Unnamed,
        [0, name @ ..] => UnixName::Abstract(name.into()),
        path => {
            let end = path.iter().position(|byte| *byte == 0);
            let path = String::from_utf8_lossy(&path[..end.unwrap_or(path.len())]);
            UnixName::Path(std::path::Path::new(&*path).into())
        }
    })
}
