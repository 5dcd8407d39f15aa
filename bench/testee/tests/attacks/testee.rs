//! The program under attack as a child process, and what the kernel says of it. Killed when dropped.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Nothing here waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

const LOOPBACK: &str = "tcp:0:interface=127.0.0.1";
const NOWHERE: ([u8; 4], u16) = ([0; 4], 0);

/// Chooses the driver for all of them: `mio` when it is not set.
const DRIVER_VARIABLE: &str = "TRESS_TESTEE_DRIVER";

/// A running `tress-testee` on a port of its own.
pub(crate) struct Testee {
    child: Child,
    pub(crate) protocol: &'static str,
    /// Where it listens, if that is an IP address.
    pub(crate) at: SocketAddr,
    /// From the start of the process to its listening.
    pub(crate) took: Duration,
}

impl Testee {
    pub(crate) fn start(protocol: &'static str) -> Self {
        Self::start_at(protocol, LOOPBACK)
    }

    /// At this endpoint.
    pub(crate) fn start_at(protocol: &'static str, endpoint: &str) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_tress-testee"));
        Self::run(command, Stdio::null(), protocol, endpoint)
    }

    /// At a socket that listens and that it inherits, as from systemd.
    pub(crate) fn at_inherited(protocol: &'static str, socket: impl Into<Stdio>) -> Self {
        let mut shell = Command::new("sh");
        let line = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
        shell.args(["-c", line, env!("CARGO_BIN_EXE_tress-testee")]);
        Self::run(
            shell,
            socket.into(),
            protocol,
            "systemd:domain=INET:index=0",
        )
    }

    /// With no more descriptors than these.
    pub(crate) fn with_descriptors(protocol: &'static str, most: usize) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]);
        shell.arg(env!("CARGO_BIN_EXE_tress-testee"));
        Self::run(shell, Stdio::null(), protocol, LOOPBACK)
    }

    fn run(mut command: Command, input: Stdio, protocol: &'static str, endpoint: &str) -> Self {
        let driver = std::env::var(DRIVER_VARIABLE).unwrap_or_else(|_| "mio".to_owned());
        command.args([protocol, "--at", endpoint]);
        command.args(["--driver", &driver]);
        command.stdin(input).stdout(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().expect("the testee starts");
        let (to, first_line) = mpsc::channel();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            let mut line = String::new();
            output.read_line(&mut line).ok();
            to.send(line).ok();
            io::copy(&mut output, &mut io::sink()).ok();
        });
        let line = first_line.recv_timeout(PATIENCE).unwrap_or_default();
        let took = begun.elapsed();
        let at = line.trim_end().strip_prefix("listening at ");
        let Some(at) = at else {
            child.kill().ok();
            panic!("{protocol}: no address in its first line {line:?}");
        };
        let at = at.parse().unwrap_or_else(|_| NOWHERE.into());
        Self {
            child,
            protocol,
            at,
            took,
        }
    }

    /// Its process's number.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What is resident now, bytes. Exact, unlike `VmRSS`.
    pub(crate) fn resident(&self) -> usize {
        self.kibibytes("smaps_rollup", "Rss:")
    }

    /// The most that was ever resident, bytes.
    pub(crate) fn peak(&self) -> usize {
        self.kibibytes("status", "VmHWM:")
    }

    fn kibibytes(&self, file: &str, field: &str) -> usize {
        let text = fs::read_to_string(self.proc(file)).expect("the testee is alive");
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        1024 * number.unwrap().parse::<usize>().unwrap()
    }

    /// How many descriptors are open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Processor time of all threads so far, user and system.
    pub(crate) fn processor_time(&self) -> Duration {
        let spent = |task: io::Result<fs::DirEntry>| -> u64 {
            let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            text.split_whitespace().next().unwrap().parse().unwrap()
        };
        let tasks = fs::read_dir(self.proc("task")).unwrap();
        Duration::from_nanos(tasks.map(spent).sum())
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// One SIGTERM: how it ended, and after how long.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = until("the testee stops", || self.child.try_wait().unwrap());
        (status, begun.elapsed())
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Testee {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Asks again and again until there is an answer; fails after [`PATIENCE`].
#[track_caller]
pub(crate) fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited too long: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Says why a test was not made.
pub(crate) fn skip(what: &str, why: &str) {
    println!("skipped: {what}: {why}");
}
