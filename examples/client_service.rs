//! Keeps a connection to an echo server, whatever happens to it, and says hello on it every second.

use tress::{LoopingCall, prelude::*};

pub struct Echo;
impl Protocol for Echo {
    fn data_received(&mut self, _transport: &Transport, data: &[u8]) -> Result {
        println!("{}", String::from_utf8_lossy(data));
        Ok(())
    }
}

pub fn say_hello(reactor: &Reactor, to: &str) -> Result {
    let service = ClientService::new(reactor, to, || Echo)?;
    service.start_service();
    let hello = LoopingCall::new(reactor, move |_| {
        service
            .when_connected(None)
            .add_callback(|connection| connection.transport().write(b"hello"))
    });
    hello.start(Duration::from_secs(1)).detach();
    Ok(())
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    say_hello(&reactor, "tcp:localhost:8007")?;
    reactor.run()
}
