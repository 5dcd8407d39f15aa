//! A `tress run` under test: how it is started, what it says, how it ends. Knows no file and no protocol.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

/// Longer than anything here takes, and short enough to wait for when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn tress(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tress"));
    command.args(arguments);
    // What a service manager says to the tests is not said to what they start.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
        command.env_remove(name);
    }
    command
}

/// It is killed when the test ends.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// The lines of its stderr, read by a thread so that waiting for one can end.
    log: Receiver<String>,
}

impl Running {
    pub(crate) fn start(file: &Path) -> Self {
        Self::of(&mut tress(&["run", file.to_str().unwrap()]))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = channel();
        let stderr = child.stderr.take().unwrap();
        let reader = thread::Builder::new().spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        reader.unwrap();
        Self { child, log }
    }

    /// The next line; none when it has ended.
    #[track_caller]
    pub(crate) fn next_line(&self) -> Option<String> {
        match self.log.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it says nothing and does not end"),
        }
    }

    /// All lines up to the one with these words.
    #[track_caller]
    pub(crate) fn lines_to(&self, words: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.next_line();
            lines.push(line.unwrap_or_else(|| panic!("no line with {words:?}: {lines:?}")));
            if lines.last().is_some_and(|line| line.contains(words)) {
                return lines;
            }
        }
    }

    /// The next line of the log that has these words.
    #[track_caller]
    pub(crate) fn line(&self, words: &str) -> String {
        self.lines_to(words).pop().unwrap()
    }

    /// Where it listens, from the line that says so: `listening at … as finger (127.0.0.1:40000)`.
    #[track_caller]
    pub(crate) fn address(&self, protocol: &str) -> SocketAddr {
        address(&self.line(&format!(" as {protocol} (")))
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// What it still says, and its exit code, when it has ended by itself.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> (Vec<String>, Option<i32>) {
        let mut said = Vec::new();
        while let Some(line) = self.next_line() {
            said.push(line);
        }
        (said, self.child.wait().unwrap().code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The address in a line that says where it listens.
pub(crate) fn address(line: &str) -> SocketAddr {
    let (_, address) = line.trim_end_matches(')').rsplit_once('(').unwrap();
    address.parse().unwrap()
}
