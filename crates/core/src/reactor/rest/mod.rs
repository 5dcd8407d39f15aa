//! Resting: how a foreign loop that turns the reactor knows when it must. Between two turns it waits for the driver's
//! descriptor and for a deadline; what its own thread asks of the reactor meanwhile shows in neither, so it is told.
//! Knows no loop.

use super::{Core, Reactor};
use crate::time::Time;
use std::{
    cell::{Cell, RefCell},
    task::Waker,
    time::Duration,
};

/// Whoever turns the reactor, while it waits.
#[derive(Default)]
pub(crate) struct Rest {
    /// What it waits for at most. Zero, which no deadline is earlier than, while nobody waits.
    until: Cell<Time>,
    waker: RefCell<Option<Waker>>,
}

impl Rest {
    fn begin(&self, until: Time, waker: Waker) {
        self.waker.replace(Some(waker));
        self.until.set(until);
    }

    /// It turns the reactor: nobody has to be told.
    pub(super) fn end(&self) {
        self.until.set(Time(0));
    }

    /// Something must be done in a turn, and at once.
    #[inline]
    pub(crate) fn asked(&self) {
        self.due(Time(0));
    }

    /// Something is due at this time: whoever waits longer is told, once.
    #[inline]
    pub(super) fn due(&self, at: Time) {
        if at < self.until.get() {
            self.wake();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        self.end();
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Reactor {
    /// For a loop that turns this reactor: how long it may wait for [`Reactor::poll_fd`] to become readable before it
    /// turns it again; zero when it must at once, `None` when nothing is due.
    ///
    /// It has to wait then, or to ask again: what is asked of the reactor from here to the next turn, on its own
    /// thread, and cannot wait so long wakes `waker`, once. Without one it makes the descriptor readable, which costs a
    /// system call. What other threads ask makes the descriptor readable in any case. One loop turns a reactor: only
    /// who asked last is woken.
    #[must_use]
    pub fn rest(&self, waker: Option<&Waker>) -> Option<Duration> {
        let core = &self.0;
        if core.has_backlog() {
            return Some(Duration::ZERO);
        }
        let deadline = core.deadline_of_host();
        let longest = core.until(deadline);
        if longest != Some(Duration::ZERO) {
            let waker = waker.map_or_else(|| core.driver.borrow().waker(), Waker::clone);
            core.shared.rest.begin(deadline, waker);
        }
        longest
    }

    /// How long until something is due; `None` when nothing is.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.0.until(self.0.deadline_of_host())
    }

    /// Whether a turn would find something to do at once.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.0.has_backlog()
    }

    /// A descriptor that becomes readable when a turn is worth while, for a foreign loop.
    #[must_use]
    pub fn poll_fd(&self) -> Option<i32> {
        self.0.driver.borrow().poll_fd()
    }
}

impl Core {
    /// The first thing that is due, here or in the driver, which sees to its own while it waits; but a foreign loop
    /// waits elsewhere.
    fn deadline_of_host(&self) -> Time {
        self.next_deadline().min(self.driver.borrow().deadline())
    }

    fn until(&self, deadline: Time) -> Option<Duration> {
        (deadline != Time::NEVER).then(|| deadline.since(self.driver.borrow().now()))
    }
}

#[cfg(test)]
mod tests;
