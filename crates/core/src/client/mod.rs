//! Clients that outlive one connection (`ClientService`, `ClientFactory`, `Connector`, `Reconnecting`), and those that do
//! not (`ClientCreator`).
//!
//! What a factory is told comes from the loop alone, never from inside what it asks, so no hook is ever re-entered.
//! Opens nothing itself. Source: Twisted's `internet/protocol.py` and `internet/base.py`.

mod callbacks;
mod connector;
mod creator;
mod hooks;
mod policy;
mod reconnecting;
mod service;

pub use callbacks::ClientCallbacks;
pub use connector::Connector;
pub use creator::ClientCreator;
pub use policy::{Jitter, ReconnectPolicy};
pub use reconnecting::{Reconnecting, Retries};
pub use service::ClientService;

use crate::{factory::Factory, failure::Failure, reactor::Reactor};

/// A factory that is told how its connection fares. All hooks have defaults that do nothing.
///
/// The order: `start_factory`, `started_connecting`; then `build_protocol` and the protocol's `connection_made`, or
/// `client_connection_failed`; the protocol's `connection_lost`, then `client_connection_lost`. A hook that calls
/// [`Connector::connect`] starts again from `started_connecting`; otherwise `stop_factory` follows. What
/// `start_factory` fails with, `client_connection_failed` is told at once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no client factory",
    label = "`ClientFactory` is not implemented for it",
    note = "for a factory or a closure: `ClientCallbacks::new(|| Echo)`; for a single protocol: `connect_protocol`"
)]
pub trait ClientFactory: Factory {
    /// A connection is being made.
    fn started_connecting(&mut self, connector: &Connector) {
        let _ = connector;
    }

    /// No connection came of it.
    fn client_connection_failed(&mut self, connector: &Connector, reason: Failure) {
        let _ = connector;
        drop(reason);
    }

    /// The connection has ended; its protocol knows already.
    fn client_connection_lost(&mut self, connector: &Connector, reason: Failure) {
        let _ = connector;
        drop(reason);
    }
}

impl Reactor {
    /// Connects to an endpoint (`tcp:127.0.0.1:8007`) and tells `factory` how it goes, from the next turn on: even
    /// that the endpoint is not one. The connector may be dropped; the connection goes on.
    pub fn connect_client(&self, to: &str, factory: impl ClientFactory) -> Connector {
        let connector = Connector::new(self, to, factory);
        connector.connect();
        connector
    }
}
