//! Starting this program in a role, and what came of it. Decides nothing.

use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::{FdFlags, fcntl_setfd},
};
use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    time::Duration,
};

/// Says which role this process plays.
pub(crate) const ROLE: &str = "TRESS_TEST_ROLE";
/// The endpoint that it listens at.
pub(crate) const AT: &str = "TRESS_TEST_AT";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// This program in that role.
pub(crate) fn in_role(role: &str) -> Command {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.env(ROLE, role).stderr(Stdio::piped());
    command
}

/// What a process wrote and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
    pub(crate) code: Option<i32>,
}

/// Feeds a process, in another thread, and waits for it.
#[track_caller]
pub(crate) fn feed(mut command: Command, input: Vec<u8>) -> Ended {
    let mut child = command.spawn().expect("it can be started");
    let writer = child.stdin.take().map(|mut pipe| {
        std::thread::spawn(move || {
            // It may end before it has read all.
            pipe.write_all(&input).ok();
        })
    });
    let ended = end(child);
    if let Some(writer) = writer {
        writer.join().expect("it only writes");
    }
    ended
}

/// Waits for the end of a process.
#[track_caller]
pub(crate) fn end(mut child: Child) -> Ended {
    let id = child.id();
    let errors = child.stderr.take().map(reader);
    let output = child.stdout.take().map(reader);
    let (done, ended) = channel();
    let waiter = std::thread::spawn(move || {
        let code = child.wait().map(|status| status.code());
        done.send(code).ok();
    });
    let Ok(code) = ended.recv_timeout(PATIENCE) else {
        Command::new("kill")
            .args(["-9", &id.to_string()])
            .status()
            .ok();
        panic!("process {id} does not end");
    };
    waiter.join().expect("it only waits");
    let bytes = |reader: Option<std::thread::JoinHandle<Vec<u8>>>| {
        reader
            .map(|reader| reader.join().expect("it only reads"))
            .unwrap_or_default()
    };
    Ended {
        output: bytes(output),
        errors: String::from_utf8_lossy(&bytes(errors)).into_owned(),
        code: code.expect("it is our child"),
    }
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A terminal ends with an error.
        from.read_to_end(&mut bytes).ok();
        bytes
    })
}

/// Whether reading and writing there wait, for all that share it.
pub(crate) fn waits(file: impl AsFd) -> bool {
    let flags = fcntl_getfl(file).expect("it is open");
    !flags.contains(OFlags::NONBLOCK)
}

/// A shell that puts these descriptors at 3 and above and becomes this program in that role, with these variables.
/// `$$` in them is its process.
pub(crate) fn with_descriptors(role: &str, files: &[OwnedFd], variables: &str) -> Command {
    let program = std::env::current_exe().expect("this program has a path");
    let mut script = String::new();
    // From high numbers, so that none is in another's way.
    let high: Vec<OwnedFd> = files
        .iter()
        .map(|file| rustix::io::fcntl_dupfd_cloexec(file, 100).expect("there is room"))
        .collect();
    for (index, file) in high.iter().enumerate() {
        fcntl_setfd(file, FdFlags::empty()).expect("it is open");
        let (from, to) = (file.as_raw_fd(), index + 3);
        script += &format!("exec {to}<&{from} {from}<&-; ");
    }
    script += &format!("{variables} exec \"$0\"");
    // Some shells know only one digit.
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .arg(program)
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // They are inherited when it is started, and closed here then.
    HELD.with(|held| *held.borrow_mut() = high);
    command
}

thread_local! {
    /// What the next child inherits.
    static HELD: std::cell::RefCell<Vec<OwnedFd>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Starts it, and closes what it inherits here.
pub(crate) fn start(mut command: Command) -> Child {
    let child = command.spawn().expect("it can be started");
    HELD.with(|held| held.borrow_mut().clear());
    child
}

/// What this process has open.
pub(crate) fn descriptors() -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir("/proc/self/fd")
        .expect("this is Linux")
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let to = fs::read_link(entry.path()).ok()?;
            let number = entry.file_name().to_string_lossy().into_owned();
            let to = to.display().to_string();
            (!to.contains("/proc/")).then(|| format!("{number} {to}"))
        })
        .collect();
    all.sort();
    all
}

/// A file that is gone from its directory already.
pub(crate) fn temporary(content: &[u8]) -> File {
    let name = format!("tress-standard-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path);
    let mut file = file.expect("a file can be made");
    fs::remove_file(&path).expect("it is there");
    file.write_all(content).expect("there is room");
    std::io::Seek::rewind(&mut file).expect("it is a file");
    file
}
