//! What is wrong on the command line ends the program with 2, naming the endpoint and the reason.

use std::{net::TcpListener, process::Command};

#[track_caller]
fn check(arguments: &[&str], message: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tress-testee"));
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("tress-testee: {message}\n"));
    assert_eq!(output.status.code(), Some(2));
}

const USAGE: &str = "usage: tress-testee echo|discard|lines|netstrings|int32 --at ENDPOINT [--driver mio|uring] [--workers N]";

#[test]
fn what_is_not_known_is_refused() {
    let unknown = format!("no protocol `chargen`; {USAGE}");
    check(&["chargen", "--at", "tcp:0"], &unknown);
    let unknown = format!("no driver `poll` here; {USAGE}");
    check(&["echo", "--at", "tcp:0", "--driver", "poll"], &unknown);
    let unknown = format!("no number `two`; {USAGE}");
    check(&["echo", "--at", "tcp:0", "--workers", "two"], &unknown);
    check(
        &["echo", "--at", "tcp:65536"],
        "endpoint `tcp:65536`: port `65536` is no number from 0 to 65535",
    );
    check(
        &["echo", "--at", "tcp:0:backlgo=5"],
        "endpoint `tcp:0:backlgo=5`: unknown option `backlgo`; expected one of `port`, `interface`, \
         `backlog`, `reuse`; did you mean `backlog`?",
    );
}

#[test]
fn where_nothing_can_listen_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    check(
        &["echo", "--at", &format!("tcp:{port}:interface=127.0.0.1")],
        &format!("cannot listen at 127.0.0.1:{port}: Address already in use (os error 98)"),
    );
    check(
        &["echo", "--at", "tcp:0:interface=192.0.2.1"],
        "cannot listen at 192.0.2.1:0: Cannot assign requested address (os error 99)",
    );
    check(
        &["echo", "--at", "unix:/absent/socket"],
        "cannot listen at /absent/socket: cannot use the lock file /absent/socket.lock: \
         No such file or directory (os error 2)",
    );
}
