//! `tress serve` of the real binary: it serves, it refuses with 2, and the file that it prints serves the same.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test, which says what it skips"
)]

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod running;

use running::{Running, tress};
use std::{
    env, fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
};

/// A directory, gone after the test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let name = format!("tress-serve-{test}-{}", std::process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The exit code, the output and the complaints.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = tress(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[track_caller]
fn ask(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_serves_what_the_command_line_says() {
    let directory = Directory::new("file");
    let users = directory.path("users");
    fs::write(&users, "moshez: Happy\n").unwrap();
    let at = "tcp:0:interface=127.0.0.1";
    let running = Running::of(&mut tress(&[
        "serve", "finger", "--file", &users, "--at", at,
    ]));
    assert_eq!(ask(running.address("finger"), "moshez\r\n"), "Happy\r\n");
}

#[test]
fn a_taken_port_and_a_missing_file_are_told_as_for_a_file() {
    let directory = Directory::new("missing");
    let absent = directory.path("absent");
    let at = "tcp:0:interface=127.0.0.1";
    let (code, out, said) = run(&["serve", "finger", "--file", &absent, "--at", at]);
    let expected = format!(
        "finger: cannot start provider `finger`: {absent}: No such file or directory (os error 2)\n"
    );
    assert_eq!((code, out.as_str(), said), (1, "", expected));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!(
        "tcp:{}:interface=127.0.0.1",
        taken.local_addr().unwrap().port()
    );
    let (code, _, said) = run(&["serve", "finger", "--at", &at, "--log-level", "error"]);
    assert!(
        said.starts_with("finger: cannot start `finger` at `tcp:"),
        "{said}"
    );
    assert_eq!(code, 2);
}

#[test]
fn mistakes_end_with_2_and_help_with_0() {
    let (code, out, said) = run(&["serve", "finger", "--flie", "users", "--at", "tcp:0"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        said.starts_with("tress serve: unknown option `--flie`; expected one of `--path`,"),
        "{said}"
    );
    for arguments in [
        &["serve", "--help"][..],
        &["serve", "finger", "--help"],
        &["serve", "-h"],
    ] {
        let (code, out, said) = run(arguments);
        assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
        assert!(out.contains("usage: tress serve "), "{out}");
    }
}

/// One `[[serve]]` with three protocols and two endpoints, one of them over TLS.
#[test]
fn the_file_that_it_prints_serves_the_same_everywhere() {
    let directory = Directory::new("toml");
    let certs = directory.path("certs");
    assert_eq!(run(&["cert", "--out", &certs]).0, 0);
    let plain = "tcp:0:interface=127.0.0.1";
    let secret =
        format!("ssl:0:interface=127.0.0.1:certKey={certs}/cert.pem:privateKey={certs}/key.pem");
    let users = ["--kind", "finger.memory", "--users", "moshez=Happy"];
    let protocols = ["serve", "http", "--as", "xmlrpc", "--as", "jsonrpc"];
    let more = ["--at", plain, "--at", &secret, "--toml"];
    let words = [&protocols[..], &users, &more].concat();
    let (code, text, said) = run(&words);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(
        text.contains("as = [\"http\", \"xmlrpc\", \"jsonrpc\"]\nat = [\"tcp:0:"),
        "{text}"
    );
    let file = directory.path("a.toml");
    fs::write(&file, text).unwrap();
    assert_eq!(run(&["check", &file]).0, 0);
    let running = Running::of(&mut tress(&["run", &file]));
    let (open, hidden) = (running.address("http"), running.address("http"));
    let call = "{\"name\":\"moshez\"}";
    let request = format!(
        "POST /Finger/getUser HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{call}",
        call.len()
    );
    let answer = ask(open, &request);
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\"Happy\""),
        "{answer}"
    );
    let rpc = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"getUser\",\"params\":[\"moshez\"]}";
    let xml = "<methodCall><methodName>getUser</methodName><params><param><value>moshez</value></param></params></methodCall>";
    for (path, kind, body) in [
        ("/Finger/getUser", "application/json", call),
        ("/jsonrpc", "application/json", rpc),
        ("/RPC2", "text/xml", xml),
    ] {
        let curl = Command::new("curl")
            .args(["-sS", "--noproxy", "*", "--cacert"])
            .arg(format!("{certs}/cert.pem"))
            .args(["-H", &format!("Content-Type: {kind}"), "-d", body])
            .arg(format!("https://localhost:{}{path}", hidden.port()))
            .output();
        let Ok(curl) = curl else {
            return println!("skipped: there is no curl to ask over TLS");
        };
        let answer = String::from_utf8_lossy(&[curl.stdout, curl.stderr].concat()).into_owned();
        assert!(answer.contains("Happy"), "{path}: {answer}");
    }
}
