//! The behaviour suite on reactors that tokio turns: a server's and a client's, in one `LocalRuntime`, over TCP and over
//! UNIX sockets.
//!
//! All behaviours hold. Two of them the reactor turns itself, here too: `connect::run_until_a_deferred_fires`, which is
//! about its own loop, and `tasks::a_task_that_turns_the_loop_is_polled_again`. One is weaker:
//! `reactor_loop::statistics_count_turns`, as a host may make a turn more than it must.

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../../../os/tests/world/mod.rs"]
#[expect(clippy::disallowed_methods, reason = "how long real sockets take")]
mod world;

mod hosts;

use tress_os::Mio;
use world::SocketWorld;

fn tcp_world() -> SocketWorld {
    world("in_tokio::accept::close_peer_on_emfile")
}

fn unix_world() -> SocketWorld {
    world("in_tokio_over_unix::accept::close_peer_on_emfile").with_unix_sockets()
}

fn world(alone: &'static str) -> SocketWorld {
    hosts::world(|clock| Mio::with_clock(clock).expect("epoll works"), alone)
}

tress_core::check_driver!(in_tokio, tcp_world);
tress_core::check_driver!(in_tokio_over_unix, unix_world);
