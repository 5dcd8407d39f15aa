//! The quote of the day, configurable: what all connections share is in the factory.

use tress::prelude::*;

pub struct Qotd(Rc<str>);
impl Protocol for Qotd {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(format!("{}\r\n", self.0).as_bytes());
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
        Some(Qotd(Rc::clone(&self.quote)))
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    let quote = "configurable quote".into();
    reactor.listen("tcp:8007", QotdFactory { quote })?;
    reactor.run()
}
