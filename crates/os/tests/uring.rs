//! The behaviour suite on the io_uring driver, over TCP, over UNIX sockets and over pairs of pipes: with all that this kernel's io_uring can
//! do, and with every knob off.
//!
//! One test for each theme, not for each behaviour: where this machine has no io_uring, they say so and pass.
#![cfg(target_os = "linux")]

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod world;

#[macro_use]
#[expect(
    clippy::print_stderr,
    reason = "what was skipped, and which behaviours failed"
)]
#[path = "world/themes.rs"]
mod themes;

#[path = "suite/pipes.rs"]
mod pipes;

use pipes::Piped;
use std::rc::Rc;
use tress_core::Reactor;
use tress_os::{Uring, UringOptions};
use world::SocketWorld;

fn world(options: &UringOptions, alone: &'static str) -> SocketWorld {
    let make = |clock| {
        let driver = Uring::with_options(clock, options);
        Reactor::with(driver.expect("it worked a moment ago"))
    };
    SocketWorld::new(make, alone)
        .with_datagrams(true)
        .with_processes(true)
        .with_adoption()
}

/// Every connection is a pair of pipes.
fn piped() -> SocketWorld {
    let network = Rc::default();
    let make = move |clock| {
        let driver = Uring::with_clock(clock).expect("it worked a moment ago");
        Reactor::with(Piped::new(driver, &network))
    };
    SocketWorld::new(make, "nothing").with_pipes()
}

fn check(theme: &str, world: impl Fn() -> SocketWorld) {
    themes::check("uring", theme, Uring::new(), world);
}

themes! { tcp, check, |alone| world(&UringOptions::default(), alone); }
themes! { unix, check, |alone| world(&UringOptions::default(), alone).with_unix_sockets(); }
themes! { pipes_only, check, |_| piped(); }
themes! { plain_tcp, check, |alone| world(&UringOptions::plain(), alone); }
themes! { plain_unix, check, |alone| world(&UringOptions::plain(), alone).with_unix_sockets(); }
