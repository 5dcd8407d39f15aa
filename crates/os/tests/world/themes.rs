//! The behaviour suite on a driver that this machine may not have: one test for each theme, not for each behaviour, so
//! that few say so and pass. A module beside `world`. Does not know which driver.

use crate::world::{ALONE, SocketWorld};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tress_core::testing::suite::{BEHAVIOURS, play};

/// Runs all behaviours of a theme, reports them as of this loop, and names those that fail. `driver` is what came of
/// making one.
pub(crate) fn check<D>(
    of: &str,
    theme: &str,
    driver: io::Result<D>,
    world: impl Fn() -> SocketWorld,
) {
    if let Err(error) = driver {
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
        let full = format!("{theme}::{name}");
        let run = || play(of, &full, *behaviour, &world());
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            eprintln!("FAILED: {full}");
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// `themes! { name, check, world; }`: a module with a test for each theme, which `check(theme, make_world)` runs in what
/// `world(alone)` makes, `alone` being the test that runs `close_peer_on_emfile`.
macro_rules! themes {
    ($kind:ident, $check:path, $world:expr;) => {
        themes! { $kind, $check, $world;
            connect connector accept read buffers write producers close half_close failures layers pushed_layers limits
            timers reactor_loop shutdown storms tasks jobs datagrams descriptors processes signals adopted
        }
    };
    ($kind:ident, $check:path, $world:expr; $($theme:ident)*) => {
        mod $kind {
            use super::*;

            $(#[test]
            fn $theme() {
                let world: fn(&'static str) -> SocketWorld = $world;
                $check(stringify!($theme), || world(concat!(stringify!($kind), "::accept")));
            })*

            #[test]
            fn every_theme_is_mounted() {
                let mounted = [$(stringify!($theme)),*];
                for (theme, ..) in tress_core::testing::suite::BEHAVIOURS {
                    assert!(mounted.contains(theme), "{theme} is not mounted");
                }
            }
        }
    };
}
