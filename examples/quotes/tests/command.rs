//! The program's own command line: its plug-ins are served by `tress serve`, and its file is right by its own schema.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test, which says what it skips"
)]

mod mutated;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tress-quotes"));
    command.args(arguments);
    command
}

/// What the program prints and complains about.
fn said(arguments: &[&str]) -> String {
    let output = program(arguments).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn a_quote_from_the_command_line_is_served() {
    let at = "tcp:0:interface=127.0.0.1";
    let mut command = program(&["serve", "qotd", "--quote", "Carpe diem.", "--at", at]);
    let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(running.stderr.take().unwrap()).lines();
    let listening = log.find_map(|line| {
        let line = line.unwrap();
        line.split_once(" as qotd (").map(|(_, at)| at.to_owned())
    });
    let at: SocketAddr = listening.unwrap().trim_end_matches(')').parse().unwrap();
    let mut quote = String::new();
    TcpStream::connect(at)
        .unwrap()
        .read_to_string(&mut quote)
        .unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(quote, "Carpe diem.\r\n");
}

#[test]
fn its_kinds_are_chosen_by_their_options() {
    let toml = said(&[
        "serve", "qotd", "--quote", "a \"b\"", "--at", "tcp:8007", "--toml",
    ]);
    let expected = "[provide.quoter]\nkind = \"quoter.static\"\nquote = \"a \\\"b\\\"\"\n\n\
                    [[serve]]\nwhat = \"quoter\"\nas = \"qotd\"\nat = \"tcp:8007\"\n";
    assert_eq!(toml, expected);
    let toml = said(&[
        "serve", "qotd", "--file", "quotes", "--at", "tcp:8007", "--toml",
    ]);
    assert!(
        toml.contains("kind = \"quoter.fortune\"\npath = \"quotes\"\n"),
        "{toml}"
    );
    let help = said(&["serve", "qotd", "--help"]);
    for words in [
        "qotd: Quote of the Day (RFC 865)",
        "Options of quoter.static: One quote, each time.\n  --quote TEXT  default An apple a day",
        "Options of quoter.fortune: Quotes of a fortune file",
        "--path, --file PATH",
    ] {
        assert!(help.contains(words), "{words}\n{help}");
    }
    let wrong = said(&["serve", "qotd", "--quoet", "a", "--at", "tcp:8007"]);
    assert!(wrong.contains("unknown option `--quoet`"), "{wrong}");
    assert!(wrong.ends_with("did you mean `--quote`?\n"), "{wrong}");
    let which = said(&["serve", "lines", "--at", "unix:x"]);
    let expected = "tress serve: which kind of provider? Say `--kind` with one of `finger.memory`, `quoter.static`, or give";
    assert!(which.starts_with(expected), "{which}");
}

#[test]
fn its_file_is_right_by_its_own_schema() {
    let Some(python) = env::var_os("TRESS_PYTHON") else {
        return println!("skipped: TRESS_PYTHON says which Python has jsonschema");
    };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let name = format!("tress-quotes-schema-{}.json", std::process::id());
    let schema = env::temp_dir().join(name);
    fs::write(&schema, said(&["schema"])).unwrap();
    let judged = Command::new(python)
        .arg(format!("{root}/crates/cli/tests/schema_peer.py"))
        .arg(&schema)
        .arg(format!("{root}/examples/quotes/quotes.toml"))
        .output()
        .unwrap();
    fs::remove_file(&schema).unwrap();
    let verdict = String::from_utf8([judged.stdout, judged.stderr].concat()).unwrap();
    assert_eq!(verdict, "ok\n");
}
