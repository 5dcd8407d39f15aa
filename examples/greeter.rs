//! A client without a factory: one connection, and what to do with it once it is there.

use std::time::Duration;
use tress::prelude::*;

pub struct Greeter;

impl Protocol for Greeter {}

impl Greeter {
    fn send_message(&self, transport: &Transport, message: &str) {
        transport.write(format!("MESSAGE {message}\n").as_bytes());
    }
}

pub fn got_protocol(greeter: Connection<Greeter>) -> Result {
    let reactor = greeter.transport().reactor()?;
    greeter
        .call(|p, transport| p.send_message(transport, "Hello"))
        .detach();
    let later = greeter.clone();
    reactor.call_later(Duration::from_secs(1), move || {
        later.call(|p, transport| p.send_message(transport, "This is sent in a second"))
    });
    reactor.call_later(Duration::from_secs(2), move || {
        greeter.transport().lose_connection();
    });
    Ok(())
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    let creator = ClientCreator::new(&reactor, || Greeter);
    creator
        .connect("tcp:127.0.0.1:1234")
        .add_callback(got_protocol)
        .detach();
    reactor.run()
}
