//! `Lock`: one at a time, the others wait. Knows no thread: it is a semaphore with one token.
//!
//! Source: `DeferredLock` in Twisted's `internet/defer.py`.

use super::semaphore::{Semaphore, SemaphoreGuard};
use crate::deferred::{Deferred, Outcome};
use std::fmt;

/// Lets one do something at a time; the others wait in the order in which they came.
///
/// It protects an order of events, not memory: between two steps of one holder nobody else comes in.
///
/// ```
/// # use tress_core::sync::Lock;
/// let lock = Lock::new();
/// let guard = lock.acquire().try_result().unwrap().unwrap();
/// let second = lock.acquire().map(|_guard| "my turn");
/// drop(guard);
/// assert_eq!(second.try_result().unwrap().unwrap(), "my turn");
/// ```
#[derive(Clone)]
pub struct Lock(Semaphore);

/// A [`Lock`] that is held. Dropping it releases the lock, and whoever waits first has it before that returns.
#[must_use = "dropped at once, the lock is released at once"]
pub struct LockGuard {
    _token: SemaphoreGuard,
}

impl Lock {
    /// A lock that nobody holds.
    #[must_use]
    pub fn new() -> Self {
        Self(Semaphore::new(1))
    }

    /// Changes how many acquires may wait at once, for all clones; the default is [`WAITERS_MAX`](super::WAITERS_MAX).
    #[must_use]
    pub fn waiters_max(self, acquires: usize) -> Self {
        Self(self.0.waiters_max(acquires))
    }

    /// The lock, as soon as it is free; it fails with [`TooManyWaiters`](super::TooManyWaiters) when too many wait
    /// already. What cancelling and dropping do is said at [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire(&self) -> Deferred<LockGuard> {
        self.0.acquire().map(|token| LockGuard { _token: token })
    }

    /// Calls `work` with the lock held until what it returns has fired, whatever comes: a value, a failure, a panic or
    /// a cancel. See [`Semaphore::run`].
    #[track_caller]
    pub fn run<R: Outcome>(&self, work: impl FnOnce() -> R + 'static) -> Deferred<R::Value> {
        self.0.run(work)
    }

    /// Whether somebody holds it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.0.tokens() == 0
    }

    /// How many acquires wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("is_locked", &self.is_locked())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockGuard")
    }
}
