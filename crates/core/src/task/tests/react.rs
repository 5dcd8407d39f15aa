//! `react` and `run_until`: what comes out of a program, and how the reactor is left. The cases are those of Twisted's
//! `ReactTests`. Nothing here waits: the loop always has something to do.

use super::*;
use crate::{
    EventType, Phase,
    error::{AlreadyRunning, Exit},
    testing::logged,
};

/// Runs a main function on a reactor of its own; its result, and what is logged.
fn run<F>(main: impl FnOnce(Reactor) -> F + 'static) -> (Result, Vec<String>)
where
    F: Future<Output = Result> + 'static,
{
    let table = Table::new();
    let mut result = Ok(());
    let lines = logged(|| result = table.reactor().react(main));
    assert!(!table.reactor().is_running());
    (result, lines)
}

/// A main function that ends with this text, or well, and logs so.
#[track_caller]
fn check<F>(main: impl FnOnce(Reactor) -> F + 'static, expected: Result<(), &str>)
where
    F: Future<Output = Result> + 'static,
{
    let (result, lines) = run(main);
    match expected {
        Ok(()) => {
            assert!(result.is_ok(), "{result:?}");
            assert_eq!(lines, [""; 0]);
        }
        Err(text) => {
            assert_eq!(result.expect_err("it fails").to_string(), text);
            assert_eq!(lines.len(), 1, "{lines:?}");
            let start = format!("ERROR main function encountered error: {text}");
            assert!(lines[0].starts_with(&start), "{lines:?}");
        }
    }
}

fn no() -> Failure {
    Failure::msg("no luck")
}

#[test]
fn react_runs_until_main_is_done() {
    check(|reactor| reactor.after(Duration::ZERO), Ok(()));
    check(|_| Deferred::succeed(()), Ok(()));
    check(|_| async { Ok(()) }, Ok(()));
    let later = |reactor: Reactor| async move { reactor.after(Duration::ZERO).await };
    check(later, Ok(()));
}

#[test]
fn react_logs_the_failure_of_main() {
    check(|_| Deferred::fail(no()), Err("no luck"));
    let later = |reactor: Reactor| {
        let later = reactor.after(Duration::ZERO);
        later.add_callback(|()| Err::<(), _>(no()))
    };
    check(later, Err("no luck"));
    check(|_| async { Err(no()) }, Err("no luck"));
    let later = |reactor: Reactor| async move {
        reactor.after(Duration::ZERO).await?;
        Err(no())
    };
    check(later, Err("no luck"));
}

#[test]
fn react_does_not_log_an_exit() {
    for code in [0, 23] {
        let (result, lines) = run(move |_| Deferred::fail(Exit(code)));
        let failure = result.expect_err("it is a failure all the same");
        assert_eq!(failure.check(), Some(&Exit(code)));
        assert_eq!(failure.to_string(), format!("exit with code {code}"));
        assert_eq!(lines, [""; 0]);
    }
}

#[test]
fn main_may_end_while_the_reactor_stops() {
    for result in [Ok(()), Err("no luck")] {
        let main = move |reactor: Reactor| {
            let (resolver, end) = Deferred::pair();
            let stopping = reactor.clone();
            reactor.call_later(Duration::ZERO, move || stopping.stop());
            let fire = move || resolver.fire(result.map_err(Failure::msg));
            reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, fire);
            end
        };
        check(main, result);
    }
}

#[test]
fn main_may_panic() {
    let text = "a callback panicked: oh";
    check(|_| async { panic!("oh") }, Err(text));
    // And at the very end of a shutdown.
    let main = |reactor: Reactor| {
        let (resolver, end) = Deferred::<()>::pair();
        let stopping = reactor.clone();
        reactor.call_later(Duration::ZERO, move || stopping.stop());
        let fire = move || resolver.resolve(());
        reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, fire);
        async move {
            end.await?;
            panic!("oh")
        }
    };
    check(main, Err(text));
}

#[test]
fn main_may_stop_the_reactor_and_then_end() {
    let main = |reactor: Reactor| async move {
        reactor.after(Duration::ZERO).await?;
        reactor.stop()
    };
    check(main, Ok(()));
}

/// A main function that is stopped before it is done; `end` is what it makes of the cancel.
fn stopped(
    end: impl FnOnce(Deferred<()>) -> Deferred<()> + 'static,
) -> (impl FnOnce(Reactor) -> Deferred<()>, Rc<Cell<bool>>) {
    let cancelled = Rc::new(Cell::new(false));
    let (kept, seen) = (Rc::new(Cell::new(None)), Rc::clone(&cancelled));
    let main = move |reactor: Reactor| {
        let own = reactor.clone();
        reactor.call_later(Duration::ZERO, move || own.stop());
        let place = Rc::clone(&kept);
        let (resolver, waits) = Deferred::with_canceller(move || {
            seen.set(true);
            drop(place.take());
        });
        kept.set(Some(resolver));
        end(waits)
    };
    (main, cancelled)
}

/// As Twisted has it: whoever stops the reactor gets what they asked for. Here main is cancelled, too.
#[test]
fn to_be_stopped_before_the_end_is_no_failure() {
    let (main, cancelled) = stopped(|waits| waits);
    let (result, lines) = run(main);
    assert!(result.is_ok(), "{result:?}");
    let said = lines.iter().any(|line| line.contains("main function"));
    assert!(!said, "{lines:?}");
    assert!(cancelled.get());
}

/// When main is cancelled, nobody waits for it any more.
#[test]
fn what_main_makes_of_being_stopped_is_logged_and_changes_nothing() {
    let (main, _) = stopped(|waits| waits.add_errback(|_| Err(no())));
    let (result, lines) = run(main);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("ERROR unhandled failure in a Deferred created at"));
    assert!(lines[0].contains(": no luck (at "), "{lines:?}");
}

#[test]
fn a_main_that_fails_as_cancelled_by_itself_fails() {
    check(|_| Deferred::fail(Cancelled), Err("cancelled"));
}

#[test]
fn a_reactor_that_runs_refuses_and_goes_on() {
    let main = |outer: Reactor| async move {
        outer.after(Duration::ZERO).await?;
        let inner = outer.run_until(Deferred::succeed(()));
        let failure = inner.expect_err("it runs");
        assert!(failure.check::<AlreadyRunning>().is_some());
        for _ in 0..3 {
            outer.after(Duration::ZERO).await?;
        }
        Err(Failure::msg("the end"))
    };
    check(main, Err("the end"));
}

#[test]
fn run_until_leaves_a_reactor_that_can_run_again() {
    let table = Table::new();
    let reactor = table.reactor();
    let never = || {
        let own = reactor.clone();
        reactor.call_later(Duration::ZERO, move || own.stop());
        Deferred::<()>::pair()
    };
    for _ in 0..2 {
        let (resolver, end) = never();
        let failure = reactor.run_until(end).expect_err("it is cancelled");
        assert!(failure.check::<Cancelled>().is_some());
        assert!(resolver.is_cancelled());
        let own = reactor.clone();
        let some_turns = async move {
            for _ in 0..3 {
                own.after(Duration::ZERO).await?;
            }
            Ok(7)
        };
        assert_eq!(reactor.run_until(some_turns).expect("nobody stops it"), 7);
    }
}
