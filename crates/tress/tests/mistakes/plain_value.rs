//! A callback returns a plain value: that is what `map` is for.

use tress::prelude::*;

fn next(number: Deferred<u32>) -> Deferred<u32> {
    number.add_callback(|x| x + 1)
}

fn main() {}
