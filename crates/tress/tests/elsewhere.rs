//! What only the operating system has, asked of a simulated reactor: a clear error, and nothing is touched.
#![cfg(target_os = "linux")]

use std::os::fd::OwnedFd;
use tress::{Failure, Protocol, Reactor, watch::Watcher};

struct Quiet;

impl Protocol for Quiet {}

const NOTHING_ADOPTED: &str = "this driver takes over nothing that was opened elsewhere";

fn reactor() -> Reactor {
    Reactor::with(tress_sim::World::new(1).host("10.0.0.1"))
}

#[track_caller]
fn check(failure: &Failure, beginning: &str) {
    let text = failure.to_string();
    assert!(text.starts_with(beginning), "{text}");
    assert!(text.ends_with(NOTHING_ADOPTED), "{text}");
}

#[test]
fn files_are_not_watched_in_the_simulator() {
    let failure = Watcher::new(&reactor()).expect_err("it has none");
    check(&failure, "watching files: could not connect: ");
}

/// And they are free for a reactor that can.
#[test]
fn standard_input_and_output_are_not_taken() {
    let reactor = reactor();
    for _ in 0..2 {
        let taken = tress::stdio(&reactor, Quiet);
        let failure = reactor.run_until(taken).expect_err("it has none");
        check(&failure, "could not connect: ");
    }
    reactor.endpoint_kind("stdio", tress_os::stdio::Stdio);
    for _ in 0..2 {
        let failure = reactor.listen("stdio:", || Quiet).expect_err("it has none");
        check(&failure, "cannot listen at stdio:: ");
    }
}

#[test]
fn pipes_are_not_adopted() {
    let (reader, _writer) = std::io::pipe().expect("there is a pipe");
    let reactor = reactor();
    let adopted = reactor.adopt_files(Some(OwnedFd::from(reader).into()), None, Quiet);
    let failure = reactor.run_until(adopted).expect_err("it has none");
    check(&failure, "could not connect: ");
}

/// The kinds are known to a reactor of the system, and say what is wrong before anything is opened.
#[test]
fn endpoints() {
    let reactor = tress::reactor().expect("there is room");
    let problem = |at: &str| {
        let side = tress::endpoint::Side::Server;
        let failure = reactor.check_endpoint(at, side).expect_err("it is wrong");
        failure.to_string()
    };
    let text = problem("stdio:x");
    assert_eq!(
        text,
        "endpoint `stdio:x`: `x` is one part too many; expected `stdio:`"
    );
    let text = problem("stdio:x=1");
    assert!(text.ends_with("expected `stdio:`"), "{text}");
    let text = problem("systemd:domain=INET");
    assert!(
        text.ends_with("expected either `index` or `name`"),
        "{text}"
    );
    let text = problem("systemd:domain=INET:index=x");
    assert!(text.contains("index `x` is no number"), "{text}");
    let client = reactor.check_endpoint("stdio:", tress::endpoint::Side::Client);
    let text = client.expect_err("it is to listen at").to_string();
    assert!(
        text.ends_with("`stdio:` is to listen at, and nothing to connect to"),
        "{text}"
    );
}
