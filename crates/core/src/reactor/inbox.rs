//! What other threads and signal handlers leave for the loop: calls, woken tasks, signals. The only part of the core
//! that is shared by threads.

use super::{Reactor, lifecycle};
use crate::{
    error::{InboxFull, ReactorGone},
    failure::Failure,
};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

type Call = Box<dyn FnOnce(&Reactor) + Send>;

pub(super) struct Inbox {
    /// Set after something was put in, cleared before it is looked at: so nothing is overlooked.
    signalled: AtomicBool,
    calls: Mutex<Vec<Call>>,
    ready: Mutex<Vec<u64>>,
    /// A bit for each signal that was raised.
    signals: AtomicU64,
    capacity: AtomicUsize,
    waker: Waker,
}

/// A handle on a reactor for other threads: `Send`, `Sync`, cheap to clone.
#[derive(Clone)]
pub struct Remote(Weak<Inbox>);

/// Why a call from another thread was not taken; gives it back.
pub enum Rejected<F> {
    /// The reactor has been dropped.
    Gone(ReactorGone, F),
    /// More calls wait than [`Limits::thread_calls`](crate::limits::Limits) allows.
    Full(InboxFull, F),
}

impl<F> fmt::Debug for Rejected<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(error, _) => error.fmt(f),
            Self::Full(error, _) => error.fmt(f),
        }
    }
}

impl Remote {
    pub(super) fn new(inbox: &Arc<Inbox>) -> Self {
        Self(Arc::downgrade(inbox))
    }

    /// Makes this call on the reactor's thread, in its next turn, after those queued before.
    ///
    /// # Errors
    /// The call itself, when the reactor has gone or too many calls wait.
    pub fn call_from_thread<F>(&self, call: F) -> Result<(), Rejected<F>>
    where
        F: FnOnce(&Reactor) + Send + 'static,
    {
        let Some(inbox) = self.0.upgrade() else {
            return Err(Rejected::Gone(ReactorGone, call));
        };
        let mut calls = lock(&inbox.calls);
        if calls.len() >= inbox.capacity.load(Ordering::Relaxed) {
            return Err(Rejected::Full(InboxFull, call));
        }
        calls.push(Box::new(call));
        drop(calls);
        inbox.signal();
        Ok(())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

/// Tells the loop of signals. Safe to use inside a signal handler: it takes no lock and no memory.
#[derive(Clone)]
pub struct SignalSender(Arc<Inbox>);

impl SignalSender {
    pub(super) fn new(inbox: &Arc<Inbox>) -> Self {
        Self(Arc::clone(inbox))
    }

    /// Signal `number` (below 64) was raised: its handlers run in the next turn, once however often it was raised.
    pub fn raise(&self, number: u32) {
        self.0
            .signals
            .fetch_or(1 << (number % 64), Ordering::AcqRel);
        self.0.signal();
    }
}

impl fmt::Debug for SignalSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignalSender")
    }
}

impl Inbox {
    pub(super) fn new(waker: Waker, capacity: usize) -> Self {
        Self {
            signalled: AtomicBool::new(false),
            calls: Mutex::default(),
            ready: Mutex::default(),
            signals: AtomicU64::new(0),
            capacity: AtomicUsize::new(capacity),
            waker,
        }
    }

    pub(super) fn set_capacity(&self, calls: usize) {
        self.capacity.store(calls, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn is_signalled(&self) -> bool {
        self.signalled.load(Ordering::Acquire)
    }

    pub(super) fn take_ready(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.ready))
    }

    /// Wakes the loop, once for all that is put in before it looks.
    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.waker.wake_by_ref();
        }
    }
}

/// Makes the calls that are there now; those that come meanwhile wait for the next turn.
pub(super) fn run_calls(reactor: &Reactor) {
    let core = &reactor.0;
    core.inbox.signalled.store(false, Ordering::Release);
    let mut signals = core.inbox.signals.swap(0, Ordering::AcqRel);
    while signals != 0 {
        let number = signals.trailing_zeros();
        signals &= signals - 1;
        lifecycle::run_signal_handlers(reactor, number);
    }
    let calls = std::mem::take(&mut *lock(&core.inbox.calls));
    for call in calls {
        core.pace.begin_callback();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(reactor))) {
            core.failed("a call from a thread", &Failure::from_panic(&*payload));
        }
        core.check_stall_named("a call from a thread");
    }
}

/// A panic while a lock was held left nothing half-done: every critical section is one push or one take.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes one task.
pub(super) struct TaskWaker {
    pub(super) task: u64,
    pub(super) inbox: Weak<Inbox>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(inbox) = self.inbox.upgrade() {
            lock(&inbox.ready).push(self.task);
            inbox.signal();
        }
    }
}
