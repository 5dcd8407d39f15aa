//! Bytes without an end, bytes one by one, and peers that never read: memory stays, the others are served.

use crate::{
    peer::{connect, echoes, flood, is_cut_off, probe, reset},
    testee::Testee,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

const MIB: usize = 1024 * 1024;
const PROTOCOLS: [&str; 5] = ["echo", "discard", "lines", "netstrings", "int32"];
const PROBES: usize = 50;

/// While others attack, 99 of 100 connections are served within this. A hundred milliseconds is what a machine that has
/// nothing else to do must give; tests share theirs, and a build for development is slow at short strings.
const SERVED: Duration = match cfg!(debug_assertions) {
    true => Duration::from_millis(1000),
    false => Duration::from_millis(500),
};

/// What the testee may hold more than before, bytes, although `attack` was made.
#[track_caller]
fn check_memory(testee: &mut Testee, most: usize, attack: impl FnOnce(&Testee)) {
    for _ in 0..3 {
        probe(testee);
    }
    let before = testee.resident();
    attack(testee);
    let growth = testee.peak().saturating_sub(before);
    println!("{}: grew by {growth} bytes", testee.protocol);
    assert!(growth <= most, "{}: {growth} bytes", testee.protocol);
    assert!(testee.is_alive());
    probe(testee);
}

#[track_caller]
fn check_served(testee: &Testee, mut times: Vec<Duration>) {
    times.resize_with(times.len().max(PROBES), || probe(testee));
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    println!("{}: {} probes, p99 {p99:?}", testee.protocol, times.len());
    assert!(p99 < SERVED, "{}: {p99:?}", testee.protocol);
}

#[test]
fn what_is_too_long_is_cut_off_before_it_is_kept() {
    let declared = [&0x8000_0000_u32.to_be_bytes()[..], &[b'a'; 1000]].concat();
    let attacks = [
        ("lines", vec![b'a'; MIB]),
        ("netstrings", vec![b'9'; MIB]),
        ("netstrings", b"2147483648:aaaa".to_vec()),
        ("int32", declared),
    ];
    for (protocol, bytes) in attacks {
        check_memory(&mut Testee::start(protocol), 2 * MIB, |testee| {
            assert!(is_cut_off(testee.at, &bytes), "{protocol}");
        });
    }
}

/// Every class of bytes, by how it fills a piece.
fn fill(class: Option<u8>) -> impl FnMut(&mut [u8]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    move |piece| match class {
        Some(byte) => piece.fill(byte),
        None => {
            for chunk in piece.chunks_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
            }
        }
    }
}

#[test]
fn input_without_an_end_moves_no_memory() {
    let classes = [0, 0xff, b'a', b'\r', b'\n'].map(Some);
    for protocol in PROTOCOLS {
        check_memory(&mut Testee::start(protocol), 4 * MIB, |testee| {
            // What one connection needs.
            flood(testee.at, 64 * 1024, fill(None));
            let times = thread::scope(|scope| {
                let attack = scope.spawn(|| {
                    for class in classes.into_iter().chain([None]) {
                        let end = flood(testee.at, 16 * MIB, fill(class));
                        assert!(end.cut_off || end.sent == 16 * MIB);
                        if protocol == "echo" {
                            assert_eq!(end.received, end.sent);
                        }
                    }
                });
                let mut times = Vec::new();
                while !attack.is_finished() {
                    times.push(probe(testee));
                }
                attack.join().expect("the attack as planned");
                times
            });
            check_served(testee, times);
        });
    }
}

#[test]
fn a_peer_that_never_reads_holds_back_itself_only() {
    check_memory(&mut Testee::start("echo"), 8 * MIB, |testee| {
        let mut peer = connect(testee.at);
        // Nothing is taken for so long: it is held back.
        let still = Duration::from_millis(500);
        peer.set_write_timeout(Some(still)).unwrap();
        let piece = [b'a'; 64 * 1024];
        let mut sent = 0;
        let held_back = loop {
            match peer.write(&piece) {
                Ok(count) => sent += count,
                Err(error) => break error.kind(),
            }
            assert!(sent < 64 * MIB, "everything was taken, nothing was read");
        };
        assert_eq!(held_back, ErrorKind::WouldBlock);
        println!("held back after {sent} bytes");
        check_served(testee, Vec::new());
        reset(peer);
    });
}

#[test]
fn however_bytes_are_cut_the_answer_is_whole() {
    let lines = Testee::start("lines");
    let mut line = vec![b'a'; 10 * 1024];
    line.extend(b"\r\n");
    let mut peer = connect(lines.at);
    for byte in &line {
        peer.write_all(&[*byte]).unwrap();
    }
    let mut answer = vec![0; line.len()];
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(answer, line);
    // And byte by byte with an answer in between.
    for _ in 0..20 {
        echoes(&peer, b"?\r\n");
    }
}

#[test]
fn everything_is_answered_after_a_half_close() {
    let echo = Testee::start("echo");
    let mut bytes = vec![0; MIB];
    fill(None)(&mut bytes);
    let mut peer = connect(echo.at);
    let mut answer = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&peer).write_all(&bytes).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
        });
        (&peer).read_to_end(&mut answer).unwrap();
    });
    assert!(answer == bytes, "{} bytes came back", answer.len());
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}
