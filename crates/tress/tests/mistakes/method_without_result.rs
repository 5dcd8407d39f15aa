//! A protocol's method returns nothing.

use tress::prelude::*;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        transport.write(data);
    }
}

struct Hello;

impl Protocol for Hello {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(b"hello\r\n");
    }
}

fn main() {}
