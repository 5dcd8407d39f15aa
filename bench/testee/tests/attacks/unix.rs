//! The program on a UNIX socket: it serves there, and leaves nothing behind.

use crate::testee::{skip, until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
};

#[test]
fn echo_and_discard_serve_at_a_unix_socket() {
    if std::env::var("TRESS_TESTEE_DRIVER").is_ok_and(|driver| driver != "mio") {
        return skip("UNIX sockets", "only the driver mio has them");
    }
    let directory = std::env::temp_dir().join(format!("tress-testee-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let socket = directory.join("socket");
    for (protocol, answer) in [("echo", "hello"), ("discard", "")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tress-testee"));
        command.args([protocol, "--at", &format!("unix:{}", socket.display())]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, format!("listening at {}\n", socket.display()));
        let mut peer = UnixStream::connect(&socket).unwrap();
        peer.write_all(b"hello").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        assert_eq!(said, answer);
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = until("the testee stops", || child.try_wait().unwrap());
        assert!(status.success());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "{protocol}");
    }
    fs::remove_dir(&directory).unwrap();
}
