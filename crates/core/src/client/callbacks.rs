//! `ClientCallbacks`: a client factory put together from closures. Decides nothing.

use super::{ClientFactory, Connector};
use crate::{
    address::Address,
    factory::{Factory, IntoFactory},
    failure::{Failure, Result},
};
use std::fmt;

/// A factory, and closures for what a [`ClientFactory`] is told; each that is not given does nothing.
///
/// ```
/// use tress_core::{Protocol, client::ClientCallbacks};
///
/// struct Quiet;
/// impl Protocol for Quiet {}
///
/// let factory = ClientCallbacks::new(|| Quiet)
///     .client_connection_failed(|connector, reason| {
///         println!("no connection to {}: {reason}", connector.destination());
///     });
/// ```
pub struct ClientCallbacks<F> {
    factory: F,
    started: Box<dyn FnMut(&Connector)>,
    failed: OnEnd,
    lost: OnEnd,
}

type OnEnd = Box<dyn FnMut(&Connector, Failure)>;

impl<F: Factory> ClientCallbacks<F> {
    /// Builds protocols as `factory` does.
    pub fn new<M>(factory: impl IntoFactory<M, Factory = F>) -> Self {
        Self {
            factory: factory.into_factory(),
            started: Box::new(|_| ()),
            failed: Box::new(|_, _| ()),
            lost: Box::new(|_, _| ()),
        }
    }

    /// Calls this for [`ClientFactory::started_connecting`].
    #[must_use]
    pub fn started_connecting(mut self, callback: impl FnMut(&Connector) + 'static) -> Self {
        self.started = Box::new(callback);
        self
    }

    /// Calls this for [`ClientFactory::client_connection_failed`].
    #[must_use]
    pub fn client_connection_failed(
        mut self,
        callback: impl FnMut(&Connector, Failure) + 'static,
    ) -> Self {
        self.failed = Box::new(callback);
        self
    }

    /// Calls this for [`ClientFactory::client_connection_lost`].
    #[must_use]
    pub fn client_connection_lost(
        mut self,
        callback: impl FnMut(&Connector, Failure) + 'static,
    ) -> Self {
        self.lost = Box::new(callback);
        self
    }
}

impl<F: Factory> Factory for ClientCallbacks<F> {
    type Protocol = F::Protocol;

    fn build_protocol(&mut self, peer: &Address) -> Option<F::Protocol> {
        self.factory.build_protocol(peer)
    }

    fn start_factory(&mut self) -> Result {
        self.factory.start_factory()
    }

    fn stop_factory(&mut self) {
        self.factory.stop_factory();
    }
}

impl<F: Factory> ClientFactory for ClientCallbacks<F> {
    fn started_connecting(&mut self, connector: &Connector) {
        (self.started)(connector);
    }

    fn client_connection_failed(&mut self, connector: &Connector, reason: Failure) {
        (self.failed)(connector, reason);
    }

    fn client_connection_lost(&mut self, connector: &Connector, reason: Failure) {
        (self.lost)(connector, reason);
    }
}

impl<F> fmt::Debug for ClientCallbacks<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCallbacks")
    }
}
