//! Writing: order, water marks, the hard limit, and what is still sent at the end.

use super::{
    World,
    recorder::{FLOOD, Pair, Recorder, connect, listen_once, pair, pattern, set_limits},
};
use crate::transport::Transport;
use bytes::Bytes;
use std::io::{IoSlice, Write};

/// Writing after the end is silently ignored, from either kind of end.
pub fn write_after_disconnect(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.client.transport().abort_connection();
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.transport().write(b"too late");
    pair.client.transport().write(b"too late");
    pair.server.transport().write_bytes(vec![0; 100_000].into());
    world.settle();
    pair.server.check_reset(world);
    pair.client.check(&["made", "lost: aborted"]);
    assert_eq!(world.reactor().statistics().queued_bytes, 0);
}

/// The same for a sequence.
pub fn write_sequence_after_disconnect(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.client.transport().lose_connection();
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    let pieces: [&[u8]; 2] = [b"too", b"late"];
    pair.server.transport().write_sequence(pieces);
    pair.client.transport().write_sequence(pieces);
    world.settle();
    pair.server.check(&["made", "read closed", "lost: done"]);
    pair.client.check(&["made", "lost: done"]);
    assert_eq!(world.reactor().statistics().queued_bytes, 0);
}

/// The pieces of a sequence arrive one after the other.
pub fn write_sequence_is_one_write(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let pieces: [&[u8]; 4] = [b"one ", b"", b"two ", b"three"];
    pair.client.transport().write_sequence(pieces);
    world.until(&mut || pair.server.received() == 13);
    assert_eq!(pair.server.bytes(), b"one two three");
}

/// An empty write is none: nothing arrives, nothing ends, what follows is sent.
pub fn writing_nothing_sends_nothing(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let client = pair.client.transport();
    client.write(b"");
    client.write_bytes(Bytes::new());
    client.write_sequence([]);
    world.settle();
    pair.server.check(&["made"]);
    client.write(b"x");
    world.until(&mut || pair.server.received() == 1);
    assert_eq!(client.statistics().sent, 1);
}

/// A pair whose client does not read, and whose server may queue a lot.
#[track_caller]
fn slow_reader(world: &dyn World, server: Recorder) -> Pair {
    set_limits(&world.reactor(), |limits| limits.output_hard = 4 * FLOOD);
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().pause_producing();
    world.settle();
    pair
}

/// Above the high-water mark `write_paused` comes once, and once all has left `write_resumed`, however often is
/// written meanwhile.
pub fn write_paused_and_write_resumed_come_once(world: &dyn World) {
    let pair = slow_reader(world, Recorder::new());
    let server = pair.server.transport();
    server.write(b"below the mark");
    world.settle();
    pair.server.check(&["made"]);
    for _ in 0..3 {
        server.write(&pattern(FLOOD / 3));
        world.settle();
    }
    pair.server.check(&["made", "write paused"]);
    pair.client.transport().resume_producing();
    world.until(&mut || pair.client.received() == FLOOD / 3 * 3 + 14);
    world.settle();
    pair.server
        .check(&["made", "write paused", "write resumed"]);
    assert_eq!(server.statistics().queued, 0);
}

/// From a peer that does not read what it is sent nothing more is read, until it does.
pub fn reading_pauses_while_output_is_full(world: &dyn World) {
    let pair = slow_reader(world, Recorder::new());
    pair.server.transport().write(&pattern(FLOOD));
    world.settle();
    pair.client.transport().write(b"more");
    world.settle();
    pair.server.check(&["made", "write paused"]);
    pair.client.transport().resume_producing();
    world.until(&mut || pair.server.received() == 4);
    pair.server
        .check(&["made", "write paused", "write resumed", "data"]);
}

/// A protocol can choose to read on.
pub fn reading_goes_on_when_asked_although_output_is_full(world: &dyn World) {
    let pair = slow_reader(world, Recorder::new());
    pair.server.transport().read_when_full(true);
    pair.server.transport().write(&pattern(FLOOD));
    world.settle();
    pair.client.transport().write(b"more");
    world.until(&mut || pair.server.received() == 4);
    assert_eq!(pair.server.count("write resumed"), 0);
}

/// `watch_flush` has `write_resumed` called once everything has left, although it was never too much; and at once, but
/// not from inside the call, when nothing waits.
pub fn watch_flush_tells_once_when_all_has_left(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_high_water = FLOOD);
    let pair = slow_reader(world, Recorder::new());
    let server = pair.server.transport();
    server.watch_flush();
    pair.server.check(&["made"]);
    world.settle();
    pair.server.check(&["made", "write resumed"]);
    server.write(&pattern(FLOOD));
    server.watch_flush();
    server.watch_flush();
    world.settle();
    assert!(server.statistics().queued > 0, "nothing waits");
    pair.server.check(&["made", "write resumed"]);
    pair.client.transport().resume_producing();
    world.until(&mut || pair.server.count("write resumed") == 2);
    assert_eq!(server.statistics().queued, 0);
    server.write(b"more");
    world.until(&mut || pair.client.received() == FLOOD + 4);
    world.settle();
    pair.server
        .check(&["made", "write resumed", "write resumed"]);
}

/// Asked from inside a callback it tells of what that callback wrote; asked in `write_resumed` with nothing written,
/// that was the answer.
pub fn watch_flush_inside_write_resumed(world: &dyn World) {
    let mut left = 3;
    let watch = |transport: &crate::Transport| {
        transport.write(b"x");
        transport.watch_flush();
        Ok(())
    };
    let server = Recorder::new()
        .on_made(watch)
        .on_write_resumed(move |transport| {
            if left > 0 {
                left -= 1;
                return watch(transport);
            }
            transport.watch_flush();
            Ok(())
        });
    let pair = pair(world, server, Recorder::new());
    world.until(&mut || pair.client.received() == 4);
    world.settle();
    assert_eq!(pair.server.count("write resumed"), 4);
    pair.server.transport().write(b"x");
    world.settle();
    assert_eq!(pair.server.count("write resumed"), 4);
}

/// Asked for once it tells once, also when something is written then.
pub fn watch_flush_is_for_once(world: &dyn World) {
    let mut left = 10;
    let server = Recorder::new().on_write_resumed(move |transport| {
        if left > 0 {
            left -= 1;
            transport.write(b"x");
        }
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    pair.server.transport().watch_flush();
    world.until(&mut || pair.client.received() > 0);
    world.settle();
    assert_eq!(pair.server.count("write resumed"), 1);
}

/// It tells before the connection is closed, and never after it has ended.
pub fn watch_flush_before_the_end(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.write(b"last");
    server.watch_flush();
    server.lose_connection();
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    server.watch_flush();
    pair.client.transport().watch_flush();
    world.settle();
    pair.server.check(&["made", "write resumed", "lost: done"]);
    assert_eq!(pair.client.bytes(), b"last");
    assert_eq!(pair.client.count("write resumed"), 0);
}

/// What may still be written shrinks with what waits, whether it waits in the cork or in the queue.
pub fn room_ends_at_the_high_water_mark(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_high_water = 1000);
    let server = Recorder::new().on_data(|transport, _| {
        assert_eq!(transport.room(), 1000);
        transport.write(&[0; 999]);
        assert_eq!(transport.room(), 1);
        transport.write(&[0; 10]);
        assert_eq!(transport.room(), 0);
        Ok(())
    });
    let pair = slow_reader(world, server);
    pair.client.transport().write(b"x");
    world.until(&mut || pair.server.received() == 1);
    world.settle();
    assert_eq!(pair.server.transport().room(), 1000);
    pair.server.transport().write(&pattern(FLOOD));
    world.settle();
    assert_eq!(pair.server.transport().room(), 0);
    assert!(!pair.server.is_lost());
}

/// More output than the hard limit ends the connection; nothing stays queued.
pub fn output_hard_limit_aborts(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_hard = 100_000);
    let pair = pair(world, Recorder::new(), Recorder::new());
    let server = pair.server.transport();
    server.write(&pattern(100_001));
    assert_eq!(pair.server.count("made"), 1);
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    let reason = crate::error::OutputOverflow.to_string();
    pair.server.check(&["made", &format!("lost: {reason}")]);
    assert_eq!(world.reactor().statistics().queued_bytes, 0);
}

/// The limit holds to the byte when many small writes add up to it.
pub fn output_hard_limit_counts_small_writes(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_hard = FLOOD);
    let pair = pair(world, Recorder::new(), Recorder::new());
    pair.client.transport().pause_producing();
    world.settle();
    let server = pair.server.transport();
    let piece = pattern(100_000);
    while server.statistics().queued <= FLOOD && !pair.server.is_lost() {
        server.write(&piece);
        world.settle();
    }
    world.settle();
    let reason = crate::error::OutputOverflow.to_string();
    let expected = ["made", "write paused", &format!("lost: {reason}")];
    pair.server.check(&expected);
}

/// Ten mebibytes in copied and in shared pieces of all sizes arrive in order at a peer that stops now and then.
pub fn mixed_writes_keep_their_order(world: &dyn World) {
    const ALL: usize = 10 << 20;
    let mut since = 0;
    let client = Recorder::new().on_data(move |transport, data| {
        since += data.len();
        if since > 500_000 {
            since = 0;
            transport.pause_producing();
        }
        Ok(())
    });
    let pair = pair(world, Recorder::new(), client);
    let sent = Bytes::from(pattern(ALL));
    let (server, mut at) = (pair.server.transport(), 0);
    for (number, length) in [1, 100, 4095, 4096, 70_000, 3, 300_000]
        .iter()
        .cycle()
        .enumerate()
    {
        let piece = sent.slice(at..ALL.min(at + length));
        at += piece.len();
        if number % 3 == 0 {
            server.write(&piece);
        } else {
            server.write_bytes(piece);
        }
        if at == ALL {
            break;
        }
        if number % 50 == 0 {
            world.settle();
        }
    }
    let client = pair.client.transport();
    world.until(&mut || {
        client.resume_producing();
        pair.client.received() >= ALL
    });
    assert!(pair.client.bytes() == sent, "the bytes are others");
}

/// Pieces that are many bytes may leave at once: never before what was written earlier, and all of them arrive whatever
/// the system has room for.
pub fn pieces_written_as_one_keep_their_order(world: &dyn World) {
    let part = |which: u8, length: usize| vec![which; length];
    let parts = [
        vec![part(b'a', 20_000), part(b'b', 0), part(b'c', 20_001)],
        vec![part(b'd', 5)],
        vec![part(b'e', 100_000), part(b'f', 7), part(b'g', 2_000_000)],
        vec![part(b'h', 30_000), part(b'i', 30_000)],
    ];
    let expected: Vec<u8> = parts.iter().flatten().flatten().copied().collect();
    let server = Recorder::new().on_data(move |transport, _| {
        for pieces in &parts {
            write_pieces(transport, pieces);
        }
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    let (client, server) = (pair.client.transport(), pair.server.transport());
    client.write(b"go");
    world.until(&mut || pair.client.received() == expected.len());
    assert!(pair.client.bytes() == expected, "out of order");
    world.until(&mut || server.statistics().queued == 0);
    assert_eq!(server.statistics().sent, expected.len() as u64);
    server.abort_connection();
    world.until(&mut || pair.server.is_lost());
    write_pieces(&server, &[part(b'z', 50_000)]);
    assert_eq!(server.statistics().sent, expected.len() as u64);
}

#[track_caller]
pub(super) fn write_pieces(mut transport: &Transport, pieces: &[Vec<u8>]) {
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    let pieces: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let written = transport.write_vectored(&pieces).expect("it never fails");
    assert_eq!(written, bytes);
}

/// What is written after `lose_connection` and before the flush goes out as well.
pub fn writes_after_lose_connection_go_out_before_the_flush(world: &dyn World) {
    let server = Recorder::new().on_data(|transport, _| {
        transport.write(b"one ");
        transport.lose_connection();
        transport.write(b"two ");
        transport.write_bytes(Bytes::from(vec![b'x'; 5000]));
        Ok(())
    });
    let pair = pair(world, server, Recorder::new());
    pair.client.transport().write(b"go");
    world.until(&mut || pair.client.is_lost());
    let bytes = pair.client.bytes();
    assert_eq!(&bytes[..8], b"one two ");
    assert_eq!(bytes.len(), 5008);
    pair.server.check(&["made", "data", "lost: done"]);
}

/// What is written in `connection_lost` or later goes nowhere.
pub fn nothing_is_sent_after_the_end(world: &dyn World) {
    let place = std::rc::Rc::new(std::cell::RefCell::new(None::<crate::Transport>));
    let own = std::rc::Rc::clone(&place);
    let server = Recorder::new()
        .on_made(|transport| {
            transport.lose_connection();
            Ok(())
        })
        .on_lost(move || {
            if let Some(transport) = own.take() {
                transport.write(b"from the grave");
            }
        });
    let seen = server.seen();
    let port = listen_once(world, server);
    let client = connect(world, &port, Recorder::new());
    world.until(&mut || client.is_lost() && seen.is_lost());
    place.replace(Some(seen.transport()));
    seen.transport().write(b"from the grave");
    world.settle();
    assert_eq!(client.received(), 0);
    assert_eq!(seen.transport().statistics().queued, 0);
}

/// Both ends count what they sent and received.
pub fn statistics_count_bytes(world: &dyn World) {
    let pair = pair(world, Recorder::echo(), Recorder::new());
    let (server, client) = (pair.server.transport(), pair.client.transport());
    client.write(&pattern(200_000));
    world.until(&mut || pair.client.received() == 200_000);
    world.settle();
    for statistics in [server.statistics(), client.statistics()] {
        assert_eq!(statistics.received, 200_000);
        assert_eq!(statistics.sent, 200_000);
        assert_eq!(statistics.queued, 0);
    }
}
