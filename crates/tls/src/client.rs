//! `ClientTls`: what a client's TLS is configured with, shared by its connections. Speaks no TLS itself.

use crate::{
    SESSIONS_KEPT,
    clock::WallClock,
    error::BadTls,
    identity::Identity,
    info::TlsVersion,
    layer::TlsLayer,
    provider,
    server::alpn,
    session::{ClientSession, Session},
    trust::Trust,
};
use rustls::{client::Resumption, pki_types::ServerName};
use std::{fmt, rc::Rc, sync::Arc, time::SystemTime};
use tress_core::{Failure, Reactor};

/// How a client's TLS is to be: whom it trusts, and who it is.
#[derive(Debug)]
pub struct ClientConfig {
    trust: Trust,
    identity: Option<Identity>,
    protocols: Vec<Vec<u8>>,
    versions: (TlsVersion, TlsVersion),
}

/// A client's TLS. Its sessions are kept ([`SESSIONS_KEPT`] of them), so that a second connection to the same name is
/// cheaper. Clones are the same.
#[derive(Clone)]
pub struct ClientTls(Rc<Client>);

struct Client {
    clock: WallClock,
    config: Arc<rustls::ClientConfig>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            trust: Trust::platform(),
            identity: None,
            protocols: Vec::new(),
            versions: (TlsVersion::V1_2, TlsVersion::V1_3),
        }
    }
}

impl ClientConfig {
    /// Trusts whom the platform trusts, and has no certificate of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these, and nobody else.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Shows this certificate to a server that asks for one.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The application protocols (ALPN) that it offers, the best first.
    #[must_use]
    pub fn protocols<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.protocols = alpn(protocols);
        self
    }

    /// The versions of TLS that it speaks, from the lowest to the highest. The default is all.
    #[must_use]
    pub fn versions(mut self, lowest: TlsVersion, highest: TlsVersion) -> Self {
        self.versions = (lowest, highest);
        self
    }

    /// Makes it. With [`Trust::platform`] this is where the platform's authorities are loaded, by the platform's own
    /// means.
    ///
    /// # Errors
    /// The authorities cannot be loaded, or there are none.
    pub fn build(self) -> Result<ClientTls, BadTls> {
        let clock = WallClock::at(SystemTime::UNIX_EPOCH);
        let versions = TlsVersion::range(self.versions.0, self.versions.1);
        let builder =
            rustls::ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
                .with_protocol_versions(&versions)
                .expect("the provider has both versions");
        // "Dangerous" is what a verifier could be; both of these verify chain and name.
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(self.trust.server_verifier()?);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity(key)) => builder
                .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key))),
        };
        config.alpn_protocols = self.protocols;
        config.resumption = Resumption::in_memory_sessions(SESSIONS_KEPT);
        Ok(ClientTls(Rc::new(Client {
            clock,
            config: Arc::new(config),
        })))
    }
}

impl ClientTls {
    /// The layer for a connection to a server of this name, a host name or an IP address: it must have a certificate
    /// for exactly that.
    ///
    /// # Errors
    /// It is neither.
    pub fn layer(&self, name: &str) -> Result<TlsLayer, Failure> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::msg(format!("`{name}` is no host name and no IP address")))?;
        Ok(TlsLayer::client(self, server))
    }

    /// A session for a connection that begins now.
    pub(crate) fn session(&self, name: ServerName<'static>) -> Result<Box<dyn Session>, Failure> {
        let config = Arc::clone(&self.0.config);
        Ok(Box::new(ClientSession::new(config, name)?))
    }

    /// What rustls verifies from now on, it verifies at this time.
    pub(crate) fn set_clock(&self, reactor: &Reactor) {
        self.0.clock.set(reactor.wall());
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}
