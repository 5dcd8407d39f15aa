//! `Reconnecting`: a client factory that connects again, each time a little later. Reads no clock, has no timer of its
//! own: the connector waits.

use super::{ClientFactory, Connector, connector::WeakConnector};
use crate::{
    address::Address,
    factory::Factory,
    failure::{Failure, Result},
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};

/// How long to wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReconnectPolicy {
    /// Before the first retry. (Twisted multiplies first: there the first retry waits `factor` times as long.)
    pub initial_delay: Duration,
    /// Each retry waits this many times as long as the one before; less than 1 counts as 1.
    pub factor: f64,
    /// How much delays scatter around that, so that a thousand clients do not return at once: the standard deviation
    /// of a normal distribution, relative to the delay. Zero for exact delays.
    pub jitter: f64,
    /// No retry waits longer, whatever the jitter. (In Twisted the jitter may exceed it.)
    pub max_delay: Duration,
    /// Retries in a row before it gives up; `None` means never. A connection starts the count again.
    pub max_retries: Option<u32>,
}

impl Default for ReconnectPolicy {
    /// Twisted's numbers: the factor is e, the jitter Planck's constant times the speed of light, per mole.
    fn default() -> Self {
        Self {
            initial_delay: Duration::from_secs(1),
            factor: std::f64::consts::E,
            jitter: 0.119_626_565_582,
            max_delay: Duration::from_secs(3600),
            max_retries: None,
        }
    }
}

impl ReconnectPolicy {
    /// How long to wait before this retry (the first is 0), given random bits; `None` when it gives up.
    fn delay(&self, retry: u32, entropy: impl FnMut() -> u64) -> Option<Duration> {
        if self.max_retries.is_some_and(|most| retry >= most) {
            return None;
        }
        let max = self.max_delay.as_secs_f64();
        let factor = self.factor.max(1.0);
        let mut delay = self.initial_delay.as_secs_f64().min(max);
        for _ in 0..retry {
            if delay >= max || delay <= 0.0 || factor <= 1.0 {
                break;
            }
            delay = (delay * factor).min(max);
        }
        if self.jitter > 0.0 {
            delay += delay * self.jitter * normal(entropy);
        }
        let delay = Duration::try_from_secs_f64(delay.max(0.0)).unwrap_or(self.max_delay);
        Some(delay.min(self.max_delay))
    }
}

/// A number of the standard normal distribution, near enough: the sum of twelve uniform ones, less its mean. It never
/// leaves six deviations, and unlike a logarithm it is the same on every machine, so that a simulation replays it.
fn normal(mut entropy: impl FnMut() -> u64) -> f64 {
    let mut sum = 0.0;
    for _ in 0..3 {
        for piece in entropy().to_le_bytes().chunks_exact(2) {
            sum += (f64::from(u16::from_le_bytes([piece[0], piece[1]])) + 0.5) / 65_536.0;
        }
    }
    sum - 6.0
}

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

    const EXACT: ReconnectPolicy = ReconnectPolicy {
        initial_delay: Duration::from_secs(1),
        factor: 2.0,
        jitter: 0.0,
        max_delay: Duration::from_secs(10),
        max_retries: Some(6),
    };

    #[track_caller]
    fn check(policy: ReconnectPolicy, seconds: &[u64]) {
        let delays = (0..).map_while(|retry| policy.delay(retry, || 0));
        let delays: Vec<_> = delays.take(seconds.len() + 1).collect();
        let expected: Vec<_> = seconds.iter().map(|s| Duration::from_secs(*s)).collect();
        assert_eq!(delays, expected);
    }

    #[test]
    fn delays_grow_from_the_initial_one_to_the_longest() {
        check(EXACT, &[1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn a_factor_that_makes_no_sense_is_no_busy_loop() {
        for (factor, seconds) in [(f64::NAN, [1, 1]), (f64::INFINITY, [1, 10]), (-1.0, [1, 1])] {
            let policy = ReconnectPolicy {
                factor,
                max_retries: Some(2),
                ..EXACT
            };
            check(policy, &seconds);
        }
    }

    #[test]
    fn jitter_scatters_as_much_as_it_says_and_never_beyond_the_longest_delay() {
        let policy = ReconnectPolicy::default();
        let mut state = 1_u64;
        let mut entropy = || {
            // SplitMix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let delays = (0..10_000).filter_map(|_| policy.delay(0, &mut entropy));
        let delays: Vec<f64> = delays.map(|delay| delay.as_secs_f64()).collect();
        let count = 10_000.0;
        let mean = delays.iter().sum::<f64>() / count;
        let variance = delays.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!(
            (variance.sqrt() - policy.jitter).abs() < 0.005,
            "{variance}"
        );
        let longest = (0..1000)
            .filter_map(|_| policy.delay(100, &mut entropy))
            .max();
        assert_eq!(longest, Some(policy.max_delay));
    }
}
