//! A reactor on a clock set by hand, real child processes, and a look at what is left of them after each test. One test
//! at a time: descriptors and children are counted for the whole process.

use crate::sockets::leftovers::Leftovers;
use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};
use tress_core::{
    Failure, Process, ProcessProtocol, Reactor, Result,
    error::ConnectionDone,
    process::{Command, ProcessDone, ProcessTerminated},
    testing::ManualClock,
};
use tress_os::Mio;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) reactor: Reactor,
    leftovers: Leftovers,
}

impl World {
    pub(crate) fn new() -> Self {
        let leftovers = Leftovers::none();
        let driver = Mio::with_clock(ManualClock::new()).expect("epoll works");
        Self {
            reactor: Reactor::with(driver),
            leftovers,
        }
    }

    /// Turns the loop until it holds.
    #[track_caller]
    pub(crate) fn until(&self, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE, "it does not come to hold");
            let turned = self.reactor.turn(Some(Duration::from_millis(20)));
            turned.expect("the driver works");
        }
    }

    /// Some turns in which nothing has to happen.
    pub(crate) fn settle(&self) {
        for _ in 0..5 {
            let turned = self.reactor.turn(Some(Duration::from_millis(1)));
            turned.expect("the driver works");
        }
    }

    /// Starts a child, and what its protocol hears.
    #[track_caller]
    pub(crate) fn start(&self, command: &Command) -> (Process, Heard) {
        let heard = Heard::default();
        let process = self.reactor.spawn_process(command, Recorder(heard.clone()));
        (process.expect("it can be started"), heard)
    }

    /// The same, until its end.
    #[track_caller]
    pub(crate) fn run(&self, command: &Command) -> Heard {
        let (_, heard) = self.start(command);
        self.until(|| heard.ended());
        heard
    }

    /// What comes of a Deferred.
    #[track_caller]
    pub(crate) fn result<T: 'static>(&self, deferred: tress_core::Deferred<T>) -> Result<T> {
        let place = Rc::new(RefCell::new(None));
        let result = Rc::clone(&place);
        deferred
            .add_both(move |outcome| {
                result.replace(Some(outcome));
                Ok(())
            })
            .detach();
        self.until(|| place.borrow().is_some());
        place.take().expect("it is there")
    }

    /// Nothing is left: no connection, child, timer or descriptor.
    #[track_caller]
    pub(crate) fn end(self) {
        self.until(|| {
            let left = self.reactor.statistics();
            left.connections + left.processes + left.timers == 0
        });
        drop(self.reactor);
        drop(self.leftovers);
    }
}

/// A command line of the shell, which has no variable but `PATH`.
pub(crate) fn shell(line: &str) -> Command {
    Command::new("/bin/sh")
        .arguments(["-c", line])
        .variable("PATH", "/usr/bin:/bin")
}

/// What a protocol heard, in order.
#[derive(Clone, Default)]
pub(crate) struct Heard(Rc<RefCell<Vec<String>>>);

impl Heard {
    pub(crate) fn push(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.0.borrow().iter().any(|heard| heard == event)
    }

    pub(crate) fn ended(&self) -> bool {
        self.0
            .borrow()
            .iter()
            .any(|heard| heard.starts_with("ended"))
    }

    /// All that came from one descriptor.
    pub(crate) fn data(&self, descriptor: u32) -> String {
        let start = format!("data {descriptor} ");
        let heard = self.0.borrow();
        let parts = heard.iter().filter_map(|heard| heard.strip_prefix(&start));
        parts.collect()
    }

    /// Without data, whose pieces may be any.
    pub(crate) fn events(&self) -> Vec<String> {
        let heard = self.0.borrow();
        let events = heard.iter().filter(|heard| !heard.starts_with("data"));
        events.cloned().collect()
    }
}

pub(crate) struct Recorder(pub(crate) Heard);

impl ProcessProtocol for Recorder {
    fn connection_made(&mut self, _: &Process) -> Result {
        self.0.push("made");
        Ok(())
    }

    fn child_data_received(&mut self, _: &Process, descriptor: u32, data: &[u8]) -> Result {
        let text = String::from_utf8_lossy(data);
        self.0.push(format!("data {descriptor} {text}"));
        Ok(())
    }

    fn child_connection_lost(&mut self, _: &Process, descriptor: u32, reason: &Failure) -> Result {
        self.0.push(match reason.check::<ConnectionDone>() {
            None if matches!(descriptor, 1 | 2) => format!("lost {descriptor}: {reason}"),
            _ => format!("lost {descriptor}"),
        });
        Ok(())
    }

    fn process_exited(&mut self, _: &Process, reason: &Failure) -> Result {
        self.0.push(format!("exited {}", shown(reason)));
        Ok(())
    }

    fn process_ended(&mut self, reason: Failure) {
        self.0.push(format!("ended {}", shown(&reason)));
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
