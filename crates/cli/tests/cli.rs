//! The real binary: started, talked to over loopback, stopped, and what it prints. No fixed port and no sleep.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test"
)]

mod running;

use running::{PATIENCE, Running, tress};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};
use tress_app::config::OptionSpec;
use tress_core::endpoint::Side;

/// A directory with files, gone after the test.
struct Directory(PathBuf);

impl Directory {
    fn with(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-cli-{}-{number}", std::process::id());
        let directory = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&directory.0).unwrap();
        for (name, text) in files {
            fs::write(directory.0.join(name), text).unwrap();
        }
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Everything a server answers to these bytes and the end of the stream.
#[track_caller]
fn ask(address: SocketAddr, bytes: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(text(&output.stderr), stderr);
    assert_eq!(text(&output.stdout), stdout);
    assert_eq!(output.status.code(), Some(code));
}

const USERS: &str = "# who is here\nmoshez: Happy and well\nshawn: alive\n";

/// The example, on ports that the system chooses.
fn finger() -> Directory {
    let example = include_str!("../../../examples/finger/finger.toml");
    let free = example
        .replace("tcp:1079", "tcp:0")
        .replace("tcp:1080", "tcp:0");
    assert_ne!(free, example);
    Directory::with(&[("finger.toml", &free), ("users", USERS)])
}

#[test]
fn it_runs_answers_sets_and_stops() {
    let directory = finger();
    let mut running = Running::start(&directory.path("finger.toml"));
    let (finger, setter) = (running.address("finger"), running.address("finger-setter"));
    running.line("finger is running");
    assert_eq!(ask(finger, "moshez\r\n"), "Happy and well\r\n");
    let everybody = "moshez: Happy and well\r\nshawn: alive\r\n";
    assert_eq!(ask(finger, "\r\n"), everybody);
    assert_eq!(ask(finger, "nobody\r\n"), "No such user\r\n");
    let denied = "Finger forwarding service denied\r\n";
    assert_eq!(ask(finger, "moshez@127.0.0.1\r\n"), denied);
    assert_eq!(ask(setter, "moshez\r\nSorry!\r\n"), "");
    assert_eq!(ask(finger, "moshez\r\n"), "Sorry!\r\n");
    assert_eq!(ask(setter, "moshez\r\n"), "");
    running.line("set nothing: expected two lines");
    let users = fs::read_to_string(directory.path("users")).unwrap();
    assert_eq!(users, USERS.replace("Happy and well", "Sorry!"));
    fs::write(directory.path("users"), "zoe: here\n").unwrap();
    running.signal("HUP");
    running.line("received SIGHUP");
    assert_eq!(ask(finger, "\r\n"), "zoe: here\r\n");
    running.signal("TERM");
    running.line("received SIGTERM, stopping");
    running.line("stopped listening");
    running.line("finger has stopped");
    assert_eq!(running.ends().1, Some(0));
    assert!(TcpStream::connect_timeout(&finger, PATIENCE).is_err());
}

#[test]
fn it_serves_at_a_unix_socket_and_removes_it() {
    let directory = finger();
    let file = directory.path("finger.toml");
    let socket = directory.path("finger.socket");
    let at = format!("unix:{}:mode=600", socket.display());
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replacen("tcp:0:interface=127.0.0.1", &at, 1)).unwrap();
    let mut running = Running::start(&file);
    running.line("finger is running");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"moshez\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "Happy and well\r\n");
    running.signal("TERM");
    assert_eq!(running.ends().1, Some(0));
    assert!(!socket.exists());
    assert!(!directory.path("finger.socket.lock").exists());
}

#[test]
fn behind_a_proxy_it_serves_whom_the_header_names() {
    let directory = finger();
    let file = directory.path("finger.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replacen("tcp:0:", "haproxy:tcp:0:", 1)).unwrap();
    let running = Running::start(&file);
    let at = running.address("finger");
    let header = "PROXY TCP4 203.0.113.5 198.51.100.7 4711 79\r\n";
    let answer = ask(at, &format!("{header}moshez\r\n"));
    assert_eq!(answer, "Happy and well\r\n");
    connect(at).write_all(b"moshez\r\n").unwrap();
    let said = running.line("closed the connection of 127.0.0.1:");
    assert!(said.ends_with("it begins with no PROXY header"), "{said}");
}

#[test]
fn check_finds_a_bad_mode() {
    let directory = finger();
    let file = directory.path("finger.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        config.replacen("tcp:0:interface=127.0.0.1", "unix:/run/x:mode=rw", 1),
    )
    .unwrap();
    let output = tress(&["check", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    let problem = "mode `rw` is no octal number from 0 to 777, as `660` is";
    assert!(said.contains(problem), "{said}");
}

#[test]
fn it_stops_in_bounded_time_whoever_is_connected() {
    let directory = finger();
    let file = directory.path("finger.toml");
    let mut config = fs::read_to_string(&file).unwrap();
    config.push_str("\n[limits]\nshutdown = '100ms'\n");
    fs::write(&file, config).unwrap();
    let mut running = Running::start(&file);
    let mut silent = connect(running.address("finger"));
    silent.write_all(b"mosh").unwrap();
    running.line("finger is running");
    running.signal("INT");
    running.line("received SIGINT, stopping");
    running.line("finger has stopped");
    assert_eq!(running.ends().1, Some(0));
    drop(silent);
}

#[test]
fn a_wrong_file_is_refused_before_anything_starts() {
    let config = "[provide.users]\nkind = 'finger.fiel'\n[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:0'\n";
    let directory = Directory::with(&[("a.toml", config)]);
    let file = directory.path("a.toml").to_str().unwrap().to_owned();
    let report = format!(
        "{file}:2: provide.users.kind: unknown kind `finger.fiel`; \
         expected one of `application`, `finger.file`, `finger.memory`, `finger.sqlite`, `metrics`; did you mean `finger.file`?\n"
    );
    for command in ["run", "check"] {
        check(&tress(&[command, &file]).output().unwrap(), 2, "", &report);
    }
    let absent = tress(&["run", "/absent/a.toml"]).output().unwrap();
    let report = "/absent/a.toml: cannot read the file: No such file or directory (os error 2)\n";
    check(&absent, 2, "", report);
}

#[test]
fn a_port_that_is_taken_or_a_missing_file_leaves_nothing_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let directory = finger();
    let file = directory.path("finger.toml");
    let config = fs::read_to_string(&file).unwrap();
    // The second of the two ports.
    let (first, second) = config.rsplit_once("tcp:0").unwrap();
    fs::write(&file, format!("{first}tcp:{port}{second}")).unwrap();
    let mut running = Running::start(&file);
    running.line("stopped listening at tcp:0");
    let at = format!("tcp:{port}:interface=127.0.0.1");
    let line = running.line("cannot start");
    let expected = format!(
        "{}: cannot start `finger-setter` at `{at}`: cannot listen at 127.0.0.1:{port}: \
         Address already in use (os error 98)",
        file.display()
    );
    assert_eq!(line, expected);
    assert_eq!(running.ends().1, Some(2));
    fs::remove_file(directory.path("users")).unwrap();
    let output = tress(&["run", file.to_str().unwrap()]).output().unwrap();
    let users = directory.path("users");
    let expected = format!(
        "{}: cannot start provider `users`: {}: No such file or directory (os error 2)\n",
        file.display(),
        users.display()
    );
    check(&output, 1, "", &expected);
}

/// A file whose `finger` is served at `at` alone.
fn served_at(at: &str) -> (Directory, String) {
    let directory = Directory::with(&[(
        "f.toml",
        &format!(
            "[provide.users]\nkind = 'finger.memory'\n\
             [[serve]]\nwhat = 'users'\nas = 'finger'\nat = '{at}'\n"
        ),
    )]);
    let file = directory.path("f.toml").to_str().unwrap().to_owned();
    (directory, file)
}

/// `tress check` and `tress run` both refuse the file with 2 and these words.
#[track_caller]
fn check_refused(at: &str, message: &str) {
    let (_directory, file) = served_at(at);
    for command in ["check", "run"] {
        let output = tress(&[command, &file]).output().unwrap();
        check(&output, 2, "", &format!("{file}:6: serve.at: {message}\n"));
    }
}

/// `tress check` has nothing against the file, and `tress run` cannot listen there: 2, and why.
#[track_caller]
fn check_not_listening(run: Command, file: &str, at: &str, address: &str, reason: &str) {
    let output = tress(&["check", file]).output().unwrap();
    check(&output, 0, &format!("{file}: nothing wrong\n"), "");
    let mut run = run;
    let output = run.output().unwrap();
    let message =
        format!("{file}: cannot start `finger` at `{at}`: cannot listen at {address}: {reason}\n");
    check(&output, 2, "", &message);
}

#[test]
fn a_port_out_of_range_is_refused() {
    check_refused("tcp:65536", "port `65536` is no number from 0 to 65535");
    check_refused("tcp:-1", "port `-1` is no number from 0 to 65535");
}

#[test]
fn an_unknown_key_in_an_endpoint_is_refused_with_the_nearest_that_is_known() {
    check_refused(
        "tcp:1079:interfce=127.0.0.1",
        "unknown option `interfce`; expected one of `port`, `interface`, `backlog`, `reuse`; \
         did you mean `interface`?",
    );
    check_refused(
        "unix:/run/x:lokfile=0",
        "unknown option `lokfile`; expected one of `address`, `mode`, `lockfile`, `backlog`; \
         did you mean `lockfile`?",
    );
}

#[test]
fn an_interface_that_is_not_ours_is_refused() {
    // TEST-NET-1 of RFC 5737 belongs to nobody.
    let at = "tcp:0:interface=192.0.2.1";
    let (_directory, file) = served_at(at);
    let reason = "Cannot assign requested address (os error 99)";
    check_not_listening(tress(&["run", &file]), &file, at, "192.0.2.1:0", reason);
}

#[test]
fn a_unix_socket_in_a_directory_that_is_not_there_is_refused() {
    let path = "/absent/finger.socket";
    let at = format!("unix:{path}");
    let (_directory, file) = served_at(&at);
    let reason =
        format!("cannot use the lock file {path}.lock: No such file or directory (os error 2)");
    check_not_listening(tress(&["run", &file]), &file, &at, path, &reason);
}

#[test]
fn a_port_that_is_not_allowed_is_refused() {
    const NOBODY: &str = "65534";
    let first = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let first: u16 = fs::read_to_string(first).unwrap().trim().parse().unwrap();
    if first <= 79 {
        return println!("skipped: anybody may listen at port 79 here");
    }
    let at = "tcp:79:interface=127.0.0.1";
    let (directory, file) = served_at(at);
    fs::set_permissions(&directory.0, PermissionsExt::from_mode(0o755)).unwrap();
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut run = Command::new("setpriv");
    run.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    if is_root
        && !run
            .arg("true")
            .status()
            .is_ok_and(|status| status.success())
    {
        return println!("skipped: no setpriv that could give up the rights of root");
    }
    let run = if is_root {
        let binary = directory.path("tress");
        fs::copy(env!("CARGO_BIN_EXE_tress"), &binary).unwrap();
        let mut run = Command::new("setpriv");
        run.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        run.arg(binary).args(["run", &file]);
        run
    } else {
        tress(&["run", &file])
    };
    check_not_listening(
        run,
        &file,
        at,
        "127.0.0.1:79",
        "Permission denied (os error 13)",
    );
}

#[test]
fn check_says_when_nothing_is_wrong() {
    let directory = finger();
    let file = directory.path("finger.toml").to_str().unwrap().to_owned();
    let output = tress(&["check", &file]).output().unwrap();
    check(&output, 0, &format!("{file}: nothing wrong\n"), "");
}

#[test]
fn limits_are_one_table_that_a_file_can_change() {
    let defaults = tress(&["check", "--limits"]).output().unwrap();
    let defaults = text(&defaults.stdout);
    assert!(defaults.starts_with("limit "), "{defaults}");
    for limit in tress_core::Limits::TABLE {
        let line = defaults
            .lines()
            .find(|line| line.split(' ').next() == Some(limit.name));
        assert!(
            line.is_some_and(|line| line.ends_with(limit.meaning)),
            "{defaults}"
        );
    }
    let directory = finger();
    let file = directory.path("finger.toml");
    let config = fs::read_to_string(&file).unwrap() + "\n[limits]\nline = '2KiB'\nidle = '90s'\n";
    fs::write(&file, config).unwrap();
    let output = tress(&["check", "--limits", file.to_str().unwrap()])
        .output()
        .unwrap();
    let shown = text(&output.stdout);
    let changed: Vec<&str> = shown
        .lines()
        .filter(|line| line.contains("(default"))
        .collect();
    assert_eq!(changed.len(), 2, "{shown}");
    assert!(changed[0].starts_with("line ") && changed[0].contains(" 2KiB "));
    assert!(changed[1].starts_with("idle ") && changed[1].contains(" 90s "));
}

#[test]
fn plugins_are_listed_with_their_options() {
    let output = tress(&["plugins"]).output().unwrap();
    let shown = text(&output.stdout);
    let expected = "\
Providers, for `kind` in [provide.NAME]:
  application    The running application itself: its services are listed, started, stopped, attached; its file is read again.
  finger.file    Statuses in a text file, `user: status` a line; read again when it changes.
      path    a path                      required     The file, relative to the directory of the configuration file.
      reload  a duration such as `\"30s\"`  default 30s  Read it again at the latest after this, also when it seems unchanged.
  finger.memory  Statuses in memory; what a setter changes is lost when the application stops.
";
    assert!(shown.starts_with(expected), "{shown}");
    let below = |heading: &str| {
        let (_, rest) = shown.split_once(heading).unwrap();
        rest.split("\n\n").next().unwrap().to_owned()
    };
    let registry = tress_app::Registry::builtin();
    let check = |listed: &str, name: &str, doc: &str, options: &[OptionSpec]| {
        let mut lines = listed
            .lines()
            .skip_while(|line| !line.starts_with(&format!("  {name} ")) || !line.ends_with(doc));
        assert!(lines.next().is_some(), "{name}: {listed}");
        for option in options {
            let line = lines.next().unwrap();
            let default = format!("default {}", option.default);
            assert!(
                line.starts_with(&format!("      {} ", option.name)),
                "{line}"
            );
            assert!(line.ends_with(option.doc), "{line}");
            assert!(
                option.default.is_empty() || line.contains(&default),
                "{line}"
            );
        }
        assert!(lines.next().is_none_or(|line| !line.starts_with("   ")));
    };
    let listed = below("Providers, for `kind` in [provide.NAME]:\n");
    registry
        .providers()
        .for_each(|kind| check(&listed, kind.name, kind.doc, kind.options));
    let listed = below("Protocols, for `as` in [[serve]]:\n");
    assert!(
        listed.contains("  finger         of Finger           The finger protocol"),
        "{listed}"
    );
    registry
        .exposures()
        .for_each(|e| check(&listed, e.name, e.doc, e.options));
    let listed = below("Checkers, for `kind` in [auth.NAME]:\n");
    registry
        .checkers()
        .for_each(|kind| check(&listed, kind.name, kind.doc, kind.options));
    let reactor = tress_core::Reactor::with(tress_os::Mio::new().unwrap());
    registry.install_endpoints(&reactor);
    for (side, heading) in [
        (Side::Server, "Endpoints, for `at` in [[serve]]:\n"),
        (Side::Client, "Endpoints to connect to:\n"),
    ] {
        let listed = below(heading);
        for (kind, usage) in reactor.endpoint_kinds(side) {
            check(&listed, &kind, usage, &[]);
        }
    }
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_kind_is_explained_with_a_file_that_check_takes() {
    let directory = Directory::with(&[("example.txt", ""), ("alice.secret", "s3cret\n")]);
    let made = tress(&["cert", "--out", directory.0.to_str().unwrap()]).output();
    assert!(made.unwrap().status.success());
    let read = |name: &str| fs::read_to_string(directory.path(name)).unwrap();
    fs::create_dir(directory.path("certificates")).unwrap();
    let both = read("cert.pem") + &read("key.pem");
    fs::write(directory.path("certificates/localhost.pem"), both).unwrap();
    let registry = tress_app::Registry::builtin();
    let reactor = tress_core::Reactor::with(tress_os::Mio::new().unwrap());
    registry.install_endpoints(&reactor);
    let endpoints = reactor.endpoint_kinds(Side::Server).into_iter();
    let names: Vec<String> = registry
        .providers()
        .map(|kind| kind.name.to_owned())
        .chain(registry.protocols().into_iter().map(str::to_owned))
        .chain(registry.checkers().map(|kind| kind.name.to_owned()))
        .chain(endpoints.map(|(name, _)| name))
        .collect();
    for name in names {
        let output = tress(&["plugins", "--explain", &name]).output().unwrap();
        let shown = format!("\n{}", text(&output.stdout));
        // What has the same name, a kind of provider and a protocol, say, is told one after the other.
        let title = format!("\n{name}: a");
        let parts = shown.split(&title).skip(1);
        let examples: Vec<_> = parts
            .filter_map(|part| part.split_once("\n  example:\n"))
            .collect();
        assert!(!examples.is_empty(), "{shown}");
        for (_, example) in examples {
            check_example(&directory, &name, example);
        }
    }
}

/// Both as it is shown, and with all that is commented out.
#[track_caller]
fn check_example(directory: &Directory, name: &str, example: &str) {
    let example: Vec<&str> = example.lines().map(str::trim_start).collect();
    let example = example.join("\n");
    assert!(example.contains(&format!("\"{name}")), "{name}: {example}");
    let known = example.lines().filter(|line| !line.ends_with("= \"...\""));
    let uncommented = known.collect::<Vec<_>>().join("\n").replace("# ", "");
    for (file, text) in [("example.toml", &example), ("whole.toml", &uncommented)] {
        let path = directory.path(file);
        fs::write(&path, text).unwrap();
        let output = tress(&["check", path.to_str().unwrap()]).output().unwrap();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name}: {wrong}\n{text}");
    }
}

#[test]
fn a_kind_of_endpoint_is_shown_as_it_is_written_on_both_sides() {
    let output = tress(&["plugins", "--explain", "tcp6"]).output().unwrap();
    let expected = "\
tcp6: an endpoint
  to listen at   tcp6:PORT[:interface=ADDRESS][:backlog=COUNT][:reuse=0|1]
  to connect to  tcp6:ADDRESS:PORT[:timeout=SECONDS][:bindAddress=ADDRESS]

  example:
    [provide.example]
    kind = \"finger.memory\"
    # users = { name = \"text\" }

    [[serve]]
    what = \"example\"
    as = \"finger\"
    at = \"tcp6:8007\"
";
    check(&output, 0, expected, "");
}

#[test]
fn one_plugin_is_shown_with_its_options() {
    let output = tress(&["plugins", "--explain", "finger.file"])
        .output()
        .unwrap();
    let expected = "\
finger.file: a provider
  Statuses in a text file, `user: status` a line; read again when it changes.

  options:
    path    a path                      required     The file, relative to the directory of the configuration file.
    reload  a duration such as `\"30s\"`  default 30s  Read it again at the latest after this, also when it seems unchanged.

  offers Finger: Who is here, and how they are.
    getUser(name: string) -> string?  One user's status, or nothing when there is no such user.
    getUsers() -> [string]            Everybody who has a status.

  offers FingerSetter: Changes how somebody is.
    setUser(name: string, status: string)  Gives a user a status; the user need not have had one.

  can be served as: amp, finger, finger-setter, http, jsonrpc, jsonrpc-lines, lines, pb, xmlrpc

  example:
    [provide.example]
    kind = \"finger.file\"
    path = \"example.txt\"
    # reload = \"30s\"

    [[serve]]
    what = \"example\"
    as = \"http\"
    at = \"tcp:8007:interface=127.0.0.1\"
";
    check(&output, 0, expected, "");
    let output = tress(&["plugins", "--explain", "figner"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let complaint = text(&output.stderr);
    assert!(
        complaint.ends_with("did you mean `finger`?\n"),
        "{complaint}"
    );
}

#[test]
fn wrong_arguments_end_with_2() {
    for arguments in [&["rnu", "a.toml"][..], &["run"], &["check"], &[]] {
        let output = tress(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = tress(&["--help"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("plugins"));
}

#[test]
fn a_certificate_for_development_is_made_once() {
    let directory = Directory::with(&[]);
    let out = directory.path("new/certs");
    let cert = |more: &[&str]| {
        let arguments = [&["cert", "--out", out.to_str().unwrap()], more].concat();
        tress(&arguments).output().unwrap()
    };
    let output = cert(&[]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        shown.contains("a certificate for localhost, 127.0.0.1, ::1,"),
        "{shown}"
    );
    assert!(
        shown.contains("a server listens at   ssl:8443:certKey="),
        "{shown}"
    );
    let mode = |name: &str| {
        let about = fs::metadata(out.join(name)).unwrap();
        about.permissions().mode() & 0o777
    };
    assert_eq!(mode("key.pem"), 0o600);
    let key = fs::read_to_string(out.join("key.pem")).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));

    let output = cert(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).ends_with("is there already; --force replaces it\n"));
    assert_eq!(fs::read_to_string(out.join("key.pem")).unwrap(), key);

    fs::set_permissions(out.join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        cert(&["--force", "--name", "a.example"]).status.code(),
        Some(0)
    );
    assert_ne!(fs::read_to_string(out.join("key.pem")).unwrap(), key);
    assert_eq!(mode("key.pem"), 0o600);
}

#[test]
fn a_wrong_certificate_is_found_by_check() {
    let directory = Directory::with(&[("text.pem", "no PEM")]);
    let certs = directory.path("certs");
    let made = tress(&["cert", "--out", certs.to_str().unwrap()]).output();
    assert!(made.unwrap().status.success());
    let file = |certificate: &str| {
        let path = directory.path("a.toml");
        let (certificate, key) = (directory.path(certificate), certs.join("key.pem"));
        let at = format!(
            "ssl:0:certKey={}:privateKey={}",
            certificate.display(),
            key.display()
        );
        let serve = format!("[[serve]]\nwhat = \"users\"\nas = \"finger\"\nat = \"{at}\"\n");
        let text = format!("[provide.users]\nkind = \"finger.memory\"\n\n{serve}");
        fs::write(&path, text).unwrap();
        tress(&["check", path.to_str().unwrap()]).output().unwrap()
    };
    let output = file("certs/cert.pem");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = file("text.pem");
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(
        complaint.contains("no PEM certificate in it"),
        "{complaint}"
    );
}
