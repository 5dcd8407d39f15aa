//! `Semaphore`: as many at once as it has tokens, the others wait. Knows no thread.
//!
//! Source: `DeferredSemaphore` in Twisted's `internet/defer.py`.

use super::waiters::Waiters;
use crate::deferred::{Deferred, Outcome};
use std::{cell::Cell, error::Error, fmt, rc::Rc};

/// Lets a limited number do something at once; the others wait in the order in which they came.
///
/// ```
/// # use tress_core::{Deferred, sync::Semaphore};
/// # fn download(_: &str) -> Deferred<u64> { Deferred::succeed(7) }
/// let two_at_once = Semaphore::new(2);
/// for page in ["a", "b", "c"] {
///     two_at_once.run(move || download(page)).detach();
/// }
/// ```
#[derive(Clone)]
pub struct Semaphore(Rc<Inner>);

struct Inner {
    limit: usize,
    free: Cell<usize>,
    waiters: Rc<Waiters<SemaphoreGuard>>,
}

/// One token of a [`Semaphore`]. Dropping it gives the token back, and whoever waits first has it before that returns.
#[must_use = "dropped at once, the token is given back at once"]
pub struct SemaphoreGuard(Rc<Inner>);

impl Semaphore {
    /// A semaphore with that many tokens.
    ///
    /// # Panics
    /// `tokens` is 0: every acquire would wait for ever.
    #[must_use]
    #[track_caller]
    pub fn new(tokens: usize) -> Self {
        assert!(tokens > 0, "a semaphore has at least one token");
        Self(Rc::new(Inner {
            limit: tokens,
            free: Cell::new(tokens),
            waiters: Waiters::new(),
        }))
    }

    /// Changes how many acquires may wait at once, for all clones; the default is [`WAITERS_MAX`](super::WAITERS_MAX).
    #[must_use]
    pub fn waiters_max(self, acquires: usize) -> Self {
        self.0.waiters.set_max(acquires);
        self
    }

    /// A token, as soon as one is free; it fails with [`TooManyWaiters`] when too many wait already.
    ///
    /// Cancelling it while it waits gives up the place in the queue; afterwards it does nothing. Dropped (not
    /// awaited) while it waits, it is detached: its turn comes, and the token goes back at once, as nobody takes it.
    #[track_caller]
    pub fn acquire(&self) -> Deferred<SemaphoreGuard> {
        let inner = &self.0;
        if inner.waiters.is_empty()
            && let Some(guard) = inner.take()
        {
            return Deferred::succeed(guard);
        }
        let place = inner.waiters.wait(inner.free.get());
        place.unwrap_or_else(|| Deferred::fail(TooManyWaiters(inner.waiters.max())))
    }

    /// Calls `work` with a token held until what it returns has fired, whatever comes: a value, a failure, a panic or
    /// a cancel. The token is back before the callbacks of the returned Deferred run.
    ///
    /// Cancelling while it waits for the token means that `work` is never called; afterwards it cancels what `work`
    /// returned.
    #[track_caller]
    pub fn run<R: Outcome>(&self, work: impl FnOnce() -> R + 'static) -> Deferred<R::Value> {
        self.acquire().add_callback(|guard| {
            // `work` has a step of its own, so that a panic of it is over when the guard goes.
            let done = Deferred::succeed(()).add_callback(|()| work());
            done.add_both(|result| {
                drop(guard);
                result
            })
        })
    }

    /// How many tokens are free now.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.0.free.get()
    }

    /// How many tokens there are.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// How many acquires wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiters.len()
    }
}

impl Inner {
    fn take(self: &Rc<Self>) -> Option<SemaphoreGuard> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(SemaphoreGuard(Rc::clone(self)))
    }
}

impl Drop for SemaphoreGuard {
    fn drop(&mut self) {
        let inner = &self.0;
        inner.free.set(inner.free.get() + 1);
        inner.waiters.serve(|| inner.take());
    }
}

/// This many acquires wait already, and no more may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyWaiters(pub usize);

impl fmt::Display for TooManyWaiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no more than {} acquires may wait", self.0)
    }
}

impl Error for TooManyWaiters {}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("tokens", &self.tokens())
            .field("limit", &self.limit())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl fmt::Debug for SemaphoreGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SemaphoreGuard")
    }
}
