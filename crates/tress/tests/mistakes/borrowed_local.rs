//! A callback borrows a local variable: it may run long after that has gone.

use tress::prelude::*;

fn greet(name: Deferred<String>) {
    let greeting = String::from("hello");
    name.add_callback(|name| println!("{greeting}, {name}"))
        .detach();
}

fn main() {}
