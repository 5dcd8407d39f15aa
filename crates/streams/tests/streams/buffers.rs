//! Where the bytes lie: in the driver's own buffers, which are used again; small arrivals are copied together.

use crate::{
    simulated::Sim,
    sockets,
    support::{Task, pattern},
};
use futures_io::AsyncBufRead;
use std::{cell::RefCell, collections::BTreeSet, pin::Pin, rc::Rc, time::Duration};
use tress_core::{
    Failure, Protocol, Reactor, Result, Transport, received::Received, testing::memory::Tester,
};
use tress_streams::{Stream, StreamProtocol, UNREAD_BYTES, stream};

/// Where the bytes of each arrival lay, and how many there were.
type Lent = Rc<RefCell<Vec<(*const u8, usize)>>>;

/// Looks at what comes to a stream.
struct Spy {
    stream: StreamProtocol,
    lent: Lent,
}

impl Protocol for Spy {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.stream.connection_made(transport)
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) -> Result {
        Err(Failure::msg("it asked for buffers"))
    }

    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        let bytes = received.bytes();
        self.lent.borrow_mut().push((bytes.as_ptr(), bytes.len()));
        self.stream.buffer_received(transport, received)
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.stream.read_closed(transport)
    }
}

/// Two reactors, where they meet, and how to let them come to rest.
struct Place<'a> {
    server: &'a Reactor,
    client: &'a Reactor,
    listen: &'a str,
    connect: &'a dyn Fn(&tress_core::Port) -> String,
    settle: &'a dyn Fn(),
}

impl Place<'_> {
    /// A watched stream, and the transport that feeds it.
    fn pair(&self) -> (Stream, Lent, Transport) {
        let lent = Lent::default();
        let (protocol, stream) = stream();
        let mut seat = Some(Spy {
            stream: protocol,
            lent: Rc::clone(&lent),
        });
        let factory = move |_: &tress_core::Address| seat.take();
        let port = self.server.listen(self.listen, factory);
        let to = (self.connect)(&port.expect("it is free"));
        struct Quiet;
        impl Protocol for Quiet {}
        let connecting = self.client.connect_protocol(&to, Quiet);
        (self.settle)();
        let made = connecting.try_result().expect("it is connected");
        let transport = made.expect("it is connected").transport().clone();
        (stream, lent, transport)
    }

    /// Everything is read where the driver has put it: what `fill_buf` lends is what the driver had lent.
    fn check_nothing_is_copied(&self) {
        let (mut stream, lent, feeder) = self.pair();
        let task = Task::new();
        let sent = pattern(4_000_000);
        feeder.write(&sent);
        let mut got = Vec::new();
        let mut distinct = BTreeSet::new();
        while got.len() < sent.len() {
            (self.settle)();
            for (at, length) in lent.take() {
                distinct.insert(at);
                if length < 65_536 / 4 {
                    got.extend(task.read_bytes(&mut stream, length));
                    continue;
                }
                assert_eq!(task.filled(&mut stream), Some((at, length)));
                // It is the same after half of it has been read.
                got.extend_from_slice(task.read_bytes(&mut stream, length / 2).as_slice());
                let rest = task.filled(&mut stream);
                assert_eq!(
                    rest,
                    Some((at.wrapping_add(length / 2), length - length / 2))
                );
                got.extend(task.read_bytes(&mut stream, length));
            }
        }
        assert!(got == sent, "the bytes are others");
        assert!(distinct.len() <= 3, "{} buffers were used", distinct.len());
    }
}

#[test]
fn nothing_is_copied_in_the_simulator() {
    let sim = Sim::new(1);
    let mut policy = sim.world.policy();
    policy.segment = 65_536;
    policy.window = 200_000;
    sim.world.set_policy(policy);
    Place {
        server: &sim.server,
        client: &sim.client,
        listen: "tcp:7",
        connect: &|_| "tcp:10.0.0.1:7".to_owned(),
        settle: &|| sim.run(),
    }
    .check_nothing_is_copied();
}

#[test]
fn nothing_is_copied_on_real_sockets() {
    let reactor = sockets::reactor();
    Place {
        server: &reactor,
        client: &reactor,
        listen: "tcp:0:interface=127.0.0.1",
        connect: &|port| sockets::endpoint(port),
        settle: &|| {
            for _ in 0..20 {
                reactor.turn(Some(Duration::ZERO)).expect("it goes on");
            }
        },
    }
    .check_nothing_is_copied();
}

/// A stream of which the test plays the peer.
fn connected() -> (Tester<Spy>, Stream, Task, Lent) {
    let lent = Lent::default();
    let (protocol, stream) = stream();
    let spy = Spy {
        stream: protocol,
        lent: Rc::clone(&lent),
    };
    (Tester::new(spy), stream, Task::new(), lent)
}

#[test]
fn small_arrivals_are_copied_together_and_large_ones_are_not() {
    for (length, taken) in [(1, false), (1023, false), (1024, true), (60_000, true)] {
        let (tester, mut stream, task, lent) = connected();
        tester.receive(&pattern(length));
        let filled = task.filled(&mut stream).unwrap();
        assert_eq!(filled.1, length);
        assert_eq!(filled == lent.borrow()[0], taken, "{length} bytes");
    }
    let (tester, mut stream, task, _) = connected();
    for piece in ["a", "few", "bytes"] {
        tester.receive(piece.as_bytes());
    }
    assert_eq!(task.read(&mut stream, 99), "afewbytes");
}

#[test]
fn the_order_is_kept_when_some_are_taken_and_some_copied() {
    let (tester, mut stream, task, _) = connected();
    let sent = pattern(20_000);
    let mut rest = &sent[..];
    for length in [1, 5000, 2, 3, 1024, 1023, 7000, 4].into_iter().cycle() {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        tester.receive(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    assert!(task.read_all(&mut stream) == sent, "the bytes are others");
}

#[test]
fn memory_for_unread_bytes_is_bounded_whatever_their_size() {
    for length in [1, 100, 1000, 1024, 5000, 60_000, 65_535, 65_536] {
        let (tester, mut stream, task, _) = connected();
        let piece = pattern(length);
        let transport = stream.transport().unwrap().clone();
        let mut pieces = 0;
        while !transport.is_paused() {
            tester.receive(&piece);
            pieces += 1;
        }
        let kept = pieces * length;
        assert!(kept < UNREAD_BYTES + length, "{length}: {kept} bytes");
        assert!(kept >= UNREAD_BYTES / 2, "{length}: {kept} bytes");
        tester.receive(&piece);
        assert_eq!(transport.statistics().received, kept as u64, "{length}");

        // Until the last byte of it has been read nothing more comes.
        let mut got = task.read_bytes(&mut stream, kept - 1);
        assert!(transport.is_paused(), "{length}");
        got.extend(task.read_bytes(&mut stream, 1));
        assert!(!transport.is_paused(), "{length}");
        tester.settle();
        got.extend(task.read_all(&mut stream));
        assert!(
            got == piece.repeat(pieces + 1),
            "{length}: the bytes are others"
        );
    }
}

#[test]
fn a_buffer_that_is_being_read_counts() {
    let (tester, mut stream, task, _) = connected();
    tester.receive(&pattern(UNREAD_BYTES));
    let transport = stream.transport().unwrap().clone();
    assert!(transport.is_paused());
    assert!(task.filled(&mut stream).is_some());
    tester.settle();
    assert!(transport.is_paused());
    Pin::new(&mut stream).consume(UNREAD_BYTES);
    assert!(!transport.is_paused());
}

#[test]
fn a_layer_without_buffers_may_lend_its_bytes() {
    struct Layer(StreamProtocol);
    impl Protocol for Layer {
        fn connection_made(&mut self, transport: &Transport) -> Result {
            self.0.connection_made(transport)
        }
        fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
            self.0.data_received(transport, &data.to_ascii_uppercase())
        }
    }
    let (protocol, mut stream) = stream();
    let tester = Tester::new(Layer(protocol));
    let task = Task::new();
    tester.receive(b"hello");
    assert_eq!(task.read(&mut stream, 9), "HELLO");
    let shouted = vec![b'x'; 100_000];
    tester.receive(&shouted);
    assert!(task.read_all(&mut stream) == vec![b'X'; 100_000]);
}
