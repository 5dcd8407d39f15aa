//! `tress-testee PROTOCOL --at ENDPOINT [--driver mio]`: the smallest server per protocol, through the public API.

#![forbid(unsafe_code)]

use tress_core::{Protocol, Reactor, Result, Transport};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

fn main() -> Result {
    let at = std::env::args().nth(3).unwrap_or_default();
    let reactor = Reactor::with(tress_os::Mio::new()?);
    let _signals = tress_os::stop_on_signals(&reactor)?;
    reactor.listen(&at, || Echo)?;
    reactor.run()
}
