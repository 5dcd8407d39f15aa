//! `Reconnecting`: a client factory that connects again, each time a little later. Reads no clock, has no timer of its
//! own: the connector waits. How long is the policy's to say.

use super::{ClientFactory, Connector, ReconnectPolicy, connector::WeakConnector};
use crate::{
    address::Address,
    factory::Factory,
    failure::{Failure, Result},
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

/// A client factory around another, which connects again whenever the connection fails or is lost, at growing
/// intervals. A connection that is made starts them from the beginning.
///
/// The factory inside is told everything first; it may call [`Connector::connect`] itself, which then counts. It is
/// started once and stopped when no more is tried. Nothing is retried once the reactor closes everything to stop.
pub struct Reconnecting<F> {
    factory: F,
    retries: Retries,
}

/// The handle on what a [`Reconnecting`] still intends: cheap to clone, for protocols and everybody else.
#[derive(Clone)]
pub struct Retries(Rc<Shared>);

struct Shared {
    policy: ReconnectPolicy,
    /// Retries since the last connection, `None` when no more is tried.
    count: Cell<Option<u32>>,
    connector: RefCell<WeakConnector>,
}

impl<F: ClientFactory> Reconnecting<F> {
    /// Retries as [`ReconnectPolicy::default`] says.
    pub fn new(factory: F) -> Self {
        Self::with_policy(ReconnectPolicy::default(), factory)
    }

    /// Retries as `policy` says.
    pub fn with_policy(policy: ReconnectPolicy, factory: F) -> Self {
        Self {
            factory,
            retries: Retries(Rc::new(Shared {
                policy,
                count: Cell::new(Some(0)),
                connector: RefCell::default(),
            })),
        }
    }

    /// The handle with which the delay is reset and the trying is stopped.
    #[must_use]
    pub fn retries(&self) -> Retries {
        self.retries.clone()
    }
}

impl Retries {
    /// The next retry waits the initial delay again. A connection that is made does this by itself.
    pub fn reset_delay(&self) {
        if self.0.count.get().is_some() {
            self.0.count.set(Some(0));
        }
    }

    /// Tries no more: a retry that waits is dropped, an attempt is given up, a living connection is left alone.
    pub fn stop_trying(&self) {
        self.0.count.set(None);
        let connector = self.0.connector.borrow().upgrade();
        if let Some(connector) = connector {
            connector.stop_connecting();
        }
    }

    fn retry(&self, connector: &Connector) {
        let Some(count) = self.0.count.get() else {
            return;
        };
        let Ok(reactor) = connector.reactor() else {
            return;
        };
        let to = connector.destination();
        match self.0.policy.delay(count, || reactor.entropy()) {
            Some(delay) => {
                self.0.count.set(Some(count.saturating_add(1)));
                tracing::info!(target: "tress", "connecting to {to} again in {delay:?}");
                connector.connect_later(delay);
            }
            None => {
                tracing::warn!(target: "tress", "gave up connecting to {to} after {count} retries")
            }
        }
    }
}

impl<F: ClientFactory> Factory for Reconnecting<F> {
    type Protocol = F::Protocol;

    fn build_protocol(&mut self, peer: &Address) -> Option<F::Protocol> {
        let protocol = self.factory.build_protocol(peer)?;
        self.retries.reset_delay();
        Some(protocol)
    }

    fn start_factory(&mut self) -> Result {
        self.factory.start_factory()
    }

    fn stop_factory(&mut self) {
        self.factory.stop_factory();
    }
}

impl<F: ClientFactory> ClientFactory for Reconnecting<F> {
    fn started_connecting(&mut self, connector: &Connector) {
        self.retries.0.connector.replace(connector.downgrade());
        self.factory.started_connecting(connector);
    }

    fn client_connection_failed(&mut self, connector: &Connector, reason: Failure) {
        self.factory.client_connection_failed(connector, reason);
        self.retries.retry(connector);
    }

    fn client_connection_lost(&mut self, connector: &Connector, reason: Failure) {
        self.factory.client_connection_lost(connector, reason);
        self.retries.retry(connector);
    }
}

impl<F> fmt::Debug for Reconnecting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reconnecting({:?})", self.retries)
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.count.get() {
            Some(count) => write!(f, "Retries({count} so far)"),
            None => f.write_str("Retries(stopped)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Protocol, Transport,
        client::{ClientCallbacks, Jitter},
        testing::memory::Table,
    };
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);
    const AT: &str = "tcp:80:interface=192.0.2.2";
    const TO: &str = "tcp:192.0.2.2:80";

    /// Both ends; keeps the last transport, if it is told to.
    #[derive(Clone, Default)]
    struct End(Rc<RefCell<Option<Transport>>>);

    impl Protocol for End {
        fn connection_made(&mut self, transport: &Transport) -> Result {
            self.0.replace(Some(transport.clone()));
            Ok(())
        }
    }

    /// It waits 1, 2, 4 s while nobody listens, and 1 s again after the connection.
    #[test]
    fn a_connection_starts_the_delays_from_the_beginning() {
        let (table, failures) = (Table::new(), Rc::new(Cell::new(0)));
        let policy = ReconnectPolicy {
            initial_delay: SECOND,
            factor: 2.0,
            jitter: Jitter::None,
            ..ReconnectPolicy::default()
        };
        let count = Rc::clone(&failures);
        let factory = ClientCallbacks::new(End::default)
            .client_connection_failed(move |_, _| count.set(count.get() + 1));
        let factory = Reconnecting::with_policy(policy, factory);
        let reactor = table.reactor();
        reactor.connect_client(TO, factory);
        table.advance(3 * SECOND);
        assert_eq!(failures.get(), 3);

        let server = End::default();
        let built = server.clone();
        let port = reactor.listen(AT, move || built.clone());
        table.advance(4 * SECOND);
        port.expect("nobody else listens there").stop_listening();
        let connection = server.0.take().expect("it is there");
        connection.abort_connection();
        table.advance(SECOND);
        assert_eq!(failures.get(), 4);
    }
}
