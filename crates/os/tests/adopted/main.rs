//! What was opened elsewhere, on the mio driver: the behaviour suite over pairs of pipes, and where a port is open
//! elsewhere too; and what only descriptors have.

mod descriptors;
mod kept;
mod pipes;
mod serial;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../world/mod.rs"]
mod world;

use pipes::Piped;
use std::rc::Rc;
use tress_core::Reactor;
use world::SocketWorld;

/// Every connection is a pair of pipes.
fn pipe_world() -> SocketWorld {
    let network = Rc::default();
    let make = move |clock| Reactor::with(Piped::new(clock, &network));
    SocketWorld::new(make, 0, "nothing").with_pipes()
}

tress_core::check_driver!(pipes_suite, pipe_world);
