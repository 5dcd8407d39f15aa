//! Order, failures and the bound. Time is a manual clock.

use super::*;
use tress_core::{Resolver, testing::memory::Table};

type Log = Rc<RefCell<Vec<String>>>;

/// A service that writes down what happens to it.
struct Noted {
    name: &'static str,
    log: Log,
    fails: bool,
    /// Fires when it has stopped; at once when there is nothing here.
    stops: Option<Deferred<()>>,
}

impl Service for Noted {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn start(&mut self, _reactor: &Reactor) -> Result {
        self.log.borrow_mut().push(format!("+{}", self.name));
        if self.fails {
            return Err(Failure::msg("no"));
        }
        Ok(())
    }

    fn reload(&mut self) {
        self.log.borrow_mut().push(format!("?{}", self.name));
    }

    fn stop(&mut self) -> Deferred<()> {
        self.log.borrow_mut().push(format!("-{}", self.name));
        self.stops.take().unwrap_or_else(|| Deferred::succeed(()))
    }
}

const BOUND: Duration = Duration::from_secs(5);

/// Three services; `slow` stops when its resolver fires.
fn three(fails: Option<&str>, slow: Option<&str>) -> (MultiService, Log, Option<Resolver<()>>) {
    let log = Log::default();
    let mut services = MultiService::new();
    let mut resolver = None;
    for name in ["a", "b", "c"] {
        let mut stops = None;
        if slow == Some(name) {
            let (fires, deferred) = Deferred::pair();
            resolver = Some(fires);
            stops = Some(deferred);
        }
        services.add(Noted {
            name,
            log: Rc::clone(&log),
            fails: fails == Some(name),
            stops,
        });
    }
    (services, log, resolver)
}

#[track_caller]
fn check(log: &Log, expected: &str) {
    assert_eq!(log.borrow().join(" "), expected);
}

#[test]
fn they_start_in_order_and_stop_in_reverse_order() {
    let table = Table::new();
    let (mut services, log, _) = three(None, None);
    assert_eq!(services.len(), 3);
    services.start(table.reactor(), BOUND).unwrap();
    services.reload();
    services
        .stop(table.reactor(), BOUND)
        .try_result()
        .unwrap()
        .unwrap();
    check(&log, "+a +b +c ?a ?b ?c -c -b -a");
    assert!(services.is_empty());
}

#[test]
fn what_had_started_is_stopped_when_one_fails() {
    let table = Table::new();
    let (mut services, log, _) = three(Some("c"), None);
    let error = services.start(table.reactor(), BOUND).unwrap_err();
    assert_eq!(error.to_string(), "cannot start c: no");
    check(&log, "+a +b +c -b -a");
}

#[test]
fn each_waits_for_the_one_that_started_after_it() {
    let table = Table::new();
    let (mut services, log, slow) = three(None, Some("b"));
    services.start(table.reactor(), BOUND).unwrap();
    let stopped = services.stop(table.reactor(), BOUND);
    table.advance(Duration::from_secs(4));
    check(&log, "+a +b +c -c -b");
    slow.unwrap().resolve(());
    check(&log, "+a +b +c -c -b -a");
    stopped.try_result().unwrap().unwrap();
    assert_eq!(table.reactor().next_deadline(), None);
}

#[test]
fn one_that_does_not_stop_holds_the_others_up_in_bounded_time() {
    let table = Table::new();
    let (mut services, log, slow) = three(None, Some("b"));
    services.start(table.reactor(), BOUND).unwrap();
    let stopped = services.stop(table.reactor(), BOUND);
    let warned = crate::testing::logged(|| table.advance(BOUND));
    check(&log, "+a +b +c -c -b -a");
    stopped.try_result().unwrap().unwrap();
    assert!(
        warned.len() == 1 && warned[0].contains("b did not stop"),
        "{warned:?}"
    );
    drop(slow);
}

#[test]
fn a_client_service_is_one_and_is_waited_for() {
    struct Quiet;
    impl tress_core::Protocol for Quiet {}
    let table = Table::new();
    let port = table.reactor().listen("tcp:7", || Quiet);
    port.expect("the table is empty");
    let client = ClientService::new(table.reactor(), "tcp:192.0.2.2:7", || Quiet).unwrap();
    let (mut services, log, _) = three(None, None);
    services.add(client.clone());
    services.start(table.reactor(), BOUND).unwrap();
    table.settle();
    let connected = client.when_connected(None).try_result();
    assert!(connected.is_ok_and(|connected| connected.is_ok()));
    assert!(format!("{services:?}").contains("client of `tcp:192.0.2.2:7`"));
    let stopped = services.stop(table.reactor(), BOUND);
    check(&log, "+a +b +c");
    table.settle();
    stopped.try_result().unwrap().unwrap();
    check(&log, "+a +b +c -c -b -a");
}
