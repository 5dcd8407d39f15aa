//! Changes of an application that runs. Each is done in one step of the loop, whole or not at all: what is wrong is found
//! before anything is touched, and what fails after that is taken back.

use super::{
    Place,
    load::{Checked, Loaded, Provided},
    task::{Task, TaskEntry},
    tree::{Entry, Phase, State, Tree, look_again, start_providers, start_task, stop_providers},
};
use crate::{
    config::{LogSection, MAX_FILE_BYTES, Problems},
    control::{CANNOT_START, Control, NO_SUCH_SERVICE, NOT_RUNNING, REFUSED, Reloaded},
    registry::{LogStep, Moment},
    services::{CannotStart, Health},
};
use std::{
    cell::{Ref, RefMut},
    path::Path,
    rc::Rc,
};
use tress_core::{Reactor, wording::unknown};
use tress_rpc::{Fault, fault::BUSY};

/// Workers that run cannot open a socket together.
const ALONE: &str = "with several workers nothing can be started, stopped or changed while it runs: change the file, and start \
                     the application anew";

const UPGRADING: &str = "an upgrade is going on: another process is about to take over";
const LEAVING: &str = "another process has taken over from this one";

/// What texts that are attached are called where something is wrong with them.
const ATTACHED: &str = "attach";

impl Tree {
    /// False when it ran already.
    pub(crate) fn start_service(&self, name: &str) -> Result<bool, Fault> {
        self.set_running(name, true)
    }

    /// False when it did not run.
    pub(crate) fn stop_service(&self, name: &str) -> Result<bool, Fault> {
        self.set_running(name, false)
    }

    fn set_running(&self, name: &str, running: bool) -> Result<bool, Fault> {
        let (reactor, mut state) = self.changing()?;
        let task = state.tasks.iter_mut().find(|entry| entry.task.name == name);
        if let Some(task) = task {
            return task
                .set_running(&reactor, running)
                .map_err(|error| cannot_start(&error));
        }
        self.alone(&state)?;
        let place = state.place_of(name)?;
        if state.entries[place].running == running {
            return Ok(false);
        }
        state.entries[place].running = running;
        if let Err(error) = state.rearrange(&reactor) {
            state.entries[place].running = !running;
            return Err(cannot_start(&error));
        }
        let entry = &mut state.entries[place];
        entry.since = reactor.wall();
        if running {
            entry.starts += 1;
        }
        Ok(true)
    }

    /// The names of what was attached.
    pub(crate) fn attach(&self, text: &str) -> Result<Vec<String>, Fault> {
        let (reactor, mut state) = self.changing()?;
        self.alone(&state)?;
        drop(state);
        let loader = self.loader(ATTACHED, &reactor).keeping(self.looking()?);
        let loaded = loader.attached(text, &self.file);
        let loaded = loaded.map_err(|problems| Fault::new(REFUSED, problems))?;
        state = self.changing()?.1;
        let before = state.entries.len();
        let now = reactor.wall();
        for (name, service) in loaded.services {
            let mut entry = Entry::new(name, service, now);
            (entry.attached, entry.starts) = (true, 1);
            state.entries.push(entry);
        }
        if let Err(error) = state.rearrange(&reactor) {
            state.entries.truncate(before);
            return Err(cannot_start(&error));
        }
        let added = state.entries[before..].iter();
        Ok(added.map(|entry| entry.name.clone()).collect())
    }

    pub(crate) fn detach(&self, name: &str) -> Result<(), Fault> {
        let (reactor, mut state) = self.changing()?;
        let task = state.tasks.iter().position(|entry| entry.task.name == name);
        if let Some(place) = task {
            state.tasks.remove(place).task.stop_and_say();
            return Ok(());
        }
        self.alone(&state)?;
        let place = state.place_of(name)?;
        let entry = state.entries.remove(place);
        if let Err(error) = state.rearrange(&reactor) {
            state.entries.insert(place, entry);
            return Err(cannot_start(&error));
        }
        Ok(())
    }

    /// Makes the application what its file says now.
    pub(crate) fn reload(&self) -> Result<Reloaded, Fault> {
        let (reactor, state) = self.changing()?;
        if self.file.is_empty() {
            let kept = state.names().map(str::to_owned).collect();
            drop(state);
            self.look_again();
            return Ok(Reloaded {
                kept,
                ..Reloaded::default()
            });
        }
        drop(state);
        self.tell(Moment::Reloading(reactor.now()));
        let done = self.reload_on(&reactor);
        self.tell_running(match &done {
            Ok(_) => "",
            Err(_) => "not read again, see the log; as before ",
        });
        done
    }

    fn reload_on(&self, reactor: &Reactor) -> Result<Reloaded, Fault> {
        let read = self
            .registry
            .files()
            .read(Path::new(&self.file), MAX_FILE_BYTES + 1);
        let (bytes, _) = read.map_err(|error| {
            Fault::new(
                REFUSED,
                format_args!("{}: cannot read the file: {error}", self.file),
            )
        })?;
        let loader = self.loader(&self.file, reactor).keeping(self.looking()?);
        let loaded = loader.controlled(self.control()).file(&bytes);
        let loaded = loaded.map_err(|problems| Fault::new(REFUSED, problems))?;
        let mut state = self.changing()?.1;
        let old = state.settings.log.clone();
        self.log(&loaded.settings.log)?;
        let done = state.become_what(loaded, reactor);
        drop(state);
        let done = done.inspect_err(|_| {
            if let Err(fault) = self.log(&old) {
                tracing::error!(target: "tress", "the log is not as it was: {}", fault.message());
            }
        })?;
        let others = self.others.borrow().clone();
        others.reload();
        Ok(done)
    }

    /// Has the program log so from now on.
    fn log(&self, log: &LogSection) -> Result<(), Fault> {
        let (Some(hook), Place::Home) = (self.registry.log(), &self.place) else {
            return Ok(());
        };
        hook(log, LogStep::Become).map_err(|(key, message)| match &log.options {
            Some(options) => {
                let mut problems = Problems::new(&*self.file);
                problems.push(options.problem(key, message));
                Fault::new(REFUSED, problems)
            }
            None => Fault::new(REFUSED, message),
        })
    }

    /// As that of the providers that run.
    fn control(&self) -> Control {
        self.myself.borrow().clone()
    }

    /// To change it: it must run.
    pub(super) fn changing(&self) -> Result<(Reactor, RefMut<'_, State>), Fault> {
        let state = self.held()?;
        match state.phase {
            Phase::Running => {}
            Phase::Upgrading(_) => return Err(Fault::new(BUSY, UPGRADING)),
            Phase::Leaving => return Err(Fault::new(NOT_RUNNING, LEAVING)),
            Phase::Loaded | Phase::Stopped => return Err(not_running()),
        }
        Ok((self.reactor.upgrade().ok_or_else(not_running)?, state))
    }

    /// Whether it runs or not.
    pub(super) fn held(&self) -> Result<RefMut<'_, State>, Fault> {
        self.state.try_borrow_mut().map_err(|_| busy())
    }

    /// To look at it.
    pub(super) fn looking(&self) -> Result<Ref<'_, State>, Fault> {
        self.state.try_borrow().map_err(|_| busy())
    }

    /// What is changed here would be changed on this worker only.
    fn alone(&self, state: &State) -> Result<(), Fault> {
        if state.settings.workers.may_be_many() {
            return Err(Fault::new(REFUSED, ALONE));
        }
        Ok(())
    }
}

impl State {
    fn place_of(&self, name: &str) -> Result<usize, Fault> {
        let place = self.entries.iter().position(|entry| entry.name == name);
        place.ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            Fault::new(NO_SUCH_SERVICE, unknown("service", name, &known))
        })
    }

    fn become_what(&mut self, mut loaded: Loaded, reactor: &Reactor) -> Result<Reloaded, Fault> {
        let bound = self.stop_bound();
        let (entries, mut done) = self.entries_of(&loaded, reactor);
        let mut tasks = self.tasks_of(&loaded, reactor, &mut done);
        if self.settings.workers.may_be_many() && self.differs(&loaded, &done) {
            return Err(Fault::new(REFUSED, ALONE));
        }
        start_providers(reactor, &loaded.providers, bound).map_err(|error| cannot_start(&error))?;
        let old = std::mem::replace(&mut self.entries, entries);
        let arranged = self.rearrange(reactor);
        let arranged = arranged.and_then(|()| start_tasks(&mut tasks, reactor));
        if let Err(error) = arranged {
            self.entries = old;
            // Where a child could not be started, what listens has changed already.
            if let Err(error) = self.rearrange(reactor) {
                tracing::error!(target: "tress", "{error}, where it had listened before");
            }
            let started = loaded
                .providers
                .into_iter()
                .filter(|provided| !provided.kept);
            stop_providers(reactor, started.collect(), bound).detach();
            return Err(cannot_start(&error));
        }
        self.hand_over(old);
        self.replace_tasks(tasks);
        let old = std::mem::replace(&mut self.providers, loaded.providers);
        let is_kept = |old: &Provided| {
            let mut now = self.providers.iter();
            now.any(|new| new.kept && new.name == old.name)
        };
        let (kept, ended): (Vec<_>, Vec<_>) = old.into_iter().partition(is_kept);
        self.let_go(reactor, ended);
        look_again(&kept);
        self.checkers = std::mem::take(&mut loaded.checkers);
        self.checkers.iter_mut().for_each(Checked::take);
        self.shared = loaded.shared;
        self.publish(reactor);
        if self.settings.limits != loaded.settings.limits {
            reactor.set_limits(loaded.settings.limits.clone());
            let limits = reactor.limits();
            self.listeners
                .iter()
                .for_each(|listener| listener.set_limits(&limits));
        }
        self.settings = loaded.settings;
        self.reloads += 1;
        Ok(done)
    }

    /// Whether more has changed than users, secrets, and what providers find in their sources.
    fn differs(&self, loaded: &Loaded, done: &Reloaded) -> bool {
        let changes = [&done.started, &done.restarted, &done.stopped];
        changes.iter().any(|names| !names.is_empty())
            || self.settings.limits != loaded.settings.limits
            || self.providers.len() != loaded.providers.len()
            || loaded.providers.iter().any(|provided| !provided.kept)
    }

    /// The services that the file says, those that go on as they are; and what becomes of each.
    fn entries_of(&self, loaded: &Loaded, reactor: &Reactor) -> (Vec<Entry>, Reloaded) {
        let (mut entries, mut done) = (Vec::new(), Reloaded::default());
        let now = reactor.wall();
        let mut goes_on = vec![false; self.entries.len()];
        for (name, service) in &loaded.services {
            let mut old = self.entries.iter().zip(&mut goes_on);
            let same = old.find(|(old, taken)| !**taken && loaded.keeps(&old.service, service));
            let mut entry = Entry::new(name.clone(), Rc::clone(service), now);
            entry.starts = 1;
            if let Some((same, taken)) = same {
                *taken = true;
                entry.service = Rc::clone(&same.service);
                (entry.since, entry.starts) = (same.since, same.starts);
                if same.running {
                    done.kept.push(name.clone());
                } else {
                    (entry.since, entry.starts) = (now, same.starts + 1);
                    done.started.push(name.clone());
                }
            } else if let Some(old) = self.entries.iter().find(|old| old.name == *name) {
                entry.starts = old.starts + 1;
                match old.running {
                    true => done.restarted.push(name.clone()),
                    false => done.started.push(name.clone()),
                }
            } else {
                done.started.push(name.clone());
            }
            entries.push(entry);
        }
        let old = self.entries.iter().zip(&goes_on);
        let ended = old.filter(|(old, goes_on)| {
            let named = || entries.iter().any(|entry| entry.name == old.name);
            old.running && !**goes_on && !named()
        });
        done.stopped = ended.map(|(old, _)| old.name.clone()).collect();
        (entries, done)
    }

    /// The tasks that the file says, those that go on as they are, and the program's own; and what becomes of each.
    fn tasks_of(&self, loaded: &Loaded, reactor: &Reactor, done: &mut Reloaded) -> Vec<NextTask> {
        let mut tasks = Vec::new();
        for task in &loaded.tasks {
            let old = self.tasks.iter().find(|old| old.task.name == task.name);
            let mut entry = TaskEntry::new(Rc::clone(task), reactor.wall());
            entry.starts = old.map_or(1, |old| old.starts + 1);
            let is_there = old.is_some_and(|old| old.running);
            let (names, how) = match old {
                Some(old) if is_there && old.task.says_the_same_as(task) => {
                    entry.task = Rc::clone(&old.task);
                    entry.since.set(old.since.get());
                    if old.task.health() == Health::GivenUp {
                        (&mut done.started, How::Start)
                    } else {
                        entry.starts = old.starts;
                        (&mut done.kept, How::Keep)
                    }
                }
                Some(_) if is_there => (&mut done.restarted, How::Replace),
                Some(old) if old.task.says_the_same_as(task) => {
                    entry.task = Rc::clone(&old.task);
                    (&mut done.started, How::Start)
                }
                // One that was stopped may not have ended yet.
                Some(_) => (&mut done.started, How::Replace),
                None => (&mut done.started, How::Start),
            };
            names.push(task.name.clone());
            tasks.push((entry, how));
        }
        for old in &self.tasks {
            let name = &old.task.name;
            if !old.task.is_own() && old.running && !tasks.iter().any(|(e, _)| e.task.name == *name)
            {
                done.stopped.push(name.clone());
            }
        }
        tasks
    }

    /// From now on these are there. What they take the place of ends first.
    fn replace_tasks(&mut self, tasks: Vec<NextTask>) {
        let mut old = std::mem::take(&mut self.tasks);
        for (entry, how) in tasks {
            let place = old.iter().position(|old| old.task.name == entry.task.name);
            let before = place.map(|place| old.remove(place));
            if let (How::Replace, Some(before)) = (how, before) {
                entry.task.start_after(before.task.stop());
            }
            self.tasks.push(entry);
        }
        for left in old {
            if left.task.is_own() {
                self.tasks.push(left);
            } else {
                left.task.stop_and_say();
            }
        }
    }

    /// What services have done so far is theirs still.
    fn hand_over(&mut self, old: Vec<Entry>) {
        for mut old in old {
            let same = |entry: &&mut Entry| Rc::ptr_eq(&entry.service, &old.service);
            let found = match self.entries.iter_mut().find(same) {
                Some(found) => Some(found),
                None => self.entries.iter_mut().find(|entry| entry.name == old.name),
            };
            if let Some(entry) = found {
                entry.past.join(std::mem::take(&mut old.past));
            }
        }
    }
}

/// A task that a file says, and how it comes to run.
type NextTask = (TaskEntry, How);

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// It does.
    Keep,
    /// At once; that it cannot is an error.
    Start,
    /// When the one of its name has ended.
    Replace,
}

/// Starts those that can be at once, or none.
fn start_tasks(tasks: &mut [NextTask], reactor: &Reactor) -> Result<(), CannotStart> {
    let mut started = Vec::new();
    for (entry, how) in tasks {
        if *how == How::Start {
            if let Err(error) = start_task(&entry.task, reactor) {
                started
                    .iter()
                    .for_each(|task: &Rc<Task>| task.stop_and_say());
                return Err(error);
            }
            started.push(Rc::clone(&entry.task));
        }
    }
    Ok(())
}

impl TaskEntry {
    /// Starts or stops it. False when nothing was to be done.
    fn set_running(&mut self, reactor: &Reactor, running: bool) -> Result<bool, CannotStart> {
        let rests = match self.task.health() {
            Health::Waiting | Health::GivenUp | Health::Finished => true,
            Health::Well | Health::Stopping => false,
        };
        if self.running == running && !(running && rests) {
            return Ok(false);
        }
        if running {
            start_task(&self.task, reactor)?;
            self.starts += 1;
        } else {
            self.task.stop_and_say();
        }
        self.running = running;
        self.since.set(reactor.wall());
        Ok(true)
    }
}

fn cannot_start(error: &CannotStart) -> Fault {
    Fault::new(CANNOT_START, error)
}

fn busy() -> Fault {
    Fault::new(BUSY, "the application is being changed")
}

fn not_running() -> Fault {
    Fault::new(NOT_RUNNING, "the application does not run")
}
