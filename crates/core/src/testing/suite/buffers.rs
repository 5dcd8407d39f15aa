//! Buffers that a protocol takes: their bytes stay as they are, and nobody else loses any.

use super::{
    World,
    recorder::{Log, Recorder, check_echo, connect, connected, listen, pattern},
};
use crate::{
    failure::{Failure, Result},
    protocol::Protocol,
    received::{Chunk, Received},
    transport::Transport,
};
use std::{cell::RefCell, rc::Rc};

/// Which of the buffers that arrive a protocol takes.
#[derive(Clone, Copy)]
enum Takes {
    All,
    EveryOther,
}

/// What arrived, in order.
enum Piece {
    Taken(Chunk),
    Copied(Vec<u8>),
}

/// What a [`Taker`] has, for whoever looks from outside.
#[derive(Clone, Default)]
struct Taken {
    pieces: Rc<RefCell<Vec<Piece>>>,
    lost: Rc<RefCell<Option<Failure>>>,
}

impl Taken {
    fn len(&self) -> usize {
        let length = |piece: &Piece| match piece {
            Piece::Taken(chunk) => chunk.len(),
            Piece::Copied(bytes) => bytes.len(),
        };
        self.pieces.borrow().iter().map(length).sum()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in &*self.pieces.borrow() {
            all.extend_from_slice(match piece {
                Piece::Taken(chunk) => chunk,
                Piece::Copied(bytes) => bytes,
            });
        }
        all
    }

    /// Copies everything and gives the buffers back.
    fn copy_all(&self) {
        let bytes = self.bytes();
        let taken = self.pieces.replace(vec![Piece::Copied(bytes)]);
        drop(taken);
    }
}

/// Keeps the buffers that it gets.
struct Taker {
    takes: Takes,
    arrived: usize,
    taken: Taken,
}

impl Taker {
    fn new(takes: Takes, taken: &Taken) -> Self {
        Self {
            takes,
            arrived: 0,
            taken: taken.clone(),
        }
    }
}

impl Protocol for Taker {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.deliver_buffers();
        Ok(())
    }

    fn data_received(&mut self, _transport: &Transport, _data: &[u8]) -> Result {
        Err(Failure::msg("it asked for buffers"))
    }

    fn buffer_received(&mut self, _transport: &Transport, received: Received<'_>) -> Result {
        assert!(!received.bytes().is_empty(), "buffer_received without data");
        self.arrived += 1;
        let take = match self.takes {
            Takes::All => true,
            Takes::EveryOther => self.arrived.is_multiple_of(2),
        };
        let piece = if take {
            Piece::Taken(received.take())
        } else {
            Piece::Copied(received.bytes().to_vec())
        };
        self.taken.pieces.borrow_mut().push(piece);
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.taken.lost.replace(Some(reason));
    }
}

/// Sends this, and closes.
fn sender(bytes: &[u8]) -> Recorder {
    let bytes = bytes.to_vec();
    Recorder::new().on_made(move |transport| {
        transport.write(&bytes);
        transport.lose_connection();
        Ok(())
    })
}

#[track_caller]
fn check_takes(world: &dyn World, takes: Takes) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let all = Rc::clone(&seen);
    let port = listen(world, move || {
        let taken = Taken::default();
        all.borrow_mut().push(taken.clone());
        Taker::new(takes, &taken)
    });
    let sent = [pattern(1_500_001), pattern(1_000_003).split_off(7)];
    for bytes in &sent {
        connect(world, &port, sender(bytes));
    }
    let lost = |taken: &Taken| taken.lost.borrow().is_some();
    world.until(&mut || seen.borrow().len() == 2 && seen.borrow().iter().all(lost));
    let mut got: Vec<Vec<u8>> = seen.borrow().iter().map(Taken::bytes).collect();
    got.sort_by_key(|bytes| usize::MAX - bytes.len());
    assert!(got == sent, "the bytes are others");
}

/// Whoever takes every buffer and keeps them has all bytes as they were, however many connections there are, also
/// after these have ended.
pub fn taken_bytes_stay_as_they_were(world: &dyn World) {
    if !world.gives_buffers() {
        return;
    }
    check_takes(world, Takes::All);
}

/// The same when the buffer goes back to the driver in between.
pub fn some_buffers_are_taken_and_some_are_not(world: &dyn World) {
    if !world.gives_buffers() {
        return;
    }
    check_takes(world, Takes::EveryOther);
}

/// Buffers that are given back are used again, by all connections, and no bytes get into the wrong hands.
pub fn buffers_that_were_given_back_are_used_again(world: &dyn World) {
    if !world.gives_buffers() {
        return;
    }
    let taken = Taken::default();
    let seen = taken.clone();
    let port = listen(world, move || Taker::new(Takes::All, &seen));
    let echo = listen(world, Recorder::echo);
    let peer = connected(world, &port, Recorder::new());
    let piece = pattern(100_000);
    for round in 1..=20 {
        peer.transport().write(&piece);
        world.until(&mut || taken.len() == round * piece.len());
        if round % 3 == 0 {
            taken.copy_all();
        }
        check_echo(world, &echo);
    }
    assert!(taken.bytes() == piece.repeat(20), "the bytes are others");
}

/// A protocol that asks for buffers and has no use for them gets the bytes as before.
pub fn buffers_are_bytes_for_who_does_not_take_them(world: &dyn World) {
    let port = listen(world, || {
        Recorder::echo().on_made(|transport| {
            transport.deliver_buffers();
            Ok(())
        })
    });
    check_echo(world, &port);
}

/// Who has not asked gets none.
pub fn buffers_come_to_who_asked_only(world: &dyn World) {
    struct Both(Log);
    impl Protocol for Both {
        fn data_received(&mut self, _: &Transport, _: &[u8]) -> Result {
            self.0.note("data");
            Ok(())
        }
        fn buffer_received(&mut self, _: &Transport, _: Received<'_>) -> Result {
            self.0.note("buffer");
            Ok(())
        }
    }
    let log = Log::default();
    let seen = log.clone();
    let port = listen(world, move || Both(seen.clone()));
    let peer = connected(world, &port, Recorder::new());
    peer.transport().write(b"x");
    world.until(&mut || !log.events().is_empty());
    log.check(&["data"]);
}

/// A protocol whose type is forgotten gets its buffers all the same.
pub fn a_boxed_protocol_gets_its_buffers(world: &dyn World) {
    if !world.gives_buffers() {
        return;
    }
    let taken = Taken::default();
    let seen = taken.clone();
    let port = listen(world, move || -> Box<dyn Protocol> {
        Box::new(Taker::new(Takes::All, &seen))
    });
    connect(world, &port, sender(b"all of it"));
    world.until(&mut || taken.lost.borrow().is_some());
    assert_eq!(taken.bytes(), b"all of it");
}

/// A protocol that fails with a buffer in its hands ends its own connection only.
pub fn a_failure_with_a_taken_buffer_costs_one_connection(world: &dyn World) {
    if !world.gives_buffers() {
        return;
    }
    struct Fails;
    impl Protocol for Fails {
        fn connection_made(&mut self, transport: &Transport) -> Result {
            transport.deliver_buffers();
            Ok(())
        }
        fn buffer_received(&mut self, _: &Transport, received: Received<'_>) -> Result {
            let chunk = received.take();
            assert!(&*chunk != b"panic", "as asked");
            Err(Failure::msg("no"))
        }
    }
    let port = listen(world, || Fails);
    let echo = listen(world, Recorder::echo);
    for text in ["panic", "fail"] {
        let peer = connected(world, &port, Recorder::new());
        peer.transport().write(text.as_bytes());
        world.until(&mut || peer.is_lost());
        peer.check_reset(world);
        check_echo(world, &echo);
    }
}
