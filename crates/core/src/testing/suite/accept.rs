//! Ports and factories: who gets a protocol, who is turned away, and what is counted.

use super::{
    World,
    recorder::{
        Echoes, Log, Recorder, check_echo, connect, connected, echoes, listen, pair, set_limits,
        turned_away,
    },
};
use crate::{
    address::Address,
    factory::{Factory, SharedFactory, Sharing},
    failure::{Failure, Result},
    reactor::Port,
};
use std::{cell::RefCell, rc::Rc};

/// The factory declines: the connection is closed at once, the port goes on.
pub fn build_protocol_returns_none(world: &dyn World) {
    let mut asked = 0;
    let port = listen(world, move |_: &Address| {
        asked += 1;
        (asked > 1).then(Recorder::echo)
    });
    let client = connected(world, &port, Recorder::new());
    world.until(&mut || client.is_lost());
    assert!(!client.has("data"));
    assert_eq!(world.reactor().statistics().failures, 0);
    check_echo(world, &port);
}

/// Those whom the factory declined have gone: they use up no limit.
pub fn declined_connections_use_up_no_limit(world: &dyn World) {
    set_limits(&world.reactor(), |limits| {
        limits.connections = 1;
        limits.connections_per_peer = 1;
    });
    let mut asked = 0;
    let port = listen(world, move |_: &Address| {
        asked += 1;
        (asked > 2).then(Recorder::echo)
    });
    for _ in 0..2 {
        let client = connected(world, &port, Recorder::new());
        world.until(&mut || client.is_lost());
        world.settle();
    }
    check_echo(world, &port);
    assert_eq!(world.reactor().statistics().refused, 0);
}

/// The factory panics: that peer is turned away, the failure is counted, the next is served.
pub fn factory_panics(world: &dyn World) {
    let mut asked = 0;
    let port = listen(world, move || {
        asked += 1;
        assert!(asked > 1, "no protocol today");
        Recorder::echo()
    });
    let client = connected(world, &port, Recorder::new());
    world.until(&mut || client.is_lost());
    assert_eq!(world.reactor().statistics().failures, 1);
    check_echo(world, &port);
}

/// One factory on two ports is started with the first and stopped after the last.
pub fn start_and_stop_factory_are_counted_over_ports(world: &dyn World) {
    let (log, factory) = echoes();
    let reactor = world.reactor();
    let listen = || {
        let port = reactor.listen_shared(&world.listen_at(), &factory);
        port.expect("the world can listen")
    };
    log.check(&[]);
    let (one, two) = (listen(), listen());
    log.check(&["start"]);
    check_echo(world, &one);
    check_echo(world, &two);
    one.stop_listening();
    log.check(&["start", "build", "build"]);
    two.stop_listening();
    log.check(&["start", "build", "build", "stop"]);
    let three = listen();
    three.stop_listening();
    log.check(&["start", "build", "build", "stop", "start", "stop"]);
}

struct StartPanics;

impl Factory for StartPanics {
    type Protocol = Recorder;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Recorder> {
        None
    }

    fn start_factory(&mut self) -> Result {
        panic!("no start");
    }
}

/// A factory that cannot start does not listen.
pub fn start_factory_panics(world: &dyn World) {
    let failed = world.reactor().listen(&world.listen_at(), StartPanics);
    let failure = failed.expect_err("it cannot start");
    assert!(failure.check::<crate::error::Panicked>().is_some());
    check_echo(world, &listen(world, Recorder::echo));
}

/// A factory that says it cannot start does not listen, and is not stopped; later it may.
pub fn start_factory_throws(world: &dyn World) {
    let mut starts = 0;
    let start = move || {
        starts += 1;
        match starts {
            1 => Err(Failure::msg("not yet")),
            _ => Ok(()),
        }
    };
    let factory = SharedFactory::new(Sharing::from_start(start, |_: Rc<()>| Recorder::echo()));
    let listen = || world.reactor().listen_shared(&world.listen_at(), &factory);
    let failure = listen().expect_err("it cannot start");
    assert_eq!(failure.to_string(), "not yet");
    check_echo(world, &listen().expect("now it can"));
}

/// What protocols share is made when the factory starts, and dropped when it has stopped and they have ended.
pub fn sharing_from_start(world: &dyn World) {
    let started = Rc::new(RefCell::new(Vec::new()));
    let starts = Rc::clone(&started);
    let start = move || {
        let log = Rc::new(Log::default());
        starts.borrow_mut().push(Rc::downgrade(&log));
        Ok::<_, Failure>(log)
    };
    let build = |log: Rc<Log>| {
        Recorder::echo().on_made(move |_| {
            log.note("made");
            Ok(())
        })
    };
    let reactor = world.reactor();
    let factory = SharedFactory::new(Sharing::from_start(start, build));
    let listen = || {
        let port = reactor.listen_shared(&world.listen_at(), &factory);
        port.expect("the world can listen")
    };
    assert_eq!(started.borrow().len(), 0);
    for round in 0..2 {
        let (one, two) = (listen(), listen());
        check_echo(world, &one);
        check_echo(world, &two);
        let shared = started.borrow()[round].clone();
        let log = shared.upgrade().map(|log| log.events());
        assert_eq!(log, Some(vec!["made".to_owned(); 2]));
        let last = connected(world, &two, Recorder::new());
        world.settle();
        one.stop_listening();
        two.stop_listening();
        assert!(shared.upgrade().is_some(), "somebody uses it");
        last.transport().abort_connection();
        world.until(&mut || shared.upgrade().is_none());
        assert_eq!(started.borrow().len(), round + 1);
    }
}

/// The second time nothing happens, not even to another port.
pub fn stop_listening_twice(world: &dyn World) {
    let (log, factory) = echoes();
    let port = world.reactor().listen_shared(&world.listen_at(), &factory);
    let port = port.expect("the world can listen");
    assert!(port.is_listening());
    port.stop_listening();
    let other = listen(world, Recorder::echo);
    port.stop_listening();
    assert!(!port.is_listening());
    assert!(other.is_listening());
    check_echo(world, &other);
    log.check(&["start", "stop"]);
}

/// Connections outlive their port.
pub fn stop_listening_keeps_open_connections(world: &dyn World) {
    let pair = pair(world, Recorder::echo(), Recorder::new());
    pair.port.stop_listening();
    pair.client.transport().write(b"hello");
    world.until(&mut || pair.client.received() == 5);
    let late = world
        .client()
        .connect(&world.connect_to(&pair.port), Recorder::new);
    let late = super::recorder::watch(late);
    world.until(&mut || !late.events().is_empty());
    late.check(&["could not connect"]);
    pair.server.check(&["made", "data"]);
}

/// A server for one connection: its factory stops the port, and is stopped itself.
pub fn stop_listening_inside_build_protocol(world: &dyn World) {
    struct OneShot(Rc<RefCell<Option<Port>>>, Echoes);

    impl Factory for OneShot {
        type Protocol = Recorder;

        fn build_protocol(&mut self, peer: &Address) -> Option<Recorder> {
            if let Some(port) = self.0.take() {
                port.stop_listening();
            }
            self.1.build_protocol(peer)
        }

        fn stop_factory(&mut self) {
            self.1.stop_factory();
        }
    }

    let (log, place) = (Log::default(), Rc::new(RefCell::new(None)));
    let port = listen(world, OneShot(Rc::clone(&place), Echoes(log.clone())));
    place.replace(Some(port.clone()));
    check_echo(world, &port);
    assert!(!port.is_listening());
    assert_eq!(world.reactor().statistics().failures, 0);
    log.check(&["build", "stop"]);
}

/// Above the limit `connections` a peer is refused and counted; a place that becomes free is given away.
pub fn connections_are_limited(world: &dyn World) {
    check_limit(world, |limits| limits.connections = 2);
}

/// The same for connections from one address.
pub fn connections_per_peer_are_limited(world: &dyn World) {
    if !world.tells_peers_apart() {
        return;
    }
    check_limit(world, |limits| limits.connections_per_peer = 2);
}

#[track_caller]
fn check_limit(world: &dyn World, change: impl FnOnce(&mut crate::limits::Limits)) {
    let reactor = world.reactor();
    set_limits(&reactor, change);
    let (log, factory) = echoes();
    let port = reactor.listen_shared(&world.listen_at(), &factory);
    let port = port.expect("the world can listen");
    let first = connected(world, &port, Recorder::new());
    let second = connected(world, &port, Recorder::new());
    world.until(&mut || log.count("build") == 2);
    turned_away(world, &port, Recorder::new());
    assert_eq!(reactor.statistics().refused, 1);
    assert_eq!(log.count("build"), 2);
    first.transport().abort_connection();
    world.until(&mut || first.is_lost());
    world.settle();
    check_echo(world, &port);
    assert!(!second.is_lost());
    assert_eq!(reactor.statistics().refused, 1);
    assert_eq!(reactor.statistics().accepted, 4);
}

/// The limit `connections` is for accepted ones: what the reactor opens itself does not count.
pub fn outgoing_connections_do_not_use_up_the_limit(world: &dyn World) {
    let reactor = world.reactor();
    let other = listen(world, Recorder::echo);
    set_limits(&reactor, |limits| limits.connections = 4);
    let port = listen(world, Recorder::echo);
    for _ in 0..2 {
        let client = Recorder::new();
        let seen = client.seen();
        let outgoing = reactor.connect_protocol(&world.connect_to(&other), client);
        outgoing.detach();
        world.until(&mut || seen.is_made());
    }
    world.settle();
    // Two were accepted by the first port: two places are left.
    let one = connected(world, &port, Recorder::new());
    let two = connected(world, &port, Recorder::new());
    one.transport().write(b"one");
    two.transport().write(b"two");
    world.settle();
    assert_eq!(reactor.statistics().refused, 0);
    assert_eq!(
        (one.bytes(), two.bytes()),
        (b"one".to_vec(), b"two".to_vec())
    );
}

/// No descriptor is left (RT-01): it is counted, the loop lives and does not spin, and serves again when there is one.
pub fn close_peer_on_emfile(world: &dyn World) {
    let reactor = world.reactor();
    let port = listen(world, Recorder::echo);
    check_echo(world, &port);
    // What has ended gives its descriptor back.
    world.settle();
    let Some(exhausted) = world.exhaust() else {
        return;
    };
    let client = connect(world, &port, Recorder::new());
    world.until(&mut || reactor.statistics().accept_errors > 0);
    world.settle();
    let errors = reactor.statistics().accept_errors;
    world.settle();
    assert!(
        reactor.statistics().accept_errors - errors < 100,
        "it spins"
    );
    drop(exhausted);
    check_echo(world, &port);
    world.settle();
    // Whoever came meanwhile was turned away, or is served now.
    assert!(client.is_lost() || client.is_made());
}

/// Fifty peers at once: each is served, and each by its own protocol.
pub fn many_peers_in_one_batch(world: &dyn World) {
    let (log, factory): (Log, SharedFactory) = echoes();
    let port = world.reactor().listen_shared(&world.listen_at(), &factory);
    let port = port.expect("the world can listen");
    let clients: Vec<_> = (0..50)
        .map(|number| {
            let client = Recorder::new().on_made(move |transport| {
                transport.write(format!("client {number:02}").as_bytes());
                Ok(())
            });
            connect(world, &port, client)
        })
        .collect();
    world.until(&mut || clients.iter().all(|client| client.received() == 9));
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.bytes(), format!("client {number:02}").as_bytes());
    }
    assert_eq!(log.count("build"), 50);
}
