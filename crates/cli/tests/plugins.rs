//! Plug-ins of a user's own, from the outside: a crate that `tress new` made is built and run, and so is its file; and objects
//! in Python, in a process of their own, are served. Skips what needs `python3` where there is none.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the other end of the wire is not ours, and this whole file is a test, which says what it skips"
)]

mod running;

use running::{PATIENCE, Running, tress};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A directory that is gone after the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-plugins-{}-{number}", std::process::id());
        let directory = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&directory.0).unwrap();
        directory
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// What `tress` says there, and how it ends.
    fn tress(&self, arguments: &[&str]) -> (String, Option<i32>) {
        said(tress(arguments).current_dir(&self.0))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn said(command: &mut Command) -> (String, Option<i32>) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        output.status.code(),
    )
}

/// A file whose ports the system chooses.
fn on_free_ports(text: &str) -> String {
    let ports = ["8080", "8081", "8008", "8011", "1079"].map(|port| format!("\"tcp:{port}:"));
    ports
        .iter()
        .fold(text.to_owned(), |text, port| text.replace(port, "\"tcp:0:"))
}

/// Everything a server answers to these bytes and the end of the stream.
#[track_caller]
fn ask(at: SocketAddr, bytes: &str) -> String {
    let stream = said_to(at, bytes);
    stream.shutdown(Shutdown::Write).unwrap();
    all_of(stream)
}

#[track_caller]
fn said_to(at: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

#[track_caller]
fn all_of(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn post(at: SocketAddr, path: &str, json: &str) -> String {
    let (head, length) = (format!("POST {path} HTTP/1.1"), json.len());
    let fields = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json";
    let request = format!("{head}\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{json}");
    // The end of the stream would say that nobody waits for the answer.
    let answer = all_of(said_to(at, &request));
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}

/// Where each protocol listens, once the application runs.
#[track_caller]
fn listening<const N: usize>(running: &Running, protocols: [&str; N]) -> [SocketAddr; N] {
    let lines = running.lines_to(" is running");
    protocols.map(|protocol| {
        let words = format!(" as {protocol} (");
        let line = lines.iter().find(|line| line.contains(&words));
        running::address(line.unwrap_or_else(|| panic!("no {words:?}: {lines:?}")))
    })
}

#[test]
fn a_new_file_is_right_and_runs() {
    let directory = Directory::new();
    let (text, code) = directory.tress(&["new", "my-app", "--toml"]);
    assert_eq!(
        text,
        "my-app.toml is made; next:\n  tress check my-app.toml\n  tress run my-app.toml\n"
    );
    assert_eq!(code, Some(0));
    let (text, code) = directory.tress(&["check", "my-app.toml"]);
    assert_eq!((&*text, code), ("my-app.toml: nothing wrong\n", Some(0)));
    let made = directory.read("my-app.toml");
    let (text, code) = directory.tress(&["new", "my-app", "--toml"]);
    assert_eq!(
        text,
        "`my-app.toml` is there already; expected a name that nothing has\n"
    );
    assert_eq!(code, Some(1));
    assert_eq!(directory.read("my-app.toml"), made);
    let file = directory.file("my-app.toml", &on_free_ports(&made));
    let running = Running::start(Path::new(&file));
    let at = listening(&running, ["http", "finger"]);
    assert_eq!(
        post(at[0], "/Finger/getUser", "{\"name\":\"moshez\"}"),
        "\"Happy and well\""
    );
    assert_eq!(ask(at[1], "moshez\r\n"), "Happy and well\r\n");
}

#[test]
fn a_wrong_name_makes_nothing() {
    let directory = Directory::new();
    let (text, code) = directory.tress(&["new", "Weather"]);
    assert!(
        text.starts_with("`Weather` is no name for it; expected at most 64 lower-case letters"),
        "{text}"
    );
    assert_eq!(code, Some(2));
    let (text, code) = directory.tress(&["new", "mod"]);
    assert!(text.contains("means something else to Rust"), "{text}");
    assert_eq!(code, Some(2));
    let (text, code) = directory.tress(&["new", "weather", "--tress", "absent"]);
    assert!(
        text.starts_with("--tress absent: there is no crate `absent/crates/tress`"),
        "{text}"
    );
    assert_eq!(code, Some(2));
    fs::create_dir(directory.0.join("taken")).unwrap();
    let (text, code) = directory.tress(&["new", "taken"]);
    assert_eq!(
        text,
        "`taken` is there already; expected a name that nothing has\n"
    );
    assert_eq!(code, Some(1));
    let left: Vec<_> = fs::read_dir(&directory.0).unwrap().collect();
    assert_eq!(left.len(), 1);
}

/// Built from this tree, with what was built for it where that is the same.
#[test]
fn a_new_crate_builds_and_serves_its_kind() {
    let directory = Directory::new();
    let (text, code) = directory.tress(&["new", "weather-man", "--tress", ROOT]);
    assert_eq!(code, Some(0), "{text}");
    let root = directory.0.join("weather-man");
    assert_eq!(
        directory
            .read("weather-man/src/main.rs")
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count(),
        4
    );
    fs::copy(Path::new(ROOT).join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_BIN_EXE_tress"))
        .parent()
        .unwrap()
        .parent()
        .unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet"])
        .args(["--config", "profile.dev.debug=\"line-tables-only\""])
        .args(["--config", "profile.dev.package.\"*\".debug=false"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(&root)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{complaints}");
    assert!(!complaints.contains("warning"), "{complaints}");
    let program = target.join("debug/weather-man");
    let own = |arguments: &[&str]| said(Command::new(&program).args(arguments).current_dir(&root));
    let (text, code) = own(&["check", "weather-man.toml"]);
    assert_eq!(
        (&*text, code),
        ("weather-man.toml: nothing wrong\n", Some(0))
    );
    let (text, _) = own(&["plugins", "--explain", "weather-man.same"]);
    for words in [
        "weather-man.same: a provider",
        "default Hello",
        "offers WeatherMan: Greets people.",
        "greet(name: string) -> string",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let free = on_free_ports(&directory.read("weather-man/weather-man.toml"));
    let file = directory.file("weather-man/weather-man.toml", &free);
    let mut running = Running::of(Command::new(&program).args(["run", &file]));
    let at = listening(&running, ["http", "lines"]);
    assert_eq!(
        post(at[0], "/WeatherMan/greet", "{\"name\":\"Zoe\"}"),
        "\"Hello, Zoe!\""
    );
    assert_eq!(ask(at[1], "greet Zoe\n"), "Hello, Zoe!\r\n\r\n");
    running.signal("TERM");
    assert_eq!(running.ends().1, Some(0));
    fs::remove_file(program).ok();
}

fn has_python() -> bool {
    let has = Command::new("python3")
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 10))"])
        .status()
        .is_ok_and(|status| status.success());
    if !has {
        println!("skipped: there is no python3 of 3.10 or later");
    }
    has
}

/// The example, on ports that the system chooses.
fn example() -> Directory {
    let directory = Directory::new();
    let from = Path::new(ROOT).join("examples/plugin-python");
    for name in [
        "app.toml",
        "plugins.d/quotes.toml",
        "plugins.d/quotes.py",
        "plugins.d/tress_plugin.py",
    ] {
        let text = fs::read_to_string(from.join(name)).unwrap();
        directory.file(name, &on_free_ports(&text));
    }
    directory
}

#[test]
fn objects_in_python_are_served() {
    if !has_python() {
        return;
    }
    let directory = example();
    let (text, code) = directory.tress(&["check", "app.toml"]);
    assert_eq!((&*text, code), ("app.toml: nothing wrong\n", Some(0)));
    let mut running = Running::start(&directory.0.join("app.toml"));
    let at = listening(&running, ["http", "lines", "finger"]);
    let quotes = post(at[0], "/Quoter/quotes", "{\"count\":3}");
    assert_eq!(quotes.matches(['C', 'A']).count(), 3, "{quotes}");
    let refused = post(at[0], "/Quoter/quotes", "{\"count\":101}");
    assert!(
        refused.contains("bad-arguments") && refused.contains("expected 1 to 100"),
        "{refused}"
    );
    let known = post(at[0], "/Quoter/add", "{\"text\":\"Carpe diem.\"}");
    assert!(
        known.contains("known-already") && known.contains("that is one of them"),
        "{known}"
    );
    assert_eq!(post(at[0], "/Quoter/add", "{\"text\":\"a\"}"), "3");
    assert_eq!(
        ask(at[1], "add b\nadd ''\n").split("\r\n").next(),
        Some("4")
    );
    assert_eq!(ask(at[2], "moshez\r\n"), "Happy and well\r\n");
    assert_eq!(
        ask(at[2], "\r\n"),
        "moshez: Happy and well\r\nshawn: alive\r\n"
    );
    running.signal("TERM");
    running.line("python has stopped");
    assert_eq!(running.ends().1, Some(0));
}

#[test]
fn a_python_child_that_dies_is_started_again() {
    if !has_python() {
        return;
    }
    let directory = example();
    let dies = "import os, sys\nfrom tress_plugin import serve\n\nclass Mortal:\n    def die(self):\n        print('farewell', flush=True)\n        os._exit(3)\n\n    def live(self) -> int:\n        return os.getpid()\n\nserve('mortal', '1', [Mortal])\n";
    directory.file("plugins.d/quotes.py", dies);
    let text = "[provide.it]\nkind = 'quotes.mortal'\n[[serve]]\nwhat = 'it'\nas = 'lines'\nat = 'tcp:0:interface=127.0.0.1'\n";
    let file = directory.file("app.toml", text);
    let running = Running::start(Path::new(&file));
    let at = running.address("lines");
    let first = ask(at, "live\n");
    let died = ask(at, "die\n");
    assert!(
        died.starts_with("! busy: the object cannot be reached"),
        "{died}"
    );
    let lines = running.lines_to("it is started again in 100ms");
    assert!(
        lines.iter().any(|line| line.contains("[quotes] farewell")),
        "{lines:?}"
    );
    running.line("runs: mortal 1");
    let second = ask(at, "live\n");
    assert_ne!(first, second);
    assert!(!second.starts_with('!'), "{second}");
}

const TYPES: &str = r#"
import threading, typing
from tress_plugin import serve

class Point(typing.TypedDict):
    x: int
    y: float

class Types:
    caller = None
    two = threading.Barrier(2, timeout=20)

    def swap(self, raw: bytes, more: str | None = None) -> bytes:
        return raw[::-1] + (more or "").encode()

    def half(self, number: float) -> float:
        return number / 2

    def move(self, at: Point) -> Point:
        return {"x": at["x"] + 1, "y": at["y"]}

    def who(self) -> dict:
        return self.caller

    def nothing(self) -> None:
        print("to the log")

    def long(self) -> str:
        return "a" * 70_000

    def wrong(self) -> int:
        return "x"

    def fails(self) -> int:
        return {}["secret"]

    def meet(self) -> int:
        self.two.wait()
        return 2

serve("types", "1", [Types], threads=2)
"#;

#[test]
fn python_types_are_those_of_the_interface() {
    if !has_python() {
        return;
    }
    let directory = example();
    directory.file("plugins.d/quotes.py", TYPES);
    let text = "[provide.it]\nkind = 'quotes.types'\n[[serve]]\nwhat = 'it'\nas = 'http'\nat = 'tcp:0:interface=127.0.0.1'\n";
    let file = directory.file("app.toml", text);
    let running = Running::start(Path::new(&file));
    let [at] = listening(&running, ["http"]);
    let call = |method: &str, json: &str| post(at, &format!("/Types/{method}"), json);
    assert_eq!(call("swap", r#"{"raw":"aGk="}"#), "\"aWg=\"");
    assert_eq!(call("swap", r#"{"raw":"aGk=","more":"!"}"#), "\"aWgh\"");
    assert_eq!(call("half", r#"{"number":3}"#), "1.5");
    let point = call("move", r#"{"at":{"x":1,"y":2}}"#);
    assert_eq!(point, r#"{"x":2,"y":2.0}"#);
    assert!(call("move", r#"{"at":{"x":1}}"#).contains("`y` is missing"));
    assert!(call("move", r#"{"at":{"x":"1","y":2}}"#).contains("`x`: expected integer"));
    assert!(call("who", "{}").starts_with(r#"{"peer":"127.0.0.1:"#));
    assert_eq!(call("nothing", "{}"), "null");
    running.line("[quotes] to the log");
    assert!(call("long", "{}").contains("too-large"));
    let internal = r#"{"code":"internal","message":"internal error"}"#;
    assert_eq!(call("wrong", "{}"), internal);
    running.line("expected integer, found a string");
    assert_eq!(call("fails", "{}"), internal);
    running.line("KeyError: 'secret'");
    // Two calls at once, in two threads of it.
    let other = std::thread::Builder::new().spawn(move || post(at, "/Types/meet", "{}"));
    assert_eq!(call("meet", "{}"), "2");
    assert_eq!(other.unwrap().join().unwrap(), "2");
}

#[test]
fn a_plugin_is_listed_explained_and_refused_by_name() {
    if !has_python() {
        return;
    }
    let directory = example();
    let (text, code) = directory.tress(&["plugins", "app.toml"]);
    assert_eq!(code, Some(0), "{text}");
    for words in [
        "  quotes.list    Says something worth remembering.\n",
        "      quotes  a string or a list of strings  required",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (text, _) = directory.tress(&["plugins", "--explain", "quotes.people", "app.toml"]);
    assert!(
        text.contains("can be served as: amp, finger, http"),
        "{text}"
    );
    let (_, example) = text.split_once("  example:\n").unwrap();
    directory.file("other.toml", example);
    let (text, code) = directory.tress(&["check", "other.toml"]);
    assert_eq!((&*text, code), ("other.toml: nothing wrong\n", Some(0)));
    let (schema, _) = directory.tress(&["schema", "app.toml"]);
    assert!(schema.contains("quotes.people"));

    let app = directory.read("app.toml");
    directory.file("app.toml", &app.replace("quotes = [", "quoets = ["));
    let (text, code) = directory.tress(&["check", "app.toml"]);
    assert!(
        text.contains("provide.quotes.quoets: unknown key `quoets`"),
        "{text}"
    );
    assert_eq!(code, Some(2));
    directory.file("app.toml", &app);
    directory.file("plugins.d/quotes.toml", "comand = ['python3']\n");
    let (text, code) = directory.tress(&["run", "app.toml"]);
    assert!(
        text.starts_with("plugins.d/quotes.toml:1: comand: unknown key `comand`"),
        "{text}"
    );
    assert_eq!(code, Some(2));
    directory.file(
        "plugins.d/quotes.toml",
        "command = ['python3', '-c', 'print(\"hi\")']\n",
    );
    let (text, code) = directory.tress(&["check", "app.toml"]);
    assert!(
        text.starts_with(
            "plugins.d/quotes.toml: it cannot be asked: it wrote to its standard output"
        ),
        "{text}"
    );
    assert_eq!(code, Some(2));
    // What nobody names disturbs nobody.
    let rest = "[provide.users]\nkind = 'finger.memory'\n[[serve]]\nwhat = 'users'\nas = 'finger'\nat = 'tcp:0'\n";
    directory.file("app.toml", rest);
    let (text, code) = directory.tress(&["check", "app.toml"]);
    assert_eq!((&*text, code), ("app.toml: nothing wrong\n", Some(0)));
    directory.file("app.toml", &format!("[app]\nplugins = 'absent'\n{rest}"));
    let (text, code) = directory.tress(&["check", "app.toml"]);
    assert!(
        text.starts_with("app.toml:2: app.plugins: cannot read the directory `absent`"),
        "{text}"
    );
    assert_eq!(code, Some(2));
}

#[test]
fn with_several_workers_one_child_serves_all() {
    if !has_python() {
        return;
    }
    let directory = example();
    let text = directory
        .read("app.toml")
        .replace("[app]\n", "[app]\nworkers = 2\n");
    let file = directory.file("app.toml", &text);
    let mut running = Running::start(Path::new(&file));
    let [at] = listening(&running, ["lines"]);
    // Whichever worker hears them, it is the same object.
    let mut known: Vec<u32> = (0..8)
        .map(|number| {
            let answer = ask(at, &format!("add text{number}\n"));
            answer.trim().parse().unwrap_or_else(|_| panic!("{answer}"))
        })
        .collect();
    known.sort_unstable();
    assert_eq!(known, (3..11).collect::<Vec<u32>>());
    running.signal("TERM");
    assert_eq!(running.ends().1, Some(0));
}

/// The blocks of the page in this language, each with its file's name in its first line.
fn blocks(page: &str, language: &str) -> Vec<(String, String)> {
    let fence = format!("\n```{language}\n");
    let blocks = page.split(&fence).skip(1);
    let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap());
    blocks
        .map(|block| {
            let (name, text) = block.split_once('\n').unwrap();
            (name.trim_start_matches("# ").to_owned(), text.to_owned())
        })
        .collect()
}

#[test]
fn what_the_guide_shows_works() {
    let page = fs::read_to_string(format!("{ROOT}/crates/tress/guide/plugins.md")).unwrap();
    let keys = tress_app::plugin::PLUGIN_OPTIONS;
    for option in keys {
        let default = match option.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let row = format!("| `{}` | {default}", option.name);
        assert!(page.contains(row.trim_end()), "{row}");
    }
    if !has_python() {
        return;
    }
    let directory = example();
    for (name, text) in [blocks(&page, "text"), blocks(&page, "python")].concat() {
        directory.file(&name, &on_free_ports(&text));
    }
    let running = Running::start(&directory.0.join("app.toml"));
    let at = listening(&running, ["http", "lines"]);
    assert_eq!(
        post(at[0], "/Weather/forecast", "{\"days\":2}"),
        "[\"fine in Paris\",\"fine in Paris\"]"
    );
    assert!(ask(at[1], "forecast 1\n").starts_with("fine in Paris\r\n"));
    drop(running);
    let app = directory.read("app.toml").replace("Paris", "nowhere");
    let file = directory.file("app.toml", &app);
    let running = Running::start(Path::new(&file));
    let at = running.address("lines");
    assert!(ask(at, "forecast 1\n").starts_with("! no-such-place: there is no weather"));
}
