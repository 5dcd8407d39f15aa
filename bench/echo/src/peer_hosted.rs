//! The peer that is tress inside tokio: the echo server of tress-testee, turned by a current-thread runtime.

use std::io;
use tokio::runtime::{Builder, LocalOptions};
use tress::{Failure, Protocol, Result, Transport};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

/// Serves until the process is killed.
///
/// # Errors
/// No port was given, or it cannot be listened on.
pub fn run(port: Option<&str>) -> io::Result<()> {
    let port = port.ok_or_else(|| io::Error::other("peer-hosted PORT"))?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let served = runtime.block_on(serve(port));
    served.map_err(|failure| io::Error::other(failure.to_string()))
}

async fn serve(port: &str) -> Result<(), Failure> {
    let reactor = tress::reactor()?;
    reactor.listen(&format!("tcp:{port}:interface=127.0.0.1"), || Echo)?;
    tress::tokio::run(&reactor).await
}
