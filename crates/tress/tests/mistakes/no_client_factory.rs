//! What is told of its connections is a ClientFactory: no protocol, no closure, and a Factory first.

use tress::prelude::*;

struct Echo;

impl Protocol for Echo {}

fn keep_connected(reactor: &Reactor) {
    reactor.connect_client("tcp:127.0.0.1:1", Echo);
    reactor.connect_client("tcp:127.0.0.1:1", || Echo);
}

struct Echoes;

impl ClientFactory for Echoes {}

fn main() {}
