//! What a file may name: kinds of provider, protocols, kinds of endpoint. Holds tables and makes nothing by itself;
//! which names are built in stands in `builtin`.

use crate::{
    config::{LogSection, OptionSpec, Options, Problem},
    control::Control,
    files::{Files, SystemFiles},
    plugin,
};
use std::{collections::BTreeMap, fmt, path::Path, rc::Rc, sync::Arc, time::Duration};
use tress_core::{Deferred, Reactor, Result, SharedFactory, Time, endpoint::EndpointKind};
use tress_protocols::haproxy::HaProxy;
use tress_rpc::{
    Descriptor, ExposureLimits, MakeTwin, Object,
    cred::{Checker, Portal, Sort},
    http::Dialect,
};

/// A kind of provider: what `kind` in `[provide.NAME]` names.
#[derive(Clone, Copy)]
pub struct ProviderKind {
    /// The name in files.
    pub name: &'static str,
    /// One sentence for operators.
    pub doc: &'static str,
    /// The keys beside `kind`.
    pub options: &'static [OptionSpec],
    /// What its objects offer. The first that a protocol can be made from is taken.
    pub interfaces: &'static [&'static Descriptor],
    /// Makes one from options that were checked. Opens nothing: that is for [`Provider::start`].
    pub make: MakeProvider,
    /// Where its objects live when there are several workers.
    pub sharing: Sharing,
}

/// Where the objects of a kind of provider live when an application has several workers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Sharing {
    /// Nobody has said: such a kind runs on one worker only.
    Undeclared,
    /// Each worker makes its own, and they need not know of each other.
    PerWorker,
    /// On the first worker; the others call it there, through twins made by these, one for each of the kind's interfaces.
    Home(&'static [(&'static Descriptor, MakeTwin)]),
}

/// Makes a provider from options that were checked, or says what else is wrong with them.
pub type MakeProvider = fn(&ProviderContext<'_>, &Options) -> Result<Box<dyn Provider>, Problem>;

/// What a provider is made with, beside its options.
#[derive(Clone, Copy, Debug)]
pub struct ProviderContext<'c> {
    /// NAME in `[provide.NAME]`.
    pub name: &'c str,
    /// Which kind is made.
    pub kind: &'c ProviderKind,
    /// The plug-in in a process of its own that told of the kind; none for one that is compiled in.
    pub plugin: Option<&'c plugin::Known>,
    /// The loop it will run on.
    pub reactor: &'c Reactor,
    /// Where its files are.
    pub files: &'c Rc<dyn Files>,
    /// The application that it is part of, for when that runs.
    pub application: &'c Control,
}

/// Makes objects and keeps them alive.
pub trait Provider {
    /// The object behind the interface of that name, if it offers it. Called once for each place that serves it, before
    /// `start`; and again for a place that is added while it runs, or changes.
    fn object(&self, interface: &str) -> Option<Object>;

    /// Reads what it needs. Comes before anything is served; when the file was changed, while the one that it replaces still
    /// runs.
    ///
    /// # Errors
    /// The application does not start.
    fn start(&mut self, reactor: &Reactor) -> Result {
        let _ = reactor;
        Ok(())
    }

    /// The operator asks it to look at its sources again.
    fn reload(&mut self) {}

    /// Nothing is served any more. What it returns is waited for, in bounded time.
    fn stop(&mut self) -> Deferred<()> {
        Deferred::succeed(())
    }
}

/// A kind of checker: what `kind` in `[auth.NAME]` names.
#[derive(Clone, Copy)]
pub struct CheckerKind {
    /// The name in files.
    pub name: &'static str,
    /// One sentence for operators.
    pub doc: &'static str,
    /// The keys beside `kind`.
    pub options: &'static [OptionSpec],
    /// Makes one from options that were checked, or says what else is wrong with them.
    pub make: MakeChecker,
}

/// Makes a checker, or says what is wrong with its options.
pub type MakeChecker = fn(&Options, &Rc<dyn Files>) -> Result<Rc<dyn Checker>, Problem>;

/// A way to serve objects through one protocol: what `as` in `[[serve]]` names.
#[derive(Clone, Copy)]
pub struct Exposure {
    /// The name in files.
    pub name: &'static str,
    /// What an object must offer.
    pub serves: Serves,
    /// Who may call through it.
    pub access: Access,
    /// One sentence for operators.
    pub doc: &'static str,
    /// The keys beside `what`, `as`, `at`, and those that every `[[serve]]` may have.
    pub options: &'static [OptionSpec],
    /// How it is served.
    pub make: Make,
}

/// How an object is served through a protocol.
#[derive(Clone, Copy)]
pub enum Make {
    /// By a factory of its own, made from options that were checked.
    Factory(fn(&Serving<'_>) -> Result<SharedFactory, Problem>),
    /// Over HTTP, beside whatever else is served at the same endpoint.
    Http(Dialect),
}

/// What a protocol can be made of.
#[derive(Clone, Copy)]
pub enum Serves {
    /// This interface, whose meaning it knows.
    Interface(&'static Descriptor),
    /// Every interface that it can say; the function tells why it cannot say one. An adapter for the interface wins.
    Any(fn(&'static Descriptor) -> Result<(), String>),
}

/// Who may call through a protocol.
#[derive(Clone, Copy, Debug)]
pub enum Access {
    /// Everybody: it was made for that, and has no logins.
    Public,
    /// Who shows one of these credentials. Where not only this machine reaches it, `auth` or `anonymous = true` must say
    /// that this is meant.
    Logins(&'static [Sort]),
}

/// An object that is to be served.
#[derive(Debug)]
pub struct Serving<'s> {
    /// What is called.
    pub object: Object,
    /// The keys of the `[[serve]]`, checked.
    pub options: &'s Options,
    /// The loop that it is served on.
    pub reactor: &'s Reactor,
    /// Who is let in.
    pub portal: Portal,
    /// What callers are allowed.
    pub limits: ExposureLimits,
}

/// Changes what is logged, as `debug` or `tress_app=debug` says it, and answers with all that is in force; changes nothing
/// when it is given nothing. Or says what was expected.
pub type LogLevel = Arc<dyn Fn(Option<&str>) -> Result<String, String> + Send + Sync>;

/// Starts a process that is to take the place of this one: the program that runs, or the one at the path, with all sockets that
/// the reactor listens at. Fires when that is ready, at the latest within the time.
pub type Upgrade =
    Arc<dyn Fn(&Reactor, Option<&Path>, Duration) -> Deferred<Successor> + Send + Sync>;

/// A process that is ready to take the place of this one.
pub struct Successor {
    /// Its number in the system.
    pub process: u32,
    /// Lets it go on alone, when this one listens no more; with `true` it reads its file once more.
    pub go: Box<dyn FnOnce(bool)>,
}

impl fmt::Debug for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Successor({})", self.process)
    }
}

/// What the program does about `[log]`, which is its own and not the application's. Or which key says what cannot be, and why.
pub type LogHook = Arc<dyn Fn(&LogSection, LogStep) -> Result<(), LogProblem> + Send + Sync>;

/// What is wanted of a [`LogHook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStep {
    /// To say whether it can be, and to do nothing.
    Check,
    /// To log so from now on. What fails has changed nothing.
    Become,
}

/// The key of `[log]` that says what cannot be, and why.
pub type LogProblem = (&'static str, String);

/// A moment in the life of an application, for whoever manages services on this machine. Each comes on the loop of the first
/// worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment<'m> {
    /// Everything listens, on all workers; or goes on to, when its file was read again. In words, what runs.
    Running(&'m str),
    /// Its file is about to be read again, at this time of the loop's clock.
    Reloading(Time),
    /// The process of this number has taken over from this one, of which nothing comes any more.
    HandedOver(u32),
    /// It is about to stop.
    Stopping,
    /// The loops of all workers turn: comes twice in the time in which the manager wants to hear of it.
    Alive,
}

/// Who is told of moments.
#[derive(Clone)]
pub struct Manager {
    /// Tells it. Must not wait for long, as the loop waits for it.
    pub tell: Arc<dyn Fn(Moment<'_>) + Send + Sync>,
    /// How long it may hear nothing of [`Moment::Alive`] before it takes the application for dead; `None` if it does not ask.
    pub watchdog: Option<Duration>,
}

/// Everything that a file may name. Clones share its files.
#[derive(Clone)]
pub struct Registry {
    providers: BTreeMap<&'static str, ProviderKind>,
    /// By the names of the kinds that they told.
    pub(crate) plugins: BTreeMap<&'static str, plugin::Known>,
    checkers: BTreeMap<&'static str, CheckerKind>,
    /// By protocol, then by interface, which is empty for those of every interface: an adapter of your own for one pair wins
    /// over what was there.
    exposures: BTreeMap<(&'static str, &'static str), Exposure>,
    endpoints: Vec<(&'static str, InstallEndpoint)>,
    files: Rc<dyn Files>,
    /// Whether providers find their files elsewhere, which belongs to one thread.
    own_files: bool,
    program: Program,
}

/// What the program is to the application.
#[derive(Clone, Default)]
struct Program {
    log_level: Option<LogLevel>,
    upgrade: Option<Upgrade>,
    log: Option<LogHook>,
    manager: Option<Manager>,
}

/// All of a [`Registry`] that may go to another thread; becomes one there.
pub struct Portable {
    providers: BTreeMap<&'static str, ProviderKind>,
    /// By the names of the kinds that they told.
    pub(crate) plugins: BTreeMap<&'static str, plugin::Known>,
    checkers: BTreeMap<&'static str, CheckerKind>,
    exposures: BTreeMap<(&'static str, &'static str), Exposure>,
    endpoints: Vec<(&'static str, InstallEndpoint)>,
    program: Program,
}

impl Portable {
    /// A registry on this thread, with the system's files.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry {
            providers: self.providers.clone(),
            plugins: self.plugins.clone(),
            checkers: self.checkers.clone(),
            exposures: self.exposures.clone(),
            endpoints: self.endpoints.clone(),
            files: Rc::new(SystemFiles),
            own_files: false,
            program: self.program.clone(),
        }
    }
}

impl fmt::Debug for Portable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registry().fmt(f)
    }
}

/// Teaches a kind of endpoint to a reactor.
type InstallEndpoint = Arc<dyn Fn(&Reactor) + Send + Sync>;

impl Registry {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            providers: BTreeMap::new(),
            plugins: BTreeMap::new(),
            checkers: BTreeMap::new(),
            exposures: BTreeMap::new(),
            endpoints: Vec::new(),
            files: Rc::new(SystemFiles),
            own_files: false,
            program: Program::default(),
        }
    }

    /// What tress brings along.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::empty();
        for kind in crate::builtin::PROVIDERS {
            registry.register_provider(*kind);
        }
        for kind in crate::builtin::CHECKERS {
            registry.register_checker(*kind);
        }
        for exposure in crate::builtin::EXPOSURES {
            registry.register_exposure(*exposure);
        }
        registry.register_endpoint("haproxy", || HaProxy);
        registry
    }

    /// Adds a kind of provider, or replaces the one of that name.
    pub fn register_provider(&mut self, kind: ProviderKind) -> &mut Self {
        self.providers.insert(kind.name, kind);
        self
    }

    /// Adds a kind of checker, or replaces the one of that name.
    pub fn register_checker(&mut self, kind: CheckerKind) -> &mut Self {
        self.checkers.insert(kind.name, kind);
        self
    }

    /// Adds a protocol for an interface, or for all, or replaces that pair.
    pub fn register_exposure(&mut self, exposure: Exposure) -> &mut Self {
        self.exposures.insert(pair(&exposure), exposure);
        self
    }

    /// Adds a kind of endpoint to every reactor that runs a file.
    pub fn register_endpoint<K: EndpointKind>(
        &mut self,
        name: &'static str,
        make: impl Fn() -> K + Send + Sync + 'static,
    ) -> &mut Self {
        self.teach_endpoint(name, move |reactor| reactor.endpoint_kind(name, make()))
    }

    /// The same by a function that does it.
    pub(crate) fn teach_endpoint(
        &mut self,
        name: &'static str,
        teach: impl Fn(&Reactor) + Send + Sync + 'static,
    ) -> &mut Self {
        self.endpoints.push((name, Arc::new(teach)));
        self
    }

    /// Whether a kind of endpoint of that name was added here.
    pub(crate) fn has_endpoint(&self, name: &str) -> bool {
        self.endpoints.iter().any(|(known, _)| *known == name)
    }

    /// Whether there is one for that pair of protocol and interface.
    pub(crate) fn has_exposure(&self, exposure: &Exposure) -> bool {
        self.exposures.contains_key(&pair(exposure))
    }

    /// Has providers find their files there, and not in the operating system. Of those of a simulated host, for instance.
    pub fn set_files(&mut self, files: impl Files + 'static) -> &mut Self {
        self.files = Rc::new(files);
        self.own_files = true;
        self
    }

    /// Says how what is logged is changed: it is the program's, not the application's.
    pub fn set_log_level(&mut self, change: LogLevel) -> &mut Self {
        self.program.log_level = Some(change);
        self
    }

    /// Says how a process is started that takes the place of this one: how programs start is the program's, too.
    pub fn set_upgrade(&mut self, upgrade: Upgrade) -> &mut Self {
        self.program.upgrade = Some(upgrade);
        self
    }

    /// How such a process is started, if anybody has said so.
    #[must_use]
    pub fn upgrade(&self) -> Option<&Upgrade> {
        self.program.upgrade.as_ref()
    }

    /// Says what becomes of `[log]`. Without it, a file with that section is refused.
    pub fn set_log(&mut self, hook: LogHook) -> &mut Self {
        self.program.log = Some(hook);
        self
    }

    /// What becomes of `[log]`, if anybody has said so.
    #[must_use]
    pub fn log(&self) -> Option<&LogHook> {
        self.program.log.as_ref()
    }

    /// Says who is told how the application fares.
    pub fn set_manager(&mut self, manager: Manager) -> &mut Self {
        self.program.manager = Some(manager);
        self
    }

    /// Who is told how the application fares, if anybody is.
    #[must_use]
    pub fn manager(&self) -> Option<&Manager> {
        self.program.manager.as_ref()
    }

    /// How what is logged is changed, if anybody has said so.
    #[must_use]
    pub fn log_level(&self) -> Option<&LogLevel> {
        self.program.log_level.as_ref()
    }

    /// Where providers find their files.
    #[must_use]
    pub fn files(&self) -> &Rc<dyn Files> {
        &self.files
    }

    /// What other workers make their registries of; `None` when providers find their files elsewhere than in the operating
    /// system ([`Registry::set_files`]), which is one thread's.
    #[must_use]
    pub fn portable(&self) -> Option<Portable> {
        (!self.own_files).then(|| Portable {
            providers: self.providers.clone(),
            plugins: self.plugins.clone(),
            checkers: self.checkers.clone(),
            exposures: self.exposures.clone(),
            endpoints: self.endpoints.clone(),
            program: self.program.clone(),
        })
    }

    /// Teaches the kinds of endpoint to a reactor.
    pub fn install_endpoints(&self, reactor: &Reactor) {
        for (_, install) in &self.endpoints {
            install(reactor);
        }
    }

    /// The kind of provider of that name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&ProviderKind> {
        self.providers.get(name)
    }

    /// What makes an object of that interface of calls that a client carries, if a kind here has said so.
    pub(crate) fn twin(&self, interface: &str) -> Option<(&'static Descriptor, MakeTwin)> {
        let mut compiled = self.providers.values();
        compiled.find_map(|kind| match kind.sharing {
            Sharing::Home(twins) if !self.plugins.contains_key(kind.name) => twins
                .iter()
                .find(|(known, _)| known.name == interface)
                .copied(),
            Sharing::Home(_) | Sharing::PerWorker | Sharing::Undeclared => None,
        })
    }

    /// All kinds of provider, by name.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderKind> {
        self.providers.values()
    }

    /// All exposures, by protocol and then by interface.
    pub fn exposures(&self) -> impl Iterator<Item = &Exposure> {
        self.exposures.values()
    }

    /// The kind of checker of that name.
    #[must_use]
    pub fn checker(&self, name: &str) -> Option<&CheckerKind> {
        self.checkers.get(name)
    }

    /// All kinds of checker, by name.
    pub fn checkers(&self) -> impl Iterator<Item = &CheckerKind> {
        self.checkers.values()
    }

    /// How an object of that kind is served through that protocol, and which of its interfaces; `wanted` is the only one
    /// that may be, if it is there. An adapter for one of the interfaces wins over the protocol for all.
    ///
    /// # Errors
    /// Why it cannot be; nothing when there is no more to say.
    pub fn exposure(
        &self,
        kind: &ProviderKind,
        protocol: &str,
        wanted: Option<&str>,
    ) -> Result<(&Exposure, &'static Descriptor), Option<String>> {
        let interfaces = || {
            let all = kind.interfaces.iter().copied();
            all.filter(move |interface| wanted.is_none_or(|wanted| wanted == interface.name))
        };
        let named = || self.exposures.values().filter(|e| e.name == protocol);
        for interface in interfaces() {
            let adapter = named().find(|exposure| {
                matches!(exposure.serves, Serves::Interface(served) if served.name == interface.name)
            });
            if let Some(adapter) = adapter {
                return Ok((adapter, interface));
            }
        }
        let mut why = None;
        for exposure in named() {
            let Serves::Any(check) = exposure.serves else {
                continue;
            };
            for interface in interfaces() {
                match check(interface) {
                    Ok(()) => return Ok((exposure, interface)),
                    Err(reason) => {
                        why.get_or_insert(reason);
                    }
                }
            }
        }
        Err(why)
    }

    /// The names of all protocols, each once.
    #[must_use]
    pub fn protocols(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.exposures.keys().map(|(name, _)| *name).collect();
        names.dedup();
        names
    }

    /// The names of the protocols that an object of that kind can be served through.
    #[must_use]
    pub fn protocols_of(&self, kind: &ProviderKind) -> Vec<&'static str> {
        let mut names = self.protocols();
        names.retain(|name| self.exposure(kind, name, None).is_ok());
        names
    }
}

/// The protocol, and the interface that it is for; empty for every one.
fn pair(exposure: &Exposure) -> (&'static str, &'static str) {
    match exposure.serves {
        Serves::Interface(interface) => (exposure.name, interface.name),
        Serves::Any(_) => (exposure.name, ""),
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let providers: Vec<_> = self.providers.keys().collect();
        f.debug_struct("Registry")
            .field("providers", &providers)
            .field("protocols", &self.protocols())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manager(watchdog {:?})", self.watchdog)
    }
}

impl fmt::Debug for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factory(_) => f.write_str("Factory"),
            Self::Http(dialect) => write!(f, "Http({dialect:?})"),
        }
    }
}

impl fmt::Debug for Serves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(interface) => write!(f, "Interface({})", interface.name),
            Self::Any(_) => f.write_str("Any"),
        }
    }
}

impl fmt::Debug for CheckerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckerKind({})", self.name)
    }
}

impl fmt::Debug for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderKind({})", self.name)
    }
}

impl fmt::Debug for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.serves {
            Serves::Interface(interface) => {
                write!(f, "Exposure({} of {})", self.name, interface.name)
            }
            Serves::Any(_) => write!(f, "Exposure({})", self.name),
        }
    }
}
