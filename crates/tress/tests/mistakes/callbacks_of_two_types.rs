//! Two callbacks that stand in for each other return different types.

use tress::prelude::*;

fn shout(number: Deferred<u32>) -> Deferred<String> {
    number.add_callbacks(|x| Ok(x.to_string()), |_| Ok(0))
}

fn main() {}
