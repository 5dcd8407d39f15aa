//! A load client in a process of its own: two clients of many connections have more descriptors than one process may.
//!
//! `tress-bench walk PORT COUNT` opens its connections; for every line that it is asked, a number of milliseconds, it
//! walks over all connections for so long and answers how many messages that were.

use crate::client::Client;
use crate::lines::{self, Asker};
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Messages in flight over all connections.
const IN_FLIGHT: usize = 64;

/// The side of the harness.
#[derive(Debug)]
pub struct Walker(Asker);

impl Walker {
    /// Starts the process, on the client's core as this one, and waits for its connections.
    ///
    /// # Errors
    /// It cannot be started, or the server fails it.
    pub fn open(port: u16, count: usize) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["walk", &port.to_string(), &count.to_string()]);
        Ok(Self(Asker::open(command.stderr(Stdio::null()))?))
    }

    /// Walks for a while; returns the messages. The process has a time limit on everything it waits for.
    ///
    /// # Errors
    /// The server failed or does not answer.
    pub fn walk(&mut self, length: Duration) -> io::Result<usize> {
        let messages = self.0.ask_number(&length.as_millis().to_string())?;
        usize::try_from(messages).map_err(io::Error::other)
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
        Err(error) => return lines::refuse(&error),
    };
    lines::serve(|milliseconds| {
        let length = Duration::from_millis(milliseconds.parse().map_err(|_| wrong())?);
        Ok(client.walk(IN_FLIGHT, length)?.to_string())
    })
}
