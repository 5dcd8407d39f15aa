//! Ends of connections: flushed, reset, asked for twice; and calls into a protocol from outside.

use super::{
    World,
    recorder::{FLOOD, Log, Recorder, listen_once, pair, pattern, set_limits, turned_away, watch},
};
use crate::{
    failure::{Failure, Result},
    reactor::Connection,
};
use std::{cell::RefCell, rc::Rc};

/// Everything written before `lose_connection` arrives before the end.
pub fn lose_connection_flushes_first(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let sent = pattern(1 << 20);
    pair.server.transport().write(&sent);
    pair.server.transport().lose_connection();
    world.until(&mut || pair.client.is_lost() && pair.server.is_lost());
    assert!(pair.client.bytes() == sent, "the bytes are others");
    let events = pair.server.events();
    assert_eq!(events.first().map(|e| &**e), Some("made"));
    assert_eq!(events.last().map(|e| &**e), Some("lost: done"));
    pair.client
        .check(&["made", "data", "read closed", "lost: done"]);
}

/// The same although the peer sent more than the protocol wanted to read: it must not lose the answer.
pub fn lose_connection_flushes_although_bytes_wait_unread(world: &dyn World) {
    let sent = pattern(1 << 20);
    let answer = sent.clone();
    let server = Recorder::new().on_data(move |transport, _| {
        transport.write(&answer);
        transport.lose_connection();
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().write(&pattern(300_000));
    world.until(&mut || pair.client.is_lost() && pair.server.is_lost());
    assert_eq!(pair.client.received(), sent.len(), "the answer was cut off");
    assert!(pair.client.bytes() == sent, "the bytes are others");
}

/// `lose_connection` only notes a wish: nothing is called before the loop's next turn, or the end of the callback.
pub fn lose_connection_never_calls_back_synchronously(world: &dyn World) {
    let place: Rc<RefCell<Option<super::recorder::Seen>>> = Rc::default();
    let own = Rc::clone(&place);
    let server = Recorder::new().on_data(move |transport, _| {
        transport.lose_connection();
        let seen = own.borrow().clone().expect("it was set");
        assert!(!seen.is_lost(), "it called back");
        seen.note("after lose_connection");
        Ok(())
    });
    place.replace(Some(server.seen()));
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().write(b"x");
    world.until(&mut || pair.server.is_lost());
    pair.server
        .check(&["made", "data", "after lose_connection", "lost: done"]);
    world.until(&mut || pair.client.is_lost());
    let pair = super::recorder::pair(world, Recorder::new(), Recorder::new());
    pair.server.transport().lose_connection();
    pair.server.check(&["made"]);
    world.until(&mut || pair.server.is_lost());
    pair.server.check(&["made", "lost: done"]);
}

/// The second time nothing happens.
pub fn lose_connection_twice(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.server.transport().lose_connection();
    pair.server.transport().lose_connection();
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.transport().lose_connection();
    world.settle();
    pair.server.check(&["made", "lost: done"]);
    pair.client.check(&["made", "read closed", "lost: done"]);
}

/// Both ends close in the same moment: each ends once.
pub fn both_ends_close_at_once(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.server.transport().write(b"bye");
    pair.client.transport().lose_connection();
    pair.server.transport().lose_connection();
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    world.settle();
    for seen in [&pair.server, &pair.client] {
        let events = seen.events();
        let lost = events.iter().filter(|event| event.starts_with("lost"));
        assert_eq!(lost.count(), 1, "{events:?}");
    }
}

/// `abort_connection` calls nothing back before it returns, inside a callback or outside.
pub fn abort_never_calls_back_synchronously(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.server.transport().abort_connection();
    pair.server.check(&["made"]);
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.check(&["made", "lost: aborted"]);
    pair.client.check_reset(world);
}

/// The second time nothing happens, before the end and after it.
pub fn abort_connection_twice(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.abort_connection();
    server.abort_connection();
    world.until(&mut || pair.server.is_lost());
    server.abort_connection();
    world.settle();
    pair.server.check(&["made", "lost: aborted"]);
}

/// The abort wins.
pub fn abort_then_lose_connection(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.abort_connection();
    server.lose_connection();
    world.until(&mut || pair.server.is_lost());
    server.lose_connection();
    world.settle();
    pair.server.check(&["made", "lost: aborted"]);
}

/// An abort does not wait for the flush that `lose_connection` has begun.
pub fn lose_connection_then_abort(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_hard = 4 * FLOOD);
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.client.transport().pause_producing();
    let server = pair.server.transport();
    server.write(&pattern(FLOOD));
    server.lose_connection();
    world.settle();
    pair.server.check(&["made", "write paused"]);
    server.abort_connection();
    world.until(&mut || pair.server.is_lost());
    pair.server
        .check(&["made", "write paused", "lost: aborted"]);
}

/// After an abort from inside `data_received` no more data comes.
pub fn abort_from_data_received(world: &dyn World) {
    let server = Recorder::new().on_data(|transport, _| {
        transport.write(b"never sent");
        transport.abort_connection();
        transport.write(b"neither");
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    let sent = pattern(1 << 20);
    pair.client.transport().write(&sent);
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    assert!(pair.server.received() < sent.len(), "it read on");
    pair.server.check(&["made", "data", "lost: aborted"]);
    assert_eq!(pair.client.received(), 0);
}

/// An abort in `connection_made` ends the connection before any data.
pub fn abort_in_connection_made(world: &dyn World) {
    let server = Recorder::new().on_made(|transport| {
        transport.abort_connection();
        Ok(())
    });
    let seen = server.seen();
    let port = listen_once(world, server);
    let client = Recorder::new().on_made(|transport| {
        transport.write(b"hello?");
        Ok(())
    });
    turned_away(world, &port, client);
    seen.check(&["made", "lost: aborted"]);
}

/// An abort throws away what waits, and a peer that does not read does not hold it up.
pub fn abort_with_full_buffer(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_hard = 4 * FLOOD);
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.client.transport().pause_producing();
    let server = pair.server.transport();
    server.write(&pattern(FLOOD));
    world.settle();
    assert!(server.statistics().queued > 0, "the buffers took it all");
    server.abort_connection();
    world.until(&mut || pair.server.is_lost());
    pair.server
        .check(&["made", "write paused", "lost: aborted"]);
    assert_eq!(world.reactor().statistics().queued_bytes, 0);
}

/// A peer that resets while it is written to (RT-08): one end, with a reason, and nothing goes round in circles.
pub fn reset_while_writing(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_hard = 4 * FLOOD);
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.client.transport().pause_producing();
    let server = pair.server.transport();
    server.write(&pattern(FLOOD));
    world.settle();
    pair.client.transport().abort_connection();
    server.write(b"more");
    world.until(&mut || pair.server.is_lost());
    world.settle();
    pair.server.check(&["made", "write paused", "lost: broken"]);
    assert!(!world.reactor().has_backlog(), "it spins");
}

/// What a callback asks of its own protocol through `Connection::call` happens after it, not inside it.
pub fn never_re_entered(world: &dyn World) {
    let log = Log::default();
    let place: Rc<RefCell<Option<Connection<Recorder>>>> = Rc::default();
    let (own, inside) = (Rc::clone(&place), log.clone());
    let client = Recorder::new().on_data(move |transport, _| {
        let connection = own.borrow().clone().expect("it was set");
        let called = inside.clone();
        inside.note("data begins");
        connection.call(move |_, _| called.note("call")).detach();
        transport.write(b"x");
        inside.note("data ends");
        Ok(())
    });
    let port = listen_once(world, Recorder::echo());
    let connecting = world
        .client()
        .connect_protocol(&world.connect_to(&port), client);
    let set = Rc::clone(&place);
    connecting
        .map(move |connection| {
            connection.transport().write(b"go");
            set.replace(Some(connection));
        })
        .detach();
    world.until(&mut || log.count("call") == 3);
    let round = ["data begins", "data ends", "call"];
    let events = log.events();
    for events in events.chunks_exact(3) {
        assert_eq!(events, round);
    }
    place.take();
}

/// Calls reach the protocol in the order in which they were asked for, and their results come back.
pub fn calls_are_made_in_order(world: &dyn World) {
    let (connection, _server) = connection(world);
    let ends: Vec<_> = (0..5)
        .map(|number| {
            connection.call(move |recorder: &mut Recorder, _| {
                recorder.seen().note(format!("call {number}"));
                Ok(number)
            })
        })
        .collect();
    let seen: Rc<RefCell<Vec<i32>>> = Rc::default();
    for end in ends {
        let seen = Rc::clone(&seen);
        end.map(move |number| seen.borrow_mut().push(number))
            .detach();
    }
    world.until(&mut || seen.borrow().len() == 5);
    assert_eq!(*seen.borrow(), [0, 1, 2, 3, 4]);
}

/// After the end a call fails at once.
pub fn calls_after_the_end_fail(world: &dyn World) {
    let (connection, server) = connection(world);
    connection.transport().abort_connection();
    world.until(&mut || server.is_lost());
    world.settle();
    let end = watch(connection.call(|_, _| -> Result { panic!("nobody is there") }));
    end.check(&["done"]);
}

/// Calls that wait when the connection is aborted fail, and are not made.
pub fn calls_queued_before_an_abort_fail(world: &dyn World) {
    let (connection, server) = connection(world);
    connection.transport().abort_connection();
    let end = watch(connection.call(|_, _| -> Result { panic!("it was aborted") }));
    world.until(&mut || server.is_lost());
    world.settle();
    end.check(&["aborted"]);
}

/// `Transport::fail` ends the connection with its reason, later and once.
pub fn fail_ends_it_with_that_reason(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.fail(Failure::msg("enough"));
    server.fail(Failure::msg("more than enough"));
    pair.server.check(&["made"]);
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.check(&["made", "lost: enough"]);
    pair.client.check_reset(world);
}

/// A client's typed handle, and its server.
#[track_caller]
fn connection(world: &dyn World) -> (Connection<Recorder>, super::recorder::Seen) {
    let server = Recorder::new();
    let seen = server.seen();
    let port = listen_once(world, server);
    let place: Rc<RefCell<Option<Connection<Recorder>>>> = Rc::default();
    let set = Rc::clone(&place);
    let connecting = world
        .client()
        .connect_protocol(&world.connect_to(&port), Recorder::new());
    connecting
        .map(move |connection| {
            set.replace(Some(connection));
        })
        .detach();
    world.until(&mut || seen.is_made() && place.borrow().is_some());
    (place.take().expect("it was there"), seen)
}
