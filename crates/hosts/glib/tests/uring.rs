//! The behaviour suite on reactors on io_uring that GLib's default main loop turns: over TCP with all that this kernel's
//! io_uring can do, and with every knob off; and over UNIX sockets what only those can do.
//!
//! One test for each theme: where this machine has no io_uring, they say so and pass. What `suite.rs` says of the
//! behaviours that the reactor turns itself holds here, too.
#![cfg(target_os = "linux")]

mod hosts;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../../../os/tests/world/mod.rs"]
#[expect(clippy::disallowed_methods, reason = "how long real sockets take")]
mod world;

#[macro_use]
#[path = "../../../os/tests/world/themes.rs"]
mod themes;

use tress_os::{Uring, UringOptions};
use world::SocketWorld;

fn world(options: &UringOptions, alone: &'static str) -> SocketWorld {
    let make = |clock| Uring::with_options(clock, options).expect("it worked a moment ago");
    hosts::world(make, alone)
}

fn check(theme: &str, world: impl Fn() -> SocketWorld) {
    themes::check("uring_in_glib", theme, Uring::new(), world);
}

themes! { tcp, check, |alone| world(&UringOptions::default(), alone); }
themes! { plain_tcp, check, |alone| world(&UringOptions::plain(), alone); }

/// They differ below the loop, and here one test waits for the other.
#[test]
fn descriptors_over_unix() {
    check("descriptors", || {
        world(&UringOptions::default(), "none of these").with_unix_sockets()
    });
}
