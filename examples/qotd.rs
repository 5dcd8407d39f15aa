//! A server that says one sentence and closes: the quote of the day (RFC 865).

use tress::prelude::*;

pub struct Qotd;

impl Protocol for Qotd {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(b"An apple a day keeps the doctor away\r\n");
        transport.lose_connection();
        Ok(())
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    reactor.listen("tcp:8007", || Qotd)?;
    reactor.run()
}
