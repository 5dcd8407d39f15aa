//! Reading: pausing, resuming, fairness, and what is not delivered any more.

use super::{
    World,
    recorder::{FLOOD, Recorder, connect, connected, listen, pair, pattern, set_limits},
};
use crate::producer::{Pace, Producer};
use std::{cell::Cell, rc::Rc};

/// Nothing is delivered while reading is paused, and nothing is lost.
pub fn stop_start_reading(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.pause_producing();
    assert!(server.is_paused());
    world.settle();
    pair.client.transport().write(b"hello");
    world.settle();
    pair.server.check(&["made"]);
    server.resume_producing();
    assert!(!server.is_paused());
    world.until(&mut || pair.server.received() == 5);
    pair.server.check(&["made", "reading resumed", "data"]);
}

/// After a pause from inside `data_received` no second one comes, however much has arrived.
pub fn pause_inside_data_received(world: &dyn World) {
    let calls = Rc::new(Cell::new(0));
    let count = Rc::clone(&calls);
    let server = Recorder::new().on_data(move |transport, _| {
        count.set(count.get() + 1);
        transport.pause_producing();
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    let sent = pattern(1 << 20);
    pair.client.transport().write(&sent);
    while pair.server.received() < sent.len() {
        let before = calls.get();
        world.until(&mut || calls.get() > before);
        world.settle();
        assert_eq!(calls.get(), before + 1);
        pair.server.transport().resume_producing();
    }
    assert!(pair.server.bytes() == sent, "the bytes are others");
}

/// A pause in `connection_made` keeps back even the first byte.
pub fn pause_in_connection_made(world: &dyn World) {
    let server = Recorder::new().on_made(|transport| {
        transport.pause_producing();
        Ok(())
    });
    let client = Recorder::new().on_made(|transport| {
        transport.write(b"early");
        Ok(())
    });
    let pair = pair(world, server, client);
    world.settle();
    pair.server.check(&["made"]);
    pair.server.transport().resume_producing();
    world.until(&mut || pair.server.received() == 5);
}

/// `reading_resumed` follows a pause and a resumption, and nothing else.
pub fn read_when_full_is_no_resumption(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.read_when_full(true);
    world.settle();
    server.read_when_full(false);
    server.resume_producing();
    world.settle();
    pair.server.check(&["made"]);
}

/// Once `lose_connection` was called a resumption brings no data back.
pub fn resume_producing_while_disconnecting(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    // The registered producer keeps it from closing.
    let registered = server.register_producer(Idle, Pace::Streaming);
    registered.expect("the first one");
    server.pause_producing();
    server.lose_connection();
    server.resume_producing();
    pair.client.transport().write(b"too late");
    world.settle();
    pair.server.check(&["made"]);
    server.unregister_producer();
    world.until(&mut || pair.server.is_lost());
    pair.server.check(&["made", "lost: done"]);
}

struct Idle;

impl Producer for Idle {
    fn resume_producing(&mut self, _: &crate::Transport) -> crate::Result {
        Ok(())
    }
}

/// After the end it does nothing at all.
pub fn resume_producing_while_disconnected(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.pause_producing();
    server.abort_connection();
    world.until(&mut || pair.server.is_lost());
    server.resume_producing();
    server.pause_producing();
    server.read_when_full(true);
    world.settle();
    pair.server.check(&["made", "lost: aborted"]);
}

/// A peer that leaves while its bytes are paused: after the resumption they come, and then its end.
pub fn connection_lost_after_paused_transport(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.pause_producing();
    world.settle();
    pair.client.transport().write(b"farewell");
    pair.client.transport().lose_connection();
    world.until(&mut || pair.client.is_lost());
    world.settle();
    assert_eq!(pair.server.received(), 0);
    server.resume_producing();
    world.until(&mut || pair.server.is_lost());
    assert_eq!(pair.server.bytes(), b"farewell");
    let expected = [
        "made",
        "reading resumed",
        "data",
        "read closed",
        "lost: done",
    ];
    pair.server.check(&expected);
}

/// What arrives after `lose_connection` is not delivered, although the connection is still flushing.
pub fn protocol_garbage_after_lost_connection(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_hard = 4 * FLOOD);
    let server = Recorder::new().on_data(|transport, _| {
        transport.write(&pattern(FLOOD));
        transport.lose_connection();
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    let client = pair.client.transport();
    client.pause_producing();
    client.write(b"go");
    world.until(&mut || pair.server.received() == 2);
    client.write(b"garbage");
    world.settle();
    assert_eq!(pair.server.bytes(), b"go");
    client.resume_producing();
    world.until(&mut || pair.server.is_lost());
    assert_eq!(pair.server.bytes(), b"go");
    let events = pair.server.events();
    assert_eq!(events.last().map(|event| &**event), Some("lost: done"));
}

/// In one turn about `bytes_per_turn` of one peer are delivered: once for what was left over, once for what is new.
pub fn bytes_per_turn_bound_a_flooding_peer(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.bytes_per_turn = 10_000);
    let most = Rc::new(Cell::new(0));
    let (turn, in_turn, max) = (Cell::new(0), Cell::new(0), Rc::clone(&most));
    let server = Recorder::new().on_data(move |transport, data| {
        let now = transport.reactor()?.statistics().turns;
        if turn.replace(now) != now {
            in_turn.set(0);
        }
        in_turn.set(in_turn.get() + data.len());
        max.set(max.get().max(in_turn.get()));
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    let sent = pattern(1 << 20);
    pair.client.transport().write(&sent);
    world.until(&mut || pair.server.received() == sent.len());
    assert!(most.get() <= 20_000, "{} bytes in one turn", most.get());
    assert!(pair.server.bytes() == sent, "the bytes are others");
}

/// A quiet peer is answered within a few turns although another one floods.
pub fn a_quiet_peer_is_answered_beside_a_flooding_one(world: &dyn World) {
    let reactor = world.reactor();
    set_limits(&reactor, |limits| limits.bytes_per_turn = 4096);
    let flooded = Rc::new(Cell::new(0));
    let count = Rc::clone(&flooded);
    let port = listen(world, move || {
        let flooded = Rc::clone(&count);
        Recorder::new().on_data(move |transport, data| {
            flooded.set(flooded.get() + data.len());
            if data == b"ping" {
                transport.write(b"pong");
            }
            Ok(())
        })
    });
    let quiet = connected(world, &port, Recorder::new());
    let flood = connected(world, &port, Recorder::new());
    flood.transport().write(&pattern(4 << 20));
    world.until(&mut || flooded.get() > 100_000);
    let (before, start) = (flooded.get(), reactor.statistics().turns);
    quiet.transport().write(b"ping");
    world.until(&mut || quiet.received() == 4);
    let turns = reactor.statistics().turns - start;
    let meanwhile = flooded.get() - before;
    assert!(turns < 50, "it took {turns} turns");
    assert!(
        meanwhile < 50 * 4096,
        "{meanwhile} bytes of the flood came first"
    );
}

/// What is sent is what arrives, both ways, whatever its size.
pub fn large_data_arrives_byte_exact(world: &dyn World) {
    let pair = pair(world, Recorder::echo(), Recorder::new());
    let sent = pattern(3_000_001);
    pair.client.transport().write(&sent);
    world.until(&mut || pair.client.received() >= sent.len());
    assert!(pair.server.bytes() == sent, "the server got other bytes");
    assert!(pair.client.bytes() == sent, "the client got other bytes");
    check_nothing_follows(world, &pair.client, sent.len());
}

/// Ten thousand small writes arrive in order and without gaps.
pub fn small_writes_arrive_in_order(world: &dyn World) {
    let server = Recorder::new();
    let seen = server.seen();
    let port = super::recorder::listen_once(world, server);
    let sent: String = (0..10_000).map(|number| format!("{number};")).collect();
    let copy = sent.clone();
    let client = Recorder::new().on_made(move |transport| {
        for piece in copy.split_inclusive(';') {
            transport.write(piece.as_bytes());
        }
        Ok(())
    });
    connect(world, &port, client);
    world.until(&mut || seen.received() >= sent.len());
    assert_eq!(String::from_utf8_lossy(&seen.bytes()), sent);
}

#[track_caller]
fn check_nothing_follows(world: &dyn World, seen: &super::recorder::Seen, length: usize) {
    world.settle();
    assert_eq!(seen.received(), length);
}
