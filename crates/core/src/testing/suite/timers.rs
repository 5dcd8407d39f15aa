//! Timed calls: order, change, cancel.

use super::{
    World,
    recorder::{Log, watch},
};
use crate::{
    deferred::Deferred,
    error::NotActive,
    failure::{Failure, Result},
    reactor::{DelayedCall, Reactor},
    testing::logged,
};
use std::{cell::RefCell, rc::Rc, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// A timed call that notes its name.
fn noting(reactor: &Reactor, log: &Log, seconds: u32, name: &'static str) -> DelayedCall {
    let log = log.clone();
    reactor.call_later(SECOND * seconds, move || log.note(name))
}

/// Calls come by their time; those of one time in the order in which they were asked for. That is more than Twisted
/// promises: its real reactors take equal ones in any order.
pub fn fifo_among_equals(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    noting(&reactor, &log, 2, "late");
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        noting(&reactor, &log, 1, name);
    }
    world.settle();
    log.check(&[]);
    world.advance(SECOND);
    log.check(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    noting(&reactor, &log, 1, "later");
    world.advance(SECOND);
    assert_eq!(log.events()[8..], ["late", "later"]);
    assert_eq!(reactor.statistics().timers, 0);
}

/// A cancelled call is not made; cancelling it again is an error, and so is moving it.
pub fn cancel_twice(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let call = noting(&reactor, &log, 1, "call");
    assert!(call.is_active());
    assert_eq!(call.time(), Some(reactor.now() + SECOND));
    assert_eq!(call.cancel(), Ok(()));
    assert!(!call.is_active());
    assert_eq!(call.cancel(), Err(NotActive::AlreadyCancelled));
    assert_eq!(call.reset(SECOND), Err(NotActive::AlreadyCancelled));
    assert_eq!(call.delay(SECOND), Err(NotActive::AlreadyCancelled));
    assert_eq!(reactor.statistics().timers, 0);
    world.advance(3 * SECOND);
    log.check(&[]);
}

/// A call that was made cannot be cancelled or moved.
pub fn cancel_after_the_call(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let call = noting(&reactor, &log, 1, "call");
    world.advance(SECOND);
    assert!(!call.is_active());
    assert_eq!(call.cancel(), Err(NotActive::AlreadyCalled));
    assert_eq!(call.reset(SECOND), Err(NotActive::AlreadyCalled));
    assert_eq!(call.delay(SECOND), Err(NotActive::AlreadyCalled));
    world.advance(3 * SECOND);
    log.check(&["call"]);
}

/// A call that is due in the same turn can still be cancelled by one before it.
pub fn cancel_inside_another_call(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let place: Rc<RefCell<Option<DelayedCall>>> = Rc::default();
    let second = Rc::clone(&place);
    let first = log.clone();
    reactor.call_later(SECOND, move || {
        let second = second.take().expect("it was set");
        first.note(format!("{:?}", second.cancel()));
    });
    place.replace(Some(noting(&reactor, &log, 1, "second")));
    noting(&reactor, &log, 1, "third");
    world.advance(SECOND);
    log.check(&["Ok(())", "third"]);
}

/// `reset` counts from now, `delay` from when the call was to be made; both go to the end of those at that time.
pub fn reset_and_delay(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let reset = noting(&reactor, &log, 10, "reset");
    let delayed = noting(&reactor, &log, 4, "delayed");
    let sooner = noting(&reactor, &log, 100, "sooner");
    world.advance(3 * SECOND);
    assert_eq!(reset.reset(5 * SECOND), Ok(()));
    assert_eq!(delayed.delay(4 * SECOND), Ok(()));
    assert_eq!(sooner.reset(SECOND), Ok(()));
    world.advance(SECOND);
    log.check(&["sooner"]);
    world.advance(4 * SECOND - Duration::from_nanos(1));
    log.check(&["sooner"]);
    world.advance(Duration::from_nanos(1));
    log.check(&["sooner", "reset", "delayed"]);
}

/// A call that runs is no longer waiting: it can only be asked for anew.
pub fn reset_inside_its_own_call(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let place: Rc<RefCell<Option<DelayedCall>>> = Rc::default();
    let (own, inside) = (Rc::clone(&place), log.clone());
    let call = reactor.call_later(SECOND, move || {
        let call = own.take().expect("it was set");
        inside.note(format!("{:?}", call.reset(SECOND)));
        inside.note(format!("{:?}", call.cancel()));
    });
    place.replace(Some(call));
    world.advance(5 * SECOND);
    log.check(&["Err(AlreadyCalled)", "Err(AlreadyCalled)"]);
}

/// A call asked for inside a call is made in a later turn, even if it is due at once.
pub fn calls_scheduled_during_a_turn_run_in_the_next(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let turns: Rc<RefCell<Vec<u64>>> = Rc::default();
    fn again(reactor: &Reactor, turns: &Rc<RefCell<Vec<u64>>>) {
        let (reactor, turns) = (reactor.clone(), Rc::clone(turns));
        reactor.clone().call_later(Duration::ZERO, move || {
            turns.borrow_mut().push(reactor.statistics().turns);
            if turns.borrow().len() < 5 {
                again(&reactor, &turns);
            }
        });
    }
    again(&reactor, &turns);
    noting(&reactor, &log, 0, "beside");
    world.until(&mut || turns.borrow().len() == 5);
    log.check(&["beside"]);
    let turns = turns.borrow();
    assert!(turns.windows(2).all(|pair| pair[0] < pair[1]), "{turns:?}");
}

/// A call that fails, now or later, is counted, and the others are made.
pub fn a_failing_call_does_not_stop_the_others(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    reactor.call_later(SECOND, || Err(Failure::msg("no")));
    noting(&reactor, &log, 1, "second");
    reactor.call_later(SECOND, || -> Result { panic!("oh") });
    let (resolver, later) = Deferred::<()>::pair();
    reactor.call_later(SECOND, move || later);
    noting(&reactor, &log, 1, "last");
    world.advance(SECOND);
    log.check(&["second", "last"]);
    assert_eq!(reactor.statistics().failures, 2);
    resolver.fail(Failure::msg("late"));
    assert_eq!(reactor.statistics().failures, 3);
}

/// What a call fails with is logged, once, with where it failed.
pub fn a_failing_call_is_logged(world: &dyn World) {
    let reactor = world.reactor();
    reactor.call_later(SECOND, || Err(Failure::msg("no luck")));
    reactor.call_later(SECOND, || -> Result { panic!("oh") });
    let (resolver, later) = Deferred::<()>::pair();
    reactor.call_later(SECOND, move || later);
    let lines = logged(|| {
        world.advance(SECOND);
        resolver.fail(Failure::msg("late"));
    });
    for what in ["no luck", "a callback panicked: oh", "late"] {
        let start = format!("ERROR a timed call failed: {what} (at ");
        let said = lines.iter().filter(|line| line.starts_with(&start));
        assert_eq!(said.count(), 1, "{what}: {lines:?}");
    }
}

/// A call that is further off than a system call can wait (Twisted caps its sleep at 2147483 s) comes at its time, and
/// the loop rests until then.
pub fn a_call_in_ten_years_neither_overflows_nor_spins(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let ten_years = Duration::from_secs(10 * 365 * 24 * 3600);
    let longest_sleep = Duration::from_secs(2_147_483);
    reactor.call_later(ten_years, {
        let log = log.clone();
        move || log.note("call")
    });
    for pass in [longest_sleep, ten_years - longest_sleep - SECOND] {
        world.advance(pass);
        let before = reactor.statistics().turns;
        world.settle();
        let turns = reactor.statistics().turns - before;
        assert!(turns < 100, "it turned {turns} times with nothing to do");
        log.check(&[]);
    }
    world.advance(SECOND);
    log.check(&["call"]);
}

/// A call in a hundred years is accepted, does not upset the loop (RT-06), and can be moved and cancelled.
pub fn distant_delayed_call(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    let distant = noting(&reactor, &log, 1, "distant");
    assert_eq!(distant.reset(century), Ok(()));
    assert_eq!(distant.delay(century), Ok(()));
    let never = reactor.call_later(Duration::MAX, || ());
    assert_eq!(never.delay(Duration::MAX), Ok(()));
    noting(&reactor, &log, 1, "near");
    world.settle();
    world.advance(SECOND);
    log.check(&["near"]);
    assert!(distant.is_active());
    assert_eq!(distant.cancel(), Ok(()));
    assert_eq!(never.cancel(), Ok(()));
    assert_eq!(reactor.statistics().timers, 0);
}

/// Of a million timed calls 90 % are cancelled (RT-06): what they held is gone at once, and the rest is made.
pub fn a_million_timers_cancelled_leave_nothing(world: &dyn World) {
    const ALL: usize = 1_000_000;
    let reactor = world.reactor();
    let held = Rc::new(());
    let calls: Vec<DelayedCall> = (0..ALL)
        .map(|number| {
            let held = Rc::clone(&held);
            let delay = Duration::from_millis(number as u64 * 7919 % 10_000);
            reactor.call_later(delay, move || drop(held))
        })
        .collect();
    assert_eq!(Rc::strong_count(&held), ALL + 1);
    for (number, call) in calls.iter().enumerate() {
        if number % 10 != 0 {
            assert_eq!(call.cancel(), Ok(()));
        }
    }
    assert_eq!(reactor.statistics().timers, ALL / 10);
    assert_eq!(Rc::strong_count(&held), ALL / 10 + 1);
    world.advance(10 * SECOND);
    assert_eq!(reactor.statistics().timers, 0);
    assert_eq!(Rc::strong_count(&held), 1);
}

/// `after` fires when its time has come; cancelling it cancels the timed call.
pub fn after_fires_and_cancels(world: &dyn World) {
    let reactor = world.reactor();
    let fires = watch(reactor.after(2 * SECOND));
    let cancelled = reactor.after(2 * SECOND);
    let canceller = cancelled.canceller().expect("it waits");
    let cancelled = watch(cancelled);
    world.advance(SECOND);
    canceller.cancel();
    assert_eq!(reactor.statistics().timers, 1);
    fires.check(&[]);
    cancelled.check(&["cancelled"]);
    world.advance(SECOND);
    fires.check(&["ok"]);
    cancelled.check(&["cancelled"]);
}

/// A host learns when the first call is due.
pub fn next_deadline_is_the_first_timer(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    assert_eq!(reactor.next_deadline(), None);
    let far = noting(&reactor, &log, 9, "far");
    let near = noting(&reactor, &log, 5, "near");
    assert_eq!(reactor.next_deadline(), Some(5 * SECOND));
    world.advance(2 * SECOND);
    assert_eq!(reactor.next_deadline(), Some(3 * SECOND));
    assert_eq!(near.cancel(), Ok(()));
    assert_eq!(reactor.next_deadline(), Some(7 * SECOND));
    assert_eq!(far.cancel(), Ok(()));
    assert_eq!(reactor.next_deadline(), None);
    log.check(&[]);
}
