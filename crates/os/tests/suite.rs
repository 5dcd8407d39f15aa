//! The behaviour suite on the mio driver.

mod world;

use tress_core::Reactor;
use tress_os::Mio;
use world::SocketWorld;

fn mio_world() -> SocketWorld {
    let make = |clock| Reactor::with(Mio::with_clock(clock).expect("epoll works"));
    SocketWorld::new(make, 0, "mio::accept::close_peer_on_emfile")
}

tress_core::check_driver!(mio, mio_world);
