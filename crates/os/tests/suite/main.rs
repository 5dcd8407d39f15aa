//! The behaviour suite on the mio driver, over TCP, over UNIX sockets and over pairs of pipes.

mod pipes;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../world/mod.rs"]
mod world;

use pipes::Piped;
use std::rc::Rc;
use tress_core::Reactor;
use tress_os::Mio;
use world::SocketWorld;

fn mio_world() -> SocketWorld {
    world("mio::accept::close_peer_on_emfile")
}

fn unix_world() -> SocketWorld {
    world("unix::accept::close_peer_on_emfile").with_unix_sockets()
}

fn world(alone: &'static str) -> SocketWorld {
    let make = |clock| Reactor::with(Mio::with_clock(clock).expect("epoll works"));
    SocketWorld::new(make, alone)
        .with_datagrams(true)
        .with_processes(true)
        .with_adoption()
}

/// Every connection is a pair of pipes.
fn pipe_world() -> SocketWorld {
    let network = Rc::default();
    let make = move |clock| {
        let driver = Mio::with_clock(clock).expect("epoll works");
        Reactor::with(Piped::new(driver, &network))
    };
    SocketWorld::new(make, "nothing").with_pipes()
}

tress_core::check_driver!(mio, mio_world);
tress_core::check_driver!(unix, unix_world);
tress_core::check_driver!(piped, pipe_world);
