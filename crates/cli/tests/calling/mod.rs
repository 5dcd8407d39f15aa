//! `tress call` against a real `tress run`, over every protocol: the result, who is to blame when there is none, logins and TLS.

use super::{Application, USERS, ctl, free_port, text};
use crate::running::tress;
use std::{net::TcpListener, process::Output};

/// Each protocol, alone on a port of its own.
const PROTOCOLS: [&str; 7] = [
    "amp",
    "http",
    "jsonrpc",
    "jsonrpc-lines",
    "lines",
    "pb",
    "xmlrpc",
];

fn call(words: &[&str]) -> Output {
    tress(&["call"]).args(words).output().unwrap()
}

/// What it prints when all goes well.
#[track_caller]
fn well(words: &[&str]) -> String {
    let output = call(words);
    let (said, code) = (text(&output.stderr), output.status.code());
    assert_eq!((said, code), (String::new(), Some(0)), "{words:?}");
    text(&output.stdout)
}

/// Its code, and what it says on stderr.
#[track_caller]
fn ill(words: &[&str]) -> (Option<i32>, String) {
    let output = call(words);
    assert_eq!(text(&output.stdout), "", "{words:?}");
    (output.status.code(), text(&output.stderr))
}

/// Sections that serve the users over each protocol, and where they listen: each at an address of its own, as those over HTTP
/// would share one.
fn everywhere(more: &str) -> (String, Vec<(&'static str, String)>) {
    let mut sections = String::new();
    let mut places = Vec::new();
    for (number, protocol) in (2..).zip(PROTOCOLS) {
        let at = format!("tcp:0:interface=127.0.0.{number}");
        sections += &format!(
            "[[serve]]\nwhat = 'users'\nas = '{protocol}'\ninterface = 'Finger'\nat = '{at}'\n{more}"
        );
        places.push((protocol, at));
    }
    (sections, places)
}

/// Where they can be reached.
fn reached(
    running: &Application,
    places: Vec<(&'static str, String)>,
) -> Vec<(&'static str, String)> {
    let places = places.into_iter();
    places
        .map(|(protocol, at)| (protocol, running.reached(&at)))
        .collect()
}

#[test]
fn every_protocol_carries_a_call() {
    let (sections, places) = everywhere("");
    let running = Application::of(&format!("{USERS}{sections}"));
    let places = reached(&running, places);
    for (protocol, at) in &places {
        let here = [*protocol, at.as_str()];
        let ask = |words: &[&str]| well(&[&here, words].concat());
        assert_eq!(ask(&["getUser", "moshez"]), "Happy\n", "{protocol}");
        assert_eq!(ask(&["getUser", "name=moshez"]), "Happy\n", "{protocol}");
        assert_eq!(ask(&["getUsers"]), "moshez\n", "{protocol}");
        let json = ask(&["--json", "getUsers"]);
        // Lines are lines, whatever they mean.
        let expected = if *protocol == "lines" {
            "\"moshez\"\n"
        } else {
            "[\"moshez\"]\n"
        };
        assert_eq!(json, expected, "{protocol}");
        assert_eq!(ask(&["getUser", "nobody"]), "", "{protocol}");
        assert_eq!(
            ask(&["--json", "getUser", "nobody"]),
            "null\n",
            "{protocol}"
        );
        let (code, said) = ill(&[&here[..], &["--untyped", "getUsr"], &path(protocol)].concat());
        assert_eq!(code, Some(1), "{protocol}: {said}");
        assert!(said.contains("getUsr"), "{protocol}: {said}");
        let output = call(
            &[
                &here[..],
                &["--json", "--untyped", "getUsr"],
                &path(protocol),
            ]
            .concat(),
        );
        let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(error["error"]["code"], "unknown-method", "{protocol}");
    }
    drop(running);
}

/// Where an object of an unknown interface is.
fn path(protocol: &str) -> Vec<&'static str> {
    match protocol {
        "http" => vec!["--path", "/Finger"],
        _ => vec![],
    }
}

#[test]
fn an_interface_that_is_not_known_is_called_as_it_is_written() {
    let (sections, places) = everywhere("");
    let running = Application::of(&format!("{USERS}{sections}"));
    let places = reached(&running, places);
    for (protocol, at) in &places {
        let by_name = matches!(
            *protocol,
            "amp" | "http" | "jsonrpc" | "jsonrpc-lines" | "pb"
        );
        let argument = if by_name { "name=moshez" } else { "moshez" };
        let path = path(protocol);
        let words = [
            &[*protocol, at, "--untyped", "getUser", argument][..],
            &path,
        ]
        .concat();
        assert_eq!(well(&words), "Happy\n", "{protocol}");
        let words = [&[*protocol, at, "--untyped", "getUsers"][..], &path].concat();
        assert_eq!(well(&words), "moshez\n", "{protocol}");
    }
    let at = |wanted: &str| {
        places
            .iter()
            .find(|(name, _)| *name == wanted)
            .unwrap()
            .1
            .clone()
    };
    let (code, said) = ill(&["amp", &at("amp"), "--untyped", "getUser", "moshez"]);
    assert_eq!(code, Some(2));
    let expected = "AMP has arguments by name, and this program knows no interface with a method `getUser`: write each";
    assert!(said.starts_with(expected), "{said}");
    let (code, said) = ill(&["http", &at("http"), "--untyped", "getUsers"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("say the path of the object with --path"),
        "{said}"
    );
    drop(running);
}

#[test]
fn who_is_to_blame_is_in_the_code() {
    let port = free_port();
    let at = format!("tcp:127.0.0.1:{port}");
    for (words, expected) in [
        (
            &["amp", &at, "getUser"][..],
            "`name` is missing: getUser(name: string) -> string?",
        ),
        (
            &["amp", &at, "getUser", "a", "b"],
            "`b`: it takes no more than that: getUser",
        ),
        (
            &["amp", &at, "getUser", "nmae=a"],
            "unknown argument `nmae`; expected `name`; did you mean `name`?",
        ),
        (
            &["amp", &at, "-i", "Figner", "getUser"],
            "unknown interface `Figner`; expected one of ",
        ),
        (
            &["amp", &at, "-i", "Finger", "getUsr"],
            "Finger: unknown method `getUsr`; expected one of `getUser`",
        ),
        (
            &["amp", &at, "--deadline", "5", "getUsers"],
            "--deadline: `5` is not a duration: its unit is missing",
        ),
        (
            &["amp", &at, "--deadline", "0s", "getUsers"],
            "--deadline: expected more than 0s",
        ),
        (
            &["amp", &at, "--path", "/x", "getUsers"],
            "--path is for protocols over HTTP",
        ),
        (
            &["http", &at, "--path", "x", "getUsers"],
            "expected a path such as `/jsonrpc`, found `x`",
        ),
        (
            &["amp", "tpc:127.0.0.1:1", "getUsers"],
            "unknown kind of endpoint `tpc`",
        ),
    ] {
        let (code, said) = ill(words);
        assert_eq!(code, Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
    }
}

#[test]
fn who_is_not_there_or_is_somebody_else() {
    let port = free_port();
    let at = format!("tcp:127.0.0.1:{port}");
    assert_eq!(ill(&["smtp", &at, "getUsers"]).0, Some(2));
    for protocol in PROTOCOLS {
        let (code, said) = ill(&[protocol, &at, "getUsers"]);
        assert_eq!(code, Some(3), "{protocol}: {said}");
        assert!(
            said.starts_with(&format!("no answer from {at}: ")),
            "{said}"
        );
    }
    // Somebody is there, and says nothing; or something that is none of it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp:127.0.0.1:{}", silent.local_addr().unwrap().port());
    let running = Application::of(&format!("{USERS}{}", super::finger(port, "")));
    for protocol in PROTOCOLS {
        let (code, said) = ill(&[protocol, &at, "--deadline", "100ms", "getUsers"]);
        assert_eq!(code, Some(3), "{protocol}: {said}");
        assert_eq!(
            said,
            format!("no answer from {at} within 100ms\n"),
            "{protocol}"
        );
        let other = format!("tcp:127.0.0.1:{port}");
        let (code, said) = ill(&[protocol, &other, "--deadline", "300ms", "getUsers"]);
        assert_eq!(code, Some(3), "{protocol}: {said}");
    }
    drop(running);
}

/// An application that lets in whom it knows.
struct Locked {
    running: Application,
    places: Vec<(&'static str, String)>,
    /// Where who has a token may call, over HTTP.
    tokens: String,
    /// Where the application itself is asked.
    control: String,
}

impl Locked {
    fn new() -> Self {
        let (sections, places) = everywhere("auth = 'people'\n");
        let (tokens, control) = ("tcp:0:interface=127.0.1.1", "tcp:0:interface=127.0.1.2");
        let sections = format!(
            "{USERS}{sections}[auth.people]\nkind = 'memory'\nusers = {{ alice = {{ file = 'secret' }} }}\n\
             [auth.robots]\nkind = 'tokens'\nusers = {{ robot = {{ file = 'token' }} }}\n\
             [[serve]]\nwhat = 'users'\nas = 'http'\ninterface = 'Finger'\nauth = 'robots'\nat = '{tokens}'\n\
             [[serve]]\nwhat = 'myself'\nas = 'jsonrpc-lines'\nauth = 'people'\nat = '{control}'\n\
             [provide.myself]\nkind = 'application'\n"
        );
        let files = [("secret", "open sesame\n"), ("token", "abc.def\n")];
        let running = Application::with(&sections, &files);
        Self {
            places: reached(&running, places),
            tokens: running.reached(tokens),
            control: running.reached(control),
            running,
        }
    }

    fn file(&self, name: &str) -> String {
        format!("file:{}", self.running.directory.join(name).display())
    }

    fn at(&self, protocol: &str) -> &str {
        let mut places = self.places.iter();
        let found = places.find(|(known, _)| *known == protocol);
        &found.unwrap().1
    }
}

#[test]
fn every_protocol_logs_in() {
    let locked = Locked::new();
    let (secret, token) = (locked.file("secret"), locked.file("token"));
    for (protocol, at) in &locked.places {
        let (code, said) = ill(&[protocol, at, "getUsers"]);
        assert_eq!(code, Some(1), "{protocol}: {said}");
        let login = ["--user", "alice", "--password", &secret];
        let words = [&[*protocol, at.as_str()][..], &login, &["getUsers"]].concat();
        assert_eq!(well(&words), "moshez\n", "{protocol}");
    }
    let (code, said) = ill(&["--token", &token, "pb", locked.at("pb"), "getUsers"]);
    assert_eq!(code, Some(2), "{said}");
    let at = &locked.tokens;
    let words = ["--token", &token, "http", at, "getUsers"];
    assert_eq!(well(&words), "moshez\n");
    assert_eq!(ill(&["http", at, "getUsers"]).0, Some(1));
    // And `tress ctl` the same.
    let at = ["--at", &locked.control];
    let login = ["--user", "alice", "--password", &secret, "list"];
    let output = ctl(&[&at[..], &login].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("users-amp"));
    let output = ctl(&[&at[..], &["list"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn a_password_is_never_an_argument() {
    let locked = Locked::new();
    let at = locked.at("amp");
    let with = |password: Option<&str>| {
        let mut asked = tress(&["call", "--user", "alice", "amp", at, "getUsers"]);
        match password {
            Some(password) => asked.env("TRESS_PASSWORD", password),
            None => asked.env_remove("TRESS_PASSWORD"),
        };
        let output = asked.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), text(&said))
    };
    assert_eq!(with(Some("open sesame")), (Some(0), "moshez\n".into()));
    let (code, said) = with(Some("open sesam"));
    assert_eq!(code, Some(1));
    assert!(!said.contains("sesam"), "{said}");
    let expected = "the password: the environment has no variable `TRESS_PASSWORD`\n";
    assert_eq!(with(None), (Some(2), expected.into()));
    assert_eq!(with(Some("")), (Some(2), "the password is empty\n".into()));
    let login = ["--user", "alice", "--password", "open sesame"];
    let (code, said) = ill(&[&login[..], &["amp", at, "getUsers"]].concat());
    assert_eq!(code, Some(2));
    let refused = said.contains("does not belong on a command line");
    assert!(refused && !said.contains("sesame"), "{said}");
}

#[test]
fn tls_carries_calls_too() {
    let ports = [free_port(), free_port()];
    let of = |protocol: &str, port: u16| {
        format!(
            "[[serve]]\nwhat = 'users'\nas = '{protocol}'\ninterface = 'Finger'\n\
             at = 'ssl:{port}:interface=127.0.0.1:certKey={{D}}/cert.pem:privateKey={{D}}/key.pem'\n"
        )
    };
    let sections = format!("{USERS}{}{}", of("amp", ports[0]), of("http", ports[1]));
    let running = Application::with(&sections, &[]);
    let roots = running.directory.join("cert.pem");
    for (protocol, port) in ["amp", "http"].into_iter().zip(ports) {
        let at = format!("tls:localhost:{port}:trustRoots={}", roots.display());
        assert_eq!(well(&[protocol, &at, "getUser", "moshez"]), "Happy\n");
        let (code, said) = ill(&[protocol, &format!("tls:localhost:{port}"), "getUsers"]);
        assert_eq!(code, Some(3), "{said}");
        assert!(
            said.contains("not issued by an authority that we trust"),
            "{said}"
        );
    }
}
