//! The errors a loop, a connection or a timer can end in: unit types, so that `Failure::check` can ask for each.
//! Names are those of Twisted's `internet/error.py`.

use crate::{address::Address, failure::Failure, signal::Signal};
use std::{error::Error, fmt, io, time::Duration};

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($text)
            }
        }
        impl Error for $name {}
    )*};
}

errors! {
    /// The connection ended cleanly: the peer's end of stream, or our own close after everything was sent.
    ConnectionDone = "connection was closed cleanly";
    /// `abort_connection` ended the connection.
    ConnectionAborted = "connection was aborted";
    /// The factory declined to build a protocol.
    NoProtocol = "the factory built no protocol";
    /// A connection that was still being made was cancelled.
    ConnectingCancelled = "connecting was cancelled";
    /// A Deferred was cancelled and its canceller did not fire it.
    Cancelled = "cancelled";
    /// A Resolver was dropped without being fired.
    Abandoned = "abandoned: its resolver was dropped without being fired";
    /// `run` on a reactor that runs.
    AlreadyRunning = "the reactor is already running";
    /// `stop` on a reactor that does not run, or is stopping.
    NotRunning = "the reactor is not running";
    /// Something was asked of a port that has been stopped.
    NotListening = "the port does not listen any more";
    /// A second producer on a transport that has one (Twisted's `RuntimeError`).
    ProducerRegistered = "a producer is registered already";
    /// The reactor has been dropped.
    ReactorGone = "the reactor is gone";
    /// `blocking_call_from_thread` on the reactor's own thread, which would wait for itself.
    OwnThread = "a blocking call on the reactor's own thread would wait for itself";
    /// The queue of calls from other threads is full.
    InboxFull = "too many calls from other threads are waiting";
    /// The output kept for one connection grew past its hard limit.
    OutputOverflow = "more output was queued than the hard limit allows";
    /// `push_layer` after `lose_write_connection`: the layer could say nothing more.
    PushedTooLate = "a layer was pushed after lose_write_connection";
    /// `start` on a looping call whose last run has not ended.
    AlreadyLooping = "the looping call is running already";
    /// `stop` or `reset` on a looping call that does not run, or is stopping.
    NotLooping = "the looping call is not running";
}

/// The connection broke: reset, unreachable, a failed read or write.
#[derive(Debug)]
pub struct ConnectionLost(pub io::Error);

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection was lost")
    }
}

impl Error for ConnectionLost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Bytes that came before a layer were still kept when it was pushed, and must not pass for bytes that came through it
/// (CVE-2011-0411).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytesBeforeLayer {
    /// How many they are.
    pub bytes: usize,
}

impl fmt::Display for BytesBeforeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        write!(
            f,
            "{bytes} bytes that came before a layer was pushed were not delivered"
        )
    }
}

impl Error for BytesBeforeLayer {}

/// A connection could not be made.
#[derive(Debug)]
pub struct ConnectError(pub io::Error);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not connect")
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// A host name could not be looked up, or has no address (Twisted's `DNSLookupError`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsLookupError {
    /// The name.
    pub name: String,
    /// What went wrong.
    pub problem: String,
}

impl fmt::Display for DnsLookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot look up `{}`: {}", self.name, self.problem)
    }
}

impl Error for DnsLookupError {}

/// A host has addresses, and none of them could be connected to. Its text lists them all.
///
/// `source` is `None`, as there is not one source but all of them.
#[derive(Clone, Debug)]
pub struct NoAddressWorked {
    /// The name and the port.
    pub to: String,
    /// Every address, in the order in which they were tried, and why it did not work.
    pub failures: Vec<(Address, Failure)>,
}

impl fmt::Display for NoAddressWorked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no address of {} worked", self.to)?;
        for (index, (address, failure)) in self.failures.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{address}: {failure}")?;
        }
        Ok(())
    }
}

impl Error for NoAddressWorked {}

/// Nothing can listen at this address.
#[derive(Debug)]
pub struct CannotListen {
    /// The address as it was asked for.
    pub at: String,
    /// What the operating system said.
    pub error: io::Error,
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen at {}", self.at)
    }
}

impl Error for CannotListen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// A signal cannot be handled.
#[derive(Debug)]
pub struct CannotCatch {
    /// The signal.
    pub signal: Signal,
    /// Why not.
    pub error: io::Error,
}

impl fmt::Display for CannotCatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot catch {}", self.signal)
    }
}

impl Error for CannotCatch {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Which deadline ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deadline {
    /// Making the connection took too long.
    Connect,
    /// The first request did not arrive in time.
    Handshake,
    /// No byte went either way for too long.
    Idle,
    /// Closing took too long: the peer does not read.
    Shutdown,
    /// A Deferred had no result in time: `Deferred::add_timeout`.
    Deferred,
}

/// A deadline passed. Names the limit, so that a reader knows what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// Which limit.
    pub deadline: Deadline,
    /// Its value.
    pub after: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.deadline {
            Deadline::Connect => "connecting",
            Deadline::Handshake => "the handshake",
            Deadline::Idle => "an idle connection",
            Deadline::Shutdown => "closing",
            Deadline::Deferred => "a Deferred",
        };
        write!(f, "{what} timed out after {:?}", self.after)
    }
}

impl Error for TimedOut {}

/// A callback panicked; the text is the panic's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked(pub String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a callback panicked: {}", self.0)
    }
}

impl Error for Panicked {}

/// A timed call is no longer waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotActive {
    /// It has run, or is running.
    AlreadyCalled,
    /// It was cancelled before.
    AlreadyCancelled,
}

impl fmt::Display for NotActive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyCalled => "the call has been made already",
            Self::AlreadyCancelled => "the call was cancelled already",
        })
    }
}

impl Error for NotActive {}

/// What a task of a `Cooperator` cannot do any more, or not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulerError {
    /// It is not paused.
    NotPaused,
    /// Its iterator has ended.
    TaskDone,
    /// Its iterator has failed.
    TaskFailed,
    /// It was stopped.
    TaskStopped,
    /// Its cooperator was stopped.
    SchedulerStopped,
}

impl fmt::Display for SchedulerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPaused => "the task is not paused",
            Self::TaskDone => "the task is done",
            Self::TaskFailed => "the task has failed",
            Self::TaskStopped => "the task was stopped",
            Self::SchedulerStopped => "the cooperator was stopped",
        })
    }
}

impl Error for SchedulerError {}

/// More jobs wait for a thread than [`Limits::jobs_waiting`](crate::limits::Limits) allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobsFull {
    /// How many may wait.
    pub limit: usize,
}

impl fmt::Display for JobsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit;
        write!(
            f,
            "all threads are busy and {limit} jobs wait already: no more may (limit `jobs_waiting`)"
        )
    }
}

impl Error for JobsFull {}

/// A job could not be given to a thread.
#[derive(Debug)]
pub struct JobNotStarted(pub io::Error);

impl fmt::Display for JobNotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not start a job")
    }
}

impl Error for JobNotStarted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// The reactor stopped before a job was done: it waits or runs no longer than [`Limits::shutdown`](crate::limits::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLeftBehind {
    /// How long the stop may take.
    pub after: Duration,
}

impl fmt::Display for JobLeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after;
        write!(
            f,
            "the reactor stopped before the job was done, after {after:?} (limit `shutdown`)"
        )
    }
}

impl Error for JobLeftBehind {}

/// The program shall end with this code and say nothing (Twisted's `SystemExit` in `react`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit with code {}", self.0)
    }
}

impl Error for Exit {}
