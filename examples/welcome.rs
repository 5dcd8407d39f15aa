//! A client that introduces itself and leaves; with that the program ends.

use tress::prelude::*;

pub struct WelcomeMessage;

impl Protocol for WelcomeMessage {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(b"Hello server, I am the client!\r\n");
        transport.lose_connection();
        Ok(())
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    let connected = reactor.connect_protocol("tcp:127.0.0.1:8007", WelcomeMessage);
    reactor.run_until(connected)?;
    Ok(())
}
