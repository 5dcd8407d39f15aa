//! What Twisted promises of `task.py`, sentence by sentence, on a clock set by hand.

mod cooperator;
mod grid;
mod looping_call;
mod react;
mod timeout;

use crate::{
    Deferred, Failure, Reactor, Resolver, Result, error::Cancelled, testing::memory::Table,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What came of a Deferred: its value or its failure as text, or nothing yet. It is handled with that.
#[derive(Clone, Default)]
struct Watch(Rc<RefCell<Option<String>>>);

impl Watch {
    fn new<T: fmt::Debug + 'static>(deferred: Deferred<T>) -> Self {
        let watch = Self::default();
        let own = watch.clone();
        let seen = move |result: Result<T>| {
            let text = match result {
                Ok(value) => format!("{value:?}"),
                Err(failure) => failure.to_string(),
            };
            assert_eq!(own.0.replace(Some(text)), None, "it fires once");
        };
        deferred.add_both(seen).detach();
        watch
    }

    #[track_caller]
    fn check(&self, expected: &str) {
        assert_eq!(self.0.borrow().as_deref(), Some(expected));
    }

    #[track_caller]
    fn check_waiting(&self) {
        assert_eq!(self.0.borrow().as_deref(), None);
    }
}

/// Turns the loop so often, whatever is due.
fn turn(reactor: &Reactor, times: usize) {
    for _ in 0..times {
        reactor.turn(Some(Duration::ZERO)).expect("it works");
    }
}

#[test]
fn defer_later_calls_the_function_after_the_delay_and_gives_its_result() {
    let table = Table::new();
    let result = Watch::new(table.reactor().defer_later(2 * SECOND, || Ok(7)));
    table.advance(SECOND);
    result.check_waiting();
    table.advance(SECOND);
    result.check("7");
}

#[test]
fn defer_later_fails_with_what_its_function_fails_with() {
    let table = Table::new();
    let no = || Err::<(), _>(Failure::msg("no"));
    let failed = Watch::new(table.reactor().defer_later(SECOND, no));
    let oh = || -> Result { panic!("oh") };
    let panicked = Watch::new(table.reactor().defer_later(SECOND, oh));
    table.advance(SECOND);
    failed.check("no");
    panicked.check("a callback panicked: oh");
    assert_eq!(
        table.reactor().statistics().failures,
        0,
        "it is the caller's"
    );
}

#[test]
fn defer_later_waits_for_what_its_function_returns() {
    let table = Table::new();
    let reactor = table.reactor().clone();
    let result = Watch::new(
        table
            .reactor()
            .defer_later(SECOND, move || reactor.after(SECOND)),
    );
    table.advance(SECOND);
    result.check_waiting();
    table.advance(SECOND);
    result.check("()");
}

#[test]
fn cancelling_defer_later_cancels_the_timed_call() {
    let table = Table::new();
    let held = Rc::new(());
    let in_call = Rc::clone(&held);
    let call = move || -> Result { unreachable!("{in_call:?} is not called") };
    let later = table.reactor().defer_later(SECOND, call);
    later.cancel();
    assert_eq!(table.reactor().statistics().timers, 0);
    Watch::new(later).check("cancelled");
    assert_eq!(Rc::strong_count(&held), 1);
    table.advance(SECOND);
}

#[test]
fn cancelling_defer_later_after_its_call_cancels_what_that_waits_for() {
    let table = Table::new();
    let (resolver, waits) = Deferred::<()>::pair();
    let later = table.reactor().defer_later(SECOND, move || waits);
    table.advance(SECOND);
    later.cancel();
    assert!(resolver.is_cancelled());
    Watch::new(later).check("cancelled");
}
