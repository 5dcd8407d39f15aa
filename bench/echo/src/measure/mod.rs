//! What is measured, one module per kind; each fills columns of the report and returns.

pub mod accept;
pub mod application;
pub mod cpu;
pub mod instructions;
pub mod latency;
pub mod many;
pub mod memory;
pub mod sizes;
pub mod start;
pub mod syscalls;

use crate::client::Client;
use crate::peers::Peer;
use crate::proc::cpu_nanos;
use crate::report::Report;
use crate::server::{Server, Starter};
use sizes::Sizes;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What every measurement gets.
#[derive(Debug)]
pub struct Bench {
    /// The servers that can be started.
    pub peers: Vec<Peer>,
    /// The command `tress`, where it is measured.
    pub application: Option<PathBuf>,
    /// How they are started.
    pub starter: Starter,
    /// How much is measured.
    pub sizes: Sizes,
    /// How many descriptors a process may have.
    pub descriptors: u64,
    /// Where the figures go.
    pub report: Report,
}

/// A server and the client that drives it.
#[derive(Debug)]
pub struct Driven {
    /// The server.
    pub server: Server,
    /// Its client.
    pub client: Client,
}

impl Bench {
    /// Starts every peer and opens `connections` to each; who fails is left out with a reason.
    pub fn start_all(&mut self, metric: &str, connections: usize) -> Vec<(String, Driven)> {
        let mut all = Vec::new();
        for peer in &self.peers {
            match drive(&self.starter, peer, connections) {
                Ok(driven) => all.push((peer.name.to_owned(), driven)),
                Err(error) => self.report.skip(peer.name, metric, &error.to_string()),
            }
        }
        all
    }
}

/// Starts a peer and connects to it.
///
/// # Errors
/// Either fails.
pub fn drive(starter: &Starter, peer: &Peer, connections: usize) -> io::Result<Driven> {
    let server = starter.start(peer)?;
    let client = Client::open(server.port, connections)?;
    Ok(Driven { server, client })
}

/// Lets a process go to sleep, so that the kernel has counted all it did.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(3));
}

/// Nanoseconds on a core that a process spends while `work` runs, and what `work` returns.
///
/// # Errors
/// The work fails, or the process is gone.
pub fn cpu_during<R>(pid: u32, work: impl FnOnce() -> io::Result<R>) -> io::Result<(f64, R)> {
    let before = cpu_nanos(pid)?;
    let result = work()?;
    settle();
    let after = cpu_nanos(pid)?;
    let spent = after.saturating_sub(before) as f64;
    Ok((spent, result))
}

/// A count as a number to divide by.
#[must_use]
pub fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Whether a tool can be run at all.
#[must_use]
pub fn has_tool(name: &str) -> bool {
    let mut command = Command::new(name);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
