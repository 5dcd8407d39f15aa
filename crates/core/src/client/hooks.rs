//! A client factory in its seat: its hooks without its type, and whether it has been started. Knows no connection.

use super::{ClientFactory, Connector};
use crate::failure::{Failure, Result};

/// A factory, and whether it has been started.
pub(super) struct Seat<F> {
    pub(super) factory: F,
    started: bool,
}

/// A [`ClientFactory`] whose type is forgotten. Starting and stopping what is started or stopped does nothing.
pub(super) trait Hooks {
    fn start(&mut self) -> Result;
    fn stop(&mut self);
    fn started_connecting(&mut self, connector: &Connector);
    fn client_connection_failed(&mut self, connector: &Connector, reason: Failure);
    fn client_connection_lost(&mut self, connector: &Connector, reason: Failure);
}

impl<F> Seat<F> {
    pub(super) fn new(factory: F) -> Self {
        Self {
            factory,
            started: false,
        }
    }
}

impl<F: ClientFactory> Hooks for Seat<F> {
    fn start(&mut self) -> Result {
        if !self.started {
            self.factory.start_factory()?;
            self.started = true;
        }
        Ok(())
    }
    fn stop(&mut self) {
        if std::mem::take(&mut self.started) {
            self.factory.stop_factory();
        }
    }
    fn started_connecting(&mut self, connector: &Connector) {
        self.factory.started_connecting(connector);
    }
    fn client_connection_failed(&mut self, connector: &Connector, reason: Failure) {
        self.factory.client_connection_failed(connector, reason);
    }
    fn client_connection_lost(&mut self, connector: &Connector, reason: Failure) {
        self.factory.client_connection_lost(connector, reason);
    }
}
