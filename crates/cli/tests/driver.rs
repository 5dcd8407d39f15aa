//! The option `driver` of the real binary: which driver it runs on, and what it says where io_uring cannot be had. There
//! Linux refuses it to the process, by a filter that a line of Python sets up.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the other end of the wire is not ours, this whole file is a test, and it says what it skips"
)]
#![cfg(target_os = "linux")]

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
mod running;

use running::{Running, address};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
};

/// Linux says `EPERM` to `io_uring_setup` (425 on every machine), and then the program begins.
const REFUSES: &str = r"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
filter = struct.pack('HBBIHBBIHBBIHBBI', 0x20, 0, 0, 0, 0x15, 0, 1, 425, 0x06, 0, 0, 0x50001, 0x06, 0, 0, 0x7fff0000)
place = ctypes.create_string_buffer(filter)
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
program = Program(4, ctypes.addressof(place))
none = ctypes.c_ulong(0)
if libc.prctl(38, ctypes.c_ulong(1), none, none, none) or libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(program)):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
";

/// A file that asks for this driver, gone after the test.
struct File(PathBuf);

impl File {
    fn asks_for(driver: &str) -> Self {
        let directory = std::env::temp_dir();
        let of_test = std::thread::current().name().unwrap().to_owned();
        let name = format!("tress-driver-{}-{of_test}", std::process::id());
        let users = directory.join(format!("{name}.users"));
        fs::write(users, "alice: In her office.\n").unwrap();
        let file = directory.join(format!("{name}.toml"));
        let line = if driver.is_empty() {
            String::new()
        } else {
            format!("driver = \"{driver}\"")
        };
        let text = format!(
            "[app]\n{line}\n[provide.users]\nkind = \"finger.file\"\npath = \"{name}.users\"\n\
             [[serve]]\nwhat = \"users\"\nas = \"finger\"\nat = \"tcp:0:interface=127.0.0.1\"\n"
        );
        fs::write(&file, text).unwrap();
        Self(file)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
        fs::remove_file(self.0.with_extension("users")).ok();
    }
}

/// It runs, where io_uring is refused to it, or not.
fn start(file: &File, refused: bool) -> Running {
    if !refused {
        return Running::start(&file.0);
    }
    let mut command = Command::new("python3");
    command.args(["-c", REFUSES, env!("CARGO_BIN_EXE_tress"), "run"]);
    Running::of(command.arg(&file.0))
}

/// What it says until it listens, and who is in there.
fn finger(running: &Running) -> (String, String) {
    let mut said = running.lines_to(" as finger (");
    let mut peer = TcpStream::connect(address(&said.pop().unwrap())).unwrap();
    peer.write_all(b"alice\r\n").unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    (said.join("\n"), answer)
}

fn has_ring(running: &Running) -> bool {
    let files = fs::read_dir(format!("/proc/{}/fd", running.child.id())).unwrap();
    files.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|of| of.to_string_lossy().contains("io_uring"))
    })
}

/// What it says, and its exit code.
fn ends(file: &File, refused: bool) -> (String, Option<i32>) {
    let (said, code) = start(file, refused).ends();
    (said.join("\n"), code)
}

/// Whether this machine has io_uring, or says why not.
fn has_uring() -> bool {
    if !cfg!(feature = "uring") {
        eprintln!("skipped: built without the feature `uring`");
        return false;
    }
    // The reactor itself is asked, as the binary does.
    let file = File::asks_for("auto");
    let running = start(&file, false);
    let (said, _) = finger(&running);
    let has = !said.contains("takes mio");
    if !has {
        eprintln!("skipped: {said}");
    }
    has
}

/// Whether io_uring can be refused here, or says why not.
fn can_refuse() -> bool {
    let mut python = Command::new("python3");
    let tried = python.args(["-c", REFUSES, "/bin/true"]).status();
    let can = tried.as_ref().is_ok_and(std::process::ExitStatus::success);
    if !can {
        eprintln!("skipped: no Python here that can refuse io_uring: {tried:?}");
    }
    can
}

#[test]
fn without_the_option_it_runs_on_mio() {
    for driver in ["", "mio"] {
        let file = File::asks_for(driver);
        let running = start(&file, false);
        let (said, answer) = finger(&running);
        assert_eq!(answer, "In her office.\r\n");
        assert!(!has_ring(&running) && !said.contains("io_uring"), "{said}");
    }
}

#[test]
fn uring_serves() {
    if !has_uring() {
        return;
    }
    for driver in ["uring", "auto"] {
        let file = File::asks_for(driver);
        let running = start(&file, false);
        let (said, answer) = finger(&running);
        assert_eq!(answer, "In her office.\r\n");
        assert!(has_ring(&running), "{said}");
    }
}

#[test]
fn uring_where_it_is_refused_is_an_error() {
    if !can_refuse() {
        return;
    }
    let file = File::asks_for("uring");
    let (said, code) = ends(&file, true);
    assert_eq!(code, Some(2), "{said}");
    let reason = if cfg!(feature = "uring") {
        "Operation not permitted"
    } else {
        "built without it"
    };
    let place = format!(
        "{}:2: app.driver: io_uring cannot be had: ",
        file.0.display()
    );
    assert!(said.starts_with(&place) && said.contains(reason), "{said}");
}

#[test]
fn auto_where_it_is_refused_takes_mio_and_says_why_once() {
    if !can_refuse() {
        return;
    }
    let file = File::asks_for("auto");
    let running = start(&file, true);
    let (said, answer) = finger(&running);
    assert_eq!(answer, "In her office.\r\n");
    assert!(!has_ring(&running));
    let lines = said.lines().filter(|line| line.contains("takes mio: "));
    assert_eq!(lines.count(), 1, "{said}");
    let reason = if cfg!(feature = "uring") {
        "Operation not permitted"
    } else {
        "built without it"
    };
    assert!(said.contains(reason), "{said}");
}

#[test]
fn another_name_is_refused() {
    let file = File::asks_for("epoll");
    let (said, code) = ends(&file, false);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("app.driver") && said.contains("`mio`"),
        "{said}"
    );
}
