//! Replaces a file's content so that whoever reads it sees the old text or the new one, also after a
//! crash. Blocks on the disk: run it as a job. Must not know: what is in the file.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File, Metadata, OpenOptions},
    hash::{BuildHasher, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Writes `bytes` to a temporary file beside `path`, syncs it, renames it to `path` and syncs the
/// directory. The file keeps its permissions, and its owner as far as the process may set it; a
/// symbolic link stays and the file it leads to is replaced.
///
/// # Errors
/// Those of the file system. The old content is there still, unless only the last step, syncing
/// the directory, failed; the temporary file is gone.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (target, original) = match fs::canonicalize(path) {
        Ok(target) => {
            let original = fs::metadata(&target)?;
            (target, Some(original))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(error),
    };
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let (temporary, file) = create_temporary(directory, original.is_some())?;
    let written =
        fill(file, bytes, original.as_ref()).and_then(|()| fs::rename(&temporary, &target));
    if let Err(error) = written {
        // The first error is the one to tell; a second one has nothing to add.
        fs::remove_file(&temporary).ok();
        return Err(error);
    }
    sync_directory(directory)
}

/// A new file under a name that nobody can have prepared. One that takes another's place starts
/// out closed to everybody else, so that a secret is never readable on the way.
fn create_temporary(directory: &Path, closed: bool) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if closed {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = closed;
    let mut attempts_left = 8;
    loop {
        // The standard library's only source of random bits; nothing is hashed.
        let random = RandomState::new().build_hasher().finish();
        let path = directory.join(format!(".tress-{random:016x}.tmp"));
        attempts_left -= 1;
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempts_left > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn fill(mut file: File, bytes: &[u8], original: Option<&Metadata>) -> io::Result<()> {
    if let Some(original) = original {
        keep_owner(&file, original);
        file.set_permissions(original.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Only a privileged process may give a file away; for the others the new file is their own, which
/// is what replacing a file means on UNIX.
#[cfg(unix)]
fn keep_owner(file: &File, original: &Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    fchown(file, Some(original.uid()), Some(original.gid())).ok();
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) {}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
