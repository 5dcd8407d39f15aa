//! The batch and the queue: what lies where, what is counted, and what is kept.

use super::{DatagramError, DatagramProtocol, DatagramQueue, DatagramTransport, Datagrams, Link};
use crate::{
    Address, Deferred, Limits, Reactor,
    driver::Token,
    testing::{ManualClock, memory::MemoryDriver},
};
use std::{net::SocketAddr, rc::Rc};

fn address(port: u16) -> Address {
    SocketAddr::from(([192, 0, 2, 1], port)).into()
}

/// What waits: to which port, and what.
#[track_caller]
fn check(queue: &DatagramQueue, expected: &[(Option<u16>, &str)]) {
    let waiting: Vec<_> = queue
        .iter()
        .map(|(to, data)| {
            let text = String::from_utf8_lossy(data).into_owned();
            (to.and_then(Address::port), text)
        })
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(to, text)| (*to, (*text).to_owned()))
        .collect();
    assert_eq!(waiting, expected);
    assert_eq!(queue.len(), expected.len());
    assert_eq!(queue.is_empty(), expected.is_empty());
}

#[test]
fn a_queue_is_taken_from_the_front() {
    let mut queue = DatagramQueue::default();
    queue.push(Some(&address(1)), b"one");
    queue.push(None, b"");
    queue.push(Some(&address(3)), b"three");
    check(&queue, &[(Some(1), "one"), (None, ""), (Some(3), "three")]);
    assert_eq!(queue.pending(), 3 * 64 + 8);
    queue.consume(1);
    queue.push(None, b"four");
    check(&queue, &[(None, ""), (Some(3), "three"), (None, "four")]);
    queue.consume(2);
    check(&queue, &[(None, "four")]);
    assert_eq!(queue.pending_with(6), 2 * 64 + 10);
    queue.consume(1);
    check(&queue, &[]);
    assert_eq!(queue.pending(), 0);
}

/// One that is never quite empty does not keep what has left; one that is empty keeps no large buffer.
#[test]
fn a_queue_does_not_keep_what_has_left() {
    let mut queue = DatagramQueue::default();
    queue.push(None, &[7; 1000]);
    for _ in 0..1000 {
        queue.push(None, &[7; 1000]);
        queue.consume(1);
    }
    assert!(queue.iter().all(|(_, data)| data == [7; 1000]));
    assert!(queue.capacity() < 300_000, "{}", queue.capacity());
    queue.push(None, &[7; 1_000_000]);
    queue.consume(2);
    assert!(queue.capacity() <= 65_536);
}

#[test]
fn a_batch_is_used_again() {
    let mut batch = Datagrams::default();
    batch.push(address(1), b"long one");
    batch.push(address(2), b"");
    assert_eq!(batch.get(0), Some((&address(1), &b"long one"[..])));
    assert_eq!(batch.get(1), Some((&address(2), &b""[..])));
    assert_eq!(batch.get(2), None);
    batch.too_long = 1;
    batch.clear();
    assert!(batch.is_empty());
    assert_eq!(batch.too_long, 0);
    batch.push(address(3), b"short");
    assert_eq!(batch.get(0), Some((&address(3), &b"short"[..])));
    batch.clear();
    batch.buffer(20)[10..13].copy_from_slice(b"two");
    batch.add(address(4), 10..13);
    assert_eq!(batch.get(0), Some((&address(4), &b"two"[..])));
}

struct Quiet;
impl DatagramProtocol for Quiet {}

/// A port of a reactor that has gone.
#[test]
fn whoever_waits_for_a_port_of_a_dropped_reactor_is_told() {
    let reactor = Reactor::with(MemoryDriver::new(&ManualClock::new()));
    let at = (Token::default(), address(1));
    let core = Rc::downgrade(&reactor.0);
    let link = Link::new(core, at, Rc::new(Limits::default()), Box::new(Quiet));
    let port = DatagramTransport(Rc::new(link));
    port.write_to(b"x", &address(2)).expect("there is room");
    drop(reactor);
    let stopped: Deferred<()> = port.stop_listening();
    drop(port);
    let failure = stopped
        .try_result()
        .expect("it is told")
        .expect_err("it never ends");
    assert!(failure.check::<crate::error::Abandoned>().is_some());
}

#[test]
fn errors_say_what_to_do() {
    let texts = [
        (
            DatagramError::TooLong { bytes: 9, limit: 8 },
            "a datagram of 9 bytes is too long; the limit is 8",
        ),
        (
            DatagramError::QueueFull { limit: 7 },
            "more datagrams wait than the limit of 7 bytes allows",
        ),
        (
            DatagramError::NotConnected,
            "the port is not connected: name who is to get it",
        ),
        (
            DatagramError::OtherPeer(address(1)),
            "the port is connected to 192.0.2.1:1",
        ),
        (
            DatagramError::Unreachable(address(2)),
            "no datagram can go from this port to 192.0.2.1:2",
        ),
        (DatagramError::Stopped, "the port is closed"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}
