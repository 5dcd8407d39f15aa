//! How a connection ends: with a goodbye, one way first, or cut off.

use super::world::{Log, Played, Recorder, World, encrypted, met, peer, said};
use crate::{TlsVersion, testing::ends};
use tress_core::Transport;

/// A server and a client that go on after the other's end of stream.
fn staying(version: &str) -> (World, Transport, Transport) {
    let world = World::new();
    let stays = |log: &Log| {
        let log = log.clone();
        move || Recorder {
            stays: true,
            ..log.recorder()
        }
    };
    let reactor = world.table.reactor();
    let at = format!("ssl:443:certKey=server.pem:sslmethod={version}");
    reactor.listen(&at, stays(&world.server)).unwrap();
    let to = "tls:localhost:443:trustRoots=ca.pem";
    reactor.connect(to, stays(&world.client)).map(drop).detach();
    world.table.settle();
    let ends = (world.server.transport(), world.client.transport());
    (world, ends.0, ends.1)
}

const VERSIONS: [&str; 2] = ["TLSv1_2", "TLSv1_3"];

#[test]
fn losing_the_connection_sends_everything_first() {
    let world = World::new();
    let (_, client) = world.pair();
    world.client.take();
    world.server.take();
    client.write(b"last words");
    client.lose_connection();
    world.table.settle();
    let done = "lost: connection was closed cleanly";
    assert_eq!(world.server.take(), ["+last words", "read closed", done]);
    assert_eq!(world.client.take(), [done]);
}

#[test]
fn each_way_closes_by_itself() {
    for version in VERSIONS {
        let (world, server, client) = staying(version);
        client.write(b"question");
        client.lose_write_connection();
        client.write(b"too late");
        world.table.settle();
        assert_eq!(world.server.take(), ["made", "+question", "read closed"]);
        assert_eq!(world.client.take(), ["made"]);
        server.write(b"answer");
        world.table.settle();
        assert_eq!(world.client.take(), ["+answer"]);
        server.lose_write_connection();
        world.table.settle();
        let done = "lost: connection was closed cleanly";
        assert_eq!(world.client.take(), ["read closed", done]);
        assert_eq!(world.server.take(), [done]);
    }
}

#[test]
fn an_abort_throws_away_what_waits() {
    let world = World::new();
    let (server, client) = world.pair();
    world.client.take();
    world.server.take();
    server.write(b"lost");
    server.abort_connection();
    world.table.settle();
    assert_eq!(world.server.take(), ["lost: connection was aborted"]);
    let client_saw = world.client.take();
    assert_eq!(client_saw.len(), 1, "{client_saw:?}");
    assert!(
        client_saw[0].starts_with("lost: connection was lost"),
        "{client_saw:?}"
    );
    client.write(b"nobody");
    world.table.settle();
}

const TRUNCATED: &str = "lost: the peer ended the connection without TLS's close_notify: what it sent may be incomplete";

#[test]
fn an_end_without_a_goodbye_is_a_truncation() {
    let (played, mut peer) = met();
    played.tester.receive(&encrypted(&mut *peer, b"so far"));
    played.tester.peer_closes_write();
    assert_eq!(played.log.take(), ["made", "+so far", TRUNCATED]);
    assert!(played.tester.is_closed() && !played.tester.was_aborted());
}

#[test]
fn a_truncation_comes_after_what_was_held_back() {
    let (played, mut peer) = met();
    played.log.take();
    let transport = played.log.transport();
    transport.pause_producing();
    played.tester.settle();
    played.tester.receive(&encrypted(&mut *peer, b"so far"));
    played.tester.peer_closes_write();
    assert!(played.log.take().is_empty());
    transport.resume_producing();
    played.tester.settle();
    assert_eq!(played.log.take(), ["+so far", TRUNCATED]);
}

#[test]
fn a_goodbye_comes_after_what_was_held_back() {
    let (played, mut peer) = met();
    played.log.take();
    let transport = played.log.transport();
    transport.pause_producing();
    // It arrives together with the pause: nobody has stopped reading yet.
    let mut last = encrypted(&mut *peer, b"so far");
    peer.close();
    last.extend(said(&mut *peer));
    played.tester.receive(&last);
    assert!(played.log.take().is_empty());
    transport.resume_producing();
    played.tester.settle();
    let done = "lost: connection was closed cleanly";
    assert_eq!(played.log.take(), ["+so far", "read closed", done]);
}

/// Wants nothing after what it has got.
struct Enough(Recorder, crate::ServerTls);

impl tress_core::Protocol for Enough {
    fn connection_made(&mut self, transport: &Transport) -> tress_core::Result {
        crate::StartTls::start_tls(transport, &self.1);
        self.0.connection_made(transport)
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> tress_core::Result {
        transport.pause_producing();
        self.0.data_received(transport, data)
    }
    fn read_closed(&mut self, transport: &Transport) -> tress_core::Result {
        self.0.read_closed(transport)
    }
    fn connection_lost(&mut self, reason: tress_core::Failure) {
        self.0.connection_lost(reason);
    }
}

#[test]
fn who_is_paused_hears_of_no_end() {
    let (server, client) = ends();
    for goes_well in [true, false] {
        let log = Log::default();
        let tester =
            tress_core::testing::memory::Tester::new(Enough(log.recorder(), server.clone()));
        let mut peer = peer(&client);
        super::world::talk(&tester, &mut *peer);
        let mut last = encrypted(&mut *peer, b"one");
        last.extend(encrypted(&mut *peer, b"two"));
        if goes_well {
            peer.close();
            last.extend(said(&mut *peer));
        }
        tester.receive(&last);
        tester.peer_closes_write();
        assert_eq!(log.take(), ["made", "+one"]);
        log.transport().resume_producing();
        tester.settle();
        assert_eq!(log.take(), ["+two"]);
        log.transport().resume_producing();
        tester.settle();
        let events = log.take();
        if goes_well {
            assert_eq!(events[0], "read closed");
        } else {
            assert_eq!(events, [TRUNCATED]);
        }
    }
}

#[test]
fn after_a_goodbye_the_end_of_the_stream_is_nothing_new() {
    let (played, mut peer) = met();
    peer.close();
    played.tester.receive(&said(&mut *peer));
    played.tester.peer_closes_write();
    let done = "lost: connection was closed cleanly";
    assert_eq!(played.log.take(), ["made", "read closed", done]);
    let mut heard = &played.tester.sent()[..];
    assert!(
        peer.read(&mut heard).unwrap().peer_has_closed,
        "it says goodbye too"
    );
}

#[test]
fn what_follows_a_goodbye_means_nothing() {
    let (played, mut peer) = met();
    peer.close();
    let mut last = said(&mut *peer);
    last.extend_from_slice(&[0x17; 100_000]);
    played.tester.receive(&last);
    let done = "lost: connection was closed cleanly";
    assert_eq!(played.log.take(), ["made", "read closed", done]);
}

#[test]
fn data_and_goodbye_with_the_end_of_the_handshake() {
    let (server, client) = ends();
    let played = Played::new(&server);
    let mut peer = peer(&client);
    played.tester.receive(&said(&mut *peer));
    let flight = played.tester.sent();
    let mut flight = &flight[..];
    while !flight.is_empty() {
        peer.read(&mut flight).unwrap();
    }
    let mut last = said(&mut *peer);
    last.extend(encrypted(&mut *peer, b"at once"));
    peer.close();
    last.extend(said(&mut *peer));
    played.tester.receive(&last);
    let done = "lost: connection was closed cleanly";
    assert_eq!(played.log.take(), ["made", "+at once", "read closed", done]);
}

#[test]
fn closing_before_the_handshake_is_done() {
    let world = World::new();
    let log = world.client.clone();
    let silent = move || log.recorder();
    world.table.reactor().listen("tcp:443", silent).unwrap();
    let log = world.server.clone();
    let to = "tls:localhost:443:trustRoots=ca.pem";
    let connecting = world.table.reactor().connect(to, move || log.recorder());
    world.table.settle();
    connecting.cancel();
    world.table.settle();
    let why = connecting.try_result().unwrap().map(drop).unwrap_err();
    assert_eq!(why.to_string(), "connecting was cancelled");
    assert!(world.server.take().is_empty(), "it was never made");
}

#[test]
fn an_end_in_the_handshake_says_so() {
    let world = World::new();
    world.table.reactor().listen("tcp:443", || Closes).unwrap();
    let why = world
        .connect("tls:localhost:443:trustRoots=ca.pem")
        .unwrap_err();
    assert_eq!(why, "TLS: the peer ended the connection in the handshake");
}

struct Closes;

impl tress_core::Protocol for Closes {
    fn data_received(&mut self, transport: &Transport, _: &[u8]) -> tress_core::Result {
        transport.lose_connection();
        Ok(())
    }
}

#[test]
fn versions_are_as_named() {
    assert!(TlsVersion::V1_2 < TlsVersion::V1_3);
    assert_eq!(TlsVersion::V1_3.to_string(), "TLS 1.3");
}
