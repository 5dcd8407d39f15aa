//! An application that was loaded, and all of it that runs: it starts, stops, and holds what may be changed in between. How
//! it is changed stands in `change`, what is told of it in `status`.

use super::{
    Place,
    listeners::{Ended, Listener, rearrange, wanted},
    load::{Checked, Loaded, Loader, Provided, Service, Settings},
    task::{Stopped, Task, TaskEntry},
};
use crate::{
    config::Problems,
    control::Control,
    others::Others,
    registry::{Moment, Provider, Registry},
    services::{self, CannotStart, stop_in_turn},
};
use std::{
    cell::{Ref, RefCell},
    fmt,
    rc::Rc,
    time::{Duration, SystemTime},
};
use tress_core::{Deferred, Failure, Port, Reactor, Result, Transport, reactor::PortStatistics};
use tress_rpc::{Homes, Object};

/// How long connections that a change ends may finish what they are at, where they may.
const GRACE: Duration = Duration::from_secs(1);

/// One application on one reactor.
pub(crate) struct Tree {
    /// Empty when there is none.
    pub(super) file: String,
    pub(super) registry: Registry,
    pub(super) place: Place,
    pub(super) reactor: tress_core::WeakReactor,
    /// What its providers reach it by.
    pub(super) myself: RefCell<Control>,
    /// The other workers, if there are some: they do the same after a reload, and in an upgrade.
    pub(super) others: RefCell<Others>,
    /// Borrowed while it is changed: whoever asks meanwhile, from inside a provider, is told so.
    pub(super) state: RefCell<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) settings: Settings,
    pub(super) providers: Vec<Provided>,
    pub(super) checkers: Vec<Checked>,
    pub(super) entries: Vec<Entry>,
    pub(super) tasks: Vec<TaskEntry>,
    pub(super) listeners: Vec<Listener>,
    /// Those that a reload has replaced, and whose connections may finish.
    leaving: Rc<RefCell<Vec<Provided>>>,
    pub(super) shared: Vec<(String, Object)>,
    pub(super) since: Option<SystemTime>,
    pub(super) reloads: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Loaded,
    Running,
    /// A process is to take over, and is not ready. With `true`, the file is to be read again when that is decided.
    Upgrading(bool),
    /// One has taken over.
    Leaving,
    Stopped,
}

/// A service by its name.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) service: Rc<Service>,
    pub(super) attached: bool,
    /// Whether it is to run; as long as the application does, it does.
    pub(super) running: bool,
    pub(super) since: SystemTime,
    pub(super) starts: u64,
    pub(super) past: Past,
}

/// The figures of ports that a service had.
#[derive(Default)]
pub(super) struct Past {
    total: PortStatistics,
    /// Those whose connections have not all ended.
    ports: Vec<Port>,
}

impl Past {
    fn add<'p>(&mut self, ports: impl Iterator<Item = &'p Port>) {
        self.ports.extend(ports.cloned());
    }

    pub(super) fn join(&mut self, other: Self) {
        add(&mut self.total, &other.total);
        self.ports.extend(other.ports);
    }

    /// Those whose figures are asked for.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter()
    }

    /// All of it, where these are the figures of the ports.
    pub(super) fn total(
        &mut self,
        figures: &mut impl Iterator<Item = PortStatistics>,
    ) -> PortStatistics {
        let (total, mut open) = (&mut self.total, PortStatistics::default());
        self.ports.retain(|_| {
            let last = figures.next().unwrap_or_default();
            let is_open = last.connections > 0;
            add(if is_open { &mut open } else { total }, &last);
            is_open
        });
        add(&mut open, total);
        open
    }
}

pub(super) fn add(total: &mut PortStatistics, more: &PortStatistics) {
    total.connections += more.connections;
    total.accepted += more.accepted;
    total.refused += more.refused;
    total.received += more.received;
    total.sent += more.sent;
}

impl Entry {
    pub(super) fn new(name: String, service: Rc<Service>, now: SystemTime) -> Self {
        Self {
            name,
            service,
            attached: false,
            running: true,
            since: now,
            starts: 0,
            past: Past::default(),
        }
    }
}

impl Tree {
    pub(super) fn load(
        file: &str,
        bytes: &[u8],
        registry: &Registry,
        reactor: &Reactor,
        place: Place,
    ) -> Result<Rc<Self>, Problems> {
        let tree = Self::new(file, registry, reactor, place);
        let loaded = tree
            .loader(file, reactor)
            .controlled(Control::of(&tree))
            .file(bytes)?;
        tree.state.borrow_mut().take(loaded, reactor.wall());
        Ok(tree)
    }

    /// Of no file.
    pub(super) fn empty(name: &str, registry: &Registry, reactor: &Reactor) -> Rc<Self> {
        let tree = Self::new("", registry, reactor, Place::Home);
        tree.state.borrow_mut().settings = Settings {
            name: name.to_owned(),
            limits: (*reactor.limits()).clone(),
            ..Settings::default()
        };
        tree
    }

    fn new(file: &str, registry: &Registry, reactor: &Reactor, place: Place) -> Rc<Self> {
        registry.install_endpoints(reactor);
        let tree = Rc::new(Self {
            file: file.to_owned(),
            registry: registry.clone(),
            place,
            reactor: reactor.downgrade(),
            myself: RefCell::default(),
            others: RefCell::default(),
            state: RefCell::default(),
        });
        tree.myself.replace(Control::of(&tree));
        tree
    }

    /// Adds a service of the program's own, and starts it where the rest runs.
    pub(super) fn add(
        &self,
        reactor: &Reactor,
        service: Box<dyn services::Service>,
    ) -> Result<(), CannotStart> {
        let name = service.name();
        let Ok(mut state) = self.state.try_borrow_mut() else {
            let reason = Failure::msg("the application is being changed");
            return Err(CannotStart {
                service: name,
                reason,
            });
        };
        let task = Task::own(state.free_name(name.clone()), service);
        let mut entry = TaskEntry::new(task, reactor.wall());
        match state.phase {
            Phase::Running | Phase::Upgrading(_) => {
                start_task(&entry.task, reactor)?;
                entry.starts = 1;
            }
            Phase::Loaded => {}
            Phase::Leaving | Phase::Stopped => {
                let (service, reason) = (name, Failure::msg("the application has ended"));
                return Err(CannotStart { service, reason });
            }
        }
        state.tasks.push(entry);
        Ok(())
    }

    pub(super) fn loader<'t>(&'t self, name: &str, reactor: &'t Reactor) -> Loader<'t> {
        Loader::new(name, &self.registry, reactor, self.place.clone())
    }

    pub(super) fn settings(&self) -> Settings {
        self.state.borrow().settings.clone()
    }

    pub(crate) fn set_others(&self, others: Others) {
        self.others.replace(others);
    }

    /// Starts everything, or nothing.
    pub(super) fn start(&self, reactor: &Reactor) -> Result<(), CannotStart> {
        let state = &mut *self.state.borrow_mut();
        if state.phase != Phase::Loaded {
            return Ok(());
        }
        if !self.file.is_empty() {
            reactor.set_limits(state.settings.limits.clone());
        }
        state.publish(reactor);
        let started = start_providers(reactor, &state.providers, state.stop_bound());
        let started = started.and_then(|()| state.rearrange(reactor).map(drop));
        // What listens lets nobody in before the next turn; so a taken address starts no child.
        let started = started.and_then(|()| state.start_tasks(reactor));
        if let Err(error) = started {
            state.phase = Phase::Stopped;
            state.stop(reactor).detach();
            return Err(error);
        }
        let now = reactor.wall();
        state.phase = Phase::Running;
        state.since = Some(now);
        for entry in &mut state.entries {
            (entry.since, entry.starts) = (now, 1);
        }
        Ok(())
    }

    /// Tells the manager of services, if there is one.
    pub(crate) fn tell(&self, moment: Moment<'_>) {
        if let (Some(manager), Place::Home) = (self.registry.manager(), &self.place) {
            (manager.tell)(moment);
        }
    }

    /// That everything listens, with these words in front.
    pub(crate) fn tell_running(&self, words: &str) {
        let Ok(state) = self.state.try_borrow() else {
            return;
        };
        if state.phase == Phase::Running {
            let running = state.entries.iter().filter(|entry| entry.running);
            let status = match running.count() {
                1 => format!("{words}1 service runs"),
                count => format!("{words}{count} services run"),
            };
            self.tell(Moment::Running(&status));
        }
    }

    /// Every provider, and every service of the program's own, looks at its sources again.
    pub(super) fn look_again(&self) {
        if let Ok(state) = self.state.try_borrow() {
            look_again(&state.providers);
            state.tasks.iter().for_each(|entry| entry.task.reload());
        }
    }

    /// Stops everything, the last first.
    pub(super) fn stop(&self, reactor: &Reactor) -> Deferred<()> {
        let Ok(mut state) = self.state.try_borrow_mut() else {
            return Deferred::fail(Failure::msg("the application is being changed"));
        };
        if state.phase != Phase::Leaving {
            state.phase = Phase::Stopped;
        }
        state.stop(reactor)
    }
}

impl State {
    fn take(&mut self, loaded: Loaded, now: SystemTime) {
        self.settings = loaded.settings;
        self.providers = loaded.providers;
        self.checkers = loaded.checkers;
        self.checkers.iter_mut().for_each(Checked::take);
        self.shared = loaded.shared;
        let entries = loaded.services.into_iter();
        self.entries = entries
            .map(|(name, service)| Entry::new(name, service, now))
            .collect();
        let tasks = loaded.tasks.into_iter();
        self.tasks = tasks.map(|task| TaskEntry::new(task, now)).collect();
    }

    /// Of all services.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let tasks = self.tasks.iter().map(|entry| &*entry.task.name);
        self.entries.iter().map(|entry| &*entry.name).chain(tasks)
    }

    /// This one, or if another has it with a number.
    fn free_name(&self, name: String) -> String {
        let taken = |name: &str| self.names().any(|known| known == name);
        if !taken(&name) {
            return name;
        }
        let numbered = (2_u64..).map(|number| format!("{name}-{number}"));
        numbered
            .into_iter()
            .find(|name| !taken(name))
            .unwrap_or(name)
    }

    /// Starts child processes and the program's own services, up to the first that cannot.
    fn start_tasks(&mut self, reactor: &Reactor) -> Result<(), CannotStart> {
        let now = reactor.wall();
        for place in 0..self.tasks.len() {
            let entry = &mut self.tasks[place];
            if let Err(error) = start_task(&entry.task, reactor) {
                let left = self.tasks[place..].iter_mut();
                left.for_each(|entry| entry.running = false);
                return Err(error);
            }
            entry.since.set(now);
            entry.starts = 1;
        }
        Ok(())
    }

    /// Lets other workers call what lives here.
    pub(super) fn publish(&mut self, reactor: &Reactor) {
        if self.settings.workers.may_be_many() {
            let homes = Homes::of(reactor);
            for (name, object) in self.shared.drain(..) {
                homes.publish(&name, object);
            }
        }
    }

    /// Makes what listens what the entries say, or changes nothing.
    pub(super) fn rearrange(&mut self, reactor: &Reactor) -> Result<(), CannotStart> {
        let running = self.entries.iter().filter(|entry| entry.running);
        let running: Vec<_> = running.map(|entry| Rc::clone(&entry.service)).collect();
        let wanted = wanted(&running).map_err(|problem| CannotStart {
            service: problem.key,
            reason: Failure::msg(problem.message),
        })?;
        let ended = rearrange(reactor, &mut self.listeners, wanted)?;
        self.end(reactor, ended);
        Ok(())
    }

    /// Remembers the figures of what listens no more, and ends its connections as a stop of the whole does: what was written
    /// leaves, within the limit `shutdown`. Not at once, for it may be one of these that asks.
    fn end(&mut self, reactor: &Reactor, ended: Ended) {
        for listener in &ended.closed {
            for entry in &mut self.entries {
                if listener.serves(&entry.service) {
                    entry.past.add(listener.ports());
                }
            }
        }
        let connections = ended.connections.into_iter();
        let (later, soon): (Vec<_>, Vec<_>) = connections.partition(|(_, may_finish)| *may_finish);
        for (after, connections) in [(Duration::ZERO, soon), (GRACE, later)] {
            let connections: Vec<Transport> = connections.into_iter().map(|(c, _)| c).collect();
            if !connections.is_empty() {
                reactor.call_later(after, move || {
                    connections.iter().for_each(Transport::lose_connection);
                });
            }
        }
    }

    /// Closes everything, and stops what was behind it.
    fn stop(&mut self, reactor: &Reactor) -> Deferred<()> {
        for listener in std::mem::take(&mut self.listeners).iter().rev() {
            listener.close();
        }
        let bound = self.stop_bound();
        let mut providers = self.leaving.take();
        providers.append(&mut self.providers);
        let tasks = self.tasks.iter().filter(|entry| entry.starts > 0);
        let tasks = tasks.map(|entry| stoppable(Stopped(Rc::clone(&entry.task))));
        let until = reactor.now() + bound;
        let on = reactor.clone();
        // A third of the time is for providers, whatever the others take.
        stop_in_turn(reactor, tasks.collect(), bound * 2 / 3).add_both(move |_| {
            let left = until.since(on.now());
            stop_providers(&on, providers, left)
        })
    }

    /// Stops providers that have been replaced, once what their last connections are at has had its time.
    pub(super) fn let_go(&self, reactor: &Reactor, mut replaced: Vec<Provided>) {
        if replaced.is_empty() {
            return;
        }
        self.leaving.borrow_mut().append(&mut replaced);
        let (leaving, on, bound) = (
            Rc::clone(&self.leaving),
            reactor.downgrade(),
            self.stop_bound(),
        );
        reactor.call_later(GRACE, move || {
            if let Some(reactor) = on.upgrade() {
                stop_providers(&reactor, leaving.take(), bound).detach();
            }
        });
    }

    pub(super) fn stop_bound(&self) -> Duration {
        self.settings.limits.shutdown * 3 / 4
    }
}

/// Has each look at its sources, but one that is asking for this.
pub(super) fn look_again(providers: &[Provided]) {
    for provided in providers {
        if let Some(provider) = &provided.provider
            && let Ok(mut provider) = provider.try_borrow_mut()
        {
            provider.reload();
        }
    }
}

/// Starts those that do not run yet, or none.
pub(super) fn start_providers(
    reactor: &Reactor,
    providers: &[Provided],
    bound: Duration,
) -> Result<(), CannotStart> {
    let mut started = Vec::new();
    for provided in providers.iter().filter(|provided| !provided.kept) {
        let Some(provider) = &provided.provider else {
            continue;
        };
        if let Err(reason) = provider.borrow_mut().start(reactor) {
            let service = format!("provider `{}`", provided.name);
            stop_providers(reactor, started, bound).detach();
            return Err(CannotStart { service, reason });
        }
        started.push(provided.clone());
    }
    Ok(())
}

/// Stops them, the last first, in bounded time.
pub(super) fn stop_providers(
    reactor: &Reactor,
    providers: Vec<Provided>,
    bound: Duration,
) -> Deferred<()> {
    let running = providers.into_iter().filter_map(|provided| {
        let provider = provided.provider?;
        let name = provided.name;
        Some(stoppable(ProviderService { name, provider }))
    });
    stop_in_turn(reactor, running.collect(), bound)
}

fn stoppable(service: impl services::Service + 'static) -> Rc<RefCell<dyn services::Service>> {
    Rc::new(RefCell::new(service))
}

pub(super) fn start_task(task: &Task, reactor: &Reactor) -> Result<(), CannotStart> {
    task.start(reactor).map_err(|reason| CannotStart {
        service: task.name.clone(),
        reason,
    })
}

struct ProviderService {
    name: String,
    provider: Rc<RefCell<Box<dyn Provider>>>,
}

impl services::Service for ProviderService {
    fn name(&self) -> String {
        format!("provider `{}`", self.name)
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        self.provider.borrow_mut().start(reactor)
    }

    fn stop(&mut self) -> Deferred<()> {
        self.provider.borrow_mut().stop()
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state: Option<Ref<'_, State>> = self.state.try_borrow().ok();
        let names = state.iter().flat_map(|state| &state.entries);
        let names: Vec<&str> = names.map(|entry| &*entry.name).collect();
        f.debug_struct("Tree")
            .field("file", &self.file)
            .field("services", &names)
            .finish_non_exhaustive()
    }
}
