//! One application: a file checked against a registry, and its services. Knows no kind and no protocol by name.

#[cfg(test)]
mod tests;

mod http;
mod serve;

use crate::{
    config::{self, Config, Position, Problem, Problems, ProvideSection, WorkersWanted},
    registry::{Provider, ProviderContext, ProviderKind, Registry, Sharing},
    services::{CannotStart, MultiService, Service},
};
use std::{fs::File, io::Read, path::Path, rc::Rc};
use tress_core::{
    Deferred, Limits, Port, Reactor, Remote, Result, SharedFactory, limits, wording::unknown,
};
use tress_rpc::{CallLimits, Client, Descriptor, Distant, Homes, MakeTwin, Object, cred::Checker};

/// An application that was found right and can be started.
#[derive(Debug)]
pub struct Application {
    name: String,
    limits: Limits,
    workers: WorkersWanted,
    services: MultiService,
    /// What other workers call, by the name of its provider.
    shared: Vec<(String, Object)>,
}

/// On which worker an application is.
#[derive(Clone, Debug)]
pub enum Place {
    /// On the first, or the only one: objects live here.
    Home,
    /// On another: calls to what lives on one reactor go there.
    Away(Remote),
}

impl Application {
    /// Reads and checks a file. Nothing is opened and nothing is started.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, registry: &Registry, reactor: &Reactor) -> Result<Self, Problems> {
        let file = path.to_string_lossy();
        match read(path) {
            Ok(bytes) => Self::parse(&file, &bytes, registry, reactor),
            Err(error) => {
                let mut problems = Problems::new(file);
                let message = format!("cannot read the file: {error}");
                problems.push(Problem::new(Position::default(), "", message));
                Err(problems)
            }
        }
    }

    /// Checks a file whose content is here. `file` is its path: relative paths in it start at its directory.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        file: &str,
        bytes: &[u8],
        registry: &Registry,
        reactor: &Reactor,
    ) -> Result<Self, Problems> {
        Self::parse_for(file, bytes, registry, reactor, Place::Home)
    }

    /// The same for one of several workers.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse_for(
        file: &str,
        bytes: &[u8],
        registry: &Registry,
        reactor: &Reactor,
        place: Place,
    ) -> Result<Self, Problems> {
        registry.install_endpoints(reactor);
        let mut loader = Loader::new(file, registry, reactor, place);
        let config = Config::read(bytes, &mut loader.problems);
        loader.workers(&config);
        let limits = loader.limits(&config);
        for section in config.provide {
            loader.provide(section);
        }
        for section in config.auth {
            loader.auth(section);
        }
        for section in config.serve {
            loader.serve(section);
        }
        let http = loader.http.ports(&mut loader.problems);
        loader.ports.extend(http);
        let mut services = MultiService::new();
        for provided in loader.provided {
            if let Some(provider) = provided.provider {
                let name = provided.name;
                services.add(ProviderService { name, provider });
            }
        }
        for port in loader.ports {
            services.add(port);
        }
        loader.problems.into_result(Self {
            name: config.app.name,
            limits,
            workers: loader.workers,
            services,
            shared: loader.shared,
        })
    }

    /// What logs call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// On how many workers it is to run.
    #[must_use]
    pub fn workers(&self) -> WorkersWanted {
        self.workers
    }

    /// The limits that it runs under: the defaults, changed by the file.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Starts everything, or nothing: providers first, then ports, in the order of the file.
    ///
    /// # Errors
    /// The first that cannot start.
    pub fn start(&mut self, reactor: &Reactor) -> Result<(), CannotStart> {
        reactor.set_limits(self.limits.clone());
        if self.workers.may_be_many() {
            let homes = Homes::of(reactor);
            for (name, object) in self.shared.drain(..) {
                homes.publish(&name, object);
            }
        }
        self.services.start(reactor, self.stop_bound())
    }

    /// Every provider looks at its sources again.
    pub fn reload(&mut self) {
        self.services.reload();
    }

    /// Stops everything in reverse order, within three quarters of the limit `shutdown`: the rest is for the
    /// connections that are open.
    pub fn stop(&mut self, reactor: &Reactor) -> Deferred<()> {
        self.services.stop(reactor, self.stop_bound())
    }

    fn stop_bound(&self) -> std::time::Duration {
        self.limits.shutdown * 3 / 4
    }
}

/// As much of a file as is looked at, and one byte more for the complaint.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = config::MAX_FILE_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Goes through the sections of a file that was read.
struct Loader<'l> {
    registry: &'l Registry,
    reactor: &'l Reactor,
    problems: Problems,
    provided: Vec<Provided<'l>>,
    /// By the name of their sections; none where something is wrong with one.
    checkers: Vec<(String, Option<Rc<dyn Checker>>)>,
    http: http::Http,
    ports: Vec<PortService>,
    workers: WorkersWanted,
    calls: CallLimits,
    shared: Vec<(String, Object)>,
    place: Place,
}

struct Provided<'l> {
    name: String,
    kind: Option<&'l ProviderKind>,
    /// `None` when something is wrong with its section.
    provider: Option<Box<dyn Provider>>,
}

impl<'l> Loader<'l> {
    fn new(file: &str, registry: &'l Registry, reactor: &'l Reactor, place: Place) -> Self {
        Self {
            registry,
            reactor,
            problems: Problems::new(file),
            provided: Vec::new(),
            checkers: Vec::new(),
            http: http::Http::default(),
            ports: Vec::new(),
            workers: WorkersWanted::default(),
            calls: CallLimits::default(),
            shared: Vec::new(),
            place,
        }
    }

    fn workers(&mut self, config: &Config) {
        self.workers = config.app.workers;
        self.calls = config.app.calls;
        if self.workers.may_be_many() && self.registry.portable().is_none() {
            let message =
                "more than one worker, but the files of this registry belong to one thread";
            let problem = config.app.options.problem("workers", message);
            self.problems.push(problem);
        }
    }

    /// Makes it, or on another worker than the first what calls it there.
    fn make(&mut self, kind: &ProviderKind, section: &ProvideSection) -> Option<Box<dyn Provider>> {
        if let (Place::Away(home), Sharing::Home(twins)) = (&self.place, kind.sharing) {
            let (home, name) = (home.clone(), section.name.clone());
            let calls = self.calls;
            return Some(Box::new(AwayProvider {
                home,
                name,
                calls,
                twins,
            }));
        }
        let context = ProviderContext {
            name: &section.name,
            reactor: self.reactor,
            files: self.registry.files(),
        };
        let provider = match (kind.make)(&context, &section.options) {
            Ok(provider) => provider,
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        if let (true, Sharing::Home(twins)) = (self.workers.may_be_many(), kind.sharing) {
            let objects = twins.iter();
            let objects = objects.filter_map(|(interface, _)| provider.object(interface.name));
            let name = &section.name;
            self.shared
                .extend(objects.map(|object| (name.clone(), object)));
        }
        Some(provider)
    }

    fn limits(&mut self, config: &Config) -> Limits {
        let mut limits = Limits::default();
        let known: Vec<_> = Limits::TABLE
            .iter()
            .map(|limit| (limit.name, unit(limit.unit)))
            .collect();
        for (name, value) in config.read_limits(&known, &mut self.problems) {
            if value == 0 && !config::may_be_zero(name) {
                let problem = config.limits.problem(name, "expected more than nothing");
                self.problems.push(problem);
            } else if let Some(limit) = Limits::find(name) {
                limit.set(&mut limits, value);
            }
        }
        if limits.output_hard < limits.output_high_water {
            let message = format!(
                "{} is below `output_high_water`, which is {}",
                limits.output_hard, limits.output_high_water
            );
            let problem = config.limits.problem("output_hard", message);
            self.problems.push(problem);
        }
        limits
    }

    fn provide(&mut self, mut section: ProvideSection) {
        let kind = self.registry.provider(&section.kind);
        let mut provider = None;
        if let Some(kind) = kind {
            let before = self.problems.count();
            section.options.check(kind.options, &mut self.problems);
            if let (true, Sharing::Undeclared) = (self.workers.may_be_many(), kind.sharing) {
                let message = format!(
                    "`{}` does not say whether each worker has its own or all share one: it runs with `workers = 1` only",
                    kind.name
                );
                self.problems.push(section.problem("kind", message));
            }
            if self.problems.count() == before {
                provider = self.make(kind, &section);
            }
        } else {
            let known: Vec<&str> = self.registry.providers().map(|kind| kind.name).collect();
            let message = unknown("kind", &section.kind, &known);
            self.problems.push(section.problem("kind", message));
        }
        self.provided.push(Provided {
            name: section.name,
            kind,
            provider,
        });
    }
}

fn unit(unit: limits::Unit) -> config::Unit {
    match unit {
        limits::Unit::Bytes => config::Unit::Bytes,
        limits::Unit::Count => config::Unit::Count,
        limits::Unit::Time => config::Unit::Time,
    }
}

/// On another worker than the first: what it offers is called there.
struct AwayProvider {
    home: Remote,
    name: String,
    calls: CallLimits,
    twins: &'static [(&'static Descriptor, MakeTwin)],
}

impl Provider for AwayProvider {
    fn object(&self, interface: &str) -> Option<Object> {
        let twin = self.twins.iter().find(|(known, _)| known.name == interface);
        let (descriptor, make) = twin?;
        let carrier = Distant::with_limits(&self.home, &self.name, descriptor, self.calls);
        Some(make(Client::new(carrier)))
    }
}

struct ProviderService {
    name: String,
    provider: Box<dyn Provider>,
}

impl Service for ProviderService {
    fn name(&self) -> String {
        format!("provider `{}`", self.name)
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        self.provider.start(reactor)
    }

    fn reload(&mut self) {
        self.provider.reload();
    }

    fn stop(&mut self) -> Deferred<()> {
        self.provider.stop()
    }
}

struct PortService {
    at: String,
    protocol: &'static str,
    factory: SharedFactory,
    port: Option<Port>,
}

impl PortService {
    fn new(at: String, protocol: &'static str, factory: SharedFactory) -> Self {
        Self {
            at,
            protocol,
            factory,
            port: None,
        }
    }
}

impl Service for PortService {
    fn name(&self) -> String {
        format!("`{}` at `{}`", self.protocol, self.at)
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        let port = reactor.listen_shared(&self.at, &self.factory)?;
        let Self { at, protocol, .. } = self;
        let address = port.local_address();
        let chosen = address.port().map(|port| port.to_string());
        if chosen.is_some_and(|chosen| !at.contains(&chosen)) {
            tracing::info!(target: "tress", "listening at {at} as {protocol} ({address})");
        } else {
            tracing::info!(target: "tress", "listening at {at} as {protocol}");
        }
        self.port = Some(port);
        Ok(())
    }

    fn stop(&mut self) -> Deferred<()> {
        if let Some(port) = self.port.take() {
            port.stop_listening();
            tracing::info!(target: "tress", "stopped listening at {}", self.at);
        }
        Deferred::succeed(())
    }
}
