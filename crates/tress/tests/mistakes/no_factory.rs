//! A protocol itself stands where a factory is wanted: each connection needs one of its own.

use tress::prelude::*;

struct Echo;

impl Protocol for Echo {}

fn serve(reactor: &Reactor) -> Result {
    reactor.listen("tcp:1", Echo)?;
    reactor.connect("tcp:127.0.0.1:3", Echo).detach();
    Ok(())
}

fn main() {}
