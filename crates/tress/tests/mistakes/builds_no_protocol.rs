//! A factory builds what is no protocol.

use tress::prelude::*;

struct Echo;

fn serve(reactor: &Reactor) -> Result {
    reactor.listen("tcp:1", || Echo)?;
    reactor.listen("tcp:2", |_: &Address| Some(Echo))?;
    reactor.connect("tcp:127.0.0.1:3", || Echo).detach();
    reactor.connect_protocol("tcp:127.0.0.1:3", Echo).detach();
    Ok(())
}

fn main() {}
