//! A server that sends back whatever it gets. Try `nc localhost 8007`.

use tress::prelude::*;

pub struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    reactor.listen("tcp:8007", || Echo)?;
    reactor.run()
}
