//! A load client in a process of its own: two clients of many connections have more descriptors than one process may.
//!
//! `tress-bench walk PORT COUNT` opens its connections and says `ready`; for every line of standard input, a
//! number of milliseconds, it walks over all connections for so long and prints how many messages that were.
//! What goes wrong is printed as well: a line that is no number.

use crate::client::Client;
use crate::server::Helper;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Messages in flight over all connections.
const IN_FLIGHT: usize = 64;

/// The side of the harness.
#[derive(Debug)]
pub struct Walker {
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    // Last, so that it is killed after its pipes are closed.
    _process: Helper,
}

impl Walker {
    /// Starts the process, on the client's core as this one, and waits for its connections.
    ///
    /// # Errors
    /// It cannot be started, or the server fails it.
    pub fn open(port: u16, count: usize) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["walk", &port.to_string(), &count.to_string()]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Helper(command.spawn()?);
        let (Some(ask), Some(answers)) = (process.0.stdin.take(), process.0.stdout.take()) else {
            return Err(io::Error::other("no pipes"));
        };
        let mut walker = Self {
            ask,
            answers: BufReader::new(answers),
            _process: process,
        };
        match walker.answer()?.as_str() {
            "ready" => Ok(walker),
            reason => Err(io::Error::other(reason)),
        }
    }

    /// Walks for a while; returns the messages.
    ///
    /// # Errors
    /// The server failed or does not answer.
    pub fn walk(&mut self, length: Duration) -> io::Result<usize> {
        writeln!(self.ask, "{}", length.as_millis())?;
        let answer = self.answer()?;
        answer.parse().map_err(|_| io::Error::other(answer))
    }

    /// The next line. The process has a time limit on everything it waits for, so a line or the end always comes.
    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::Error::other("the client's process ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// The side of the process; ends with its standard input.
///
/// # Errors
/// The words are no port and no count, or nobody listens to the answers.
pub fn serve(port: Option<&str>, count: Option<&str>) -> io::Result<()> {
    let wrong = || io::Error::other("walk PORT COUNT");
    let port: u16 = port.and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
    let count: usize = count.and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
    let mut client = match Client::open(port, count) {
        Ok(client) => client,
        Err(error) => return say(&error.to_string()),
    };
    say("ready")?;
    for line in io::stdin().lines() {
        let length = Duration::from_millis(line?.parse().map_err(|_| wrong())?);
        match client.walk(IN_FLIGHT, length) {
            Ok(messages) => say(&messages.to_string())?,
            Err(error) => return say(&error.to_string()),
        }
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
