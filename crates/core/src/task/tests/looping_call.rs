//! `LoopingCall`: when it calls, what it skips and counts, and every way to stop it. The cases are those of Twisted's
//! `LoopTests`, and what can go wrong besides.

use super::*;
use crate::{
    LoopingCall,
    error::{AlreadyLooping, NotLooping, ReactorGone},
    testing::logged,
};

/// A loop that notes when it was called, in milliseconds, and with which count.
struct Noting {
    table: Table,
    looping: LoopingCall,
    calls: Rc<RefCell<Vec<(u64, u64)>>>,
    /// How long the calls take.
    takes: Rc<Cell<Duration>>,
    /// What the next call waits for.
    waits: Rc<Cell<Option<Deferred<()>>>>,
}

impl Noting {
    fn new() -> Self {
        let table = Table::new();
        let calls: Rc<RefCell<Vec<(u64, u64)>>> = Rc::default();
        let takes = Rc::new(Cell::new(Duration::ZERO));
        let waits: Rc<Cell<Option<Deferred<()>>>> = Rc::default();
        let (notes, took, returned) = (Rc::clone(&calls), Rc::clone(&takes), Rc::clone(&waits));
        let (clock, weak) = (table.clock(), Rc::downgrade(&table.reactor().0));
        let looping = LoopingCall::with_count(table.reactor(), move |_, count| {
            let reactor = Reactor(weak.upgrade().expect("it calls"));
            notes
                .borrow_mut()
                .push((reactor.now().0 / 1_000_000, count));
            clock.advance(took.get());
            returned.take().unwrap_or_else(|| Deferred::succeed(()))
        });
        Self {
            table,
            looping,
            calls,
            takes,
            waits,
        }
    }

    /// The next call waits until this is fired.
    fn wait(&self) -> Resolver<()> {
        let (resolver, deferred) = Deferred::pair();
        self.waits.set(Some(deferred));
        resolver
    }

    /// Lets time pass at once, as when something else holds the loop.
    fn pass(&self, millis: u64) {
        self.table.clock().advance(super::millis(millis));
        self.table.settle();
    }

    /// Takes the calls made so far: when, and how many they count for.
    #[track_caller]
    fn check(&self, expected: &[(u64, u64)]) {
        assert_eq!(self.calls.take(), expected);
    }

    #[track_caller]
    fn check_timers(&self, expected: usize) {
        assert_eq!(self.table.reactor().statistics().timers, expected);
    }
}

#[test]
fn start_calls_now_and_then_after_each_interval() {
    let noting = Noting::new();
    let ended = Watch::new(noting.looping.start(millis(100)));
    noting.check(&[(0, 1)]);
    noting.table.advance(millis(250));
    noting.check(&[(100, 1), (200, 1)]);
    assert!(noting.looping.is_running());
    ended.check_waiting();
}

#[test]
fn start_later_calls_first_after_one_interval() {
    let noting = Noting::new();
    let ended = Watch::new(noting.looping.start_later(millis(100)));
    noting.check(&[]);
    noting.table.advance(millis(250));
    noting.check(&[(100, 1), (200, 1)]);
    ended.check_waiting();
}

#[test]
fn stop_fires_its_deferred_and_plans_nothing_more() {
    let noting = Noting::new();
    let ended = Watch::new(noting.looping.start(millis(100)));
    noting.table.advance(millis(150));
    noting.check(&[(0, 1), (100, 1)]);
    assert_eq!(noting.looping.stop(), Ok(()));
    ended.check("()");
    assert!(!noting.looping.is_running());
    noting.check_timers(0);
    noting.table.advance(SECOND);
    noting.check(&[]);
}

#[test]
fn stop_before_the_first_call() {
    for interval in [Duration::ZERO, 10 * SECOND] {
        let noting = Noting::new();
        let ended = Watch::new(noting.looping.start_later(interval));
        assert_eq!(noting.looping.stop(), Ok(()));
        ended.check("()");
        noting.check_timers(0);
        noting.table.advance(20 * SECOND);
        noting.check(&[]);
    }
}

#[test]
fn stop_and_reset_need_a_loop_that_runs() {
    let noting = Noting::new();
    let looping = &noting.looping;
    let check = || {
        assert_eq!(looping.stop(), Err(NotLooping));
        assert_eq!(looping.reset(), Err(NotLooping));
        assert!(!looping.is_running());
    };
    check();
    let resolver = noting.wait();
    let ended = Watch::new(looping.start(SECOND));
    assert_eq!(looping.stop(), Ok(()));
    check();
    resolver.resolve(());
    ended.check("()");
    check();
}

/// Twisted's `test_callbackTimeSkips`: a point that is now when a call ends is past.
#[test]
fn a_slow_call_skips_and_the_next_is_on_the_grid() {
    let noting = Noting::new();
    noting.takes.set(2 * SECOND);
    noting.looping.start(millis(500)).detach();
    noting.table.settle();
    noting.check(&[(0, 1)]);
    noting.takes.set(SECOND);
    noting.pass(500);
    noting.check(&[(2500, 5)]);
    noting.takes.set(Duration::ZERO);
    noting.pass(500);
    noting.check(&[(4000, 3)]);
    noting.pass(500);
    noting.check(&[(4500, 1)]);
}

/// Twisted's `test_reactorTimeSkips`.
#[test]
fn a_late_loop_calls_once_and_never_in_bursts() {
    let noting = Noting::new();
    noting.looping.start(millis(500)).detach();
    noting.check(&[(0, 1)]);
    noting.pass(2000);
    noting.check(&[(2000, 4)]);
    noting.pass(1000);
    noting.check(&[(3000, 2)]);
    noting.pass(0);
    noting.check(&[]);
}

/// Twisted's `test_reactorTimeCountSkips`.
#[test]
fn the_count_is_how_many_calls_should_have_been_made() {
    let noting = Noting::new();
    noting.looping.start(millis(500)).detach();
    noting.check(&[(0, 1)]);
    noting.pass(510);
    noting.check(&[(510, 1)]);
    noting.pass(1510);
    noting.check(&[(2020, 3)]);
    noting.pass(0);
    noting.check(&[]);
}

/// Twisted's `test_countLengthyIntervalCounts`: called at T, 2.75 T and 3 T, nothing was skipped.
#[test]
fn lateness_of_less_than_an_interval_is_no_skip() {
    let noting = Noting::new();
    noting.looping.start(millis(400)).detach();
    noting.check(&[(0, 1)]);
    noting.pass(410);
    noting.check(&[(410, 1)]);
    noting.pass(700);
    noting.check(&[(1110, 1)]);
    noting.pass(100);
    noting.check(&[(1210, 1)]);
}

#[test]
fn the_counts_add_up_to_the_intervals_that_have_passed() {
    for (at_once, calls) in [(true, 11), (false, 10)] {
        let noting = Noting::new();
        let interval = Duration::from_nanos(100_000_001);
        let ended = if at_once {
            noting.looping.start(interval)
        } else {
            noting.looping.start_later(interval)
        };
        ended.detach();
        for pass in [1, 300, 99, 600, 1] {
            noting.pass(pass);
        }
        let counts = noting.calls.borrow();
        let sum: u64 = counts.iter().map(|(_, count)| count).sum();
        assert_eq!(sum, calls, "{counts:?}");
    }
}

#[test]
fn an_interval_of_zero_calls_each_turn_and_counts_one() {
    let noting = Noting::new();
    let ended = Watch::new(noting.looping.start(Duration::ZERO));
    noting.check(&[(0, 1)]);
    turn(noting.table.reactor(), 3);
    noting.check(&[(0, 1); 3]);
    noting.table.clock().advance(SECOND);
    turn(noting.table.reactor(), 2);
    noting.check(&[(1000, 1); 2]);
    assert_eq!(noting.looping.reset(), Ok(()));
    turn(noting.table.reactor(), 1);
    noting.check(&[(1000, 1)]);
    let resolver = noting.wait();
    turn(noting.table.reactor(), 3);
    noting.check(&[(1000, 1)]);
    resolver.resolve(());
    turn(noting.table.reactor(), 1);
    noting.check(&[(1000, 1)]);
    noting.looping.stop().expect("it runs");
    ended.check("()");
    noting.check_timers(0);
}

#[test]
fn the_next_call_is_planned_when_the_returned_deferred_has_fired() {
    let noting = Noting::new();
    let resolver = noting.wait();
    noting.looping.start(millis(200)).detach();
    noting.check(&[(0, 1)]);
    noting.check_timers(0);
    noting.pass(700);
    noting.check(&[]);
    resolver.resolve(());
    noting.check_timers(1);
    noting.table.advance(millis(300));
    noting.check(&[(800, 4), (1000, 1)]);
}

#[test]
fn a_failed_call_fails_the_deferred_and_stops_the_loop() {
    let calls: [(fn() -> Result, _); 2] = [
        (|| Err(Failure::msg("no")), "no"),
        (|| panic!("oh"), "a callback panicked: oh"),
    ];
    for (call, text) in calls {
        let table = Table::new();
        let looping = LoopingCall::new(table.reactor(), move |_| call());
        let ended = Watch::new(looping.start_later(SECOND));
        table.advance(SECOND);
        ended.check(text);
        assert!(!looping.is_running());
        let statistics = table.reactor().statistics();
        assert_eq!((statistics.timers, statistics.failures), (0, 0));
        // What panicked is called again all the same.
        Watch::new(looping.start(SECOND)).check(text);
    }
}

#[test]
fn a_returned_deferred_that_fails_fails_the_deferred_and_stops_the_loop() {
    let noting = Noting::new();
    let resolver = noting.wait();
    let ended = Watch::new(noting.looping.start(SECOND));
    resolver.fail(Failure::msg("late"));
    ended.check("late");
    assert!(!noting.looping.is_running());
    let resolver = noting.wait();
    let ended = Watch::new(noting.looping.start(SECOND));
    drop(resolver);
    ended.check("abandoned: its resolver was dropped without being fired");
    noting.check_timers(0);
}

#[test]
fn a_failure_that_nobody_waits_for_is_logged() {
    let table = Table::new();
    let looping = LoopingCall::new(table.reactor(), |_| Err::<(), _>(Failure::msg("lost")));
    let lines = logged(|| looping.start(SECOND).detach());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("lost"), "{lines:?}");
}

#[test]
fn stop_inside_the_call_fires_when_the_call_is_over() {
    let table = Table::new();
    let seen = Rc::new(RefCell::new(None));
    let place = Rc::clone(&seen);
    let looping = LoopingCall::new(table.reactor(), move |own| {
        place.replace(Some((own.stop(), own.is_running(), own.stop())));
    });
    let ended = Watch::new(looping.start(SECOND));
    ended.check("()");
    assert_eq!(*seen.borrow(), Some((Ok(()), false, Err(NotLooping))));
    assert_eq!(table.reactor().statistics().timers, 0);
}

#[test]
fn a_call_that_stops_and_then_fails_fails_the_deferred() {
    let table = Table::new();
    let looping = LoopingCall::new(table.reactor(), |own| {
        own.stop()?;
        Err::<(), _>(Failure::msg("after the stop"))
    });
    Watch::new(looping.start(SECOND)).check("after the stop");
}

#[test]
fn stop_while_a_deferred_is_waited_for_fires_when_that_does() {
    for (result, text) in [(Ok(()), "()"), (Err(Failure::msg("late")), "late")] {
        let noting = Noting::new();
        let resolver = noting.wait();
        let ended = Watch::new(noting.looping.start(SECOND));
        assert_eq!(noting.looping.stop(), Ok(()));
        assert!(!noting.looping.is_running());
        noting.table.advance(5 * SECOND);
        ended.check_waiting();
        assert!(!resolver.is_cancelled());
        resolver.fire(result);
        ended.check(text);
        noting.check_timers(0);
    }
}

#[test]
fn starting_twice_is_an_error_and_changes_nothing() {
    let noting = Noting::new();
    let ended = Watch::new(noting.looping.start(millis(100)));
    let text = AlreadyLooping.to_string();
    Watch::new(noting.looping.start(millis(30))).check(&text);
    Watch::new(noting.looping.start_later(millis(30))).check(&text);
    noting.table.advance(millis(250));
    noting.check(&[(0, 1), (100, 1), (200, 1)]);
    let resolver = noting.wait();
    noting.table.advance(millis(100));
    Watch::new(noting.looping.start(millis(30))).check(&text);
    noting.looping.stop().expect("it runs");
    // The last call is not over.
    Watch::new(noting.looping.start(millis(30))).check(&text);
    resolver.resolve(());
    ended.check("()");
}

#[test]
fn starting_again_after_a_stop_works() {
    let noting = Noting::new();
    noting.looping.start(millis(100)).detach();
    noting.table.advance(millis(150));
    noting.looping.stop().expect("it runs");
    noting.check(&[(0, 1), (100, 1)]);
    let ended = Watch::new(noting.looping.start_later(millis(200)));
    noting.table.advance(millis(400));
    noting.check(&[(350, 1), (550, 1)]);
    noting.looping.stop().expect("it runs");
    ended.check("()");
}

#[test]
fn starting_again_from_the_end_of_the_last_run_works() {
    let noting = Noting::new();
    let again = noting.looping.clone();
    let chain = noting.looping.start(SECOND);
    let chain = chain.add_callback(move |()| again.start(SECOND));
    let ended = Watch::new(chain);
    noting.table.advance(SECOND);
    noting.looping.stop().expect("it runs");
    noting.check(&[(0, 1), (1000, 1), (1000, 1)]);
    ended.check_waiting();
    noting.looping.stop().expect("it runs again");
    ended.check("()");
}

#[test]
fn reset_skips_the_next_call_and_starts_the_grid_from_now() {
    let noting = Noting::new();
    noting.looping.start_later(millis(2000)).detach();
    noting.table.advance(millis(1000));
    assert_eq!(noting.looping.reset(), Ok(()));
    noting.check_timers(1);
    noting.table.advance(millis(1999));
    noting.check(&[]);
    noting.table.advance(millis(2001));
    noting.check(&[(3000, 1), (5000, 1)]);
}

#[test]
fn reset_inside_a_call_or_while_it_waits_starts_the_grid_from_now() {
    let table = Table::new();
    let times = Rc::new(RefCell::new(Vec::new()));
    let (notes, clock) = (Rc::clone(&times), table.clock());
    let looping = LoopingCall::with_count(table.reactor(), move |own, count| {
        notes.borrow_mut().push(count);
        clock.advance(millis(300));
        own.reset()?;
        clock.advance(millis(50));
        Ok(())
    });
    looping.start(millis(1000)).detach();
    assert_eq!(table.reactor().next_deadline(), Some(millis(950)));
    table.advance(millis(950));
    assert_eq!(table.reactor().next_deadline(), Some(millis(950)));
    assert_eq!(times.take(), [1, 1]);

    let noting = Noting::new();
    let resolver = noting.wait();
    noting.looping.start(millis(1000)).detach();
    noting.pass(2700);
    assert_eq!(noting.looping.reset(), Ok(()));
    noting.pass(100);
    resolver.resolve(());
    noting.table.advance(millis(1000));
    noting.check(&[(0, 1), (3700, 1)]);
}

/// What was missed before a reset is not counted after it.
#[test]
fn reset_forgets_what_was_missed() {
    let noting = Noting::new();
    noting.looping.start_later(millis(100)).detach();
    noting.table.clock().advance(millis(950));
    assert_eq!(noting.looping.reset(), Ok(()));
    noting.table.advance(millis(200));
    noting.check(&[(1050, 1), (1150, 1)]);
}

#[test]
fn cancelling_its_deferred_stops_the_loop() {
    let noting = Noting::new();
    let ended = noting.looping.start(SECOND);
    noting.table.advance(SECOND);
    ended.cancel();
    assert!(!noting.looping.is_running());
    noting.check_timers(0);
    Watch::new(ended).check("cancelled");
    noting.check(&[(0, 1), (1000, 1)]);
    noting.looping.start(SECOND).detach();
    noting.check(&[(1000, 1)]);
}

#[test]
fn cancelling_its_deferred_cancels_what_the_call_waits_for() {
    let noting = Noting::new();
    for stopped_first in [false, true] {
        let resolver = noting.wait();
        let ended = noting.looping.start(SECOND);
        if stopped_first {
            noting.looping.stop().expect("it runs");
        }
        ended.cancel();
        assert!(resolver.is_cancelled());
        Watch::new(ended).check("cancelled");
        assert!(!noting.looping.is_running());
    }
    noting.check_timers(0);
    Watch::new(noting.looping.start(SECOND)).check_waiting();
}

/// What the call waits for may take its time with the cancel. The loop stays stopping until then.
#[test]
fn a_cancelled_loop_can_be_started_when_its_last_call_is_over() {
    let noting = Noting::new();
    let (resolver, cleaning) = Deferred::<()>::pair();
    let (_kept, waits) = Deferred::<()>::pair();
    let waits = waits.add_errback(move |_| cleaning);
    noting.waits.set(Some(waits));
    let ended = noting.looping.start(SECOND);
    ended.cancel();
    Watch::new(ended).check("cancelled");
    assert!(!noting.looping.is_running());
    Watch::new(noting.looping.start(SECOND)).check(&AlreadyLooping.to_string());
    resolver.resolve(());
    noting.check_timers(0);
    Watch::new(noting.looping.start(SECOND)).check_waiting();
}

#[test]
fn cancelling_its_deferred_inside_the_call_cancels_what_that_returns() {
    let table = Table::new();
    let ended: Rc<RefCell<Option<Deferred<()>>>> = Rc::default();
    let (inside, reactor) = (Rc::clone(&ended), table.reactor().clone());
    let looping = LoopingCall::new(table.reactor(), move |_| {
        if let Some(ended) = &*inside.borrow() {
            ended.cancel();
        }
        reactor.after(SECOND)
    });
    ended.replace(Some(looping.start_later(SECOND)));
    table.advance(SECOND);
    assert!(!looping.is_running());
    assert_eq!(table.reactor().statistics().timers, 0);
    Watch::new(ended.take().expect("it was put there")).check("cancelled");
}

#[test]
fn a_timeout_on_its_deferred_stops_the_loop() {
    let noting = Noting::new();
    let ended = noting.looping.start(millis(400));
    let ended = Watch::new(ended.add_timeout(noting.table.reactor(), SECOND));
    noting.table.advance(2 * SECOND);
    noting.check(&[(0, 1), (400, 1), (800, 1)]);
    ended.check("a Deferred timed out after 1s");
    noting.check_timers(0);
}

#[test]
fn dropping_the_handle_changes_nothing() {
    let Noting {
        table,
        looping,
        calls,
        ..
    } = Noting::new();
    let ended = Watch::new(looping.start(SECOND));
    drop(looping);
    table.advance(3 * SECOND);
    assert_eq!(calls.borrow().len(), 4);
    ended.check_waiting();
}

#[test]
fn when_the_reactor_is_dropped_the_loop_has_stopped() {
    let Noting { table, looping, .. } = Noting::new();
    let ended = Watch::new(looping.start(SECOND));
    drop(table);
    ended.check("()");
    assert!(!looping.is_running());
    assert_eq!(looping.reset(), Err(NotLooping));
    Watch::new(looping.start(SECOND)).check(&ReactorGone.to_string());
}

#[test]
fn when_the_reactor_is_dropped_during_a_call_the_loop_stops_after_it() {
    let noting = Noting::new();
    let resolver = noting.wait();
    let Noting { table, looping, .. } = noting;
    let ended = Watch::new(looping.start(SECOND));
    drop(table);
    ended.check_waiting();
    resolver.resolve(());
    ended.check("()");
    assert!(!looping.is_running());
}

#[test]
fn dropping_the_reactor_of_a_detached_loop_says_nothing() {
    let lines = logged(|| {
        let table = Table::new();
        let looping = LoopingCall::new(table.reactor(), |_| ());
        looping.start(SECOND).detach();
    });
    assert_eq!(lines, [""; 0]);
}

#[test]
fn nothing_is_kept_after_any_end() {
    for ending in ["stop", "fail", "panic", "cancel", "reactor", "waiting"] {
        let held = Rc::new(());
        let table = Table::new();
        let (own, way) = (Rc::clone(&held), Rc::new(Cell::new("")));
        let inside = Rc::clone(&way);
        let looping = LoopingCall::new(table.reactor(), move |_| match inside.get() {
            "fail" => Deferred::fail(Failure::msg("no")),
            "panic" => panic!("oh"),
            "waiting" => Deferred::pair().1,
            _ => {
                let _held = &own;
                Deferred::succeed(())
            }
        });
        let ended = looping.start(SECOND);
        way.set(ending);
        match ending {
            "stop" => looping.stop().expect("it runs"),
            "cancel" => ended.cancel(),
            "reactor" => {}
            _ => table.advance(SECOND),
        }
        drop(looping);
        drop(table);
        Watch::new(ended);
        assert_eq!(Rc::strong_count(&held), 1, "{ending}");
    }
}

#[test]
fn the_grid_is_exact_after_a_million_calls() {
    let table = Table::new();
    let calls = Rc::new(Cell::new(0_u64));
    let count = Rc::clone(&calls);
    let looping = LoopingCall::new(table.reactor(), move |_| count.update(|count| count + 1));
    let interval = Duration::from_nanos(100_000_003);
    looping.start_later(interval).detach();
    let (reactor, clock) = (table.reactor(), table.clock());
    let late = |call: u64| call * 97 % 100_000_000;
    for call in 0..1_000_000 {
        // Always late by something else, never by an interval.
        clock.advance_to(crate::Time((call + 1) * 100_000_003 + late(call)));
        turn(reactor, 1);
    }
    assert_eq!(calls.get(), 1_000_000);
    let into = Duration::from_nanos(late(999_999));
    assert_eq!(reactor.next_deadline(), Some(interval - into));
}

#[test]
fn an_interval_of_centuries_neither_overflows_nor_comes() {
    for interval in [Duration::MAX, Duration::from_secs(u64::MAX / 1_000_000_000)] {
        let noting = Noting::new();
        noting.table.clock().advance(SECOND);
        noting.looping.start(interval).detach();
        noting.table.advance(Duration::from_secs(3_000_000_000));
        assert_eq!(noting.looping.reset(), Ok(()));
        noting.table.settle();
        noting.check(&[(1000, 1)]);
        noting.looping.stop().expect("it runs");
    }
}

#[test]
fn it_says_how_it_stands() {
    let noting = Noting::new();
    let check = |text| assert_eq!(format!("{:?}", noting.looping), text);
    check("LoopingCall(stopped)");
    let resolver = noting.wait();
    noting.looping.start(SECOND).detach();
    check("LoopingCall(calling)");
    resolver.resolve(());
    check("LoopingCall(waiting for its time)");
    let _resolver = noting.wait();
    noting.table.advance(SECOND);
    noting.looping.stop().expect("it runs");
    check("LoopingCall(stopping)");
}
