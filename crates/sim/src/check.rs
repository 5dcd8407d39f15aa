//! Tests over many seeds: each in a world of its own, and the one that failed named. Knows nothing of what is tested.

use crate::world::World;
use std::{
    env,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};
use tress_core::Result;

/// The variable that says which one seed to run.
pub const SEED_VARIABLE: &str = "TRESS_SEED";

/// Runs a test in a new world for each of these seeds, the end excluded. The first that fails, or panics, is named:
/// `seed=7`; with `TRESS_SEED=7` in the environment only that one runs, which then goes the same way.
///
/// ```
/// use tress_core::{Protocol, Reactor};
/// use tress_sim::Fault;
///
/// struct Quiet;
/// impl Protocol for Quiet {}
///
/// tress_sim::check(0..20, |world| {
///     world.set_fault(Fault::BlackHoledConnect, 0.5);
///     let (server, client) = (Reactor::with(world.host("10.0.0.1")), Reactor::with(world.host("10.0.0.2")));
///     server.listen("tcp:7", || Quiet)?;
///     let connecting = client.connect("tcp:10.0.0.1:7:timeout=5", || Quiet);
///     world.run_for(std::time::Duration::from_secs(6), &[&server, &client])?;
///     assert!(connecting.try_result().is_ok(), "it has ended, well or not");
///     Ok(())
/// });
/// ```
///
/// # Panics
/// The test fails or panics for one of the seeds, or `TRESS_SEED` is no number.
#[track_caller]
pub fn check(seeds: Range<u64>, test: impl FnMut(&World) -> Result) {
    let only = env::var(SEED_VARIABLE).ok().map(|text| match text.parse() {
        Ok(seed) => seed,
        Err(error) => panic!("{SEED_VARIABLE}={text}: {error}; expected a seed"),
    });
    run(only.map_or(seeds, |seed| seed..seed + 1), test);
}

#[track_caller]
fn run(seeds: Range<u64>, mut test: impl FnMut(&World) -> Result) {
    for seed in seeds {
        let world = World::new(seed);
        match catch_unwind(AssertUnwindSafe(|| test(&world))) {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => panic!("seed={seed}: {failure}"),
            Err(payload) => {
                #[expect(clippy::print_stderr, reason = "the panic itself has been told there")]
                {
                    eprintln!("seed={seed}: run only this one with {SEED_VARIABLE}={seed}");
                }
                resume_unwind(payload);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tress_core::Failure;

    #[test]
    fn each_seed_has_its_own_world_and_the_first_failure_ends_it() {
        let mut hosts = Vec::new();
        let failed = catch_unwind(AssertUnwindSafe(|| {
            run(7..20, |world| {
                hosts.push(world.now());
                match hosts.len() {
                    3 => Err(Failure::msg("the third")),
                    _ => Ok(()),
                }
            });
        }));
        let payload = failed.expect_err("it fails");
        let text = payload.downcast_ref::<String>().expect("it is text");
        assert_eq!(text, "seed=9: the third");
        assert_eq!(hosts.len(), 3);
    }

    #[test]
    fn a_panic_goes_on() {
        let failed = catch_unwind(|| run(7..8, |_| panic!("as it was told")));
        let payload = failed.expect_err("it panics");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"as it was told"));
    }
}
