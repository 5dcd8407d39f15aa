//! A callback only ever fails: then nothing says what the value would be.

use tress::prelude::*;

fn refuse(number: Deferred<u32>) {
    number
        .add_callback(|_| Err(Failure::msg("refused")))
        .detach();
}

fn main() {}
