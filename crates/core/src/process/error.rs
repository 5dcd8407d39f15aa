//! What a child process can fail with. Names are those of Twisted's `internet/error.py`.

use crate::signal::Signal;
use std::{error::Error, fmt, io};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It ended itself with this code, 0 for success.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// Which.
        signal: Signal,
        /// It left a memory image.
        dumped: bool,
    },
    /// It has ended, but something else in this program has waited for it and knows how.
    Unknown,
}

impl ExitStatus {
    /// Whether it ended itself with the code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal { signal, dumped } => {
                let dumped = if *dumped { ", leaving an image" } else { "" };
                write!(f, "{signal}{dumped}")
            }
            Self::Unknown => f.write_str("a status that something else has taken"),
        }
    }
}

/// The process ended itself with the code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessDone;

impl fmt::Display for ProcessDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a process has finished without error")
    }
}

impl Error for ProcessDone {}

/// The process ended itself with another code than 0, or a signal ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessTerminated {
    /// How.
    pub status: ExitStatus,
}

impl fmt::Display for ProcessTerminated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            ExitStatus::Code(code) => write!(f, "a process has ended with exit code {code}"),
            ExitStatus::Signal { .. } => write!(f, "a process has ended by {}", self.status),
            ExitStatus::Unknown => write!(f, "a process has ended with {}", self.status),
        }
    }
}

impl Error for ProcessTerminated {}

/// The process has ended: there is nobody to signal, nor to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessExitedAlready {
    /// The program.
    pub program: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl fmt::Display for ProcessExitedAlready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, status } = self;
        write!(f, "{program} has exited already, with {status}")
    }
}

impl Error for ProcessExitedAlready {}

/// A descriptor of a child that cannot be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotWritable {
    /// The program.
    pub program: String,
    /// The number that the child knows it by.
    pub descriptor: u32,
    /// Why not: what it is, or that it was closed.
    pub why: &'static str,
}

impl fmt::Display for NotWritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            descriptor,
            why,
        } = self;
        write!(
            f,
            "descriptor {descriptor} of {program} cannot be written to: {why}"
        )
    }
}

impl Error for NotWritable {}

/// A process that could not be started. Nothing of it is left.
#[derive(Debug)]
pub struct SpawnError {
    /// The program.
    pub program: String,
    /// What could not be done, if it is not just to run the program.
    pub doing: Option<String>,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start {}", self.program)?;
        match &self.doing {
            Some(doing) => write!(f, ": {doing}"),
            None => Ok(()),
        }
    }
}

impl Error for SpawnError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
