//! The behaviour suite's theme `processes` once more, one behaviour at a time: nothing of it is left in this process.

use crate::{sockets::SocketWorld, world::Alone};
use tress_core::{
    Reactor,
    testing::suite::{BEHAVIOURS, World},
};
use tress_os::Mio;

#[test]
fn no_behaviour_leaves_a_child_or_a_descriptor() {
    let alone = Alone::new();
    let behaviours = BEHAVIOURS
        .iter()
        .filter(|(theme, ..)| *theme == "processes");
    let mut count = 0;
    for (_, name, behaviour) in behaviours {
        let make = |clock| Reactor::with(Mio::with_clock(clock).expect("epoll works"));
        // In the world of UNIX sockets, which differs in nothing for children.
        let world = SocketWorld::new(make, 0, "")
            .with_unix_sockets()
            .with_datagrams(true)
            .with_processes(true);
        behaviour(&world);
        // One that was detached ends by itself.
        if *name == "a_detached_child_is_left_to_itself" {
            world.until(&mut Alone::has_no_child);
        }
        drop(world);
        alone.check(name);
        count += 1;
    }
    assert!(count > 20, "{count}");
}
