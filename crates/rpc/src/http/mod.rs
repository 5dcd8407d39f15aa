//! Objects over HTTP/1: HTTP+JSON with an OpenAPI document and a page for people, JSON-RPC and XML-RPC, metrics as
//! Prometheus reads them, any number of objects under one listener. Knows no object by name; the bytes are hyper's.
//!
//! ```
//! use std::rc::Rc;
//! use tress_core::{Reactor, Result};
//! use tress_rpc::{ExposureLimits, interface};
//! use tress_rpc::http::{Dialect, HttpFactory, Mount};
//!
//! /// Says something worth remembering.
//! #[interface(crate = "tress_rpc")]
//! pub trait Quoter {
//!     /// A quote.
//!     async fn quote(&self) -> Result<String>;
//! }
//!
//! struct Same(&'static str);
//!
//! impl Quoter for Same {
//!     async fn quote(&self) -> Result<String> {
//!         Ok(self.0.to_owned())
//!     }
//! }
//!
//! # fn main() -> Result {
//! # let world = tress_sim::World::new(1);
//! # let reactor = Reactor::with(world.host("10.0.0.1"));
//! let object = <dyn DynQuoter>::object(Rc::new(Same("An apple a day keeps the doctor away.")));
//! let quoter = Mount::new(&object, ExposureLimits::default())
//!     .speaking(Dialect::Json) // POST /Quoter/quote, /openapi.json, and a page at /
//!     .speaking(Dialect::JsonRpc) // POST /jsonrpc
//!     .speaking(Dialect::XmlRpc); // POST /RPC2
//! reactor.listen("tcp:8008:interface=127.0.0.1", HttpFactory::new([quoter])?)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is let in
//!
//! A request must name this server in `Host`: `localhost`, a loopback address, the address it came to, or a name given to
//! [`HttpFactory::allow_host`]. One from a web page must come from a page of this server, or of an origin given to
//! [`HttpFactory::allow_origin`]. A call must have the content type of its protocol. So no page of somebody else can make
//! a browser drive a server on its user's machine. No answer ever says that other pages may read it (CORS).
//!
//! # Limits
//!
//! [`HttpLimits`] for the head of a request, [`ExposureLimits`] for the rest. A head must be
//! complete within the reactor's `handshake`, and so must a body after it; a connection on which nothing happens for
//! `idle` ends. Requests of one connection are answered one after the other, in their order. What breaks a limit of the
//! head, or is no HTTP, is answered with 431 or 400 and ends the connection.
//!
//! # Failures
//!
//! HTTP+JSON answers a call that failed with a status and `{"code": …, "message": …}`, as does everything that never
//! became a call:
#![doc = include_str!("statuses.md")]

mod answer;
#[cfg(feature = "http-client")]
mod client;
mod connection;
mod guard;
mod json;
mod jsonrpc;
mod mounts;
mod openapi;
mod text;
pub mod xmlrpc;

#[cfg(feature = "http-client")]
pub use client::{HttpClient, NoAddress};
pub use connection::HttpConnection;
pub use mounts::{Dialect, Mount, MountError};

use crate::{calls::ExposureLimits, cred::Portal};
use guard::Allowed;
use hyper::body::Bytes;
use mounts::Routes;
use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};
use tress_core::{Address, Factory};

/// How much of a request may come before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// `header_bytes`: of the request line and all headers. 16 KiB by default; more is answered with 431.
    pub header_bytes: usize,
    /// `headers`: their number. 100 by default; more is answered with 431.
    pub headers: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_bytes: 16_384,
            headers: connection::HEADERS,
        }
    }
}

/// Serves objects over HTTP. Clones are the same factory.
#[derive(Clone)]
pub struct HttpFactory {
    shown: Shown,
    leaving: Leaving,
}

/// Whether connections end with their next answer.
type Leaving = Rc<Cell<bool>>;

/// What a factory and its connections look at before each request.
type Shown = Rc<RefCell<Rc<Site>>>;

/// What the connections of a factory share.
#[derive(Clone)]
struct Site {
    routes: Routes,
    limits: HttpLimits,
    allowed: Allowed,
    portal: Option<Portal>,
    /// The OpenAPI document, once somebody has asked for it.
    document: OnceCell<Bytes>,
}

impl Site {
    /// How long a call may take.
    fn slowest(&self) -> Duration {
        let mounts = self.routes.mounts.iter();
        let deadlines = mounts.map(|(_, limits)| limits.call_deadline);
        deadlines.max().unwrap_or_default()
    }

    /// The strictest limits on logins.
    fn login_limits(&self) -> ExposureLimits {
        let mounts = self.routes.mounts.iter();
        let mut limits = mounts.map(|(_, limits)| *limits);
        let first = limits.next().unwrap_or_default();
        limits.fold(first, |one, other| ExposureLimits {
            login_attempts: one.login_attempts.min(other.login_attempts),
            login_delay: one.login_delay.max(other.login_delay),
            ..one
        })
    }
}

impl HttpFactory {
    /// Of these mounts.
    ///
    /// # Errors
    /// They cannot be together: two methods have one name at one path, say. The error says what to do.
    pub fn new(mounts: impl IntoIterator<Item = Mount>) -> Result<Self, MountError> {
        let site = Site {
            routes: Routes::new(mounts)?,
            limits: HttpLimits::default(),
            allowed: Allowed::default(),
            portal: None,
            document: OnceCell::new(),
        };
        let shown = Rc::new(RefCell::new(Rc::new(site)));
        let leaving = Leaving::default();
        Ok(Self { shown, leaving })
    }

    /// From now on each connection ends with the answer to its next request, which says so: for when nothing more is to come
    /// through this factory. Connections without a request are left alone, as one may be on its way.
    pub fn leave(&self) {
        self.leaving.set(true);
    }

    /// Serves from now on what the other serves, to connections that are open too, from their next request on.
    pub fn show(&self, other: &Self) {
        let site = Rc::clone(&other.shown.borrow());
        let old = self.shown.replace(site);
        drop(old);
    }

    /// With these limits instead of the default ones.
    #[must_use]
    pub fn with_limits(self, limits: HttpLimits) -> Self {
        self.change(|site| site.limits = limits)
    }

    /// Lets requests in whose `Host` is this name, or this name and port, `example.com:8080`.
    #[must_use]
    pub fn allow_host(self, host: &str) -> Self {
        self.change(|site| site.allowed.hosts.push(host.to_ascii_lowercase()))
    }

    /// Takes pages of this origin, `https://example.com`, for pages of this server: behind a proxy that puts a `Host` of
    /// its own in, they are. Pages of other servers cannot call this one even so, as a browser asks first whether they
    /// may, and is not told.
    #[must_use]
    pub fn allow_origin(self, origin: &str) -> Self {
        self.change(|site| site.allowed.origins.push(origin.to_ascii_lowercase()))
    }

    /// Asks this who makes a request, with HTTP Basic, a bearer token or nothing, before anything else is done with it; whom
    /// it does not know is answered with 401. The avatar becomes the call's. It is asked for each request. Who shows something
    /// that is wrong is told so after [`login_delay`](ExposureLimits::login_delay), and
    /// [`login_attempts`](ExposureLimits::login_attempts) of them end the connection.
    #[must_use]
    pub fn portal(self, portal: Portal) -> Self {
        self.change(|site| site.portal = Some(portal))
    }

    fn change(self, change: impl FnOnce(&mut Site)) -> Self {
        change(Rc::make_mut(&mut self.shown.borrow_mut()));
        self
    }
}

#[diagnostic::do_not_recommend]
impl Factory for HttpFactory {
    type Protocol = HttpConnection;

    fn build_protocol(&mut self, _peer: &Address) -> Option<HttpConnection> {
        Some(HttpConnection::new(&self.shown, &self.leaving))
    }
}

impl fmt::Debug for HttpFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let site = self.shown.borrow();
        let mounts = site.routes.mounts.iter();
        let names: Vec<_> = mounts.map(|(object, _)| object.descriptor().name).collect();
        write!(f, "HttpFactory({})", names.join(", "))
    }
}
