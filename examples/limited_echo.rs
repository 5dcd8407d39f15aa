//! An echo server for at most a hundred connections at a time. They share the count.

use std::{cell::Cell, rc::Rc};
use tress::prelude::*;

#[derive(Clone, Default)]
pub struct Echo {
    connections: Rc<Cell<usize>>,
}

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.connections.set(self.connections.get() + 1);
        if self.connections.get() > 100 {
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
        self.connections.set(self.connections.get() - 1);
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    let echo = Echo::default();
    reactor.listen("tcp:8007", move || echo.clone())?;
    reactor.run()
}
