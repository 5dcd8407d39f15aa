//! What reactors see of the virtual network. No test waits for real time.

use crate::peer::{Peer, Seen, refused_by};
use bytes::Bytes;
use std::{cell::Cell, io, rc::Rc, time::Duration};
use tress_core::{
    Deferred, Failure, Reactor, Time,
    error::{ConnectionDone, Deadline, TimedOut},
};
use tress_sim::World;

/// A world with a server at 10.0.0.1 and a client at 10.0.0.2.
fn pair(seed: u64) -> (World, Reactor, Reactor) {
    let world = World::new(seed);
    let server = Reactor::with(world.host("10.0.0.1"));
    let client = Reactor::with(world.host("10.0.0.2"));
    (world, server, client)
}

/// Listens with `server` at port 7 and connects `client` to it.
fn join(server: &Reactor, client: &Reactor, listens: &Peer, connects: &Peer) -> (Seen, Seen) {
    let seen = (listens.seen.clone(), connects.seen.clone());
    let listens = listens.clone();
    server
        .listen("tcp:7", move || listens.clone())
        .expect("nobody else listens");
    client
        .connect_protocol("tcp:10.0.0.1:7", connects.clone())
        .detach();
    seen
}

fn failure_of<T: 'static>(deferred: Deferred<T>) -> Rc<Cell<Option<Failure>>> {
    let result: Rc<Cell<Option<Failure>>> = Rc::default();
    let place = Rc::clone(&result);
    deferred
        .add_both(move |result| {
            place.set(result.err());
            Ok(())
        })
        .detach();
    result
}

#[test]
fn nobody_listens_and_the_answer_takes_its_time() {
    let (world, server, client) = pair(1);
    let failure = failure_of(client.connect("tcp:10.0.0.1:7", Peer::silent));
    world.run_until_idle(&[&server, &client]).unwrap();
    let failure = failure.take().unwrap();
    assert_eq!(
        refused_by(&failure),
        Some(io::ErrorKind::ConnectionRefused),
        "{failure:?}"
    );
    let took = world.now().since(Time(0));
    assert!(took >= Duration::from_millis(1) && took <= Duration::from_millis(3));
    assert_eq!(world.statistics().refused, 1);
}

#[test]
fn a_host_that_is_not_there_never_answers() {
    let (world, _server, client) = pair(1);
    let failure = failure_of(client.connect("tcp:10.0.0.99:7", Peer::silent));
    world.run_until_idle(&[&client]).unwrap();
    let failure = failure.take().unwrap();
    let late = failure.check::<TimedOut>().unwrap();
    assert_eq!(late.deadline, Deadline::Connect);
    assert_eq!(world.now(), Time(0) + client.limits().connect);
    assert_eq!(world.statistics().segments, 0);
}

#[test]
fn a_mebibyte_comes_back_through_windows_that_fill() {
    let (world, server, client) = pair(7);
    let bytes: Vec<u8> = (0..1_048_576_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let sender = Peer {
        // Or both sides would wait for the other to read.
        made: |transport, _| transport.read_when_full(true),
        ..Peer::silent()
    };
    let (listens, connects) = join(&server, &client, &Peer::echo(), &sender);
    world.run_until_idle(&[&server, &client]).unwrap();
    connects.transport().write_bytes(Bytes::from(bytes.clone()));
    world.run_until_idle(&[&server, &client]).unwrap();
    assert!(*connects.bytes.borrow() == bytes);
    assert!(*listens.bytes.borrow() == bytes);
    assert!(connects.paused.get() > 0, "the window never filled");
    assert_eq!(client.statistics().queued_bytes, 0);
    assert_eq!(world.statistics().bytes, 2 * 1_048_576);
    let chunks = connects.chunks.borrow();
    let smallest = chunks.iter().min().unwrap();
    let largest = chunks.iter().max().unwrap();
    assert!(smallest * 10 < *largest, "{smallest} to {largest}");
    assert!(*largest <= server.limits().bytes_per_turn);
}

#[test]
fn small_messages_are_cut_and_joined() {
    let (world, server, client) = pair(3);
    let (listens, connects) = join(&server, &client, &Peer::silent(), &Peer::silent());
    world.run_until_idle(&[&server, &client]).unwrap();
    for _ in 0..50 {
        connects.transport().write(b"0123456789");
        world.run_until_idle(&[&server, &client]).unwrap();
        connects.transport().write(b"ab");
        client.turn(Some(Duration::ZERO)).unwrap();
        connects.transport().write(b"cd");
        world.run_until_idle(&[&server, &client]).unwrap();
    }
    assert_eq!(listens.text(), "0123456789abcd".repeat(50));
    let chunks = listens.chunks.borrow();
    assert!(chunks.contains(&10) && chunks.contains(&3) && chunks.contains(&4));
}

#[test]
fn the_client_closes_its_half_first() {
    let (world, server, client) = pair(1);
    let listens = Peer {
        end: |transport, _| {
            transport.write(b"answer");
            transport.lose_connection();
        },
        ..Peer::silent()
    };
    let connects = Peer {
        made: |transport, _| {
            transport.write(b"question");
            transport.lose_write_connection();
        },
        ..Peer::silent()
    };
    let (listens, connects) = join(&server, &client, &listens, &connects);
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!(
        (listens.text(), connects.text()),
        ("question".into(), "answer".into())
    );
    check_done(&listens, 1);
    check_done(&connects, 1);
}

#[test]
fn the_server_closes_its_half_first() {
    let (world, server, client) = pair(1);
    let listens = Peer {
        made: |transport, _| {
            transport.write(b"greeting");
            transport.lose_write_connection();
        },
        ..Peer::silent()
    };
    let connects = Peer {
        end: |transport, _| {
            transport.write(b"goodbye");
            transport.lose_write_connection();
        },
        ..Peer::silent()
    };
    let (listens, connects) = join(&server, &client, &listens, &connects);
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!(
        (listens.text(), connects.text()),
        ("goodbye".into(), "greeting".into())
    );
    check_done(&listens, 1);
    check_done(&connects, 1);
}

#[track_caller]
fn check_done(seen: &Seen, read_closed: usize) {
    assert_eq!(seen.read_closed.get(), read_closed);
    let lost = seen.lost.borrow();
    let reason = lost.as_ref().expect("it has ended");
    assert!(reason.check::<ConnectionDone>().is_some(), "{reason:?}");
}

#[test]
fn an_abort_resets_the_peer_and_drops_what_it_did_not_read() {
    let (world, server, client) = pair(1);
    let listens = Peer {
        made: |transport, _| transport.pause_producing(),
        ..Peer::silent()
    };
    let (listens, connects) = join(&server, &client, &listens, &Peer::silent());
    world.run_until_idle(&[&server, &client]).unwrap();
    connects.transport().write(b"lost");
    world.run_until_idle(&[&server, &client]).unwrap();
    connects.transport().abort_connection();
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!(listens.broken_by(), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(listens.text(), "");
    assert_eq!(connects.broken_by(), None);
    assert!(connects.is_lost());
    assert_eq!(world.statistics().resets, 1);
}

#[test]
fn bytes_for_an_end_that_has_closed_are_answered_by_a_reset() {
    let (world, server, client) = pair(1);
    let listens = Peer {
        made: |transport, _| transport.lose_connection(),
        ..Peer::silent()
    };
    let (listens, connects) = join(&server, &client, &listens, &Peer::silent());
    world.run_until_idle(&[&server, &client]).unwrap();
    check_done(&listens, 0);
    assert_eq!(connects.read_closed.get(), 1);
    assert!(!connects.is_lost());
    connects.transport().write(b"too late");
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!(connects.broken_by(), Some(io::ErrorKind::ConnectionReset));
}

#[test]
fn nothing_is_delivered_while_paused_and_everything_after() {
    let (world, server, client) = pair(1);
    let listens = Peer {
        made: |transport, _| transport.pause_producing(),
        ..Peer::silent()
    };
    let (listens, connects) = join(&server, &client, &listens, &Peer::silent());
    world.run_until_idle(&[&server, &client]).unwrap();
    connects.transport().write(b"patience");
    connects.transport().lose_write_connection();
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!(
        (listens.text(), listens.read_closed.get()),
        (String::new(), 0)
    );
    listens.transport().resume_producing();
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!(
        (listens.text(), listens.read_closed.get()),
        ("patience".into(), 1)
    );
}

/// Three clients talk to an echo server; the hash of all that.
fn conversation(seed: u64) -> u64 {
    let world = World::new(seed);
    let server = Reactor::with(world.host("10.0.0.1"));
    server.listen("tcp:7", Peer::echo).expect("it is free");
    let clients = ["10.0.0.2", "10.0.0.3", "10.0.0.3"].map(|ip| Reactor::with(world.host(ip)));
    for client in &clients {
        let peer = Peer {
            made: |transport, _| transport.write(&[7; 5000]),
            ..Peer::silent()
        };
        client.connect_protocol("tcp:10.0.0.1:7", peer).detach();
    }
    let reactors: Vec<&Reactor> = clients.iter().chain([&server]).collect();
    world.run_until_idle(&reactors).expect("it ends");
    assert_eq!(world.statistics().bytes, 30_000);
    world.trace_hash()
}

#[test]
fn a_seed_decides_the_trace() {
    assert_eq!(conversation(1), conversation(1));
    assert_eq!(conversation(2), conversation(2));
    assert_ne!(conversation(1), conversation(2));
    assert_ne!(conversation(1), World::new(1).trace_hash());
}

#[test]
fn a_hundred_years_pass_at_once() {
    let (world, server, _client) = pair(1);
    let century = Duration::from_secs(100 * 365 * 86_400);
    let stopping = server.clone();
    server.call_later(century, move || stopping.stop());
    server.run().unwrap();
    assert!(world.now() >= Time(0) + century);
    assert!(world.now() <= Time(0) + century + Duration::from_secs(10));
}

#[test]
fn a_loop_that_waits_for_nothing_is_told_so() {
    let (_world, server, _client) = pair(1);
    server.listen("tcp:7", Peer::echo).unwrap();
    let text = format!("{:?}", server.run().unwrap_err());
    assert!(text.contains("deadlock"), "{text}");
}

#[test]
fn one_reactor_talks_to_itself_without_a_crank() {
    let world = World::new(5);
    let reactor = Reactor::with(world.host("10.0.0.1"));
    reactor.listen("tcp:7", Peer::echo).unwrap();
    let client = Peer {
        made: |transport, _| transport.write(b"hello"),
        data: |transport, _| {
            let reactor = transport.reactor().expect("it runs");
            if transport.statistics().received == 5 {
                reactor.stop().expect("it runs");
            }
        },
        ..Peer::silent()
    };
    let seen = client.seen.clone();
    reactor.connect_protocol("tcp:localhost:7", client).detach();
    reactor.run().unwrap();
    assert_eq!(seen.text(), "hello");
}

#[test]
fn quiet_connections_end_by_their_deadline_only_when_time_is_let_pass() {
    let (world, server, client) = pair(1);
    let (listens, connects) = join(&server, &client, &Peer::echo(), &Peer::silent());
    world.run_until_idle(&[&server, &client]).unwrap();
    assert!(world.now() < Time(0) + Duration::from_secs(1));
    assert!(!listens.is_lost());
    world
        .run_for(Duration::from_secs(62), &[&server, &client])
        .unwrap();
    let lost = listens.lost.take().unwrap();
    assert_eq!(lost.check::<TimedOut>().unwrap().deadline, Deadline::Idle);
    assert_eq!(connects.broken_by(), Some(io::ErrorKind::ConnectionReset));
}

#[test]
fn accepting_survives_a_want_of_descriptors() {
    let (world, server, client) = pair(1);
    server.listen("tcp:7", Peer::echo).unwrap();
    // The port and one connection.
    world.set_descriptor_limit("10.0.0.1", Some(2));
    let peers = [(); 3].map(|()| Peer {
        made: |transport, _| transport.write(b"hello"),
        ..Peer::silent()
    });
    for peer in &peers {
        client
            .connect_protocol("tcp:10.0.0.1:7", peer.clone())
            .detach();
    }
    world.run_until_idle(&[&server, &client]).unwrap();
    let answered = || peers.each_ref().map(|peer| peer.seen.text() == "hello");
    let count = || answered().iter().filter(|yes| **yes).count();
    assert_eq!((count(), server.statistics().accept_errors), (1, 1));

    let first = answered().iter().position(|yes| *yes).unwrap();
    peers[first].seen.transport().lose_connection();
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!((count(), server.statistics().accept_errors), (2, 2));

    world.set_descriptor_limit("10.0.0.1", None);
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!((count(), server.statistics().accept_errors), (3, 2));
}

#[test]
fn links_are_as_slow_as_the_policy_says() {
    let (world, server, client) = pair(1);
    let mut policy = world.policy();
    policy.latency = Duration::from_secs(1);
    policy.jitter = Duration::ZERO;
    world.set_policy(policy);
    let (_, connects) = join(&server, &client, &Peer::echo(), &Peer::silent());
    world.run_until_idle(&[&server, &client]).unwrap();
    assert_eq!(world.now(), Time(2_000_000_000));
    assert!(connects.transport.borrow().is_some());
}

#[test]
fn what_repeats_for_ever_is_found_out() {
    fn again(reactor: &Reactor, after: Duration) {
        let next = reactor.clone();
        reactor.call_later(after, move || again(&next, after));
    }
    for after in [Duration::ZERO, Duration::from_secs(1)] {
        let (world, server, _client) = pair(1);
        again(&server, after);
        assert!(world.run_until_idle(&[&server]).is_err());
    }
}

/// One connection whose ends do things at random; what arrived must be a beginning of what was sent, and all of it
/// when nobody aborted.
fn storm(seed: u64) -> u64 {
    let (world, server, client) = pair(seed);
    let mut policy = world.policy();
    policy.window = 1 + 37 * usize::try_from(seed % 50).expect("it is small");
    world.set_policy(policy);
    let peer = Peer {
        made: |transport, _| transport.read_when_full(true),
        ..Peer::silent()
    };
    let another = Peer {
        seen: Seen::default(),
        ..peer
    };
    let (listens, connects) = join(&server, &client, &another, &peer);
    world.run_until_idle(&[&server, &client]).expect("it ends");
    let mut sent = [Vec::new(), Vec::new()];
    let mut open = [true; 2];
    let mut aborted = false;
    for _ in 0..30 {
        let random = server.entropy();
        let side = usize::from(random & 1 == 1);
        let (seen, sent) = ([&connects, &listens][side], &mut sent[side]);
        match random >> 1 & 15 {
            0..=7 if open[side] => {
                let bytes: Vec<u8> = random.to_le_bytes().repeat(1 + (random >> 8 & 63) as usize);
                seen.transport().write(&bytes);
                sent.extend(bytes);
            }
            8 => seen.transport().pause_producing(),
            9 | 10 => seen.transport().resume_producing(),
            11 if random >> 8 & 3 == 0 => {
                seen.transport().lose_write_connection();
                open[side] = false;
            }
            12 if random >> 8 & 7 == 0 => {
                seen.transport().abort_connection();
                (open, aborted) = ([false; 2], true);
            }
            _ => {
                let some = Duration::from_micros(random >> 8 & 4095);
                world
                    .run_for(some, &[&server, &client])
                    .expect("it goes on");
            }
        }
    }
    for seen in [&listens, &connects] {
        seen.transport().resume_producing();
    }
    world.run_until_idle(&[&server, &client]).expect("it ends");
    for (got, sent) in [(&listens, &sent[0]), (&connects, &sent[1])] {
        let got = got.bytes.borrow();
        assert!(sent.starts_with(&got), "seed {seed}");
        assert!(aborted || got.len() == sent.len(), "seed {seed}");
        assert_eq!(listens.is_lost(), connects.is_lost(), "seed {seed}");
    }
    world.trace_hash()
}

#[test]
fn nothing_is_lost_or_mixed_up_whatever_both_ends_do() {
    let hashes: Vec<u64> = (0..300).map(storm).collect();
    for seed in [0, 1, 2, 299] {
        assert_eq!(storm(seed), hashes[usize::try_from(seed).unwrap()]);
    }
}
