//! A client without a factory: one connection, what to do with it once it is there, and the end.

use tress::prelude::*;

pub struct Greeter;

impl Protocol for Greeter {}

impl Greeter {
    fn send_message(&self, transport: &Transport, message: &str) {
        transport.write(format!("MESSAGE {message}\n").as_bytes());
    }
}

pub async fn got_protocol(greeter: Connection<Greeter>) -> Result {
    let reactor = greeter.transport().reactor()?;
    greeter.call(|p, transport| p.send_message(transport, "Hello"));
    reactor.after(Duration::from_secs(1)).await?;
    greeter.call(|p, transport| p.send_message(transport, "This is sent in a second"));
    reactor.after(Duration::from_secs(1)).await?;
    greeter.transport().lose_connection();
    Ok(())
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    let creator = ClientCreator::new(&reactor, || Greeter);
    let connected = creator.connect("tcp:127.0.0.1:1234");
    reactor.run_until(async { got_protocol(connected.await?).await })
}
