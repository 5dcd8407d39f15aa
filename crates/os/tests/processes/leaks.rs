//! The whole behaviour suite once more, one behaviour at a time: nothing of it is left in this process.

use crate::sockets::{SocketWorld, leftovers::Leftovers};
use tress_core::{
    Reactor,
    testing::suite::{BEHAVIOURS, World},
};
use tress_os::Mio;

/// It opens all files that a process may, and does that in a process of its own.
const ALONE: &str = "close_peer_on_emfile";

#[test]
fn no_behaviour_leaves_anything() {
    let leftovers = Leftovers::none();
    let make = |clock| Reactor::with(Mio::with_clock(clock).expect("epoll works"));
    for (theme, name, behaviour) in BEHAVIOURS.iter().filter(|(_, name, _)| *name != ALONE) {
        for unix in [false, true] {
            let world = SocketWorld::new(make, "")
                .with_datagrams(true)
                .with_processes(true)
                .with_adoption();
            let world = if unix {
                world.with_unix_sockets()
            } else {
                world
            };
            behaviour(&world);
            // One that was detached ends by itself.
            if *name == "a_detached_child_is_left_to_itself" {
                world.until(&mut Leftovers::has_no_child);
            }
            drop(world);
            leftovers.check(&format!("{theme}::{name}, UNIX sockets: {unix}"));
        }
    }
}
