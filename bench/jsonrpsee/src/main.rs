//! `bench-jsonrpsee PORT`: one method through JSON-RPC over HTTP, on one thread. Knows nothing of tress.

use jsonrpsee::server::{RpcModule, Server};
use std::error::Error;

const QUOTE: &str = "An apple a day keeps the doctor away.";

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or_default().parse::<u16>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::builder().build(("127.0.0.1", port)).await?;
        let mut module = RpcModule::new(());
        module.register_method("quote", |_, _, _| QUOTE)?;
        server.start(module).stopped().await;
        Ok(())
    })
}
