//! Failing user code: it costs what it belongs to, is counted, and everything else goes on.

use super::{
    World,
    recorder::{
        Log, Recorder, check_echo, connected, listen, listen_once, pair, turned_away, watch,
    },
};
use crate::{
    deferred::Deferred,
    failure::{Failure, Result},
    protocol::Protocol,
    reactor::{EventType, Phase},
    transport::Transport,
};
use std::time::Duration;

/// Runs a server that fails as `server` does when it gets `x`, beside one that must not notice.
#[track_caller]
fn check(world: &dyn World, server: Recorder, expected: &[&str]) {
    let other = pair(world, Recorder::echo(), Recorder::new());
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().write(b"x");
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    world.settle();
    pair.server.check(expected);
    let lost = if world.shows_resets() {
        "lost: broken"
    } else {
        "lost: done"
    };
    assert_eq!(pair.client.count(lost), 1, "it was reset");
    check_alive(world, &other);
}

#[track_caller]
fn check_alive(world: &dyn World, other: &super::recorder::Pair) {
    assert_eq!(world.reactor().statistics().failures, 1);
    other.client.transport().write(b"alive?");
    world.until(&mut || other.client.received() == 6);
    other.server.check(&["made", "data"]);
}

/// `data_received` fails: the connection is reset and ends once, with that reason.
pub fn data_received_throws(world: &dyn World) {
    let server = Recorder::new().on_data(|transport, _| {
        transport.write(b"never sent");
        Err(Failure::msg("bad data"))
    });
    check(world, server, &["made", "data", "lost: bad data"]);
}

/// The same for a panic.
pub fn data_received_panics(world: &dyn World) {
    let server = Recorder::new().on_data(|_, _| panic!("oh"));
    let expected = ["made", "data", "lost: a callback panicked: oh"];
    check(world, server, &expected);
}

/// `connection_made` fails.
pub fn connection_made_throws(world: &dyn World) {
    let server = Recorder::new().on_made(|_| Err(Failure::msg("no")));
    let seen = server.seen();
    let port = listen_once(world, server);
    turned_away(world, &port, Recorder::new());
    seen.check(&["made", "lost: no"]);
    check_echo(world, &listen(world, Recorder::echo));
}

/// A callback that comes while output is handed down.
pub fn write_paused_panics(world: &dyn World) {
    super::recorder::set_limits(&world.reactor(), |limits| limits.output_hard = usize::MAX);
    let server = Recorder::new()
        .on_data(|transport, _| {
            transport.write(&vec![0; super::recorder::FLOOD]);
            Ok(())
        })
        .on_write_paused(|_| panic!("oh"));
    let expected = [
        "made",
        "data",
        "write paused",
        "lost: a callback panicked: oh",
    ];
    let other = pair(world, Recorder::echo(), Recorder::new());
    let client = Recorder::new().on_made(|transport| {
        transport.pause_producing();
        transport.write(b"x");
        Ok(())
    });
    let pair = pair(world, server, client);
    world.until(&mut || pair.server.is_lost());
    pair.server.check(&expected);
    check_alive(world, &other);
}

/// A panic in `connection_lost` is counted; nothing is called twice.
pub fn connection_lost_panics(world: &dyn World) {
    let other = pair(world, Recorder::echo(), Recorder::new());
    let server = Recorder::new().on_lost(|| panic!("oh"));
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().abort_connection();
    world.until(&mut || pair.server.is_lost());
    world.settle();
    pair.server.check_reset(world);
    check_alive(world, &other);
}

struct DropPanics(Recorder);

impl Protocol for DropPanics {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.connection_made(transport)
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.0.connection_lost(reason);
    }
}

impl Drop for DropPanics {
    fn drop(&mut self) {
        panic!("it does not want to go");
    }
}

/// The destructor of a protocol panics.
pub fn protocol_drop_panics(world: &dyn World) {
    check_drop(world, Recorder::new(), 1);
}

/// First `connection_lost` panics and then the destructor: neither ends the process.
pub fn protocol_drop_panics_after_connection_lost_panics(world: &dyn World) {
    check_drop(world, Recorder::new().on_lost(|| panic!("oh")), 2);
}

#[track_caller]
fn check_drop(world: &dyn World, server: Recorder, failures: u64) {
    let seen = server.seen();
    let mut server = Some(server);
    let port = listen(world, move || {
        DropPanics(server.take().expect("one connection"))
    });
    let client = connected(world, &port, Recorder::new());
    world.until(&mut || seen.is_made());
    client.transport().abort_connection();
    world.until(&mut || seen.is_lost());
    world.settle();
    if world.shows_resets() {
        seen.check(&["made", "lost: broken"]);
    } else {
        // `DropPanics` does not pass on that the peer has closed.
        seen.check(&["made", "lost: done"]);
    }
    assert_eq!(world.reactor().statistics().failures, failures);
    check_echo(world, &listen(world, Recorder::echo));
}

/// A function given to `Connection::call` panics: its Deferred fails, and so does the connection it was let into.
pub fn call_panics(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let client = Recorder::new();
    let seen = client.seen();
    let called = world
        .client()
        .connect_protocol(&world.connect_to(&port), client)
        .add_callback(|connection| connection.call(|_, _| -> Result<()> { panic!("oh") }));
    let end = watch(called);
    world.until(&mut || seen.is_lost() && !end.events().is_empty());
    seen.check(&["made", "lost: a callback panicked: oh"]);
    assert_eq!(end.events().len(), 1);
    assert!(!end.events().contains(&"ok".to_owned()));
    check_echo(world, &port);
}

/// A timed call panics: it is counted and the next ones are made.
pub fn timer_panics(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let second = Duration::from_secs(1);
    reactor.call_later(second, || -> Result { panic!("oh") });
    let next = log.clone();
    reactor.call_later(second, move || next.note("next"));
    world.advance(second);
    log.check(&["next"]);
    assert_eq!(reactor.statistics().failures, 1);
}

/// A call from a thread panics.
pub fn thread_call_panics(world: &dyn World) {
    let reactor = world.reactor();
    let first = reactor.remote().call_from_thread(|_| panic!("oh"));
    let second = reactor.remote().call_from_thread(|reactor| {
        reactor.call_later(Duration::ZERO, || {
            Err(Failure::msg("the second one was made"))
        });
    });
    assert!(first.is_ok() && second.is_ok());
    world.advance(Duration::ZERO);
    assert_eq!(reactor.statistics().failures, 2);
}

/// A callback of a Deferred that the loop fires panics: the chain goes on with a failure, the loop with its work.
pub fn deferred_callback_panics(world: &dyn World) {
    let port = listen(world, Recorder::echo);
    let client = Recorder::new();
    let seen = client.seen();
    let to = world.connect_to(&port);
    let connecting = world.client().connect_protocol(&to, client);
    let end = watch(connecting.map(|_| panic!("oh")));
    world.until(&mut || !end.events().is_empty());
    world.settle();
    end.check(&["a callback panicked: oh"]);
    seen.check(&["made"]);
    check_echo(world, &port);
}

/// A task panics after it was woken: its Deferred fails, others go on.
pub fn task_panics(world: &dyn World) {
    let reactor = world.reactor();
    let task = |panics: bool| {
        let reactor = reactor.clone();
        async move {
            reactor.after(Duration::from_secs(1)).await?;
            assert!(!panics, "oh");
            Ok(())
        }
    };
    let bad = watch(reactor.spawn(task(true)));
    let good = watch(reactor.spawn(task(false)));
    world.advance(Duration::from_secs(1));
    good.check(&["ok"]);
    bad.check(&["a callback panicked: oh"]);
    assert_eq!(reactor.statistics().tasks, 0);
}

/// A trigger panics or fails: it is counted, the others are called, the reactor stops.
pub fn trigger_panics(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    for phase in [Phase::Before, Phase::During, Phase::After] {
        let panics = || -> Result { panic!("oh") };
        reactor.add_system_event_trigger(phase, EventType::Shutdown, panics);
        let fails = || Deferred::<()>::fail(Failure::msg("no"));
        reactor.add_system_event_trigger(phase, EventType::Shutdown, fails);
        let next = log.clone();
        let next = move || next.note(format!("{phase:?}"));
        reactor.add_system_event_trigger(phase, EventType::Shutdown, next);
    }
    reactor.start().expect("it did not run");
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    log.check(&["Before", "During", "After"]);
    assert_eq!(reactor.statistics().failures, 6);
}
