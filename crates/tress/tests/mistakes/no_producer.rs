//! What is registered as a producer is none.

use tress::{Pace, prelude::*};

struct Numbers(u32);

fn send(transport: &Transport) -> Result {
    transport.register_producer(Numbers(0), Pace::Pulled)
}

fn main() {}
