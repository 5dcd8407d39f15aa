//! A callback returns the Deferred that it was added to.

use tress::prelude::*;

fn forever(number: Deferred<u32>) -> Deferred<u32> {
    number.add_callback(|_| number)
}

fn main() {}
