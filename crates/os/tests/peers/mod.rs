//! What tests with programs of others need: a reactor on real sockets, a directory, and children that do not outlive
//! their test. Does not know which programs.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tress_core::Reactor;
use tress_os::Mio;

const PATIENCE: Duration = Duration::from_secs(30);

/// A reactor, and a directory that is gone after the test.
pub(crate) struct World {
    pub(crate) reactor: Reactor,
    pub(crate) directory: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-peers-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Self {
            reactor: Reactor::with(Mio::new().expect("epoll works")),
            directory,
        }
    }

    /// How many files there are.
    pub(crate) fn names(&self) -> usize {
        fs::read_dir(&self.directory).unwrap().count()
    }

    /// Turns the reactor until the condition holds.
    #[track_caller]
    pub(crate) fn until(&self, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE, "it does not hold");
            let turned = self.reactor.turn(Some(Duration::from_millis(1)));
            turned.expect("the driver works");
        }
    }

    /// What a program prints that gets this input and talks to our reactor.
    #[track_caller]
    pub(crate) fn output(&self, mut command: Command, input: &[u8]) -> String {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut peer = Killed(command.spawn().expect("the program starts"));
        let mut stdin = peer.0.stdin.take().unwrap();
        stdin.write_all(input).expect("a pipe has room for that");
        drop(stdin);
        let mut status = None;
        self.until(|| {
            status = peer.0.try_wait().unwrap();
            status.is_some()
        });
        let said = io::read_to_string(peer.0.stdout.take().unwrap()).unwrap();
        assert!(status.is_some_and(|status| status.success()), "{said}");
        said
    }
}

impl Drop for World {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// A child that does not outlive its test.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn skip(what: &str, why: &str) {
    println!("skipped: {what}: {why}");
}

/// A Python that has Twisted.
pub(crate) fn twisted() -> Option<OsString> {
    let python = std::env::var_os("TRESS_PYTHON");
    if python.is_none() {
        skip("Twisted", "TRESS_PYTHON names no Python that has it");
    }
    python
}
