//! Networks that are trusted: `10.0.0.0/8,127.0.0.1`. Knows no connection.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};
use tress_core::Address;

/// A list of networks. UNIX sockets are always in it: who may connect to one, its file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// What is no list of networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNetwork(String);

/// An address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Networks {
    /// This machine: 127.0.0.0/8 and ::1.
    #[must_use]
    pub fn loopback() -> Self {
        Self(vec![
            Network {
                address: Ipv4Addr::new(127, 0, 0, 0).into(),
                bits: 8,
            },
            Network {
                address: Ipv6Addr::LOCALHOST.into(),
                bits: 128,
            },
        ])
    }

    /// Whether a connection comes from one of them. An address whose origin the system could not tell does not.
    #[must_use]
    pub fn contain(&self, peer: &Address) -> bool {
        match peer {
            Address::Unix(_) => true,
            Address::Ip(address) => {
                let ip = address.ip().to_canonical();
                self.0.iter().any(|network| network.contains(ip))
            }
            _ => false,
        }
    }
}

impl FromStr for Networks {
    type Err = BadNetwork;

    /// Addresses with or without a number of bits, with commas between them.
    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let networks: Result<Vec<_>, _> = text.split(',').map(Network::parse).collect();
        networks.map(Self)
    }
}

impl Network {
    fn parse(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|digit| digit.is_ascii_digit()) => {
                bits.parse().map_err(|_| bad())?
            }
            Some(_) => return Err(bad()),
        };
        if bits > most {
            return Err(bad());
        }
        Ok(Self { address, bits })
    }

    fn contains(self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let differing = own.to_bits() ^ ip.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let differing = own.to_bits() ^ ip.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no address and no network, as `10.0.0.0/8` is",
            self.0.escape_debug()
        )
    }
}

impl Error for BadNetwork {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tress_core::UnixName;

    #[track_caller]
    fn check(networks: &str, inside: &[&str], outside: &[&str]) {
        let networks: Networks = networks.parse().unwrap();
        let contain = |ip: &str| {
            let address = SocketAddr::new(ip.parse().unwrap(), 1);
            networks.contain(&address.into())
        };
        for ip in inside {
            assert!(contain(ip), "{ip}");
        }
        for ip in outside {
            assert!(!contain(ip), "{ip}");
        }
    }

    #[test]
    fn networks_contain_addresses() {
        check(
            "10.0.0.0/8,192.0.2.1",
            &["10.0.0.0", "10.255.255.255", "192.0.2.1", "::ffff:10.1.2.3"],
            &[
                "9.255.255.255",
                "11.0.0.0",
                "192.0.2.0",
                "192.0.2.2",
                "::1",
                "::a00:0",
            ],
        );
        check("10.1.2.3/8", &["10.9.9.9"], &["11.1.2.3"]);
        check("0.0.0.0/0", &["1.2.3.4", "255.255.255.255"], &["::1"]);
        check("::/0", &["::1", "fe80::1"], &["1.2.3.4"]);
        check(
            "2001:db8::/33,::1/128",
            &["2001:db8:7fff::1", "::1"],
            &["2001:db8:8000::", "::2", "127.0.0.1"],
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            ",",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0/8",
            "localhost",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.1,",
            " 10.0.0.1",
            "10.0.0.0/99999999999",
        ] {
            let bad = text.parse::<Networks>().expect_err(text).to_string();
            assert!(
                bad.ends_with("is no address and no network, as `10.0.0.0/8` is"),
                "{bad}"
            );
        }
    }

    #[test]
    fn by_default_only_this_machine_is_trusted() {
        let trusted = Networks::loopback();
        let ip = |text: &str| Address::from(SocketAddr::new(text.parse().unwrap(), 1));
        for inside in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
            assert!(trusted.contain(&ip(inside)), "{inside}");
        }
        for outside in ["10.0.0.1", "128.0.0.1", "::2", "::"] {
            assert!(!trusted.contain(&ip(outside)), "{outside}");
        }
        assert!(trusted.contain(&Address::Unix(UnixName::Unnamed)));
        assert!(!trusted.contain(&Address::Unknown));
        assert!(!trusted.contain(&Address::Name("localhost".into())));
    }
}
