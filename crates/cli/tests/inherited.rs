//! `tress run` at a socket that was opened before it was started, as systemd does it.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A file that serves finger at this endpoint; gone after the test.
struct Config(PathBuf);

impl Config {
    fn new(name: &str, at: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tress-{name}-{}.toml", std::process::id()));
        let text = format!(
            "[app]\nname = 'test'\n[provide.users]\nkind = 'finger.memory'\nusers = {{ moshez = 'Happy and well' }}\n\
             [[serve]]\nwhat = 'users'\nas = 'finger'\nat = '{at}'\n"
        );
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Starts it with this socket as descriptor 3.
fn start(config: &Config, socket: TcpListener, variables: &str) -> Child {
    let script = format!("exec 3<&0 </dev/null; {variables} exec \"$0\" run \"$1\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_tress")])
        .arg(&config.0)
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

const FINGER: &str = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=finger.socket";

/// What it answers, and then it is told to stop.
#[track_caller]
fn check(name: &str, at: &str, header: &str) {
    let config = Config::new(name, at);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut running = start(&config, socket, FINGER);
    // The socket is there before the program is.
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(header.as_bytes()).unwrap();
    client.write_all(b"moshez\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "Happy and well\r\n");
    let mut log = BufReader::new(running.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening at") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
    }
    assert!(line.contains(&format!("({address})")), "{line}");
    let pid = running.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(0));
}

#[test]
fn it_serves_at_an_inherited_socket() {
    check("name", "systemd:domain=INET:name=finger.socket", "");
    let header = "PROXY TCP4 203.0.113.5 198.51.100.7 4711 79\r\n";
    check("proxy", "haproxy:systemd:domain=INET:index=0", header);
}

#[test]
fn a_socket_that_is_not_there_is_exit_code_2() {
    for (name, at, variables, problem) in [
        (
            "none",
            "systemd:domain=INET:index=0",
            "",
            "systemd passed no descriptor: LISTEN_PID and LISTEN_FDS are not set",
        ),
        (
            "nearest",
            "systemd:domain=INET:name=fingre.socket",
            FINGER,
            "unknown descriptor `fingre.socket`; expected `finger.socket`; did you mean `finger.socket`?",
        ),
    ] {
        let config = Config::new(name, at);
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut running = start(&config, socket, variables);
        let mut said = String::new();
        let mut log = running.stderr.take().unwrap();
        log.read_to_string(&mut said).unwrap();
        assert_eq!(running.wait().unwrap().code(), Some(2), "{said}");
        let file = config.0.display();
        let last = said.lines().last().unwrap();
        assert!(last.starts_with(&format!("{file}: ")), "{last}");
        assert!(
            last.contains(&format!("cannot listen at {at}: {problem}")),
            "{last}"
        );
    }
}

/// What is wrong whatever is passed is found before anything starts.
#[test]
fn check_finds_what_is_wrong_with_it() {
    let config = Config::new("check", "systemd:domain=INTE:index=0");
    let mut checked = Command::new(env!("CARGO_BIN_EXE_tress"));
    let output = checked.arg("check").arg(&config.0).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("unknown domain `INTE`"), "{said}");
    let config = Config::new("right", "systemd:domain=INET:index=0");
    let mut checked = Command::new(env!("CARGO_BIN_EXE_tress"));
    let output = checked.arg("check").arg(&config.0).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}
