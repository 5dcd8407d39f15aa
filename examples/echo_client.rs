//! A client that prints what it receives, and how its connection fares.

use std::io::{Write, stdout};
use tress::prelude::*;

pub struct Echo;
impl Protocol for Echo {
    fn data_received(&mut self, _transport: &Transport, data: &[u8]) -> Result {
        stdout().write_all(data)?;
        Ok(())
    }
}

pub fn echo_client_factory() -> impl ClientFactory {
    let build_protocol = || {
        println!("Connected.");
        Echo
    };
    ClientCallbacks::new(build_protocol)
        .started_connecting(|_| println!("Started to connect."))
        .client_connection_lost(|_, reason| println!("Lost connection. Reason: {reason}"))
        .client_connection_failed(|_, reason| println!("Connection failed. Reason: {reason}"))
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    reactor.connect_client("tcp:127.0.0.1:8007", echo_client_factory());
    reactor.run()
}
