//! A finger window of Python's tkinter, in a virtual X server: its loop turns the reactor, and ticks while the answer is
//! awaited. Skipped where Xvfb or tkinter is missing. With `TRESS_SCREENSHOT=FILE` it keeps the picture there.
#![expect(clippy::print_stderr, reason = "what was skipped")]

use super::server::{self, Server};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, TryRecvError, channel},
};

/// The window's size, and so the picture's.
const SIZE: [&str; 2] = ["360", "150"];

/// Turns of the server, each up to 0.1 ms long, that a line is waited for.
const PATIENCE: u32 = 600_000;

/// Ended with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_window_ticks_while_it_waits_for_its_answer() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with tkinter");
        return;
    };
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("window");
    fs::create_dir_all(&scratch).expect("the target directory is ours");
    let Some((_screen, display)) = screen(&scratch) else {
        return;
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let server = Server::new("moshez: away, with 3 unread messages\r\n");
    let window = Command::new(python)
        .arg(here.join("window.py"))
        .arg(server::library())
        .args([&server.at(), "moshez"])
        .env("DISPLAY", display)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut window = Running(window.expect("it was found"));
    let said = lines(window.0.stdout.take().expect("it is piped"));
    // The server says nothing before the window has ticked: it could not if it were blocked.
    assert_eq!(next(&said, &server), "ticked");
    assert_eq!(server.asked(), ["moshez"]);
    server.answer();
    let answer = "answered: moshez: away, with 3 unread messages";
    assert_eq!(next(&said, &server), answer);
    assert_eq!(next(&said, &server), "shown");
    let picture = std::env::var_os("TRESS_SCREENSHOT")
        .map_or_else(|| scratch.join("finger-window.png"), PathBuf::from);
    let taken = Command::new("python3")
        .arg(here.join("picture.py"))
        .arg(scratch.join("Xvfb_screen0"))
        .arg(&picture)
        .args(SIZE)
        .output();
    let taken = taken.expect("there is a Python");
    let text = String::from_utf8_lossy(&taken.stdout).into_owned();
    assert!(
        taken.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&taken.stderr)
    );
    let colours = text.split(' ').next().and_then(|count| count.parse().ok());
    assert!(colours > Some(4_usize), "an empty picture: {text}");
    // The end of its input ends it.
    drop(window.0.stdin.take());
    let ended = window.0.wait().expect("it is our child");
    assert!(ended.success(), "{ended}");
}

/// A Python that has tkinter: the system's, as others are often built without.
fn python() -> Option<&'static str> {
    let has_tkinter = |python: &&str| {
        let tried = Command::new(python)
            .args(["-c", "import tkinter"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    ["/usr/bin/python3", "python3"]
        .into_iter()
        .find(has_tkinter)
}

/// A virtual X server that shows its screen in a file, and the name of its display.
fn screen(scratch: &Path) -> Option<(Running, String)> {
    let started = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "640x480x24"])
        .args(["-nolisten", "tcp", "-fbdir"])
        .arg(scratch)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut screen = match started {
        Ok(screen) => Running(screen),
        Err(error) => {
            eprintln!("skipped: Xvfb: {error}");
            return None;
        }
    };
    let mut number = String::new();
    let said = screen.0.stdout.take().expect("it is piped");
    BufReader::new(said).read_line(&mut number).ok();
    let Ok(number) = number.trim().parse::<u32>() else {
        eprintln!("skipped: Xvfb does not start here");
        return None;
    };
    Some((screen, format!(":{number}")))
}

/// The lines of a program, as they come.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    #[expect(clippy::disallowed_methods, reason = "the server goes on meanwhile")]
    std::thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// The next line, while the server goes on.
#[track_caller]
fn next(lines: &Receiver<String>, server: &Server) -> String {
    for _ in 0..PATIENCE {
        match lines.try_recv() {
            Ok(line) => return line,
            Err(TryRecvError::Empty) => server.turn(),
            Err(TryRecvError::Disconnected) => panic!("the window has ended"),
        }
    }
    panic!("the window says nothing")
}
