//! Peers that mean harm: lengths that are lies, records cut anywhere, garbage at every point, endless chains.

use super::world::{Played, World, encrypted, peer, said};
use crate::{
    Identity, Pem, ServerConfig, StartTls,
    testing::{Authority, Issued, ends, now},
};
use rustls::{
    pki_types::{CertificateDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{sync::Arc, time::Duration};
use tress_core::testing::logged;

const HANDSHAKE: u8 = 22;

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, 3, 1], &length[..], content].concat()
}

/// TLS-01: a ClientHello that declares 16 MiB, in one piece and in records of one byte.
#[test]
fn a_hello_that_declares_16_mib_is_refused_early() {
    let (server, _) = ends();
    let played = Played::new(&server);
    played
        .tester
        .receive(&record(HANDSHAKE, &[1, 0xff, 0xff, 0xff]));
    assert!(played.tester.is_closed(), "the length alone is too much");

    let played = Played::new(&server);
    let mut sent = 0;
    // 60,000 bytes are allowed; they never become whole.
    for byte in [1, 0, 0xea, 0x60].into_iter().chain(std::iter::repeat(0)) {
        played.tester.receive(&record(HANDSHAKE, &[byte]));
        sent += 6;
        if played.tester.is_closed() || sent > 600_000 {
            break;
        }
    }
    assert!(sent < 200_000, "{sent} bytes were read of one hello");
    assert_eq!(played.log.take().len(), 2, "made, lost");
}

/// TLS-01: the deadline of the handshake.
#[test]
fn a_dripped_hello_is_too_late() {
    let (server, client) = ends();
    let played = Played::new(&server);
    let hello = said(&mut *peer(&client));
    for byte in &hello[..30] {
        played.tester.receive(&[*byte]);
        played.tester.advance(Duration::from_millis(400));
    }
    let events = played.log.take();
    assert_eq!(events[1..], ["lost: the handshake timed out after 10s"]);
    // The client waits no longer.
    let world = World::new();
    let silent = world.client.clone();
    let listening = world
        .table
        .reactor()
        .listen("tcp:443", move || silent.recorder());
    listening.unwrap();
    let log = world.server.clone();
    let to = "tls:localhost:443:trustRoots=ca.pem";
    let connecting = world.table.reactor().connect(to, move || log.recorder());
    world.table.advance(Duration::from_secs(11));
    assert!(connecting.try_result().is_ok_and(|result| result.is_err()));
}

/// TLS-02.
#[test]
fn a_goodbye_inside_the_handshake_ends_it() {
    let (server, client) = ends();
    let goodbye = record(21, &[1, 0]);
    let hello = said(&mut *peer(&client));
    for before in [&[][..], &hello[..100], &hello[..]] {
        let played = Played::new(&server);
        played.tester.receive(before);
        played.tester.receive(&goodbye);
        played.tester.peer_closes_write();
        assert!(played.tester.has_ended());
        let events = played.log.take();
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events[1].starts_with("lost: "), "{events:?}");
    }
}

/// TLS-02.
#[test]
fn garbage_ends_a_connection_without_an_error_in_the_log() {
    let (server, client) = ends();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 1000],
        &[0x16; 70_000],
        &[0xff; 5],
    ] {
        let log = logged(|| {
            let played = Played::new(&server);
            played.tester.receive(garbage);
            played.tester.peer_closes_write();
            assert!(played.tester.has_ended() && !played.tester.was_aborted());
            // And after the handshake.
            let played = Played::new(&server);
            let mut peer = peer(&client);
            played.talk(&mut *peer);
            let mut records = encrypted(&mut *peer, b"whole");
            records.extend_from_slice(garbage);
            played.tester.receive(&records);
            played.tester.peer_closes_write();
            let events = played.log.take();
            assert_eq!(events[..2], ["made", "+whole"]);
            assert!(events[2].starts_with("lost: "), "{events:?}");
        });
        let errors = log.iter().filter(|line| line.starts_with("ERROR"));
        assert_eq!(errors.count(), 0, "{log:?}");
    }
}

#[test]
fn a_hello_with_any_byte_changed_harms_nobody() {
    let (server, client) = ends();
    let hello = said(&mut *peer(&client));
    for index in 0..hello.len() {
        let mut broken = hello.clone();
        broken[index] ^= 0x55;
        let played = Played::new(&server);
        played.tester.receive(&broken);
        played.tester.peer_closes_write();
        assert!(played.tester.has_ended());
        let events = played.log.take();
        assert_eq!(events.len(), 2, "{events:?}");
    }
}

#[test]
fn a_record_with_any_byte_changed_is_not_delivered() {
    let (server, client) = ends();
    let mut peer = peer(&client);
    let played = Played::new(&server);
    played.talk(&mut *peer);
    let record = encrypted(&mut *peer, b"good");
    for index in 0..record.len() {
        // Each time another session, as a failure ends one.
        let (server, client) = (&server, &client);
        let played = Played::new(server);
        let mut peer = super::world::peer(client);
        played.talk(&mut *peer);
        let mut broken = encrypted(&mut *peer, b"good");
        broken[index] ^= 1;
        played.tester.receive(&broken);
        played.tester.peer_closes_write();
        let mut events = played.log.take();
        // Kind and version of the outer record say nothing in TLS 1.3: the content is still the peer's.
        if index < 3 {
            events.retain(|event| event != "+good");
        }
        assert_eq!(events.len(), 2, "{index}: {events:?}");
        assert!(events[1].starts_with("lost: "), "{index}: {events:?}");
    }
}

#[test]
fn records_cut_at_every_byte() {
    let (server, client) = ends();
    let text = "x".repeat(40);
    for every in 1..=64 {
        let played = Played::new(&server);
        let mut peer = peer(&client);
        loop {
            let said = said(&mut *peer);
            let heard = played.tester.sent();
            if said.is_empty() && heard.is_empty() {
                break;
            }
            played.tester.receive_cut(&said, every);
            for piece in heard.chunks(every) {
                let mut piece = piece;
                while !piece.is_empty() {
                    peer.read(&mut piece).unwrap();
                }
            }
        }
        let mut records = encrypted(&mut *peer, text.as_bytes());
        records.extend(encrypted(&mut *peer, b"!"));
        peer.close();
        records.extend(said(&mut *peer));
        played.tester.receive_cut(&records, every);
        let done = "lost: connection was closed cleanly";
        let expected = ["made", &format!("+{text}!"), "read closed", done];
        assert_eq!(played.log.take(), expected, "every {every} bytes");
    }
}

#[test]
fn the_connection_may_break_at_every_byte() {
    let (server, client) = ends();
    let mut lengths = Vec::new();
    for cut in 0.. {
        let played = Played::new(&server);
        let mut peer = peer(&client);
        let hello = said(&mut *peer);
        played.tester.receive(&hello);
        let heard = played.tester.sent();
        let mut heard = &heard[..];
        while !heard.is_empty() {
            peer.read(&mut heard).unwrap();
        }
        let mut rest = said(&mut *peer);
        rest.extend(encrypted(&mut *peer, b"data"));
        if cut > rest.len() {
            break;
        }
        played.tester.receive(&rest[..cut]);
        played.tester.peer_resets();
        assert!(played.tester.has_ended());
        let events = played.log.take();
        assert_eq!(
            events
                .iter()
                .filter(|event| event.starts_with("lost"))
                .count(),
            1
        );
        lengths.push(events.len());
    }
    assert_eq!((lengths.first(), lengths.last()), (Some(&2), Some(&3)));
}

/// TLS-06: chains that are long, large, or go in circles.
#[test]
fn pathological_chains_are_refused() {
    #[track_caller]
    fn check(chain: Vec<CertificateDer<'static>>, own: &Issued) {
        let world = World::new();
        let mut all = vec![der(&own.certificate)];
        all.extend(chain);
        let pem = Pem::new("key.pem", own.pair());
        let key = Identity::from_pem(&pem, &pem, None, now()).unwrap();
        let key = CertifiedKey::new(all, Arc::clone(&key.0.key));
        let server = ServerConfig::new(Identity(Arc::new(key)));
        world.listen_with(server.build(now()).unwrap());
        let why = world
            .connect("tls:localhost:443:trustRoots=ca.pem")
            .unwrap_err();
        assert!(!why.is_empty());
        assert!(world.client.take().is_empty(), "no protocol was made");
    }
    // Every one of them could have issued every other: as many paths as there are orders.
    let same: Vec<Authority> = (0..30).map(|_| Authority::new("same")).collect();
    let circle: Vec<_> = same
        .iter()
        .zip(same.iter().cycle().skip(1))
        .map(|(one, next)| der(&one.cross("same", next)))
        .collect();
    check(circle, &same[0].issue(&["localhost"]));
    // One above the other, a hundred high.
    let mut chain = vec![Authority::new("0")];
    for height in 1..100 {
        let below = chain[height - 1].below(&height.to_string());
        chain.push(below);
    }
    let own = chain[99].issue(&["localhost"]);
    check(chain.iter().rev().map(|a| der(&a.pem())).collect(), &own);
    // More than a handshake may hold.
    let one = der(&Authority::new("large").pem());
    let large = vec![one; 65_536 / 300];
    check(large, &Authority::new("large").issue(&["localhost"]));
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn a_server_that_lies_to_a_client() {
    let (_, client) = ends();
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &record(HANDSHAKE, &[2, 0xff, 0xff, 0xff]),
        &record(21, &[2, 40]),
        &record(21, &[1, 0]),
        &record(23, b"data"),
        &[0x16, 3, 3, 0xff, 0xff],
    ] {
        let tls = client.layer("localhost").unwrap();
        let played = Played::beginning(move |transport| transport.start_tls(tls));
        played.tester.receive(answer);
        played.tester.peer_closes_write();
        assert!(played.tester.has_ended());
        assert_eq!(played.log.take().len(), 2, "made, lost");
    }
}
