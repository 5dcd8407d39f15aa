//! Where the lines of a log go: standard error, a file that is rotated, the system's journal. Knows no format, and writes
//! nothing of its own.
//!
//! None of them can hold a program for ever. A line that cannot be written is an error, and whoever writes next may say how
//! many were left out; what of a line had been written is completed first, so that no line is torn.

mod file;
pub mod journal;
mod patience;
mod stream;

pub use file::Rotation;

use file::LogFile;
use journal::Journal;
use std::{io, path::Path};
use stream::Stream;

/// Where lines go.
#[derive(Debug)]
pub struct LogOutput(To);

#[derive(Debug)]
enum To {
    Stream(Stream),
    File(LogFile),
    Journal(Journal),
}

impl LogOutput {
    /// To standard error. Where nobody reads it, writing waits at most a second a minute: then lines are refused.
    #[must_use]
    pub fn stderr() -> Self {
        Self(To::Stream(Stream::stderr()))
    }

    /// To the end of this file, which is made with the mode 640 if it is not there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn file(path: &Path, rotation: Rotation) -> io::Result<Self> {
        LogFile::at(path, rotation).map(To::File).map(Self)
    }

    /// To the system's journal. A line is what [`journal::entry`] makes.
    ///
    /// # Errors
    /// There is none.
    pub fn journal() -> io::Result<Self> {
        Self::journal_at(Path::new(journal::SOCKET))
    }

    /// The same to a journal that listens there.
    ///
    /// # Errors
    /// It does not.
    pub fn journal_at(socket: &Path) -> io::Result<Self> {
        Journal::connect(socket).map(To::Journal).map(Self)
    }

    /// Whether a log could go to that file: it can be written to, or it is not there and could be. Changes nothing.
    ///
    /// # Errors
    /// It could not.
    pub fn try_file(path: &Path) -> io::Result<()> {
        file::try_open(path)
    }

    /// Whether it is standard error.
    #[must_use]
    pub fn is_stderr(&self) -> bool {
        matches!(self.0, To::Stream(_))
    }

    /// Writes one line, or entry, which is whole and has its end.
    ///
    /// # Errors
    /// It was not written, nor will be.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            To::Stream(stream) => stream.write(line),
            To::File(file) => file.write(line),
            To::Journal(journal) => journal.write(line),
        }
    }

    /// Opens the file of that name, which may be another by now; anything else stays open.
    ///
    /// # Errors
    /// It cannot be opened; the one until now is written to.
    pub fn reopen(&mut self) -> io::Result<()> {
        match &mut self.0 {
            To::File(file) => file.reopen(),
            To::Stream(_) | To::Journal(_) => Ok(()),
        }
    }
}
