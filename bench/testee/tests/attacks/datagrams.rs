//! The program as a datagram server: RFC 862 and RFC 863 over UDP and UNIX sockets, many datagrams with one system call,
//! and a flood that ends nothing.

use crate::testee::{PATIENCE, skip, until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

fn has_datagrams() -> bool {
    let has = std::env::var("TRESS_TESTEE_DRIVER").map_or(true, |driver| driver == "mio");
    if !has {
        skip("datagrams", "only the driver mio has them");
    }
    has
}

/// A directory that is gone when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("tress-testee-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The program, and where it says that it is.
struct Testee(Child, String);

impl Testee {
    fn start(mut command: Command, protocol: &str, at: &str) -> Self {
        command.args([protocol, "--at", at]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let at = line.trim_end().strip_prefix("listening at ");
        Self(child, at.expect("it says where").to_owned())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = until("the testee stops", || self.0.try_wait().unwrap());
        assert!(status.success());
    }
}

impl Drop for Testee {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tress-testee"))
}

fn connected(to: &str) -> UdpSocket {
    let to: SocketAddr = to.parse().expect("an address");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What comes back for a datagram.
fn answer(socket: &UdpSocket, data: &[u8]) -> Vec<u8> {
    socket.send(data).unwrap();
    let mut buffer = vec![0; 70_000];
    let length = socket.recv(&mut buffer).expect("it answers");
    buffer.truncate(length);
    buffer
}

#[test]
fn echo_and_discard_serve_over_udp() {
    if !has_datagrams() {
        return;
    }
    let echo = Testee::start(program(), "echo", "udp:0:interface=127.0.0.1");
    let client = connected(&echo.1);
    for data in [vec![], b"hello".to_vec(), vec![7; 65_507]] {
        assert_eq!(answer(&client, &data), data);
    }
    echo.stop();
    let discard = Testee::start(program(), "discard", "udp:0:interface=127.0.0.1");
    let client = connected(&discard.1);
    client.send(b"hello").unwrap();
    let short = Some(Duration::from_millis(50));
    client.set_read_timeout(short).unwrap();
    client.recv(&mut [0; 9]).expect_err("it says nothing");
    discard.stop();
}

#[test]
fn echo_and_discard_serve_at_a_unix_datagram_socket() {
    if !has_datagrams() {
        return;
    }
    let directory = Directory::new("datagrams");
    let (socket, own) = (directory.0.join("socket"), directory.0.join("own"));
    for (protocol, answers) in [("echo", true), ("discard", false)] {
        let at = format!("unixgram:{}", socket.display());
        let testee = Testee::start(program(), protocol, &at);
        let client = UnixDatagram::bind(&own).unwrap();
        let wait = if answers {
            PATIENCE
        } else {
            Duration::from_millis(50)
        };
        client.set_read_timeout(Some(wait)).unwrap();
        client.send_to(b"hello", &socket).unwrap();
        let mut buffer = [0; 9];
        let received = client.recv(&mut buffer).ok();
        assert_eq!(received, answers.then_some(5));
        testee.stop();
        fs::remove_file(&own).unwrap();
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
    }
}

/// What came while the program slept is received with one system call, and all answers leave with one.
#[test]
fn a_batch_is_one_system_call_each_way() {
    if !has_datagrams() {
        return;
    }
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("system calls", "no strace on the PATH");
    }
    let directory = Directory::new("strace");
    let trace = directory.0.join("trace");
    let mut command = Command::new("strace");
    // -D: the program is our child, and strace its.
    command.args(["-D", "-f", "-e", "trace=recvmmsg,sendmmsg", "-o"]);
    command.arg(&trace).arg(env!("CARGO_BIN_EXE_tress-testee"));
    let echo = Testee::start(command, "echo", "udp:0:interface=127.0.0.1");
    let client = connected(&echo.1);
    answer(&client, b"awake");
    echo.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", echo.0.id());
    until("the testee sleeps", || {
        let stat = fs::read_to_string(&stat).unwrap();
        let state = stat.rsplit(") ").next().unwrap_or_default();
        state.starts_with(['T', 't']).then_some(())
    });
    for number in 0..20 {
        client.send(&[number]).unwrap();
    }
    echo.signal(Signal::CONT);
    let answers: Vec<u8> = (0..20)
        .map(|_| {
            let mut buffer = [0; 9];
            client.recv(&mut buffer).expect("it answers");
            buffer[0]
        })
        .collect();
    assert_eq!(answers, (0..20).collect::<Vec<u8>>());
    echo.stop();
    let trace = until("strace has written", || {
        let text = fs::read_to_string(&trace).unwrap();
        text.contains("exited").then_some(text)
    });
    for call in ["recvmmsg(", "sendmmsg("] {
        let calls = trace.lines().filter(|line| line.contains(call));
        let counts: Vec<&str> = calls
            .filter_map(|line| line.rsplit("= ").next())
            .filter(|count| !count.starts_with('-'))
            .collect();
        assert_eq!(counts, ["1", "20"], "{trace}");
    }
}

/// More than the program takes: some are lost, and the program serves on with what memory it had.
#[test]
fn a_flood_is_survived() {
    if !has_datagrams() {
        return;
    }
    let echo = Testee::start(program(), "echo", "udp:0:interface=127.0.0.1");
    let flood = connected(&echo.1);
    for _ in 0..20_000 {
        // Nobody reads the answers; the system may say so.
        flood.send(&[7; 1000]).ok();
    }
    let client = connected(&echo.1);
    let again = Some(Duration::from_millis(200));
    client.set_read_timeout(again).unwrap();
    until("it answers", || {
        client.send(b"hello").ok();
        let mut buffer = [0; 9];
        (client.recv(&mut buffer).ok() == Some(5)).then_some(())
    });
    echo.stop();
}
