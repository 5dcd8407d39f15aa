//! The behaviour suite on the mio driver, over TCP and over UNIX sockets.

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod world;

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
    SocketWorld::new(make, 0, alone)
        .with_datagrams(true)
        .with_processes(true)
        .with_adoption()
}

tress_core::check_driver!(mio, mio_world);
tress_core::check_driver!(unix, unix_world);
