//! A future that cannot fail is spawned: it ends in `Ok(..)` all the same.

use tress::prelude::*;

fn start(reactor: &Reactor, number: Deferred<u32>) {
    reactor.spawn(async {
        if let Ok(number) = number.await {
            println!("got {number}");
        }
    });
}

fn main() {}
