//! A Deferred is awaited where nothing can wait: spawn a future on the reactor.

use tress::prelude::*;

fn double(number: Deferred<u32>) -> Result<u32> {
    Ok(number.await? * 2)
}

fn main() {}
