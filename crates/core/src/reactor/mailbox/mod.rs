//! `Mailbox`: what other threads and signal handlers leave for the loop. But for plain locks all that threads share here;
//! it knows no reactor and runs nothing, so that models can try every order of what threads do to it.

use super::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, lock};
use std::{
    mem,
    sync::{Arc, Weak},
    task::{Wake, Waker},
};

/// Calls of type `C`, woken tasks and raised signals.
pub(super) struct Mailbox<C> {
    /// Set after something was put in, cleared before it is looked at: so nothing is overlooked.
    signalled: AtomicBool,
    calls: Mutex<Vec<C>>,
    /// Woken tasks, each once: as many as there are tasks at most.
    ready: Mutex<Vec<u64>>,
    /// A bit for each signal that was raised.
    signals: AtomicU64,
    capacity: AtomicUsize,
    waker: Waker,
}

/// The numbers of raised signals, and the calls, in the order in which they came.
pub(super) struct Contents<C> {
    pub(super) signals: Vec<u32>,
    pub(super) calls: Vec<C>,
}

impl<C> Mailbox<C> {
    /// `waker` ends the loop's wait; up to `capacity` calls may be in it at once.
    pub(super) fn new(waker: Waker, capacity: usize) -> Self {
        Self {
            signalled: AtomicBool::new(false),
            calls: Mutex::new(Vec::new()),
            ready: Mutex::new(Vec::new()),
            signals: AtomicU64::new(0),
            capacity: AtomicUsize::new(capacity),
            waker,
        }
    }

    pub(super) fn set_capacity(&self, calls: usize) {
        self.capacity.store(calls, Ordering::Relaxed);
    }

    /// Puts in what `call` makes, unless there are too many: then it is not asked.
    pub(super) fn put(&self, call: impl FnOnce() -> C) -> bool {
        let mut calls = lock(&self.calls);
        if calls.len() >= self.capacity.load(Ordering::Relaxed) {
            return false;
        }
        calls.push(call());
        drop(calls);
        self.signal();
        true
    }

    /// Puts one in however many there are.
    pub(super) fn put_anyway(&self, call: C) {
        lock(&self.calls).push(call);
        self.signal();
    }

    /// Signal `number` was raised. Takes no lock and no memory.
    pub(super) fn raise(&self, number: u32) {
        self.signals.fetch_or(1 << (number % 64), Ordering::AcqRel);
        self.signal();
    }

    #[inline]
    pub(super) fn is_signalled(&self) -> bool {
        self.signalled.load(Ordering::Acquire)
    }

    /// Takes out what is there now, but for the woken tasks.
    pub(super) fn open(&self) -> Contents<C> {
        // A swap, not a store: whoever signalled before did so before the calls are looked at.
        self.signalled.swap(false, Ordering::AcqRel);
        let mut raised = self.signals.swap(0, Ordering::AcqRel);
        let mut signals = Vec::new();
        while raised != 0 {
            signals.push(raised.trailing_zeros());
            raised &= raised - 1;
        }
        let calls = mem::take(&mut *lock(&self.calls));
        Contents { signals, calls }
    }

    /// Takes out the woken tasks.
    pub(super) fn take_ready(&self) -> Vec<u64> {
        mem::take(&mut *lock(&self.ready))
    }

    /// Wakes the loop, once for all that is put in before it looks.
    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.waker.wake_by_ref();
        }
    }
}

/// Wakes one task: puts it into the mailbox, once however often it is woken before it runs.
pub(super) struct TaskWaker<C> {
    task: u64,
    queued: AtomicBool,
    mailbox: Weak<Mailbox<C>>,
}

impl<C> TaskWaker<C> {
    pub(super) fn new(task: u64, mailbox: &Arc<Mailbox<C>>) -> Self {
        Self {
            task,
            queued: AtomicBool::new(false),
            mailbox: Arc::downgrade(mailbox),
        }
    }

    /// The task is about to run: what wakes it from now on wakes it again.
    pub(super) fn runs(&self) {
        // A swap, not a store: it must see what was written before the wakes that it swallows.
        self.queued.swap(false, Ordering::AcqRel);
    }
}

impl<C: Send + 'static> Wake for TaskWaker<C> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(mailbox) = self.mailbox.upgrade() {
            lock(&mailbox.ready).push(self.task);
            mailbox.signal();
        }
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod models;
