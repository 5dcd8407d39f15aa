//! A server process: started on its core, waited for, and killed when dropped.

use crate::machine::Cores;
use crate::peers::Peer;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Starts servers.
#[derive(Debug)]
pub struct Starter {
    /// Where servers and client run.
    pub cores: Cores,
    /// Where what they say on standard error is kept, and other scratch files.
    pub scratch: PathBuf,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// From spawning it to the first connection.
    pub start: Duration,
}

impl Starter {
    /// Starts a peer and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started, exits, or does not listen within ten seconds.
    pub fn start(&self, peer: &Peer) -> io::Result<Server> {
        self.start_under(peer, &[], Duration::from_secs(10))
    }

    /// The same, run by another program (valgrind) whose words come first.
    ///
    /// # Errors
    /// As for [`Starter::start`].
    pub fn start_under(
        &self,
        peer: &Peer,
        wrapper: &[String],
        patience: Duration,
    ) -> io::Result<Server> {
        self.start_on(peer, free_port()?, wrapper, patience)
    }

    /// Starts a peer that listens at this port whatever it is told, and waits until it does.
    ///
    /// # Errors
    /// As for [`Starter::start`].
    pub fn start_at(&self, peer: &Peer, port: u16) -> io::Result<Server> {
        self.start_on(peer, port, &[], Duration::from_secs(10))
    }

    fn start_on(
        &self,
        peer: &Peer,
        port: u16,
        wrapper: &[String],
        patience: Duration,
    ) -> io::Result<Server> {
        let words = peer.command(port);
        let mut words = wrapper.iter().chain(&words);
        let program = words
            .next()
            .ok_or_else(|| io::Error::other("an empty command"))?;
        let said = self.scratch.join(format!("{}.stderr", peer.name));
        let mut command = Command::new(program);
        command
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?);
        let began = Instant::now();
        let child = self.cores.on_server_core(|| command.spawn())?;
        let mut server = Server {
            child,
            port,
            start: Duration::ZERO,
        };
        while !accepts(port) {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "exited at once: {status}{}",
                    last_words(&said)
                )));
            }
            if began.elapsed() > patience {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("does not listen within {patience:?}"),
                ));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        server.start = began.elapsed();
        Ok(server)
    }
}

impl Server {
    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn terminate(mut self, patience: Duration) -> io::Result<()> {
        signal(&self.child, Signal::TERM)?;
        wait(&mut self.child, patience).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        reap(&mut self.child);
    }
}

/// A helper process that is killed when dropped.
#[derive(Debug)]
pub struct Helper(pub Child);

impl Helper {
    /// Sends a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, number: Signal) -> io::Result<()> {
        signal(&self.0, number)
    }

    /// Sends SIGINT and waits for the end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn interrupt(mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::INT)?;
        wait(&mut self.0, patience)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        reap(&mut self.0);
    }
}

fn reap(child: &mut Child) {
    // Both fail only when it is gone already.
    drop(child.kill());
    drop(child.wait());
}

fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), signal)?)
}

/// Waits for a child, but not forever.
///
/// # Errors
/// It still runs when the patience is over.
pub fn wait(child: &mut Child, patience: Duration) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("still runs after {patience:?}"),
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn accepts(port: u16) -> bool {
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok()
}

/// A port below the range the kernel takes for outgoing connections, so none of ours can sit on it.
pub(crate) fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 4_000).unwrap_or(0);
    for _ in 0..10_000 {
        let port = 20_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no free port"))
}

/// What it said last on standard error, for the reason of a skip.
fn last_words(said: &Path) -> String {
    let text = std::fs::read_to_string(said).unwrap_or_default();
    text.trim_end()
        .lines()
        .next_back()
        .map_or_else(String::new, |line| format!("; it said: {line}"))
}
