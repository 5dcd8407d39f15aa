//! The behaviour suite on the io_uring driver.
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

use std::panic::{AssertUnwindSafe, catch_unwind};
use tress_core::{
    Protocol, Reactor,
    error::CannotListen,
    testing::suite::{BEHAVIOURS, World},
};
use tress_os::Uring;
use world::{ALONE, SocketWorld};

fn uring_world() -> SocketWorld {
    let make = |clock| Reactor::with(Uring::with_clock(clock).expect("it worked a moment ago"));
    SocketWorld::new(make, 3, "accept")
        .with_datagrams(false)
        .with_processes(false)
}

#[test]
fn unix_sockets_are_refused() {
    if let Err(error) = Uring::new() {
        eprintln!("skipped: this machine has no io_uring for us: {error}");
        return;
    }
    let world = uring_world().with_unix_sockets();
    let listening = world.reactor().listen(&world.listen_at(), || Quiet);
    let failure = listening.expect_err("it has none");
    let cannot = failure.check::<CannotListen>().expect("it is that error");
    let error = cannot.error.to_string();
    assert!(
        error.starts_with("the io_uring driver has no sockets for the address /"),
        "{error}"
    );
}

struct Quiet;

impl Protocol for Quiet {}

/// Runs all behaviours of a theme and names those that fail.
fn check(theme: &str) {
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
        let run = || behaviour(&uring_world());
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            eprintln!("FAILED: {theme}::{name}");
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

macro_rules! themes {
    ($($theme:ident)*) => {
        $(#[test]
        fn $theme() {
            check(stringify!($theme));
        })*

        #[test]
        fn every_theme_is_mounted() {
            let mounted = [$(stringify!($theme)),*];
            for (theme, ..) in BEHAVIOURS {
                assert!(mounted.contains(theme), "{theme} is not mounted");
            }
        }
    };
}

themes! {
    connect connector accept read buffers write producers close half_close failures layers pushed_layers limits timers reactor_loop shutdown storms tasks jobs datagrams descriptors processes signals adopted
}
