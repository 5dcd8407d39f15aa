//! The chains that are compared: of tress and of boxed closures, and the tasks that await. Measures nothing.
//!
//! Each link captures a number, as real callbacks capture something: a closure that captures nothing needs no box.
//! What fires a chain passes through `black_box` after the links were added, so that the compiler knows no more of the
//! chain than in a program, where the two happen in different places.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::rc::Rc;
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

/// The same four links, each a closure in a box, in a list that never grows. Nothing guards them against panics, and
/// only who holds them can run them.
#[must_use]
pub fn links_in_boxes() -> Vec<BoxedLink> {
    let mut links = Vec::with_capacity(LINKS);
    add_boxes(&mut links);
    links
}

/// Runs them in order and takes the result.
///
/// # Panics
/// The chain has failed.
#[must_use]
pub fn fire_boxes(links: Vec<BoxedLink>, value: u64) -> u64 {
    number(run_boxes(black_box(links), Ok(black_box(value))))
}

/// The least that a chain can be which one part of a program fires and another one waits for: the same list behind one
/// `Rc`, and a place for the result.
#[derive(Default)]
pub struct SharedChain {
    links: RefCell<Vec<BoxedLink>>,
    result: Cell<Option<BoxedResult>>,
}

impl fmt::Debug for SharedChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedChain({} links)", self.links.borrow().len())
    }
}

/// Such a chain with four links: for who fires it, and for who waits.
#[must_use]
pub fn links_in_shared_boxes() -> [Rc<SharedChain>; 2] {
    let chain = Rc::new(SharedChain {
        links: RefCell::new(Vec::with_capacity(LINKS)),
        result: Cell::default(),
    });
    let end = black_box(Rc::clone(&chain));
    add_boxes(&mut end.links.borrow_mut());
    [chain, end]
}

/// Fires it and takes the result.
///
/// # Panics
/// The chain has failed.
#[must_use]
pub fn fire_shared_boxes([chain, end]: [Rc<SharedChain>; 2], value: u64) -> u64 {
    let chain = black_box(chain);
    let links = chain.links.take();
    chain
        .result
        .set(Some(run_boxes(links, Ok(black_box(value)))));
    drop(chain);
    number(end.result.take().expect("it was fired a moment ago"))
}

fn add_boxes(links: &mut Vec<BoxedLink>) {
    let captured = black_box(3);
    links.push(Box::new(move |result| {
        result.map(|value| value.wrapping_add(captured))
    }));
    links.push(Box::new(move |result| result.map(|value| value ^ captured)));
    links.push(Box::new(move |result| result.or_else(|_| Ok(captured))));
    links.push(Box::new(move |result| {
        result.map(|value| value.wrapping_mul(captured))
    }));
}

fn run_boxes(links: Vec<BoxedLink>, first: BoxedResult) -> BoxedResult {
    links.into_iter().fold(first, |result, link| link(result))
}

fn number(result: BoxedResult) -> u64 {
    match result {
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
            assert_eq!(fire_shared_boxes(links_in_shared_boxes(), value), expect);
            assert_eq!(fire_boxes(links_in_boxes(), value), expect);
        }
    }

    #[test]
    fn every_task_awaits_every_deferred() {
        assert_eq!(await_all(&Table::new()), 400);
    }
}
