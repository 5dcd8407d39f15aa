//! A few seeds of the workload, and its bugs: each is noticed, and nothing is that is not there.

use tress_sim::Fault;
use tress_sim_workload::{Mutation, run, scale};

#[test]
fn a_seed_runs_the_same_way_twice_and_nothing_breaks() {
    let mut faults = [0; Fault::ALL.len()];
    for seed in 0..16 {
        let outcome = run(seed, None);
        assert_eq!(outcome.broken, [""; 0], "seed={seed}");
        assert!(
            outcome.events >= 2000,
            "seed={seed}: {} events",
            outcome.events
        );
        for (total, count) in faults.iter_mut().zip(outcome.faults) {
            *total += count;
        }
        if seed < 2 {
            let again = run(seed, None);
            assert_eq!((outcome.hash, outcome.faults), (again.hash, again.faults));
        }
    }
    let idle: Vec<Fault> = Fault::ALL
        .into_iter()
        .filter(|fault| faults[*fault as usize] == 0)
        .collect();
    assert_eq!(idle, [], "these have never struck");
}

#[test]
fn every_bug_is_noticed() {
    for mutation in Mutation::ALL {
        let noticed = (0..50).find(|seed| !run(*seed, Some(mutation)).broken.is_empty());
        assert!(noticed.is_some(), "{} was not noticed", mutation.name());
    }
}

#[test]
fn many_connections_are_all_served() {
    let scale = scale(2000).expect("all are served");
    assert_eq!(scale.connections, 2000);
    assert!(scale.events > 20_000, "{scale}");
}
