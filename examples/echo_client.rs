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

pub struct EchoClientFactory;

impl Factory for EchoClientFactory {
    type Protocol = Echo;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Echo> {
        println!("Connected.");
        Some(Echo)
    }
}

impl ClientFactory for EchoClientFactory {
    fn started_connecting(&mut self, _connector: &Connector) {
        println!("Started to connect.");
    }

    fn client_connection_lost(&mut self, _connector: &Connector, reason: Failure) {
        println!("Lost connection. Reason: {reason}");
    }

    fn client_connection_failed(&mut self, _connector: &Connector, reason: Failure) {
        println!("Connection failed. Reason: {reason}");
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    reactor.connect_client("tcp:127.0.0.1:8007", EchoClientFactory);
    reactor.run()
}
