//! What a file may name: kinds of provider, protocols, kinds of endpoint. Holds tables and makes nothing by itself;
//! which names are built in stands in `builtin`.

use crate::{
    config::{OptionSpec, Options, Problem},
    files::{Files, SystemFiles},
};
use std::{collections::BTreeMap, fmt, rc::Rc, sync::Arc};
use tress_core::{Deferred, Reactor, Result, SharedFactory, endpoint::EndpointKind};
use tress_protocols::haproxy::HaProxy;
use tress_rpc::{Descriptor, MakeTwin, Object};

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
    /// The loop it will run on.
    pub reactor: &'c Reactor,
    /// Where its files are.
    pub files: &'c Rc<dyn Files>,
}

/// Makes objects and keeps them alive.
pub trait Provider {
    /// The object behind the interface of that name, if it offers it. Called once for each place that serves it,
    /// before `start`.
    fn object(&self, interface: &str) -> Option<Object>;

    /// Reads what it needs. Comes before anything is served.
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

/// A way to serve one interface through one protocol: what `as` in `[[serve]]` names.
#[derive(Clone, Copy)]
pub struct Exposure {
    /// The name in files.
    pub name: &'static str,
    /// What an object must offer.
    pub interface: &'static Descriptor,
    /// One sentence for operators.
    pub doc: &'static str,
    /// The keys beside `what`, `as` and `at`.
    pub options: &'static [OptionSpec],
    /// Makes the factory from options that were checked.
    pub make: fn(Object, &Options, &Reactor) -> Result<SharedFactory, Problem>,
}

/// Everything that a file may name.
pub struct Registry {
    providers: BTreeMap<&'static str, ProviderKind>,
    /// By protocol, then by interface: an adapter of your own for one pair wins over what was there.
    exposures: BTreeMap<(&'static str, &'static str), Exposure>,
    endpoints: Vec<InstallEndpoint>,
    files: Rc<dyn Files>,
    /// Whether providers find their files elsewhere, which belongs to one thread.
    own_files: bool,
}

/// All of a [`Registry`] that may go to another thread; becomes one there.
pub struct Portable {
    providers: BTreeMap<&'static str, ProviderKind>,
    exposures: BTreeMap<(&'static str, &'static str), Exposure>,
    endpoints: Vec<InstallEndpoint>,
}

impl Portable {
    /// A registry on this thread, with the system's files.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry {
            providers: self.providers.clone(),
            exposures: self.exposures.clone(),
            endpoints: self.endpoints.clone(),
            files: Rc::new(SystemFiles),
            own_files: false,
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
            exposures: BTreeMap::new(),
            endpoints: Vec::new(),
            files: Rc::new(SystemFiles),
            own_files: false,
        }
    }

    /// What tress brings along.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::empty();
        for kind in crate::builtin::PROVIDERS {
            registry.register_provider(*kind);
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

    /// Adds a protocol for an interface, or replaces that pair.
    pub fn register_exposure(&mut self, exposure: Exposure) -> &mut Self {
        let pair = (exposure.name, exposure.interface.name);
        self.exposures.insert(pair, exposure);
        self
    }

    /// Adds a kind of endpoint to every reactor that runs a file.
    pub fn register_endpoint<K: EndpointKind>(
        &mut self,
        name: &'static str,
        make: impl Fn() -> K + Send + Sync + 'static,
    ) -> &mut Self {
        let install = move |reactor: &Reactor| reactor.endpoint_kind(name, make());
        self.endpoints.push(Arc::new(install));
        self
    }

    /// Has providers find their files there, and not in the operating system. Of those of a simulated host, for instance.
    pub fn set_files(&mut self, files: impl Files + 'static) -> &mut Self {
        self.files = Rc::new(files);
        self.own_files = true;
        self
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
            exposures: self.exposures.clone(),
            endpoints: self.endpoints.clone(),
        })
    }

    /// Teaches the kinds of endpoint to a reactor.
    pub fn install_endpoints(&self, reactor: &Reactor) {
        for install in &self.endpoints {
            install(reactor);
        }
    }

    /// The kind of provider of that name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&ProviderKind> {
        self.providers.get(name)
    }

    /// All kinds of provider, by name.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderKind> {
        self.providers.values()
    }

    /// All exposures, by protocol and then by interface.
    pub fn exposures(&self) -> impl Iterator<Item = &Exposure> {
        self.exposures.values()
    }

    /// How an object of that kind is served through that protocol.
    #[must_use]
    pub fn exposure(&self, kind: &ProviderKind, protocol: &str) -> Option<&Exposure> {
        let exposures = || self.exposures.values().filter(|e| e.name == protocol);
        let of = |interface: &Descriptor| exposures().find(|e| e.interface.name == interface.name);
        kind.interfaces.iter().find_map(|interface| of(interface))
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
        names.retain(|name| self.exposure(kind, name).is_some());
        names
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

impl fmt::Debug for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderKind({})", self.name)
    }
}

impl fmt::Debug for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exposure({} of {})", self.name, self.interface.name)
    }
}
