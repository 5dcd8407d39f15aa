//! Deadlines of connections: a stamp on each, and a coarse sweep over the table; no timer for a message.

use super::{Core, Entry};
use crate::{
    driver::Token,
    error::{Deadline, TimedOut},
    limits::Limits,
    time::Time,
    transport::{
        COARSE_SHIFT, Transport,
        flags::{CLOSE, CLOSING_ABOVE, HANDSHAKE, SERVER},
    },
};
use std::{rc::Rc, time::Duration};

/// Longest time between two sweeps: a deadline is met at most this much late.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// Entries looked at before the loop has its turn again.
const SWEEP_ENTRIES: usize = 4096;
/// Between two parts of one sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

impl Core {
    /// A connection with deadlines has come: somebody must look at it.
    pub(super) fn watch_deadlines(&self, limits: &Limits) {
        if self.next_sweep.get() == Time::NEVER {
            let shortest = [limits.idle, limits.handshake, limits.shutdown]
                .into_iter()
                .filter(|limit| !limit.is_zero())
                .min()
                .unwrap_or(SWEEP_EVERY);
            let every = SWEEP_EVERY.min(shortest / 4).max(SWEEP_PAUSE);
            self.next_sweep.set(self.pace.now() + every);
            self.deadline_changed();
        }
    }

    /// Looks at the next entries and ends the connections whose deadline has passed.
    pub(super) fn sweep(self: &Rc<Self>, now: Time) {
        let start = self.sweep_at.get();
        let mut late = Vec::new();
        let table = self.table.borrow();
        let end = table.len().min(start + SWEEP_ENTRIES);
        for (slot, entry) in table.iter().enumerate().take(end).skip(start) {
            if let Entry::Conn(generation, link) = entry
                && let Some(passed) = passed(link, now)
            {
                let slot = u32::try_from(slot).expect("slots are 32 bits");
                late.push((
                    Token {
                        slot,
                        generation: *generation,
                    },
                    link.clone(),
                    passed,
                ));
            }
        }
        let finished = end == table.len();
        drop(table);
        self.sweep_at.set(if finished { 0 } else { end });
        for (token, link, passed) in late {
            self.fail(token, &link, passed.into());
        }
        if self.counters.connections.get() == 0 {
            self.next_sweep.set(Time::NEVER);
        } else if finished {
            self.next_sweep.set(Time::NEVER);
            let limits = Rc::clone(&self.limits.borrow());
            self.watch_deadlines(&limits);
        } else {
            self.next_sweep.set(now + SWEEP_PAUSE);
        }
    }
}

/// The deadline of this connection that has passed, if one has.
fn passed(link: &Transport, now: Time) -> Option<TimedOut> {
    let limits = &link.0.origin.limits;
    let (deadline, after, since) = if link.has(CLOSE | CLOSING_ABOVE) {
        (Deadline::Shutdown, limits.shutdown, &link.0.since)
    } else if link.has(HANDSHAKE) {
        (Deadline::Handshake, limits.handshake, &link.0.since)
    } else {
        let own = link.0.rare_if_any().and_then(|rare| rare.idle.get());
        let default = if link.has(SERVER) {
            limits.idle
        } else {
            Duration::ZERO
        };
        (Deadline::Idle, own.unwrap_or(default), &link.0.active)
    };
    if after.is_zero() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the stamp wraps likewise")]
    let coarse = (now.0 >> COARSE_SHIFT) as u32;
    // One unit less: the stamp may have been set at the end of its unit.
    let units = coarse.wrapping_sub(since.get()).saturating_sub(1);
    let waited = Duration::from_nanos(u64::from(units) << COARSE_SHIFT);
    (waited >= after).then_some(TimedOut { deadline, after })
}
