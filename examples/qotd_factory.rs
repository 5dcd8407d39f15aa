//! The quote of the day, configurable: what all connections share is in the factory.

use std::rc::Rc;
use tress::prelude::*;

pub struct Qotd {
    quote: Rc<str>,
}

impl Protocol for Qotd {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(self.quote.as_bytes());
        transport.write(b"\r\n");
        transport.lose_connection();
        Ok(())
    }
}

pub struct QotdFactory {
    pub quote: Rc<str>,
}

impl Factory for QotdFactory {
    type Protocol = Qotd;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Qotd> {
        let quote = Rc::clone(&self.quote);
        Some(Qotd { quote })
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    let quote = "configurable quote".into();
    reactor.listen("tcp:8007", QotdFactory { quote })?;
    reactor.run()
}
