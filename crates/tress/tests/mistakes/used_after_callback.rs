//! A Deferred is used after a callback was added: that consumes it and returns the next one.

use tress::prelude::*;

fn print_both(number: Deferred<u32>) {
    number.add_callback(|x| println!("got {x}"));
    number.add_errback(|failure| {
        println!("failed: {failure}");
        Ok(0)
    });
}

fn main() {}
