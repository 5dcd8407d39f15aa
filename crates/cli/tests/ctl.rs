//! `tress ctl` and `tress call` against a real `tress run`: what it prints, with what code it ends, and that nobody else is disturbed.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "the other end of the wire is not ours, and this whole file is a test"
)]

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod running;

mod calling;
mod newcomer;

use running::{PATIENCE, Running, tress};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn ask(port: u16, request: &str) -> std::io::Result<String> {
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A `tress run` of a file in a directory of its own, both gone after the test.
struct Application {
    directory: PathBuf,
    running: Running,
    /// What it said until it ran.
    said: Vec<String>,
}

impl Application {
    fn of(text: &str) -> Self {
        Self::with(text, &[])
    }

    /// With these files beside the application's, in the directory `{D}`, and a certificate there.
    fn with(text: &str, files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-ctl-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("app.toml");
        let text = text.replace("{D}", directory.to_str().unwrap());
        fs::write(&file, &text).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
        if text.contains("cert.pem") {
            let made = tress(&["cert", "--out", directory.to_str().unwrap()]).output();
            assert!(made.unwrap().status.success());
        }
        let running = Running::start(&file);
        let said = running.lines_to("app is running");
        Self {
            directory,
            running,
            said,
        }
    }

    /// The next line of the log that has these words.
    #[track_caller]
    fn line(&self, words: &str) -> String {
        self.running.line(words)
    }

    /// Where it can be reached that listens at this endpoint with a port that the system chose.
    fn reached(&self, at: &str) -> String {
        let listening = format!("listening at {at} as ");
        let line = self.said.iter().find(|line| line.contains(&listening));
        format!("tcp:{}", running::address(line.unwrap()))
    }

    fn file(&self) -> PathBuf {
        self.directory.join("app.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    fn ctl(&self, words: &[&str]) -> Output {
        let file = self.file();
        ctl(&[&["--file", file.to_str().unwrap()], words].concat())
    }

    /// What it prints when all goes well.
    #[track_caller]
    fn well(&self, words: &[&str]) -> String {
        let output = self.ctl(words);
        assert_eq!(
            (text(&output.stderr), output.status.code()),
            (String::new(), Some(0)),
            "{words:?}"
        );
        text(&output.stdout)
    }

    /// Its code, and what it says on stderr.
    #[track_caller]
    fn ill(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.ctl(words);
        assert_eq!(text(&output.stdout), "", "{words:?}");
        (output.status.code(), text(&output.stderr))
    }

    fn signal(&self, name: &str) {
        self.running.signal(name);
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

fn ctl(words: &[&str]) -> Output {
    tress(&["ctl"]).args(words).output().unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

const USERS: &str = "[provide.users]\nkind = 'finger.memory'\nusers = { moshez = 'Happy' }\n";

fn finger(port: u16, more: &str) -> String {
    format!(
        "[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:{port}:interface=127.0.0.1'\n{more}"
    )
}

#[test]
fn a_service_is_listed_stopped_and_started() {
    let port = free_port();
    let running = Application::of(&format!("[control]\n{USERS}{}", finger(port, "")));
    let socket = running.directory.join("app.control");
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let list = running.well(&["list"]);
    let words: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(words[0], ["service", "state", "for", "what", "as", "at"]);
    let at = format!("tcp:{port}:interface=127.0.0.1");
    assert_eq!(words[1][..2], ["users-finger", "running"]);
    assert_eq!(words[1][3..], ["users", "finger", &at]);
    assert_eq!(words[2][..2], ["control", "running"]);
    assert_eq!(words[2][3..5], ["[control]", "jsonrpc-lines"]);
    assert_eq!(words.len(), 3);
    assert_eq!(running.well(&["stop", "users-finger"]), "stopped\n");
    assert!(ask(port, "moshez\r\n").is_err());
    assert_eq!(running.well(&["stop", "users-finger"]), "does not run\n");
    assert!(running.well(&["list"]).contains("users-finger  stopped"));
    assert_eq!(running.well(&["start", "users-finger"]), "started\n");
    assert_eq!(running.well(&["start", "users-finger"]), "runs already\n");
    assert_eq!(ask(port, "moshez\r\n").unwrap(), "Happy\r\n");
    let unknown = "unknown service `users-figner`; expected one of `users-finger`, `control`; did you mean `users-finger`?\n";
    assert_eq!(
        running.ill(&["stop", "users-figner"]),
        (Some(1), unknown.into())
    );
    // The service that carries the call.
    assert_eq!(running.well(&["stop", "control"]), "stopped\n");
    let (code, said) = running.ill(&["list"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.starts_with("cannot reach the application at unix:"),
        "{said}"
    );
    running.signal("HUP");
    running.line("read again: started control");
    assert_eq!(running.well(&["reload"]), "kept  users-finger, control\n");
    running.signal("TERM");
    running.line("app has stopped");
    assert!(!socket.exists());
}

#[test]
fn services_are_attached_and_detached() {
    let (port, new) = (free_port(), free_port());
    let running = Application::of(&format!("[control]\n{USERS}{}", finger(port, "")));
    let at = format!("at=tcp:{new}:interface=127.0.0.1");
    let attach = ["attach", "what=users", "as=finger", "name=more", &at];
    assert_eq!(running.well(&attach), "attached more\n");
    assert_eq!(ask(new, "moshez\r\n").unwrap(), "Happy\r\n");
    assert!(running.well(&["list"]).trim_end().ends_with("(attached)"));
    let taken = "attach:4: serve.name: `more` is the name of another service\n";
    assert_eq!(running.ill(&attach), (Some(1), taken.into()));
    let (code, said) = running.ill(&["attach", &finger(new, "name = 'again'\n")]);
    assert!(
        said.starts_with("cannot start `finger` at `tcp:") && said.contains("in use"),
        "{said}"
    );
    assert_eq!(code, Some(1));
    let (code, said) = running.ill(&["attach", "what=users", "as=fingr", "at=tcp:x"]);
    assert_eq!((code, said.lines().count()), (Some(1), 2), "{said}");
    assert_eq!(running.ill(&["attach", "users"]).0, Some(2));
    assert_eq!(running.well(&["detach", "more"]), "detached\n");
    assert!(ask(new, "moshez\r\n").is_err());
    assert_eq!(running.ill(&["detach", "more"]).0, Some(1));
}

#[test]
fn a_wrong_file_changes_nothing_and_the_caller_is_told_why() {
    let port = free_port();
    let right = format!("[control]\n{USERS}{}", finger(port, ""));
    let running = Application::of(&right);
    running.write(&format!(
        "{right}[[serve]]\nwhat = 'user'\nas = 'finger'\nat = 'tcp:x'\n"
    ));
    let file = running.file();
    let shown = file.display();
    let problems = format!(
        "{shown}:10: serve.what: unknown provider `user`; expected `users`; did you mean `users`?\n\
         {shown}:12: serve.at: port `x` is no number from 0 to 65535\n"
    );
    assert_eq!(running.ill(&["reload"]), (Some(1), problems.clone()));
    running.signal("HUP");
    for problem in problems.lines() {
        let line = running.line("not read again: ");
        assert!(line.ends_with(problem), "{line}");
    }
    assert_eq!(ask(port, "moshez\r\n").unwrap(), "Happy\r\n");
    let other = free_port();
    running.write(&right.replace(&port.to_string(), &other.to_string()));
    assert_eq!(
        running.well(&["reload"]),
        "restarted  users-finger\nkept       control\n"
    );
    assert!(ask(port, "moshez\r\n").is_err());
    assert_eq!(ask(other, "moshez\r\n").unwrap(), "Happy\r\n");
    // An address that overlaps the one that it replaces.
    running.write(&right.replace(&format!("{port}:interface=127.0.0.1"), &other.to_string()));
    assert_eq!(
        running.well(&["reload"]),
        "restarted  users-finger\nkept       control\n"
    );
    assert_eq!(ask(other, "moshez\r\n").unwrap(), "Happy\r\n");
}

#[test]
fn limits_figures_and_the_log() {
    let port = free_port();
    let running = Application::of(&format!(
        "[control]\n{USERS}{}[limits]\nline = '2KiB'\n",
        finger(port, "")
    ));
    let limits = running.well(&["limits"]);
    let line = |name: &str| -> Vec<&str> {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().collect()
    };
    assert_eq!(line("line"), ["line", "2KiB", "bytes", "app.toml:10"]);
    assert_eq!(line("idle"), ["idle", "1m", "milliseconds", "default"]);
    ask(port, "moshez\r\n").unwrap();
    let statistics = running.well(&["statistics"]);
    let finger = statistics
        .lines()
        .find(|line| line.starts_with("users-finger"))
        .unwrap();
    let finger: Vec<&str> = finger.split_whitespace().collect();
    assert_eq!(finger[3..], ["0", "0", "1", "0", "8", "7"], "{statistics}");
    assert_eq!(running.well(&["log"]), "info\n");
    assert_eq!(running.well(&["log", "tress=error"]), "info,tress=error\n");
    assert_eq!(running.well(&["stop", "users-finger"]), "stopped\n");
    assert_eq!(running.well(&["log", "debug"]), "debug\n");
    assert_eq!(running.well(&["start", "users-finger"]), "started\n");
    let next = running.running.next_line().unwrap();
    assert!(
        next.contains("listening at tcp:"),
        "what was stopped in between is not logged: {next}"
    );
    let (code, said) = running.ill(&["log", "loud"]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("unknown level `loud`; expected one of `off`, `error`"),
        "{said}"
    );
}

#[test]
fn programs_get_json() {
    let port = free_port();
    let running = Application::of(&format!("[control]\n{USERS}{}", finger(port, "")));
    let json = |words: &[&str], code: i32| -> serde_json::Value {
        let output = running.ctl(&[&["--json"], words].concat());
        assert_eq!(
            (text(&output.stderr), output.status.code()),
            (String::new(), Some(code)),
            "{words:?}"
        );
        let text = text(&output.stdout);
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let list = json(&["list"], 0);
    assert_eq!(list[0]["name"], "users-finger");
    assert_eq!(list[0]["as"], serde_json::json!(["finger"]));
    assert_eq!(json(&["stop", "users-finger"], 0), "stopped");
    assert_eq!(json(&["reload"], 0)["started"][0], "users-finger");
    assert_eq!(json(&["statistics"], 0)["services"][0]["restarts"], 1);
    assert_eq!(json(&["limits"], 0)[0]["set"], "default");
    assert_eq!(json(&["stop", "x"], 1)["error"]["code"], "no-such-service");
    assert_eq!(json(&["attach", "x"], 2)["error"]["code"], "wrong");
    assert_eq!(
        json(&["detach", "users-finger"], 0),
        serde_json::Value::Null
    );
}

#[test]
fn who_cannot_be_reached() {
    let port = free_port();
    let running = Application::of(&format!("{USERS}{}", finger(port, "")));
    let (code, said) = running.ill(&["list"]);
    assert_eq!(code, Some(3));
    assert!(
        said.contains(" has no [control] section: put one there"),
        "{said}"
    );
    let absent = running.directory.join("absent.toml");
    let output = ctl(&["--file", absent.to_str().unwrap(), "list"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cannot read the file: No such file"));
    let output = ctl(&["--at", "unix:/nonexistent/socket", "list"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    // Something answers that is no application.
    let output = ctl(&["--at", &format!("tcp:127.0.0.1:{port}"), "list"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert_eq!(ctl(&["lits"]).status.code(), Some(2));
    assert_eq!(ctl(&[]).status.code(), Some(2));
    let help = text(&ctl(&["--help"]).stdout);
    assert!(
        help.contains("Ends with 0 when it was done, 1 when"),
        "{help}"
    );
}

/// While the file is read again and again, and one of two services changes each time, no question at either is lost.
#[test]
fn reloads_lose_no_question() {
    let ports = [free_port(), free_port()];
    let file = |forwarding: bool| {
        let more = format!("forwarding = {forwarding}\n");
        format!(
            "[control]\n{USERS}{}{}",
            finger(ports[0], ""),
            finger(ports[1], &more)
        )
    };
    let running = Application::of(&file(false));
    let done = AtomicBool::new(false);
    let (mut asked, mut reloads) = (0, 0);
    std::thread::scope(|scope| {
        let askers: Vec<_> = ports
            .iter()
            .map(|port| {
                scope.spawn(|| {
                    let mut asked = 0;
                    while !done.load(Ordering::Relaxed) {
                        let answer = ask(*port, "moshez\r\n");
                        assert_eq!(
                            answer.map_err(|error| error.to_string()),
                            Ok("Happy\r\n".to_owned())
                        );
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for round in 0..30 {
            running.write(&file(round % 2 == 0));
            running.signal("HUP");
            let line = running.line("read again: ");
            assert!(
                line.ends_with("read again: restarted users-finger-2"),
                "{line}"
            );
            reloads += 1;
        }
        done.store(true, Ordering::Relaxed);
        asked += askers
            .into_iter()
            .map(|asker| asker.join().unwrap())
            .sum::<i32>();
    });
    println!("{reloads} reloads, {asked} questions");
    let figures = running.well(&["statistics"]);
    assert!(figures.contains(&format!("{reloads} reloads")), "{figures}");
}

#[test]
fn with_several_workers_the_first_answers() {
    let port = free_port();
    let right = format!("[app]\nworkers = 2\n[control]\n{USERS}{}", finger(port, ""));
    let running = Application::of(&right);
    for _ in 0..8 {
        assert!(running.well(&["list"]).contains("users-finger  running"));
    }
    let (code, said) = running.ill(&["stop", "users-finger"]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("with several workers nothing can be started, stopped"),
        "{said}"
    );
    assert_eq!(running.well(&["reload"]), "kept  users-finger, control\n");
    running.line("read again: nothing has changed");
    running.write(&right.replace("Happy", "Sorry"));
    assert_eq!(running.ill(&["reload"]).0, Some(1));
    assert_eq!(ask(port, "moshez\r\n").unwrap(), "Happy\r\n");
    let log = running.well(&["log", "tress=debug"]);
    assert_eq!(log, "info,tress=debug\n");
}

/// Files of the repository that serve something keep their names.
#[test]
fn the_example_is_listed_by_its_names() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/finger/finger.toml");
    let text = fs::read_to_string(example).unwrap();
    let text = text
        .replace("tcp:1079", "tcp:0")
        .replace("tcp:1080", "tcp:0");
    let users = text.replace("kind = \"finger.file\"", "kind = \"finger.memory\"");
    let users: String = users
        .lines()
        .filter(|line| !line.starts_with("path") && !line.starts_with("reload"))
        .map(|line| format!("{line}\n"))
        .collect();
    let users = users.replacen("name = \"finger\"", "name = \"app\"", 1);
    let running = Application::of(&format!("{users}\n[control]\n"));
    let list = running.well(&["list"]);
    for name in ["users-finger", "users-finger-setter", "control"] {
        assert!(
            list.lines()
                .any(|line| line.starts_with(&format!("{name} "))),
            "{list}"
        );
    }
}

fn run(name: &str, command: &str, more: &str) -> String {
    format!("[[run]]\nname = '{name}'\ncommand = {command}\n{more}\n")
}

/// The processes of all children that run.
fn processes(application: &Application) -> BTreeMap<String, u32> {
    let list = application.well(&["list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let services = list.as_array().unwrap().iter();
    let children = services.filter_map(|service| {
        let process = service["at"][0].as_str()?.strip_prefix("process ")?;
        Some((service["name"].as_str()?.to_owned(), process.parse().ok()?))
    });
    children.collect()
}

/// How often each service was started again.
fn restarts(application: &Application) -> BTreeMap<String, u64> {
    let figures = application.well(&["statistics", "--json"]);
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    let services = figures["services"].as_array().unwrap().iter();
    let restarts = services.map(|service| {
        let name = service["name"].as_str().unwrap();
        (name.to_owned(), service["restarts"].as_u64().unwrap())
    });
    restarts.collect()
}

/// `kill -9`, and what its log says up to the next start of the child called `killed`: which process that is, and the delay.
fn kill(application: &Application, process: u32) -> (u32, String, bool) {
    let mut command = std::process::Command::new("kill");
    let sent = command.args(["-s", "KILL", &process.to_string()]).status();
    assert!(sent.unwrap().success());
    let said = application.running.lines_to("killed: started, process ");
    let why = "killed: a process has ended by SIGKILL; it is started again ";
    let delay = said.iter().find_map(|line| line.split_once(why)).unwrap().1;
    let (_, next) = said.last().unwrap().rsplit_once(' ').unwrap();
    let other = said
        .iter()
        .any(|line| line.contains("bad: ") && line.contains("given up"));
    (next.parse().unwrap(), delay.to_owned(), other)
}

/// Each time as the policy says, without a change to those beside it; and in the end nothing is left.
#[test]
fn a_child_is_killed_a_hundred_times() {
    let quick = "threshold = '20ms'\nmin_restart_delay = '5ms'\nmax_restart_delay = '20ms'";
    let deaf = r#"['sh', '-c', 'echo hello; trap "" TERM; echo deaf >&2; exec sleep 1000']"#;
    let mut application = Application::of(
        &[
            "[control]\n".to_owned(),
            run("before", "['sleep', '1000']", ""),
            run("killed", "['sleep', '1000']", quick),
            run("deaf", deaf, "kill_time = '200ms'"),
            run("bad", "'false'", &format!("restart_limit = 2\n{quick}")),
        ]
        .concat(),
    );
    let said = application.running.lines_to("[deaf] deaf");
    assert!(
        said.iter().any(|line| line.ends_with("[deaf] hello")),
        "{said:?}"
    );
    let mut first = processes(&application);
    first.remove("bad"); // sometimes there, and sometimes waiting
    let mut process = first["killed"];
    let mut given_up = said.iter().any(|line| line.contains("given up"));
    let mut short = 5;
    for round in 0..100 {
        let (next, delay, other) = kill(&application, process);
        given_up |= other;
        if delay == "at once" {
            short = 5;
        } else {
            assert_eq!(delay, format!("in {short}ms"), "round {round}");
            short = 20.min(short * 2);
        }
        assert_ne!(next, process);
        process = next;
    }
    if !given_up {
        application.line("bad: a process has ended with exit code 1; it is given up");
    }
    let mut last = processes(&application);
    assert_eq!(last.insert("killed".into(), first["killed"]), Some(process));
    assert_eq!(last, first, "those beside it are the same");
    let restarts = restarts(&application);
    let restarts = ["before", "killed", "deaf", "bad"].map(|name| restarts[name]);
    assert_eq!(restarts, [0, 100, 0, 2]);
    let list = application.well(&["list"]);
    let bad = list.lines().find(|line| line.starts_with("bad ")).unwrap();
    assert!(bad.contains(" given up "), "{bad}");
    application.signal("TERM");
    let (said, code) = application.running.ends();
    assert_eq!(code, Some(0), "{said:?}");
    let order = said
        .iter()
        .filter_map(|line| line.strip_suffix(": stopped"));
    let order: Vec<_> = order.filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(order, ["deaf", "killed", "before"]);
    for process in [process, first["before"], first["deaf"]] {
        assert!(
            !Path::new(&format!("/proc/{process}")).exists(),
            "{process}"
        );
    }
}

#[test]
fn a_child_is_stopped_started_and_changed_while_it_runs() {
    let (one, two) = (
        run("one", "['sleep', '1000']", ""),
        run("two", "['sleep', '1000']", ""),
    );
    let application = Application::of(&format!("[control]\n{one}{two}"));
    let first = processes(&application);
    assert_eq!(application.well(&["stop", "one"]), "stopped\n");
    application.line("one: stopped");
    assert_eq!(processes(&application).keys().collect::<Vec<_>>(), ["two"]);
    assert_eq!(application.well(&["start", "one"]), "started\n");
    let changed = run("two", "['sleep', '2000']", "");
    application.write(&format!("[control]\n{one}{changed}"));
    let reloaded = application.well(&["reload"]);
    let words: Vec<&str> = reloaded.split_whitespace().collect();
    assert_eq!(words, ["restarted", "two", "kept", "control,", "one"]);
    application.line("two: started, process ");
    let last = processes(&application);
    assert!(last["one"] != first["one"] && last["two"] != first["two"]);
    application.write(&format!(
        "[control]\n{}",
        run("one", "['nowhere/sleep']", "")
    ));
    assert_eq!(
        application.well(&["reload"]).split_whitespace().next(),
        Some("restarted")
    );
    application.line("nowhere/sleep");
}

#[test]
fn children_belong_to_the_first_of_several_workers() {
    let path = std::env::temp_dir().join(format!("tress-run-{}.toml", std::process::id()));
    let text =
        "[app]\nname = 'app'\nworkers = 3\n".to_owned() + &run("one", "['sleep', '1000']", "");
    fs::write(&path, text).unwrap();
    let mut running = Running::start(&path);
    let mut said = running.lines_to("app is running");
    running.signal("TERM");
    let (rest, code) = running.ends();
    fs::remove_file(&path).unwrap();
    said.extend(rest);
    let started = said
        .iter()
        .filter(|line| line.contains("one: started, process "));
    assert_eq!((started.count(), code), (1, Some(0)), "{said:?}");
}
