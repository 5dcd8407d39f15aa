//! System calls that fail: each costs nothing, or the one connection it was for, and never the program. The kernel is
//! made to fail them by `strace`, once in each run. Each call of many scenarios, without a peer outside: see
//! `crates/os/tests/faults`.

use crate::testee::{Testee, skip, until};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The call, the error, and how many of the peers it may cost. A false `EAGAIN` of a read is not here: whoever
/// believes in edges could not know that there still is something to read.
const FAULTS: &[(&str, &str, usize)] = &[
    ("recvfrom", "EINTR", 0),
    ("recvfrom", "ECONNRESET", 1),
    ("recvfrom", "ETIMEDOUT", 1),
    ("recvfrom", "ENOMEM", 1),
    ("recvfrom", "ENOBUFS", 1),
    ("sendto", "EINTR", 0),
    ("sendto", "EAGAIN", 0),
    ("sendto", "EPIPE", 1),
    ("sendto", "ECONNRESET", 1),
    ("sendto", "ENOBUFS", 1),
    ("accept4", "EINTR", 0),
    ("accept4", "ECONNABORTED", 0),
    ("accept4", "EMFILE", 1),
    ("accept4", "ENFILE", 1),
    ("accept4", "ENOMEM", 1),
    ("epoll_wait", "EINTR", 0),
];

/// Peers in each run, one after the other.
const PEERS: usize = 5;
/// A program that spins would use more.
const PROCESSOR_TIME: Duration = Duration::from_millis(700);

#[test]
fn a_system_call_that_fails_costs_at_most_its_connection() {
    if !cfg!(target_arch = "x86_64") || std::env::var_os("TRESS_TESTEE_DRIVER").is_some() {
        return skip(
            "faults",
            "the names of the calls are those of mio on x86_64",
        );
    }
    for &(call, error, most) in FAULTS {
        for when in 1..=2 {
            let mut testee = Testee::start("echo");
            let Some(mut strace) = inject(&testee, call, error, when) else {
                return skip("faults", "strace is missing, or may not trace");
            };
            let before = testee.processor_time();
            let lost = (0..PEERS).filter(|_| !is_served(testee.at)).count();
            let spent = testee.processor_time() - before;
            strace.kill().ok();
            strace.wait().ok();
            let what = format!("{call} number {when} fails with {error}");
            assert!(lost <= most, "{what}: {lost} peers lost");
            assert!(
                spent < PROCESSOR_TIME,
                "{what}: {spent:?} of processor time"
            );
            assert!(testee.is_alive(), "{what}");
            assert!(is_served(testee.at), "{what}: nobody is served any more");
        }
    }
}

/// Makes the `when`-th such call of the program fail, from when this returns.
fn inject(testee: &Testee, call: &str, error: &str, when: usize) -> Option<Child> {
    let mut strace = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-p", &testee.process().to_string()])
        .args(["-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:error={error}:when={when}")])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    // It says that it has attached, or why not.
    let mut said = String::new();
    let mut stderr = strace.stderr.take()?;
    let attached = until("strace speaks", || {
        let mut byte = [0];
        match stderr.read(&mut byte) {
            Ok(1) => said.push(char::from(byte[0])),
            _ => return Some(false),
        }
        said.contains("attached").then_some(true)
    });
    // Whatever it says later must not block it.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    attached.then_some(strace)
}

/// Whether a new peer gets its bytes back.
fn is_served(at: SocketAddr) -> bool {
    let exchange = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"hello")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"hello")
    };
    exchange().unwrap_or(false)
}
