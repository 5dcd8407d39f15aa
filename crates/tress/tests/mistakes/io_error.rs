//! A callback returns a Result with an error of its own type instead of a Failure.

use tress::prelude::*;

fn save(text: Deferred<String>) -> Deferred<()> {
    text.add_callback(|text| std::fs::write("saved", text))
}

fn main() {}
