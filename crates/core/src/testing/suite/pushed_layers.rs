//! Layers that are pushed below a living protocol: where they begin, and what stays as it was.

use super::{
    World,
    layers::{KEY, LATE, OTHER, turned},
    recorder::{Log, Pair, Recorder, pair},
    veil::{Key, Veil, hello},
    write::write_pieces,
};
use crate::{address::Address, transport::Transport};
use std::{rc::Rc, time::Duration};

/// Upgrades both ends of a connection when the client says so, as STARTTLS does.
#[track_caller]
fn upgraded_pair(world: &dyn World) -> Pair {
    let server = Recorder::new().on_data(|transport, data| {
        if data == b"start" {
            transport.write(b"ok");
            transport.push_layer(Veil::waiting(KEY));
            transport.write(b"welcome");
        }
        Ok(())
    });
    let client = Recorder::new().on_data(|transport, data| {
        if data == b"ok" {
            transport.push_layer(Veil::new(KEY));
            transport.write(b"thanks");
        }
        Ok(())
    });
    let pair = pair(world, server, client);
    pair.client.transport().write(b"start");
    world.until(&mut || pair.client.received() == 9 && pair.server.received() == 11);
    pair
}

/// What was written before a layer was pushed goes out as it was, what is written after goes through it; the protocol
/// and its handles live on.
pub fn a_pushed_layer_begins_where_it_was_pushed(world: &dyn World) {
    let pair = upgraded_pair(world);
    assert_eq!(pair.client.bytes(), b"okwelcome");
    assert_eq!(pair.server.bytes(), b"startthanks");
    pair.server.check(&["made", "data"]);
    let server = pair.server.transport();
    let statistics = server.statistics();
    assert_eq!(
        (statistics.received, statistics.sent, statistics.queued),
        (11, 9, 0)
    );
    assert_eq!(server.info::<Key>(), Some(Rc::new(Key(KEY))));
    assert!(server.info::<Log>().is_none());
    server.lose_connection();
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.check(&["made", "data", "lost: done"]);
    pair.client
        .check(&["made", "data", "read closed", "lost: done"]);
}

/// Also when it is so much that it could leave at once.
pub fn much_written_after_a_push_goes_through_the_layer(world: &dyn World) {
    let server = Recorder::new().on_data(|transport, data| {
        if data == b"start" {
            transport.write(b"ok");
            transport.push_layer(Veil::waiting(KEY));
            write_pieces(transport, &[vec![b'x'; 50_000]]);
        }
        Ok(())
    });
    let client = Recorder::new().on_data(|transport, data| {
        if data == b"ok" {
            transport.push_layer(Veil::new(KEY));
        }
        Ok(())
    });
    let pair = pair(world, server, client);
    pair.client.transport().write(b"start");
    world.until(&mut || pair.client.received() == 50_002);
    assert!(pair.client.bytes()[2..].iter().all(|byte| *byte == b'x'));
}

/// The same, as it looks on the wire, with two layers that are pushed in one callback.
pub fn two_pushed_layers_lie_on_each_other(world: &dyn World) {
    let server = Recorder::new().on_data(|transport, data| {
        if data == b"go" {
            transport.write(b"0");
            transport.push_layer(Veil::new(KEY));
            transport.write(b"1");
            transport.push_layer(Veil::new(OTHER));
            transport.write(b"2");
        }
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    let client = pair.client.transport();
    client.write(b"go");
    let mut expected = b"0".to_vec();
    expected.extend(hello(KEY));
    world.until(&mut || pair.client.received() == expected.len());
    world.settle();
    assert_eq!(pair.client.bytes(), expected);
    client.write(&hello(KEY));
    expected.extend(turned(b"1", KEY));
    expected.extend(turned(&hello(OTHER), KEY));
    world.until(&mut || pair.client.received() == expected.len());
    world.settle();
    assert_eq!(pair.client.bytes(), expected);
    client.write(&turned(&hello(OTHER), KEY));
    expected.extend(turned(b"2", KEY ^ OTHER));
    world.until(&mut || pair.client.received() == expected.len());
    assert_eq!(pair.client.bytes(), expected);
    client.write(&turned(b"end", KEY ^ OTHER));
    world.until(&mut || pair.server.received() == 5);
    assert_eq!(pair.server.bytes(), b"goend");
    let server = pair.server.transport();
    assert_eq!(server.info::<Key>(), Some(Rc::new(Key(OTHER))));
    client.abort_connection();
    world.until(&mut || pair.server.is_lost());
    let lost = pair.server.events().into_iter();
    assert_eq!(lost.filter(|event| event.starts_with("lost")).count(), 1);
}

/// A layer may be pushed from outside any callback, and inside `connection_made`.
pub fn a_layer_is_pushed_from_anywhere(world: &dyn World) {
    let pair = pair(world, Recorder::echo(), Recorder::new());
    pair.server.transport().write(b"plain");
    pair.server.transport().push_layer(Veil::new(KEY));
    pair.server.transport().write(b"veiled");
    world.until(&mut || pair.client.received() == 8);
    pair.client.transport().write(&hello(KEY));
    world.until(&mut || pair.client.received() == 14);
    assert_eq!(pair.client.bytes()[8..], turned(b"veiled", KEY));
    pair.client.transport().write(&turned(b"echo", KEY));
    world.until(&mut || pair.client.received() == 18);
    assert_eq!(pair.server.bytes(), b"echo");

    let made = |transport: &Transport| {
        transport.push_layer(Veil::new(KEY));
        transport.write(b"first");
        Ok(())
    };
    let pair = super::recorder::pair(
        world,
        Recorder::new().on_made(made),
        Recorder::new().on_made(made),
    );
    world.until(&mut || pair.client.received() == 5 && pair.server.received() == 5);
    pair.server.check(&["made", "data"]);
}

/// Pushed when closing was asked for, the layer comes up first, and what was written is sent through it; but closing
/// takes no longer than its limit.
pub fn a_layer_that_is_pushed_when_closing(world: &dyn World) {
    let server = || {
        Recorder::new().on_data(|transport, _| {
            transport.write(b"bye");
            transport.lose_connection();
            transport.push_layer(Veil::waiting(KEY));
            transport.write(b"sealed");
            Ok(())
        })
    };
    let client = Recorder::new().on_data(|transport, data| {
        if data == b"bye" {
            transport.push_layer(Veil::new(KEY));
        }
        Ok(())
    });
    let pair = pair(world, server(), client);
    pair.client.transport().write(b"x");
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    assert_eq!(pair.client.bytes(), b"byesealed");
    pair.server.check(&["made", "data", "lost: done"]);

    let pair = super::recorder::pair(world, server(), Recorder::new());
    pair.client.transport().write(b"x");
    world.until(&mut || pair.client.received() == 3);
    world.advance(Duration::from_millis(4_900));
    assert!(!pair.server.is_lost());
    world.advance(LATE);
    pair.server
        .check(&["made", "data", "lost: Shutdown deadline"]);
}

/// After `lose_write_connection` a layer could say nothing; after the end nothing happens.
pub fn a_layer_that_is_pushed_too_late(world: &dyn World) {
    let server = Recorder::new().on_data(|transport, _| {
        transport.lose_write_connection();
        transport.push_layer(Veil::new(KEY));
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().write(b"x");
    world.until(&mut || pair.server.is_lost());
    let reason = crate::error::PushedTooLate.to_string();
    pair.server
        .check(&["made", "data", &format!("lost: {reason}")]);
    let log = Log::default();
    let veil = Veil {
        log: log.clone(),
        ..Veil::new(KEY)
    };
    pair.server.transport().push_layer(veil);
    world.settle();
    log.check(&[]);
}

/// A peer that sends no more before the layer is pushed: the layer is told.
pub fn a_layer_hears_that_the_peer_sends_no_more(world: &dyn World) {
    let server = Recorder::new().on_read_closed(|_| Ok(()));
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().lose_write_connection();
    world.until(&mut || pair.server.has("read closed"));
    pair.server.transport().push_layer(Veil::new(KEY));
    world.until(&mut || pair.server.is_lost());
    pair.server
        .check(&["made", "read closed", "lost: closed before the veil was up"]);
}

/// The end of our own bytes is told when the layer is up, and not before.
pub fn half_close_waits_for_a_pushed_layer(world: &dyn World) {
    let server = Recorder::new().on_data(|transport, data| {
        if data == b"go" {
            transport.push_layer(Veil::waiting(KEY));
            transport.lose_write_connection();
        }
        Ok(())
    });
    let client = Recorder::new().on_read_closed(|_| Ok(()));
    let pair = pair(world, server, client);
    let client = pair.client.transport();
    client.write(b"go");
    world.until(&mut || pair.server.received() == 2);
    world.settle();
    pair.client.check(&["made"]);
    client.write(&hello(KEY));
    world.until(&mut || pair.client.has("read closed"));
    assert_eq!(pair.client.bytes(), hello(KEY));
    client.write(&turned(b"on", KEY));
    client.lose_write_connection();
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    assert_eq!(pair.server.bytes(), b"goon");
    pair.server
        .check(&["made", "data", "read closed", "lost: done"]);
}

/// What belongs to the whole connection is asked of the lowest link: deadlines, options, our own address.
pub fn the_lowest_link_has_deadlines_and_options(world: &dyn World) {
    let pair = upgraded_pair(world);
    let server = pair.server.transport();
    assert_ne!(server.host(), Address::Unknown);
    server.set_idle_timeout(Some(Duration::from_secs(5)));
    world.advance(Duration::from_millis(4_900));
    assert!(!pair.server.is_lost());
    world.advance(LATE);
    pair.server.check(&["made", "data", "lost: Idle deadline"]);
    assert_eq!(server.host(), Address::Unknown);

    let pair = upgraded_pair(world);
    let server = pair.server.transport();
    server.start_handshake();
    world.advance(Duration::from_millis(9_000));
    server.handshake_done();
    world.advance(Duration::from_secs(50));
    pair.server.check(&["made", "data"]);
    server.start_handshake();
    world.advance(Duration::from_secs(10) + LATE);
    pair.server
        .check(&["made", "data", "lost: Handshake deadline"]);
}

/// A deadline that was set before a layer was pushed holds after it.
pub fn an_idle_timeout_outlives_a_push(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.set_idle_timeout(Some(Duration::from_secs(5)));
    server.push_layer(Veil::waiting(KEY));
    pair.client.transport().push_layer(Veil::new(KEY));
    pair.client.transport().write(b"x");
    world.until(&mut || pair.server.received() == 1);
    world.advance(Duration::from_millis(4_900));
    assert!(!pair.server.is_lost());
    world.advance(LATE);
    pair.server.check(&["made", "data", "lost: Idle deadline"]);
}
