//! What the loop says in the log: who failed, who held it up, and how often it says so. And one factory at several
//! endpoints.

use crate::{
    Address, EventType, Factory, Failure, Phase, Port, Protocol, Result, SharedFactory, Transport,
    error::{CannotListen, NotListening},
    testing::{
        logged,
        memory::{Table, Tester},
    },
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// Does what it is told.
struct Obedient;

impl Protocol for Obedient {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        match data {
            b"fail" => Err(Failure::msg("as told")),
            b"panic" => panic!("as told"),
            _ => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        "obedient"
    }
}

#[test]
fn a_failure_is_logged_with_protocol_and_peer() {
    for (word, text) in [
        ("fail", "as told"),
        ("panic", "a callback panicked: as told"),
    ] {
        let lines = logged(|| Tester::new(Obedient).receive(word.as_bytes()));
        assert_eq!(lines.len(), 1, "{lines:?}");
        let expected = format!("ERROR obedient with 192.0.2.1:1 failed and is closed: {text} (at ");
        assert!(lines[0].starts_with(&expected), "{lines:?}");
    }
}

#[test]
fn a_stall_is_named_and_the_warning_is_rate_limited() {
    let lines = logged(|| {
        let tester = Tester::new(Obedient);
        let clock = tester.clock();
        let slow = move |by| {
            let clock = clock.clone();
            tester.with(move |_, _| clock.advance(Duration::from_millis(by)));
        };
        [5, 20, 30, 2000, 40].into_iter().for_each(slow);
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    let first = "WARN obedient held the loop for 20ms, longer than 10ms (the 1. such callback)";
    assert_eq!(lines[0], first);
    assert!(
        lines[1].contains("2s") && lines[1].contains("(the 3. such"),
        "{lines:?}"
    );
}

#[test]
fn a_detached_failure_is_logged_once_when_it_arrives() {
    let lines = logged(|| {
        let (resolver, deferred) = crate::Deferred::<()>::pair();
        drop(deferred.map(|()| ()));
        resolver.fail(Failure::msg("too late"));
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("ERROR unhandled failure in a Deferred")
            && lines[0].contains("too late")
    );
}

#[derive(Clone, Default)]
struct Counted {
    log: Rc<RefCell<Vec<&'static str>>>,
    fails: bool,
}

impl Factory for Counted {
    type Protocol = Obedient;

    fn build_protocol(&mut self, _: &Address) -> Option<Obedient> {
        self.log.borrow_mut().push("build");
        Some(Obedient)
    }

    fn start_factory(&mut self) -> Result {
        self.log.borrow_mut().push("start");
        if self.fails {
            return Err(Failure::msg("no"));
        }
        Ok(())
    }

    fn stop_factory(&mut self) {
        self.log.borrow_mut().push("stop");
    }
}

impl Counted {
    #[track_caller]
    fn check(&self, expected: &str) {
        assert_eq!(self.log.take().join(" "), expected);
    }
}

#[test]
fn one_factory_at_several_endpoints_is_started_once_and_stopped_once() {
    let (table, counted) = (Table::new(), Counted::default());
    let reactor = table.reactor();
    let ports = reactor.listen_all(["tcp:1", "tcp:0", "tcp:3"], counted.clone());
    let ports = ports.expect("they are free");
    let addresses = ports.iter().map(|port| port.local_address().to_string());
    let expected = ["0.0.0.0:1", "0.0.0.0:49152", "0.0.0.0:3"];
    assert!(addresses.eq(expected));
    counted.check("start");
    for port in [1, 3] {
        let to = format!("tcp:192.0.2.2:{port}");
        reactor.connect_protocol(&to, Obedient).detach();
    }
    table.settle();
    counted.check("build build");
    ports[2].stop_listening();
    ports[0].stop_listening();
    counted.check("");
    ports[1].stop_listening();
    ports[1].stop_listening();
    counted.check("stop");
    assert!(
        reactor
            .listen_all([""; 0], counted.clone())
            .is_ok_and(|ports| ports.is_empty())
    );
    counted.check("");
}

#[test]
fn all_endpoints_are_listened_at_or_none() {
    let (table, counted) = (Table::new(), Counted::default());
    let reactor = table.reactor();
    let taken = reactor.listen("tcp:3", || Obedient).expect("it is free");
    let failure = reactor.listen_all(["tcp:1", "tcp:2", "tcp:3"], counted.clone());
    let failure = failure.expect_err("the third is taken");
    assert!(failure.check::<CannotListen>().is_some());
    assert!(
        failure
            .to_string()
            .starts_with("cannot listen at 0.0.0.0:3: ")
    );
    counted.check("start stop");
    taken.stop_listening();

    let wrong = reactor.listen_all(["tcp:1", "tcp:2", "tcp:70000"], counted.clone());
    let wrong = wrong.expect_err("there is no such port").to_string();
    let expected = "endpoint `tcp:70000`: port `70000` is no number from 0 to 65535";
    assert_eq!(wrong, expected);
    counted.check("");

    let unable = Counted {
        fails: true,
        ..counted.clone()
    };
    let failure = reactor.listen_all(["tcp:1", "tcp:2"], unable);
    assert_eq!(failure.expect_err("it cannot start").to_string(), "no");
    counted.check("start");

    let ports = reactor.listen_all(["tcp:1", "tcp:2", "tcp:3"], counted);
    assert_eq!(ports.map(|ports| ports.len()).ok(), Some(3));
}

/// Says its name to whoever connects, and keeps what it is told.
struct Says(&'static str, Rc<RefCell<String>>);

impl Protocol for Says {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(self.0.as_bytes());
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        if data == b"close" {
            transport.lose_connection();
        }
        self.1.borrow_mut().push_str(&String::from_utf8_lossy(data));
        Ok(())
    }
}

#[test]
fn a_port_that_listens_gets_another_factory() {
    let (table, heard) = (Table::new(), Rc::<RefCell<String>>::default());
    let reactor = table.reactor();
    let named = |name: &'static str| {
        let heard = Rc::clone(&heard);
        SharedFactory::new(move || Says(name, Rc::clone(&heard)))
    };
    let (first, second) = (Counted::default(), named("second"));
    let first_too = SharedFactory::new(first.clone());
    let port = reactor
        .listen_shared("tcp:1", &first_too)
        .expect("it is free");
    let connect = || {
        let asker = Says("", Rc::clone(&heard));
        reactor.connect_protocol("tcp:192.0.2.2:1", asker).detach();
        table.settle();
        heard.take()
    };
    assert_eq!(connect(), "");
    first.check("start build");
    let unable = Counted {
        fails: true,
        ..Counted::default()
    };
    let failed = port
        .set_factory(&SharedFactory::new(unable))
        .expect_err("it cannot start");
    assert_eq!(
        (failed.to_string().as_str(), connect()),
        ("no", String::new())
    );
    first.check("build");
    port.set_factory(&second).expect("it listens");
    first.check("stop");
    assert_eq!(connect(), "second");
    assert_eq!(port.statistics().connections, 3, "those of the first go on");
    port.stop_listening();
    let stopped = port
        .set_factory(&first_too)
        .expect_err("it does not listen");
    assert!(stopped.check::<NotListening>().is_some());
    first.check("");
}

#[test]
fn a_port_counts_its_own_connections() {
    let (table, heard) = (Table::new(), Rc::<RefCell<String>>::default());
    let reactor = table.reactor();
    let listen = |at: &str| {
        let heard = Rc::clone(&heard);
        let port = reactor.listen(at, move || Says("hello", Rc::clone(&heard)));
        port.expect("it is free")
    };
    let (port, other) = (listen("tcp:1"), listen("tcp:2"));
    let connect = |word| {
        let asker = Says(word, Rc::default());
        reactor.connect_protocol("tcp:192.0.2.2:1", asker).detach();
        table.settle();
    };
    let figures = |port: &Port| {
        let found = port.statistics();
        (
            found.connections,
            found.accepted,
            found.refused,
            found.received,
            found.sent,
        )
    };
    connect("abc");
    connect("close");
    assert_eq!(figures(&port), (1, 2, 0, 8, 10));
    let asker = Says("to the other", Rc::default());
    reactor.connect_protocol("tcp:192.0.2.2:2", asker).detach();
    table.settle();
    let both = Port::statistics_of([&other, &port, &other]);
    assert_eq!(
        both,
        [other.statistics(), port.statistics(), other.statistics()],
        "one walk says of each what a walk of its own says"
    );
    assert_eq!((both[0].received, both[1].received), (12, 8));
    assert_eq!(Port::statistics_of([]), []);
    assert_eq!(port.connections().len(), 1);
    let mut limits = (*reactor.limits()).clone();
    limits.connections = 1;
    reactor.set_limits(limits);
    connect("d");
    assert_eq!(
        figures(&port),
        (2, 3, 0, 9, 15),
        "the port has its own limits still"
    );
    port.set_limits(&reactor.limits());
    connect("e");
    assert_eq!(figures(&port), (2, 3, 1, 9, 15));
    port.stop_listening();
    port.connections()
        .iter()
        .for_each(Transport::lose_connection);
    table.settle();
    assert_eq!(figures(&port), (0, 3, 1, 9, 15), "also when it has stopped");
    assert_eq!(figures(&other), (1, 1, 0, 12, 5));
}

/// Notes its end.
struct Ends(Rc<RefCell<Vec<String>>>);

impl Protocol for Ends {
    fn connection_lost(&mut self, reason: Failure) {
        self.0.borrow_mut().push(reason.to_string());
    }
}

/// The driver in memory fails when it is to wait for ever.
#[test]
fn a_driver_that_fails_ends_all_that_is_open() {
    let (table, log) = (Table::new(), Rc::<RefCell<Vec<String>>>::default());
    let reactor = table.reactor();
    let ends = Rc::clone(&log);
    let port = reactor.listen("tcp:1", move || Ends(Rc::clone(&ends)));
    let port = port.expect("it is free");
    let to = "tcp:192.0.2.2:1";
    reactor.connect_protocol(to, Ends(Rc::clone(&log))).detach();
    table.settle();
    let triggers = [
        (Phase::After, "after"),
        (Phase::During, "during"),
        (Phase::Before, "before"),
    ];
    for (phase, what) in triggers {
        let log = Rc::clone(&log);
        reactor.add_system_event_trigger(phase, EventType::Shutdown, move || {
            log.borrow_mut().push(what.to_owned());
        });
    }

    let failure = reactor.run().expect_err("it cannot wait").to_string();
    assert!(failure.starts_with("a reactor in memory never waits"));
    let lost = format!("connection was lost: {failure}");
    assert_eq!(*log.borrow(), ["before", "during", &lost, &lost, "after"]);
    assert!(!port.is_listening() && !reactor.is_running());
    assert_eq!(reactor.statistics().connections, 0);
    // Once, and the reactor can be used again as far as its driver can.
    table.settle();
    assert_eq!(log.borrow().len(), 5);
    assert!(reactor.listen("tcp:1", || Obedient).is_ok());
}
