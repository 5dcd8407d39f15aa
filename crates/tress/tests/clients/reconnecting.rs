//! When `Reconnecting` tries again, and what ends it.

use crate::world::World;
use std::{cell::RefCell, rc::Rc, time::Duration};
use tress::{Jitter, ReconnectPolicy, Retries, Time, prelude::*};

/// 1 s, 2 s, 4 s, at most 5 s, exactly.
const POLICY: ReconnectPolicy = ReconnectPolicy {
    initial_delay: Duration::from_secs(1),
    factor: 2.0,
    jitter: Jitter::None,
    max_delay: Duration::from_secs(5),
    max_retries: None,
};

const AN_HOUR: Duration = Duration::from_secs(3600);

/// When attempts began.
#[derive(Clone, Default)]
struct Attempts(Rc<RefCell<Vec<Time>>>);

impl Attempts {
    /// The seconds between them.
    fn waits(&self) -> Vec<f64> {
        let at = self.0.borrow();
        let pairs = at.windows(2);
        pairs
            .map(|pair| pair[1].since(pair[0]).as_secs_f64())
            .collect()
    }
}

impl World {
    fn reconnect(&self, to: &str, policy: ReconnectPolicy) -> (Connector, Retries, Attempts) {
        let attempts = Attempts::default();
        let (at, network) = (attempts.clone(), self.network.clone());
        let mut recorder = self.recorder();
        recorder.on_started = Some(Box::new(move |_| at.0.borrow_mut().push(network.now())));
        let factory = Reconnecting::with_policy(policy, recorder);
        let retries = factory.retries();
        (self.client.connect_client(to, factory), retries, attempts)
    }
}

#[test]
fn retries_come_later_and_later_up_to_the_longest_delay() {
    let world = World::new();
    let (_, _, attempts) = world.reconnect("bad", POLICY);
    world.pass(Duration::from_secs(17));
    assert_eq!(attempts.waits(), [1.0, 2.0, 4.0, 5.0, 5.0]);
    assert_eq!(world.log.count("start"), 1);
    assert_eq!(world.log.count("stop"), 0, "it is not stopped in between");
}

#[test]
fn the_default_delays_are_twisteds_scattered_and_replayed() {
    let waits = |_| {
        let world = World::new();
        let policy = ReconnectPolicy::default();
        let (_, _, attempts) = world.reconnect("bad", policy);
        world.pass(AN_HOUR);
        attempts.waits()
    };
    let [first, again] = [0, 1].map(waits);
    assert_eq!(first, again);
    assert!(first.len() >= 7, "{first:?}");
    let mut expected = 1.0;
    for wait in &first[..6] {
        assert!((wait / expected - 1.0).abs() < 0.5, "{first:?}");
        expected *= std::f64::consts::E;
    }
}

#[test]
fn retries_end_after_the_last_and_the_factory_is_stopped() {
    let world = World::new();
    let policy = ReconnectPolicy {
        max_retries: Some(2),
        ..POLICY
    };
    world.reconnect("bad", policy);
    world.idle();
    let once = "connecting, failed bad endpoint";
    let told = format!("start, {once}, {once}, {once}, stop");
    assert_eq!(world.log.take(), told);
}

#[test]
fn a_connection_starts_the_delays_from_the_beginning() {
    let world = World::new();
    let (connector, _, attempts) = world.reconnect("tcp:10.0.0.1:7", POLICY);
    world.pass(Duration::from_secs(4));
    world.server();
    world.pass(Duration::from_secs(10));
    assert!(connector.is_connected());
    world.keeper.close();
    world.pass(Duration::from_secs(2));
    assert!(connector.is_connected());
    let waits: Vec<_> = attempts.waits().iter().map(|wait| wait.round()).collect();
    assert_eq!(waits[..3], [1.0, 2.0, 4.0]);
    let ended = world.log.take();
    assert!(
        ended.ends_with("ended, lost cleanly, connecting, build, made"),
        "{ended}"
    );
}

#[test]
fn reset_delay_counts_for_the_next_retry() {
    let world = World::new();
    let (_, retries, attempts) = world.reconnect("bad", POLICY);
    world.pass(Duration::from_secs(4));
    retries.reset_delay();
    world.pass(Duration::from_secs(6));
    assert_eq!(attempts.waits(), [1.0, 2.0, 4.0, 1.0, 2.0]);
}

#[test]
fn stop_trying_drops_the_retry_that_waits() {
    let world = World::new();
    let (_, retries, _) = world.reconnect("bad", POLICY);
    world.until("failed bad endpoint");
    world.log.take();
    retries.stop_trying();
    assert_eq!(world.log.take(), "stop");
    retries.reset_delay();
    world.pass(AN_HOUR);
    assert_eq!(world.log.take(), "");
}

#[test]
fn stop_trying_gives_up_an_attempt() {
    let world = World::new();
    let (_, retries, _) = world.reconnect("tcp:10.9.9.9:7", POLICY);
    world.pass(Duration::from_secs(1));
    retries.stop_trying();
    world.idle();
    let told = "start, connecting, failed cancelled, stop";
    assert_eq!(world.log.take(), told);
}

#[test]
fn stop_trying_leaves_a_living_connection_alone() {
    let world = World::new();
    let (connector, retries, attempts) = world.reconnect(world.server(), POLICY);
    world.idle();
    retries.stop_trying();
    world.idle();
    assert!(connector.is_connected());
    connector.disconnect();
    world.pass(AN_HOUR);
    assert!(world.log.take().ends_with("ended, lost cleanly, stop"));
    assert_eq!(attempts.waits(), [0.0; 0]);
}

#[test]
fn a_reactor_that_stops_is_not_kept_by_retries_and_can_run_again() {
    let world = World::new();
    world.reconnect("bad", POLICY);
    world.until("failed bad endpoint");
    let (connector, _, _) = world.reconnect(world.server(), POLICY);
    world.pass(Duration::from_millis(100));
    assert!(connector.is_connected());
    world.log.take();

    world.client.start().unwrap();
    world.client.stop().unwrap();
    world.pass(AN_HOUR);
    assert!(!world.client.is_running());
    assert_eq!(world.log.take(), "stop, ended, lost cleanly, stop");

    world.client.start().unwrap();
    connector.connect();
    world.pass(Duration::from_millis(100));
    assert!(connector.is_connected());
    assert_eq!(world.log.take(), "start, connecting, build, made");
}
