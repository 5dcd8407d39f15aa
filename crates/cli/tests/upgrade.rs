//! `tress ctl upgrade` and reloads against a real `tress run`: nobody who asks meanwhile is lost, and when the new process
//! fails, in whatever way, the old one goes on as if nothing had been.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test"
)]

mod load;
mod openssl;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod running;

use load::{Load, ask};
use openssl::ask_over_tls;
use running::{PATIENCE, Running, tress};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            net::{UnixDatagram, UnixStream},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// A `tress run` in a directory of its own, and whatever takes its place: all is gone after the test.
struct Application {
    directory: PathBuf,
    /// The first process; the log is that of all, as they inherit where it goes.
    running: Running,
}

impl Application {
    fn of(text: &str) -> Self {
        Self::started(text, |file| {
            let mut command = tress(&["run"]);
            command.arg(file);
            command
        })
    }

    fn started(text: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-upgrade-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("app.toml");
        fs::write(&file, text).unwrap();
        let mut command = command(&file);
        // A group of their own, to end them all by.
        command.current_dir(&directory).process_group(0);
        let running = Running::of(&mut command);
        Self { directory, running }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self, text: &str) {
        fs::write(self.path("app.toml"), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        // Not by the file, which may be wrong or a pipe in a test.
        let at = format!("unix:{}", self.path("app.control").display());
        let mut command = tress(&["ctl", "--at", &at]);
        command.args(words);
        command
    }

    /// Its code, and what it prints: on stdout when it is 0, on stderr otherwise.
    #[track_caller]
    fn ctl(&self, words: &[&str]) -> (Option<i32>, String) {
        outcome(self.command(words).output().unwrap())
    }

    /// Upgrades it, and answers with the number of the process.
    #[track_caller]
    fn upgrade(&self, words: &[&str]) -> u32 {
        let (code, said) = self.ctl(&[&["upgrade"], words].concat());
        assert_eq!(code, Some(0), "{said}");
        let process = said.strip_prefix("process ");
        let process = process.and_then(|said| said.strip_suffix(" has taken over\n"));
        process.unwrap_or_else(|| panic!("{said}")).parse().unwrap()
    }

    /// The process that the log says was started to take over.
    #[track_caller]
    fn started_process(&self) -> u32 {
        let line = self.running.line(" to take over");
        let (_, rest) = line.split_once(" as process ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        signal("KILL", &format!("-{}", self.running.child.id()));
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// To a process, or with a minus to its group.
fn signal(name: &str, to: &str) -> bool {
    let mut kill = Command::new("kill");
    let sent = kill
        .args(["-s", name, "--", to])
        .stderr(Stdio::null())
        .status();
    sent.unwrap().success()
}

fn outcome(output: Output) -> (Option<i32>, String) {
    let said = match output.status.success() {
        true => output.stdout,
        false => output.stderr,
    };
    (output.status.code(), String::from_utf8(said).unwrap())
}

fn is_there(process: u32) -> bool {
    // One that has ended and that nobody has asked for its end is there, too.
    let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = state.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !matches!(state.chars().next(), None | Some('Z' | 'X'))
}

/// Waits until the process is there no more, which was killed.
#[track_caller]
fn goes(process: u32) {
    let mut tail = Command::new("timeout");
    let patience = PATIENCE.as_secs().to_string();
    tail.args([&patience, "tail", "-s", "0.01", "-f", "/dev/null"]);
    let gone = tail.arg(format!("--pid={process}")).status();
    assert!(gone.unwrap().success(), "process {process} is there still");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

const USERS: &str =
    "[control]\n[provide.users]\nkind = 'finger.memory'\nusers = { moshez = 'Happy' }\n";

/// Finger at this endpoint, with this behind it.
fn finger(at: &str, more: &str) -> String {
    format!("[[serve]]\nwhat = 'users'\nas = 'finger'\nat = '{at}'\n{more}")
}

fn at(port: u16) -> String {
    format!("tcp:{port}:interface=127.0.0.1")
}

/// All of it: finger at a TCP port and a UNIX socket, HTTP at another port.
struct Town {
    ports: [u16; 2],
}

impl Town {
    fn new() -> Self {
        Self {
            ports: [free_port(), free_port()],
        }
    }

    fn text(&self, app: &str, forwarding: bool) -> String {
        let [plain, http] = self.ports;
        let forwarding = format!("forwarding = {forwarding}\n");
        format!(
            "[app]\n{app}\n{USERS}{}{}[[serve]]\nwhat = 'users'\nas = 'http'\nat = '{}'\n",
            finger(&at(plain), &forwarding),
            finger("unix:app.socket", ""),
            at(http),
        )
    }

    /// Asks all of it, so many times, while `change` goes on.
    fn under_load(&self, running: &Application, requests: u32, change: impl FnOnce(&Load)) {
        let [plain, http] = self.ports.map(local);
        let (load, socket) = (Load::new(requests), running.path("app.socket"));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| load.finger(|| TcpStream::connect(plain)));
                scope.spawn(|| load.http(http));
            }
            scope.spawn(|| load.finger(|| UnixStream::connect(&socket)));
            // A failure here ends the others.
            let _end = load.ends_with_this();
            change(&load);
        });
        assert_eq!(load.answered(), requests);
    }
}

impl Application {
    fn socket(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.path("app.socket"))
    }

    /// Reads its file again, which now has that text.
    #[track_caller]
    fn reload(&self, text: &str) {
        self.write(text);
        let (code, said) = self.ctl(&["reload"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("restarted  users-finger\n"), "{said}");
    }

    /// The process that holds the lock of the UNIX socket.
    #[track_caller]
    fn holder(&self) -> u32 {
        let target = fs::read_link(self.path("app.socket.lock")).unwrap();
        target.to_str().unwrap().parse().unwrap()
    }

    /// The process ends as told, and leaves nothing behind.
    #[track_caller]
    fn ends(&self, process: u32) {
        assert!(signal("TERM", &process.to_string()));
        self.running.line("has stopped");
        while self.running.next_line().is_some() {}
        for name in [
            "app.socket",
            "app.socket.lock",
            "app.control",
            "app.control.lock",
        ] {
            assert!(fs::symlink_metadata(self.path(name)).is_err(), "{name}");
        }
    }
}

/// How many requests the long test makes.
const REQUESTS: u32 = 100_000;

#[test]
fn reloads_and_upgrades_lose_none_of_a_hundred_thousand_requests() {
    let town = Town::new();
    let running = Application::of(&town.text("", false));
    running.running.line("app is running");
    let mut last = running.running.child.id();
    town.under_load(&running, REQUESTS, |load| {
        for round in 1..=9 {
            // Spread over all of the requests.
            load.wait_for(REQUESTS / 10 * round);
            running.reload(&town.text("", round % 2 == 1));
            if round % 2 == 0 {
                let process = running.upgrade(&[]);
                assert_ne!(process, last);
                running
                    .running
                    .line(&format!("has taken the place of process {last}"));
                last = process;
            }
        }
    });
    assert_eq!(running.holder(), last);
    running.ends(last);
}

/// What a reload cannot change: an upgrade can.
#[test]
fn workers_and_drivers_change_under_load() {
    let town = Town::new();
    let driver = match cfg!(feature = "uring") {
        true => "auto",
        false => "mio",
    };
    let app = |workers: u32, driver: &str| format!("workers = {workers}\ndriver = '{driver}'");
    let running = Application::of(&town.text(&app(2, "mio"), false));
    running.running.line("app is running");
    let mut last = running.running.child.id();
    let requests = REQUESTS / 5;
    town.under_load(&running, requests, |load| {
        let steps = [(2, "mio"), (2, driver), (1, driver), (2, "mio"), (1, "mio")];
        for (round, (workers, driver)) in (1..).zip(steps) {
            load.wait_for(requests / 6 * round);
            running.write(&town.text(&app(workers, driver), round % 2 == 1));
            let process = running.upgrade(&[]);
            running
                .running
                .line(&format!("has taken the place of process {last}"));
            last = process;
        }
    });
    running.ends(last);
}

/// A new endpoint is opened, one that is gone is closed, and what was attached is gone as after a reload.
#[test]
fn the_new_process_does_what_the_file_says() {
    let [stays, goes, comes, attached] = [(); 4].map(|()| free_port());
    let text = |other| {
        format!(
            "{USERS}{}{}",
            finger(&at(stays), ""),
            finger(&at(other), "")
        )
    };
    let running = Application::of(&text(goes));
    running.running.line("app is running");
    let attach = format!("at={}", at(attached));
    let (code, said) = running.ctl(&["attach", "what=users", "as=finger", &attach]);
    assert_eq!(code, Some(0), "{said}");
    let open = TcpStream::connect(local(goes)).unwrap();
    running.write(&text(comes));
    running.upgrade(&[]);
    for port in [stays, comes] {
        assert_eq!(
            ask(TcpStream::connect(local(port))),
            Ok("Happy\r\n".to_owned())
        );
    }
    for port in [goes, attached] {
        assert!(TcpStream::connect(local(port)).is_err());
    }
    // Who was there before has the old process still.
    assert_eq!(ask(Ok(open)), Ok("Happy\r\n".to_owned()));
    running.running.line("app has stopped");
}

/// Whoever stays longer than `drain` is closed.
#[test]
fn the_old_process_does_not_stay_for_ever() {
    let port = free_port();
    let text = format!("{USERS}{}[limits]\ndrain = '1ms'\n", finger(&at(port), ""));
    let mut running = Application::of(&text);
    running.running.line("app is running");
    let silent = TcpStream::connect(local(port)).unwrap();
    let process = running.upgrade(&[]);
    assert_eq!(running.running.child.wait().unwrap().code(), Some(0));
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(std::io::Read::read(&mut &silent, &mut [0; 9]).unwrap(), 0);
    running.running.line("has taken the place of process");
    running.ends(process);
}

/// Below TLS, and below a PROXY header, is a socket as any other.
#[test]
fn layered_endpoints_are_passed_on() {
    let [proxied, secret] = [free_port(), free_port()];
    let running = Application::started("", |file| {
        let directory = file.parent().unwrap();
        let made = tress(&["cert", "--out", directory.to_str().unwrap()]).output();
        assert!(made.unwrap().status.success());
        let tls = format!("ssl:{secret}:interface=127.0.0.1:privateKey=key.pem:certKey=cert.pem");
        let proxy = finger(&format!("haproxy:{}", at(proxied)), "");
        fs::write(file, format!("{USERS}{proxy}{}", finger(&tls, ""))).unwrap();
        let mut command = tress(&["run"]);
        command.arg(file);
        command
    });
    running.running.line("app is running");
    for _ in 0..2 {
        running.upgrade(&[]);
        let mut stream = TcpStream::connect(local(proxied)).unwrap();
        stream
            .write_all(b"PROXY TCP4 203.0.113.5 198.51.100.7 4711 79\r\n")
            .unwrap();
        assert_eq!(ask(Ok(stream)), Ok("Happy\r\n".to_owned()));
        let Some(answer) = ask_over_tls(&local(secret).to_string(), b"moshez\r\n") else {
            continue;
        };
        assert_eq!(String::from_utf8_lossy(&answer), "Happy\r\n");
    }
}

/// A socket that systemd opened is passed on as well.
#[test]
fn a_socket_of_systemd_is_passed_on() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let text = format!("{USERS}{}", finger("systemd:domain=INET:index=0", ""));
    let running = Application::started(&text, |file| {
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run \"$1\"";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_tress")])
            .arg(file)
            .stdin(Stdio::from(OwnedFd::from(socket)));
        command
    });
    running.running.line("app is running");
    for _ in 0..2 {
        running.upgrade(&[]);
        assert_eq!(ask(TcpStream::connect(address)), Ok("Happy\r\n".to_owned()));
    }
}

#[test]
fn standard_input_cannot_be_passed_on() {
    let text = format!("{USERS}{}", finger("stdio:", ""));
    let running = Application::started(&text, |file| {
        let mut command = tress(&["run"]);
        command
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    });
    running.running.line("app is running");
    let (code, said) = running.ctl(&["upgrade"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "`stdio:` is a connection and no socket that listens: it cannot be passed on\n"
    );
    signal("USR2", &running.running.child.id().to_string());
    running
        .running
        .line("not upgraded: `stdio:` is a connection");
}

/// Nothing has changed: the process is the same, and serves.
#[track_caller]
fn goes_on(running: &mut Application, port: u16) {
    assert_eq!(running.running.child.try_wait().unwrap(), None);
    assert_eq!(
        ask(TcpStream::connect(local(port))),
        Ok("Happy\r\n".to_owned())
    );
    assert_eq!(ask(running.socket()), Ok("Happy\r\n".to_owned()));
    assert_eq!(running.holder(), running.running.child.id());
}

/// What a new process does that is none, as a shell script, and why it is none. The program is `sh run FILE`, which does what is in
/// the file `run`.
const SCRIPTS: &[(&str, &str)] = &[
    ("exit 0", "it ended before it was ready: "),
    ("exit 3", "exit code 3"),
    ("kill -SEGV $$", "SEGV"),
    ("exec 3<&-; exit 4", "exit code 4"),
    (
        "echo 'tress-upgrade 2 ready' >&3; exec sleep 100",
        "it says version 2 of the upgrade, where version 1",
    ),
    (
        "echo hello >&3; exec sleep 100",
        "it says no line of the upgrade",
    ),
    (
        "echo 'tress-upgrade 1 steady' >&3; exec sleep 100",
        "it says `steady`",
    ),
    (
        "dd bs=65536 count=1 <&3 >run.log 2>&1; printf 'tress-upgrade 1 failed\\nno luck' >&3",
        "no luck\n",
    ),
    (
        "head -c 200000 /dev/zero >&3; exec sleep 100",
        "it says no line of the upgrade",
    ),
];

#[test]
fn when_the_new_process_fails_the_old_one_goes_on() {
    let port = free_port();
    let text = format!(
        "{USERS}{}{}[limits]\nupgrade = '30s'\n",
        finger(&at(port), ""),
        finger("unix:app.socket", "")
    );
    let mut running = Application::of(&text);
    running.running.line("app is running");
    let fails = |running: &mut Application, words: &[&str], expected: &str| {
        let (code, said) = running.ctl(&[&["upgrade"], words].concat());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{said}, expected {expected}");
        goes_on(running, port);
    };
    fails(&mut running, &["--binary", "/nonexistent"], "No such file");
    fails(
        &mut running,
        &["--binary", "/dev/null"],
        "Permission denied",
    );
    for (script, expected) in SCRIPTS {
        fs::write(running.path("run"), script).unwrap();
        fails(&mut running, &["--binary", "/bin/sh"], expected);
        let process = running.started_process();
        // It is not waited for, but it is killed.
        goes(process);
    }
    let wrong = format!("{text}[[serve]]\nwhat = 'user'\nas = 'finger'\nat = 'tcp:0'\n");
    running.write(&wrong);
    fails(
        &mut running,
        &[],
        "app.toml:16: serve.what: unknown provider `user`",
    );
    running.write(&format!("{text}{}", finger("unix:/nonexistent/socket", "")));
    fails(
        &mut running,
        &[],
        "cannot start `finger` at `unix:/nonexistent/socket`",
    );
    signal("USR2", &running.running.child.id().to_string());
    running.running.line("not upgraded: ");
    goes_on(&mut running, port);
    // And when it is right, it is done.
    running.write(&text);
    let process = running.upgrade(&[]);
    running.running.line("has taken the place of process");
    assert_eq!(running.holder(), process);
    running.ends(process);
}

/// One that says nothing has until the limit.
#[test]
fn a_process_that_says_nothing_is_killed() {
    let port = free_port();
    let text = format!(
        "{USERS}{}{}[limits]\nupgrade = '100ms'\n",
        finger(&at(port), ""),
        finger("unix:app.socket", "")
    );
    let mut running = Application::of(&text);
    running.running.line("app is running");
    fs::write(running.path("run"), "exec sleep 100").unwrap();
    let (code, said) = running.ctl(&["--json", "upgrade", "--binary", "/bin/sh"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    goes(running.started_process());
    goes_on(&mut running, port);
}

/// An application that upgrades, with the new process in the middle of its start: it reads its file, which is a pipe that only
/// this test ends. It has been passed everything.
struct Halfway {
    running: Application,
    text: String,
    port: u16,
    pipe: File,
    new: u32,
    asked: thread::JoinHandle<(Option<i32>, String)>,
}

impl Halfway {
    fn new() -> Self {
        let port = free_port();
        let text = format!(
            "{USERS}{}{}",
            finger(&at(port), ""),
            finger("unix:app.socket", "")
        );
        let running = Application::of(&text);
        running.running.line("app is running");
        let file = running.path("app.toml");
        fs::remove_file(&file).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(&file)
                .status()
                .unwrap()
                .success()
        );
        let mut upgrade = running.command(&["upgrade"]);
        let upgrade = upgrade
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let upgrade = upgrade.unwrap();
        let asked =
            thread::Builder::new().spawn(move || outcome(upgrade.wait_with_output().unwrap()));
        let new = running.started_process();
        // Waits until it is read.
        let pipe = File::options().write(true).open(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, &text).unwrap();
        Self {
            running,
            text,
            port,
            pipe,
            new,
            asked: asked.unwrap(),
        }
    }

    /// The new process goes on.
    fn feed(mut self) -> (Application, thread::JoinHandle<(Option<i32>, String)>) {
        self.pipe.write_all(self.text.as_bytes()).unwrap();
        (self.running, self.asked)
    }
}

#[test]
fn the_new_process_is_killed_halfway() {
    let mut halfway = Halfway::new();
    signal("KILL", &halfway.new.to_string());
    let (code, said) = halfway.asked.join().unwrap();
    assert_eq!(code, Some(1));
    assert!(said.contains("it ended before it was ready: "), "{said}");
    goes_on(&mut halfway.running, halfway.port);
    let process = halfway.running.upgrade(&[]);
    halfway
        .running
        .running
        .line("has taken the place of process");
    halfway.running.ends(process);
}

/// Then the new one is all there is: it goes on, and what the old one left behind is its own.
#[test]
fn the_old_process_is_killed_halfway() {
    let mut halfway = Halfway::new();
    let (new, port) = (halfway.new, halfway.port);
    halfway.running.running.child.kill().unwrap();
    halfway.running.running.child.wait().unwrap();
    let (running, asked) = halfway.feed();
    assert_eq!(asked.join().unwrap().0, Some(3), "who was asked is gone");
    running.running.line("ended without a word");
    running.running.line("has taken the place of process");
    assert_eq!(
        ask(TcpStream::connect(local(port))),
        Ok("Happy\r\n".to_owned())
    );
    assert_eq!(ask(running.socket()), Ok("Happy\r\n".to_owned()));
    assert_eq!(running.holder(), new);
    running.ends(new);
}

/// Whoever stops the application means all of it.
#[test]
fn the_old_process_is_stopped_halfway() {
    let halfway = Halfway::new();
    let old = halfway.running.running.child.id();
    halfway.running.ends(old);
    goes(halfway.new);
    let (code, said) = halfway.asked.join().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("this process stops"), "{said}");
}

#[test]
fn nothing_else_is_changed_halfway() {
    let halfway = Halfway::new();
    let (old, new) = (halfway.running.running.child.id(), halfway.new);
    for words in [
        &["upgrade"][..],
        &["reload"],
        &["stop", "users-finger"],
        &["detach", "users-finger"],
        &["attach", "what=users", "as=finger", "at=tcp:0"],
    ] {
        let (code, said) = halfway.running.ctl(words);
        assert_eq!(code, Some(1), "{words:?}: {said}");
        assert!(said.contains("an upgrade is going on"), "{words:?}: {said}");
    }
    signal("USR2", &old.to_string());
    halfway
        .running
        .running
        .line("not upgraded: an upgrade is going on");
    signal("HUP", &old.to_string());
    halfway
        .running
        .running
        .line("the file is read again after it");
    let changed = halfway.text.replace("Happy", "Sorry");
    let port = halfway.port;
    let (running, asked) = halfway.feed();
    assert_eq!(asked.join().unwrap().0, Some(0));
    // The new process was told to by the old one.
    running.running.line("read again: nothing has changed");
    running.write(&changed);
    signal("HUP", &new.to_string());
    running.running.line("read again: restarted users-finger");
    assert_eq!(
        ask(TcpStream::connect(local(port))),
        Ok("Sorry\r\n".to_owned())
    );
    running.ends(new);
}

/// A program that has inherited the variable, and a descriptor of that number from somebody else, is no successor.
#[test]
fn a_variable_alone_makes_no_successor() {
    let port = free_port();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let running = Application::started(&format!("{USERS}{}", finger(&at(port), "")), |file| {
        let script = "exec 3<&0 </dev/null; TRESS_UPGRADE=$$ exec \"$0\" run \"$1\"";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_tress")])
            .arg(file)
            .stdin(Stdio::from(OwnedFd::from(theirs)));
        command
    });
    let said = running.running.lines_to("app is running");
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(
        ask(TcpStream::connect(local(port))),
        Ok("Happy\r\n".to_owned())
    );
    drop(ours);
}

/// Without a file, too: the arguments are the same.
#[test]
fn what_is_served_without_a_file_is_upgraded() {
    let port = free_port();
    let at = at(port);
    let running = Application::started("", |_| {
        let users = ["--kind", "finger.memory", "--users", "moshez=Happy"];
        let mut command = tress(&["serve", "finger", "--at", &at]);
        command.args(users);
        command
    });
    running.running.line(" is running");
    signal("USR2", &running.running.child.id().to_string());
    running.running.line("has taken the place of process");
    assert_eq!(
        ask(TcpStream::connect(local(port))),
        Ok("Happy\r\n".to_owned())
    );
}

/// The signal does the same, and by the path that was written to start it.
#[test]
fn a_replaced_program_is_what_is_started() {
    let port = free_port();
    let text = format!("{USERS}{}", finger(&at(port), ""));
    let running = Application::started(&text, |file| {
        let link = file.with_file_name("program");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tress"), &link).unwrap();
        let mut command = Command::new("./program");
        command.arg("run").arg(file);
        command
    });
    running.running.line("app is running");
    let link = running.path("program");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
    fs::write(running.path("run"), "exit 7").unwrap();
    let (code, said) = running.ctl(&["upgrade"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("exit code 7"), "{said}");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tress"), &link).unwrap();
    signal("USR2", &running.running.child.id().to_string());
    running.running.line("received SIGUSR2, upgrading");
    let new = running.started_process();
    // The two processes say it in any order.
    let said = running.running.lines_to("has taken the place of process");
    if !said.iter().any(|line| line.contains("app has stopped")) {
        running.running.line("app has stopped");
    }
    assert_eq!(
        ask(TcpStream::connect(local(port))),
        Ok("Happy\r\n".to_owned())
    );
    assert!(is_there(new));
}

/// What an idle application takes, in the dev profile.
/// The process that this one has started.
fn child_of(process: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().next()?.parse().ok()
}

/// Not when the old process ends, which somebody who is connected may put off.
#[test]
fn children_of_the_old_process_end_when_the_new_one_has_its_own() {
    let port = free_port();
    let run = "[[run]]\nname = 'sleeper'\ncommand = ['sleep', '1000']\n";
    let text = format!("{USERS}{}", finger(&at(port), run));
    let running = Application::of(&text);
    running.running.line("app is running");
    let child = child_of(running.running.child.id()).unwrap();
    let _connected = TcpStream::connect(local(port)).unwrap();
    let process = running.upgrade(&[]);
    assert!(is_there(child_of(process).unwrap()));
    goes(child);
    assert!(is_there(running.running.child.id()));
    assert!(is_there(child_of(process).unwrap()));
}

/// Which process it has to watch; and once it knows, nothing of the old one, whose end would pass for that of the service.
#[test]
fn the_service_manager_is_told_which_process_goes_on() {
    let port = free_port();
    let mut manager = None;
    let text = format!("{USERS}{}", finger(&at(port), ""));
    let mut running = Application::started(&text, |file| {
        let path = file.with_file_name("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        manager = Some(socket);
        let mut command = tress(&["run"]);
        command.arg(file).env("NOTIFY_SOCKET", path);
        command.env("WATCHDOG_USEC", "100000");
        command
    });
    let manager = manager.unwrap();
    let told = || {
        let mut message = [0; 1_000];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    assert!(told().starts_with("READY=1\n"));
    let process = running.upgrade(&[]);
    let is_alive = |said: &str| said == "WATCHDOG=1" || said.starts_with("READY=1\n");
    let first = std::iter::repeat_with(told).find(|said| !is_alive(said));
    let expected = format!("MAINPID={process}\nSTATUS=process {process} has taken over");
    assert_eq!(first, Some(expected));
    assert!(running.running.child.wait().unwrap().success());
    // The new one lives.
    let alive = std::iter::repeat_with(told).take(3);
    assert!(alive.into_iter().all(|said| is_alive(&said)));
    assert!(signal("TERM", &process.to_string()));
    let last = std::iter::repeat_with(told).find(|said| !is_alive(said));
    assert_eq!(last.as_deref(), Some("STOPPING=1\nSTATUS=stopping"));
}

#[test]
fn an_idle_application_is_small() {
    let port = free_port();
    let running = Application::of(&format!("{USERS}{}", finger(&at(port), "")));
    running.running.line("app is running");
    ask(TcpStream::connect(local(port))).unwrap();
    let process = running.running.child.id();
    let text = File::open(format!("/proc/{process}/smaps_rollup")).unwrap();
    let mut lines = BufReader::new(text).lines().map_while(Result::ok);
    // What is shared with nobody: of the program's file, the pages that a dev build touches are many more.
    let anonymous = lines.find_map(|line| {
        let kilobytes = line.strip_prefix("Anonymous:")?;
        kilobytes.split_whitespace().next()?.parse::<u64>().ok()
    });
    assert!(anonymous.unwrap() < 8 * 1024, "{anonymous:?} KiB");
}
