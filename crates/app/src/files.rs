//! Files as providers need them: a whole one read, looked at, or replaced. The system's own, or a simulation's.
//! Knows nothing of what is in them.

use crate::finger_file::write_atomically;
use std::{
    fmt,
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Where providers have their files. All of it takes place while the loop waits: files are small and near.
pub trait Files: fmt::Debug {
    /// The first `most` bytes of a file, and what tells its state from others.
    ///
    /// # Errors
    /// It cannot be read, or is no plain file.
    fn read(&self, path: &Path, most: usize) -> io::Result<(Vec<u8>, Stamp)>;

    /// What tells the state of a file from others, if it is there.
    fn stamp(&self, path: &Path) -> Option<Stamp>;

    /// Writes a file such that whoever reads it sees the old content or the new one, also after a crash.
    ///
    /// # Errors
    /// The old content is there still.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Where the operating system has it, for a library that opens its files itself. Nowhere for files of a simulation.
    fn in_the_system(&self, path: &Path) -> Option<PathBuf> {
        let _ = path;
        None
    }

    /// A variable of the environment, if it is there and text. None elsewhere than in the operating system.
    fn variable(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// When it was changed last.
    pub modified: Option<SystemTime>,
    /// Its length, bytes.
    pub length: u64,
    /// Which file it is, of those that have had its name.
    pub number: u64,
}

/// The files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    /// Whatever is no plain file could block for ever, and is not opened.
    fn read(&self, path: &Path, most: usize) -> io::Result<(Vec<u8>, Stamp)> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        let file = File::open(path)?;
        let found = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok((bytes, stamp(&found)))
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        fs::metadata(path).ok().map(|found| stamp(&found))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        write_atomically(path, bytes)
    }

    fn in_the_system(&self, path: &Path) -> Option<PathBuf> {
        Some(path.to_owned())
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn stamp(found: &Metadata) -> Stamp {
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(found);
    #[cfg(not(unix))]
    let number = 0;
    Stamp {
        modified: found.modified().ok(),
        length: found.len(),
        number,
    }
}
