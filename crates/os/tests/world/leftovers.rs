//! What a test must not leave behind: open descriptors, children, threads. One test at a time, since all of it is counted
//! for the whole process; only where every test of a program asks for this does the count mean something.

use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::{
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a thread that was told to end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// While it lives, no other test runs that has one. When it is dropped, all is as it was when it began.
pub(crate) struct Leftovers {
    descriptors: Vec<String>,
    threads: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Leftovers {
    /// First of all in a test, so that it is dropped after everything else.
    pub(crate) fn none() -> Self {
        let alone = ONE_AT_A_TIME.lock();
        Self {
            _alone: alone.unwrap_or_else(PoisonError::into_inner),
            descriptors: descriptors(),
            threads: threads(),
        }
    }

    /// This process has no child, not one that has ended and was not waited for either.
    pub(crate) fn has_no_child() -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::All, options).err() == Some(rustix::io::Errno::CHILD)
    }

    /// No child is left, and nothing is open and no thread runs that was not there before.
    #[track_caller]
    pub(crate) fn check(&self, after: &str) {
        assert!(Self::has_no_child(), "{after}: a child is left");
        // A thread closes what it has when it ends.
        let start = Instant::now();
        while threads() > self.threads && start.elapsed() < PATIENCE {
            thread::yield_now();
        }
        // One that was there at the beginning may have been about to go.
        assert!(threads() <= self.threads, "{after}: threads are left");
        assert_eq!(descriptors(), self.descriptors, "{after}");
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.check("at the end of the test");
        }
    }
}

/// What this process has open.
fn descriptors() -> Vec<String> {
    let listed = fs::read_dir("/proc/self/fd").expect("there is /proc");
    let mut numbers: Vec<String> = listed
        .filter_map(|entry| {
            let entry = entry.expect("it can be listed");
            let number = entry.file_name().to_string_lossy().into_owned();
            // One that has gone since was a thread's that starts or ends beside this test.
            let target = fs::read_link(entry.path()).ok()?;
            Some(format!("{number} {}", target.display()))
        })
        // The one that lists them.
        .filter(|line| !line.contains("/proc/"))
        .collect();
    numbers.sort();
    numbers
}

/// How many threads of the engine's run. Those of the test program come and go.
fn threads() -> usize {
    let listed = fs::read_dir("/proc/self/task").expect("there is /proc");
    let names = listed.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("tress")).count()
}
