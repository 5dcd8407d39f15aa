//! The system's files for what needs some, such as certificates. Knows nothing of what is in them.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::SystemTime,
};
use tress_tls::{Files, Found, PEM_BYTES_MAX};

/// Files below a directory of certificates, at most.
const FILES_MAX: usize = 4096;

/// Directories below each other, at most.
const DEPTH_MAX: usize = 8;

/// The files of the operating system, read while the loop waits: they are small and near.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        // A device, or a file that grows, has no end.
        let most = PEM_BYTES_MAX as u64 + 1;
        File::open(path)?.take(most).read_to_end(&mut content)?;
        if content.len() > PEM_BYTES_MAX {
            return Err(io::Error::other(format!(
                "it is longer than {PEM_BYTES_MAX} bytes"
            )));
        }
        Ok(content)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        walk(directory, DEPTH_MAX, &mut found)?;
        found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }
}

/// Links are followed, as a directory of certificates is often made of them; a circle of them ends at the depth.
fn walk(directory: &Path, depth: usize, found: &mut Vec<Found>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let about = match fs::metadata(&path) {
            Ok(about) => about,
            // Removed since, or a link to nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if about.is_dir() && depth > 0 {
            walk(&path, depth - 1, found)?;
        } else if about.is_file() {
            found.push(Found {
                path: path.into(),
                version: version(&about),
            });
        }
        if found.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
    }
    Ok(())
}

/// Length and time of the last change, which together no change leaves as they were.
fn version(about: &fs::Metadata) -> u128 {
    let changed = about.modified().ok();
    let changed = changed.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let changed = changed.map_or(0, |since| since.as_nanos());
    u128::from(about.len()) << 96 | changed & (u128::MAX >> 32)
}
