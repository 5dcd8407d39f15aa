//! Files and directories that are watched for changes (Linux: `inotify(7)`), as calls on the loop. Reads no file.
//!
//! The system's records come through a connection like any other bytes, so that the loop needs nothing for it.
//! Source: Twisted's `internet/inotify.py`.

mod mask;
mod records;

pub use mask::Mask;

use crate::seam::{self, Call};
use records::{Record, Records};
use rustix::fs::inotify;
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    fmt, fs, io,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    rc::{Rc, Weak},
};
use tress_core::{Address, Failure, Protocol, Reactor, Result, Transport, driver::Opened};

/// The least that the system wants to be read at once: a record with the longest name.
const READ_BYTES_MIN: usize = 4096;
/// The bits that can be asked for.
const EVENTS: u32 = 0xfff;
/// Files and directories watched by one watcher, unless another number is given.
pub const WATCHES_MAX: usize = 8192;

/// How something is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// What is told: everything that changes something by default.
    pub mask: Mask,
    /// All directories below it, too. They are walked through before the call returns, without following symbolic links.
    pub recursive: bool,
    /// Directories that are made in it, or moved into it, from now on, too. What is in one before it is watched is told as
    /// created, and may be told twice.
    pub auto_add: bool,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            mask: Mask::CHANGES,
            recursive: false,
            auto_add: false,
        }
    }
}

/// Watches files until it, and all its clones, are dropped, or its reactor stops.
#[derive(Clone)]
pub struct Watcher(Rc<Inner>);

struct Inner {
    /// A copy of what the connection reads from.
    system: OwnedFd,
    points: RefCell<BTreeMap<i32, Point>>,
    most: usize,
    transport: OnceCell<Transport>,
    is_over: Cell<bool>,
}

/// A watched file or directory.
struct Point {
    path: PathBuf,
    watches: Vec<Rc<Watch>>,
}

/// What is called with the path and what happened.
type Handler = Box<dyn Fn(&Path, Mask)>;

/// One call of [`Watcher::watch`]; its directories share it.
struct Watch {
    options: WatchOptions,
    handler: Handler,
    /// Where it begins.
    root: PathBuf,
    is_wanted: Cell<bool>,
}

/// The other end of the connection.
struct Reader {
    inner: Weak<Inner>,
    records: Records,
}

impl Watcher {
    /// Watches nothing yet. At most [`WATCHES_MAX`] files and directories.
    ///
    /// # Errors
    /// The reactor's driver takes over no descriptor, the system has no room for another watcher, or the limit
    /// `bytes_per_turn` is too small for it.
    pub fn new(reactor: &Reactor) -> Result<Self> {
        Self::with_limit(reactor, WATCHES_MAX)
    }

    /// The same with room for so many files and directories.
    ///
    /// # Errors
    /// As [`Watcher::new`].
    pub fn with_limit(reactor: &Reactor, watches: usize) -> Result<Self> {
        let doing = |failure: Failure| failure.context("watching files");
        let per_turn = reactor.limits().bytes_per_turn;
        if per_turn < READ_BYTES_MIN {
            let text = format!(
                "it needs {READ_BYTES_MIN} bytes at once, and the limit `bytes_per_turn` is {per_turn}"
            );
            return Err(doing(Failure::msg(text)));
        }
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let system = inotify::init(flags).map_err(|error| doing(io::Error::from(error).into()))?;
        let read = seam::call(Call::Dup, || system.try_clone());
        let read = read.map_err(|error| doing(error.into()))?;
        let inner = Rc::new(Inner {
            system,
            points: RefCell::default(),
            most: watches,
            transport: OnceCell::new(),
            is_over: Cell::new(false),
        });
        let mut reader = Some(Reader {
            inner: Rc::downgrade(&inner),
            records: Records::default(),
        });
        let opened = Opened::Files {
            input: Some(read.into()),
            output: None,
        };
        let adopted = reactor.adopt(opened, move |_: &Address| reader.take());
        adopted.map_err(doing)?.detach();
        Ok(Self(inner))
    }

    /// Calls `handler` on the loop with what happens to this file or directory, and to the files in it. A path is told as
    /// it was given here, with the file's name behind it. A handler that panics is logged.
    ///
    /// What was watched before goes on being told to the handlers that it had.
    ///
    /// # Errors
    /// It is not there, must not be read, or is one too many: nothing of it is watched.
    pub fn watch(
        &self,
        path: impl AsRef<Path>,
        options: WatchOptions,
        handler: impl Fn(&Path, Mask) + 'static,
    ) -> Result {
        let path = path.as_ref();
        let watch = Rc::new(Watch {
            options,
            handler: Box::new(handler),
            root: path.to_owned(),
            is_wanted: Cell::new(true),
        });
        let mut to_do = vec![path.to_owned()];
        while let Some(next) = to_do.pop() {
            // A directory may go while its parent is walked through.
            let is_root = next == path;
            match self.0.add(&next, &watch, is_root) {
                Ok(()) => {}
                Err(error) if !is_root && error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.0.forget(&watch);
                    return Err(
                        Failure::from(error).context(format!("watching `{}`", next.display()))
                    );
                }
            }
            if options.recursive {
                to_do.extend(directories(&next));
            }
        }
        Ok(())
    }

    /// Watches this no more, nor what was watched below it because of it. False when it was not watched.
    pub fn ignore(&self, path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        let points = self.0.points.borrow();
        let here = points.values().filter(|point| point.path == path);
        let watches: Vec<Rc<Watch>> = here.flat_map(|point| point.watches.clone()).collect();
        drop(points);
        for watch in &watches {
            if watch.root == path {
                self.0.forget(watch);
            } else {
                self.0.forget_below(path, watch);
            }
        }
        !watches.is_empty()
    }

    /// Whether it is watched, by itself or because of a directory above it.
    #[must_use]
    pub fn is_watched(&self, path: impl AsRef<Path>) -> bool {
        let points = self.0.points.borrow();
        points.values().any(|point| point.path == path.as_ref())
    }

    /// How many files and directories are watched.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.points.borrow().len()
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({} watched)", self.count())
    }
}

/// The directories in this one, as far as it can be read.
fn directories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let entries = entries.filter_map(Result::ok);
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

impl Inner {
    /// Lets the system watch one path.
    fn add(&self, path: &Path, watch: &Rc<Watch>, follow: bool) -> io::Result<()> {
        if self.is_over.get() {
            return Err(io::Error::other("the reactor has stopped since"));
        }
        let mut flags = inotify::WatchFlags::from_bits_retain(watch.options.mask.0 & EVENTS);
        flags |= inotify::WatchFlags::MASK_ADD;
        if watch.options.auto_add {
            flags |= inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        }
        if watch.options.auto_add || watch.options.recursive {
            flags |= inotify::WatchFlags::MOVED_FROM;
        }
        if !follow {
            flags |= inotify::WatchFlags::DONT_FOLLOW;
        }
        let id =
            inotify::add_watch(&self.system, path, flags).map_err(
                |error| match io::Error::from(error) {
                    error if error.kind() == io::ErrorKind::StorageFull => io::Error::other(
                        "the system watches no more for this user (fs.inotify.max_user_watches)",
                    ),
                    error => error,
                },
            )?;
        let mut points = self.points.borrow_mut();
        if !points.contains_key(&id) && points.len() >= self.most {
            inotify::remove_watch(&self.system, id).ok();
            let text = format!(
                "{} are watched already: the limit of this watcher",
                self.most
            );
            return Err(io::Error::other(text));
        }
        let point = points.entry(id).or_insert_with(|| Point {
            path: path.to_owned(),
            watches: Vec::new(),
        });
        if !point.watches.iter().any(|other| Rc::ptr_eq(other, watch)) {
            point.watches.push(Rc::clone(watch));
        }
        Ok(())
    }

    /// Ends a watch wherever it is.
    fn forget(&self, watch: &Rc<Watch>) {
        watch.is_wanted.set(false);
        self.forget_where(|_, other| Rc::ptr_eq(other, watch));
    }

    /// Ends it at this path and below.
    fn forget_below(&self, path: &Path, watch: &Rc<Watch>) {
        self.forget_where(|at, other| at.starts_with(path) && Rc::ptr_eq(other, watch));
    }

    fn forget_where(&self, is_over: impl Fn(&Path, &Rc<Watch>) -> bool) {
        let mut gone = Vec::new();
        self.points.borrow_mut().retain(|id, point| {
            let (path, watches) = (&point.path, &mut point.watches);
            gone.extend(watches.extract_if(.., |watch| is_over(path, watch)));
            if watches.is_empty() {
                // It fails when the system has forgotten it by itself.
                inotify::remove_watch(&self.system, *id).ok();
            }
            !watches.is_empty()
        });
        // What a handler holds may hold this.
        drop(gone);
    }

    /// Something happened.
    fn tell(self: &Rc<Self>, record: &Record) {
        if record.mask.contains(Mask::OVERFLOW) {
            return self.tell_overflow();
        }
        let points = self.points.borrow();
        let Some(point) = points.get(&record.watch) else {
            return;
        };
        let (at, watches) = (point.path.clone(), point.watches.clone());
        drop(points);
        let path = record
            .name
            .as_ref()
            .map_or_else(|| at.clone(), |name| at.join(name));
        for watch in &watches {
            watch.tell(&path, record.mask);
        }
        if record.mask.contains(Mask::IGNORED) {
            let gone = self.points.borrow_mut().remove(&record.watch);
            drop(gone);
        }
        if !record.mask.contains(Mask::IS_DIR) || record.name.is_none() {
            return;
        }
        for watch in &watches {
            if record.mask.contains(Mask::MOVED_FROM) {
                // It has another name now, if it is anywhere.
                self.forget_below(&path, watch);
            }
            if record.mask.intersects(Mask::CREATE | Mask::MOVED_TO) && watch.options.auto_add {
                self.add_new(&path, watch);
            }
        }
    }

    /// A directory that is new, with what is in it already: events of that were before it was watched.
    fn add_new(&self, path: &Path, watch: &Rc<Watch>) {
        let mut to_do = vec![path.to_owned()];
        while let Some(next) = to_do.pop() {
            if !watch.is_wanted.get() {
                return;
            }
            match self.add(&next, watch, false) {
                Ok(()) => {}
                // It has gone again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!(target: "tress", "cannot watch {}: {error}", next.display());
                    continue;
                }
            }
            for entry in fs::read_dir(&next)
                .into_iter()
                .flatten()
                .filter_map(Result::ok)
            {
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let kind = if is_directory {
                    Mask::IS_DIR
                } else {
                    Mask::default()
                };
                watch.tell(&entry.path(), Mask::CREATE | kind);
                if is_directory {
                    to_do.push(entry.path());
                }
            }
        }
    }

    fn tell_overflow(&self) {
        let points = self.points.borrow();
        let mut watches: Vec<Rc<Watch>> = Vec::new();
        for watch in points.values().flat_map(|point| &point.watches) {
            if !watches.iter().any(|other| Rc::ptr_eq(other, watch)) {
                watches.push(Rc::clone(watch));
            }
        }
        drop(points);
        tracing::warn!(target: "tress", "the system has lost events of watched files");
        for watch in watches {
            watch.tell(&watch.root, Mask::OVERFLOW);
        }
    }
}

impl Watch {
    /// Calls the handler if this is something for it.
    fn tell(&self, path: &Path, mask: Mask) {
        let wanted = Mask(self.options.mask.0 & EVENTS) | Mask::UNMOUNT | Mask::OVERFLOW;
        if !self.is_wanted.get() || !mask.intersects(wanted) {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| (self.handler)(path, mask))).is_err() {
            let path = path.display();
            tracing::error!(target: "tress", "a handler of watched files panicked at {mask} of {path}");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(transport) = self.transport.get() {
            transport.lose_connection();
        }
    }
}

impl Protocol for Reader {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        match self.inner.upgrade() {
            Some(inner) => {
                inner.transport.get_or_init(|| transport.clone());
            }
            None => transport.lose_connection(),
        }
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        let records = self.records.feed(data).map_err(|malformed| {
            let bytes = malformed.name_bytes;
            Failure::msg(format!(
                "the system told of a file with a name of {bytes} bytes"
            ))
        })?;
        for record in records {
            let Some(inner) = self.inner.upgrade() else {
                return Ok(());
            };
            inner.tell(&record);
        }
        Ok(())
    }

    fn connection_lost(&mut self, _: Failure) {
        if let Some(inner) = self.inner.upgrade() {
            inner.is_over.set(true);
            let points = std::mem::take(&mut *inner.points.borrow_mut());
            drop(points);
        }
    }

    fn name(&self) -> &'static str {
        "the watcher of files"
    }
}
