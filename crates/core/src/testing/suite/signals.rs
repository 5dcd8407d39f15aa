//! Signals as events: in the next turn, in order, to those that still want them. Where a driver has none, it says so.

use super::{World, recorder::Log};
use crate::{
    error::CannotCatch,
    reactor::{Reactor, SignalHandle},
    signal::Signal,
    testing::logged,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// Of no harm to a process that does not handle them.
const ONE: Signal = Signal::Winch;
const OTHER: Signal = Signal::Cont;

/// What raises them, where there are any.
#[track_caller]
fn raiser(world: &dyn World) -> Option<Box<dyn Fn(Signal)>> {
    let raise = world.signals();
    if raise.is_none() {
        let caught = world.reactor().on_signal(ONE, |_| ());
        let failure = caught.expect_err("the driver has no signals");
        let cannot = failure.check::<CannotCatch>().expect("it is that error");
        assert_eq!(cannot.signal, ONE);
        let text = cannot.error.to_string();
        assert_eq!(text, "this driver has no signals");
    }
    raise
}

/// Notes this word at each.
#[track_caller]
fn noting(reactor: &Reactor, signal: Signal, log: &Log, word: &'static str) -> SignalHandle {
    let log = log.clone();
    let caught = reactor.on_signal(signal, move |_| log.note(word));
    caught.expect("it can be caught")
}

/// Never from inside whoever raises it, and in the order in which they were added.
pub fn a_signal_runs_its_handlers_in_the_next_turn(world: &dyn World) {
    let Some(raise) = raiser(world) else { return };
    let (reactor, log) = (world.reactor(), Log::default());
    let first = noting(&reactor, ONE, &log, "first");
    assert_eq!(first.signal(), ONE);
    let _second = noting(&reactor, ONE, &log, "second");
    raise(ONE);
    log.check(&[]);
    world.until(&mut || log.count("second") == 1);
    log.check(&["first", "second"]);
    raise(ONE);
    world.until(&mut || log.count("second") == 2);
    world.settle();
    log.check(&["first", "second", "first", "second"]);
}

/// As many as come before a turn.
pub fn signals_raised_together_are_one(world: &dyn World) {
    let Some(raise) = raiser(world) else { return };
    let (reactor, log) = (world.reactor(), Log::default());
    let _handle = noting(&reactor, ONE, &log, "call");
    for _ in 0..10 {
        raise(ONE);
    }
    world.until(&mut || log.count("call") == 1);
    world.settle();
    log.check(&["call"]);
}

/// They do not hear of others.
pub fn each_signal_has_its_own_handlers(world: &dyn World) {
    let Some(raise) = raiser(world) else { return };
    let (reactor, log) = (world.reactor(), Log::default());
    let _one = noting(&reactor, ONE, &log, "one");
    let _other = noting(&reactor, OTHER, &log, "other");
    raise(OTHER);
    world.until(&mut || log.count("other") == 1);
    raise(ONE);
    world.until(&mut || log.count("one") == 1);
    log.check(&["other", "one"]);
}

/// Whether it was dropped or removed, before the signal or after it. And it can be caught again.
pub fn a_removed_handler_is_not_called(world: &dyn World) {
    let Some(raise) = raiser(world) else { return };
    let (reactor, log) = (world.reactor(), Log::default());
    let kept = noting(&reactor, ONE, &log, "kept");
    drop(noting(&reactor, ONE, &log, "dropped"));
    let late = noting(&reactor, ONE, &log, "late");
    raise(ONE);
    late.remove();
    world.until(&mut || log.count("kept") == 1);
    log.check(&["kept"]);
    drop(kept);
    raise(ONE);
    world.settle();
    let again = noting(&reactor, ONE, &log, "again");
    raise(ONE);
    world.until(&mut || log.count("again") == 1);
    log.check(&["kept", "again"]);
    drop(reactor);
    drop(again);
}

/// One that goes before its turn is not called, and one that comes waits for the next signal.
pub fn handlers_come_and_go_inside_a_handler(world: &dyn World) {
    let Some(raise) = raiser(world) else { return };
    let (reactor, log) = (world.reactor(), Log::default());
    let place: Rc<RefCell<Vec<SignalHandle>>> = Rc::default();
    let (inside, handles) = (log.clone(), Rc::clone(&place));
    let handle = reactor.on_signal(ONE, move |reactor| {
        inside.note("first");
        // Itself, the next one, and then a new one.
        let gone = std::mem::take(&mut *handles.borrow_mut());
        drop(gone);
        let new = noting(reactor, ONE, &inside, "new");
        handles.borrow_mut().push(new);
    });
    let next = noting(&reactor, ONE, &log, "next");
    place
        .borrow_mut()
        .extend([handle.expect("it can be caught"), next]);
    raise(ONE);
    world.until(&mut || log.count("first") == 1);
    world.settle();
    log.check(&["first"]);
    raise(ONE);
    world.until(&mut || log.count("new") == 1);
    log.check(&["first", "new"]);
    place.borrow_mut().clear();
}

/// It costs nothing but its own call, and is logged.
pub fn a_handler_that_panics(world: &dyn World) {
    let Some(raise) = raiser(world) else { return };
    let (reactor, log) = (world.reactor(), Log::default());
    let panics = reactor.on_signal(ONE, |_| panic!("ouch"));
    let _panics = panics.expect("it can be caught");
    let _next = noting(&reactor, ONE, &log, "next");
    let lines = logged(|| {
        raise(ONE);
        world.until(&mut || log.count("next") == 1);
    });
    let line = "ERROR a handler of SIGWINCH failed: ";
    assert!(lines.iter().any(|l| l.starts_with(line)), "{lines:?}");
    assert_eq!(reactor.statistics().failures, 1);
}

/// On no driver.
pub fn kill_and_stop_cannot_be_caught(world: &dyn World) {
    for signal in [Signal::Kill, Signal::Stop] {
        let caught = world.reactor().on_signal(signal, |_| ());
        let failure = caught.expect_err("no program can");
        let text = format!("cannot catch {signal}: the system lets no program catch it");
        assert_eq!(failure.to_string(), text);
    }
}

/// What was raised for a handler that has gone does not reach one of another signal.
pub fn a_signal_that_came_too_late_is_nobody_elses(world: &dyn World) {
    let Some(raise) = raiser(world) else { return };
    let (reactor, log) = (world.reactor(), Log::default());
    let gone = noting(&reactor, ONE, &log, "gone");
    raise(ONE);
    gone.remove();
    let _other = noting(&reactor, OTHER, &log, "other");
    world.settle();
    log.check(&[]);
    raise(OTHER);
    world.until(&mut || log.count("other") == 1);
    log.check(&["other"]);
}

/// In order, and once: the second while it stops changes nothing.
pub fn stop_on_signals(world: &dyn World) {
    let Some(raise) = raiser(world) else { return };
    let (reactor, stopped) = (world.reactor(), Rc::new(Cell::new(0)));
    let handles = reactor.stop_on_signals().expect("they can be caught");
    for signal in [Signal::Int, Signal::Term] {
        let count = Rc::clone(&stopped);
        let when = crate::reactor::EventType::Shutdown;
        reactor.add_system_event_trigger(crate::reactor::Phase::Before, when, move || {
            count.set(count.get() + 1);
        });
        reactor.start().expect("it does not run");
        raise(signal);
        raise(Signal::Term);
        world.until(&mut || !reactor.is_running());
        world.settle();
    }
    assert_eq!(stopped.get(), 2);
    // Nobody is killed by one that is still on its way.
    world.settle();
    drop(handles);
}
