//! The option `driver` of the real binary: which driver it runs on, and what it says where io_uring cannot be had. There
//! Linux refuses it to the process, by a filter that a line of Python sets up.

#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the other end of the wire is not ours, this whole file is a test, and it says what it skips"
)]
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
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

/// A `tress run` that is killed when the test ends.
struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Running {
    /// Where io_uring is refused, or not.
    fn start(file: &File, refused: bool) -> Self {
        let tress = env!("CARGO_BIN_EXE_tress");
        let mut command = if refused {
            let mut command = Command::new("python3");
            command.args(["-c", REFUSES, tress]);
            command
        } else {
            Command::new(tress)
        };
        let child = command.arg("run").arg(&file.0).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// What it says until it listens, and who is in there.
    fn finger(&mut self) -> (String, String) {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "{said}");
            if line.contains(" as finger (") {
                let (_, address) = line
                    .trim_end()
                    .trim_end_matches(')')
                    .rsplit_once('(')
                    .unwrap();
                let mut peer = TcpStream::connect(address).unwrap();
                peer.write_all(b"alice\r\n").unwrap();
                let mut answer = String::new();
                peer.read_to_string(&mut answer).unwrap();
                return (said, answer);
            }
            said.push_str(&line);
        }
    }

    /// Whether it has a ring.
    fn has_ring(&self) -> bool {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|of| of.to_string_lossy().contains("io_uring"))
        })
    }

    /// What it says, and its exit code.
    fn ends(&mut self) -> (String, Option<i32>) {
        let mut said = String::new();
        self.log.read_to_string(&mut said).unwrap();
        (said, self.child.wait().unwrap().code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether this machine has io_uring, or says why not.
fn has_uring() -> bool {
    if !cfg!(feature = "uring") {
        eprintln!("skipped: built without the feature `uring`");
        return false;
    }
    // The reactor itself is asked, as the binary does.
    let file = File::asks_for("auto");
    let mut running = Running::start(&file, false);
    let (said, _) = running.finger();
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
        let mut running = Running::start(&file, false);
        let (said, answer) = running.finger();
        assert_eq!(answer, "In her office.\r\n");
        assert!(!running.has_ring() && !said.contains("io_uring"), "{said}");
    }
}

#[test]
fn uring_serves() {
    if !has_uring() {
        return;
    }
    for driver in ["uring", "auto"] {
        let file = File::asks_for(driver);
        let mut running = Running::start(&file, false);
        let (said, answer) = running.finger();
        assert_eq!(answer, "In her office.\r\n");
        assert!(running.has_ring(), "{said}");
    }
}

#[test]
fn uring_where_it_is_refused_is_an_error() {
    if !can_refuse() {
        return;
    }
    let file = File::asks_for("uring");
    let (said, code) = Running::start(&file, true).ends();
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
    let mut running = Running::start(&file, true);
    let (said, answer) = running.finger();
    assert_eq!(answer, "In her office.\r\n");
    assert!(!running.has_ring());
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
    let (said, code) = Running::start(&file, false).ends();
    assert_eq!(code, Some(2));
    assert!(
        said.contains("app.driver") && said.contains("`mio`"),
        "{said}"
    );
}
