//! Order, failures and the bound; what is tried again, and when. Time is a manual clock.

use super::*;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use tress_core::{
    Failure, Resolver,
    client::ReconnectPolicy,
    restart::{Intensity, RestartPolicy},
    testing::memory::Table,
};

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
const SECOND: Duration = Duration::from_secs(1);

/// Three services; `slow` stops when its resolver fires.
fn three(fails: Option<&str>, slow: Option<&str>) -> (MultiService, Log, Option<Resolver<()>>) {
    let log = Log::default();
    let mut services = MultiService::new("three").with_bound(BOUND);
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

fn noted(name: &'static str, log: &Log) -> Noted {
    Noted {
        name,
        log: Rc::clone(log),
        fails: false,
        stops: None,
    }
}

#[track_caller]
fn check(log: &Log, expected: &str) {
    assert_eq!(log.borrow().join(" "), expected);
}

fn is_done(deferred: Deferred<()>) -> bool {
    deferred.try_result().is_ok()
}

/// Tells whether it has fired, whatever with.
fn watched(deferred: Deferred<()>) -> impl Fn() -> bool {
    let fired = Rc::new(Cell::new(false));
    let fires = Rc::clone(&fired);
    deferred.add_both(move |_| fires.set(true)).detach();
    move || fired.get()
}

#[test]
fn they_start_in_order_and_stop_in_reverse_order() {
    let table = Table::new();
    let (mut services, log, _) = three(None, None);
    assert_eq!(services.len(), 3);
    services.stop().try_result().unwrap().unwrap();
    services.start(table.reactor()).unwrap();
    services.start(table.reactor()).unwrap();
    services.reload();
    services.stop().try_result().unwrap().unwrap();
    services.stop().try_result().unwrap().unwrap();
    check(&log, "+a +b +c ?a ?b ?c -c -b -a");
    // And once more.
    log.take();
    services.start(table.reactor()).unwrap();
    services.stop().try_result().unwrap().unwrap();
    check(&log, "+a +b +c -c -b -a");
}

#[test]
fn what_had_started_is_stopped_when_one_fails() {
    let table = Table::new();
    let (mut services, log, _) = three(Some("c"), None);
    let error = services.start(table.reactor()).unwrap_err();
    assert_eq!(
        error.check::<CannotStart>().unwrap().to_string(),
        "cannot start c: no"
    );
    check(&log, "+a +b +c -b -a");
    services.stop().try_result().unwrap().unwrap();
    check(&log, "+a +b +c -b -a");
}

#[test]
fn what_is_added_later_starts_with_the_next_start_and_fails_alone() {
    let table = Table::new();
    let (mut services, log, _) = three(None, None);
    services.start(table.reactor()).unwrap();
    services.add(noted("d", &log));
    services.add(Noted {
        fails: true,
        ..noted("e", &log)
    });
    services.start(table.reactor()).unwrap_err();
    check(&log, "+a +b +c +d +e -d");
    log.take();
    services.remove("e").unwrap().detach();
    services.start(table.reactor()).unwrap();
    services.remove("b").unwrap().detach();
    assert!(services.remove("b").is_none());
    services.stop().detach();
    check(&log, "+d -b -d -c -a");
    assert_eq!(services.names(), ["a", "c", "d"]);
}

#[test]
fn services_can_be_in_services() {
    let table = Table::new();
    let (mut inner, log, _slow) = three(None, Some("b"));
    let (_resolver, never) = Deferred::pair();
    inner.remove("a").unwrap().detach();
    inner.add(Noted {
        stops: Some(never),
        ..noted("d", &log)
    });
    let mut outer = MultiService::new("outer").with_bound(SECOND);
    outer.add(noted("first", &log));
    outer.add(inner);
    outer.add(noted("last", &log));
    outer.start(table.reactor()).unwrap();
    let stopped = watched(outer.stop());
    check(&log, "+first +b +c +d +last -last -d");
    assert_eq!(outer.health(), Health::Stopping);
    outer.start(table.reactor()).unwrap_err();
    // The bound of the outer one counts, whatever that of the inner one is, which goes on by itself.
    let warned = crate::testing::logged(|| table.advance(SECOND));
    check(&log, "+first +b +c +d +last -last -d -c -b -first");
    assert!(stopped());
    assert!(
        warned
            .iter()
            .any(|line| line.contains("three did not stop")),
        "{warned:?}"
    );
    outer.start(table.reactor()).unwrap_err();
    table.advance(BOUND);
    outer.start(table.reactor()).unwrap();
}

#[test]
fn each_waits_for_the_one_that_started_after_it() {
    let table = Table::new();
    let (mut services, log, slow) = three(None, Some("b"));
    services.start(table.reactor()).unwrap();
    let stopped = services.stop();
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
    services.start(table.reactor()).unwrap();
    let stopped = services.stop();
    let warned = crate::testing::logged(|| table.advance(BOUND));
    check(&log, "+a +b +c -c -b -a");
    stopped.try_result().unwrap().unwrap();
    assert!(
        warned.len() == 1 && warned[0].contains("b did not stop"),
        "{warned:?}"
    );
    drop(slow);
}

struct Quiet;
impl Protocol for Quiet {}

#[test]
fn a_client_service_is_one_and_is_waited_for() {
    let table = Table::new();
    let port = table.reactor().listen("tcp:7", || Quiet);
    port.expect("the table is empty");
    let client = ClientService::new(table.reactor(), "tcp:192.0.2.2:7", || Quiet).unwrap();
    let (mut services, log, _) = three(None, None);
    services.add(client.clone());
    services.start(table.reactor()).unwrap();
    table.settle();
    let connected = client.when_connected(None).try_result();
    assert!(connected.is_ok_and(|connected| connected.is_ok()));
    assert!(format!("{services:?}").contains("client of `tcp:192.0.2.2:7`"));
    let stopped = services.stop();
    check(&log, "+a +b +c");
    table.settle();
    stopped.try_result().unwrap().unwrap();
    check(&log, "+a +b +c -c -b -a");
}

#[test]
fn a_client_that_gives_up_says_so_and_can_be_started_again() {
    let table = Table::new();
    let policy = ReconnectPolicy {
        max_retries: Some(1),
        ..ReconnectPolicy::service()
    };
    let client = ClientService::new(table.reactor(), "tcp:192.0.2.2:7", || Quiet);
    let client = client.unwrap().with_policy(policy);
    let mut services = MultiService::new("all");
    services.add(client.clone());
    services.start(table.reactor()).unwrap();
    table.settle();
    assert_eq!(services.health(), Health::Well);
    table.advance(SECOND * 2);
    assert_eq!(services.health(), Health::GivenUp);
    let _port = table.reactor().listen("tcp:7", || Quiet).unwrap();
    services.start(table.reactor()).unwrap();
    table.settle();
    assert_eq!(services.health(), Health::Well);
    assert!(client.when_connected(None).try_result().is_ok());
    services.stop().detach();
    table.settle();
    assert_eq!(services.health(), Health::Well);
}

#[test]
fn a_server_listens_while_it_runs() {
    let table = Table::new();
    let mut server = ServerService::new("tcp:7", || Quiet);
    assert!(server.port().is_none());
    server.start(table.reactor()).unwrap();
    server.start(table.reactor()).unwrap();
    let connecting = table.reactor().connect("tcp:192.0.2.2:7", || Quiet);
    table.settle();
    let connection = connecting.try_result().unwrap().unwrap();
    server.stop().try_result().unwrap().unwrap();
    table.settle();
    assert!(server.port().is_none() && connection.transport().is_closing());
    // Somebody else may have its address now.
    let taken = table.reactor().listen("tcp:7", || Quiet).unwrap();
    server.start(table.reactor()).unwrap_err();
    assert_eq!(server.health(), Health::Well);
    table.advance(SECOND);
    assert_eq!(
        table.reactor().next_deadline(),
        None,
        "it is not tried again"
    );
    taken.stop_listening();
    server.start(table.reactor()).unwrap();
    server.stop().detach();
    ServerService::new("tpc:7", || Quiet)
        .start(table.reactor())
        .unwrap_err();
}

fn three_a_minute() -> RestartPolicy {
    RestartPolicy {
        intensity: Some(Intensity {
            restarts: 3,
            period: SECOND * 60,
        }),
        ..RestartPolicy::default()
    }
}

#[test]
fn a_server_can_wait_for_its_address() {
    let table = Table::new();
    let taken = table.reactor().listen("tcp:7", || Quiet).unwrap();
    let mut server = ServerService::new("tcp:7", || Quiet).with_policy(three_a_minute());
    server.start(table.reactor()).unwrap();
    assert_eq!(server.health(), Health::Waiting);
    table.advance(SECOND);
    taken.stop_listening();
    table.settle();
    assert!(server.port().is_none(), "it waits two seconds now");
    table.advance(SECOND * 2);
    assert!(server.port().is_some());
    assert_eq!((server.health(), server.restarts()), (Health::Well, 2));
    server.stop().detach();
    table.settle();
    // What waits can be stopped, and what fails too often is given up.
    let taken = table.reactor().listen("tcp:7", || Quiet).unwrap();
    server.start(table.reactor()).unwrap();
    server.stop().detach();
    assert_eq!(table.reactor().next_deadline(), None);
    server.start(table.reactor()).unwrap();
    table.advance(SECOND);
    table.advance(SECOND * 2);
    table.advance(SECOND * 4);
    assert_eq!(
        (server.health(), table.reactor().next_deadline()),
        (Health::GivenUp, None)
    );
    taken.stop_listening();
    server.start(table.reactor()).unwrap();
    assert!(server.port().is_some());
    // No policy mends an endpoint that is none.
    let mut wrong = ServerService::new("tcp:x", || Quiet).with_policy(three_a_minute());
    wrong.start(table.reactor()).unwrap_err();
    assert_eq!(table.reactor().next_deadline(), None);
}

/// A timer that counts its calls, each failing while the cell says so.
fn timer(policy: RestartPolicy) -> (TimerService, Rc<Cell<u32>>, Rc<Cell<bool>>) {
    let (calls, fails) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (to_count, to_look) = (Rc::clone(&calls), Rc::clone(&fails));
    let service = TimerService::new("timer", SECOND * 10, move || {
        to_count.update(|calls| calls + 1);
        match to_look.get() {
            true => Err(Failure::msg("no")),
            false => Ok(()),
        }
    });
    (service.with_policy(policy), calls, fails)
}

#[test]
fn a_timer_calls_at_once_and_after_each_interval() {
    let table = Table::new();
    let (mut service, calls, _) = timer(RestartPolicy::default());
    service.start(table.reactor()).unwrap();
    service.start(table.reactor()).unwrap();
    assert_eq!(calls.get(), 1);
    for expected in 2..5 {
        table.advance(SECOND * 10);
        assert_eq!(calls.get(), expected);
    }
    assert!(is_done(service.stop()) && is_done(service.stop()));
    assert_eq!(
        (service.health(), table.reactor().next_deadline()),
        (Health::Well, None)
    );
    service.start(table.reactor()).unwrap();
    assert_eq!(calls.get(), 5);
}

#[test]
fn a_timer_that_fails_is_called_again_as_its_policy_says() {
    let table = Table::new();
    let (mut service, calls, fails) = timer(three_a_minute());
    service.start(table.reactor()).unwrap();
    fails.set(true);
    let said = crate::testing::logged(|| table.advance(SECOND * 10));
    assert_eq!(said[0], "ERROR timer: no");
    // It ran for longer than the threshold: it is called again at once, and fails again, now at the beginning.
    table.settle();
    assert_eq!(
        (calls.get(), service.health(), service.restarts()),
        (3, Health::Waiting, 2)
    );
    table.advance(SECOND);
    assert_eq!((calls.get(), service.restarts()), (4, 3));
    table.advance(SECOND * 2);
    assert_eq!((calls.get(), service.health()), (5, Health::GivenUp));
    table.advance(SECOND * 100);
    assert_eq!(calls.get(), 5);
    fails.set(false);
    service.start(table.reactor()).unwrap();
    table.advance(SECOND * 10);
    assert_eq!((calls.get(), service.health()), (7, Health::Well));
    fails.set(true);
    table.advance(SECOND * 10);
    table.settle();
    assert_eq!(service.health(), Health::Waiting);
    assert!(is_done(service.stop()));
    assert_eq!(table.reactor().next_deadline(), None);
}

#[test]
fn a_timer_that_stops_waits_for_the_call_that_is_being_made() {
    let table = Table::new();
    let open: Rc<RefCell<Vec<Resolver<()>>>> = Rc::default();
    let to_open = Rc::clone(&open);
    let mut service = TimerService::new("slow", SECOND, move || {
        let (resolver, waited) = Deferred::pair();
        to_open.borrow_mut().push(resolver);
        waited
    });
    service.start(table.reactor()).unwrap();
    table.advance(SECOND * 5);
    assert_eq!(open.borrow().len(), 1, "one call at a time");
    let (stopped, again) = (watched(service.stop()), watched(service.stop()));
    assert_eq!((stopped(), service.health()), (false, Health::Stopping));
    open.borrow_mut().pop().unwrap().resolve(());
    assert!(stopped() && again());
    assert_eq!(service.health(), Health::Well);
    // Started again while it stops, it goes on at its end; what is cancelled fails, which is no failure of the service.
    service.start(table.reactor()).unwrap();
    let stopped = service.stop();
    service.start(table.reactor()).unwrap();
    stopped.canceller().unwrap().cancel();
    assert!(is_done(stopped));
    table.settle();
    assert_eq!((open.borrow().len(), service.restarts()), (2, 0));
    service.stop().detach();
}

#[test]
fn a_timer_may_stop_itself_and_may_panic() {
    let table = Table::new();
    let own: Rc<RefCell<Option<TimerService>>> = Rc::default();
    let inside = Rc::clone(&own);
    let service = TimerService::new("once", SECOND, move || {
        if let Some(mut own) = inside.borrow().clone() {
            own.stop().detach();
        }
    });
    own.replace(Some(service.clone()));
    let mut service = service;
    service.start(table.reactor()).unwrap();
    assert_eq!(
        (service.health(), table.reactor().next_deadline()),
        (Health::Well, None)
    );
    own.take();
    let mut service = TimerService::new("panics", SECOND, || -> () { panic!("oh") });
    let said = crate::testing::logged(|| service.start(table.reactor()).unwrap());
    assert!(said[0].contains("oh"), "{said:?}");
    assert_eq!(service.health(), Health::Waiting);
    service.stop().detach();
}
