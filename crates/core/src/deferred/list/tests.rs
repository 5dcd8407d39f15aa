//! The promises of `DeferredList`, one a test.

use super::*;
use crate::{error::Cancelled, testing::logged};
use std::{
    pin::Pin,
    task::{Context, Waker},
};

type Way = fn(DeferredList<i32>) -> Deferred<String>;

/// The four ways to end a list, in the order of the table above.
const WAYS: [Way; 4] = [
    |list| list.fire_on_all().map(show_all),
    |list| list.fire_on_one_callback().map(show_one),
    |list| list.fire_on_one_errback().map(|all| format!("{all:?}")),
    |list| list.fire_on_one().map(show_one),
];

fn show_all(results: Vec<Result<i32>>) -> String {
    let show = |result: &Result<i32>| match result {
        Ok(value) => value.to_string(),
        Err(failure) => failure.to_string(),
    };
    results.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn show_one((value, index): (i32, usize)) -> String {
    format!("{value} of {index}")
}

fn end(deferred: Deferred<String>) -> String {
    match deferred.try_result() {
        Ok(Ok(text)) => text,
        Ok(Err(failure)) => format!("failed: {failure}"),
        Err(_) => "waits".to_owned(),
    }
}

fn pairs(count: usize) -> (Vec<Option<Resolver<i32>>>, Vec<Deferred<i32>>) {
    (0..count)
        .map(|_| Deferred::pair())
        .map(|(resolver, deferred)| (Some(resolver), deferred))
        .unzip()
}

type Script = &'static [(usize, Result<i32, &'static str>)];

fn fire(resolvers: &mut [Option<Resolver<i32>>], script: Script) {
    for (index, result) in script {
        let resolver = resolvers[*index].take().expect("fired once");
        resolver.fire(result.map_err(Failure::msg));
    }
}

/// Fires `before` into three inputs, makes a list of them in each of the four ways, fires `after`; then compares
/// what the lists have, and how many failures were logged. Consumed, none is logged.
#[track_caller]
fn check(before: Script, after: Script, expected: [(&str, usize); 4]) {
    for (way, (text, lines)) in WAYS.into_iter().zip(expected) {
        for consumes in [false, true] {
            let (mut resolvers, inputs) = pairs(3);
            let log = logged(|| {
                fire(&mut resolvers, before);
                let mut list = DeferredList::new(inputs);
                if consumes {
                    list = list.consume_errors();
                }
                let deferred = way(list);
                fire(&mut resolvers, after);
                assert_eq!(end(deferred), text);
            });
            let lines = if consumes { 0 } else { lines };
            assert_eq!(log.len(), lines, "{text}, consumes {consumes}: {log:?}");
        }
    }
}

const BAD: Result<i32, &str> = Err("bad");

#[test]
fn results_are_in_the_order_of_the_inputs_whatever_the_order_of_firing() {
    let first_last: Script = &[(2, Ok(7)), (0, Ok(5)), (1, Ok(6))];
    let fired = ["5 6 7", "7 of 2", "[5, 6, 7]", "7 of 2"];
    check(&[], first_last, fired.map(|text| (text, 0)));
    let fired = ["5 6 7", "5 of 0", "[5, 6, 7]", "5 of 0"];
    check(first_last, &[], fired.map(|text| (text, 0)));
    check(
        &first_last[1..2],
        &[(2, Ok(7)), (1, Ok(6))],
        fired.map(|text| (text, 0)),
    );
}

#[test]
fn it_waits_for_the_last_input() {
    let waits = |text| [("waits", 0), (text, 0), ("waits", 0), (text, 0)];
    check(&[], &[(1, Ok(1)), (0, Ok(2))], waits("1 of 1"));
    check(&[(0, Ok(2))], &[(1, Ok(1))], waits("2 of 0"));
}

#[test]
fn a_failure_is_logged_once_if_the_result_does_not_tell_of_it_and_never_if_consumed() {
    let first = "failed: the Deferred at index 1 failed: bad";
    let bad_then_good: Script = &[(1, BAD), (0, Ok(1)), (2, Ok(2))];
    let ends = [("1 bad 2", 0), ("1 of 0", 1), (first, 0), (first, 0)];
    check(&[], bad_then_good, ends);
    let good_then_bad: Script = &[(0, Ok(1)), (1, BAD), (2, BAD)];
    let ends = [("1 bad bad", 0), ("1 of 0", 2), (first, 1), ("1 of 0", 2)];
    check(&[], good_then_bad, ends);
    check(good_then_bad, &[], ends);
    let all = "failed: all of 3 failed: no; bad; bad";
    let all_bad: Script = &[(1, BAD), (2, BAD), (0, Err("no"))];
    let ends = [("no bad bad", 0), (all, 0), (first, 2), (first, 2)];
    check(&[], all_bad, ends);
}

#[test]
fn an_empty_list_fires_at_once_but_never_with_a_value_when_one_callback_is_asked_for() {
    let ends = WAYS.map(|way| end(way(DeferredList::new([]))));
    let nobody = "failed: there was no Deferred to wait for";
    assert_eq!(ends, ["", nobody, "[]", nobody]);
    let gathered = gather_results::<i32>([]).try_result();
    assert_eq!(gathered.unwrap().unwrap(), []);
}

#[test]
fn first_error_says_which_and_why() {
    let inputs = [
        Deferred::succeed(1),
        Deferred::fail("x".parse::<i32>().unwrap_err()),
    ];
    let failure = gather_results(inputs).try_result().unwrap().unwrap_err();
    let first = failure.check::<FirstError>().expect("it is a FirstError");
    assert_eq!(first.index, 1);
    assert!(
        first
            .source()
            .is_some_and(|source| source.is::<std::num::ParseIntError>())
    );
    assert!(first.failure.check::<std::num::ParseIntError>().is_some());
}

type Count = Rc<Cell<usize>>;

/// A count of those that were asked to cancel, three Deferreds, and their resolvers.
fn cancellable() -> (Count, Vec<Deferred<i32>>, Vec<Resolver<i32>>) {
    let asked = Count::default();
    let pair = || {
        let asked = Rc::clone(&asked);
        Deferred::with_canceller(move || asked.set(asked.get() + 1))
    };
    let (resolvers, inputs) = (0..3).map(|_| pair()).unzip();
    (asked, inputs, resolvers)
}

#[test]
fn cancelling_the_list_cancels_all_inputs_and_logs_nothing() {
    let failed = "failed: cancelled";
    let ends = ["cancelled cancelled cancelled", failed, failed, failed];
    let log = logged(|| {
        for (way, expected) in WAYS.into_iter().zip(ends) {
            let (asked, inputs, resolvers) = cancellable();
            let list = way(DeferredList::new(inputs));
            list.cancel();
            assert_eq!(asked.get(), 3);
            assert!(resolvers.iter().all(Resolver::is_cancelled));
            assert_eq!(end(list), expected);
        }
    });
    assert_eq!(log, [""; 0]);
}

#[test]
fn a_cancelled_list_keeps_what_has_come() {
    let (_asked, inputs, mut resolvers) = cancellable();
    let list = WAYS[0](DeferredList::new(inputs));
    resolvers.remove(1).resolve(4);
    list.cancel();
    assert_eq!(end(list), "cancelled 4 cancelled");
}

#[test]
fn a_list_that_has_fired_cancels_nothing() {
    let (asked, inputs, mut resolvers) = cancellable();
    let list = DeferredList::new(inputs).fire_on_one_callback();
    resolvers.remove(0).resolve(1);
    list.cancel();
    assert_eq!(asked.get(), 0);
}

#[test]
fn a_dropped_list_is_detached_and_an_awaited_one_is_cancelled() {
    let (asked, inputs, resolvers) = cancellable();
    let sum = Rc::new(Cell::new(0));
    let to = Rc::clone(&sum);
    let list = gather_results(inputs).map(move |all| to.set(all.iter().sum()));
    drop(list);
    resolvers
        .into_iter()
        .for_each(|resolver| resolver.resolve(2));
    assert_eq!((asked.get(), sum.get()), (0, 6));

    let (asked, inputs, _resolvers) = cancellable();
    let mut list = gather_results(inputs);
    let polled = Pin::new(&mut list).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(list);
    assert_eq!(asked.get(), 3);
}

#[test]
fn an_input_may_fire_inside_the_callback_of_another() {
    let (mut resolvers, mut inputs) = pairs(2);
    let (second, first) = (resolvers.remove(1), resolvers.remove(0));
    let waits = inputs.remove(0);
    inputs.insert(
        0,
        waits.map(move |value| {
            second.expect("it is there").resolve(value + 1);
            value
        }),
    );
    let list = WAYS[3](DeferredList::new(inputs));
    first.expect("it is there").resolve(1);
    assert_eq!(end(list), "2 of 1");
}

#[test]
fn the_lists_own_callback_may_fire_an_input_that_is_late() {
    let (mut resolvers, inputs) = pairs(2);
    let (second, first) = (resolvers.remove(1), resolvers.remove(0));
    let list = DeferredList::new(inputs).fire_on_one().map(move |one| {
        second.expect("it is there").resolve(9);
        show_one(one)
    });
    first.expect("it is there").resolve(1);
    assert_eq!(end(list), "1 of 0");
}

/// Fires another input when it is dropped.
struct Bomb(Option<Resolver<Self>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(resolver) = self.0.take() {
            resolver.resolve(Self(None));
        }
    }
}

#[test]
fn a_value_that_is_kept_and_dropped_may_fire_another_input() {
    let log = logged(|| {
        let (mut resolvers, inputs): (Vec<_>, Vec<_>) = (0..3).map(|_| Deferred::pair()).unzip();
        let list = gather_results(inputs).map(|_| String::new());
        let last = resolvers.remove(2);
        resolvers.remove(0).resolve(Bomb(Some(last)));
        resolvers.remove(0).fail(Failure::msg("bad"));
        assert_eq!(end(list), "failed: the Deferred at index 1 failed: bad");
    });
    assert_eq!(log, [""; 0]);
}

#[test]
fn a_callback_of_an_input_may_cancel_the_list() {
    for way in WAYS {
        let (mut resolvers, mut inputs) = pairs(2);
        let canceller: Rc<RefCell<Option<Canceller>>> = Rc::default();
        let by = Rc::clone(&canceller);
        let first = inputs.remove(0).map(move |value| {
            by.borrow().as_ref().expect("the list is made").cancel();
            value
        });
        inputs.insert(0, first);
        let list = way(DeferredList::new(inputs));
        canceller.replace(list.canceller());
        fire(&mut resolvers, &[(0, Ok(1))]);
        // The input that is running cannot be cancelled, so the list is not complete.
        assert_eq!(end(list), "failed: cancelled");
        let second = resolvers.remove(1).expect("not fired by us");
        assert!(second.is_cancelled());
    }
}

#[test]
fn a_canceller_of_one_input_may_fire_another() {
    let ends = ["cancelled 8", "8 of 1", "failed: cancelled", "8 of 1"];
    for (way, expected) in WAYS.into_iter().zip(ends) {
        let (second, waits) = Deferred::pair();
        let (_kept, first) = Deferred::with_canceller(move || second.resolve(8));
        let list = way(DeferredList::new([first, waits]));
        list.cancel();
        assert_eq!(end(list), expected);
    }
}

#[test]
fn a_canceller_of_an_input_may_cancel_the_list_again() {
    for way in WAYS {
        let again: Rc<RefCell<Option<Canceller>>> = Rc::default();
        let by = Rc::clone(&again);
        let (_kept, input) = Deferred::with_canceller(move || {
            by.borrow().as_ref().expect("the list is made").cancel();
        });
        let list = way(DeferredList::new([input]));
        again.replace(list.canceller());
        list.cancel();
        assert!(end(list).ends_with("cancelled"));
    }
}

#[test]
fn an_input_that_is_abandoned_counts_as_failed() {
    let (resolver, input) = Deferred::<i32>::pair();
    let list = DeferredList::new([input]).fire_on_all();
    drop(resolver);
    let results = list.try_result().unwrap().unwrap();
    assert!(results[0].is_err());
    assert!(results.iter().flatten().next().is_none());
}

#[test]
fn a_list_of_a_hundred_thousand_keeps_the_order() {
    let (resolvers, inputs) = pairs(100_000);
    let all = gather_results(inputs);
    for (resolver, value) in resolvers.into_iter().zip(0..100_000).rev() {
        resolver.expect("not fired").resolve(value);
    }
    let all = all.try_result().unwrap().unwrap();
    assert!(all.into_iter().eq(0..100_000));
}

#[test]
fn nothing_is_left_of_a_list_that_has_fired_or_was_cancelled() {
    for cancels in [false, true] {
        let alive = Rc::new(());
        let (mut resolvers, inputs) = pairs(2);
        let held = Rc::clone(&alive);
        let inputs = inputs.into_iter().map(move |input| {
            let held = Rc::clone(&held);
            input.map(move |_| held)
        });
        let list = gather_results(inputs);
        if cancels {
            list.cancel();
        } else {
            fire(&mut resolvers, &[(0, Ok(1)), (1, Ok(2))]);
        }
        drop(list.add_errback(|failure| failure.trap::<Cancelled>().map(|_| vec![])));
        assert_eq!(Rc::strong_count(&alive), 1);
    }
}

#[test]
fn lists_may_be_nested_some_hundreds_deep() {
    let (resolver, mut nested) = Deferred::pair();
    for _ in 0..300 {
        nested = gather_results([nested]).map(|values| values[0]);
    }
    resolver.resolve(1);
    assert_eq!(nested.try_result().unwrap().unwrap(), 1);
}
