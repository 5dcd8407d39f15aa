//! Waiting for a lock file without holding up the loop: tries again and again on the reactor's clock. Does not know
//! what a lock is made of.
//!
//! Source: `DeferredFilesystemLock` of Twisted's `internet/defer.py`.

use super::{LockFile, LockGuard};
use std::{
    cell::RefCell,
    error::Error,
    fmt,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};
use tress_core::{Deferred, Reactor, Resolver, Time, WeakReactor, reactor::DelayedCall};

/// How long a waiting [`FilesystemLock`] rests between two tries.
pub const RETRY_EVERY: Duration = Duration::from_secs(1);

/// A [`LockFile`] that can be waited for. A clone is the same one.
#[derive(Clone, Debug)]
pub struct FilesystemLock {
    file: LockFile,
    waiting: Waiting,
}

/// The next try of the one that waits. None is active when nobody does.
type Waiting = Rc<RefCell<Option<DelayedCall>>>;

/// The lock was not to be had in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockTimedOut {
    /// The lock's path.
    pub path: PathBuf,
    /// How long it was waited for.
    pub after: Duration,
}

/// Somebody waits already with this [`FilesystemLock`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlreadyTryingToLock {
    /// The lock's path.
    pub path: PathBuf,
}

impl FilesystemLock {
    /// The lock at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            file: LockFile::new(path),
            waiting: Waiting::default(),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Fires with the lock, at once if nobody holds it; until then it is tried each [`RETRY_EVERY`], and a last time
    /// at the end of `timeout`. Cancelling ends the waiting; dropping the Deferred does not, but a lock that nobody
    /// takes out of it is released.
    ///
    /// Fails with [`LockTimedOut`], with [`AlreadyTryingToLock`] when somebody waits with this object already, and as
    /// [`LockFile::try_lock`].
    #[track_caller]
    pub fn acquire(&self, reactor: &Reactor, timeout: Option<Duration>) -> Deferred<LockGuard> {
        if self.is_waiting() {
            return Deferred::fail(AlreadyTryingToLock {
                path: self.path().to_owned(),
            });
        }
        let waiting = Rc::clone(&self.waiting);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            if let Some(call) = waiting.take() {
                call.cancel().ok();
            }
        });
        let timeout = timeout.unwrap_or(Duration::MAX);
        let attempt = Attempt {
            lock: self.clone(),
            reactor: reactor.downgrade(),
            deadline: reactor.now() + timeout,
            timeout,
            resolver,
        };
        attempt.step(reactor);
        deferred
    }

    /// Whether somebody waits with this object.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let waiting = self.waiting.borrow();
        waiting.as_ref().is_some_and(DelayedCall::is_active)
    }
}

/// Somebody who waits.
struct Attempt {
    lock: FilesystemLock,
    reactor: WeakReactor,
    deadline: Time,
    timeout: Duration,
    resolver: Resolver<LockGuard>,
}

impl Attempt {
    fn step(self, reactor: &Reactor) {
        let left = self.deadline.since(reactor.now());
        match self.lock.file.try_lock() {
            Ok(Some(guard)) => self.resolver.resolve(guard),
            Ok(None) if left.is_zero() => self.resolver.fail(LockTimedOut {
                path: self.lock.path().to_owned(),
                after: self.timeout,
            }),
            Ok(None) => self.again_in(left.min(RETRY_EVERY), reactor),
            Err(error) => self.resolver.fail(error),
        }
    }

    fn again_in(self, delay: Duration, reactor: &Reactor) {
        let waiting = Rc::clone(&self.lock.waiting);
        let call = reactor.call_later(delay, move || {
            if let Some(reactor) = self.reactor.upgrade() {
                self.step(&reactor);
            }
        });
        waiting.replace(Some(call));
    }
}

impl fmt::Display for LockTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(
            f,
            "the lock file {path} was not free within {:?}",
            self.after
        )
    }
}

impl Error for LockTimedOut {}

impl fmt::Display for AlreadyTryingToLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "the lock file {path} is being waited for already")
    }
}

impl Error for AlreadyTryingToLock {}
