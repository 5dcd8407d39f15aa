//! `ServerTls`: what a server's TLS is configured with, shared by its connections. Speaks no TLS itself.

use crate::{
    SESSIONS_KEPT,
    clock::WallClock,
    directory::{Directory, Names},
    error::BadTls,
    files::Files,
    identity::Identity,
    info::TlsVersion,
    layer::TlsLayer,
    provider,
    session::{Session, server_session},
    trust::Trust,
};
use rustls::server::ServerSessionMemoryCache;
use std::{cell::RefCell, fmt, path::Path, rc::Rc, sync::Arc, time::SystemTime};
use tress_core::{Failure, Reactor};

/// How a server's TLS is to be: a certificate, and what is asked of clients.
#[derive(Debug)]
pub struct ServerConfig {
    source: Source,
    protocols: Vec<Vec<u8>>,
    clients: Option<(Trust, bool)>,
    versions: (TlsVersion, TlsVersion),
}

#[derive(Debug)]
enum Source {
    One(Identity),
    Directory(Rc<dyn Files>, Box<Path>),
}

/// A server's TLS: a layer below each of its connections, or `start_tls` in mid-stream. Clones are the same.
#[derive(Clone)]
pub struct ServerTls(Rc<Server>);

struct Server {
    clock: WallClock,
    config: RefCell<Arc<rustls::ServerConfig>>,
    directory: Option<RefCell<Directory>>,
}

impl ServerConfig {
    /// One certificate for all clients.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self::from_source(Source::One(identity))
    }

    /// The certificates of a directory, chosen by the name that a client asks for (SNI), loaded anew when its files
    /// change. Any file below it that ends in `.pem` counts. A certificate belongs to the key of the same public key,
    /// in whichever file; certificates without a key are what issued others. A certificate serves the DNS names in it;
    /// `*.example.com` serves whatever stands for the star, one label. Of several for one name, the one that is valid
    /// longest. Who asks for no name, or for one that is not there, gets the first in the order of the paths.
    ///
    /// The directory is looked at when a connection begins, at most every [`DIRECTORY_LOOK`](crate::DIRECTORY_LOOK).
    /// What cannot be loaded is warned about, and everything stays as it was.
    /// Source: Twisted's `protocols/_sni.py`, which reloads when it does not know a name.
    pub fn directory(files: Rc<dyn Files>, directory: impl AsRef<Path>) -> Self {
        Self::from_source(Source::Directory(files, directory.as_ref().into()))
    }

    fn from_source(source: Source) -> Self {
        Self {
            source,
            protocols: Vec::new(),
            clients: None,
            versions: (TlsVersion::V1_2, TlsVersion::V1_3),
        }
    }

    /// The application protocols (ALPN) that it speaks, the best first: the first that a client offers too is taken. A
    /// client that offers only others is refused; one that offers none is not.
    #[must_use]
    pub fn protocols<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.protocols = alpn(protocols);
        self
    }

    /// Clients must show a certificate of one of these authorities.
    #[must_use]
    pub fn require_client_certificates(mut self, trust: Trust) -> Self {
        self.clients = Some((trust, true));
        self
    }

    /// Clients may show a certificate; it must be of one of these authorities then.
    #[must_use]
    pub fn accept_client_certificates(mut self, trust: Trust) -> Self {
        self.clients = Some((trust, false));
        self
    }

    /// The versions of TLS that it speaks, from the lowest to the highest. The default is all.
    #[must_use]
    pub fn versions(mut self, lowest: TlsVersion, highest: TlsVersion) -> Self {
        self.versions = (lowest, highest);
        self
    }

    /// Makes it, at `now` by the calendar.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn build(self, now: SystemTime) -> Result<ServerTls, BadTls> {
        let clock = WallClock::at(now);
        let (names, directory) = match self.source {
            Source::One(identity) => (Names::one(identity), None),
            Source::Directory(files, path) => {
                let (directory, names) = Directory::open(files, path, now)?;
                (names, Some(RefCell::new(directory)))
            }
        };
        let versions = TlsVersion::range(self.versions.0, self.versions.1);
        let builder =
            rustls::ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
                .with_protocol_versions(&versions)
                .expect("the provider has both versions");
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some((trust, required)) => {
                builder.with_client_cert_verifier(trust.client_verifier(required)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(names));
        config.alpn_protocols = self.protocols;
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_KEPT);
        Ok(ServerTls(Rc::new(Server {
            clock,
            config: RefCell::new(Arc::new(config)),
            directory,
        })))
    }
}

impl ServerTls {
    /// The layer for one connection.
    #[must_use]
    pub fn layer(&self) -> TlsLayer {
        TlsLayer::server(self)
    }

    /// A session for a connection that begins now.
    pub(crate) fn session(&self, reactor: &Reactor) -> Result<Box<dyn Session>, Failure> {
        self.look(reactor);
        let config = Arc::clone(&self.0.config.borrow());
        Ok(Box::new(server_session(config)?))
    }

    /// What rustls verifies from now on, it verifies at this time.
    pub(crate) fn set_clock(&self, reactor: &Reactor) {
        self.0.clock.set(reactor.wall());
    }

    /// Takes over what changed in the directory. Sessions of before can be resumed: the store of them stays.
    fn look(&self, reactor: &Reactor) {
        let Some(directory) = &self.0.directory else {
            return;
        };
        let changed = directory.borrow_mut().look(reactor.now(), reactor.wall());
        if let Some(names) = changed {
            let mut config = rustls::ServerConfig::clone(&self.0.config.borrow());
            config.cert_resolver = Arc::new(names);
            self.0.config.replace(Arc::new(config));
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

pub(crate) fn alpn<'a>(protocols: impl IntoIterator<Item = &'a str>) -> Vec<Vec<u8>> {
    protocols.into_iter().map(Into::into).collect()
}
