//! Deadlines of connections: met, at most a sweep late, and never early.

use super::{
    World,
    recorder::{FLOOD, Pair, Recorder, Seen, pair, pattern, set_limits},
};
use crate::reactor::Rejected;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// A deadline is met this much late at most.
const LATE: Duration = Duration::from_millis(700);

/// Shows that `seen` is alive until `after` from now has passed, and ends at it for this reason.
#[track_caller]
fn check_deadline(world: &dyn World, seen: &Seen, after: Duration, reason: &str) {
    check_alive_for(world, seen, after);
    world.advance(LATE);
    world.settle();
    let events = seen.events();
    let expected = format!("lost: {reason}");
    assert_eq!(events.last(), Some(&expected), "{events:?}");
    assert_eq!(world.reactor().statistics().failures, 0);
}

/// Lets almost all of `time` pass, in steps, and shows that the connection lives.
#[track_caller]
fn check_alive_for(world: &dyn World, seen: &Seen, time: Duration) {
    const STEPS: u32 = 7;
    let almost = time.checked_sub(Duration::from_millis(1));
    let almost = almost.expect("longer than that");
    for step in 0..STEPS {
        let passed = almost * step / STEPS;
        world.advance(almost * (step + 1) / STEPS - passed);
        assert!(!seen.is_lost(), "{passed:?}: {:?}", seen.events());
    }
    world.advance(Duration::from_millis(1));
}

/// A server that closes while its peer does not read.
#[track_caller]
fn stuck(world: &dyn World) -> Pair {
    set_limits(&world.reactor(), |limits| limits.output_hard = 4 * FLOOD);
    let server = Recorder::new().on_data(|transport, _| {
        transport.write(&pattern(FLOOD));
        transport.lose_connection();
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().pause_producing();
    pair.client.transport().write(b"go");
    world.until(&mut || pair.server.received() == 2);
    world.settle();
    pair
}

/// Closing towards a peer that never reads takes as long as the limit `shutdown`, 5 s.
pub fn shutdown_deadline(world: &dyn World) {
    let pair = stuck(world);
    check_deadline(world, &pair.server, 5 * SECOND, "Shutdown deadline");
    assert_eq!(world.reactor().statistics().queued_bytes, 0);
}

/// A second `lose_connection`, and bytes from the peer, do not put it off.
pub fn shutdown_deadline_is_not_put_off(world: &dyn World) {
    let pair = stuck(world);
    check_alive_for(world, &pair.server, 3 * SECOND);
    pair.server.transport().lose_connection();
    pair.client.transport().write(b"more");
    check_deadline(world, &pair.server, 2 * SECOND, "Shutdown deadline");
}

/// A connection on which nothing happens ends at the limit `idle`, 60 s.
pub fn idle_deadline(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    check_deadline(world, &pair.server, 60 * SECOND, "Idle deadline");
    world.until(&mut || pair.client.is_lost());
}

/// Every byte from the peer starts it again.
pub fn idle_deadline_restarts_with_each_byte(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    for count in 1..=4 {
        check_alive_for(world, &pair.server, 50 * SECOND);
        pair.client.transport().write(b"x");
        world.until(&mut || pair.server.received() == count);
    }
    check_deadline(world, &pair.server, 60 * SECOND, "Idle deadline");
}

/// So does every byte that leaves: a server that only sends is not idle.
pub fn idle_deadline_restarts_with_bytes_sent(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    for count in 1..=4 {
        check_alive_for(world, &pair.server, 50 * SECOND);
        pair.server.transport().write(b"x");
        world.until(&mut || pair.client.received() == count);
    }
    check_deadline(world, &pair.server, 60 * SECOND, "Idle deadline");
}

/// A connection can have its own idle deadline.
pub fn set_idle_timeout(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let after = Duration::from_secs(3);
    pair.server.transport().set_idle_timeout(Some(after));
    check_deadline(world, &pair.server, after, "Idle deadline");
}

/// Or none.
pub fn set_idle_timeout_none(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.server.transport().set_idle_timeout(None);
    check_alive_for(world, &pair.server, 100_000 * SECOND);
}

/// An outgoing connection has an idle deadline only when it asks for one.
pub fn clients_have_no_idle_deadline(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.server.transport().set_idle_timeout(None);
    check_alive_for(world, &pair.client, 100_000 * SECOND);
    let client = pair.client.transport();
    client.set_idle_timeout(Some(100_010 * SECOND));
    check_deadline(world, &pair.client, 10 * SECOND, "Idle deadline");
}

/// A pair whose server waits for a first request, which is `!`.
#[track_caller]
fn shy(world: &dyn World) -> Pair {
    let server = Recorder::new()
        .on_made(|transport| {
            transport.start_handshake();
            Ok(())
        })
        .on_data(|transport, data| {
            if data.ends_with(b"!") {
                transport.handshake_done();
            }
            Ok(())
        });
    pair(world, server, Recorder::new())
}

/// A first request that is not complete ends the connection at the limit `handshake`, 10 s.
pub fn handshake_deadline(world: &dyn World) {
    let pair = shy(world);
    check_deadline(world, &pair.server, 10 * SECOND, "Handshake deadline");
}

/// It counts from when it was asked for, which may be long after the beginning of the connection.
pub fn handshake_deadline_begins_when_it_is_asked_for(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    check_alive_for(world, &pair.server, 30 * SECOND);
    pair.server.transport().start_handshake();
    check_deadline(world, &pair.server, 10 * SECOND, "Handshake deadline");
}

/// One byte now and then does not put it off.
pub fn handshake_deadline_is_not_put_off(world: &dyn World) {
    let pair = shy(world);
    for count in 1..=9 {
        pair.client.transport().write(b"x");
        world.until(&mut || pair.server.received() == count);
        check_alive_for(world, &pair.server, SECOND);
    }
    check_deadline(world, &pair.server, SECOND, "Handshake deadline");
}

/// A complete request ends the handshake.
pub fn handshake_done(world: &dyn World) {
    let pair = shy(world);
    check_alive_for(world, &pair.server, 9 * SECOND);
    pair.client.transport().write(b"!");
    world.until(&mut || pair.server.received() == 1);
    check_alive_for(world, &pair.server, 30 * SECOND);
}

/// After the handshake the idle deadline counts from its last byte, not from its start.
pub fn idle_deadline_starts_anew_after_the_handshake(world: &dyn World) {
    let pair = shy(world);
    check_alive_for(world, &pair.server, 9 * SECOND);
    pair.client.transport().write(b"!");
    world.until(&mut || pair.server.received() == 1);
    check_deadline(world, &pair.server, 60 * SECOND, "Idle deadline");
}

/// More calls from threads than the limit `thread_calls` are refused and given back; the others are made.
pub fn thread_calls_are_limited(world: &dyn World) {
    let reactor = world.reactor();
    set_limits(&reactor, |limits| limits.thread_calls = 3);
    let remote = reactor.remote();
    let call = |reactor: &crate::Reactor| {
        reactor.call_later(Duration::from_secs(1), || ());
    };
    for _ in 0..3 {
        assert!(remote.call_from_thread(call).is_ok());
    }
    let refused = remote.call_from_thread(call);
    let Err(Rejected::Full(_, given_back)) = refused else {
        panic!("the fourth one was not refused: {refused:?}");
    };
    world.settle();
    assert_eq!(reactor.statistics().timers, 3);
    assert!(remote.call_from_thread(given_back).is_ok());
    world.settle();
    assert_eq!(reactor.statistics().timers, 4);
}
