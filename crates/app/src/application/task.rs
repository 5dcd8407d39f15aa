//! What runs beside the endpoints: the child process of a `[[run]]` section, or a service that the program has added. Knows no
//! endpoint and no provider.

use super::load::Loader;
use crate::{
    config::RunSection,
    services::{self, Health},
};
use std::{
    cell::{Cell, RefCell},
    ffi::OsString,
    fmt,
    rc::Rc,
    time::{Duration, SystemTime},
};
use tress_core::{
    Deferred, Failure, Process, ProcessProtocol, Reactor, Result,
    process::{ChildDescriptor, ChildState, Command, LineLog, Supervised},
};

/// It is started and stopped as a whole.
pub(super) struct Task {
    pub(super) name: String,
    kind: Kind,
}

enum Kind {
    Child(Box<RunSection>, Supervised),
    Own(RefCell<Box<dyn services::Service>>),
}

/// A task by its place in the application.
pub(super) struct TaskEntry {
    pub(super) task: Rc<Task>,
    /// Whether it is to run; as long as the application does, it does.
    pub(super) running: bool,
    pub(super) since: Cell<SystemTime>,
    pub(super) starts: u64,
}

impl TaskEntry {
    pub(super) fn new(task: Rc<Task>, now: SystemTime) -> Self {
        Self {
            task,
            running: true,
            since: Cell::new(now),
            starts: 0,
        }
    }

    /// In a word.
    pub(super) fn state(&self) -> &'static str {
        match (self.running, self.task.health()) {
            (true, health) => health.word(),
            (false, Health::Stopping) => Health::Stopping.word(),
            (false, _) => "stopped",
        }
    }

    /// Since when it is in that state.
    pub(super) fn since(&self, reactor: Option<&Reactor>) -> SystemTime {
        let age = match &self.task.kind {
            Kind::Child(_, child) if child.state() != ChildState::Stopped => Some(child.age()),
            Kind::Child(..) | Kind::Own(_) => None,
        };
        let since = reactor
            .zip(age)
            .and_then(|(reactor, age)| reactor.wall().checked_sub(age));
        since.unwrap_or_else(|| self.since.get())
    }
}

impl Task {
    /// A service of the program's own.
    pub(super) fn own(name: String, service: Box<dyn services::Service>) -> Rc<Self> {
        let kind = Kind::Own(RefCell::new(service));
        Rc::new(Self { name, kind })
    }

    /// The child of a section that is right.
    fn child(section: RunSection, reactor: &Reactor) -> Rc<Self> {
        let name = section.name.clone();
        let output = name.clone();
        let child = Supervised::new(reactor, &*name, command(&section), move || Output {
            out: LineLog::new(&*output),
            err: LineLog::new(&*output),
        });
        let child = child
            .with_policy(section.policy)
            .with_kill_time(section.kill_time);
        let kind = Kind::Child(Box::new(section), child);
        Rc::new(Self { name, kind })
    }

    /// Whether a reload of the file has no say in it.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.kind, Kind::Own(_))
    }

    /// Whether another section says the same.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Child(one, _), Kind::Child(other, _)) => {
                one.options.says_the_same_as(&other.options, &[])
            }
            (Kind::Child(..) | Kind::Own(_), Kind::Child(..) | Kind::Own(_)) => false,
        }
    }

    pub(super) fn start(&self, reactor: &Reactor) -> Result {
        match &self.kind {
            Kind::Child(_, child) => child.start(),
            Kind::Own(service) => borrowed(service)?.start(reactor),
        }
    }

    /// Starts a child when another has ended, if nobody stops it before. It is an error no more that it cannot be started: that is
    /// tried again.
    pub(super) fn start_after(&self, other: Deferred<()>) {
        let Kind::Child(_, child) = &self.kind else {
            return;
        };
        child.start_later(Duration::MAX);
        let child = child.clone();
        other
            .add_both(move |_| match child.state() {
                ChildState::Waiting => child.start(),
                ChildState::Stopped
                | ChildState::Running
                | ChildState::Stopping
                | ChildState::Finished
                | ChildState::GivenUp => Ok(()),
            })
            .detach();
    }

    pub(super) fn stop(&self) -> Deferred<()> {
        match &self.kind {
            Kind::Child(_, child) => child.stop(),
            Kind::Own(service) => match borrowed(service) {
                Ok(mut service) => service.stop(),
                Err(failure) => Deferred::fail(failure),
            },
        }
    }

    /// The same, where nobody waits for it.
    /// Whether it is one of `[[run]]`.
    pub(super) fn is_child(&self) -> bool {
        matches!(self.kind, Kind::Child { .. })
    }

    pub(super) fn stop_and_say(&self) {
        let name = self.name.clone();
        let stopped = self.stop().add_errback(move |failure| {
            tracing::warn!(target: "tress", "{name} did not stop: {failure}");
            Ok(())
        });
        stopped.detach();
    }

    pub(super) fn reload(&self) {
        if let Kind::Own(service) = &self.kind
            && let Ok(mut service) = service.try_borrow_mut()
        {
            service.reload();
        }
    }

    pub(super) fn health(&self) -> Health {
        match &self.kind {
            Kind::Child(_, child) => services::Service::health(child),
            Kind::Own(service) => service
                .try_borrow()
                .map_or(Health::Well, |own| own.health()),
        }
    }

    pub(super) fn restarts(&self) -> u64 {
        match &self.kind {
            Kind::Child(_, child) => child.restarts(),
            Kind::Own(service) => service.try_borrow().map_or(0, |own| own.restarts()),
        }
    }

    /// What it is, as a list shows it beside the names of providers.
    pub(super) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Child(..) => "[run]",
            Kind::Own(_) => "[service]",
        }
    }

    /// Where it is found.
    pub(super) fn at(&self) -> Vec<String> {
        match &self.kind {
            Kind::Child(..) => {
                let process = self.process().into_iter();
                process
                    .map(|process| format!("process {}", process.id()))
                    .collect()
            }
            Kind::Own(_) => Vec::new(),
        }
    }

    /// Its child, while it runs.
    pub(super) fn process(&self) -> Option<Process> {
        match &self.kind {
            Kind::Child(_, child) => child.process(),
            Kind::Own(_) => None,
        }
    }
}

/// A service that is being started, stopped or asked is not, once more, from inside that.
fn borrowed(
    service: &RefCell<Box<dyn services::Service>>,
) -> Result<std::cell::RefMut<'_, Box<dyn services::Service>>> {
    let service = service.try_borrow_mut();
    service.map_err(|_| Failure::msg("the service is being started or stopped"))
}

/// To be stopped with others.
pub(super) struct Stopped(pub(super) Rc<Task>);

impl services::Service for Stopped {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        self.0.start(reactor)
    }

    fn stop(&mut self) -> Deferred<()> {
        self.0.stop()
    }
}

fn command(section: &RunSection) -> Command {
    let (options, mut words) = (&section.options, section.command.iter());
    let program = words.next().map_or("", |program| &*program.value);
    let program: OsString = match program.contains('/') {
        true => {
            let beside = options.beside(program);
            std::path::absolute(&beside).unwrap_or(beside).into()
        }
        false => program.into(),
    };
    let pipes = [(1, ChildDescriptor::Read), (2, ChildDescriptor::Read)];
    let mut command = Command::new(program)
        .arguments(words.map(|word| &*word.value))
        .descriptors(pipes);
    command.directory = options.optional_path("directory").ok().flatten();
    command.inherits_environment = options.bool("inherit_environment", false).unwrap_or(false);
    (command.user, command.group) = (section.user, section.group);
    let variables = options
        .optional_table_of_strings("environment")
        .ok()
        .flatten();
    for (name, value) in variables.into_iter().flatten() {
        command.environment.insert(name.into(), Some(value.into()));
    }
    command
}

/// What a child writes, in the log.
struct Output {
    out: LineLog,
    err: LineLog,
}

impl ProcessProtocol for Output {
    fn out_received(&mut self, _: &Process, data: &[u8]) -> Result {
        self.out.received(data);
        Ok(())
    }

    fn err_received(&mut self, _: &Process, data: &[u8]) -> Result {
        self.err.received(data);
        Ok(())
    }

    fn process_ended(&mut self, _: Failure) {
        self.out.ended();
        self.err.ended();
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({} {})", self.name, self.what())
    }
}

impl Loader<'_> {
    /// `[[run]]`: children belong to the first worker.
    pub(super) fn run(&mut self, section: RunSection) {
        self.claim_name(&section.options);
        if self.is_home() {
            let task = Task::child(section, self.reactor);
            self.loaded.tasks.push(task);
        }
    }
}
