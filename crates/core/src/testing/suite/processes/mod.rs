//! Child processes: what their protocols hear and in which order, how they are stopped, and what is refused. A driver that
//! starts none says so. Knows the children only by what they do: each world has its own programs for that.

mod failing;
mod hearing;
mod output;
mod stopping;
mod talking;

pub use failing::*;
pub use hearing::*;
pub use output::*;
pub use stopping::*;
pub use talking::*;

use super::{World, recorder::Log};
use crate::{
    Failure, Result,
    error::ConnectionDone,
    process::{Command, Process, ProcessDone, ProcessProtocol, ProcessTerminated, SpawnError},
    signal::Signal,
};
use std::{cell::RefCell, collections::BTreeMap, io, rc::Rc};

/// What a child does, for [`World::command`]. Unless another thing is said, it is started with pipes at 0, 1 and 2, ends
/// with code 0, and a signal does to it what it does by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Does {
    /// Copies its 0 to its 1, and ends when that ends.
    Copies,
    /// The same; then it goes on for ever. Nobody reading what it writes does not end it.
    CopiesAndGoesOn,
    /// Writes `one` and a newline to 1, `two` and a newline to 2, and ends with code 3.
    WritesToBoth,
    /// Ends with this code.
    Exits(u8),
    /// Sends itself this signal, and leaves no memory image.
    Raises(Signal),
    /// Ends, while something that it has started keeps its descriptors until its 0 ends.
    LeavesItsPipes,
    /// Closes 0, 1 and 2, sends itself `SIGSTOP`, and ends with code 4 when it goes on.
    ClosesItsPipes,
    /// Says `ready` and a newline, and goes on for ever, ignoring `SIGTERM`.
    IgnoresTerm,
    /// Closes 1 and 2, and goes on for ever, ignoring `SIGTERM`.
    IgnoresTermInSilence,
    /// Says `up` and a newline; at `SIGTERM` it says `bye` and a newline and ends.
    SaysGoodbye,
    /// Writes `bad` and a newline to 2 and goes on for ever.
    Complains,
    /// Writes to 1 for ever, as fast as that is read.
    Floods,
    /// Does nothing for ever.
    Waits,
    /// Writes to 1 each of its arguments, with a newline.
    TellsArguments,
    /// Writes to 1 each variable of its environment, as `NAME=VALUE` and a newline.
    TellsEnvironment,
    /// Reads a line from 3 and then one from 7; writes both lines to 5 in the other order, without a newline between, and
    /// to 4 in this one.
    Crosses,
    /// Reads a line from 3 and writes `got`, a blank and that line to 3. It has a socket there.
    AnswersAtItsSocket,
    /// Copies what its terminal gives it to its terminal.
    CopiesInItsTerminal,
}

/// How to start a child that does this. On a driver that starts none nothing, which it says.
#[track_caller]
fn command(world: &dyn World, does: Does) -> Option<Command> {
    let command = world.command(does);
    if command.is_none() {
        let (heard, protocol) = recorder();
        let refused = world
            .reactor()
            .spawn_process(&Command::new("cat"), protocol);
        let failure = refused.expect_err("the driver starts none");
        let error = failure.check::<SpawnError>().expect("it is that error");
        assert_eq!(error.error.kind(), io::ErrorKind::Unsupported);
        let text = "cannot start `cat`: this driver starts no processes";
        assert_eq!(failure.to_string(), text);
        world.settle();
        heard.check(&[]);
    }
    command
}

/// A child, and what its protocol hears.
struct Started {
    process: Process,
    heard: Heard,
}

#[track_caller]
fn start(world: &dyn World, command: &Command) -> Started {
    let (heard, protocol) = recorder();
    let process = world.reactor().spawn_process(command, protocol);
    let process = process.expect("it can be started");
    Started { process, heard }
}

/// The same, until its end.
#[track_caller]
fn run(world: &dyn World, command: &Command) -> Started {
    let started = start(world, command);
    world.until(&mut || started.heard.has_ended());
    started
}

/// Why it is refused. Its protocol hears nothing.
#[track_caller]
fn refused(world: &dyn World, command: &Command) -> String {
    let (heard, protocol) = recorder();
    let refused = world.reactor().spawn_process(command, protocol);
    let failure = refused.expect_err("it is refused");
    assert!(failure.check::<SpawnError>().is_some(), "{failure}");
    world.settle();
    heard.check(&[]);
    failure.to_string()
}

/// What a protocol heard, in order, and the bytes of each descriptor.
#[derive(Clone, Default)]
struct Heard {
    log: Log,
    bytes: Rc<RefCell<BTreeMap<u32, Vec<u8>>>>,
}

impl Heard {
    fn has(&self, event: &str) -> bool {
        self.log.count(event) > 0
    }

    fn has_ended(&self) -> bool {
        let events = self.log.events();
        events.iter().any(|event| event.starts_with("ended"))
    }

    /// All that came from one descriptor.
    fn text(&self, descriptor: u32) -> String {
        let bytes = self.bytes.borrow();
        let bytes = bytes.get(&descriptor).map_or(&[][..], Vec::as_slice);
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn length(&self, descriptor: u32) -> usize {
        self.bytes.borrow().get(&descriptor).map_or(0, Vec::len)
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        self.log.check(expected);
    }

    /// Compares what it heard in any order but for the first and the last.
    #[track_caller]
    fn check_life(&self, between: &[&str], ended: &str) {
        let events = self.log.events();
        let all = format!("{events:?}");
        let [first, middle @ .., last] = &events[..] else {
            panic!("too little: {all}");
        };
        assert_eq!((first.as_str(), last.as_str()), ("made", ended), "{all}");
        let mut middle: Vec<&str> = middle.iter().map(String::as_str).collect();
        middle.sort_unstable();
        assert_eq!(middle, between, "{all}");
    }
}

struct Recorder(Heard);

fn recorder() -> (Heard, Recorder) {
    let heard = Heard::default();
    (heard.clone(), Recorder(heard))
}

impl ProcessProtocol for Recorder {
    fn connection_made(&mut self, _: &Process) -> Result {
        self.0.log.note("made");
        Ok(())
    }

    fn child_data_received(&mut self, _: &Process, descriptor: u32, data: &[u8]) -> Result {
        assert!(!data.is_empty(), "child_data_received without data");
        let mut bytes = self.0.bytes.borrow_mut();
        bytes.entry(descriptor).or_default().extend_from_slice(data);
        Ok(())
    }

    fn child_write_paused(&mut self, _: &Process, descriptor: u32) -> Result {
        self.0.log.note(format!("paused {descriptor}"));
        Ok(())
    }

    fn child_write_resumed(&mut self, _: &Process, descriptor: u32) -> Result {
        self.0.log.note(format!("resumed {descriptor}"));
        Ok(())
    }

    fn child_connection_lost(&mut self, _: &Process, descriptor: u32, reason: &Failure) -> Result {
        self.0.log.note(match reason.check::<ConnectionDone>() {
            None if matches!(descriptor, 1 | 2) => format!("lost {descriptor}: {reason}"),
            _ => format!("lost {descriptor}"),
        });
        Ok(())
    }

    fn process_exited(&mut self, _: &Process, reason: &Failure) -> Result {
        self.0.log.note(format!("exited {}", shown(reason)));
        Ok(())
    }

    fn process_ended(&mut self, reason: Failure) {
        self.0.log.note(format!("ended {}", shown(&reason)));
    }
}

fn shown(reason: &Failure) -> String {
    if reason.check::<ProcessDone>().is_some() {
        return "done".to_owned();
    }
    match reason.check::<ProcessTerminated>() {
        Some(terminated) => terminated.status.to_string(),
        None => reason.to_string(),
    }
}
