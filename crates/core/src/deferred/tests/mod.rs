//! Twisted's promises of a Deferred, each as a test of its name (its `defer.rst`, `gendefer.rst`, `internet/defer.py`),
//! and what tress promises beyond them. Here: callbacks, their order and their results.

mod awaiting;
mod cancelling;
mod losing;

use super::*;
use crate::testing::logged;
use std::{cell::RefCell, num::ParseIntError};

/// Notes what happens, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, what: impl fmt::Debug) {
        self.0.borrow_mut().push(format!("{what:?}"));
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(*self.0.borrow(), expected);
    }
}

/// The failure at the end of a chain that has fired.
#[track_caller]
fn failure<T: fmt::Debug>(deferred: Deferred<T>) -> Failure {
    deferred
        .try_result()
        .expect("it has fired")
        .expect_err("it has failed")
}

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
fn callbacks_run_synchronously_in_the_order_in_which_they_were_added() {
    let (resolver, deferred) = Deferred::pair();
    let log = Log::default();
    let mut deferred: Deferred<u32> = deferred;
    for step in 0..3 {
        let log = log.clone();
        deferred = deferred.map(move |x| {
            log.note((step, x));
            x + 1
        });
    }
    log.check(&[]);
    resolver.resolve(5);
    log.check(&["(0, 5)", "(1, 6)", "(2, 7)"]);
    let after = log.clone();
    deferred.map(move |x| after.note(("late", x))).detach();
    log.check(&["(0, 5)", "(1, 6)", "(2, 7)", "(\"late\", 8)"]);
}

#[test]
fn a_callback_that_fires_another_deferred_runs_its_callbacks_before_it_goes_on() {
    let log = Log::default();
    let (outer_resolver, outer) = Deferred::<()>::pair();
    let (inner_resolver, inner) = Deferred::<()>::pair();
    let (one, two, three) = (log.clone(), log.clone(), log.clone());
    inner.map(move |()| one.note("inner")).detach();
    outer
        .map(move |()| {
            two.note("before");
            inner_resolver.resolve(());
            two.note("after");
        })
        .map(move |()| three.note("next"))
        .detach();
    outer_resolver.resolve(());
    log.check(&["\"before\"", "\"inner\"", "\"after\"", "\"next\""]);
}

#[test]
fn a_callback_may_add_to_the_chain_that_it_runs_in_through_the_deferred_it_returns() {
    let (resolver, deferred) = Deferred::pair();
    let deferred =
        deferred.add_callback(|x: u32| Deferred::succeed(x).map(|x| x + 1).map(|x| x * 2));
    resolver.resolve(1);
    assert_eq!(deferred.try_result().unwrap().unwrap(), 4);
}

/// Twisted: A resumes with B's result, and B's result becomes `None`. Here B has been consumed, which is the same
/// promise made by the compiler.
#[test]
fn returning_a_deferred_pauses_the_chain_until_that_one_has_its_result() {
    for early in [true, false] {
        let log = Log::default();
        let (resolver, outer) = Deferred::<()>::pair();
        let (inner_resolver, inner) = Deferred::<u32>::pair();
        let note = log.clone();
        let end = outer
            .add_callback(move |()| inner)
            .map(move |x| note.note(x));
        if early {
            inner_resolver.resolve(3);
            log.check(&[]);
            resolver.resolve(());
        } else {
            resolver.resolve(());
            log.check(&[]);
            inner_resolver.resolve(3);
        }
        log.check(&["3"]);
        assert!(end.try_result().is_ok());
    }
}

#[test]
fn an_errback_may_return_a_deferred_as_well() {
    let (resolver, deferred) = Deferred::<u32>::pair();
    let (inner_resolver, inner) = Deferred::<u32>::pair();
    let deferred = deferred.add_errback(move |_| inner).map(|x| x + 1);
    resolver.fail(Failure::msg("bad"));
    inner_resolver.resolve(1);
    assert_eq!(deferred.try_result().unwrap().unwrap(), 2);
}

/// Nested one in the other and fired from the inside: 64 levels cross the depth at which the loop takes over.
#[test]
fn chains_in_chains_resume_in_order_whatever_their_depth() {
    for depth in [1, 31, 32, 33, 64, 1000] {
        let (first, mut nested) = Deferred::<u32>::pair();
        for _ in 0..depth {
            let (resolver, outer) = Deferred::<()>::pair();
            nested = outer.add_callback(move |()| nested).map(|x| x + 1);
            resolver.resolve(());
        }
        first.resolve(0);
        assert_eq!(nested.try_result().unwrap().unwrap(), depth);
    }
}

#[test]
fn a_million_links_run_and_drop_without_recursion() {
    for fire in [|r: Resolver<u32>| r.resolve(0), drop] {
        let (resolver, mut deferred) = Deferred::pair();
        for _ in 0..1_000_000 {
            deferred = deferred.map(|x| x + 1);
        }
        fire(resolver);
        let result = deferred.try_result().unwrap();
        assert!(result.is_err() || result.unwrap() == 1_000_000);
    }
}

/// Fired from the inside, from the outside, and dropped in either order.
#[test]
fn a_million_nested_run_and_drop_without_recursion() {
    for (inside_first, fired) in [(false, true), (true, true), (false, false), (true, false)] {
        let (first, mut nested) = Deferred::<u32>::pair();
        let mut resolvers = Vec::with_capacity(1_000_000);
        for _ in 0..1_000_000 {
            let (resolver, outer) = Deferred::<()>::pair();
            resolvers.push(resolver);
            nested = outer.add_callback(move |()| nested);
        }
        let mut first = Some(first);
        if inside_first && fired {
            first.take().unwrap().resolve(9);
        } else {
            resolvers.reverse();
        }
        if fired {
            resolvers
                .into_iter()
                .for_each(|resolver| resolver.resolve(()));
            first.into_iter().for_each(|first| first.resolve(9));
            assert_eq!(nested.try_result().unwrap().unwrap(), 9);
        } else {
            let failed =
                nested.add_errback(|failure| failure.trap::<crate::error::Abandoned>().map(|_| 1));
            drop(first.take().filter(|_| inside_first));
            // Those inside were let go by the callbacks that held them, and nobody handles their failures.
            let lines = logged(|| drop(resolvers));
            assert!(lines.iter().all(|line| line.contains("abandoned")));
            drop(first);
            assert_eq!(failed.try_result().unwrap().unwrap(), 1);
        }
    }
}

#[test]
fn one_allocation_a_step_is_all_the_state_there_is() {
    assert!(size_of::<Deferred<u64>>() <= 40);
    assert_eq!(size_of::<Resolver<u64>>(), 8);
}
