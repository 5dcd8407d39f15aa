//! Echo over every kind of endpoint that the program knows: a kind without a case here fails.

use crate::{
    peer::connect,
    testee::{PATIENCE, Testee, skip},
};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
};
use tress::endpoint::Side;

const WORDS: &[u8] = b"hello";

/// Sends `before` and words, and gets the words back.
fn echo(mut stream: impl Read + Write, before: &[u8]) {
    stream.write_all(before).unwrap();
    stream.write_all(WORDS).unwrap();
    let mut answer = [0; WORDS.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, WORDS);
}

fn check(kind: &str) {
    match kind {
        "tcp" => {
            let testee = Testee::start("echo");
            echo(connect(testee.at), b"");
        }
        "tcp6" => {
            if !fs::exists("/proc/net/if_inet6").unwrap_or(false) {
                return skip("tcp6", "no IPv6 here");
            }
            let testee = Testee::start_at("echo", r"tcp6:0:interface=\:\:1");
            echo(connect(testee.at), b"");
        }
        "unix" => {
            if std::env::var("TRESS_TESTEE_DRIVER").is_ok_and(|driver| driver != "mio") {
                return skip("UNIX sockets", "only the driver mio has them");
            }
            let path = std::env::temp_dir().join(format!("tress-kinds-{}", std::process::id()));
            let testee = Testee::start_at("echo", &format!("unix:{}", path.display()));
            let stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            echo(stream, b"");
            testee.terminate();
        }
        "haproxy" => {
            let testee = Testee::start_at("echo", "haproxy:tcp:0:interface=127.0.0.1");
            echo(
                connect(testee.at),
                b"PROXY TCP4 203.0.113.5 198.51.100.7 4711 7\r\n",
            );
        }
        _ => panic!("`{kind}:` has no case here"),
    }
}

#[test]
fn echo_is_served_at_every_kind_of_endpoint() {
    let reactor = tress::reactor().unwrap();
    for (kind, usage) in reactor.endpoint_kinds(Side::Server) {
        println!("{usage}");
        check(&kind);
    }
}
