//! Goes through the sections of a file that was read, and keeps of what runs what they say again. Opens nothing.

use super::{Place, http, task::Task, tree::State};
use crate::{
    config::{
        self, Config, LogSection, MAX_FILE_BYTES, Options, Problems, ProvideSection, ServeSection,
        WorkersWanted,
    },
    control::{Control, DynApplication},
    registry::{LogStep, Provider, ProviderContext, ProviderKind, Registry, Sharing},
};
use std::{
    cell::{Ref, RefCell},
    collections::BTreeSet,
    fmt,
    rc::Rc,
};
use tress_core::{
    Deferred, Limits, Reactor, Remote, SharedFactory, limits,
    wording::{quoted, unknown},
};
use tress_rpc::{
    CallLimits, Client, Descriptor, Distant, ExposureLimits, MakeTwin, Object,
    cred::{Avatar, Checker, Credentials, Portal, Sort},
    http::Dialect,
};

/// All that a file says, checked.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) settings: Settings,
    pub(super) providers: Vec<Provided>,
    pub(super) checkers: Vec<Checked>,
    /// By name, in the order of the file.
    pub(super) services: Vec<(String, Rc<Service>)>,
    /// `[[run]]`, in the order of the file.
    pub(super) tasks: Vec<Rc<Task>>,
    /// What other workers call, by the name of its provider.
    pub(super) shared: Vec<(String, Object)>,
}

/// What belongs to no section in particular.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) limits: Limits,
    /// The lines on which limits are set.
    pub(super) limits_set: Vec<(&'static str, usize)>,
    pub(super) workers: WorkersWanted,
    pub(super) calls: CallLimits,
    pub(super) log: LogSection,
    pub(super) driver: Option<String>,
}

/// `[provide.NAME]`
#[derive(Clone)]
pub(super) struct Provided {
    pub(super) name: String,
    /// `None` when there is none of that name.
    pub(super) kind: Option<ProviderKind>,
    options: Options,
    /// `None` when something is wrong with its section.
    pub(super) provider: Option<Rc<RefCell<Box<dyn Provider>>>>,
    /// It ran before this file was read.
    pub(super) kept: bool,
}

/// `[auth.NAME]`
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) name: String,
    kind: String,
    /// `None` where something is wrong with its section.
    pub(super) checker: Option<Rc<Switch>>,
    /// What it asks once the file is taken: its users and secrets may be others now.
    fresh: Option<Rc<dyn Checker>>,
    /// Services hold it already.
    kept: bool,
}

/// `[[serve]]`, with all that is needed to serve.
pub(super) struct Service {
    pub(super) section: ServeSection,
    pub(super) interface: &'static Descriptor,
    /// What is called.
    pub(super) object: Object,
    pub(super) made: Made,
}

/// What is served.
pub(super) enum Made {
    /// Through this protocol, at endpoints of its own.
    Factory(&'static str, SharedFactory),
    /// Over HTTP, beside other services at the same endpoint.
    Http {
        dialects: Vec<Dialect>,
        portal: Portal,
        limits: ExposureLimits,
    },
}

/// A checker whose users can be others from one moment to the next, while services hold it.
pub(super) struct Switch {
    sorts: Vec<Sort>,
    asked: RefCell<Rc<dyn Checker>>,
}

impl Checker for Switch {
    fn sorts(&self) -> &[Sort] {
        &self.sorts
    }

    fn check(&self, reactor: &Reactor, credentials: &Credentials) -> Deferred<Avatar> {
        let asked = Rc::clone(&self.asked.borrow());
        asked.check(reactor, credentials)
    }
}

impl Checked {
    pub(super) fn new(
        name: &str,
        kind: &str,
        fresh: Option<Rc<dyn Checker>>,
        known: &[Self],
    ) -> Self {
        let mut known = known
            .iter()
            .filter(|known| known.name == name && known.kind == kind);
        let mut kept = None;
        if let (Some(fresh), Some(known)) = (&fresh, known.next().and_then(|k| k.checker.as_ref()))
        {
            kept = (known.sorts == fresh.sorts()).then(|| Rc::clone(known));
        }
        let made = fresh.as_ref().map(|fresh| {
            kept.clone().unwrap_or_else(|| {
                Rc::new(Switch {
                    sorts: fresh.sorts().to_vec(),
                    asked: RefCell::new(Rc::clone(fresh)),
                })
            })
        });
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            checker: made,
            fresh,
            kept: kept.is_some(),
        }
    }

    /// From now on it asks what its section says now.
    pub(super) fn take(&mut self) {
        self.kept = true;
        if let (Some(checker), Some(fresh)) = (&self.checker, self.fresh.take()) {
            let old = checker.asked.replace(fresh);
            drop(old);
        }
    }
}

impl Service {
    /// Whether it serves the application itself.
    pub(super) fn is_control(&self) -> bool {
        self.interface.name == <dyn DynApplication>::DESCRIPTOR.name
    }

    /// Whether another section says the same, whatever they are called.
    fn says_the_same_as(&self, other: &Self) -> bool {
        fn values(texts: &[config::Text]) -> Vec<&str> {
            texts.iter().map(|text| &*text.value).collect()
        }
        let (one, other) = (&self.section, &other.section);
        one.what == other.what
            && values(&one.protocols) == values(&other.protocols)
            && values(&one.endpoints) == values(&other.endpoints)
            && one.options.says_the_same_as(&other.options, &["name"])
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Service({} of {})",
            self.interface.name, self.section.what
        )
    }
}

impl Loaded {
    /// Whether one that runs is what this one says, and stands on nothing that has changed.
    pub(super) fn keeps(&self, running: &Service, wanted: &Service) -> bool {
        let provider = self
            .providers
            .iter()
            .find(|p| p.name == wanted.section.what);
        let auth = wanted
            .section
            .options
            .optional_strings("auth")
            .ok()
            .flatten();
        let mut auth = auth.iter().flatten();
        running.says_the_same_as(wanted)
            && provider.is_some_and(|provided| provided.kept)
            && auth.all(|name| {
                let checker = self.checkers.iter().find(|c| c.name == name.value);
                checker.is_some_and(|checker| checker.kept)
            })
    }
}

/// Goes through the sections of a file that was read.
pub(super) struct Loader<'l> {
    pub(super) registry: &'l Registry,
    pub(super) reactor: &'l Reactor,
    pub(super) problems: Problems,
    pub(super) loaded: Loaded,
    place: Place,
    control: Control,
    /// What runs.
    known: Option<Ref<'l, State>>,
    /// Names that services have.
    names: BTreeSet<String>,
}

impl<'l> Loader<'l> {
    pub(super) fn new(
        file: &str,
        registry: &'l Registry,
        reactor: &'l Reactor,
        place: Place,
    ) -> Self {
        Self {
            registry,
            reactor,
            problems: Problems::new(file),
            loaded: Loaded::default(),
            place,
            control: Control::default(),
            known: None,
            names: BTreeSet::new(),
        }
    }

    /// For providers that reach the application.
    pub(super) fn controlled(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    /// Keeps of this what is said again.
    pub(super) fn keeping(mut self, known: Ref<'l, State>) -> Self {
        self.known = Some(known);
        self
    }

    /// A whole file.
    pub(super) fn file(mut self, bytes: &[u8]) -> Result<Loaded, Problems> {
        let config = Config::read(bytes, &mut self.problems);
        self.workers(&config);
        self.loaded.settings.name.clone_from(&config.app.name);
        self.loaded.settings.limits = self.limits(&config);
        self.what_stays(&config);
        self.log(&config);
        for section in config.provide {
            self.provide(section);
        }
        for section in config.auth {
            self.auth(section);
        }
        for section in config.run {
            self.run(section);
        }
        let mut serve = config.serve;
        if let Some(control) = config.control {
            self.provide_control(&control);
            serve.push(control);
        }
        self.serve_all(serve);
        let services: Vec<_> = self
            .loaded
            .services
            .iter()
            .map(|(_, s)| Rc::clone(s))
            .collect();
        http::check(&services, &mut self.problems);
        self.problems.into_result(self.loaded)
    }

    /// `[[serve]]` sections to be added to the file that runs.
    pub(super) fn attached(mut self, text: &str, file: &str) -> Result<Loaded, Problems> {
        let mut services = Vec::new();
        let mut provided = Vec::new();
        if let Some(known) = &self.known {
            self.loaded.settings = known.settings.clone();
            self.loaded.providers.clone_from(&known.providers);
            self.loaded.checkers.clone_from(&known.checkers);
            let running = known.entries.iter().filter(|entry| entry.running);
            services.extend(running.map(|entry| Rc::clone(&entry.service)));
            self.names.extend(known.names().map(str::to_owned));
            provided.extend(known.providers.iter().map(|provided| provided.name.clone()));
        }
        if text.len() > MAX_FILE_BYTES {
            let at = config::Position::default();
            self.problems.push(config::Problem::new(
                at,
                "",
                "the text is larger than 1 MiB",
            ));
            return Err(self.problems);
        }
        let sections = Config::read_attached(text, file, &provided, &mut self.problems);
        self.serve_all(sections);
        services.extend(self.loaded.services.iter().map(|(_, s)| Rc::clone(s)));
        http::check(&services, &mut self.problems);
        self.problems.into_result(self.loaded)
    }

    fn serve_all(&mut self, sections: Vec<ServeSection>) {
        let names = self.service_names(&sections);
        for (section, name) in sections.into_iter().zip(names) {
            self.serve(section, name);
        }
    }

    /// Those that are given come first, so that none that is derived takes one.
    fn service_names(&mut self, sections: &[ServeSection]) -> Vec<String> {
        let given = sections
            .iter()
            .map(|section| self.claim_name(&section.options));
        let given: Vec<Option<String>> = given.collect();
        let named = given.into_iter().zip(sections);
        named
            .map(|(given, section)| given.unwrap_or_else(|| self.derived_name(section)))
            .collect()
    }

    /// The name that a section has, if it has one; no other has it.
    pub(super) fn claim_name(&mut self, options: &Options) -> Option<String> {
        let name = options.optional_string("name").ok().flatten()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
            let found = quoted(name);
            let message = format!(
                "{found} is no name for a service; expected at most 64 letters, digits, `-` and `_`"
            );
            self.problems.push(options.problem("name", message));
        } else if !self.names.insert(name.to_owned()) {
            let message = format!("{} is the name of another service", quoted(name));
            self.problems.push(options.problem("name", message));
        }
        Some(name.to_owned())
    }

    /// Whether objects and children belong here.
    pub(super) fn is_home(&self) -> bool {
        matches!(self.place, Place::Home)
    }

    fn derived_name(&mut self, section: &ServeSection) -> String {
        let base = match (&*section.what, section.protocols.first()) {
            (config::CONTROL, _) => "control".to_owned(),
            (what, Some(protocol)) => format!("{what}-{}", protocol.value),
            (what, None) => what.to_owned(),
        };
        let mut name = base.clone();
        let mut number = 2_u64;
        while !self.names.insert(name.clone()) {
            name = format!("{base}-{number}");
            number += 1;
        }
        name
    }

    pub(super) fn workers(&mut self, config: &Config) {
        let settings = &mut self.loaded.settings;
        settings.workers = config.app.workers;
        settings.calls = config.app.calls;
        let driver = config.app.options.optional_string("driver");
        settings.driver = driver.ok().flatten().map(str::to_owned);
        if settings.workers.may_be_many() && self.registry.portable().is_none() {
            let message =
                "more than one worker, but the files of this registry belong to one thread";
            let problem = config.app.options.problem("workers", message);
            self.problems.push(problem);
        }
    }

    /// Whether the program can log so. Only the first worker's application has to do with it.
    fn log(&mut self, config: &Config) {
        let Some(log) = &config.log else { return };
        self.loaded.settings.log = log.clone();
        let (Some(options), Place::Home) = (&log.options, &self.place) else {
            return;
        };
        let problem = match self.registry.log() {
            None => {
                let message = "this program has a log of its own, which no file changes";
                config::Problem::new(options.position(), "log", message)
            }
            // What was found wrong is not in it.
            Some(_) if self.problems.count() > 0 => return,
            Some(hook) => match hook(log, LogStep::Check) {
                Ok(()) => return,
                Err((key, message)) => options.problem(key, message),
            },
        };
        self.problems.push(problem);
    }

    /// What an application that runs cannot change.
    fn what_stays(&mut self, config: &Config) {
        let Some(known) = &self.known else { return };
        let (old, new) = (&known.settings, &self.loaded.settings);
        let changed = [
            ("workers", old.workers != new.workers),
            ("driver", old.driver != new.driver),
        ];
        for (key, changed) in changed {
            if changed {
                let message = "an application that runs cannot change this: expected what it was started with, or a start anew";
                self.problems.push(config.app.options.problem(key, message));
            }
        }
    }

    /// Makes it, or on another worker than the first what calls it there.
    pub(super) fn make(
        &mut self,
        kind: &ProviderKind,
        section: &ProvideSection,
    ) -> Option<Box<dyn Provider>> {
        let many = self.loaded.settings.workers.may_be_many();
        if let (Place::Away(home), Sharing::Home(twins)) = (&self.place, kind.sharing) {
            let (home, name) = (home.clone(), section.name.clone());
            let calls = self.loaded.settings.calls;
            return Some(Box::new(AwayProvider {
                home,
                name,
                calls,
                twins,
            }));
        }
        let context = ProviderContext {
            name: &section.name,
            kind,
            plugin: self.registry.plugins.get(kind.name),
            reactor: self.reactor,
            files: self.registry.files(),
            application: &self.control,
        };
        let provider = match (kind.make)(&context, &section.options) {
            Ok(provider) => provider,
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        if let (true, Sharing::Home(twins)) = (many, kind.sharing) {
            let objects = twins.iter();
            let objects = objects.filter_map(|(interface, _)| provider.object(interface.name));
            let name = &section.name;
            self.loaded
                .shared
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
                let line = config.limits.line_of(name).unwrap_or_default();
                self.loaded.settings.limits_set.push((limit.name, line));
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
            let many = self.loaded.settings.workers.may_be_many();
            if let (true, Sharing::Undeclared) = (many, kind.sharing) {
                let message = format!(
                    "`{}` does not say whether each worker has its own or all share one: it runs with `workers = 1` only",
                    kind.name
                );
                self.problems.push(section.problem("kind", message));
            }
            if self.problems.count() == before {
                if let Some(known) = self.running(&section) {
                    self.loaded.providers.push(known);
                    return;
                }
                provider = self.make(kind, &section);
            }
        } else {
            let known: Vec<&str> = self.registry.providers().map(|kind| kind.name).collect();
            let message = unknown("kind", &section.kind, &known);
            self.problems.push(section.problem("kind", message));
        }
        self.loaded.providers.push(Provided {
            name: section.name,
            kind: kind.copied(),
            options: section.options,
            provider: provider.map(|provider| Rc::new(RefCell::new(provider))),
            kept: false,
        });
    }

    /// The provider that runs and is what this section says.
    fn running(&self, section: &ProvideSection) -> Option<Provided> {
        let known = self.known.as_ref()?;
        let mut known = known.providers.iter().filter(|p| p.name == section.name);
        let known = known.find(|provided| {
            provided.kind.is_some_and(|kind| kind.name == section.kind)
                && provided.options.says_the_same_as(&section.options, &[])
        })?;
        Some(Provided {
            kept: true,
            ..known.clone()
        })
    }

    /// The application itself, for `[control]`.
    fn provide_control(&mut self, control: &ServeSection) {
        let section = ProvideSection {
            name: config::CONTROL.to_owned(),
            kind: "application".to_owned(),
            options: control.options.without_keys(),
        };
        self.provide(section);
    }

    /// What runs of checkers.
    pub(super) fn known_checkers(&self) -> Vec<Checked> {
        self.known
            .as_ref()
            .map_or_else(Vec::new, |known| known.checkers.clone())
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
