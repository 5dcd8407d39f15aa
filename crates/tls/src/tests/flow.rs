//! How much waits where: output, input that nobody wants, and how small writes travel.

use super::world::{Played, World, encrypted, letters, met, peer};
use crate::{
    session::{PIECE, PIECES},
    testing::ends,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use tress_core::{
    Failure, Pace, Producer, Protocol, Result, Transport,
    layer::{Inner, Layer},
};

#[test]
fn much_data_arrives_byte_exact() {
    let world = World::new();
    let (_, client) = world.pair();
    world.client.take();
    let text = letters(200_000);
    for piece in text.as_bytes().chunks(7_777) {
        client.write(piece);
    }
    client.write_bytes(tress_core::Bytes::from(text.clone().into_bytes()));
    world.table.settle();
    let mut events = world.client.take();
    events.retain(|event| event.starts_with('+'));
    let back: String = events.iter().map(|event| &event[1..]).collect();
    assert_eq!(back.len(), 2 * text.len());
    assert_eq!(back, text.clone() + &text);
}

#[test]
fn small_writes_of_one_callback_are_one_record() {
    let (played, _) = met();
    let transport = played.log.transport();
    for _ in 0..100 {
        transport.write(b"ten bytes.");
    }
    played.tester.settle();
    let sent = played.tester.sent();
    assert_eq!(sent.len(), 1000 + 22, "one header, one tag, one type");
}

#[test]
fn output_is_encrypted_only_as_far_as_there_is_room() {
    let (server, client) = ends();
    let seen = Seen::default();
    let played = Played::on(&server, Watch(seen.clone()));
    let mut peer = peer(&client);
    played.talk(&mut *peer);
    let transport = played.log.transport();
    let most = transport.room();
    played.tester.peer_stops_reading();
    for _ in 0..100 {
        transport.write(&[b'x'; 10_000]);
        played.tester.settle();
    }
    let waits = seen.waits.get();
    assert!(waits > most / 2, "{waits} bytes");
    assert!(waits < most + 1000, "{waits} bytes are encrypted and wait");
    assert_eq!(transport.room(), 0);
    assert!(transport.statistics().queued >= 1_000_000);
    // All of it arrives when the peer reads on.
    let mut got = 0;
    played.tester.peer_takes(10_000);
    played.tester.peer_reads_on();
    loop {
        let sent = played.tester.sent();
        if sent.is_empty() {
            break;
        }
        let mut sent = &sent[..];
        while !sent.is_empty() {
            peer.read(&mut sent).unwrap();
            loop {
                let plain = peer.plaintext().len();
                if plain == 0 {
                    break;
                }
                got += plain;
                peer.consume(plain);
            }
        }
        played.tester.settle();
    }
    assert_eq!(got, 1_000_000);
    assert_eq!(transport.statistics().queued, 0);
}

/// Writes 4 MiB at the pace of the peer.
struct Large {
    left: Rc<Cell<usize>>,
}

impl Producer for Large {
    fn resume_producing(&mut self, transport: &Transport) -> Result {
        let piece = self.left.get().min(65_536);
        transport.write(&vec![b'x'; piece]);
        self.left.set(self.left.get() - piece);
        if self.left.get() == 0 {
            transport.unregister_producer();
            transport.lose_connection();
        }
        Ok(())
    }
    fn pause_producing(&mut self) {}
    fn stop_producing(&mut self) {}
}

#[test]
fn a_producer_goes_at_the_pace_of_the_peer() {
    let (played, _) = met();
    let transport = played.log.transport();
    let left = Rc::new(Cell::new(4 << 20));
    let producer = Large {
        left: Rc::clone(&left),
    };
    played.tester.peer_stops_reading();
    transport.register_producer(producer, Pace::Pulled).unwrap();
    played.tester.settle();
    let begun = (4 << 20) - left.get();
    assert!(
        begun <= 4 * 65_536,
        "{begun} bytes were made for a peer that reads nothing"
    );
    played.tester.peer_reads_on();
    assert_eq!(left.get(), 0);
    let sent = played.tester.sent().len();
    assert!(sent > 4 << 20 && sent < (4 << 20) + 20_000, "{sent}");
}

/// Writes a record at a time, and remembers how much had been passed down each time.
struct Steady(Seen, Rc<RefCell<Vec<usize>>>);

impl Producer for Steady {
    fn resume_producing(&mut self, transport: &Transport) -> Result {
        self.1.borrow_mut().push(self.0.passed.get());
        transport.write(&[b'x'; PIECE]);
        if self.1.borrow().len() == 100 {
            transport.unregister_producer();
        }
        Ok(())
    }
}

#[test]
fn records_of_a_producer_leave_together() {
    let (server, client) = ends();
    let seen = Seen::default();
    let played = Played::on(&server, Watch(seen.clone()));
    let mut peer = peer(&client);
    played.talk(&mut *peer);
    let asked = Rc::default();
    let producer = Steady(seen.clone(), Rc::clone(&asked));
    let before = seen.passed.get();
    let registered = played
        .log
        .transport()
        .register_producer(producer, Pace::Pulled);
    registered.expect("there is no other");
    played.tester.settle();
    let asked = asked.borrow();
    assert_eq!(asked.len(), 100);
    let mut together: Vec<_> = asked
        .chunk_by(|one, next| one == next)
        .map(<[_]>::len)
        .collect();
    assert!(
        together.iter().all(|count| *count <= PIECES),
        "{together:?}"
    );
    assert_eq!(together.remove(0), PIECES, "{together:?}");
    assert!(together.len() < 20, "{together:?}");
    assert!(seen.passed.get() - before > 100 * PIECE, "all of them left");
}

/// A layer below TLS that passes everything on and looks at it.
struct Spy {
    inner: Inner,
    seen: Seen,
}

/// Bytes that came up from the peer, the most that ever waited to go down, and those that went down.
#[derive(Clone, Default)]
struct Seen {
    came: Rc<Cell<usize>>,
    waits: Rc<Cell<usize>>,
    passed: Rc<Cell<usize>>,
}

struct Watch(Seen);

impl Layer for Watch {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        let seen = self.0;
        Box::new(Spy { inner, seen })
    }
}

impl Protocol for Spy {
    fn connection_made(&mut self, _: &Transport) -> Result {
        self.inner.connection_made()
    }
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.seen.came.set(self.seen.came.get() + data.len());
        self.inner.data_received(data)
    }
    fn inner_requests(&mut self, transport: &Transport) -> Result {
        let waits = self.inner.transport().statistics().queued;
        self.seen.waits.set(self.seen.waits.get().max(waits));
        let mut send = |data: &[u8]| {
            transport.write(data);
            self.seen.passed.set(self.seen.passed.get() + data.len());
            Ok(data.len())
        };
        self.inner.settle(Some(&mut send)).map(drop)
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.inner.connection_lost(reason);
    }
}

/// TLS-03: a fast sender, and nobody who wants the data.
#[test]
fn input_that_nobody_wants_is_bounded_and_stays_in_order() {
    let (server, client) = ends();
    let seen = Seen::default();
    let played = Played::on(&server, Watch(seen.clone()));
    let mut peer = peer(&client);
    played.talk(&mut *peer);
    played.log.take();
    let transport = played.log.transport();
    transport.pause_producing();
    played.tester.settle();
    let text = letters(300_000);
    let records = encrypted(&mut *peer, text.as_bytes());
    let before = seen.came.get();
    played.tester.receive_cut(&records, 40_000);
    assert_eq!(seen.came.get(), before, "nothing is read");
    assert!(played.log.take().is_empty());
    transport.resume_producing();
    played.tester.settle();
    assert_eq!(played.log.take(), [format!("+{text}")]);
}

/// Takes one delivery at a time.
struct OneByOne {
    got: Rc<Cell<usize>>,
    wants: Rc<Cell<bool>>,
    tls: crate::ServerTls,
}

impl Protocol for OneByOne {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        crate::StartTls::start_tls(transport, &self.tls);
        Ok(())
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        assert!(self.wants.replace(false), "it is paused");
        self.got.set(self.got.get() + data.len());
        transport.pause_producing();
        let transport = transport.clone();
        let wants = Rc::clone(&self.wants);
        let reactor = transport.reactor()?;
        reactor.call_later(std::time::Duration::ZERO, move || {
            wants.set(true);
            transport.resume_producing();
        });
        Ok(())
    }
}

#[test]
fn a_protocol_that_pauses_after_each_delivery_gets_everything() {
    let (server, client) = ends();
    let got = Rc::new(Cell::new(0));
    let protocol = OneByOne {
        got: Rc::clone(&got),
        wants: Rc::new(Cell::new(true)),
        tls: server,
    };
    let tester = tress_core::testing::memory::Tester::new(protocol);
    let mut peer = peer(&client);
    loop {
        let mut said = Vec::new();
        peer.flush(&mut said);
        let heard = tester.sent();
        if said.is_empty() && heard.is_empty() {
            break;
        }
        tester.receive(&said);
        let mut heard = &heard[..];
        while !heard.is_empty() {
            peer.read(&mut heard).unwrap();
        }
    }
    // Small records, so that many deliveries come of what arrives at once.
    let mut records = Vec::new();
    for _ in 0..2_000 {
        records.extend(encrypted(&mut *peer, b"12345"));
    }
    tester.receive(&records);
    tester.advance(std::time::Duration::from_secs(1));
    assert_eq!(got.get(), 10_000);
}
