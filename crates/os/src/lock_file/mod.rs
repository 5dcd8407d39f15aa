//! A lock that processes share: a symbolic link whose target is its holder's process id, so that a lock whose holder
//! died is known and broken. Knows no reactor but in `waiting`.
//!
//! Source: Twisted's `python/lockfile.py`, whose processes and ours exclude each other.

mod waiting;

pub use waiting::{AlreadyTryingToLock, FilesystemLock, LockTimedOut, RETRY_EVERY};

use crate::seam::{self, Call};
use rustix::process::{Pid, test_kill_process};
use std::{
    error::Error,
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    process,
};

/// How often one `try_lock` looks again when the lock changes while it looks.
const ROUNDS_MAX: usize = 8;

/// The path of a lock. Making one touches no file.
///
/// What holds a lock is a process, known by its id: no use between machines, and after a restart of the machine or of
/// a container another process may have that id, so put the lock where it does not outlive them. While a lock of a
/// dead process is broken, its path with `.breaking` or `.new` behind it is used as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    path: PathBuf,
}

/// The lock is held; dropping this releases it. A process that ends without that leaves a stale lock, which the next
/// one breaks.
#[derive(Debug)]
#[must_use = "dropping it releases the lock"]
pub struct LockGuard {
    /// `None` once it was released.
    held: Option<LockFile>,
    clean: bool,
}

/// A lock file could not be used: the system said no, or what is at its path is no lock (`InvalidData`).
#[derive(Debug)]
pub struct LockError {
    /// The lock's path.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: io::Error,
}

/// What the link at a lock's path says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    Living(u32),
    Dead,
}

impl LockFile {
    /// The lock at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock; `None` when a living process holds it, this one included. A few system calls, no waiting.
    ///
    /// A lock whose holder has died is broken, and of several processes that try, only one gets it. (Twisted does not
    /// promise that: when it breaks a lock in the same instant as another process, both may get it.)
    ///
    /// # Errors
    /// The link cannot be made, or something else is at its path.
    pub fn try_lock(&self) -> Result<Option<LockGuard>, LockError> {
        let clean = self.attempt().map_err(|error| self.error(error))?;
        Ok(clean.map(|clean| LockGuard {
            held: Some(self.clone()),
            clean,
        }))
    }

    /// Takes the lock that process `of` has left to this one ([`LockGuard::leave`]), whether that lives still or not; or the lock
    /// that nobody holds. `None` when another process holds it.
    ///
    /// # Errors
    /// The link cannot be made, or something else is at its path.
    pub(crate) fn inherit(&self, of: u32) -> Result<Option<LockGuard>, LockError> {
        let left = self.replace(|holder| match holder {
            Holder::Living(pid) => pid == of,
            Holder::Dead => true,
            Holder::Nobody => false,
        });
        match left.map_err(|error| self.error(error))? {
            true => Ok(Some(LockGuard {
                held: Some(self.clone()),
                clean: true,
            })),
            false => self.try_lock(),
        }
    }

    /// Whether a living process holds the lock, this one included. Changes nothing.
    ///
    /// # Errors
    /// The link cannot be read, or something else is at its path.
    pub fn is_locked(&self) -> Result<bool, LockError> {
        let holder = self.holder().map_err(|error| self.error(error))?;
        Ok(matches!(holder, Holder::Living(_)))
    }

    /// Whether the lock was taken and, if so, whether it had been released properly.
    fn attempt(&self) -> io::Result<Option<bool>> {
        let mut clean = true;
        for _ in 0..ROUNDS_MAX {
            match seam::call(Call::Symlink, || {
                symlink(process::id().to_string(), &self.path)
            }) {
                Ok(()) => return Ok(Some(clean)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            match self.holder()? {
                Holder::Living(_) => return Ok(None),
                Holder::Nobody => {}
                Holder::Dead => {
                    clean = false;
                    if self.take_over()? {
                        return Ok(Some(clean));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes the lock of a dead holder. False when that changed meanwhile, or another process is at it.
    ///
    /// Between looking at the link and replacing it, the link stays as it is: its holder is dead, and whoever else
    /// would break it is kept out.
    fn take_over(&self) -> io::Result<bool> {
        self.replace(|holder| holder == Holder::Dead)
    }

    /// Takes the lock from such a holder, which is not at it itself.
    fn replace(&self, from: impl Fn(Holder) -> bool) -> io::Result<bool> {
        let Some(_alone) = Alone::claim(self.beside(".breaking"))? else {
            return Ok(false);
        };
        if !from(self.holder()?) {
            return Ok(false);
        }
        let new = self.beside(".new");
        // One that died right here may have left it.
        seam::call(Call::Unlink, || fs::remove_file(&new)).ok();
        seam::call(Call::Symlink, || symlink(process::id().to_string(), &new))?;
        let renamed = seam::call(Call::Rename, || fs::rename(&new, &self.path));
        renamed.inspect_err(|_| drop(fs::remove_file(&new)))?;
        Ok(true)
    }

    fn release(&self) -> io::Result<()> {
        match self.holder()? {
            Holder::Living(pid) if pid == process::id() => {
                seam::call(Call::Unlink, || fs::remove_file(&self.path))
            }
            Holder::Nobody => Err(io::ErrorKind::NotFound.into()),
            Holder::Living(_) | Holder::Dead => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it names another process",
            )),
        }
    }

    fn holder(&self) -> io::Result<Holder> {
        let target = match seam::call(Call::Readlink, || fs::read_link(&self.path)) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Nobody),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(invalid("something that is no symbolic link is there"));
            }
            Err(error) => return Err(error),
        };
        let pid = target.to_str().and_then(|text| text.parse::<i32>().ok());
        let Some(pid) = pid.filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
            let target = target.display();
            return Err(invalid(&format!(
                "it points to `{target}`, which is no process id"
            )));
        };
        let living = Holder::Living(pid.as_raw_pid().cast_unsigned());
        match seam::call(Call::Kill, || Ok(test_kill_process(pid)?)) {
            Ok(()) => Ok(living),
            Err(error) => match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(Holder::Dead),
                // It lives and is somebody else's.
                Some(libc::EPERM) => Ok(living),
                _ => Err(error),
            },
        }
    }

    /// The lock's path with this behind it.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(suffix);
        path.into()
    }

    fn error(&self, error: io::Error) -> LockError {
        LockError {
            path: self.path.clone(),
            error,
        }
    }
}

impl LockGuard {
    /// Whether the one before released the lock. False when it died with it: what the lock guards may be half done.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    /// Releases the lock, and says whether that went well; a drop only logs it.
    ///
    /// # Errors
    /// The link is there no more, or names another process: it is left as it is.
    pub fn unlock(mut self) -> Result<(), LockError> {
        self.release()
    }

    /// Leaves it held, for another process to take.
    pub(crate) fn leave(mut self) {
        self.held = None;
    }

    fn release(&mut self) -> Result<(), LockError> {
        match self.held.take() {
            Some(file) => file.release().map_err(|error| file.error(error)),
            None => Ok(()),
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if let Err(LockError { path, error }) = self.release() {
            tracing::warn!(target: "tress", "cannot release the lock file {}: {error}", path.display());
        }
    }
}

/// Keeps out others that would break the same lock, while it lives: a file that is locked (`flock`), which ends with
/// the process whatever happens.
struct Alone {
    path: PathBuf,
    _locked: File,
}

impl Alone {
    fn claim(path: PathBuf) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        options.custom_flags(libc::O_NOFOLLOW);
        let file = seam::call(Call::Open, || options.open(&path))?;
        Self::lock(file, path)
    }

    /// `None` when another process has the file locked, or it is no longer the one at `path`: whoever was alone before
    /// has removed it after we had opened it, and others would not see our lock.
    fn lock(file: File, path: PathBuf) -> io::Result<Option<Self>> {
        let locked = seam::call(Call::Flock, || match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        });
        if !locked? {
            return Ok(None);
        }
        let ours = seam::call(Call::Fstat, || file.metadata())?;
        let is_ours = |found: fs::Metadata| (found.dev(), found.ino()) == (ours.dev(), ours.ino());
        let seen = seam::call(Call::Lstat, || fs::symlink_metadata(&path));
        let seen = seen.is_ok_and(is_ours);
        // Not `then_some`: dropping one removes what is at its path.
        Ok(seen.then(|| Self {
            path,
            _locked: file,
        }))
    }
}

impl Drop for Alone {
    /// While it is still locked, so that the file is nobody else's.
    fn drop(&mut self) {
        seam::call(Call::Unlink, || fs::remove_file(&self.path)).ok();
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the lock file {}", self.path.display())
    }
}

impl Error for LockError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests;
