//! Command lines and what they ask for, without running it.

use super::*;

fn asked(line: &str) -> Result<Asked, String> {
    let registry = Registry::builtin();
    let reactor = commands::reactor().unwrap_or_else(|_| panic!("there is a driver"));
    registry.install_endpoints(&reactor);
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    read(&words, &registry, &reactor).map_err(|problems| problems.join("\n"))
}

#[track_caller]
fn check_document(line: &str, expected: &str) {
    let asked = asked(&format!("{line} --toml"));
    assert_eq!(asked, Ok(Asked::Document(expected.to_owned())), "{line}");
}

#[track_caller]
fn check_wrong(line: &str, expected: &str) {
    assert_eq!(asked(line), Err(expected.to_owned()), "{line}");
}

#[test]
fn the_options_tell_the_kind() {
    let file = "[provide.finger]\nkind = \"finger.file\"\npath = \"users\"\n\n\
                [[serve]]\nwhat = \"finger\"\nas = \"finger\"\nat = \"tcp:1079\"\n";
    check_document("finger --file users --at tcp:1079", file);
    check_document("finger --path=users --at tcp:1079", file);
    check_document("finger.file --path users --at=tcp:1079", file);
    let memory = "[provide.finger]\nkind = \"finger.memory\"\n\
                  users = { moshez = \"Happy\", \"a b\" = \"x=y\" }\n\n\
                  [[serve]]\nwhat = \"finger\"\nas = \"finger\"\nat = [\"tcp:1079\", \"unix:/tmp/x\"]\n\
                  forwarding = true\nforwarding_port = 80\n";
    let registry = Registry::builtin();
    let words = [
        "finger",
        "--users",
        "moshez=Happy",
        "--users",
        "a b=x=y",
        "--at",
        "tcp:1079",
        "--at",
        "unix:/tmp/x",
        "--forwarding",
        "--forwarding-port",
        "80",
        "--toml",
    ]
    .map(str::to_owned);
    let reactor = commands::reactor().unwrap_or_else(|_| panic!("there is a driver"));
    registry.install_endpoints(&reactor);
    let asked = read(&words, &registry, &reactor);
    assert_eq!(asked, Ok(Asked::Document(memory.to_owned())));
    // A provider's option comes before one of the protocol that has the same name.
    check_document(
        "http --kind finger.file --as xmlrpc --file users --serve-path /x --at unix:x",
        "[provide.finger]\nkind = \"finger.file\"\npath = \"users\"\n\n[[serve]]\nwhat = \"finger\"\n\
         as = [\"http\", \"xmlrpc\"]\nat = \"unix:x\"\npath = \"/x\"\n",
    );
}

#[test]
fn mistakes_are_told_as_in_a_file() {
    check_wrong("", "missing PROTOCOL or KIND; see `tress serve --help`");
    let names = "expected one of `amp`, `finger`, `finger-setter`, `http`, `jsonrpc`, `jsonrpc-lines`, `lines`, `metrics`, `pb`, \
                 `xmlrpc`, `finger.file`, `finger.memory`, `finger.sqlite`";
    check_wrong(
        "figner --at tcp:1",
        &format!("unknown protocol or kind of provider `figner`; {names}; did you mean `finger`?"),
    );
    let options = "expected one of `--path`, `--reload`, `--users`, `--database`, `--connections`, `--waiting`, \
                   `--timeout`, `--users-max`, `--name`, `--interface`, `--anonymous`, `--plaintext`, `--forwarding`, \
                   `--forwarding-port`, `--at`, `--as`, `--kind`, `--toml`, `--log-level`";
    check_wrong(
        "finger --paht users --at tcp:1",
        &format!("unknown option `--paht`; {options}; did you mean `--path`?"),
    );
    check_wrong(
        "finger --file users",
        "missing option `--at`; expected an endpoint such as `tcp:8007:interface=127.0.0.1`",
    );
    check_wrong(
        "finger.file --at tcp:1",
        "missing option `--path` of `finger.file`; expected a path",
    );
    check_wrong(
        "finger --file a --users b=c --at tcp:1",
        "no kind of provider has all of these options: `--path` of `finger.file`, `--users` of `finger.memory`",
    );
    check_wrong(
        "finger --users b --at tcp:1",
        "--users: expected `NAME=TEXT`",
    );
    check_wrong(
        "finger --users a=b --users a=c --at tcp:1",
        "--users: a is given twice",
    );
    check_wrong(
        "finger --at tcp:1 --kind finger.fiel",
        "--kind: unknown kind `finger.fiel`; expected one of `finger.file`, `finger.memory`, `finger.sqlite`; did you mean `finger.file`?",
    );
    check_wrong(
        "finger --at",
        "--at: the value is missing; expected ENDPOINT",
    );
    check_wrong(
        "finger x --at tcp:1",
        "`x` is no option; they begin with `--`",
    );
    check_wrong("finger --toml=x --at tcp:1", "--toml: it takes no value");
    check_wrong(
        "finger --auth staff --at tcp:1",
        "--auth: it names [auth.NAME] sections, which only a file has; `--toml` prints one to begin with",
    );
    check_wrong(
        "finger --file a --file b --at tcp:1",
        "--file: it is given twice",
    );
    check_wrong(
        "finger --log-level loud --at tcp:1",
        "--log-level: unknown level `loud`; expected one of `error`, `warn`, `info`, `debug`, `trace`",
    );
}

#[test]
fn what_the_document_gets_wrong_is_said_of_the_options() {
    check_wrong(
        "finger --file users --reload 30 --forwarding-port no --at tpc:1 --at tcp:1",
        "--reload: `30` is not a duration: its unit is missing; expected a whole number and one of `ms`, `s`, `m`, `h`, as \
         in `30s`\n\
         --at: unknown kind of endpoint `tpc`; expected one of `haproxy`, `ssl`, `stdio`, `systemd`, `tcp`, `tcp6`, `tls`, \
         `unix`; did you mean `tcp`?\n\
         --forwarding-port: expected a whole number from 0, found a string",
    );
    check_wrong(
        "lines --users a=b --at tcp:1",
        "--at: others than this machine reach it, and nothing says who may call; expected `auth`, `anonymous = true`, or an \
         endpoint such as `tcp:1:interface=127.0.0.1`; here it is `--anonymous`, and `auth` needs a file, as `--toml` prints \
         one",
    );
    check_wrong(
        "http --users a=b --as xmlpc --at unix:x",
        "--as: unknown protocol `xmlpc`; expected one of `amp`, `finger`, `finger-setter`, `http`, `jsonrpc`, \
         `jsonrpc-lines`, `lines`, `metrics`, `pb`, `xmlrpc`; did you mean `xmlrpc`?",
    );
}

#[test]
fn help_lists_the_options_with_their_docs() {
    let Ok(Asked::Help(all)) = asked("--help") else {
        panic!("no help")
    };
    assert!(
        all.contains("\n  finger         The finger protocol"),
        "{all}"
    );
    assert!(
        all.contains("\n  finger.memory  Statuses in memory;"),
        "{all}"
    );
    let Ok(Asked::Help(one)) = asked("finger --at x -h") else {
        panic!("no help")
    };
    for words in [
        "finger: The finger protocol (RFC 1288)",
        "usage: tress serve finger [--OPTION VALUE]... --at ENDPOINT...",
        "Options of finger.file: Statuses in a text file",
        "  --path, --file PATH  required     The file, relative to",
        "  --reload TIME        default 30s  Read it again",
        "  --forwarding              optional    Whether",
        "  tcp6     tcp6:PORT[:interface=ADDRESS]",
    ] {
        assert!(one.contains(words), "{words}\n{one}");
    }
}
