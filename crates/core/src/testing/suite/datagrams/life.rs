//! How a port begins and ends.

use super::{Grams, open, place, two};
use crate::{
    Failure, Result,
    address::Address,
    datagram::{DatagramError, DatagramTransport},
    error::CannotListen,
    reactor::{EventType, Phase},
    testing::suite::{
        World,
        recorder::{Log, watch},
    },
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// Each once; and everybody who stops it is told when it has stopped.
pub fn start_protocol_comes_first_and_stop_protocol_last(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    log.check(&["start"]);
    two.send(b"data");
    world.until(&mut || log.count("data") == 1);
    let (first, second) = (two.server.stop_listening(), two.server.stop_listening());
    let ends = [watch(first), watch(second)];
    log.check(&["start", "data"]);
    world.until(&mut || ends.iter().all(|end| end.count("ok") == 1));
    log.check(&["start", "data", "stop"]);
    two.server.stop_listening().detach();
    world.settle();
    log.check(&["start", "data", "stop"]);
}

/// A protocol that cannot start opens nothing, and is not stopped.
pub fn start_protocol_throws(world: &dyn World) {
    check_start_fails(world, "not yet", |_| Err(Failure::msg("not yet")));
}

/// The same when it panics.
pub fn start_protocol_panics(world: &dyn World) {
    check_start_fails(world, "a callback panicked: no start", |_| {
        panic!("no start")
    });
}

fn check_start_fails(
    world: &dyn World,
    problem: &str,
    start: impl FnMut(&DatagramTransport) -> Result + 'static,
) {
    let Some(at) = place(world) else { return };
    let (log, handle) = (Log::default(), Rc::new(RefCell::new(None)));
    let (mut start, place) = (start, Rc::clone(&handle));
    let protocol = Grams::new(&log).on_start(move |transport| {
        place.replace(Some((transport.clone(), transport.local_address())));
        start(transport)
    });
    let failed = world.reactor().listen_datagrams(&at, protocol);
    let failure = failed.expect_err("it cannot start");
    assert_eq!(failure.to_string(), problem);
    let (transport, address) = handle.take().expect("it was called");
    assert!(!transport.is_listening());
    let written = transport.write_to(b"x", &address);
    assert_eq!(written, Err(DatagramError::Stopped));
    // The place is free again.
    let kind = at.split(':').next().expect("it has a kind");
    let again = match address {
        Address::Ip(address) => {
            let interface = address.ip().to_string().replace(':', r"\:");
            format!("{kind}:{}:interface={interface}", address.port())
        }
        other => format!("{kind}:{other}"),
    };
    open(&world.reactor(), &again, Grams::default());
    log.check(&["start"]);
}

/// What came together with the last one it wants is not delivered.
pub fn stop_listening_inside_datagram_received(world: &dyn World) {
    let log = Log::default();
    let inside = log.clone();
    let protocol = Grams::new(&log).on_datagram(move |transport, data, from| {
        if data == b"stop" {
            transport.write_to(b"bye", from)?;
            let told = inside.clone();
            let stopped = transport.stop_listening().map(move |()| told.note("told"));
            stopped.detach();
            inside.note("returns");
        }
        Ok(())
    });
    let Some(two) = two(world, protocol) else {
        return;
    };
    for data in [&b"one"[..], b"stop", b"late"] {
        two.send(data);
    }
    world.until(&mut || log.count("told") == 1 && two.log.count("bye") == 1);
    world.settle();
    log.check(&["start", "one", "stop", "returns", "stop", "told"]);
}

/// It was started, so it is stopped.
pub fn stop_listening_inside_start_protocol(world: &dyn World) {
    let Some(at) = place(world) else { return };
    let log = Log::default();
    let protocol = Grams::new(&log).on_start(|transport| {
        transport.stop_listening().detach();
        Ok(())
    });
    let port = open(&world.reactor(), &at, protocol);
    assert!(!port.is_listening());
    log.check(&["start", "stop"]);
}

/// Nothing is called from inside `stop_listening`, wherever that is called.
pub fn stop_listening_waits_for_the_mailbox(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    let (port, outside) = (two.server, log.clone());
    world.reactor().call_later(Duration::ZERO, move || {
        port.stop_listening().detach();
        outside.note("called");
    });
    world.until(&mut || log.count("stop") == 1);
    log.check(&["start", "called", "stop"]);
}

/// A stop throws nothing away that the system has room for.
pub fn datagrams_written_before_the_stop_leave(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    two.send(b"last");
    two.client.stop_listening().detach();
    world.until(&mut || log.count("last") == 1);
    two.log.check(&["start", "stop"]);
    assert_eq!(two.client.statistics().send_dropped, 0);
}

/// Whoever tries is told.
pub fn nothing_is_written_after_the_stop(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    let stopped = two.client.stop_listening();
    assert_eq!(two.client.write(b"x"), Err(DatagramError::Stopped));
    let end = watch(stopped);
    world.until(&mut || end.count("ok") == 1);
    assert_eq!(two.client.write(b"x"), Err(DatagramError::Stopped));
    let written = two.client.write_to(b"x", &two.server.local_address());
    assert!(written.is_err());
    world.settle();
    log.check(&["start"]);
}

/// The same address serves again, and the old handle reaches nobody.
pub fn a_stopped_port_can_be_opened_again(world: &dyn World) {
    let Some(at) = place(world) else { return };
    let reactor = world.reactor();
    let first = open(&reactor, &at, Grams::default());
    let address = first.local_address();
    let again = match &address {
        Address::Ip(ip) => at.replacen(":0", &format!(":{}", ip.port()), 1),
        _ => at,
    };
    let taken = reactor.listen_datagrams(&again, Grams::default());
    let failure = taken.expect_err("somebody is there");
    assert!(failure.check::<CannotListen>().is_some(), "{failure}");
    let end = watch(first.stop_listening());
    world.until(&mut || end.count("ok") == 1);
    let second = open(&reactor, &again, Grams::default());
    assert_eq!(second.local_address(), address);
    first.stop_listening().detach();
    world.settle();
    assert!(second.is_listening());
}

/// It is open until it is stopped.
pub fn dropping_the_handle_keeps_the_port(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    drop(two.server);
    two.client.write(b"hello").expect("there is room");
    world.until(&mut || log.count("hello") == 1);
}

/// A stop of the reactor stops every port, once, and what was written till then leaves.
pub fn shutdown_stops_datagram_ports(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    let reactor = world.reactor();
    let (server, to) = (two.server.clone(), two.client.local_address());
    let bye = move || drop(server.write_to(b"bye", &to));
    reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, bye);
    reactor.start().expect("it does not run");
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    log.check(&["start", "stop"]);
    world.until(&mut || two.log.count("bye") == 1);
    assert!(!two.server.is_listening());
}

/// What is opened then would never be closed.
pub fn nothing_is_opened_while_stopping(world: &dyn World) {
    let Some(at) = place(world) else { return };
    let (reactor, opened) = (world.reactor(), Log::default());
    let (handle, told) = (reactor.clone(), opened.clone());
    let protocol = Grams::default().on_stop(move || {
        let late = handle.listen_datagrams(&at, Grams::default());
        told.note(late.expect_err("too late").to_string());
    });
    let at = world.datagrams_at().expect("it had one before");
    open(&reactor, &at, protocol);
    reactor.start().expect("it does not run");
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    opened.check(&["the reactor is not running"]);
}
