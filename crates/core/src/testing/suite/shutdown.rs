//! Run, stop, run again: triggers in order, everything closed, in bounded time.

use super::{
    World,
    recorder::{
        FLOOD, Log, Recorder, connect, connected, echoes, listen, pair, pattern, set_limits, watch,
    },
};
use crate::{
    deferred::{Deferred, Resolver},
    error::{AlreadyRunning, NotRunning},
    reactor::{EventType, Phase, Reactor},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// Stops a running reactor and waits until it has stopped.
#[track_caller]
fn stop(world: &dyn World, reactor: &Reactor) {
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
}

/// Whether the clients' reactor is the one that stops, so that they close as well.
fn is_one(world: &dyn World) -> bool {
    Rc::ptr_eq(&world.reactor().0, &world.client().0)
}

/// Notes the phases of an event.
fn note_phases(reactor: &Reactor, event: EventType, log: &Log) {
    for phase in [Phase::After, Phase::During, Phase::Before] {
        for number in 1..=3 {
            let log = log.clone();
            let note = move || log.note(format!("{phase:?} {number}"));
            reactor.add_system_event_trigger(phase, event, note);
        }
    }
}

/// `stop` on a reactor that does not run is an error.
pub fn stop_when_not_started(world: &dyn World) {
    let failure = world.reactor().stop().expect_err("it does not run");
    assert!(failure.check::<NotRunning>().is_some());
    assert!(!world.reactor().is_running());
}

/// `run` inside `run` is an error, and the outer one goes on.
pub fn run_twice(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let (own, inside) = (reactor.clone(), log.clone());
    reactor.call_later(Duration::ZERO, move || {
        let failure = own.run().expect_err("it runs already");
        assert!(failure.check::<AlreadyRunning>().is_some());
        inside.note("refused");
        own.stop()
    });
    world.run(&reactor).expect("it did not run");
    log.check(&["refused"]);
    assert_eq!(reactor.statistics().failures, 0);
}

/// Run, stop, run again, with new ports; what waited goes on.
pub fn run_after_stop(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    for round in 0..3 {
        let own = reactor.clone();
        let note = log.clone();
        reactor.call_when_running(move || note.note(format!("running {round}")));
        let port = listen(world, Recorder::echo);
        reactor.start().expect("it has stopped");
        super::recorder::check_echo(world, &port);
        own.call_later(Duration::ZERO, {
            let own = own.clone();
            move || own.stop()
        });
        world.until(&mut || !reactor.is_running());
        assert!(!port.is_listening());
    }
    log.check(&["running 0", "running 1", "running 2"]);
    let own = reactor.clone();
    reactor.call_later(Duration::ZERO, move || own.stop());
    world.run(&reactor).expect("it has stopped");
}

/// `stop` on a reactor that is stopping is an error.
pub fn stop_twice(world: &dyn World) {
    let reactor = world.reactor();
    reactor.start().expect("it did not run");
    reactor.stop().expect("it runs");
    let failure = reactor.stop().expect_err("it is stopping");
    assert!(failure.check::<NotRunning>().is_some());
    world.until(&mut || !reactor.is_running());
    assert!(reactor.stop().is_err());
}

/// `call_when_running` waits for the start, and calls at once after it.
pub fn call_when_running(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let early = log.clone();
    reactor.call_when_running(move || early.note("early"));
    world.settle();
    log.check(&[]);
    reactor.start().expect("it did not run");
    log.check(&["early"]);
    let late = log.clone();
    reactor.call_when_running(move || late.note("late"));
    log.check(&["early", "late"]);
    stop(world, &reactor);
}

/// Triggers are called phase by phase and, within a phase, in the order in which they were added; each once.
pub fn shutdown_events_come_in_order(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let expected = [
        "Before 1", "Before 2", "Before 3", "During 1", "During 2", "During 3", "After 1",
        "After 2", "After 3",
    ];
    note_phases(&reactor, EventType::Startup, &log);
    reactor.start().expect("it did not run");
    log.check(&expected);
    let log = Log::default();
    note_phases(&reactor, EventType::Shutdown, &log);
    reactor.stop().expect("it runs");
    log.check(&[]);
    world.until(&mut || !reactor.is_running());
    log.check(&expected);
    reactor.start().expect("it has stopped");
    stop(world, &reactor);
    log.check(&expected);
}

/// The stop waits for what a before-trigger returns, and meanwhile everything still works.
pub fn shutdown_waits_for_before_triggers(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let pair = pair(world, Recorder::echo(), Recorder::new());
    let resolver = waiting_trigger(&reactor);
    let during = log.clone();
    let during = move || during.note("during");
    reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, during);
    reactor.start().expect("it did not run");
    reactor.stop().expect("it runs");
    world.settle();
    pair.client.transport().write(b"hello");
    world.until(&mut || pair.client.received() == 5);
    let late = connected(world, &pair.port, Recorder::new());
    world.until(&mut || late.is_lost());
    log.check(&[]);
    assert!(reactor.is_running());
    let resolver = resolver.take().expect("the trigger was called");
    resolver.resolve(());
    world.until(&mut || !reactor.is_running());
    log.check(&["during"]);
    assert!(pair.server.is_lost());
}

type Waiting = Rc<RefCell<Option<Resolver<()>>>>;

/// A before-trigger that waits for what is returned here.
fn waiting_trigger(reactor: &Reactor) -> Waiting {
    let place: Waiting = Rc::default();
    let set = Rc::clone(&place);
    let trigger = move || {
        let (resolver, deferred) = Deferred::pair();
        set.replace(Some(resolver));
        deferred
    };
    reactor.add_system_event_trigger(Phase::Before, EventType::Shutdown, trigger);
    place
}

/// A before-trigger that never ends is given up at the limit `shutdown`, 5 s, and not before.
pub fn shutdown_is_bounded_by_its_deadline(world: &dyn World) {
    let reactor = world.reactor();
    let never = waiting_trigger(&reactor);
    reactor.start().expect("it did not run");
    reactor.stop().expect("it runs");
    world.settle();
    world.advance(5 * SECOND - Duration::from_millis(1));
    assert!(reactor.is_running(), "it stopped early");
    world.advance(Duration::from_millis(1));
    world.until(&mut || !reactor.is_running());
    never.take();
}

/// While a stop waits, the loop knows until when: it would sleep over the end of it otherwise. Afterwards nothing is due.
pub fn the_loop_knows_when_a_stop_ends(world: &dyn World) {
    let reactor = world.reactor();
    let never = waiting_trigger(&reactor);
    reactor.start().expect("it did not run");
    assert_eq!(reactor.next_deadline(), None);
    reactor.stop().expect("it runs");
    world.settle();
    assert_eq!(reactor.next_deadline(), Some(5 * SECOND));
    never.take();
    world.until(&mut || !reactor.is_running());
    assert_eq!(reactor.next_deadline(), None);
}

/// A reactor runs until all triggers but the last ones have been called; whoever asks inside one is told so.
pub fn is_running_until_the_end(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    for phase in [Phase::Before, Phase::During] {
        let (own, log) = (reactor.clone(), log.clone());
        let note = move || log.note(format!("{phase:?}: {}", own.is_running()));
        reactor.add_system_event_trigger(phase, EventType::Shutdown, note);
    }
    assert!(!reactor.is_running());
    reactor.start().expect("it did not run");
    assert!(reactor.is_running());
    stop(world, &reactor);
    log.check(&["Before: true", "During: true"]);
}

/// A trigger cannot start the reactor that is stopping.
pub fn run_inside_a_shutdown_trigger(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    for phase in [Phase::Before, Phase::During] {
        let (own, log) = (reactor.clone(), log.clone());
        let start = move || {
            let refused = own.start().is_err();
            log.note(format!("{phase:?}: {refused}"));
        };
        reactor.add_system_event_trigger(phase, EventType::Shutdown, start);
    }
    reactor.start().expect("it did not run");
    stop(world, &reactor);
    log.check(&["Before: true", "During: true"]);
}

/// A removed trigger is not called, and can be removed once.
pub fn removed_trigger_is_not_called(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let note = log.clone();
    let note = move || note.note("called");
    let trigger = reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, note);
    assert!(reactor.remove_system_event_trigger(trigger));
    assert!(!reactor.remove_system_event_trigger(trigger));
    reactor.start().expect("it did not run");
    stop(world, &reactor);
    log.check(&[]);
}

/// Every connection, accepted or made, ends once before the reactor has stopped.
pub fn shutdown_disconnects_cleanly(world: &dyn World) {
    let reactor = world.reactor();
    let pair = pair(world, Recorder::new(), Recorder::new());
    let other = Recorder::new();
    let outgoing = other.seen();
    let port = listen(world, Recorder::echo);
    let connecting = reactor.connect_protocol(&world.connect_to(&port), other);
    connecting.detach();
    world.until(&mut || outgoing.is_made());
    world.settle();
    let ends = Log::default();
    let (note, seen) = (ends.clone(), [pair.server.clone(), outgoing.clone()]);
    let after = move || {
        note.note(format!(
            "{}",
            seen.iter().all(super::recorder::Seen::is_lost)
        ))
    };
    reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, after);
    reactor.start().expect("it did not run");
    stop(world, &reactor);
    ends.check(&["true"]);
    assert_eq!(pair.server.count("lost: done"), 1);
    assert_eq!(outgoing.count("lost: done"), 1);
    assert_eq!(reactor.statistics().connections, 0);
}

/// Ports are closed and their factories stopped.
pub fn shutdown_stops_listening(world: &dyn World) {
    let (reactor, (log, factory)) = (world.reactor(), echoes());
    let port = reactor.listen_shared(&world.listen_at(), &factory);
    let port = port.expect("the world can listen");
    reactor.start().expect("it did not run");
    stop(world, &reactor);
    log.check(&["start", "stop"]);
    assert!(!port.is_listening());
    let late = watch(
        world
            .client()
            .connect(&world.connect_to(&port), Recorder::new),
    );
    world.until(&mut || !late.events().is_empty());
    late.check(&["could not connect"]);
}

/// Attempts that are still going on fail.
pub fn shutdown_fails_attempts(world: &dyn World) {
    let Some(to) = world.silent() else { return };
    let reactor = world.reactor();
    let end = watch(reactor.connect(&to, Recorder::new));
    world.settle();
    reactor.start().expect("it did not run");
    stop(world, &reactor);
    end.check(&["the reactor is not running"]);
    assert_eq!(reactor.statistics().timers, 0);
}

/// What was written before the stop arrives.
pub fn shutdown_flushes(world: &dyn World) {
    let reactor = world.reactor();
    if is_one(world) {
        return;
    }
    let sent = pattern(1 << 20);
    let pair = pair(world, Recorder::new(), Recorder::new());
    reactor.start().expect("it did not run");
    pair.server.transport().write(&sent);
    stop(world, &reactor);
    world.until(&mut || pair.client.is_lost());
    assert_eq!(pair.client.received(), sent.len());
}

/// A peer that never reads is cut off at the limit `shutdown`.
pub fn shutdown_cuts_off_a_peer_that_never_reads(world: &dyn World) {
    let reactor = world.reactor();
    if is_one(world) {
        return;
    }
    set_limits(&reactor, |limits| limits.output_hard = 4 * FLOOD);
    let server = Recorder::new();
    let seen = server.seen();
    let port = super::recorder::listen_once(world, server);
    let client = Recorder::new().on_made(|transport| {
        transport.pause_producing();
        Ok(())
    });
    let client = connect(world, &port, client);
    world.until(&mut || seen.is_made() && client.is_made());
    seen.transport().write(&pattern(FLOOD));
    reactor.start().expect("it did not run");
    world.settle();
    reactor.stop().expect("it runs");
    world.settle();
    world.advance(5 * SECOND - Duration::from_millis(1));
    assert!(reactor.is_running(), "it stopped early");
    world.advance(SECOND);
    world.until(&mut || !reactor.is_running());
    seen.check(&["made", "write paused", "lost: Shutdown deadline"]);
}
