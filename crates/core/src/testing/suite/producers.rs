//! Producers: who sets the pace, and how it ends.

use super::{
    World,
    recorder::{FLOOD, Log, Pair, Recorder, flag, pair, pattern, set_limits},
};
use crate::{
    failure::{Failure, Result},
    producer::{Pace, Producer},
    transport::Transport,
};

type OnResume = Option<Box<dyn FnMut(&Transport) -> Result>>;

/// Writes down what is asked of it.
#[derive(Default)]
struct Noting {
    log: Log,
    resume: OnResume,
    pause: Option<Box<dyn FnMut()>>,
}

impl Noting {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..Self::default()
        }
    }

    fn on_resume(mut self, f: impl FnMut(&Transport) -> Result + 'static) -> Self {
        self.resume = Some(Box::new(f));
        self
    }

    fn on_pause(mut self, f: impl FnMut() + 'static) -> Self {
        self.pause = Some(Box::new(f));
        self
    }
}

impl Producer for Noting {
    fn resume_producing(&mut self, transport: &Transport) -> Result {
        self.log.note("resume");
        self.resume.as_mut().map_or(Ok(()), |f| f(transport))
    }

    fn pause_producing(&mut self) {
        self.log.note("pause");
        if let Some(pause) = &mut self.pause {
            pause();
        }
    }

    fn stop_producing(&mut self) {
        self.log.note("stop");
    }
}

#[track_caller]
fn register(transport: &Transport, producer: Noting, pace: Pace) {
    let registered = transport.register_producer(producer, pace);
    registered.expect("there is no other producer");
}

/// A pair whose server may queue a lot and whose client does not read.
#[track_caller]
fn slow_reader(world: &dyn World) -> Pair {
    set_limits(&world.reactor(), |limits| limits.output_hard = 4 * FLOOD);
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.client.transport().pause_producing();
    world.settle();
    pair
}

/// The peer goes while a producer is registered: it is stopped once, and the connection ends once.
pub fn disconnect_while_producing(world: &dyn World) {
    if !world.shows_resets() {
        // To a peer that has only closed the producer goes on: see `lose_connection_waits_for_a_producer`.
        return;
    }
    for pace in [Pace::Streaming, Pace::Pulled] {
        let pair = slow_reader(world);
        let log = Log::default();
        let piece = pattern(FLOOD);
        let producer = Noting::new(&log).on_resume(move |transport| {
            transport.write(&piece);
            Ok(())
        });
        register(&pair.server.transport(), producer, pace);
        world.settle();
        pair.client.transport().abort_connection();
        world.until(&mut || pair.server.is_lost());
        world.settle();
        assert_eq!(log.count("stop"), 1, "{pace:?}");
        assert_eq!(pair.server.count("lost: broken"), 1);
    }
}

/// Unregistering after the end does nothing.
pub fn unregister_producer_after_disconnect(world: &dyn World) {
    if !world.shows_resets() {
        return;
    }
    let pair = pair(world, Recorder::new(), Recorder::new());
    let (server, log) = (pair.server.transport(), Log::default());
    register(&server, Noting::new(&log), Pace::Streaming);
    world.settle();
    pair.client.transport().abort_connection();
    world.until(&mut || pair.server.is_lost());
    server.unregister_producer();
    world.settle();
    log.check(&["stop"]);
    pair.server.check(&["made", "lost: broken"]);
}

/// `lose_connection` waits until a registered producer is done; what it writes meanwhile goes out.
pub fn lose_connection_waits_for_a_producer(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let (server, log) = (pair.server.transport(), Log::default());
    register(&server, Noting::new(&log), Pace::Streaming);
    server.write(b"one ");
    server.lose_connection();
    world.settle();
    pair.server.check(&["made"]);
    server.write(b"two");
    world.settle();
    assert_eq!(pair.client.bytes(), b"one two");
    server.unregister_producer();
    world.until(&mut || pair.client.is_lost() && pair.server.is_lost());
    pair.server.check(&["made", "lost: done"]);
    log.check(&[]);
}

/// A streaming producer is left alone until too much waits, then paused, then resumed when all has left.
pub fn streaming_producer_is_paused_and_resumed(world: &dyn World) {
    let pair = slow_reader(world);
    let (server, log) = (pair.server.transport(), Log::default());
    register(&server, Noting::new(&log), Pace::Streaming);
    server.write(b"little");
    world.settle();
    log.check(&[]);
    server.write(&pattern(FLOOD));
    world.settle();
    log.check(&["pause"]);
    server.write(b"more");
    world.settle();
    log.check(&["pause"]);
    pair.client.transport().resume_producing();
    world.until(&mut || pair.client.received() == FLOOD + 10);
    world.settle();
    log.check(&["pause", "resume"]);
    server.unregister_producer();
    world.settle();
    log.check(&["pause", "resume"]);
    pair.server
        .check(&["made", "write paused", "write resumed"]);
}

/// A pulled producer is asked at once and again whenever everything has left; it is never paused.
pub fn pull_producer_is_asked_after_each_drain(world: &dyn World) {
    let pair = slow_reader(world);
    let (server, log) = (pair.server.transport(), Log::default());
    let (piece, mut left) = (pattern(FLOOD / 2), 6);
    let producer = Noting::new(&log).on_resume(move |transport| {
        assert_eq!(transport.statistics().queued, 0, "not everything has left");
        left -= 1;
        transport.write(&piece);
        if left == 0 {
            transport.unregister_producer();
            transport.lose_connection();
        }
        Ok(())
    });
    register(&server, producer, Pace::Pulled);
    world.settle();
    assert!(
        log.events().len() < 6,
        "it was asked although the peer does not read"
    );
    pair.client.transport().resume_producing();
    world.until(&mut || pair.client.is_lost());
    log.check(&["resume"; 6]);
    assert_eq!(pair.client.received(), FLOOD / 2 * 6);
}

/// One that never fills the buffers is asked until it is done, though only a few times in each turn.
pub fn pull_producer_is_asked_in_later_turns(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let (mut left, log) = (100, Log::default());
    let producer = Noting::new(&log).on_resume(move |transport| {
        transport.write(b"x");
        left -= 1;
        if left == 0 {
            transport.unregister_producer();
            transport.lose_connection();
        }
        Ok(())
    });
    register(&pair.server.transport(), producer, Pace::Pulled);
    world.until(&mut || pair.client.is_lost());
    assert_eq!((pair.client.received(), log.count("resume")), (100, 100));
}

/// A streaming producer that follows a pulled one goes by itself, and is not asked.
pub fn streaming_producer_after_a_pulled_one(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let (server, log) = (pair.server.transport(), Log::default());
    register(&server, Noting::new(&Log::default()), Pace::Pulled);
    world.settle();
    server.unregister_producer();
    register(&server, Noting::new(&log), Pace::Streaming);
    world.settle();
    log.check(&[]);
}

/// A connection has one producer at a time; the refused one is not asked for anything.
pub fn second_producer_is_refused(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let (server, log, other) = (pair.server.transport(), Log::default(), Log::default());
    register(&server, Noting::new(&log), Pace::Pulled);
    let refused = server.register_producer(Noting::new(&other), Pace::Pulled);
    let refused = refused.expect_err("there is one");
    assert!(
        refused
            .check::<crate::error::ProducerRegistered>()
            .is_some()
    );
    server.unregister_producer();
    register(&server, Noting::new(&other), Pace::Pulled);
    world.settle();
    assert_eq!(log.count("stop"), 0);
    assert!(other.count("resume") > 0, "the second one is asked");
}

/// On a connection that has ended a producer is stopped at once.
pub fn register_producer_after_disconnect(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.server.transport().abort_connection();
    world.until(&mut || pair.server.is_lost());
    let log = Log::default();
    register(&pair.server.transport(), Noting::new(&log), Pace::Pulled);
    log.check(&["stop"]);
    world.settle();
    log.check(&["stop"]);
}

/// `connection_lost` is the last word, so the producer is stopped before it.
pub fn stop_producing_comes_before_connection_lost(world: &dyn World) {
    let log = Log::default();
    let lost = log.clone();
    let server = Recorder::new().on_lost(move || lost.note("lost"));
    let pair = pair(world, server, Recorder::new());
    register(&pair.server.transport(), Noting::new(&log), Pace::Streaming);
    world.settle();
    pair.server.transport().abort_connection();
    world.until(&mut || pair.server.is_lost());
    log.check(&["stop", "lost"]);
}

/// A producer that fails costs its connection and nothing else.
pub fn resume_producing_throws(world: &dyn World) {
    check_failing(world, |_| Err(Failure::msg("out of stock")), "out of stock");
}

/// The same for a panic.
pub fn resume_producing_panics(world: &dyn World) {
    check_failing(world, |_| panic!("oh"), "a callback panicked: oh");
}

#[track_caller]
fn check_failing(world: &dyn World, f: fn(&Transport) -> Result, reason: &str) {
    let other = pair(world, Recorder::echo(), Recorder::new());
    let pair = pair(world, Recorder::new(), Recorder::new());
    let log = Log::default();
    let producer = Noting::new(&log).on_resume(f);
    register(&pair.server.transport(), producer, Pace::Pulled);
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.check(&["made", &format!("lost: {reason}")]);
    assert_eq!(log.count("resume"), 1);
    assert_eq!(world.reactor().statistics().failures, 1);
    other.client.transport().write(b"alive?");
    world.until(&mut || other.client.received() == 6);
}

/// A producer that is paused may leave; it is asked for nothing more, not even to stop.
pub fn unregister_inside_pause_producing(world: &dyn World) {
    let pair = slow_reader(world);
    let (server, log) = (pair.server.transport(), Log::default());
    let own = server.clone();
    let producer = Noting::new(&log).on_pause(move || own.unregister_producer());
    register(&server, producer, Pace::Streaming);
    server.write(&pattern(FLOOD));
    world.settle();
    log.check(&["pause"]);
    pair.client.transport().abort_connection();
    world.until(&mut || pair.server.is_lost());
    log.check(&["pause"]);
    pair.server.check(&["made", "write paused", "lost: broken"]);
}

/// It may also hand over to another one there.
pub fn register_inside_pause_producing(world: &dyn World) {
    let pair = slow_reader(world);
    let (server, log, next) = (pair.server.transport(), Log::default(), Log::default());
    let (own, second) = (server.clone(), next.clone());
    let producer = Noting::new(&log).on_pause(move || {
        own.unregister_producer();
        register(&own, Noting::new(&second), Pace::Streaming);
    });
    register(&server, producer, Pace::Streaming);
    server.write(&pattern(FLOOD));
    world.settle();
    log.check(&["pause"]);
    pair.client.transport().abort_connection();
    world.until(&mut || pair.server.is_lost());
    log.check(&["pause"]);
    assert_eq!(next.count("stop"), 1);
    pair.server.check(&["made", "write paused", "lost: broken"]);
}

/// A producer may hand over to the next from inside its own call.
pub fn unregister_and_register_inside_resume_producing(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let (log, next, once) = (Log::default(), Log::default(), flag());
    let second = next.clone();
    let producer = Noting::new(&log).on_resume(move |transport| {
        assert!(!once.replace(true), "it has handed over");
        transport.unregister_producer();
        let last = Noting::new(&second).on_resume(|transport| {
            transport.write(b"the end");
            transport.unregister_producer();
            Ok(())
        });
        transport.register_producer(last, Pace::Pulled)
    });
    register(&pair.server.transport(), producer, Pace::Pulled);
    world.until(&mut || pair.client.received() == 7);
    world.settle();
    log.check(&["resume"]);
    next.check(&["resume"]);
}
