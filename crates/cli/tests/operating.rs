//! What an operator sees of a real `tress run`: its log in every form, what the service manager is told, and its figures.

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

use running::{PATIENCE, Running, tress};
use serde_json::Value;
use std::{
    env, fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

const USERS: &str = "[provide.users]\nkind = 'finger.memory'\nusers = { moshez = 'Happy' }\n\
                     [[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:0:interface=127.0.0.1'\n";

/// A directory with a file for `tress run`, gone after the test.
struct Place(PathBuf);

impl Place {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-operating-{}-{number}", process::id());
        let place = Self(env::temp_dir().join(name));
        fs::create_dir_all(&place.0).unwrap();
        place.write(text);
        place
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), format!("{USERS}{text}")).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.join("app.toml")
    }

    /// What stands in a file beside it.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = tress(&["run"]);
        command.args(options).arg(self.file());
        command
    }

    fn check(&self) -> (Option<i32>, String) {
        let checked = tress(&["check"]).arg(self.file()).output().unwrap();
        (
            checked.status.code(),
            String::from_utf8(checked.stderr).unwrap(),
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[track_caller]
fn ends_well(running: &mut Running) -> Vec<String> {
    running.signal("TERM");
    let (said, code) = running.ends();
    assert_eq!(code, Some(0), "{said:?}");
    said
}

#[test]
fn lines_of_json() {
    let place = Place::new("[log]\nformat = 'json'\nmodules = { tress = 'debug' }\n");
    let mut running = Running::of(&mut place.command(&[]));
    let mut lines = running.lines_to("app is running");
    lines.extend(ends_well(&mut running));
    let read: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let running = read
        .iter()
        .find(|line| line["message"] == "app is running")
        .unwrap();
    assert_eq!(
        (&running["level"], &running["target"]),
        (&"INFO".into(), &"tress".into())
    );
    assert!(running["timestamp"].as_str().unwrap().ends_with('Z'));
    // The command line counts more than the file.
    let options = ["--log-format", "text", "--log-level", "warn"];
    let (manager, mut command) = managed(&place, &options);
    let mut running = Running::of(&mut command);
    assert_eq!(told(&manager), READY);
    reload(&running, &manager);
    place.write("wrong");
    running.signal("HUP");
    let line = running.line("not read again");
    assert!(line.contains(" ERROR tress: "), "{line}");
    let said = ends_well(&mut running);
    assert!(!said.iter().any(|line| line.contains(" INFO ")), "{said:?}");
}

#[test]
fn a_file_is_rotated_and_opened_anew() {
    let place = Place::new("[log]\nto = 'file:app.log'\n");
    assert_eq!(place.check(), (Some(0), String::new()));
    assert!(!place.0.join("app.log").exists(), "checking makes nothing");
    let (manager, mut command) = managed(&place, &[]);
    let mut running = Running::of(&mut command);
    assert_eq!(told(&manager), READY);
    assert!(place.read("app.log").contains("app is running"));
    // As logrotate does it.
    fs::rename(place.0.join("app.log"), place.0.join("moved")).unwrap();
    running.signal("USR1");
    let mut log = String::new();
    for _ in 0..100 {
        // Signals that wait together have no order.
        reload(&running, &manager);
        log = place.read("app.log");
        if log.contains(" received SIGUSR1, the log is opened anew\n") {
            break;
        }
    }
    assert!(log.contains("the log is opened anew\n"), "{log}");
    // And as it is done here, from the next reading on.
    place.write("[log]\nto = 'file:app.log'\nrotate_bytes = 300\nkeep = 2\n");
    for _ in 0..8 {
        reload(&running, &manager);
    }
    assert_eq!(
        ends_well(&mut running),
        [""; 0],
        "nothing of it is on stderr"
    );
    let mut all = Vec::new();
    for name in ["app.log.2", "app.log.1", "app.log"] {
        let text = place.read(name);
        assert!(text.len() <= 300 && text.ends_with('\n'), "{name}: {text}");
        all.extend(text.lines().map(str::to_owned));
    }
    assert!(!place.0.join("app.log.3").exists());
    let whole = |line: &String| line.contains(" tress: ") && line.starts_with("20");
    assert!(all.iter().all(whole), "{all:?}");
    assert!(all.last().unwrap().ends_with("app has stopped"));
}

#[test]
fn a_log_is_read_again_with_the_file() {
    let place = Place::new("[log]\nlevel = 'warn'\n");
    let (manager, mut command) = managed(&place, &[]);
    let mut running = Running::of(&mut command);
    assert_eq!(told(&manager), READY);
    place.write("[log]\nlevel = 'warn'\nmodules = { tress = 'info' }\n");
    reload(&running, &manager);
    running.line(" INFO tress: read again");
    // What an application that runs cannot change, and then nothing of it.
    for (log, key) in [
        ("level = 'off'\nformat = 'json'", "format"),
        ("to = 'file:app.log'\nformat = 'json'", "format"),
    ] {
        place.write(&format!("[log]\n{log}\n"));
        running.signal("HUP");
        let said = running.line("not read again");
        assert!(
            said.contains(&format!(
                " log.{key}: an application that runs cannot change this"
            )),
            "{said}"
        );
    }
    for _ in 0..2 {
        told(&manager);
        told(&manager);
    }
    place.write("[log]\nto = 'file:app.log'\n");
    reload(&running, &manager);
    ends_well(&mut running);
    let log = place.read("app.log");
    assert!(log.lines().next().unwrap().contains("read again"), "{log}");
    assert!(log.contains("app has stopped"), "{log}");
}

#[test]
fn a_log_that_cannot_be_is_refused_with_its_line() {
    for (to, why) in [
        ("file:none/app.log", "No such file or directory"),
        ("file:.", "Is a directory"),
    ] {
        let place = Place::new(&format!("[log]\nlevel = 'warn'\nto = '{to}'\n"));
        let file = place.file();
        let (code, said) = place.check();
        assert_eq!(code, Some(2), "{said}");
        let begin = format!("{}:10: log.to: the log cannot go to `", file.display());
        assert!(said.starts_with(&begin) && said.contains(why), "{said}");
        let mut running = Running::of(&mut place.command(&[]));
        assert_eq!(running.ends(), (vec![said.trim_end().to_owned()], Some(2)));
    }
    let place = Place::new("[log]\nmodules = { tress = 'loud' }\n");
    let (code, said) = place.check();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("app.toml:9: log.modules: unknown level `loud`"),
        "{said}"
    );
    let mut running = Running::of(&mut place.command(&["--log-to", "file:/none/x"]));
    let (said, code) = running.ends();
    assert_eq!(code, Some(2));
    assert!(
        said[0].starts_with("--log-to: the log cannot go to `/none/x`: "),
        "{said:?}"
    );
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let place = Place::new("[log]\nto = 'file:/dev/full'\n");
    let (manager, mut command) = managed(&place, &[]);
    let mut running = Running::of(&mut command);
    assert_eq!(told(&manager), READY);
    reload(&running, &manager);
    let said = ends_well(&mut running);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("the log loses lines: No space left"),
        "{said:?}"
    );
}

/// Nobody reads, and the service goes on: it waits a second at most, and then no more.
#[test]
fn a_stderr_that_nobody_reads_does_not_hold_it() {
    let place = Place::new("[log]\nlevel = 'info'\nrate = 0\n");
    let (manager, mut command) = managed(&place, &[]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(told(&manager), READY);
    // Every reading again is several thousand bytes, and a pipe takes 64 KiB.
    let wrong: String = (0..50)
        .map(|n| format!("[nothing-is-called-so-{n}]\n"))
        .collect();
    place.write(&wrong);
    for _ in 0..30 {
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(sent.unwrap().success());
        assert!(told(&manager).starts_with("RELOADING=1\n"));
        assert!(told(&manager).starts_with("READY=1\nSTATUS=not read again"));
    }
    // Once somebody does, it is said how much has been lost.
    let mut stderr = child.stderr.take().unwrap();
    let mut some = vec![0; 32_768];
    stderr.read_exact(&mut some).unwrap();
    let pid = child.id().to_string();
    Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status()
        .unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(
        rest.contains(" lines were lost: nobody read it in time\n"),
        "{rest}"
    );
    for line in rest.lines().skip(1) {
        let is_whole = line.starts_with("20") && line.matches(" tress: ").count() == 1;
        assert!(is_whole, "{line}");
    }
}

#[test]
fn what_one_place_may_log_has_a_limit() {
    let place = Place::new("[log]\nrate = 2\nrate_period = '1h'\n");
    let (manager, mut command) = managed(&place, &[]);
    let mut running = Running::of(&mut command);
    assert_eq!(told(&manager), READY);
    for _ in 0..5 {
        reload(&running, &manager);
    }
    let said = ends_well(&mut running);
    let count = |words: &str| said.iter().filter(|line| line.contains(words)).count();
    assert_eq!(count("INFO tress: received SIGHUP"), 2, "{said:?}");
    assert_eq!(count("INFO tress: read again"), 2, "{said:?}");
    // What is left out is said, if not in time, then in the end.
    assert_eq!(
        count("WARN tress: left out 3 lines of `tress` from "),
        2,
        "{said:?}"
    );
}

/// Nothing more comes of that place, and nobody asks.
#[test]
fn what_is_left_out_is_said_in_time() {
    let place = Place::new("[log]\nrate = 1\nrate_period = '50ms'\n");
    let (manager, mut command) = managed(&place, &[]);
    let mut running = Running::of(&mut command);
    assert_eq!(told(&manager), READY);
    let wrong: String = (0..50).map(|n| format!("[x{n}]\n")).collect();
    place.write(&wrong);
    running.signal("HUP");
    let said = running.line("WARN tress: left out ");
    assert!(
        said.contains(" lines of `tress` from crates/app/src/control/handle.rs:"),
        "{said}"
    );
    assert!(
        said.ends_with(", which may log 1 in 50ms (`log.rate`)"),
        "{said}"
    );
    ends_well(&mut running);
}

/// A service manager that listens, and a command that is to tell it.
fn managed(place: &Place, options: &[&str]) -> (UnixDatagram, Command) {
    let path = place.0.join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = place.command(options);
    command.env("NOTIFY_SOCKET", path);
    (manager, command)
}

const READY: &str = "READY=1\nSTATUS=1 service runs";

#[track_caller]
fn told(manager: &UnixDatagram) -> String {
    let mut message = [0; 1_000];
    loop {
        match manager.recv(&mut message) {
            Ok(length) => return String::from_utf8(message[..length].to_vec()).unwrap(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[track_caller]
fn reload(running: &Running, manager: &UnixDatagram) {
    running.signal("HUP");
    assert!(told(manager).starts_with("RELOADING=1\n"));
    assert_eq!(told(manager), READY);
}

#[test]
fn the_service_manager_is_told() {
    for workers in [1, 2] {
        let place = Place::new(&format!("[app]\nworkers = {workers}\n"));
        let (manager, mut command) = managed(&place, &[]);
        let mut running = Running::of(&mut command);
        // It listens when it says so.
        let at = running.address("finger");
        assert_eq!(told(&manager), READY);
        assert_eq!(ask(at, "moshez\r\n"), "Happy\r\n");
        running.signal("HUP");
        let reloading = told(&manager);
        let at = reloading
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|rest| rest.split('\n').next())
            .unwrap();
        assert!(at.parse::<u64>().unwrap() > 0);
        assert_eq!(told(&manager), READY);
        running.signal("TERM");
        assert_eq!(told(&manager), "STOPPING=1\nSTATUS=stopping");
        let (said, code) = running.ends();
        assert_eq!(code, Some(0), "{said:?}");
    }
}

#[test]
fn the_watchdog_hears_of_a_loop_that_turns() {
    let place = Place::new("");
    let (manager, mut command) = managed(&place, &[]);
    command.env("WATCHDOG_USEC", "20000");
    let mut running = Running::of(&mut command);
    assert_eq!(told(&manager), READY);
    for _ in 0..3 {
        assert_eq!(told(&manager), "WATCHDOG=1");
    }
    ends_well(&mut running);
    // What is meant for another process, and what is wrong.
    let place = Place::new("");
    let (manager, mut command) = managed(&place, &[]);
    command
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1");
    let mut running = Running::of(&mut command);
    assert_eq!(told(&manager), READY);
    running.signal("TERM");
    assert!(told(&manager).starts_with("STOPPING=1"));
    running.ends();
    let mut running = Running::of(place.command(&[]).env("NOTIFY_SOCKET", "run/notify"));
    let said = running.line("the service manager is told nothing");
    assert!(
        said.ends_with(
            "NOTIFY_SOCKET is `run/notify`; expected an absolute path, or `@` and a name"
        )
    );
    running.line("app is running");
    ends_well(&mut running);
}

fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Judged by Prometheus' own parser in Python. Skips that, and says so, without `TRESS_PYTHON`.
#[test]
fn prometheus_reads_the_figures() {
    let place = Place::new(
        "[provide.figures]\nkind = 'metrics'\n[[serve]]\nwhat = 'figures'\nas = 'metrics'\n\
         at = 'tcp:0:interface=127.0.0.1'\n",
    );
    let mut running = Running::of(&mut place.command(&[]));
    let (finger, http) = (running.address("finger"), running.address("http"));
    assert_eq!(ask(finger, "moshez\r\n"), "Happy\r\n");
    let get = |head: &str| ask(http, &format!("{head}\r\nConnection: close\r\n\r\n"));
    let answer = get("GET /metrics HTTP/1.1\r\nHost: localhost");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(head.contains(kind), "{head}");
    let post = get("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0");
    assert!(
        post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD\r\n"),
        "{post}"
    );
    ends_well(&mut running);
    let Some(python) = env::var_os("TRESS_PYTHON") else {
        println!("skipped: TRESS_PYTHON says which Python has prometheus_client");
        return;
    };
    let judged = judge(Path::new(&python), body);
    for (sample, value) in [
        ("tress_endpoint_sent_bytes_total finger", "7"),
        ("tress_endpoint_accepted_total finger", "1"),
        ("tress_service_running finger", "1"),
        ("tress_connections_accepted_total", "2"),
    ] {
        let line = format!("{sample} {value}");
        assert!(
            judged.lines().any(|found| found == line),
            "{line}: {judged}"
        );
    }
}

/// Every sample, by what Prometheus reads: its name, the service without `users-`, and the number.
fn judge(python: &Path, text: &str) -> String {
    const PROGRAM: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families
seen = set()
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.type in ('counter', 'gauge') and family.documentation, family
    for sample in family.samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        assert key not in seen, key
        seen.add(key)
        assert (family.type == 'counter') == sample.name.endswith('_total'), sample
        service = sample.labels.get('service', '').removeprefix('users-')
        print(*filter(None, (sample.name, service)), sample.value)
assert len(seen) > 25, seen
";
    let mut judge = Command::new(python)
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    judge
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let judged = judge.wait_with_output().unwrap();
    assert!(judged.status.success(), "{text}");
    String::from_utf8(judged.stdout).unwrap()
}

/// The unit file that is packaged, as far as systemd can tell here.
#[test]
fn systemd_takes_the_unit_file() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/tress.service");
    let text = fs::read_to_string(&unit).unwrap();
    for said in ["Type=notify", "WatchdogSec=", "ExecReload="] {
        assert!(text.contains(said), "{said}");
    }
    // What it starts is not installed here: it is looked for where the test is.
    let place = Place::new("");
    let text = text.replace("/usr/bin/tress", env!("CARGO_BIN_EXE_tress"));
    let copy = place.0.join("tress.service");
    fs::write(&copy, text).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&copy)
        .output();
    match verified {
        Err(error) => println!("skipped: systemd-analyze: {error}"),
        Ok(verified) => {
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(
                verified.status.success() && !said.contains("tress.service:"),
                "{said}"
            );
        }
    }
}
