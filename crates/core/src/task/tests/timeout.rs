//! `add_timeout`: what it covers, what it changes, and when it is gone. The cases are those of Twisted's
//! `DeferredAddTimeoutTests`, and what can go wrong besides.

use super::*;
use crate::testing::logged;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
};

const TIMED_OUT: &str = "a Deferred timed out after 3s";

fn timers(table: &Table) -> usize {
    table.reactor().statistics().timers
}

/// A Deferred with a timeout of three seconds.
fn timed<T: 'static>(table: &Table, deferred: Deferred<T>) -> Deferred<T> {
    deferred.add_timeout(table.reactor(), 3 * SECOND)
}

#[test]
fn what_is_not_there_in_time_fails_as_timed_out() {
    let table = Table::new();
    let (resolver, deferred) = Deferred::<u32>::pair();
    let end = Watch::new(timed(&table, deferred));
    table.advance(3 * SECOND - Duration::from_nanos(1));
    end.check_waiting();
    assert!(!resolver.is_cancelled());
    table.advance(Duration::from_nanos(1));
    end.check(TIMED_OUT);
    assert!(resolver.is_cancelled());
    resolver.resolve(1);
    assert_eq!(timers(&table), 0);
}

#[test]
fn the_error_names_the_limit_and_who_asked_for_it() {
    let table = Table::new();
    let (_resolver, deferred) = Deferred::<()>::pair();
    let asked = line!() + 1;
    let deferred = deferred.add_timeout(table.reactor(), millis(250));
    table.advance(SECOND);
    let failure = deferred.try_result().expect("it has fired").unwrap_err();
    let error = *failure.check::<crate::error::TimedOut>().expect("its type");
    assert_eq!(error.deadline, crate::error::Deadline::Deferred);
    assert_eq!(error.after, millis(250));
    assert_eq!(
        (failure.location().file(), failure.location().line()),
        (file!(), asked)
    );
}

#[test]
fn the_timer_is_cancelled_as_soon_as_the_result_passes() {
    for (result, text) in [(Ok(1), "1"), (Err(Failure::msg("bad")), "bad")] {
        let table = Table::new();
        let (resolver, deferred) = Deferred::pair();
        let end = Watch::new(timed(&table, deferred));
        assert_eq!(timers(&table), 1);
        resolver.fire(result);
        assert_eq!(timers(&table), 0);
        end.check(text);
        table.advance(5 * SECOND);
    }
}

#[test]
fn a_result_that_is_there_needs_no_timer() {
    let table = Table::new();
    let reactor = table.reactor();
    let value = Deferred::succeed(1).add_timeout(reactor, Duration::ZERO);
    let failure = Deferred::<u32>::fail(Failure::msg("bad")).add_timeout(reactor, Duration::ZERO);
    let (resolver, fired) = Deferred::pair();
    resolver.resolve(2);
    let fired = timed(&table, fired);
    assert_eq!(timers(&table), 0);
    Watch::new(value).check("1");
    Watch::new(failure).check("bad");
    Watch::new(fired).check("2");
}

#[test]
fn callbacks_added_before_are_covered_with_the_deferreds_they_return() {
    let table = Table::new();
    let (resolver, deferred) = Deferred::<()>::pair();
    let (inner, returned) = Deferred::<u32>::pair();
    let end = Watch::new(timed(&table, deferred.add_callback(move |()| returned)));
    resolver.resolve(());
    assert_eq!(timers(&table), 1);
    table.advance(3 * SECOND);
    end.check(TIMED_OUT);
    assert!(inner.is_cancelled());
}

#[test]
fn callbacks_added_after_are_not_covered() {
    let table = Table::new();
    for result in [Ok(()), Err(Failure::msg("bad"))] {
        let (resolver, deferred) = Deferred::<()>::pair();
        let (inner, returned) = Deferred::<u32>::pair();
        let after = timed(&table, deferred).add_both(move |_| returned);
        let end = Watch::new(after);
        resolver.fire(result);
        assert_eq!(timers(&table), 0);
        table.advance(10 * SECOND);
        assert!(!inner.is_cancelled());
        inner.resolve(5);
        end.check("5");
    }
}

#[test]
fn a_cancel_by_somebody_else_stays_cancelled() {
    let table = Table::new();
    let (_resolver, deferred) = Deferred::<()>::pair();
    let deferred = timed(&table, deferred);
    deferred.cancel();
    assert_eq!(timers(&table), 0);
    Watch::new(deferred).check("cancelled");
}

#[test]
fn a_cancel_by_somebody_else_does_not_reach_what_is_added_after() {
    let table = Table::new();
    let (_resolver, deferred) = Deferred::<()>::pair();
    let (inner, returned) = Deferred::<u32>::pair();
    let after = timed(&table, deferred).add_both(move |_| returned);
    after.cancel();
    table.advance(10 * SECOND);
    assert!(!inner.is_cancelled());
}

#[test]
fn a_failure_that_says_cancelled_before_the_time_stays_one() {
    let table = Table::new();
    let (resolver, deferred) = Deferred::<()>::pair();
    let end = Watch::new(timed(&table, deferred));
    resolver.fail(Cancelled);
    end.check("cancelled");
}

#[test]
fn a_canceller_that_fires_on_timeout_keeps_its_result() {
    for (result, text) in [(Ok(9), "9"), (Err(Failure::msg("own words")), "own words")] {
        let table = Table::new();
        let place: Rc<Cell<Option<Resolver<u32>>>> = Rc::default();
        let own = Rc::clone(&place);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            let resolver = own.take().expect("it is asked once");
            resolver.fire(result);
        });
        place.set(Some(resolver));
        let end = Watch::new(timed(&table, deferred));
        table.advance(3 * SECOND);
        end.check(text);
    }
}

#[test]
fn an_errback_before_the_timeout_sees_the_cancel() {
    let table = Table::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    for handles in [false, true] {
        let (_resolver, deferred) = Deferred::<u32>::pair();
        let notes = Rc::clone(&seen);
        let deferred = deferred.add_errback(move |failure| {
            notes.borrow_mut().push(failure.to_string());
            if handles { Ok(4) } else { Err(failure) }
        });
        let end = Watch::new(timed(&table, deferred));
        table.advance(3 * SECOND);
        end.check(if handles { "4" } else { TIMED_OUT });
    }
    assert_eq!(*seen.borrow(), ["cancelled", "cancelled"]);
}

/// What an errback does about the cancel may take time; the failure that it passes on is still the timeout's.
#[test]
fn an_errback_before_the_timeout_may_clean_up_later() {
    let table = Table::new();
    let (_resolver, deferred) = Deferred::<()>::pair();
    let reactor = table.reactor().clone();
    let cleaned = deferred.add_errback(move |failure| {
        let later = reactor.after(SECOND);
        later.add_callback(|()| Err::<(), _>(failure))
    });
    let end = Watch::new(timed(&table, cleaned));
    table.advance(3 * SECOND);
    end.check_waiting();
    table.advance(SECOND);
    end.check(TIMED_OUT);
}

#[test]
fn the_first_of_two_timeouts_to_come_decides() {
    for (inner, outer, text) in [
        (1, 2, "a Deferred timed out after 1s"),
        (2, 1, "a Deferred timed out after 1s"),
        (1, 1, "a Deferred timed out after 1s"),
    ] {
        let table = Table::new();
        let (_resolver, deferred) = Deferred::<()>::pair();
        let deferred = deferred.add_timeout(table.reactor(), SECOND * inner);
        let deferred = deferred.add_timeout(table.reactor(), SECOND * outer);
        assert_eq!(timers(&table), 2);
        let end = Watch::new(deferred);
        table.advance(SECOND);
        end.check(text);
        assert_eq!(timers(&table), 0);
    }
}

#[test]
fn a_second_timeout_covers_what_is_added_between() {
    let table = Table::new();
    let (resolver, deferred) = Deferred::<()>::pair();
    let (inner, returned) = Deferred::<()>::pair();
    let between = timed(&table, deferred).add_callback(move |()| returned);
    let end = Watch::new(between.add_timeout(table.reactor(), 5 * SECOND));
    resolver.resolve(());
    assert_eq!(timers(&table), 1);
    table.advance(5 * SECOND);
    end.check("a Deferred timed out after 5s");
    assert!(inner.is_cancelled());
}

#[test]
fn on_timeout_gets_what_came_of_the_cancel_and_the_time() {
    let table = Table::new();
    let seen = Rc::new(RefCell::new(None));
    let place = Rc::clone(&seen);
    let (_resolver, deferred) = Deferred::<u32>::pair();
    let on_timeout = move |result: Result<u32>, after| {
        place.replace(Some((result.unwrap_err().to_string(), after)));
        Ok(11)
    };
    let end = deferred.add_timeout_with(table.reactor(), 3 * SECOND, on_timeout);
    let end = Watch::new(end);
    table.advance(3 * SECOND);
    end.check("11");
    assert_eq!(*seen.borrow(), Some(("cancelled".to_owned(), 3 * SECOND)));
}

#[test]
fn on_timeout_gets_a_value_that_the_canceller_fired() {
    let table = Table::new();
    let place: Rc<Cell<Option<Resolver<u32>>>> = Rc::default();
    let own = Rc::clone(&place);
    let (resolver, deferred) = Deferred::with_canceller(move || {
        let resolver = own.take().expect("it is asked once");
        resolver.resolve(1);
    });
    place.set(Some(resolver));
    let add = |result: Result<u32>, _| result.map(|value| value + 1);
    let end = Watch::new(deferred.add_timeout_with(table.reactor(), SECOND, add));
    table.advance(SECOND);
    end.check("2");
}

#[test]
fn on_timeout_may_return_a_deferred_and_may_panic() {
    let table = Table::new();
    let (_a, deferred) = Deferred::<()>::pair();
    let reactor = table.reactor().clone();
    let later = move |_, after| reactor.after(after);
    let waits = Watch::new(deferred.add_timeout_with(table.reactor(), SECOND, later));
    let (_b, deferred) = Deferred::<()>::pair();
    let oh = |_, _| -> Result { panic!("oh") };
    let panics = Watch::new(deferred.add_timeout_with(table.reactor(), SECOND, oh));
    table.advance(SECOND);
    waits.check_waiting();
    panics.check("a callback panicked: oh");
    table.advance(SECOND);
    waits.check("()");
}

#[test]
fn on_timeout_is_not_called_when_the_time_has_not_come() {
    let table = Table::new();
    for result in [Ok(()), Err(Failure::msg("bad")), Err(Cancelled.into())] {
        let (resolver, deferred) = Deferred::<()>::pair();
        let never = |_, _| -> Result { unreachable!("no timeout") };
        let end = deferred.add_timeout_with(table.reactor(), SECOND, never);
        let text = match &result {
            Ok(()) => "()".to_owned(),
            Err(failure) => failure.to_string(),
        };
        resolver.fire(result);
        Watch::new(end).check(&text);
    }
    table.advance(SECOND);
}

#[test]
fn a_timeout_of_zero_comes_in_the_next_turn() {
    let table = Table::new();
    let (_resolver, deferred) = Deferred::<()>::pair();
    let end = Watch::new(deferred.add_timeout(table.reactor(), Duration::ZERO));
    end.check_waiting();
    turn(table.reactor(), 1);
    end.check("a Deferred timed out after 0ns");
}

#[test]
fn dropping_the_tail_detaches_and_the_timeout_still_covers_it() {
    let table = Table::new();
    let (resolver, deferred) = Deferred::<()>::pair();
    drop(timed(&table, deferred));
    let lines = logged(|| table.advance(3 * SECOND));
    assert!(resolver.is_cancelled());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(TIMED_OUT), "{lines:?}");
}

#[test]
fn an_awaited_deferred_times_out() {
    let table = Table::new();
    let (_resolver, deferred) = Deferred::<()>::pair();
    let deferred = timed(&table, deferred);
    let end = Watch::new(table.reactor().spawn(deferred));
    table.advance(3 * SECOND);
    end.check(TIMED_OUT);
}

/// To drop a Deferred that was polled cancels it; to give it a timeout is not to drop it.
#[test]
fn a_deferred_that_was_polled_can_be_given_a_timeout() {
    let table = Table::new();
    let (resolver, mut deferred) = Deferred::<u32>::pair();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut deferred).poll(&mut context).is_pending());
    let end = Watch::new(timed(&table, deferred));
    assert!(!resolver.is_cancelled());
    resolver.resolve(1);
    end.check("1");
    assert_eq!(timers(&table), 0);
}

#[test]
fn without_its_reactor_no_timeout_comes_and_nothing_is_kept() {
    let table = Table::new();
    let (resolver, deferred) = Deferred::<u32>::pair();
    let held = Rc::new(());
    let in_chain = Rc::clone(&held);
    let chain = deferred.map(move |value| (value, in_chain).0);
    let end = Watch::new(timed(&table, chain));
    drop(table);
    end.check_waiting();
    assert!(!resolver.is_cancelled());
    resolver.resolve(1);
    end.check("1");
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn nothing_is_kept_after_any_end() {
    for ending in ["result", "timeout", "cancel", "abandoned"] {
        let table = Table::new();
        let held = Rc::new(());
        let [before, in_timeout, after] = [(); 3].map(|()| Rc::clone(&held));
        let (resolver, deferred) = Deferred::<()>::pair();
        let chain = deferred.map(move |()| drop(before));
        let chain = chain.add_timeout_with(table.reactor(), SECOND, move |result, _| {
            drop(in_timeout);
            result
        });
        let end = chain.add_both(move |_| drop(after));
        match ending {
            "result" => resolver.resolve(()),
            "timeout" => table.advance(SECOND),
            "cancel" => end.cancel(),
            _ => drop(resolver),
        }
        drop(end);
        assert_eq!(Rc::strong_count(&held), 1, "{ending}");
        assert_eq!(timers(&table), 0, "{ending}");
    }
}
