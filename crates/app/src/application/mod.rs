//! One application: a file checked against a registry, and its services. Knows no kind and no protocol by name.

#[cfg(test)]
mod tests;

use crate::{
    config::{self, Config, Position, Problem, Problems, ProvideSection, ServeSection, Text},
    registry::{Exposure, Provider, ProviderContext, ProviderKind, Registry},
    services::{CannotStart, MultiService, Service},
};
use std::{fs::File, io::Read, path::Path};
use tress_core::{
    Deferred, Limits, Port, Reactor, Result, SharedFactory,
    endpoint::{BadEndpoint, Side},
    limits,
    wording::{one_of, unknown},
};

/// An application that was found right and can be started.
#[derive(Debug)]
pub struct Application {
    name: String,
    limits: Limits,
    services: MultiService,
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
        registry.install_endpoints(reactor);
        let mut loader = Loader {
            registry,
            reactor,
            problems: Problems::new(file),
            provided: Vec::new(),
            ports: Vec::new(),
        };
        let config = Config::read(bytes, &mut loader.problems);
        let limits = loader.limits(&config);
        for section in config.provide {
            loader.provide(section);
        }
        for section in config.serve {
            loader.serve(section);
        }
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
            services,
        })
    }

    /// What logs call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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
    ports: Vec<PortService>,
}

struct Provided<'l> {
    name: String,
    kind: Option<&'l ProviderKind>,
    /// `None` when something is wrong with its section.
    provider: Option<Box<dyn Provider>>,
}

impl<'l> Loader<'l> {
    fn limits(&mut self, config: &Config) -> Limits {
        let mut limits = Limits::default();
        let known: Vec<_> = Limits::TABLE
            .iter()
            .map(|limit| (limit.name, unit(limit.unit)))
            .collect();
        for (name, value) in config.read_limits(&known, &mut self.problems) {
            if value == 0 && name != "idle" {
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
            if self.problems.count() == before {
                let context = ProviderContext {
                    name: &section.name,
                    reactor: self.reactor,
                    files: self.registry.files(),
                };
                match (kind.make)(&context, &section.options) {
                    Ok(made) => provider = Some(made),
                    Err(problem) => self.problems.push(problem),
                }
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

    fn serve(&mut self, mut section: ServeSection) {
        let before = self.problems.count();
        for at in &section.endpoints {
            self.endpoint(&section, at);
        }
        let mut exposures: Vec<&Exposure> = Vec::new();
        for name in &section.protocols {
            exposures.extend(self.exposure(&section, name));
        }
        if let Some(second) = section.protocols.get(1) {
            let message =
                "one protocol for each endpoint so far; write a [[serve]] section for each";
            let problem = section.problem_at("as", second, message);
            self.problems.push(problem);
        }
        let [exposure] = exposures[..] else { return };
        section.options.check(exposure.options, &mut self.problems);
        if self.problems.count() > before {
            return;
        }
        let provided = self.provided.iter().find(|p| p.name == section.what);
        let Some(provider) = provided.and_then(|provided| provided.provider.as_ref()) else {
            return; // whatever is wrong with it has been said
        };
        let Some(object) = provider.object(exposure.interface.name) else {
            let interface = exposure.interface.name;
            let message = format!("this provider offers no `{interface}`, although its kind does");
            self.problems.push(section.problem("what", message));
            return;
        };
        match (exposure.make)(object, &section.options, self.reactor) {
            Ok(factory) => self.ports.extend(section.endpoints.into_iter().map(|at| {
                let at = at.value;
                PortService::new(at, exposure.name, factory.clone())
            })),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// How the section's object is served through the protocol of this name.
    fn exposure(&mut self, section: &ServeSection, name: &Text) -> Option<&'l Exposure> {
        let known = self.registry.protocols();
        if !known.contains(&name.value.as_str()) {
            let message = unknown("protocol", &name.value, &known);
            let problem = section.problem_at("as", name, message);
            self.problems.push(problem);
            return None;
        }
        let provided = self.provided.iter().find(|p| p.name == section.what)?;
        let kind = provided.kind?;
        let found = self.registry.exposure(kind, &name.value);
        if found.is_none() {
            let message = format!(
                "`{}` is a `{}`, which cannot be served as `{}`; expected {}",
                section.what,
                kind.name,
                name.value,
                one_of(&self.registry.protocols_of(kind)),
            );
            let problem = section.problem_at("as", name, message);
            self.problems.push(problem);
        }
        found
    }

    fn endpoint(&mut self, section: &ServeSection, at: &Text) {
        let Err(failure) = self.reactor.check_endpoint(&at.value, Side::Server) else {
            return;
        };
        let message = match failure.check::<BadEndpoint>() {
            Some(bad) => bad.problem.clone(),
            None => failure.to_string(),
        };
        let problem = section.problem_at("at", at, message);
        self.problems.push(problem);
    }
}

fn unit(unit: limits::Unit) -> config::Unit {
    match unit {
        limits::Unit::Bytes => config::Unit::Bytes,
        limits::Unit::Count => config::Unit::Count,
        limits::Unit::Time => config::Unit::Time,
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
