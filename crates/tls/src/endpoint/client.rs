//! Where `ssl:` and `tls:` connect to, and whom they trust. Source: `_parseClientSSL` and `_parseClientTLS` of Twisted's
//! `internet/endpoints.py`; unlike there, `ssl:` verifies the host's name too. Must not know how a server listens.

use super::{Kind, Which, bad, path};
use crate::{
    client::{ClientConfig, ClientTls},
    error::BadTls,
    files::{Files, Pem},
    identity::Identity,
    trust::Trust,
};
use std::{cell::RefCell, collections::VecDeque, path::Path, rc::Rc, time::SystemTime};
use tress_core::{Reactor, Result, endpoint::EndpointSpec, reactor::Target};

pub(super) const SSL_USAGE: &str = "ssl:HOST:PORT[:hostname=NAME][:certKey=FILE][:privateKey=FILE][:caCertsDir=DIRECTORY][:timeout=SECONDS][:bindAddress=ADDRESS]";
pub(super) const TLS_USAGE: &str = "tls:HOST:PORT[:certificate=FILE][:privateKey=FILE][:trustRoots=FILE-OR-DIRECTORY][:timeout=SECONDS][:bindAddress=ADDRESS][:endpoint=ENDPOINT]";

/// Configurations that are kept, with their sessions, for the next connection.
const CLIENTS_KEPT: usize = 16;

/// The configurations made so far, by what their files said: an endpoint string is read anew for each connection, and
/// its sessions can be resumed only in one and the same configuration.
#[derive(Default)]
pub(super) struct Clients(RefCell<VecDeque<(Sources, ClientTls)>>);

#[derive(PartialEq, Eq)]
struct Sources {
    trust: Option<Vec<Pem>>,
    /// Certificate and key.
    identity: Option<(Pem, Pem)>,
}

/// What the options of a kind are called.
struct Words {
    certificate: &'static str,
    trust: &'static str,
    known: &'static [&'static str],
    usage: &'static str,
}

const SSL: Words = Words {
    certificate: "certKey",
    trust: "caCertsDir",
    known: &[
        "host",
        "port",
        "hostname",
        "certKey",
        "privateKey",
        "caCertsDir",
        "timeout",
        "bindAddress",
    ],
    usage: SSL_USAGE,
};

const TLS: Words = Words {
    certificate: "certificate",
    trust: "trustRoots",
    known: &[
        "host",
        "port",
        "certificate",
        "privateKey",
        "trustRoots",
        "timeout",
        "bindAddress",
        "endpoint",
    ],
    usage: TLS_USAGE,
};

impl Kind {
    pub(super) fn client(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        let words = match self.which {
            Which::Ssl => SSL,
            Which::Tls => TLS,
        };
        spec.only(2, words.known, words.usage)?;
        let host = spec
            .named(0, "host")
            .ok_or_else(|| spec.problem("expected a host name or an address"))?;
        let name = spec.option("hostname").unwrap_or(host);
        let sources = Sources::read(&*self.files, spec, &words).map_err(|e| bad(spec, &e))?;
        let tls = self.clients.get(sources, reactor.wall());
        let tls = tls.map_err(|error| bad(spec, &error))?;
        tls.layer(name).map_err(|f| spec.problem(f.to_string()))?;
        let mut target = below(reactor, spec, host)?;
        let name = name.to_owned();
        target
            .layers
            .push(Rc::new(move |_| Ok(Box::new(tls.layer(&name)?))));
        Ok(target)
    }
}

/// Where the connection goes that TLS is spoken over.
fn below(reactor: &Reactor, spec: &EndpointSpec, host: &str) -> Result<Target> {
    if let Some(endpoint) = spec.option("endpoint") {
        return reactor.target(&EndpointSpec::parse(endpoint)?);
    }
    let port = spec
        .named(1, "port")
        .ok_or_else(|| spec.problem("expected a port number"))?;
    let options = ["timeout", "bindAddress"].into_iter().filter_map(|name| {
        let value = spec.option(name)?;
        Some((name.to_owned(), value.to_owned()))
    });
    reactor.target(&EndpointSpec {
        kind: "tcp".to_owned(),
        arguments: vec![host.to_owned(), port.to_owned()],
        options: options.collect(),
    })
}

impl Sources {
    fn read(files: &dyn Files, spec: &EndpointSpec, words: &Words) -> Result<Self, BadTls> {
        let read = |path: &Path| Pem::read(files, path);
        let certificate = path(spec, words.certificate).map(read).transpose()?;
        let key = path(spec, "privateKey").map(read).transpose()?;
        let trust = path(spec, words.trust).map(|path| Pem::read_all(files, path));
        Ok(Self {
            trust: trust.transpose()?,
            identity: match (certificate, key) {
                (Some(certificate), Some(key)) => Some((certificate, key)),
                // One file may hold both.
                (Some(both), None) | (None, Some(both)) => Some((both.clone(), both)),
                (None, None) => None,
            },
        })
    }

    fn config(&self, now: SystemTime) -> Result<ClientTls, BadTls> {
        let mut config = ClientConfig::new();
        if let Some(trust) = &self.trust {
            config = config.trust(Trust::from_pem(trust)?);
        }
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(certificate, key, None, now)?);
        }
        config.build()
    }
}

impl Clients {
    fn get(&self, sources: Sources, now: SystemTime) -> Result<ClientTls, BadTls> {
        let mut kept = self.0.borrow_mut();
        if let Some((_, tls)) = kept.iter().find(|(known, _)| *known == sources) {
            return Ok(tls.clone());
        }
        let tls = sources.config(now)?;
        if kept.len() == CLIENTS_KEPT {
            kept.pop_front();
        }
        kept.push_back((sources, tls.clone()));
        Ok(tls)
    }
}
