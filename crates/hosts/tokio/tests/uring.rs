//! The behaviour suite on reactors on io_uring that tokio turns: over TCP and over UNIX sockets, with all that this
//! kernel's io_uring can do, and over TCP with every knob off.
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
#[expect(
    clippy::print_stderr,
    reason = "what was skipped, and which behaviours failed"
)]
#[path = "../../../os/tests/world/themes.rs"]
mod themes;

use tress_os::{Uring, UringOptions};
use world::SocketWorld;

fn world(options: &UringOptions, alone: &'static str) -> SocketWorld {
    let make = |clock| Uring::with_options(clock, options).expect("it worked a moment ago");
    hosts::world(make, alone)
}

fn check(theme: &str, world: impl Fn() -> SocketWorld) {
    themes::check("uring_in_tokio", theme, Uring::new(), world);
}

themes! { tcp, check, |alone| world(&UringOptions::default(), alone); }
themes! { unix, check, |alone| world(&UringOptions::default(), alone).with_unix_sockets(); }
themes! { plain_tcp, check, |alone| world(&UringOptions::plain(), alone); }
