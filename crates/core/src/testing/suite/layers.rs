//! Layers: who is told what and when, what is sent through them, and how connections end that have some.

use super::{
    World,
    recorder::{
        FLOOD, Log, Pair, Recorder, Seen, connect, echoes, flag, listen_once, pattern, set_limits,
        short, watch,
    },
    veil::{Fails, Key, Veil, add_kind, hello},
};
use crate::{
    address::Address,
    client::{ClientFactory, Connector},
    factory::{Factory, SharedFactory},
    failure::Failure,
    producer::{Pace, Producer},
    reactor::{Connection, Port},
    transport::Transport,
};
use std::{cell::RefCell, rc::Rc, time::Duration};

pub(super) const KEY: u8 = 0x5a;
pub(super) const OTHER: u8 = 0x33;
/// A deadline is met this much late at most.
pub(super) const LATE: Duration = Duration::from_millis(700);

/// Turned around by a key, and back.
pub(super) fn turned(bytes: &[u8], key: u8) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ key).collect()
}

/// Has both reactors know `veil:`.
fn add_veil(world: &dyn World, veil: &Veil) {
    for reactor in [world.reactor(), world.client()] {
        add_kind(&reactor, "veil", veil);
    }
}

fn veil_to(world: &dyn World, port: &Port) -> String {
    format!("veil:{}", world.connect_to(port))
}

/// A port whose connections lie on a veil.
fn listen_veiled<M>(world: &dyn World, factory: impl crate::factory::IntoFactory<M>) -> Port {
    let at = format!("veil:{}", world.listen_at());
    let port = world.reactor().listen(&at, factory);
    port.expect("the world can listen")
}

/// Two ends that both lie on a veil.
#[track_caller]
fn veiled_pair(world: &dyn World, veil: &Veil, server: Recorder, client: Recorder) -> Pair {
    add_veil(world, veil);
    let seen = (server.seen(), client.seen());
    let mut server = Some(server);
    let port = listen_veiled(world, move |_: &Address| server.take());
    let to = veil_to(world, &port);
    world.client().connect_protocol(&to, client).detach();
    let (server, client) = seen;
    world.until(&mut || server.is_made() && client.is_made());
    Pair {
        port,
        server,
        client,
    }
}

/// A server on a veil, and a client that speaks for itself.
#[track_caller]
fn half_veiled(world: &dyn World, veil: &Veil, server: Recorder) -> (Seen, Seen) {
    add_veil(world, veil);
    let seen = server.seen();
    let mut server = Some(server);
    let port = listen_veiled(world, move |_: &Address| server.take());
    let client = connect(world, &port, Recorder::new());
    world.until(&mut || client.received() == 3);
    assert_eq!(client.bytes(), hello(veil.key));
    (seen, client)
}

/// No protocol is built before the layer is up; then it is, and what came with the last of the hello is delivered.
pub fn the_protocol_is_built_when_the_layer_is_up(world: &dyn World) {
    let (log, factory) = echoes();
    let veil = Veil {
        log: log.clone(),
        ..Veil::new(KEY)
    };
    add_veil(world, &veil);
    let at = format!("veil:{}", world.listen_at());
    let port = world.reactor().listen_shared(&at, &factory);
    let port = port.expect("the world can listen");
    let client = connect(world, &port, Recorder::new());
    world.until(&mut || client.received() == 3);
    client.transport().write(&hello(KEY)[..2]);
    world.settle();
    log.check(&["start", "veil made"]);
    let mut rest = hello(KEY)[2..].to_vec();
    rest.extend(turned(b"echo", KEY));
    client.transport().write(&rest);
    world.until(&mut || client.received() == 7);
    log.check(&["start", "veil made", "up", "build"]);
    assert_eq!(client.bytes()[3..], turned(b"echo", KEY));
    port.stop_listening();
    log.check(&["start", "veil made", "up", "build", "stop"]);
    client.transport().abort_connection();
    world.until(&mut || log.count("veil lost") == 1);
}

/// `connect` fires when the layer is up, and not before.
pub fn connect_fires_after_the_handshake(world: &dyn World) {
    add_veil(world, &Veil::new(KEY));
    let server = Recorder::new();
    let (seen, port) = (server.seen(), listen_once(world, server));
    let client = Recorder::new();
    let own = client.seen();
    let to = veil_to(world, &port);
    let end = watch(world.client().connect_protocol(&to, client));
    world.until(&mut || seen.received() == 3);
    world.settle();
    own.check(&[]);
    end.check(&[]);
    seen.transport().write(&hello(KEY));
    world.until(&mut || end.count("ok") == 1);
    own.check(&["made"]);
}

/// The layer fails first: `connect` fails with that, no protocol is ever built, and the factory is stopped.
pub fn connect_fails_with_the_layers_failure(world: &dyn World) {
    add_veil(world, &Veil::new(KEY));
    let babble = || {
        Recorder::new().on_made(|transport| {
            transport.write(b"babble");
            Ok(())
        })
    };
    let port = listen_once(world, babble());
    let log = Log::default();
    let to = veil_to(world, &port);
    let factory = super::recorder::Echoes(log.clone());
    let end = watch(world.client().connect(&to, factory));
    world.until(&mut || !end.events().is_empty());
    end.check(&["no veil"]);
    world.settle();
    log.check(&["start", "stop"]);

    let port = listen_once(world, babble());
    let log = Log::default();
    let to = veil_to(world, &port);
    let _connector = world.client().connect_client(&to, Told(log.clone()));
    world.until(&mut || log.count("stop") == 1);
    world.settle();
    log.check(&["started", "failed: no veil", "stop"]);
}

/// Writes down what its connector tells.
struct Told(Log);

impl Factory for Told {
    type Protocol = Recorder;

    fn build_protocol(&mut self, _: &Address) -> Option<Recorder> {
        self.0.note("build");
        Some(Recorder::new())
    }

    fn stop_factory(&mut self) {
        self.0.note("stop");
    }
}

impl ClientFactory for Told {
    fn started_connecting(&mut self, _: &Connector) {
        self.0.note("started");
    }

    fn client_connection_failed(&mut self, _: &Connector, reason: Failure) {
        self.0.note(format!("failed: {}", short(&reason)));
    }

    fn client_connection_lost(&mut self, _: &Connector, reason: Failure) {
        self.0.note(format!("lost: {}", short(&reason)));
    }
}

/// A cancel while the layer comes up aborts the connection.
pub fn cancel_during_the_handshake(world: &dyn World) {
    add_veil(world, &Veil::new(KEY));
    let server = Recorder::new();
    let (seen, port) = (server.seen(), listen_once(world, server));
    let client = Recorder::new();
    let own = client.seen();
    let to = veil_to(world, &port);
    let connecting = world.client().connect_protocol(&to, client);
    let canceller = connecting.canceller().expect("it waits");
    let end = watch(connecting);
    world.until(&mut || seen.received() == 3);
    canceller.cancel();
    end.check(&["connecting was cancelled"]);
    world.until(&mut || seen.is_lost());
    own.check(&[]);
    assert_eq!(world.client().statistics().connections, 0);
}

/// A peer that says nothing is cut off by the deadline that the layer has set, on either side.
pub fn the_handshake_of_a_layer_has_its_deadline(world: &dyn World) {
    let (log, factory) = echoes();
    add_veil(world, &Veil::new(KEY));
    let at = format!("veil:{}", world.listen_at());
    let port = world.reactor().listen_shared(&at, &factory);
    let port = port.expect("the world can listen");
    let client = connect(world, &port, Recorder::new());
    world.until(&mut || client.received() == 3);
    world.advance(Duration::from_millis(9_900));
    assert!(!client.is_lost());
    world.advance(LATE);
    world.until(&mut || client.is_lost());
    log.check(&["start"]);

    let server = Recorder::new();
    let (seen, port) = (server.seen(), listen_once(world, server));
    let to = veil_to(world, &port);
    let end = watch(world.client().connect_protocol(&to, Recorder::new()));
    world.until(&mut || seen.received() == 3);
    world.advance(Duration::from_millis(9_900));
    end.check(&[]);
    world.advance(LATE);
    end.check(&["Handshake deadline"]);
}

/// A factory that wants no connection closes it, under a layer as well; one that panics costs that connection.
pub fn a_factory_under_a_layer_may_decline_or_panic(world: &dyn World) {
    add_veil(world, &Veil::new(KEY));
    let port = listen_veiled(world, |_: &Address| None::<Recorder>);
    let client = Recorder::new();
    let own = client.seen();
    let to = veil_to(world, &port);
    world.client().connect_protocol(&to, client).detach();
    world.until(&mut || own.is_lost());
    assert_eq!(world.reactor().statistics().failures, 0);
    own.check(&["made", "read closed", "lost: done"]);

    let port = listen_veiled(world, |_: &Address| -> Option<Recorder> { panic!("oh") });
    let client = Recorder::new();
    let own = client.seen();
    let to = veil_to(world, &port);
    let end = watch(world.client().connect_protocol(&to, client));
    world.until(&mut || own.is_lost() || end.events().iter().any(|end| end != "ok"));
    assert_eq!(world.reactor().statistics().failures, 1);
    world.settle();
    assert_eq!(world.reactor().statistics().connections, 0);
}

/// A layer that cannot be made closes a server's connection, and is why a client's fails.
pub fn a_layer_that_cannot_be_made(world: &dyn World) {
    let (log, factory) = echoes();
    let none = factory.layered(|_| Err(Failure::msg("no certificate")));
    let port = world.reactor().listen_shared(&world.listen_at(), &none);
    let port = port.expect("the world can listen");
    super::recorder::turned_away(world, &port, Recorder::new());
    assert_eq!(world.reactor().statistics().failures, 1);
    port.stop_listening();
    log.check(&["start", "stop"]);
}

/// Two layers below an endpoint: everything written before the end arrives before it, and each direction is closed for
/// itself.
pub fn closing_flushes_through_two_layers(world: &dyn World) {
    add_veil(world, &Veil::new(KEY));
    for reactor in [world.reactor(), world.client()] {
        add_kind(&reactor, "other", &Veil::new(OTHER));
    }
    let sent = pattern(1 << 20);
    let answer = sent.clone();
    let server = Recorder::new().on_read_closed(move |transport| {
        transport.write(&answer);
        transport.lose_connection();
        Ok(())
    });
    let (server_seen, mut server) = (server.seen(), Some(server));
    let at = format!("other:veil:{}", world.listen_at());
    let port = world
        .reactor()
        .listen(&at, move |_: &Address| server.take());
    let port = port.expect("the world can listen");
    let question = sent.clone();
    let client = Recorder::new().on_made(move |transport| {
        transport.write(&question);
        transport.lose_write_connection();
        Ok(())
    });
    let client_seen = client.seen();
    let to = format!("other:{}", veil_to(world, &port));
    world.client().connect_protocol(&to, client).detach();
    world.until(&mut || server_seen.is_lost() && client_seen.is_lost());
    assert!(server_seen.bytes() == sent, "the question is another");
    assert!(client_seen.bytes() == sent, "the answer is another");
    server_seen.check_life(&["made", "data", "read closed", "lost: done"]);
    client_seen.check_life(&["made", "data", "read closed", "lost: done"]);
    let transport = server_seen.transport();
    assert_eq!(transport.info::<Key>(), Some(Rc::new(Key(OTHER))));
}

/// A layer that fails or panics when it is up ends what lies above it, once.
pub fn a_layer_that_fails_ends_what_lies_above(world: &dyn World) {
    for (fails, reason) in [
        (Fails::Throws, "lost: torn"),
        (Fails::Panics, "lost: a callback panicked: torn"),
    ] {
        let log = Log::default();
        let veil = Veil {
            fails_at: Some((b"tear", fails)),
            log: log.clone(),
            ..Veil::new(KEY)
        };
        let failures = world.reactor().statistics().failures;
        let (server, client) = half_veiled(world, &veil, Recorder::new());
        client.transport().write(&hello(KEY));
        world.until(&mut || server.is_made());
        client.transport().write(&turned(b"tear", KEY));
        world.until(&mut || server.is_lost() && client.is_lost());
        server.check(&["made", reason]);
        assert_eq!(world.reactor().statistics().failures, failures + 1);
        assert_eq!(log.count("veil lost"), 1);
    }
}

/// A layer that fails before it is up tells nobody above it.
pub fn a_layer_that_fails_before_it_is_up(world: &dyn World) {
    let (server, client) = half_veiled(world, &Veil::new(KEY), Recorder::new());
    client.transport().write(b"babble");
    world.until(&mut || client.is_lost());
    server.check(&[]);
    assert_eq!(world.reactor().statistics().failures, 1);
    assert_eq!(world.reactor().statistics().connections, 0);
}

/// Bytes that the layer holds wait until reading is resumed, and the end of the peer's bytes waits for them.
pub fn bytes_that_a_layer_holds_wait_for_a_pause(world: &dyn World) {
    let paused = flag();
    let once = Rc::clone(&paused);
    let server = Recorder::new().on_data(move |transport, _| {
        if !once.replace(true) {
            transport.pause_producing();
        }
        Ok(())
    });
    let sent = pattern(10_000);
    let question = sent.clone();
    let client = Recorder::new().on_made(move |transport| {
        transport.write(&question);
        transport.lose_write_connection();
        Ok(())
    });
    let pair = veiled_pair(world, &Veil::new(KEY), server, client);
    world.until(&mut || paused.get());
    world.settle();
    let received = pair.server.received();
    assert!((1..=1000).contains(&received), "{received} bytes came");
    pair.server.check(&["made", "data"]);
    pair.server.transport().resume_producing();
    world.until(&mut || pair.server.is_lost());
    assert!(pair.server.bytes() == sent, "the bytes are others");
    pair.server.check(&[
        "made",
        "data",
        "reading resumed",
        "data",
        "read closed",
        "lost: done",
    ]);
}

/// Writes a lot, piece by piece, as it is asked.
struct Lot {
    left: Vec<u8>,
    pieces: usize,
}

impl Producer for Lot {
    fn resume_producing(&mut self, transport: &Transport) -> crate::Result {
        let piece: Vec<u8> = self
            .left
            .drain(..self.left.len().min(self.pieces))
            .collect();
        transport.write(&piece);
        if self.left.is_empty() {
            transport.unregister_producer();
            transport.lose_connection();
        }
        Ok(())
    }
    fn pause_producing(&mut self) {}
    fn stop_producing(&mut self) {}
}

/// A producer above a layer goes at the peer's pace: at no time does more wait than the high-water mark and one piece.
pub fn a_producer_above_a_layer_goes_at_the_peers_pace(world: &dyn World) {
    const PIECES: usize = 50_000;
    let sent = pattern(4 << 20);
    let left = sent.clone();
    let veil = Veil::new(KEY);
    let pair = veiled_pair(world, &veil, Recorder::new(), Recorder::new());
    let client = pair.client.transport();
    client.pause_producing();
    world.settle();
    let server = pair.server.transport();
    let pieces = PIECES;
    let producer = Lot { left, pieces };
    let registered = server.register_producer(producer, Pace::Pulled);
    registered.expect("there is no other");
    let high_water = world.reactor().limits().output_high_water;
    let most = Rc::new(RefCell::new(0));
    let mut paused = true;
    world.until(&mut || {
        let waiting = world.reactor().statistics().queued_bytes;
        most.replace_with(|most| waiting.max(*most));
        paused = !paused;
        if paused {
            client.pause_producing();
        } else {
            client.resume_producing();
        }
        pair.client.is_lost()
    });
    assert!(pair.client.bytes() == sent, "the bytes are others");
    let bound = high_water + PIECES;
    assert!(*most.borrow() <= bound, "{most:?} waited");
    assert!(veil.most.get() <= bound, "{} waited", veil.most.get());
}

/// What the peer does not take is told above the layer as it is on the driver.
pub fn output_above_a_layer_is_bounded(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.output_hard = FLOOD);
    let pair = veiled_pair(world, &Veil::new(KEY), Recorder::new(), Recorder::new());
    pair.client.transport().pause_producing();
    world.settle();
    let server = pair.server.transport();
    server.write(&pattern(FLOOD));
    world.settle();
    pair.server.check(&["made", "write paused"]);
    assert_eq!(server.room(), 0);
    let reactor = world.reactor().statistics().queued_bytes;
    assert_eq!(server.statistics().queued, reactor);
    server.write(&pattern(FLOOD));
    world.until(&mut || pair.server.is_lost());
    let reason = crate::error::OutputOverflow.to_string();
    pair.server
        .check(&["made", "write paused", &format!("lost: {reason}")]);
    assert_eq!(world.reactor().statistics().queued_bytes, 0);
}

/// Calls reach the protocol through layers, also those that come later; after the end they fail.
pub fn calls_reach_the_protocol_through_layers(world: &dyn World) {
    add_veil(world, &Veil::new(KEY));
    let server = Recorder::new().on_data(|transport, data| {
        if data == b"more" {
            transport.push_layer(Veil {
                waits: true,
                ..Veil::new(OTHER)
            });
        }
        Ok(())
    });
    let (seen, mut server) = (server.seen(), Some(server));
    let port = listen_veiled(world, move |_: &Address| server.take());
    let place: Rc<RefCell<Option<Connection<Recorder>>>> = Rc::default();
    let own = Rc::clone(&place);
    let client = Recorder::new();
    let client_seen = client.seen();
    let connecting = world
        .client()
        .connect_protocol(&veil_to(world, &port), client);
    connecting
        .map(move |connection| drop(own.replace(Some(connection))))
        .detach();
    world.until(&mut || place.borrow().is_some());
    let connection = place.borrow().clone().expect("it is there");
    let noted = connection.call(|recorder, transport| {
        recorder.seen().note("called");
        transport.write(b"more");
    });
    let noted = watch(noted);
    world.until(&mut || seen.received() == 4 && noted.count("ok") == 1);
    let pushed = connection.call(|_, transport| {
        transport.push_layer(Veil::new(OTHER));
        transport.write(b"deep");
    });
    let again = connection.call(|recorder, _| recorder.seen().note("again"));
    let ends = [watch(pushed), watch(again)];
    world.until(&mut || seen.received() == 8);
    assert_eq!(seen.bytes(), b"moredeep");
    client_seen.check(&["made", "called", "again"]);
    ends.iter().for_each(|end| end.check(&["ok"]));
    connection.transport().abort_connection();
    let late = watch(connection.call(|_, _| ()));
    world.until(&mut || client_seen.is_lost());
    late.check(&["aborted"]);
    watch(connection.call(|_, _| ())).check(&["done"]);
}

/// Calls that queue calls through a layer do not hold the loop.
pub fn calls_without_end_do_not_hold_the_loop(world: &dyn World) {
    fn again(connection: &Connection<Recorder>) {
        let next = connection.clone();
        connection
            .call(move |_, _| again(&next))
            .add_errback(|_| Ok(()))
            .detach();
    }
    let pair = veiled_pair(world, &Veil::new(KEY), Recorder::new(), Recorder::new());
    let connection = Connection::new(pair.server.transport());
    again(&connection);
    let due = flag();
    let is_due = Rc::clone(&due);
    world
        .reactor()
        .call_later(Duration::ZERO, move || is_due.set(true));
    world.until(&mut || due.get());
    connection.transport().abort_connection();
    world.until(&mut || pair.server.is_lost());
}

/// Whom a layer names as the peer is whom the factory and the protocol see; it is counted as who it is.
pub fn a_layer_may_know_the_ends_better(world: &dyn World) {
    let peer: Address = Address::Name("the peer".into());
    let host: Address = Address::Name("the host".into());
    let veil = Veil {
        ends: Some((peer.clone(), host.clone())),
        ..Veil::new(KEY)
    };
    add_veil(world, &veil);
    let built: Rc<RefCell<Option<Address>>> = Rc::default();
    let from = Rc::clone(&built);
    let server = Recorder::new();
    let (seen, mut server) = (server.seen(), Some(server));
    let factory = SharedFactory::new(move |peer: &Address| {
        from.replace(Some(peer.clone()));
        server.take()
    });
    let at = format!("veil:{}", world.listen_at());
    let port = world.reactor().listen_shared(&at, &factory);
    let port = port.expect("the world can listen");
    let client = connect(world, &port, Recorder::new());
    world.until(&mut || client.received() == 3);
    client.transport().write(&hello(KEY));
    world.until(&mut || seen.is_made());
    assert_eq!(*built.borrow(), Some(peer.clone()));
    let server = seen.transport();
    assert_eq!((server.peer(), server.host()), (peer.clone(), host));
    server.push_layer(Veil::new(OTHER));
    world.settle();
    assert_eq!(server.peer(), peer);
    assert_eq!(server.host(), Address::Name("the host".into()));
    client.transport().abort_connection();
    world.until(&mut || seen.is_lost());
    assert_eq!(server.peer(), peer);
}

/// A client has no idle deadline; closing above a layer towards a peer that never reads is bounded all the same.
pub fn closing_above_a_layer_is_bounded(world: &dyn World) {
    set_limits(&world.client(), |limits| limits.output_hard = 4 * FLOOD);
    set_limits(&world.reactor(), |limits| limits.idle = Duration::ZERO);
    let pair = veiled_pair(world, &Veil::new(KEY), Recorder::new(), Recorder::new());
    pair.server.transport().pause_producing();
    world.settle();
    let client = pair.client.transport();
    client.write(&pattern(FLOOD));
    client.lose_connection();
    world.settle();
    world.advance(Duration::from_secs(3));
    client.lose_connection();
    world.advance(Duration::from_millis(1_900));
    assert!(!pair.client.is_lost());
    world.advance(LATE);
    pair.client
        .check(&["made", "write paused", "lost: Shutdown deadline"]);
}

/// A reactor that stops does not wait for layers that come up.
pub fn stop_during_the_handshake(world: &dyn World) {
    let reactor = world.reactor();
    reactor.start().expect("it does not run");
    let (server, client) = half_veiled(world, &Veil::new(KEY), Recorder::new());
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    server.check(&[]);
    world.until(&mut || client.is_lost());
}

/// A reactor that stops has layers say their goodbye.
pub fn stop_lets_layers_say_goodbye(world: &dyn World) {
    let reactor = world.reactor();
    reactor.start().expect("it does not run");
    let log = Log::default();
    let veil = Veil {
        log: log.clone(),
        ..Veil::new(KEY)
    };
    let (server, client) = half_veiled(world, &veil, Recorder::new());
    client.transport().write(&hello(KEY));
    world.until(&mut || server.is_made());
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    server.check(&["made", "lost: done"]);
    log.check(&["veil made", "up", "goodbye", "veil lost"]);
}

/// Abort above a layer, from inside and from outside: once, with that reason, and the reason of `fail`.
pub fn abort_above_a_layer(world: &dyn World) {
    let server = Recorder::new().on_data(|transport, _| {
        transport.abort_connection();
        transport.write(b"never sent");
        Ok(())
    });
    let pair = veiled_pair(world, &Veil::new(KEY), server, Recorder::new());
    // More than the layer delivers at once: none of it comes after the abort.
    pair.client.transport().write(&pattern(3000));
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.check(&["made", "data", "lost: aborted"]);
    assert_eq!(pair.server.received(), 1000);
    assert_eq!(pair.client.received(), 0);

    let pair = veiled_pair(world, &Veil::new(KEY), Recorder::new(), Recorder::new());
    let transport = pair.server.transport();
    transport.fail(Failure::msg("enough"));
    transport.abort_connection();
    pair.server.check(&["made"]);
    world.until(&mut || pair.server.is_lost() && pair.client.is_lost());
    pair.server.check(&["made", "lost: enough"]);
}
