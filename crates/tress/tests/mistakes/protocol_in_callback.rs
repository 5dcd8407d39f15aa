//! A callback holds the protocol that adds it, or borrows its transport: it may run after both have gone.

use tress::prelude::*;

struct Lookup {
    answers: u32,
}

impl Protocol for Lookup {
    fn connection_made(&mut self, _transport: &Transport) -> Result {
        ask().add_callback(|_| self.answers += 1).detach();
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, _data: &[u8]) -> Result {
        ask()
            .add_callback(|answer| transport.write(answer.as_bytes()))
            .detach();
        Ok(())
    }
}

fn ask() -> Deferred<String> {
    Deferred::succeed("the answer".into())
}

fn main() {}
