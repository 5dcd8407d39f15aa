//! Connecting to host names: which address is tried when, and what is left behind, on a clock set by hand.

mod model;
mod world;

use crate::{
    client::{ClientCallbacks, ClientCreator, Jitter, ReconnectPolicy, Reconnecting},
    deferred::Deferred,
    endpoint::{BadEndpoint, Side},
    error::{
        Abandoned, Cancelled, ConnectError, ConnectingCancelled, DnsLookupError, NoAddressWorked,
        NoProtocol, NotRunning, Panicked, ReactorGone, TimedOut,
    },
    failure::{Failure, Result},
    names::{HostName, NameResolver},
    reactor::Reactor,
    testing::{ManualClock, logged, memory::MemoryDriver},
};
use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};
use world::{Outcome, Outcome::*, Quiet, World};

const TO: &str = "tcp:host.example:80";

/// The name has these addresses, and this happens until nothing is left.
#[track_caller]
fn check(answer: &str, outcomes: &[(&str, Outcome)], expected: &str) {
    check_at("tcp:host.example:80", answer, outcomes, expected);
}

#[track_caller]
fn check_at(to: &str, answer: &str, outcomes: &[(&str, Outcome)], expected: &str) {
    let world = World::new(outcomes);
    world.connect(to).detach();
    assert_eq!(world.log.take(), "0 look up host.example:80");
    world.names.answer(answer);
    world.pass(60_000);
    assert_eq!(world.log.take(), expected);
    world.check_nothing_left();
}

#[test]
fn families_take_turns_and_each_address_has_250_ms_for_itself() {
    check_at(
        "tcp:host.example:80:timeout=1",
        "61 62 63 41 42",
        &[],
        "0 try 61, 250 try 41, 500 try 62, 750 try 42, \
         1000 close 61, 1000 close 41, 1000 close 62, 1000 close 42, \
         1000 failed: connecting to host.example:80: [::1]:80: no answer; 192.0.2.1:80: no answer; \
         [::2]:80: no answer; 192.0.2.2:80: no answer; 1 not tried: connecting timed out after 1s",
    );
    check(
        "41 61",
        &[("61", Accepts(10))],
        "0 try 41, 250 try 61, 260 close 41, 260 build 61, 260 ok, 260 close 61",
    );
}

#[test]
fn an_address_that_answers_in_time_is_the_only_one_tried() {
    check(
        "61 41",
        &[("61", Accepts(249)), ("41", Accepts(0))],
        "0 try 61, 249 build 61, 249 ok, 249 close 61",
    );
    check(
        "41",
        &[("41", Accepts(5_000))],
        "0 try 41, 5000 build 41, 5000 ok, 5000 close 41",
    );
}

#[test]
fn the_winner_leaves_no_timed_call_behind() {
    let world = World::new(&[("61", Accepts(10))]);
    world.connect(TO).detach();
    world.names.answer("61 41");
    world.pass(10);
    world.check_nothing_left();
}

#[test]
fn only_an_address_that_has_one_after_it_is_timed() {
    let world = World::new(&[("41", Refuses(10))]);
    let timers = || world.reactor.statistics().timers;
    let connecting = world.connect(TO);
    assert_eq!(timers(), 1, "the timeout");
    world.names.answer("41 61 62");
    assert_eq!(timers(), 2);
    world.pass(10);
    assert_eq!(timers(), 2, "two are left, one of which waits");
    world.pass(250);
    assert_eq!(timers(), 1);
    connecting.cancel();
    world.check_nothing_left();
}

#[test]
fn a_failure_starts_the_next_at_once_and_its_time_from_the_beginning() {
    check(
        "61 41 62 42",
        &[("61", Refuses(10)), ("42", Accepts(40))],
        "0 try 61, 10 try 41, 260 try 62, 510 try 42, \
         550 close 41, 550 close 62, 550 build 42, 550 ok, 550 close 42",
    );
    // Any of those that run, not only the last.
    check(
        "61 41 62",
        &[("61", Refuses(300)), ("62", Accepts(1))],
        "0 try 61, 250 try 41, 300 try 62, 301 close 41, 301 build 62, 301 ok, 301 close 62",
    );
}

#[test]
fn what_cannot_even_begin_takes_no_time() {
    check(
        "61 41 62",
        &[("61", Fails), ("41", Fails), ("62", Accepts(3))],
        "0 try 61, 0 try 41, 0 try 62, 3 build 62, 3 ok, 3 close 62",
    );
    check(
        "61 41",
        &[("61", Fails), ("41", Fails)],
        "0 try 61, 0 try 41, 0 failed: no address of host.example:80 worked: \
         [::1]:80: could not connect: no route; 192.0.2.1:80: could not connect: no route",
    );
}

#[test]
fn an_early_address_may_still_win() {
    check(
        "61 41 62",
        &[("61", Accepts(600)), ("41", Accepts(1_000))],
        "0 try 61, 250 try 41, 500 try 62, \
         600 close 41, 600 close 62, 600 build 61, 600 ok, 600 close 61",
    );
}

#[test]
fn when_two_are_there_at_once_one_protocol_is_built() {
    check(
        "61 41",
        &[("61", Accepts(300)), ("41", Accepts(50))],
        "0 try 61, 250 try 41, 300 close 41, 300 build 61, 300 ok, 300 close 61",
    );
}

#[test]
fn failures_are_told_in_the_order_in_which_the_addresses_were_tried() {
    check(
        "61 41 62",
        &[("61", Refuses(700)), ("41", Refuses(100)), ("62", Fails)],
        "0 try 61, 250 try 41, 350 try 62, 700 failed: no address of host.example:80 worked: \
         [::1]:80: could not connect: refused; 192.0.2.1:80: could not connect: refused; \
         [::2]:80: could not connect: no route",
    );
}

#[test]
fn no_address_is_a_failure_that_names_the_host() {
    check(
        "",
        &[],
        "0 failed: connecting to host.example:80: cannot look up `host.example`: it has no address",
    );
}

/// What connecting fails with, when `act` does this to it after so many milliseconds.
#[track_caller]
fn failure(answer: Option<&str>, after: u64, act: impl FnOnce(&World), expected: &str) -> Failure {
    let world = World::new(&[("61", Refuses(10))]);
    let connecting = world.reactor.connect(TO, || Quiet);
    let result = Rc::new(RefCell::new(None));
    let end = Rc::clone(&result);
    let log = world.log.clone();
    let connecting = connecting.add_both(move |made| {
        log.note("end");
        end.replace(made.err());
    });
    let canceller = connecting.canceller();
    if let Some(answer) = answer {
        world.names.answer(answer);
    }
    world.pass(after);
    act(&world);
    if result.borrow().is_none() {
        canceller.expect("it waits").cancel();
    }
    world.check_nothing_left();
    world.pass(100_000);
    assert_eq!(
        world.log.take(),
        format!("0 look up host.example:80{expected}")
    );
    world.check_nothing_left();
    result.take().expect("it has failed")
}

#[test]
fn a_cancel_in_each_state_ends_what_goes_on() {
    let cancel = |answer, after, expected| {
        let failure = failure(answer, after, |_| (), expected);
        assert!(
            failure.check::<ConnectingCancelled>().is_some(),
            "{failure}"
        );
        failure.to_string()
    };
    let text = cancel(None, 20, ", 20 forget host.example, 20 end");
    assert_eq!(
        text,
        "connecting to host.example:80: looking up its name: connecting was cancelled"
    );
    cancel(Some("41 62"), 100, ", 0 try 41, 100 close 41, 100 end");
    cancel(
        Some("61 41 62"),
        259,
        ", 0 try 61, 10 try 41, 259 close 41, 259 end",
    );
    let text = cancel(
        Some("61 41 62"),
        300,
        ", 0 try 61, 10 try 41, 260 try 62, 300 close 41, 300 close 62, 300 end",
    );
    assert_eq!(
        text,
        "connecting to host.example:80: [::1]:80: could not connect: refused; \
         192.0.2.1:80: no answer; [::2]:80: no answer: connecting was cancelled"
    );
}

#[test]
fn the_timeout_covers_the_lookup_and_all_attempts() {
    let late = |answer, expected| {
        let failure = failure(answer, 100_000, |_| (), expected);
        let late = failure.check::<TimedOut>().expect("it came too late");
        assert_eq!(late.after, Duration::from_secs(30));
    };
    late(None, ", 30000 forget host.example, 30000 end");
    late(Some("41"), ", 0 try 41, 30000 close 41, 30000 end");
    // The lookup has taken most of it.
    let world = World::new(&[]);
    world.connect("tcp:host.example:80:timeout=2").detach();
    world.pass(1_900);
    world.names.answer("61 41");
    world.pass(10_000);
    assert_eq!(
        world.log.take(),
        "0 look up host.example:80, 1900 try 61, 2000 close 61, \
         2000 failed: connecting to host.example:80: [::1]:80: no answer; 1 not tried: \
         connecting timed out after 2s"
    );
    world.check_nothing_left();
}

#[test]
fn a_reactor_that_stops_ends_each_state() {
    let stop = |answer, expected| {
        let stop = |world: &World| {
            world.reactor.start().expect("it does not run");
            world.reactor.stop().expect("it runs");
            world.settle();
        };
        let failure = failure(answer, 20, stop, expected);
        assert!(failure.check::<NotRunning>().is_some(), "{failure}");
    };
    stop(None, ", 20 forget host.example, 20 end");
    stop(Some("41 62"), ", 0 try 41, 20 close 41, 20 end");
    stop(
        Some("61 62 41"),
        ", 0 try 61, 10 try 41, 20 close 41, 20 end",
    );
}

#[test]
fn a_stop_ends_all_that_race_at_once() {
    let world = World::new(&[]);
    for _ in 0..2 {
        world.connect(TO).detach();
        world.names.answer("41 61");
    }
    world.connect(TO).detach();
    world.pass(300);
    world.log.take();
    world.reactor.start().expect("it does not run");
    world.reactor.stop().expect("it runs");
    world.settle();
    assert!(!world.reactor.is_running());
    let log = world.log.take();
    assert_eq!(log.matches("close").count(), 4, "{log}");
    assert_eq!(
        log.matches("the reactor is not running").count(),
        3,
        "{log}"
    );
    world.check_nothing_left();
}

#[test]
fn what_the_resolver_fails_with_connecting_fails_with() {
    let lookup = |act: fn(&World)| failure(None, 5, act, ", 5 end");
    let told = lookup(|world| {
        world.names.question().fail(DnsLookupError {
            name: "host.example".to_owned(),
            problem: "the server is down".to_owned(),
        });
    });
    assert!(told.check::<DnsLookupError>().is_some());
    assert_eq!(
        told.to_string(),
        "connecting to host.example:80: cannot look up `host.example`: the server is down"
    );
    let dropped = lookup(|world| drop(world.names.question()));
    assert!(dropped.check::<Abandoned>().is_some(), "{dropped}");
}

#[test]
fn an_answer_that_comes_too_late_reaches_nobody() {
    let world = World::new(&[]);
    let connecting = world.connect(TO);
    let question = world.names.question();
    connecting.cancel();
    world.log.take();
    question.resolve(vec![world::address("41")]);
    world.pass(1_000);
    assert_eq!(world.log.take(), "");
    world.check_nothing_left();
}

/// Answers at once, or does what a resolver should not.
struct AtOnce(fn() -> Deferred<Vec<SocketAddr>>);

impl NameResolver for AtOnce {
    fn lookup(&self, _: &Reactor, _: &HostName, _: u16) -> Deferred<Vec<SocketAddr>> {
        (self.0)()
    }
}

#[test]
fn a_resolver_may_answer_at_once_or_panic() {
    let end = |lookup, expected: &str| {
        let world = World::new(&[("41", Accepts(5))]);
        world.reactor.set_name_resolver(AtOnce(lookup));
        world.connect(TO).detach();
        world.pass(10);
        assert_eq!(world.log.take(), expected);
        world.check_nothing_left();
    };
    end(
        || Deferred::succeed(vec![world::address("41")]),
        "0 try 41, 5 build 41, 5 ok, 5 close 41",
    );
    end(
        || Deferred::fail(Cancelled),
        "0 failed: connecting to host.example:80: cancelled",
    );
    let panicked = Panicked("oh".to_owned());
    end(
        || panic!("oh"),
        &format!("0 failed: connecting to host.example:80: {panicked}"),
    );
}

#[test]
fn two_names_are_looked_up_side_by_side() {
    let world = World::new(&[("41", Accepts(1)), ("42", Accepts(1))]);
    world.connect("tcp:one.example:80").detach();
    world.connect("tcp:two.example:81").detach();
    let one = world.names.question();
    world.names.answer("42");
    world.pass(5);
    one.resolve(vec![world::address("41")]);
    world.pass(5);
    assert_eq!(
        world.log.take(),
        "0 look up one.example:80, 0 look up two.example:81, \
         0 try 42, 1 build 42, 1 ok, 1 close 42, 5 try 41, 6 build 41, 6 ok, 6 close 41"
    );
    world.check_nothing_left();
}

#[test]
fn a_factory_that_declines_ends_the_race() {
    let world = World::new(&[("61", Accepts(1))]);
    let nobody = |_: &crate::Address| None::<Quiet>;
    let connecting = world.reactor.connect(TO, nobody);
    world.names.answer("61 41");
    world.pass(1_000);
    let failure = connecting.try_result().expect("it has ended").unwrap_err();
    assert!(failure.check::<NoProtocol>().is_some(), "{failure}");
    assert_eq!(
        world.log.take(),
        "0 look up host.example:80, 0 try 61, 1 close 61"
    );
    world.check_nothing_left();
}

#[test]
fn a_reactor_that_is_dropped_meanwhile_leaves_nothing_waiting() {
    for answer in [None, Some("41 61")] {
        let world = World::new(&[]);
        let connecting = world.reactor.connect(TO, || Quiet);
        if let Some(answer) = answer {
            world.names.answer(answer);
        }
        let gone = world.reactor.downgrade();
        let World { reactor, names, .. } = world;
        drop(reactor);
        assert!(gone.upgrade().is_none());
        drop(names);
        let log = logged(|| {
            let failure = connecting.try_result().expect("it has ended").unwrap_err();
            let abandoned = failure.check::<Abandoned>().is_some();
            let gone = failure.check::<ReactorGone>().is_some();
            assert_eq!((abandoned, gone), (answer.is_some(), answer.is_none()));
        });
        assert_eq!(log, [""; 0]);
    }
}

#[test]
fn numbers_and_localhost_need_no_resolver() {
    for (to, tried) in [
        (r"tcp:\:\:1:80", "0 try 61"),
        ("tcp:192.0.2.1:80", "0 try 41"),
        ("tcp:localhost:80", "0 try 41"),
        ("tcp:LOCALHOST.:80", "0 try 41"),
    ] {
        let world = World::new(&[]);
        let connecting = world.connect(to);
        assert_eq!(world.log.take(), tried, "{to}");
        connecting.cancel();
        // One address needs no list.
        let ended = world.log.take();
        assert!(
            ended.ends_with("failed: connecting was cancelled"),
            "{ended}"
        );
        world.check_nothing_left();
    }
    let world = World::new(&[("41", Refuses(0))]);
    let connecting = world.reactor.connect("tcp:192.0.2.1:80", || Quiet);
    world.settle();
    let failure = connecting.try_result().expect("it has ended").unwrap_err();
    assert!(failure.check::<ConnectError>().is_some(), "{failure}");
    assert!(failure.check::<NoAddressWorked>().is_none());
}

#[test]
fn a_wrong_host_says_what_to_write() {
    let reactor = World::new(&[]).reactor;
    let check = |at: &str, side, problem: &str| {
        let checked = reactor.check_endpoint(at, side);
        let failure = checked.expect_err("it is wrong");
        let bad = failure
            .check::<BadEndpoint>()
            .expect("it is a bad endpoint");
        assert!(bad.problem.contains(problem), "{bad}");
    };
    check(
        "tcp:a b:80",
        Side::Client,
        "`a b` is no IP address and no host name: only letters",
    );
    check("tcp:256.1.1.1:80", Side::Client, "ends in a number");
    check(
        "tcp6:a.example:80",
        Side::Client,
        "write `tcp:a.example:80`",
    );
    check(
        "tcp:a.example:80:bindAddress=b.example",
        Side::Client,
        "an address of this machine",
    );
    check(
        "tcp:80:interface=a.example",
        Side::Server,
        "an address of this machine",
    );
    assert!(reactor.check_endpoint(TO, Side::Client).is_ok());
}

#[test]
fn without_a_resolver_a_host_name_is_an_error_that_says_so() {
    let reactor = Reactor::with(MemoryDriver::new(&ManualClock::new()));
    let connecting = reactor.connect(TO, || Quiet);
    let failure: Result<_> = connecting.try_result().expect("it fails at once");
    assert_eq!(
        failure.unwrap_err().to_string(),
        "endpoint `tcp:host.example:80`: `host.example` is no IP address, and this reactor has no \
         name resolver that could look it up"
    );
}

#[test]
fn every_kind_of_client_goes_this_way() {
    let world = World::new(&[("41", Accepts(1))]);
    ClientCreator::new(&world.reactor, || Quiet)
        .connect(TO)
        .detach();
    let connector = world
        .reactor
        .connect_client(TO, ClientCallbacks::new(|| Quiet));
    let policy = ReconnectPolicy {
        jitter: Jitter::None,
        ..ReconnectPolicy::default()
    };
    let reconnecting = Reconnecting::with_policy(policy, ClientCallbacks::new(|| Quiet));
    let retries = reconnecting.retries();
    world.reactor.connect_client(TO, reconnecting);
    world.settle();
    let asked = "0 look up host.example:80";
    assert_eq!(world.log.take(), [asked; 3].join(", "));
    // One is told no, and asks again a second later.
    world.names.answer("41");
    world.names.answer("41");
    world.names.answer("");
    world.pass(1_000);
    assert!(connector.is_connected());
    assert_eq!(
        world.log.take(),
        "0 try 41, 0 try 41, 1000 look up host.example:80"
    );
    retries.stop_trying();
    world.settle();
    assert_eq!(world.log.take(), "1000 forget host.example");
}
