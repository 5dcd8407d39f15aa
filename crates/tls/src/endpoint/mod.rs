//! The endpoint kinds `ssl:` and `tls:`, over whatever `tcp:` is on the reactor. Opens no socket, and asks for files.

mod client;
mod server;

use crate::{error::BadTls, files::Files};
use client::Clients;
use std::{path::Path, rc::Rc};
use tress_core::{
    Failure, Port, Reactor, Result, SharedFactory,
    endpoint::{EndpointKind, EndpointSpec, Side},
    reactor::Target,
};

/// Makes the reactor know the endpoint kinds `ssl:` and `tls:`. The files that they name are read from `files`.
pub fn register(reactor: &Reactor, files: impl Files + 'static) {
    let files: Rc<dyn Files> = Rc::new(files);
    for which in [Which::Ssl, Which::Tls] {
        let kind = Kind {
            which,
            files: Rc::clone(&files),
            clients: Clients::default(),
        };
        reactor.endpoint_kind(which.name(), kind);
    }
}

#[derive(Clone, Copy)]
enum Which {
    /// One certificate, Twisted's older words.
    Ssl,
    /// A directory of certificates.
    Tls,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Ssl => "ssl",
            Self::Tls => "tls",
        }
    }
}

struct Kind {
    which: Which,
    files: Rc<dyn Files>,
    clients: Clients,
}

impl EndpointKind for Kind {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        let server = self.server(reactor.wall(), spec)?;
        let factory = factory.layered(move |_| Ok(Box::new(server.tls.layer())));
        reactor.listen_spec(&server.below, &factory)
    }

    fn target(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        self.client(reactor, spec)
    }

    /// Opens the files that are named, and nothing else.
    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        match side {
            Side::Server => {
                let server = self.server(reactor.wall(), spec)?;
                reactor.check_spec(&server.below, side)
            }
            Side::Client => self.client(reactor, spec).map(drop),
        }
    }

    fn check_shared(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result {
        let server = self.server(reactor.wall(), spec)?;
        reactor.check_shared(&server.below)
    }

    fn usage(&self, side: Side) -> &'static str {
        match (self.which, side) {
            (Which::Ssl, Side::Server) => server::SSL_USAGE,
            (Which::Tls, Side::Server) => server::TLS_USAGE,
            (Which::Ssl, Side::Client) => client::SSL_USAGE,
            (Which::Tls, Side::Client) => client::TLS_USAGE,
        }
    }
}

/// A file that an endpoint names cannot be used.
fn bad(spec: &EndpointSpec, error: &BadTls) -> Failure {
    spec.problem(error.to_string())
}

/// An option that names a file.
fn path<'a>(spec: &'a EndpointSpec, name: &str) -> Option<&'a Path> {
    spec.option(name).map(Path::new)
}
