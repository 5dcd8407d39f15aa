//! An echo server for at most a hundred connections at a time. Its factory keeps the count, which they share.

use tress::prelude::*;

pub struct Echo(pub Rc<Cell<usize>>);
impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.update(|connections| connections + 1);
        if self.0.get() > 100 {
            transport.write(b"Too many connections, try later");
            transport.lose_connection();
        }
        Ok(())
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
    fn connection_lost(&mut self, _reason: Failure) {
        self.0.update(|connections| connections - 1);
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    let factory = Sharing::new(Cell::new(0), Echo);
    reactor.listen("tcp:8007", factory)?;
    reactor.run()
}
