//! Every state of a stream on a table top: what reads, writes, flushes and closes give, who is woken, what the peer
//! sees.

use crate::support::{Task, pattern};
use futures_io::{AsyncBufRead, AsyncWrite};
use std::{
    cell::RefCell,
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tress_core::{
    Protocol, Reactor, Result, Transport,
    layer::{Inner, Layer},
    testing::memory::{Table, Tester},
};
use tress_streams::{Stream, StreamProtocol, stream};

/// A stream whose peer the test plays, and a task that uses it.
fn connected() -> (Tester<StreamProtocol>, Stream, Task) {
    let (protocol, stream) = stream();
    (Tester::new(protocol), stream, Task::new())
}

/// The same with less output at once.
fn with_high_water(bytes: usize) -> (Tester<StreamProtocol>, Stream, Task) {
    let table = Table::new();
    let mut limits = (*table.reactor().limits()).clone();
    limits.output_high_water = bytes;
    table.reactor().set_limits(limits);
    let (protocol, stream) = stream();
    (Tester::on(&table, protocol), stream, Task::new())
}

#[test]
fn bytes_come_in_order_however_they_are_cut() {
    let sent = pattern(2000);
    for every in (1..40).chain([999, 1000, 1023, 1024, 1025, 2000]) {
        let (tester, mut stream, task) = connected();
        tester.receive_cut(&sent, every);
        assert!(task.read_all(&mut stream) == sent, "pieces of {every}");
    }
}

#[test]
fn bytes_come_in_order_however_they_are_read() {
    let sent: String = (0..400).map(|number| format!("{number};")).collect();
    for most in 1..50 {
        let (tester, mut stream, task) = connected();
        tester.receive_cut(sent.as_bytes(), 37);
        tester.peer_closes_write();
        let mut got = String::new();
        loop {
            match &*task.read(&mut stream, most) {
                "end" => break,
                text => got.push_str(text),
            }
        }
        assert_eq!(got, sent, "{most} bytes at a time");
    }
}

#[test]
fn a_reader_is_woken_when_he_waits_and_only_then() {
    let (tester, mut stream, task) = connected();
    tester.receive(b"early");
    assert_eq!(task.wakes(), 0);
    assert_eq!(task.read(&mut stream, 9), "early");
    assert_eq!(task.read(&mut stream, 9), "pending");
    assert_eq!(task.read(&mut stream, 9), "pending");
    tester.receive(b"a");
    tester.receive(b"b");
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.read(&mut stream, 9), "ab");
    assert_eq!(task.read(&mut stream, 9), "pending");
    tester.peer_closes_write();
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.read(&mut stream, 9), "end");
}

#[test]
fn the_last_task_that_polled_is_woken() {
    let (tester, mut stream, first) = connected();
    let second = Task::new();
    first.read(&mut stream, 1);
    second.read(&mut stream, 1);
    tester.receive(b"x");
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

/// Passes bytes on as they are.
struct Plain;
struct PlainProtocol(Inner);

impl Layer for Plain {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        Box::new(PlainProtocol(inner))
    }
}

impl Protocol for PlainProtocol {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.0.data_received(data)
    }

    fn inner_requests(&mut self, _: &Transport) -> Result {
        self.0.settle(None).map(drop)
    }
}

#[test]
fn unread_bytes_refuse_a_layer_that_comes_after_them() {
    for (read, refused) in [(0, true), (2, true), (5, false)] {
        let (tester, mut stream, task) = connected();
        tester.receive(b"hello");
        task.filled(&mut stream);
        Pin::new(&mut stream).consume(read);
        tester.transport().push_layer(Plain);
        tester.settle();
        assert_eq!(tester.was_aborted(), refused, "{read} read");
        if !refused {
            tester.receive(b" world");
            assert_eq!(task.read_all(&mut stream), b" world");
        }
    }
}

#[test]
fn fill_buf_lends_and_consume_takes() {
    let (tester, mut stream, task) = connected();
    tester.receive(b"hello");
    let (lent, length) = task.filled(&mut stream).unwrap();
    assert_eq!(length, 5);
    assert_eq!(
        task.filled(&mut stream),
        Some((lent, 5)),
        "nothing was consumed"
    );
    Pin::new(&mut stream).consume(2);
    let rest = task.filled(&mut stream);
    assert_eq!(rest, Some((lent.wrapping_add(2), 3)));
    tester.receive(b" world");
    assert_eq!(task.filled(&mut stream), rest, "what is lent stays");
    Pin::new(&mut stream).consume(0);
    assert_eq!(task.read(&mut stream, 2), "ll");
    assert_eq!(task.read_all(&mut stream), b"o world");
    Pin::new(&mut stream).consume(0);
}

#[test]
#[should_panic(expected = "consumed more than there was")]
fn consuming_what_is_not_there_panics() {
    let (_tester, mut stream, _) = connected();
    Pin::new(&mut stream).consume(1);
}

#[test]
fn reading_and_writing_nothing_asks_nothing() {
    let (tester, mut stream, task) = connected();
    assert_eq!(task.read(&mut stream, 0), "end");
    assert_eq!(task.write(&mut stream, b""), "0");
    tester.receive(b"x");
    assert_eq!(task.read(&mut stream, 0), "end");
    assert_eq!(task.read(&mut stream, 1), "x");
}

#[test]
fn the_peers_end_closes_reading_only() {
    let (tester, mut stream, task) = connected();
    tester.receive(b"question");
    tester.peer_closes_write();
    assert_eq!(task.read(&mut stream, 99), "question");
    assert_eq!(task.read(&mut stream, 99), "end");
    assert!(!tester.has_ended());
    assert_eq!(task.write(&mut stream, b"answer"), "6");
    tester.settle();
    assert_eq!(tester.sent(), b"answer");
    assert_eq!(task.read(&mut stream, 99), "end");
    assert_eq!(task.close(&mut stream), "done");
    tester.settle();
    assert!(tester.is_closed() && !tester.was_aborted());
    assert_eq!(task.read(&mut stream, 99), "end");
    assert_eq!(task.flush(&mut stream), "done");
    assert_eq!(task.close(&mut stream), "done");
    assert_eq!(task.write(&mut stream, b"late"), "BrokenPipe");
}

#[test]
fn closing_closes_writing_only() {
    let (tester, mut stream, task) = connected();
    assert_eq!(task.write(&mut stream, b"question"), "8");
    assert_eq!(task.close(&mut stream), "pending");
    assert_eq!(task.write(&mut stream, b"more"), "BrokenPipe");
    tester.settle();
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.close(&mut stream), "done");
    assert!(tester.write_is_closed() && !tester.has_ended());
    assert_eq!(tester.sent(), b"question");
    tester.receive(b"answer");
    assert_eq!(task.read(&mut stream, 99), "answer");
    assert_eq!(task.read(&mut stream, 99), "pending");
    tester.peer_closes_write();
    assert_eq!(task.read(&mut stream, 99), "end");
    assert!(tester.is_closed() && !tester.was_aborted());
}

#[test]
fn closing_with_nothing_written_is_done_at_once() {
    let (tester, mut stream, task) = connected();
    assert_eq!(task.close(&mut stream), "done");
    assert_eq!(task.close(&mut stream), "done");
    tester.settle();
    assert!(tester.write_is_closed());
}

#[test]
fn a_flush_is_done_when_everything_has_left() {
    let (tester, mut stream, task) = connected();
    assert_eq!(task.flush(&mut stream), "done");
    assert_eq!(task.write(&mut stream, b"some"), "4");
    assert_eq!(task.flush(&mut stream), "pending");
    tester.settle();
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.flush(&mut stream), "done");

    tester.peer_takes(2);
    assert_eq!(task.write(&mut stream, b"more"), "4");
    assert_eq!(task.flush(&mut stream), "pending");
    tester.settle();
    assert_eq!(task.flush(&mut stream), "pending");
    tester.settle();
    assert_eq!(task.wakes(), 0);
    tester.peer_reads_on();
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.flush(&mut stream), "done");
    assert_eq!(tester.sent(), b"somemore");
}

#[test]
fn a_write_takes_what_there_is_room_for_and_then_waits() {
    let (tester, mut stream, task) = with_high_water(10);
    tester.peer_stops_reading();
    assert_eq!(task.write(&mut stream, &[1; 7]), "7");
    assert_eq!(task.write(&mut stream, &[2; 7]), "3");
    assert_eq!(task.write(&mut stream, &[3; 7]), "pending");
    tester.settle();
    assert_eq!(task.write(&mut stream, &[3; 7]), "pending");
    tester.settle();
    assert_eq!(task.wakes(), 0);
    tester.peer_takes(4);
    assert_eq!(task.wakes(), 0, "it is woken once all has left");
    tester.peer_reads_on();
    assert_eq!(task.wakes(), 1);
    assert_eq!(tester.sent(), [1, 1, 1, 1, 1, 1, 1, 2, 2, 2]);
    assert_eq!(task.write(&mut stream, &[3; 7]), "7");
}

#[test]
fn a_high_water_mark_of_zero_stops_nobody() {
    let (tester, mut stream, task) = with_high_water(0);
    let sent = pattern(10_000);
    let mut left = &sent[..];
    while !left.is_empty() {
        match task.write(&mut stream, left).parse::<usize>() {
            Ok(count) => left = &left[count..],
            Err(_) => tester.settle(),
        }
    }
    tester.settle();
    assert!(tester.sent() == sent, "the bytes are others");
}

#[test]
fn a_vectored_write_takes_one_slice_after_the_other() {
    let (tester, mut stream, task) = with_high_water(10);
    let slices = ["one", "", "two", "three"].map(|text| IoSlice::new(text.as_bytes()));
    let write = |stream: &mut Stream, slices: &[IoSlice<'_>]| {
        task.poll(|context| Pin::new(stream).poll_write_vectored(context, slices))
    };
    assert!(matches!(write(&mut stream, &slices), Poll::Ready(Ok(10))));
    assert!(write(&mut stream, &slices).is_pending());
    tester.settle();
    assert!(matches!(
        write(&mut stream, &slices[3..]),
        Poll::Ready(Ok(5))
    ));
    tester.settle();
    assert_eq!(tester.sent(), b"onetwothrethree");
    assert!(matches!(write(&mut stream, &[]), Poll::Ready(Ok(0))));
}

#[test]
fn a_reset_is_told_once_after_the_bytes_and_to_every_write() {
    let (tester, mut stream, task) = connected();
    tester.receive(b"before");
    tester.peer_resets();
    assert_eq!(task.write(&mut stream, b"x"), "ConnectionReset");
    assert_eq!(task.read(&mut stream, 3), "bef");
    assert_eq!(task.read(&mut stream, 9), "ore");
    assert_eq!(task.read(&mut stream, 9), "ConnectionReset");
    assert_eq!(task.read(&mut stream, 9), "end");
    assert_eq!(task.read(&mut stream, 9), "end");
    assert_eq!(task.write(&mut stream, b"x"), "ConnectionReset");
    assert_eq!(task.flush(&mut stream), "ConnectionReset");
    assert_eq!(task.close(&mut stream), "ConnectionReset");
}

#[test]
fn a_reset_wakes_both_sides() {
    let (tester, mut stream, reader) = with_high_water(4);
    let writer = Task::new();
    tester.peer_stops_reading();
    assert_eq!(reader.read(&mut stream, 1), "pending");
    assert_eq!(writer.write(&mut stream, b"full"), "4");
    assert_eq!(writer.write(&mut stream, b"more"), "pending");
    tester.settle();
    tester.peer_resets();
    assert_eq!((reader.wakes(), writer.wakes()), (1, 1));
    assert_eq!(writer.write(&mut stream, b"more"), "ConnectionReset");
    assert_eq!(reader.read(&mut stream, 1), "ConnectionReset");
}

#[test]
fn a_reset_while_it_closes_is_told_to_who_closes() {
    let (tester, mut stream, task) = connected();
    tester.peer_stops_reading();
    assert_eq!(task.write(&mut stream, b"last"), "4");
    assert_eq!(task.close(&mut stream), "pending");
    tester.settle();
    tester.peer_resets();
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.close(&mut stream), "ConnectionReset");
    assert_eq!(task.read(&mut stream, 1), "ConnectionReset");
}

#[test]
fn an_end_that_was_there_stays_an_end() {
    let (tester, mut stream, task) = connected();
    tester.peer_closes_write();
    tester.peer_resets();
    assert_eq!(task.read(&mut stream, 1), "end");
    assert_eq!(task.write(&mut stream, b"x"), "ConnectionReset");
}

#[test]
fn a_connection_that_was_closed_here_is_no_end_of_the_peers() {
    let (tester, mut stream, task) = connected();
    tester.receive(b"half of it");
    stream.transport().unwrap().lose_connection();
    tester.settle();
    assert_eq!(task.read(&mut stream, 99), "half of it");
    assert_eq!(task.read(&mut stream, 99), "ConnectionAborted");
    assert_eq!(task.read(&mut stream, 99), "end");
    assert_eq!(task.write(&mut stream, b"x"), "BrokenPipe");
    assert_eq!(task.flush(&mut stream), "done");
}

#[test]
fn deadlines_are_told_as_timeouts() {
    let (tester, mut stream, task) = connected();
    assert_eq!(task.read(&mut stream, 1), "pending");
    tester.advance(Duration::from_secs(120));
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.read(&mut stream, 1), "TimedOut");
    assert_eq!(task.write(&mut stream, b"x"), "TimedOut");
}

#[test]
fn any_other_failure_keeps_its_words() {
    let (tester, mut stream, task) = connected();
    let transport = stream.transport().unwrap();
    transport.fail(tress_core::Failure::msg("the cat sat on it"));
    tester.settle();
    let polled = task.poll(|context| Pin::new(&mut stream).poll_flush(context));
    let Poll::Ready(Err(error)) = polled else {
        panic!("{polled:?}");
    };
    assert_eq!(error.to_string(), "the cat sat on it");
}

#[test]
fn dropping_it_sends_what_was_written_and_closes() {
    let (tester, mut stream, task) = connected();
    assert_eq!(task.write(&mut stream, b"farewell"), "8");
    drop(stream);
    tester.settle();
    assert_eq!(tester.sent(), b"farewell");
    assert!(tester.is_closed() && !tester.was_aborted());
}

#[test]
fn dropping_it_with_blocked_output_waits_for_the_peer() {
    let (tester, mut stream, task) = connected();
    tester.peer_takes(3);
    assert_eq!(task.write(&mut stream, b"farewell"), "8");
    assert_eq!(task.flush(&mut stream), "pending");
    drop(stream);
    tester.settle();
    assert!(!tester.has_ended());
    tester.peer_reads_on();
    assert_eq!(tester.sent(), b"farewell");
    assert!(tester.is_closed() && !tester.was_aborted());
}

#[test]
fn dropping_it_is_safe_in_every_state() {
    type Prepare = fn(&Tester<StreamProtocol>, &mut Stream, &Task);
    let states: &[(&str, Prepare)] = &[
        ("idle", |_, _, _| ()),
        ("unread", |tester, _, _| tester.receive(&pattern(5000))),
        ("half read", |tester, stream, task| {
            tester.receive(&pattern(5000));
            task.read(stream, 17);
        }),
        ("paused", |tester, _, _| tester.receive(&pattern(500_000))),
        ("a reader waits", |_, stream, task| {
            task.read(stream, 1);
        }),
        ("written", |_, stream, task| {
            task.write(stream, b"x");
        }),
        ("flushing", |_, stream, task| {
            task.write(stream, b"x");
            task.flush(stream);
        }),
        ("closing", |_, stream, task| {
            task.write(stream, b"x");
            task.close(stream);
        }),
        ("closed", |tester, stream, task| {
            task.close(stream);
            tester.settle();
        }),
        ("read closed", |tester, _, _| tester.peer_closes_write()),
    ];
    for (name, prepare) in states {
        let (tester, mut stream, task) = connected();
        prepare(&tester, &mut stream, &task);
        drop(stream);
        tester.settle();
        assert!(tester.is_closed() && !tester.was_aborted(), "{name}");

        let (tester, mut stream, task) = connected();
        prepare(&tester, &mut stream, &task);
        stream.abort();
        tester.settle();
        assert!(tester.was_aborted(), "{name}");

        let (tester, mut stream, task) = connected();
        prepare(&tester, &mut stream, &task);
        tester.peer_resets();
        drop(stream);
        tester.settle();
        assert!(tester.has_ended() && !tester.is_closed(), "{name}");
    }
}

#[test]
fn what_arrives_after_it_was_dropped_is_thrown_away() {
    let (tester, mut stream, task) = connected();
    tester.peer_stops_reading();
    assert_eq!(task.write(&mut stream, b"x"), "1");
    drop(stream);
    tester.settle();
    tester.receive(&pattern(1_000_000));
    tester.peer_reads_on();
    assert!(tester.is_closed() && !tester.was_aborted());
}

#[test]
fn before_it_is_connected_everything_waits() {
    let (protocol, mut stream) = stream();
    let (reader, writer) = (Task::new(), Task::new());
    assert!(stream.transport().is_none());
    assert_eq!(reader.read(&mut stream, 1), "pending");
    assert_eq!(writer.write(&mut stream, b"x"), "pending");
    assert_eq!(writer.flush(&mut stream), "done");
    let tester = Tester::new(protocol);
    assert_eq!((reader.wakes(), writer.wakes()), (0, 1));
    assert_eq!(writer.write(&mut stream, b"x"), "1");
    tester.settle();
    assert_eq!(tester.sent(), b"x");
}

#[test]
fn closed_before_it_is_connected_it_closes_then() {
    let (protocol, mut stream) = stream();
    let task = Task::new();
    assert_eq!(task.close(&mut stream), "done");
    assert_eq!(task.write(&mut stream, b"x"), "BrokenPipe");
    let tester = Tester::new(protocol);
    assert!(tester.write_is_closed() && !tester.has_ended());
    tester.receive(b"answer");
    assert_eq!(task.read(&mut stream, 9), "answer");
}

#[test]
fn dropped_before_it_is_connected_it_closes_then() {
    for abort in [false, true] {
        let (protocol, stream) = stream();
        if abort {
            stream.abort();
        } else {
            drop(stream);
        }
        let tester = Tester::new(protocol);
        assert!(tester.is_closed());
    }
}

#[test]
fn a_protocol_that_is_never_connected_fails_its_stream() {
    let (protocol, mut stream) = stream();
    let (reader, writer) = (Task::new(), Task::new());
    reader.read(&mut stream, 1);
    writer.write(&mut stream, b"x");
    drop(protocol);
    assert_eq!((reader.wakes(), writer.wakes()), (1, 1));
    assert_eq!(reader.read(&mut stream, 1), "Other");
    assert_eq!(reader.read(&mut stream, 1), "end");
    assert_eq!(writer.write(&mut stream, b"x"), "Other");
}

#[test]
fn a_stream_outlives_its_reactor() {
    let (tester, mut stream, task) = connected();
    tester.receive(b"left");
    task.write(&mut stream, b"never sent");
    drop(tester);
    assert_eq!(task.read(&mut stream, 9), "left");
    assert_eq!(task.read(&mut stream, 9), "Other");
    assert_eq!(task.flush(&mut stream), "Other");
    assert!(stream.transport().is_some_and(|t| t.reactor().is_err()));
}

#[test]
fn nothing_holds_a_connection_that_has_ended() {
    let (tester, mut stream, task) = connected();
    task.read(&mut stream, 1);
    let transport = stream.transport().unwrap().clone();
    tester.peer_resets();
    drop(stream);
    let reactor: Reactor = tester.reactor().clone();
    assert_eq!(reactor.statistics().connections, 0);
    assert_eq!(task.wakes(), 1);
    drop(transport);
}

thread_local! {
    /// What [`DropsIt`] drops: wakers must be `Send`, and streams are not.
    static HELD: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

/// Who is woken drops the stream: whoever wakes him must hold no borrow of it.
struct DropsIt;

impl Wake for DropsIt {
    fn wake(self: Arc<Self>) {
        drop(HELD.take());
    }
}

#[test]
fn whoever_is_woken_may_drop_the_stream() {
    let events: [fn(&Tester<StreamProtocol>); 3] = [
        |tester| tester.receive(b"x"),
        |tester| tester.peer_closes_write(),
        |tester| tester.peer_resets(),
    ];
    for event in events {
        let (tester, mut stream, _) = connected();
        let waker = Waker::from(Arc::new(DropsIt));
        let mut context = Context::from_waker(&waker);
        let filled = Pin::new(&mut stream).poll_fill_buf(&mut context);
        assert!(filled.is_pending());
        HELD.set(Some(stream));
        event(&tester);
        tester.settle();
        assert!(tester.has_ended());
        assert_eq!(tester.reactor().statistics().failures, 0);
    }
}
