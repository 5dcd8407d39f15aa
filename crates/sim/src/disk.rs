//! The disk of a virtual host: whole files, replaced all at once. It survives a crash, and can be full. Opens no file.

use crate::{
    faults::Fault,
    world::{World, find},
};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

/// "No space left on device".
const ENOSPC: i32 = 28;

/// The disk of one host of a [`World`]; clones are the same one.
#[derive(Clone)]
pub struct Disk {
    world: World,
    host: usize,
}

/// What is on a disk.
#[derive(Debug, Default)]
pub(crate) struct Content {
    files: BTreeMap<PathBuf, (Vec<u8>, u64)>,
    written: u64,
    is_full: bool,
}

impl World {
    /// The disk of a host.
    ///
    /// # Panics
    /// There is no such host.
    #[must_use]
    #[track_caller]
    pub fn disk(&self, address: &str) -> Disk {
        let host = find(&self.0.borrow(), address);
        Disk {
            world: self.clone(),
            host,
        }
    }
}

impl Disk {
    /// The content of a file, and its version, which no other content has had.
    ///
    /// # Errors
    /// There is none.
    pub fn read(&self, path: &Path) -> io::Result<(Vec<u8>, u64)> {
        self.with(|disk| disk.files.get(path).cloned())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The version of a file, and how many bytes it has, if it is there.
    #[must_use]
    pub fn version(&self, path: &Path) -> Option<(u64, usize)> {
        self.with(|disk| {
            let found = disk.files.get(path);
            found.map(|(bytes, version)| (*version, bytes.len()))
        })
    }

    /// Writes a file, or replaces it, all at once.
    ///
    /// # Errors
    /// The disk is full; what was there is there still.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let strikes = self.world.0.borrow_mut().faults.strikes(Fault::FullDisk);
        self.with(|disk| {
            if disk.is_full || strikes {
                return Err(io::Error::from_raw_os_error(ENOSPC));
            }
            disk.written += 1;
            let content = (bytes.to_vec(), disk.written);
            disk.files.insert(path.to_owned(), content);
            Ok(())
        })
    }

    /// Leaves no room on it, or some again.
    pub fn set_full(&self, is_full: bool) {
        if is_full {
            self.world.0.borrow_mut().faults.count(Fault::FullDisk);
        }
        self.with(|disk| disk.is_full = is_full);
    }

    fn with<R>(&self, look: impl FnOnce(&mut Content) -> R) -> R {
        look(&mut self.world.0.borrow_mut().host_mut(self.host).disk)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.host)
    }
}
