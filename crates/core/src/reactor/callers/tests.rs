//! What callers leave behind, and what happens to those that nobody hears. The behaviour suite has the rest.

use super::*;
use crate::testing::{ManualClock, memory::MemoryDriver};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::JoinHandle,
    time::Duration,
};

fn reactor() -> Reactor {
    Reactor::with(MemoryDriver::new(&ManualClock::new()))
}

fn turn(reactor: &Reactor) {
    reactor
        .turn(Some(Duration::ZERO))
        .expect("the driver works");
}

fn waiting(reactor: &Reactor) -> usize {
    lock(&reactor.0.callers.desk).waiting.len()
}

/// A thread that makes this call, which waits in the mailbox when this returns.
fn calling<T: Send + 'static>(
    reactor: &Reactor,
    function: impl FnOnce(&Reactor) -> crate::Result<T> + Send + 'static,
) -> JoinHandle<Result<T, ThreadFailure>> {
    let remote = reactor.remote();
    #[expect(clippy::disallowed_methods, reason = "a call from another thread")]
    let thread = thread::spawn(move || remote.blocking_call_from_thread(function));
    while waiting(reactor) == 0 || !reactor.has_backlog() {
        thread::yield_now();
    }
    thread
}

#[test]
fn nothing_is_left_of_a_call_that_was_answered() {
    let reactor = reactor();
    for number in 0..3 {
        let thread = calling(&reactor, move |_| Ok(number));
        turn(&reactor);
        let answer = thread.join().expect("no panic");
        assert_eq!(answer.expect("it works"), number);
        assert_eq!(waiting(&reactor), 0);
    }
}

#[test]
fn nothing_is_left_of_a_call_that_was_refused() {
    let reactor = reactor();
    let mut limits = (*reactor.limits()).clone();
    limits.thread_calls = 0;
    reactor.set_limits(limits);
    let remote = reactor.remote();
    #[expect(clippy::disallowed_methods, reason = "a call from another thread")]
    let thread = thread::spawn(move || remote.blocking_call_from_thread(|_| ()));
    assert!(thread.join().expect("no panic").is_err());
    assert_eq!(waiting(&reactor), 0);
}

#[test]
fn a_call_whose_caller_was_told_of_the_stop_is_never_made() {
    let reactor = reactor();
    let made: Arc<AtomicBool> = Arc::default();
    let set = Arc::clone(&made);
    let thread = calling(&reactor, move |_| {
        set.store(true, Ordering::SeqCst);
        Ok(())
    });
    reactor.0.callers.stopped();
    let answer = thread.join().expect("no panic");
    let failure = answer.expect_err("nobody answered");
    assert!(failure.check::<NotRunning>().is_some(), "{failure}");
    turn(&reactor);
    assert!(!made.load(Ordering::SeqCst), "it was made");
    assert_eq!(Arc::strong_count(&made), 1);
}

#[test]
fn a_call_that_is_dropped_is_answered() {
    let place = Arc::new(Place::<()>::new());
    drop(Duty(Arc::clone(&place)));
    let failure = place.wait().expect_err("nobody answered");
    assert!(failure.check::<Abandoned>().is_some(), "{failure}");
}
