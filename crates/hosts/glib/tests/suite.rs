//! The behaviour suite on reactors that GLib's default main loop turns: a server's and a client's, over TCP, and over
//! UNIX sockets what only those can do.
//!
//! All behaviours hold. Two of them the reactor turns itself, here too: `connect::run_until_a_deferred_fires`, which is
//! about its own loop, and `tasks::a_task_that_turns_the_loop_is_polled_again`. One is weaker:
//! `reactor_loop::statistics_count_turns`, as a host may make a turn more than it must.

mod hosts;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../../../os/tests/world/mod.rs"]
#[expect(clippy::disallowed_methods, reason = "how long real sockets take")]
mod world;

use tress_core::testing::suite::{BEHAVIOURS, play};
use tress_os::Mio;
use world::SocketWorld;

fn tcp_world() -> SocketWorld {
    world("in_glib::accept::close_peer_on_emfile")
}

fn world(alone: &'static str) -> SocketWorld {
    hosts::world(|clock| Mio::with_clock(clock).expect("epoll works"), alone)
}

tress_core::check_driver!(in_glib, tcp_world);

/// What goes through UNIX sockets only. They differ below the loop, and here one test waits for the other.
#[test]
fn descriptors_over_unix() {
    let of_theme = BEHAVIOURS.iter().filter(|(of, ..)| *of == "descriptors");
    for (theme, name, behaviour) in of_theme {
        let full = format!("{theme}::{name}");
        play(
            "in_glib_over_unix",
            &full,
            *behaviour,
            &world("none of these").with_unix_sockets(),
        );
    }
}
