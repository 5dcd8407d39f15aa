//! An errback goes on with a value of another type than the one it stands in for.

use tress::prelude::*;

fn or_nothing(text: Deferred<String>) -> Deferred<String> {
    text.add_errback(|failure| println!("failed: {failure}"))
}

fn or_zero(text: Deferred<String>) -> Deferred<String> {
    text.add_errback(|_| Ok(0))
}

fn main() {}
