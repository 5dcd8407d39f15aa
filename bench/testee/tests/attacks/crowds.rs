//! Too many at once: no descriptor left, storms of resets, and as many connections as the system allows.

use crate::{
    peer::{connect, echoes, probe, reset, served},
    testee::{Testee, skip, until},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Nothing comes for so long.
const A_WHILE: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);

/// RT-01 of the table of hostile input: as Twisted and libuv had it, an accept that fails for ever spins.
#[test]
fn without_descriptors_it_waits_and_comes_back() {
    let testee = Testee::with_descriptors("echo", 64);
    let mut open: Vec<TcpStream> = Vec::new();
    while let Some(stream) = served(testee.at, SECOND / 4) {
        open.push(stream);
        assert!(open.len() < 64, "64 descriptors are all there are");
    }
    println!("{} connections with 64 descriptors", open.len());
    assert!(open.len() >= 40, "{} connections only", open.len());

    let (before, begun) = (testee.processor_time(), Instant::now());
    let crowd: Vec<TcpStream> = (0..200).map(|_| connect(testee.at)).collect();
    quiet(&open[0], A_WHILE);
    let spent = testee.processor_time() - before;
    println!(
        "{spent:?} of {:?} spent on peers that wait",
        begun.elapsed()
    );
    assert!(spent < begun.elapsed() / 20, "{spent:?}: it spins");
    for stream in &open {
        echoes(stream, b"still here");
    }
    let refused = crowd.iter().filter(|stream| is_closed(stream)).count();
    println!("{refused} of {} refused, the others wait", crowd.len());

    drop(crowd);
    let begun = Instant::now();
    open.drain(10..).take(30).for_each(drop);
    until("service is back", || served(testee.at, SECOND / 4));
    println!("back after {:?}", begun.elapsed());
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    for stream in &open {
        echoes(stream, b"still here");
    }
}

/// Waits, and fails when anything comes.
#[track_caller]
fn quiet(mut stream: &TcpStream, how_long: Duration) {
    let patience = stream.read_timeout().unwrap();
    stream.set_read_timeout(Some(how_long)).unwrap();
    let got = stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(got, Err(ErrorKind::WouldBlock));
    stream.set_read_timeout(patience).unwrap();
}

/// Whether the other end has closed, as far as is known now.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let got = stream.read(&mut [0]).map_err(|error| error.kind());
    got != Err(ErrorKind::WouldBlock)
}

#[test]
fn a_storm_of_resets_leaves_no_descriptor_behind() {
    let mut testee = Testee::start("echo");
    let witness = connect(testee.at);
    echoes(&witness, b"before");
    let before = testee.descriptors();
    for round in 0..2000 {
        let stream = connect(testee.at);
        // Some are accepted before they are reset, some after, some in the middle of an answer.
        if round % 3 == 0 {
            std::io::Write::write_all(&mut &stream, b"data").unwrap();
        }
        reset(stream);
    }
    until("its descriptors are what they were", || {
        (testee.descriptors() == before).then_some(())
    });
    echoes(&witness, b"after");
    probe(&testee);
    assert!(testee.is_alive());
}

/// How many connections are held.
const HELD: usize = 19_000;
/// The first ones warm it up; memory is measured over as many after them.
const WARM: usize = 8_000;
/// More memory than this for an idle connection is too much, bytes.
const CONNECTION_BYTES_MAX: usize = 384;

#[test]
fn nineteen_thousand_connections_are_held() {
    let most = getrlimit(Resource::Nofile).maximum;
    if most.is_some_and(|most| most < HELD as u64 + 100) {
        return skip(
            "19,000 connections",
            &format!("{most:?} descriptors at most"),
        );
    }
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let testee = Testee::start("echo"); // inherits the limit
    let begun = Instant::now();
    let mut held = Vec::new();
    open(&testee, &mut held, WARM);
    let before = testee.resident();
    open(&testee, &mut held, WARM);
    let each = (testee.resident() - before) / WARM;
    open(&testee, &mut held, HELD - 2 * WARM);
    println!(
        "{each} bytes for one of {HELD}, open after {:?}",
        begun.elapsed()
    );
    assert!(each <= CONNECTION_BYTES_MAX, "{each} bytes for each");
    for stream in &held {
        echoes(stream, b"again");
    }
    println!("all answered twice after {:?}", begun.elapsed());
    held.into_iter().for_each(reset);
    probe(&testee);
}

/// So many more, each of which has been answered.
fn open(testee: &Testee, held: &mut Vec<TcpStream>, count: usize) {
    for _ in 0..count {
        let stream = connect(testee.at);
        echoes(&stream, b"once");
        held.push(stream);
    }
}
