//! Programs that others wrote as peers: netcat, and Twisted. Skips what is not installed, and says so.

use crate::testee::{Testee, skip, until};
use std::{
    ffi::OsStr,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    thread,
};

const TWISTED_PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/twisted_peer.py");

/// Runs a program to its end, which must come in time: whether it succeeded, and what it printed.
fn run(command: &mut Command, input: &[u8]) -> (bool, Vec<u8>) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Killed(command.spawn().expect("the program starts"));
    let mut stdin = child.0.stdin.take().unwrap();
    let mut stdout = child.0.stdout.take().unwrap();
    let mut output = Vec::new();
    let status = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).ok());
        let output = &mut output;
        scope.spawn(move || stdout.read_to_end(output).ok());
        let status = until("the peer ends", || child.0.try_wait().unwrap());
        status.success()
    });
    (status, output)
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn netcat() {
    let help = Command::new("nc").arg("-h").output();
    let help = help.map(|output| [output.stdout, output.stderr].concat());
    if !help.is_ok_and(|text| String::from_utf8_lossy(&text).contains("OpenBSD")) {
        return skip("netcat", "no nc of OpenBSD on the PATH");
    }
    let lines = Testee::start("lines");
    let longest = "a".repeat(16_384);
    let (address, port) = (lines.at.ip().to_string(), lines.at.port().to_string());
    // -C sends CR LF, -N closes its end after its input.
    let mut command = Command::new("nc");
    command.args(["-C", "-N", "-w", "5", &address, &port]);
    let (ok, output) = run(
        &mut command,
        format!("hello\n\n{longest}\nend\n").as_bytes(),
    );
    let expected = format!("hello\r\n\r\n{longest}\r\nend\r\n");
    assert!(output == expected.as_bytes(), "{} bytes", output.len());
    assert!(ok, "nc failed");
}

#[test]
fn twisted() {
    let Some(python) = std::env::var_os("TRESS_PYTHON") else {
        return skip("Twisted", "TRESS_PYTHON names no Python that has it");
    };
    for protocol in ["lines", "netstrings", "int32"] {
        let testee = Testee::start(protocol);
        let port = testee.at.port().to_string();
        let mut command = Command::new(&python);
        command.args([TWISTED_PEER, protocol, &port].map(OsStr::new));
        let (ok, output) = run(&mut command, b"");
        let output = String::from_utf8_lossy(&output);
        assert!(
            ok && output.ends_with("all as expected\n"),
            "{protocol}: {output}"
        );
    }
}
