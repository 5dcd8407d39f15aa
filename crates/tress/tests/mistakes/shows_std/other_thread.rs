//! A Deferred goes to another thread: it stays on its reactor's.

use tress::prelude::*;

fn wait_elsewhere(number: Deferred<u32>) {
    std::thread::spawn(move || number.add_callback(|x| println!("got {x}")).detach());
}

fn main() {}
