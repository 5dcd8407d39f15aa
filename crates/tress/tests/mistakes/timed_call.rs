//! What a timed call returns goes nowhere, and its delay has a unit.

use tress::prelude::*;

fn count_later(reactor: &Reactor) {
    reactor.call_later(5, || println!("5 of what?"));
    reactor.call_later(Duration::from_secs(5), || 1 + 1);
}

fn main() {}
