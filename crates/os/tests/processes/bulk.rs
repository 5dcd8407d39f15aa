//! Many bytes and many children.

use crate::world::{Heard, World};
use std::{cell::Cell, rc::Rc, sync::LazyLock};
use tress_core::{
    Failure, Pace, Process, ProcessProtocol, Producer, Result, Transport,
    process::{Command, Terminal},
};

/// What goes through a child each way.
const BYTES: usize = 100 * 1024 * 1024;

/// The stream repeats in no power of two.
const PERIOD: usize = 251;

/// A piece of the stream.
fn piece(from: usize, length: usize) -> &'static [u8] {
    static PERIODS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let period = (0..=u8::MAX).take(PERIOD);
        period.cycle().take(PERIOD + LONGEST).collect()
    });
    &PERIODS[from % PERIOD..][..length]
}

/// The longest piece.
const LONGEST: usize = 65_536;

/// Writes the stream at the pace of the child.
struct Stream {
    written: usize,
}

impl Producer for Stream {
    fn resume_producing(&mut self, transport: &Transport) -> Result {
        let length = LONGEST.min(BYTES - self.written);
        transport.write(piece(self.written, length));
        self.written += length;
        if self.written == BYTES {
            transport.unregister_producer();
        }
        Ok(())
    }

    fn pause_producing(&mut self) {}

    fn stop_producing(&mut self) {}
}

/// Compares what comes back.
struct Comparing {
    got: Rc<Cell<usize>>,
    most_queued: Rc<Cell<usize>>,
    heard: Heard,
    closes_at_end: bool,
}

impl ProcessProtocol for Comparing {
    fn connection_made(&mut self, process: &Process) -> Result {
        let stdin = process.pipe(0).expect("it has one");
        stdin.register_producer(Stream { written: 0 }, Pace::Pulled)?;
        if self.closes_at_end {
            // It waits for the producer.
            process.close_stdin();
        }
        Ok(())
    }

    fn out_received(&mut self, process: &Process, data: &[u8]) -> Result {
        let from = self.got.get();
        assert!(
            data == piece(from, data.len()),
            "differs between {from} and {}",
            from + data.len()
        );
        self.got.set(from + data.len());
        if let Some(stdin) = process.pipe(0) {
            let queued = stdin.statistics().queued;
            self.most_queued.set(self.most_queued.get().max(queued));
        }
        if self.got.get() == BYTES {
            process.lose_connection();
        }
        Ok(())
    }

    fn process_ended(&mut self, _: Failure) {
        self.heard.push("ended");
    }
}

#[track_caller]
fn check(command: &Command, closes_at_end: bool) {
    let world = World::new();
    let heard = Heard::default();
    let (got, most_queued) = (Rc::default(), Rc::default());
    let protocol = Comparing {
        got: Rc::clone(&got),
        most_queued: Rc::clone(&most_queued),
        heard: heard.clone(),
        closes_at_end,
    };
    let started = world.reactor.spawn_process(command, protocol);
    started.expect("it can be started");
    world.until(|| heard.ended());
    assert_eq!(got.get(), BYTES);
    let high_water = world.reactor.limits().output_high_water;
    assert!(most_queued.get() <= 2 * high_water, "{}", most_queued.get());
    world.end();
}

#[test]
fn a_hundred_mebibytes_through_cat() {
    check(&Command::new("cat"), true);
}

#[test]
fn a_hundred_mebibytes_through_a_terminal() {
    let raw = Terminal {
        is_raw: true,
        ..Terminal::default()
    };
    check(&Command::new("cat").terminal(raw), false);
}

#[test]
fn a_thousand_children_at_once() {
    let world = World::new();
    let children: Vec<_> = (0..1000)
        .map(|_| world.start(&Command::new("cat")))
        .collect();
    assert_eq!(world.reactor.statistics().processes, 1000);
    for (index, (process, _)) in children.iter().enumerate() {
        process
            .write(index.to_string().as_bytes())
            .expect("it runs");
        process.close_stdin();
    }
    world.until(|| children.iter().all(|(_, heard)| heard.ended()));
    for (index, (_, heard)) in children.iter().enumerate() {
        assert_eq!(heard.data(1), index.to_string());
        assert!(heard.has("ended done"));
    }
    world.end();
}
