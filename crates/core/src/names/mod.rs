//! Host names: what one may look like, who looks it up, and in which order its addresses are tried. Asks no server
//! itself and opens nothing.
//!
//! A name is looked up by the [`NameResolver`] of its reactor: the operating system's (`tress_os::SystemResolver`),
//! which `tress::reactor()` installs, or any other. Source: Twisted's `internet/_resolver.py` and `HostnameEndpoint`.

mod host;
mod order;

pub use host::{BadHostName, HostName};
pub(crate) use order::interleave;

use crate::{deferred::Deferred, reactor::Reactor};
use std::{net::SocketAddr, rc::Rc, time::Duration};

/// How long an address has for itself before the next is tried beside it: the recommended value of RFC 8305, section
/// 8. An address that fails earlier is followed at once. (Twisted: 300 ms, and never earlier.)
pub const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Looks up host names for a reactor.
pub trait NameResolver: 'static {
    /// The addresses of `name`, each with `port`, in the order of preference. No address at all is a failure to whoever
    /// asked; it need not be one here.
    ///
    /// Cancelling the Deferred gives the lookup up. It need not have a time limit of its own: whoever asks has one.
    /// At most 64 different addresses are tried.
    fn lookup(&self, reactor: &Reactor, name: &HostName, port: u16) -> Deferred<Vec<SocketAddr>>;
}

impl Reactor {
    /// Looks up host names with `resolver` from now on. Without one, an endpoint with a host name is an error.
    pub fn set_name_resolver(&self, resolver: impl NameResolver) {
        let old = self.0.names.borrow_mut().replace(Rc::new(resolver));
        // It may be anybody's code: nothing is borrowed while it goes.
        drop(old);
    }

    pub(crate) fn name_resolver(&self) -> Option<Rc<dyn NameResolver>> {
        self.0.names.borrow().clone()
    }
}

#[cfg(test)]
mod tests;
