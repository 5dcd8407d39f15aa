//! A log file that is rotated by its size: `app.log` becomes `app.log.1`, that one `app.log.2`, and the oldest goes. Never
//! splits a line.
//!
//! Source: Twisted's `python/logfile.py`.

use crate::seam::{self, Call};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, IoSlice, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Logs are not for everybody: users and peers stand in them.
const MODE: u32 = 0o640;

/// When a file is rotated, and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The largest size of a file, but for one with a single line that is longer; 0 for no end.
    pub bytes: u64,
    /// How many files are kept beside the one that is written to; with none, that one begins anew.
    pub keep: u32,
}

#[derive(Debug)]
pub(super) struct LogFile {
    asked: PathBuf,
    rotation: Rotation,
    open: Open,
    /// The rest of a line that was written in part.
    rest: Vec<u8>,
    /// From this size on it is rotated.
    rotate_at: u64,
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.append(true).create(true).mode(MODE);
    // Of a pipe, which nobody may read.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

/// An open file.
#[derive(Debug)]
struct Open {
    file: File,
    /// Where it is, behind all links; `None` for a device or a pipe, of which nothing is ever moved.
    path: Option<PathBuf>,
    bytes: u64,
}

fn open(path: &Path) -> io::Result<Open> {
    let file = seam::call(Call::Open, || options().open(path))?;
    let status = file.metadata()?;
    if status.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let path = status.is_file().then(|| fs::canonicalize(path));
    Ok(Open {
        file,
        path: path.transpose()?,
        bytes: status.len(),
    })
}

/// Whether it could be opened. One that is not there is not made: another is, beside it, and goes at once.
pub(super) fn try_open(path: &Path) -> io::Result<()> {
    match options().create(false).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        result => return result.map(drop),
    }
    let probe = numbered(path, &format!("check-{}", std::process::id()));
    // Through no link, and not what somebody else has there.
    seam::call(Call::Open, || options().create_new(true).open(&probe))?;
    seam::call(Call::Unlink, || fs::remove_file(&probe))
}

fn numbered(path: &Path, number: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(number);
    name.into()
}

impl LogFile {
    pub(super) fn at(path: &Path, rotation: Rotation) -> io::Result<Self> {
        Ok(Self {
            asked: path.to_owned(),
            rotation,
            open: open(path)?,
            rest: Vec::new(),
            rotate_at: rotation.bytes,
        })
    }

    /// Does not fail once a part of the line has been written: the rest is kept then.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        if let Err((written, error)) = self.write_all(&rest) {
            self.rest = rest[written..].to_vec();
            return Err(error);
        }
        let bytes = self.open.bytes;
        let full = bytes.saturating_add(line.len() as u64) > self.rotate_at;
        if self.rotation.bytes > 0 && bytes > 0 && full {
            self.rotate();
        }
        match self.write_all(line) {
            Err((0, error)) => Err(error),
            Err((written, _)) => {
                self.rest = line[written..].to_vec();
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            let pieces = [IoSlice::new(&bytes[written..])];
            let once = seam::write_vectored(Call::Writev, &pieces, |pieces| {
                self.open.file.write_vectored(pieces)
            });
            match once {
                Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.open.bytes += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    /// Where that cannot be done the file goes on, and it is tried again when as much has been written once more.
    fn rotate(&mut self) {
        self.rotate_at = match self.try_rotate() {
            Ok(()) => self.rotation.bytes,
            Err(_) => self.open.bytes.saturating_add(self.rotation.bytes),
        };
    }

    fn try_rotate(&mut self) -> io::Result<()> {
        let Some(path) = self.open.path.clone() else {
            return Ok(());
        };
        let (ours, there) = (self.open.file.metadata()?, fs::metadata(&path));
        if !there.is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino())) {
            // Somebody else has, such as the process that takes the place of this one.
            self.open = open(&self.asked)?;
            return Ok(());
        }
        if self.rotation.keep == 0 {
            self.open.file.set_len(0)?;
            self.open.bytes = 0;
            return Ok(());
        }
        // First of all: without it nothing is moved.
        let next = numbered(&path, "next");
        let mut open = open(&next)?;
        let name = |number: u32| match number {
            0 => path.clone(),
            number => numbered(&path, &number.to_string()),
        };
        for number in (0..self.rotation.keep).rev() {
            let (from, to) = (name(number), name(number + 1));
            match seam::call(Call::Rename, || fs::rename(&from, &to)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        seam::call(Call::Rename, || fs::rename(&next, &path))?;
        open.path = Some(path);
        self.open = open;
        Ok(())
    }

    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.open = open(&self.asked)?;
        self.rotate_at = self.rotation.bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A directory that is gone after the test.
    struct Place(PathBuf);

    impl Place {
        fn new(test: &str) -> Self {
            let name = format!("tress-logs-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn log(&self, bytes: u64, keep: u32) -> LogFile {
            LogFile::at(&self.0.join("a.log"), Rotation { bytes, keep }).unwrap()
        }

        /// Names without `a.log`, each with what is in it.
        fn files(&self) -> Vec<(String, String)> {
            let mut files: Vec<_> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| {
                    let path = entry.unwrap().path();
                    let name = path.file_name().unwrap().to_str().unwrap();
                    let name = name.strip_prefix("a.log").unwrap_or(name).to_owned();
                    (name, fs::read_to_string(path).unwrap())
                })
                .collect();
            files.sort();
            files
        }

        #[track_caller]
        fn check(&self, expected: &[(&str, &str)]) {
            let files = self.files();
            let files: Vec<_> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
            assert_eq!(files, expected);
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn it_is_rotated_between_lines_and_the_oldest_goes() {
        let place = Place::new("rotated");
        let mut log = place.log(8, 2);
        log.write(b"abc\n").unwrap();
        log.write(b"def\n").unwrap();
        place.check(&[("", "abc\ndef\n")]); // exactly as much as may be
        log.write(b"\n").unwrap();
        place.check(&[("", "\n"), (".1", "abc\ndef\n")]);
        log.write(b"longer than a file\n").unwrap();
        let long = "longer than a file\n";
        place.check(&[("", long), (".1", "\n"), (".2", "abc\ndef\n")]);
        log.write(b"g\n").unwrap();
        place.check(&[("", "g\n"), (".1", long), (".2", "\n")]);
        // What was there counts.
        let mut log = place.log(3, 2);
        log.write(b"h\n").unwrap();
        place.check(&[("", "h\n"), (".1", "g\n"), (".2", long)]);
    }

    #[test]
    fn none_is_kept_or_it_never_ends() {
        let place = Place::new("none");
        let mut log = place.log(4, 0);
        log.write(b"abc\n").unwrap();
        log.write(b"d\n").unwrap();
        place.check(&[("", "d\n")]);
        let mut log = place.log(0, 0);
        for _ in 0..3 {
            log.write(b"abc\n").unwrap();
        }
        place.check(&[("", "d\nabc\nabc\nabc\n")]);
    }

    #[test]
    fn what_cannot_be_rotated_goes_on() {
        let place = Place::new("stuck");
        let mut log = place.log(4, 1);
        // A directory is in the way, with something in it.
        fs::create_dir_all(place.0.join("a.log.1/x")).unwrap();
        for _ in 0..3 {
            log.write(b"abc\n").unwrap();
        }
        let text = fs::read_to_string(place.0.join("a.log")).unwrap();
        assert_eq!(text, "abc\nabc\nabc\n");
        fs::remove_dir_all(place.0.join("a.log.1")).unwrap();
        log.write(b"abc\n").unwrap();
        place.check(&[("", "abc\n"), (".1", "abc\nabc\nabc\n")]);
    }

    #[test]
    fn it_is_opened_anew_when_somebody_has_moved_it() {
        let place = Place::new("moved");
        let mut log = place.log(100, 1);
        log.write(b"a\n").unwrap();
        fs::rename(place.0.join("a.log"), place.0.join("moved")).unwrap();
        log.write(b"b\n").unwrap();
        log.reopen().unwrap();
        log.write(b"c\n").unwrap();
        place.check(&[("", "c\n"), ("moved", "a\nb\n")]);
        let status = fs::metadata(place.0.join("a.log")).unwrap();
        assert_eq!(status.permissions().mode() & 0o777 & !MODE, 0);
        // Where it cannot be, the one until now stays.
        fs::rename(place.0.join("a.log"), place.0.join("again")).unwrap();
        fs::create_dir(place.0.join("a.log")).unwrap();
        assert!(log.reopen().is_err());
        log.write(b"d\n").unwrap();
        let text = fs::read_to_string(place.0.join("again")).unwrap();
        assert_eq!(text, "c\nd\n");
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let rotation = Rotation { bytes: 0, keep: 1 };
        let mut log = LogFile::at(Path::new("/dev/full"), rotation).unwrap();
        let full = log.write(b"a\n").unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        assert!(log.rest.is_empty());
        // A line of which a part was written is completed before the next.
        let place = Place::new("full");
        let mut log = place.log(0, 1);
        log.rest = b"bc\n".to_vec();
        log.write(b"d\n").unwrap();
        place.check(&[("", "bc\nd\n")]);
    }

    #[test]
    fn trying_makes_nothing() {
        let place = Place::new("tried");
        try_open(&place.0.join("a.log")).unwrap();
        place.check(&[]);
        assert!(try_open(&place.0.join("none/a.log")).is_err());
        assert!(try_open(&place.0).is_err(), "it is a directory");
        drop(place.log(1, 1));
        try_open(&place.0.join("a.log")).unwrap();
        place.check(&[("", "")]);
    }

    #[test]
    fn what_is_no_file_is_never_moved() {
        let place = Place::new("device");
        let link = place.0.join("a.log");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        let mut log = place.log(8, 2);
        for _ in 0..9 {
            log.write(b"12345678").unwrap();
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&place.0).unwrap().count(), 1);
    }

    #[test]
    fn behind_a_link_what_it_leads_to_is_rotated() {
        let place = Place::new("link");
        let elsewhere = place.0.join("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        let there = elsewhere.join("real.log");
        fs::write(&there, "").unwrap();
        std::os::unix::fs::symlink(&there, place.0.join("a.log")).unwrap();
        let mut log = place.log(4, 1);
        log.write(b"one\n").unwrap();
        log.write(b"two\n").unwrap();
        assert_eq!(fs::read(&there).unwrap(), b"two\n");
        assert_eq!(fs::read(elsewhere.join("real.log.1")).unwrap(), b"one\n");
    }

    /// As in an upgrade, when the old process is there for a while.
    #[test]
    fn of_two_that_write_to_a_file_one_rotates_it() {
        let place = Place::new("two");
        let (mut old, mut new) = (place.log(4, 2), place.log(4, 2));
        old.write(b"old\n").unwrap();
        new.write(b"new\n").unwrap();
        new.write(b"2nd\n").unwrap();
        old.write(b"end\n").unwrap();
        place.check(&[("", "2nd\nend\n"), (".1", "old\nnew\n")]);
    }
}
