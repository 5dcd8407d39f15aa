//! Who is told, of what, and how often.

use crate::{
    Deferred, EventType, Phase, Protocol, Reactor, Result, Transport,
    testing::memory::{Table, Tester},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// A loop that waits, and counts how often it is woken.
#[derive(Default)]
struct Host(AtomicU32);

impl Wake for Host {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Host {
    fn rest(self: &Arc<Self>, reactor: &Reactor) -> Option<Duration> {
        reactor.rest(Some(&Waker::from(Arc::clone(self))))
    }

    #[track_caller]
    fn check(&self, woken: u32) {
        assert_eq!(self.0.load(Ordering::Relaxed), woken);
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

fn turn(reactor: &Reactor) {
    let turned = reactor.turn(Some(Duration::ZERO));
    turned.expect("a turn in memory cannot fail");
}

/// What is asked of a connection between turns wakes the host, once for all that is asked up to the next turn.
#[test]
fn what_is_asked_of_a_connection_wakes_once() {
    let asked: [fn(&Transport); 4] = [
        |transport| transport.write(b"x"),
        |transport| transport.lose_connection(),
        |transport| transport.abort_connection(),
        |transport| transport.pause_producing(),
    ];
    for ask in asked {
        let (tester, host) = (Tester::new(Echo), Arc::new(Host::default()));
        let reactor = tester.reactor();
        assert_ne!(host.rest(reactor), Some(Duration::ZERO));
        host.check(0);
        ask(tester.transport());
        host.check(1);
        tester.transport().write(b"more");
        host.check(1);
        assert_eq!(host.rest(reactor), Some(Duration::ZERO), "it must turn");
        turn(reactor);
        assert_ne!(host.rest(reactor), Some(Duration::ZERO));
        host.check(1);
    }
}

/// Only what is due before the host would turn anyway wakes it.
#[test]
fn an_earlier_deadline_wakes() {
    let (table, host) = (Table::new(), Arc::new(Host::default()));
    let reactor = table.reactor();
    assert_eq!(host.rest(reactor), None);
    let call = reactor.call_later(5 * SECOND, || ());
    host.check(1);
    assert_eq!(host.rest(reactor), Some(5 * SECOND));
    reactor.call_later(6 * SECOND, || ());
    call.reset(7 * SECOND).expect("it waits");
    host.check(1);
    assert_eq!(host.rest(reactor), Some(6 * SECOND));
    call.reset(SECOND).expect("it waits");
    host.check(2);
    call.reset(SECOND / 2).expect("it waits");
    host.check(2);
    assert_eq!(host.rest(reactor), Some(SECOND / 2));
    table.clock().advance(SECOND);
    assert_eq!(host.rest(reactor), Some(Duration::ZERO), "it is due");
    host.check(2);
}

#[test]
fn stopping_wakes() {
    let (table, host) = (Table::new(), Arc::new(Host::default()));
    let reactor = table.reactor();
    reactor.start().expect("it did not run");
    assert_eq!(host.rest(reactor), None);
    reactor.stop().expect("it runs");
    host.check(1);
    assert_eq!(host.rest(reactor), Some(Duration::ZERO));
    turn(reactor);
    assert!(!reactor.is_running());
    assert_eq!(host.rest(reactor), None);
}

/// A stop waits for what a trigger returned, which may be done between two turns.
#[test]
fn the_end_of_a_shutdown_trigger_wakes() {
    let (table, host) = (Table::new(), Arc::new(Host::default()));
    let reactor = table.reactor();
    let (resolver, waits) = Deferred::pair();
    reactor.add_system_event_trigger(Phase::Before, EventType::Shutdown, || waits);
    reactor.start().expect("it did not run");
    reactor.stop().expect("it runs");
    turn(reactor);
    assert_eq!(host.rest(reactor), Some(reactor.limits().shutdown));
    resolver.resolve(());
    host.check(1);
    assert_eq!(host.rest(reactor), Some(Duration::ZERO));
    turn(reactor);
    assert!(!reactor.is_running());
}

/// Whoever turns it until it rests sees a stop to its end, although the last connection ends in the turn before.
#[test]
fn a_stop_does_not_rest_half_way() {
    let (tester, host) = (Tester::new(Echo), Arc::new(Host::default()));
    let reactor = tester.reactor();
    reactor.start().expect("it did not run");
    reactor.stop().expect("it runs");
    while host.rest(reactor) == Some(Duration::ZERO) {
        turn(reactor);
    }
    assert!(!reactor.is_running());
}

/// Nobody is woken during a turn, as the host asks after it.
#[test]
fn a_turn_ends_the_rest() {
    let (tester, host) = (Tester::new(Echo), Arc::new(Host::default()));
    let reactor = tester.reactor();
    let (own, transport) = (reactor.clone(), tester.transport().clone());
    reactor.call_later(SECOND, move || {
        own.call_later(Duration::ZERO, || ());
        transport.write(b"from outside");
    });
    assert!(host.rest(reactor).is_some());
    tester.clock().advance(SECOND);
    turn(reactor);
    host.check(0);
    reactor.call_later(Duration::ZERO, || ());
    host.check(0);
    assert_eq!(host.rest(reactor), Some(Duration::ZERO));
}

/// Of two hosts, the one that asked last is told.
#[test]
fn the_last_host_is_woken() {
    let table = Table::new();
    let [first, last] = [Arc::new(Host::default()), Arc::new(Host::default())];
    assert_eq!(first.rest(table.reactor()), None);
    assert_eq!(last.rest(table.reactor()), None);
    table.reactor().call_later(SECOND, || ());
    first.check(0);
    last.check(1);
}
