//! A callback uses `?` and does not say `Ok(())` at its end.

use tress::prelude::*;

fn save(text: Deferred<String>) -> Deferred<()> {
    text.add_callback(|text| {
        std::fs::write("saved", text)?;
    })
}

fn main() {}
