//! A closure that builds an Option has no argument, and one with an argument builds no Option.

use tress::prelude::*;

struct Echo;

impl Protocol for Echo {}

fn serve(reactor: &Reactor) -> Result {
    reactor.listen("tcp:1", || Some(Echo))?;
    reactor.listen("tcp:2", |_: &Address| Echo)?;
    Ok(())
}

fn main() {}
