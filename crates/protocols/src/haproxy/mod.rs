//! `haproxy:`: a proxy in front says in a header who has connected to it (the PROXY protocol, versions 1 and 2). Opens
//! no socket: it lies on any other kind of endpoint.
//!
//! The parser is the crate `ppp`: of the two that are kept it is the stricter one, and knows UNIX addresses. It gets only
//! what is whole and within the limits.

mod header;
mod layer;
mod networks;

#[cfg(test)]
mod tests;

pub use header::{
    BadHeader, HEADER_BYTES_MAX, Proxied, V1_BYTES_MAX, V2_BLOCK_BYTES_MAX, read_header,
};
pub use networks::{BadNetwork, Networks};

use layer::{HeaderLayer, Shared};
use std::rc::Rc;
use tress_core::{
    Layer, Port, Reactor, Result, SharedFactory,
    endpoint::{EndpointKind, EndpointSpec, Side},
    reactor::Target,
    wording::{nearest, unknown},
};

/// The endpoint kind `haproxy`: `haproxy:tcp:8080`, `haproxy:unix:/run/x`.
///
/// Each connection begins with a header, and from then on its peer and its host are those of the header: the factory's
/// `build_protocol` is called with that peer when the header is there. With a header that names nobody (LOCAL,
/// UNKNOWN) the real addresses hold. A connection without a header, with a wrong one, or whose header takes longer than
/// the limit `handshake`, is closed.
///
/// **A header can say anything**, so it is taken only from peers that are trusted: from this machine (127.0.0.0/8 and
/// ::1) unless `trusted=10.0.0.0/8,192.0.2.1` lists others instead, and from UNIX sockets. A connection from anybody else
/// is closed at once, and logged.
///
/// The header comes first in the stream that the endpoint below gives: behind `haproxy:tls:`, as in Twisted, it is
/// encrypted with the rest. To connect to such an endpoint is not what this kind is for.
///
/// Source: Twisted's `protocols/haproxy`, which trusts everybody.
#[derive(Clone, Copy, Debug)]
pub struct HaProxy;

const OWN: [&str; 1] = ["trusted"];
const USAGE: &str = "haproxy:ENDPOINT[:trusted=NETWORK,NETWORK...]";

impl EndpointKind for HaProxy {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        self.check(reactor, spec, Side::Server)?;
        let shared = Shared::new(trusted(spec)?);
        let make = move |_: &_| Ok(Box::new(HeaderLayer(Rc::clone(&shared))) as Box<dyn Layer>);
        reactor.listen_spec(&spec.inner(&OWN)?, &factory.layered(make))
    }

    fn target(&self, _reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        Err(spec.problem("`haproxy:` is to listen at, and nothing to connect to"))
    }

    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        if side == Side::Client {
            return self.target(reactor, spec).map(drop);
        }
        trusted(spec)?;
        let below = reactor.check_spec(&spec.inner(&OWN)?, side);
        // Neither kind knows the other's options: a slip of the pen in ours is told as ours.
        let slip = |(key, _): &&(String, String)| key != OWN[0] && nearest(key, &OWN).is_some();
        match spec.options.iter().find(slip) {
            Some((key, _)) if below.is_err() => Err(spec.problem(unknown("option", key, &OWN))),
            _ => below,
        }
    }

    fn check_shared(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result {
        reactor.check_shared(&spec.inner(&OWN)?)
    }

    fn usage(&self, side: Side) -> &'static str {
        match side {
            Side::Server => USAGE,
            Side::Client => "",
        }
    }
}

fn trusted(spec: &EndpointSpec) -> Result<Networks> {
    let Some(networks) = spec.option(OWN[0]) else {
        return Ok(Networks::loopback());
    };
    let parsed = networks.parse();
    parsed.map_err(|bad: BadNetwork| spec.problem(bad.to_string()))
}
