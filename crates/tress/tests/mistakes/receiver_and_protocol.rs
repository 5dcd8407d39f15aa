//! A LineReceiver stands where a protocol is wanted, and a protocol where a LineReceiver is.

use tress::{framing::Netstrings, prelude::*};

struct Chat;

impl LineReceiver for Chat {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        transport.send_line(line);
        Ok(())
    }
}

struct Echo;

impl Protocol for Echo {}

fn connect(reactor: &Reactor) {
    reactor.connect_protocol("tcp:127.0.0.1:1", Chat).detach();
    reactor.connect("tcp:127.0.0.1:1", || Chat).detach();
    reactor
        .connect_protocol("tcp:127.0.0.1:1", Lines::new(Echo))
        .detach();
    reactor
        .connect_protocol("tcp:127.0.0.1:1", Netstrings::new(Echo))
        .detach();
}

fn main() {}
