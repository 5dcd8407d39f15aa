//! The chains that are compared: of tress and of boxed closures, and the tasks that await. Measures nothing.
//!
//! Each link captures a number, as real callbacks capture something: a closure that captures nothing needs no box.
//! What fires a chain passes through `black_box` after the links were added, so that the compiler knows no more of the
//! chain than in a program, where the two happen in different places.

use std::error::Error;
use std::hint::black_box;
use tress::testing::memory::Table;
use tress::{Deferred, Resolver};

/// Links of each chain, and Deferreds that each task awaits.
pub const LINKS: usize = 4;

/// Tasks that wait at the same time.
const TASKS: usize = 100;

/// What travels along a chain of boxed closures.
pub type BoxedResult = Result<u64, Box<dyn Error>>;

/// A link of such a chain.
pub type BoxedLink = Box<dyn FnOnce(BoxedResult) -> BoxedResult>;

/// A Deferred with four links.
#[must_use]
pub fn links_of_tress() -> (Resolver<u64>, Deferred<u64>) {
    let captured = black_box(3);
    let (resolver, deferred) = Deferred::pair();
    let end = deferred
        .map(move |value: u64| value.wrapping_add(captured))
        .map(move |value| value ^ captured)
        .add_errback(move |_| Ok(captured))
        .add_callback(move |value| Ok(value.wrapping_mul(captured)));
    (resolver, end)
}

/// Fires it and takes the result.
///
/// # Panics
/// The chain has not run.
#[must_use]
pub fn fire_tress(resolver: Resolver<u64>, end: Deferred<u64>, value: u64) -> u64 {
    black_box(resolver).resolve(black_box(value));
    match end.try_result() {
        Ok(Ok(value)) => black_box(value),
        other => panic!("the chain has not run: {other:?}"),
    }
}

/// The same four links, each a closure in a box, in a list that never grows. Nothing guards them against panics.
#[must_use]
pub fn links_in_boxes() -> Vec<BoxedLink> {
    let captured = black_box(3);
    let mut links: Vec<BoxedLink> = Vec::with_capacity(LINKS);
    links.push(Box::new(move |result| {
        result.map(|value| value.wrapping_add(captured))
    }));
    links.push(Box::new(move |result| result.map(|value| value ^ captured)));
    links.push(Box::new(move |result| result.or_else(|_| Ok(captured))));
    links.push(Box::new(move |result| {
        result.map(|value| value.wrapping_mul(captured))
    }));
    links
}

/// Runs them in order and takes the result.
///
/// # Panics
/// The chain has failed.
#[must_use]
pub fn fire_boxes(links: Vec<BoxedLink>, value: u64) -> u64 {
    let first: BoxedResult = Ok(black_box(value));
    let last = black_box(links)
        .into_iter()
        .fold(first, |result, link| link(result));
    match last {
        Ok(value) => black_box(value),
        Err(error) => panic!("the chain has failed: {error}"),
    }
}

/// Spawns a hundred tasks that each await four Deferreds, and fires these in four waves; returns the awaits.
///
/// # Panics
/// A task has not ended, or not with the sum.
#[must_use]
pub fn await_all(table: &Table) -> usize {
    let mut waves: [Vec<Resolver<u64>>; LINKS] = Default::default();
    let mut ends = Vec::new();
    for _ in 0..TASKS {
        let waiting = waves.each_mut().map(|wave| {
            let (resolver, deferred) = Deferred::pair();
            wave.push(resolver);
            deferred
        });
        ends.push(table.reactor().spawn(sum(waiting)));
    }
    for wave in waves {
        for resolver in wave {
            resolver.resolve(black_box(3));
        }
        table.settle();
    }
    for end in ends {
        let sum = end.try_result().map(|result| result.map(black_box));
        assert!(matches!(sum, Ok(Ok(12))), "a task has not ended");
    }
    TASKS * LINKS
}

async fn sum(waiting: [Deferred<u64>; LINKS]) -> tress::Result<u64> {
    let mut sum = 0;
    for deferred in waiting {
        sum += deferred.await?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_chains_compute_the_same() {
        for value in [0, 7, u64::MAX] {
            let (resolver, end) = links_of_tress();
            let expect = (value.wrapping_add(3) ^ 3).wrapping_mul(3);
            assert_eq!(fire_tress(resolver, end, value), expect);
            assert_eq!(fire_boxes(links_in_boxes(), value), expect);
        }
    }

    #[test]
    fn every_task_awaits_every_deferred() {
        assert_eq!(await_all(&Table::new()), 400);
    }
}
