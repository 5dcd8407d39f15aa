//! The behaviour suite on the io_uring driver, over TCP, over UNIX sockets and over pairs of pipes: with all that this kernel's io_uring can
//! do, and with every knob off.
//!
//! One test for each theme, not for each behaviour: where this machine has no io_uring, they say so and pass.
#![cfg(target_os = "linux")]
#![expect(
    clippy::print_stderr,
    reason = "what was skipped, and which behaviours failed"
)]

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod world;

#[path = "suite/pipes.rs"]
mod pipes;

use pipes::Piped;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};
use tress_core::{
    Reactor,
    testing::suite::{BEHAVIOURS, play},
};
use tress_os::{Uring, UringOptions};
use world::{ALONE, SocketWorld};

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

/// Runs all behaviours of a theme and names those that fail.
fn check(theme: &str, world: impl Fn() -> SocketWorld) {
    if let Err(error) = Uring::new() {
        eprintln!("skipped: this machine has no io_uring for us: {error}");
        return;
    }
    let alone = std::env::var(ALONE).ok();
    let wanted = |name: &str| alone.as_deref().is_none_or(|alone| alone == name);
    let mut failed = Vec::new();
    for (_, name, behaviour) in BEHAVIOURS.iter().filter(|(of, ..)| *of == theme) {
        if !wanted(name) {
            continue;
        }
        let of = format!("{theme}::{name}");
        let run = || play("uring", &of, *behaviour, &world());
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            eprintln!("FAILED: {theme}::{name}");
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

macro_rules! themes {
    ($kind:ident, $world:expr; $($theme:ident)*) => {
        mod $kind {
            use super::*;

            $(#[test]
            fn $theme() {
                let world: fn(&'static str) -> SocketWorld = $world;
                check(stringify!($theme), || world(concat!(stringify!($kind), "::accept")));
            })*

            #[test]
            fn every_theme_is_mounted() {
                let mounted = [$(stringify!($theme)),*];
                for (theme, ..) in BEHAVIOURS {
                    assert!(mounted.contains(theme), "{theme} is not mounted");
                }
            }
        }
    };
}

macro_rules! kinds {
    ($($kind:ident: $world:expr;)*) => {
        $(themes! { $kind, $world;
            connect connector accept read buffers write producers close half_close failures layers pushed_layers limits
            timers reactor_loop shutdown storms tasks jobs datagrams descriptors processes signals adopted
        })*
    };
}

kinds! {
    tcp: |alone| world(&UringOptions::default(), alone);
    unix: |alone| world(&UringOptions::default(), alone).with_unix_sockets();
    pipes_only: |_| piped();
    plain_tcp: |alone| world(&UringOptions::plain(), alone);
    plain_unix: |alone| world(&UringOptions::plain(), alone).with_unix_sockets();
}
