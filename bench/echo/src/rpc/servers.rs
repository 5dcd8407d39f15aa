//! `tress-bench rpc-server`: one object through one protocol of tress.

use super::wire::{QUOTE, Wire};
use std::io;
use std::rc::Rc;
use tress::rpc::{
    ExposureLimits,
    amp::AmpFactory,
    http::{Dialect, HttpFactory, Mount},
    jsonrpc::JsonRpcLines,
    pb::PbFactory,
};
use tress::{Failure, Result};

/// Says something worth remembering.
#[tress::interface]
pub trait Quoter {
    /// One quote.
    async fn quote(&self) -> Result<String>;
}

struct Static;

impl Quoter for Static {
    async fn quote(&self) -> Result<String> {
        Ok(QUOTE.to_owned())
    }
}

/// `rpc-server PROTOCOL PORT`: serves until the process is killed.
///
/// # Errors
/// The words make no sense, or the port cannot be listened on.
pub fn serve(mut words: impl Iterator<Item = String>) -> io::Result<()> {
    let usage = || io::Error::other("rpc-server amp|pb|jsonrpc-lines|http|jsonrpc PORT");
    let (Some(name), Some(port)) = (words.next(), words.next()) else {
        return Err(usage());
    };
    let spoken = [
        Wire::Amp,
        Wire::Pb,
        Wire::JsonRpcLines,
        Wire::Http,
        Wire::HttpJsonRpc(""),
    ];
    let wire = spoken.into_iter().find(|wire| wire.name() == name);
    let at = format!("tcp:{port}:interface=127.0.0.1");
    run(wire.ok_or_else(usage)?, &at).map_err(|failure| io::Error::other(failure.to_string()))
}

fn run(wire: Wire, at: &str) -> Result {
    let reactor = tress::reactor()?;
    let object = <dyn DynQuoter>::object(Rc::new(Static));
    let limits = ExposureLimits::default();
    let http = |dialect| HttpFactory::new([Mount::new(&object, limits).speaking(dialect)]);
    let port = match wire {
        Wire::Amp => reactor.listen(at, AmpFactory::new(&object, limits)?)?,
        Wire::Pb => reactor.listen(at, PbFactory::new(&object, limits))?,
        Wire::JsonRpcLines => reactor.listen(at, JsonRpcLines::new(&object, limits))?,
        Wire::Http => reactor.listen(at, http(Dialect::Json)?)?,
        Wire::HttpJsonRpc(_) => reactor.listen(at, http(Dialect::JsonRpc)?)?,
        Wire::Redis => return Err(Failure::msg("tress does not speak that")),
    };
    reactor.run()?;
    drop(port);
    Ok(())
}
