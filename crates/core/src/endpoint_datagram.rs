//! The endpoints of datagram ports, `udp:` and `unixgram:`. Opens nothing and looks up no name.
//!
//! The grammar is that of all endpoints. Twisted has none for datagrams; the keys are the parameters of its `listenUDP`,
//! `listenMulticast`, `listenUNIXDatagram` and `connectUNIXDatagram`.

use crate::{
    address::{Address, UnixName},
    driver::BindOptions,
    endpoint::{EndpointSpec, Side, ip_address, own_address},
    endpoint_unix::{flag, mode, name},
    failure::Result,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const UDP_SERVER: &str = "udp:PORT[:interface=ADDRESS][:broadcast=0|1][:reuse=0|1]";
const UDP_CLIENT: &str = "udp:ADDRESS:PORT[:bindAddress=ADDRESS][:broadcast=0|1]";
const UNIX_SERVER: &str = "unixgram:PATH[:mode=OCTAL]";
const UNIX_CLIENT: &str = "unixgram:PATH[:bindAddress=PATH][:mode=OCTAL]";

/// How a datagram port is opened.
#[derive(Debug)]
pub(crate) struct DatagramTarget {
    pub(crate) at: Address,
    /// Whom it is connected to.
    pub(crate) to: Option<Address>,
    pub(crate) options: BindOptions,
}

/// Whether this kind of endpoint carries datagrams.
pub(crate) fn is_kind(kind: &str) -> bool {
    matches!(kind, "udp" | "unixgram")
}

pub(crate) fn parse(text: &str, side: Side) -> Result<DatagramTarget> {
    let spec = EndpointSpec::parse(text)?;
    match (&*spec.kind, side) {
        ("udp", Side::Server) => udp_server(&spec),
        ("udp", Side::Client) => udp_client(&spec),
        ("unixgram", Side::Server) => unix_server(&spec),
        ("unixgram", Side::Client) => unix_client(&spec),
        (kind, _) => Err(spec.problem(format!(
            "`{kind}` carries no datagrams; expected one of `udp`, `unixgram`"
        ))),
    }
}

fn udp_server(spec: &EndpointSpec) -> Result<DatagramTarget> {
    let known = ["port", "interface", "broadcast", "reuse"];
    spec.only(1, &known, UDP_SERVER)?;
    let port = spec.named(0, "port");
    let port = port.ok_or_else(|| spec.problem("expected a port number"))?;
    let ip = match spec.option("interface") {
        None | Some("") => Ipv4Addr::UNSPECIFIED.into(),
        Some(interface) => own_address(spec, interface)?,
    };
    Ok(DatagramTarget {
        at: SocketAddr::new(ip, spec.number("port", port)?).into(),
        to: None,
        options: BindOptions {
            broadcast: flag(spec, "broadcast")?.unwrap_or(false),
            reuse: flag(spec, "reuse")?.unwrap_or(false),
            ..BindOptions::default()
        },
    })
}

fn udp_client(spec: &EndpointSpec) -> Result<DatagramTarget> {
    let known = ["host", "port", "bindAddress", "broadcast"];
    spec.only(2, &known, UDP_CLIENT)?;
    let host = spec.named(0, "host");
    let host = host.ok_or_else(|| spec.problem("expected an address"))?;
    let port = spec.named(1, "port");
    let port = port.ok_or_else(|| spec.problem("expected a port number"))?;
    let to = ip_address(host).ok_or_else(|| {
        spec.problem(format!(
            "`{host}` is no IP address; names are not looked up for datagrams"
        ))
    })?;
    let from = match spec.option("bindAddress") {
        Some(bind) => own_address(spec, bind)?,
        None => match to {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        },
    };
    Ok(DatagramTarget {
        at: SocketAddr::new(from, 0).into(),
        to: Some(SocketAddr::new(to, spec.number("port", port)?).into()),
        options: BindOptions {
            broadcast: flag(spec, "broadcast")?.unwrap_or(false),
            ..BindOptions::default()
        },
    })
}

fn unix_server(spec: &EndpointSpec) -> Result<DatagramTarget> {
    spec.only(1, &["address", "mode"], UNIX_SERVER)?;
    let at = name(spec, "address")?;
    Ok(DatagramTarget {
        options: with_mode(spec, &at)?,
        at: Address::Unix(at),
        to: None,
    })
}

fn unix_client(spec: &EndpointSpec) -> Result<DatagramTarget> {
    spec.only(1, &["path", "bindAddress", "mode"], UNIX_CLIENT)?;
    let at = match spec.option("bindAddress") {
        None => UnixName::Unnamed,
        Some(bind) => UnixName::parse(bind).map_err(|bad| spec.problem(bad.to_string()))?,
    };
    Ok(DatagramTarget {
        options: with_mode(spec, &at)?,
        at: Address::Unix(at),
        to: Some(Address::Unix(name(spec, "path")?)),
    })
}

fn with_mode(spec: &EndpointSpec, at: &UnixName) -> Result<BindOptions> {
    let default = BindOptions::default();
    Ok(BindOptions {
        mode: mode(spec, at)?.unwrap_or(default.mode),
        ..default
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it is, whom it is connected to, and its options in a word each.
    #[track_caller]
    fn check(text: &str, side: Side, expected: Result<&str, &str>) {
        match (parse(text, side), expected) {
            (Ok(target), Ok(expected)) => {
                let mut shown = target.at.to_string();
                if let Some(to) = &target.to {
                    shown += &format!(" to {to}");
                }
                let options = target.options;
                if options.broadcast {
                    shown += " broadcast";
                }
                if options.reuse {
                    shown += " reuse";
                }
                if options.mode != 0o666 {
                    shown += &format!(" {:o}", options.mode);
                }
                assert_eq!(shown, expected, "{text}");
            }
            (Err(failure), Err(problem)) => {
                let failure = failure.to_string();
                assert!(failure.contains(problem), "{failure}");
            }
            (got, expected) => panic!("{text}: got {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn ports_to_listen_at() {
        let check = |text, expected| check(text, Side::Server, expected);
        check("udp:9999", Ok("0.0.0.0:9999"));
        check("udp:port=0:interface=127.0.0.1", Ok("127.0.0.1:0"));
        check("udp:1:interface=", Ok("0.0.0.0:1"));
        check(r"udp:1:interface=\:\:", Ok("[::]:1"));
        check("udp:1:broadcast=1:reuse=1", Ok("0.0.0.0:1 broadcast reuse"));
        check("udp:1:broadcast=0:reuse=0", Ok("0.0.0.0:1"));
        check("udp", Err("expected a port number"));
        check("udp:65536", Err("no number from 0 to 65535"));
        check("udp:1:interface=eth0", Err("`eth0` is no IP address"));
        check("udp:1:reuse=yes", Err("reuse `yes` is neither 0 nor 1"));
        check("udp:1:backlog=5", Err("unknown option `backlog`"));
        check("udp:1:2", Err("one part too many"));
        check("unixgram:/run/x", Ok("/run/x"));
        check("unixgram:/run/x:mode=600", Ok("/run/x 600"));
        check("unixgram:@x", Ok("@x"));
        check("unixgram:@x:mode=600", Err("no file and so no `mode`"));
        check("unixgram:", Err("needs a name"));
        check("unixgram:x:lockfile=1", Err("unknown option `lockfile`"));
        check("tcp:80", Err("`tcp` carries no datagrams"));
    }

    #[test]
    fn ports_that_are_connected() {
        let check = |text, expected| check(text, Side::Client, expected);
        check("udp:192.0.2.1:53", Ok("0.0.0.0:0 to 192.0.2.1:53"));
        check("udp:localhost:53", Ok("0.0.0.0:0 to 127.0.0.1:53"));
        check(r"udp:\:\:1:53", Ok("[::]:0 to [::1]:53"));
        check(
            "udp:192.0.2.1:53:bindAddress=192.0.2.2:broadcast=1",
            Ok("192.0.2.2:0 to 192.0.2.1:53 broadcast"),
        );
        check(
            "udp:example.org:53",
            Err("`example.org` is no IP address; names are not looked up for datagrams"),
        );
        check("udp:192.0.2.1", Err("expected a port number"));
        check("unixgram:/run/x", Ok("unnamed to /run/x"));
        check("unixgram:x:bindAddress=y", Ok("y to x"));
        check("unixgram:x:bindAddress=y:mode=600", Ok("y to x 600"));
        check("unixgram:x:bindAddress=@y", Ok("@y to x"));
        check("unixgram:x:bindAddress=", Err("needs a name"));
        check("unixgram:x:mode=600", Err("no file and so no `mode`"));
    }
}
