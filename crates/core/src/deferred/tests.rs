//! The promises of a chain. Issue by issue these grow to Twisted's whole list.

use super::*;
use crate::error::{Abandoned, Cancelled};
use std::{cell::RefCell, num::ParseIntError};

/// Fires `result` into a chain built by `build`, both before and after the chain is built, and compares the end.
#[track_caller]
fn check<U: PartialEq + fmt::Debug + 'static>(
    result: fn() -> Result<i32>,
    build: fn(Deferred<i32>) -> Deferred<U>,
    expected: Result<U, &str>,
) {
    let (resolver, deferred) = Deferred::pair();
    let late = build(deferred);
    resolver.fire(result());
    for end in [late, build(Deferred::done(result()))] {
        let end = end.try_result().expect("it has fired");
        match (&end, &expected) {
            (Ok(value), Ok(wanted)) => assert_eq!(value, wanted),
            (Err(failure), Err(text)) => assert_eq!(failure.to_string(), *text),
            _ => panic!("got {end:?}, expected {expected:?}"),
        }
    }
}

fn one() -> Result<i32> {
    Ok(1)
}

fn bad() -> Result<i32> {
    Err(Failure::msg("bad"))
}

#[test]
fn the_result_of_one_callback_is_the_input_of_the_next() {
    check(
        one,
        |d| d.map(|x| x + 1).add_callback(|x| Ok(x * 10)),
        Ok(20),
    );
    check(one, |d| d.add_callback(|_| ()), Ok(()));
    check(one, |d| d.add_callback(|x| Deferred::succeed(x + 4)), Ok(5));
}

#[test]
fn failures_go_to_errbacks_and_values_come_back() {
    check(bad, |d| d.map(|x| x + 1), Err("bad"));
    check(bad, |d| d.map(|x| x + 1).add_errback(|_| Ok(7)), Ok(7));
    check(one, |d| d.add_errback(|_| Ok(7)), Ok(1));
    check(
        one,
        |d| {
            d.add_callback(|_| -> Result<i32> { Ok("x".parse()?) })
                .add_errback(|failure| failure.trap::<ParseIntError>().map(|_| -1))
        },
        Ok(-1),
    );
}

#[test]
fn add_callbacks_errback_does_not_see_the_callbacks_error() {
    check(one, |d| d.add_callbacks(|_| bad(), |_| Ok(3)), Err("bad"));
    check(bad, |d| d.add_callbacks(|_| Ok(1), |_| Ok(3)), Ok(3));
}

#[test]
fn a_panic_becomes_a_failure() {
    let panics = |d: Deferred<i32>| d.add_callback(|_| -> Result<i32> { panic!("oh") });
    check(one, panics, Err("a callback panicked: oh"));
}

#[test]
fn a_dropped_resolver_abandons() {
    let (resolver, deferred) = Deferred::<i32>::pair();
    drop(resolver);
    let failure = deferred.try_result().unwrap().unwrap_err();
    assert!(failure.check::<Abandoned>().is_some());
}

#[test]
fn cancel_asks_the_canceller_and_swallows_a_later_fire() {
    let asked = Rc::new(RefCell::new(0));
    let count = Rc::clone(&asked);
    let (resolver, deferred) = Deferred::<i32>::with_canceller(move || *count.borrow_mut() += 1);
    let deferred = deferred.map(|x| x + 1);
    deferred.cancel();
    deferred.cancel();
    assert_eq!(*asked.borrow(), 1);
    resolver.resolve(5);
    let failure = deferred.try_result().unwrap().unwrap_err();
    assert!(failure.check::<Cancelled>().is_some());
}

#[test]
fn cancel_reaches_the_inner_deferred() {
    let (_kept, inner) = Deferred::<i32>::pair();
    let canceller = inner.canceller();
    let (resolver, outer) = Deferred::pair();
    let outer = outer.add_callback(move |(): ()| inner);
    resolver.resolve(());
    outer.cancel();
    assert!(canceller.is_some());
    let failure = outer.try_result().unwrap().unwrap_err();
    assert!(failure.check::<Cancelled>().is_some());
}

#[test]
fn dropping_the_tail_detaches_and_never_cancels() {
    let seen = Rc::new(RefCell::new(None));
    let (resolver, deferred) = Deferred::pair();
    let place = Rc::clone(&seen);
    deferred
        .map(move |x: i32| *place.borrow_mut() = Some(x))
        .detach();
    resolver.resolve(3);
    assert_eq!(*seen.borrow(), Some(3));
}

#[test]
fn a_million_links_and_a_hundred_thousand_nested_run_without_recursion() {
    let (resolver, mut deferred) = Deferred::pair();
    for _ in 0..1_000_000 {
        deferred = deferred.map(|x: u32| x + 1);
    }
    resolver.resolve(0);
    assert_eq!(deferred.try_result().unwrap().unwrap(), 1_000_000);

    let (first, mut nested) = Deferred::pair();
    let mut resolvers = Vec::new();
    for _ in 0..100_000 {
        let (resolver, outer) = Deferred::pair();
        resolvers.push(resolver);
        nested = outer.add_callback(move |(): ()| nested);
    }
    resolvers
        .into_iter()
        .rev()
        .for_each(|resolver| resolver.resolve(()));
    first.resolve(9);
    assert_eq!(nested.try_result().unwrap().unwrap(), 9);
}

#[test]
fn one_allocation_a_step_is_all_the_state_there_is() {
    assert!(size_of::<Deferred<u64>>() <= 40);
    assert_eq!(size_of::<Resolver<u64>>(), 8);
}
