//! What the loop counts, and the stall detector. Prints nothing but its one warning.

use super::{Core, Entry, Reactor, pace::Pace};
use crate::{time::Time, transport::Transport};
use std::{cell::Cell, fmt, time::Duration};

/// At most one warning of a kind in this time.
const WARNING_EVERY: Duration = Duration::from_secs(1);

/// What a reactor has done and holds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Turns of the loop.
    pub turns: u64,
    /// How long turns took, without their wait.
    pub turn_durations: Histogram,
    /// Open connections.
    pub connections: usize,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Connections refused because of a limit.
    pub refused: u64,
    /// Times a port could not accept, for instance for want of descriptors.
    pub accept_errors: u64,
    /// Datagrams that came or were to be sent and were dropped, over all datagram ports.
    pub datagrams_dropped: u64,
    /// Bytes that wait to be sent, over all connections and datagram ports.
    pub queued_bytes: usize,
    /// Timed calls that wait.
    pub timers: usize,
    /// Tasks that wait.
    pub tasks: usize,
    /// Child processes that have not exited.
    pub processes: usize,
    /// Threads for jobs, busy or not. Where jobs run on the loop's own thread there is none.
    pub threads: usize,
    /// Jobs that wait for a thread.
    pub jobs_waiting: usize,
    /// Jobs that threads have taken and not finished, those that were cancelled meanwhile included.
    pub jobs_running: usize,
    /// User callbacks that failed or panicked.
    pub failures: u64,
    /// Callbacks that held the loop longer than [`Limits::stall`](crate::limits::Limits).
    pub stalls: u64,
    /// The longest of them.
    pub longest_stall: Duration,
}

/// Durations in buckets: each row is twice the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// `(below, count)`, shortest first, without rows beyond the longest.
    pub buckets: Vec<(Duration, u64)>,
}

pub(super) struct Counters {
    pub(super) turns: Cell<u64>,
    /// By the binary logarithm of the ticks.
    durations: [Cell<u64>; 64],
    pub(super) connections: Cell<usize>,
    pub(super) accepted_open: Cell<usize>,
    pub(super) accepted: Cell<u64>,
    pub(super) refused: Cell<u64>,
    pub(super) accept_errors: Cell<u64>,
    pub(super) failures: Cell<u64>,
    pub(super) processes: Cell<usize>,
    stalls: Cell<u64>,
    longest_stall: Cell<Duration>,
    stall_warned: Cell<Option<Time>>,
    pub(super) accept_warned: Cell<Option<Time>>,
    pub(super) refuse_warned: Cell<Option<Time>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            turns: Cell::default(),
            durations: [const { Cell::new(0) }; 64],
            connections: Cell::default(),
            accepted_open: Cell::default(),
            accepted: Cell::default(),
            refused: Cell::default(),
            accept_errors: Cell::default(),
            failures: Cell::default(),
            processes: Cell::default(),
            stalls: Cell::default(),
            longest_stall: Cell::default(),
            stall_warned: Cell::default(),
            accept_warned: Cell::default(),
            refuse_warned: Cell::default(),
        }
    }
}

impl Reactor {
    /// What the reactor has done and holds now. Walks over all connections.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let core = &self.0;
        let counters = &core.counters;
        let queued = |entry: &Entry| match entry {
            Entry::Conn(_, link) => link.queued_all(),
            Entry::Datagrams(_, port) => port.statistics().queued,
            Entry::Free | Entry::Port(..) | Entry::Connecting(..) | Entry::Child(..) => 0,
        };
        let jobs = core.driver.borrow().job_counts();
        Statistics {
            turns: counters.turns.get(),
            turn_durations: counters.histogram(&core.pace),
            connections: counters.connections.get(),
            accepted: counters.accepted.get(),
            refused: counters.refused.get(),
            accept_errors: counters.accept_errors.get(),
            datagrams_dropped: core.datagrams.dropped.get(),
            queued_bytes: core.table.borrow().iter().map(queued).sum(),
            timers: core.timers.borrow().len(),
            tasks: core.tasks.borrow().len(),
            processes: counters.processes.get(),
            threads: jobs.threads,
            jobs_waiting: jobs.waiting,
            jobs_running: jobs.running,
            failures: counters.failures.get(),
            stalls: counters.stalls.get(),
            longest_stall: counters.longest_stall.get(),
        }
    }
}

impl Counters {
    fn histogram(&self, pace: &Pace) -> Histogram {
        let used = self.durations.iter().rposition(|count| count.get() > 0);
        let used = used.map_or(0, |last| last + 1);
        let below = (0..64_u32).map(|log| pace.duration(1 << log));
        let counts = self.durations[..used].iter().map(Cell::get);
        Histogram {
            buckets: below.zip(counts).collect(),
        }
    }
}

impl Core {
    /// Counts the turn that is about to wait.
    #[inline]
    pub(super) fn count_turn(&self) {
        self.counters.turns.set(self.counters.turns.get() + 1);
        let ticks = self.pace.turn_ticks();
        let bucket = &self.counters.durations[(63 & (64 - ticks.leading_zeros())) as usize];
        bucket.set(bucket.get() + 1);
    }

    /// Whether the callback that just ended held the loop too long.
    #[inline]
    pub(super) fn check_stall(&self, link: &Transport) {
        if let Some(ticks) = self.pace.end_callback() {
            let protocol = link.0.protocol.try_borrow().ok();
            let protocol = protocol.as_ref().and_then(|protocol| protocol.as_ref());
            let name = protocol.map_or("a protocol", |protocol| protocol.name());
            self.stalled(&name, ticks);
        }
    }

    /// The same for a callback that belongs to no connection.
    #[inline]
    pub(crate) fn check_stall_named(&self, what: &dyn fmt::Display) {
        if let Some(ticks) = self.pace.end_callback() {
            self.stalled(what, ticks);
        }
    }

    #[cold]
    #[inline(never)]
    fn stalled(&self, what: &dyn fmt::Display, ticks: u64) {
        let took = self.pace.duration(ticks);
        let allowed = self.limits.borrow().stall;
        if took < allowed {
            return;
        }
        let counters = &self.counters;
        counters.stalls.set(counters.stalls.get() + 1);
        counters
            .longest_stall
            .set(counters.longest_stall.get().max(took));
        if self.may_warn(&counters.stall_warned) {
            let total = counters.stalls.get();
            tracing::warn!(
                target: "tress",
                "{what} held the loop for {took:?}, longer than {allowed:?} (the {total}. such callback)"
            );
        }
    }

    /// Whether a warning of this kind may be printed now.
    pub(super) fn may_warn(&self, last: &Cell<Option<Time>>) -> bool {
        let now = self.driver.borrow().now();
        let due = last
            .get()
            .is_none_or(|last| now.since(last) >= WARNING_EVERY);
        if due {
            last.set(Some(now));
        }
        due
    }
}
