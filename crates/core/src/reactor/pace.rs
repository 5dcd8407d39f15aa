//! The loop's own time and its stopwatch: when the clock must be read again, how long a wait may be without reading
//! it, and how long callbacks took. Decides nothing and calls nobody.

use crate::{driver::Stopwatch, time::Time};
use std::{cell::Cell, time::Duration};

/// The loop's own time may lag this many nanoseconds behind the clock before it is read again, so that a busy loop does
/// not read it every turn. Before a wait that ends at a timed call it is read in any case.
const FRESH: u64 = 20_000_000;

pub(super) struct Pace {
    stopwatch: Box<dyn Stopwatch>,
    /// The stopwatch when the last callback ended.
    mark: Cell<u64>,
    /// The stopwatch when this turn's wait ended.
    turn_start: Cell<u64>,
    /// The fewest ticks that a stall can be.
    stall_ticks: Cell<u64>,
    /// The clock when it was read last, and the stopwatch then.
    now: Cell<Time>,
    now_ticks: Cell<u64>,
    /// Ticks for which `now` is good enough: [`FRESH`].
    fresh_ticks: u64,
    ahead: Cell<Ahead>,
}

/// What lies ahead, as of the loop's own time.
#[derive(Clone, Copy)]
pub(super) enum Ahead {
    /// Nothing.
    Nothing,
    /// Something that is due so much later, or a little more.
    Far(Duration),
    /// Something that is due so soon that the clock must be asked.
    Near,
}

impl Pace {
    pub(super) fn new(stopwatch: Box<dyn Stopwatch>, now: Time) -> Self {
        let ticks = stopwatch.ticks();
        Self {
            mark: Cell::new(ticks),
            turn_start: Cell::new(ticks),
            stall_ticks: Cell::new(u64::MAX),
            now: Cell::new(now),
            now_ticks: Cell::new(ticks),
            fresh_ticks: stopwatch.at_least(Duration::from_nanos(FRESH)),
            ahead: Cell::new(Ahead::Nothing),
            stopwatch,
        }
    }

    /// How long a callback may hold the loop.
    pub(super) fn set_stall(&self, longest: Duration) {
        self.stall_ticks.set(self.stopwatch.at_least(longest));
    }

    /// The clock when it was read last.
    pub(super) fn now(&self) -> Time {
        self.now.get()
    }

    /// The clock was read.
    pub(super) fn set_now(&self, now: Time) {
        self.now.set(now);
        self.now_ticks.set(self.stopwatch.ticks());
    }

    /// Whether so much time has gone by, as of the last callback, that the clock must be read again.
    #[inline]
    pub(super) fn is_stale(&self) -> bool {
        self.mark.get().wrapping_sub(self.now_ticks.get()) > self.fresh_ticks
    }

    /// Works out what lies ahead as long as the loop's own time is good enough. Waits before a deadline that is far
    /// off end too early by what that time may lag, so that the last one is exact.
    pub(super) fn look_ahead(&self, deadline: Time) {
        let until = deadline.0.saturating_sub(self.now.get().0);
        self.ahead.set(match deadline {
            Time::NEVER => Ahead::Nothing,
            _ if until > 4 * FRESH => Ahead::Far(Duration::from_nanos(until - 2 * FRESH)),
            _ => Ahead::Near,
        });
    }

    #[inline]
    pub(super) fn ahead(&self) -> Ahead {
        self.ahead.get()
    }

    /// A wait has ended.
    #[inline]
    pub(super) fn begin_turn(&self) {
        let ticks = self.stopwatch.ticks();
        self.mark.set(ticks);
        self.turn_start.set(ticks);
    }

    /// Ticks from the end of the wait to the end of the last callback.
    #[inline]
    pub(super) fn turn_ticks(&self) -> u64 {
        self.mark.get().wrapping_sub(self.turn_start.get())
    }

    /// A callback that belongs to no report of the driver begins.
    #[inline]
    pub(super) fn begin_callback(&self) {
        self.mark.set(self.stopwatch.ticks());
    }

    /// A callback has ended: the ticks it took, if that may have been too long.
    #[inline]
    pub(super) fn end_callback(&self) -> Option<u64> {
        let ticks = self.stopwatch.ticks();
        let took = ticks.wrapping_sub(self.mark.get());
        // Seen from another core, the stopwatch may have gone back a little.
        let backwards = ticks < self.mark.get();
        self.mark.set(ticks);
        (took >= self.stall_ticks.get() && !backwards).then_some(took)
    }

    /// How long so many ticks are.
    pub(super) fn duration(&self, ticks: u64) -> Duration {
        self.stopwatch.duration(ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    /// Ticks set by hand, each a nanosecond.
    struct Ticks(Rc<Cell<u64>>);

    impl Stopwatch for Ticks {
        fn ticks(&self) -> u64 {
            self.0.get()
        }

        fn at_least(&self, duration: Duration) -> u64 {
            u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
        }

        fn duration(&self, ticks: u64) -> Duration {
            Duration::from_nanos(ticks)
        }
    }

    #[test]
    fn a_stopwatch_that_goes_back_shows_no_stall() {
        let ticks = Rc::new(Cell::new(1000));
        let pace = Pace::new(Box::new(Ticks(Rc::clone(&ticks))), Time(0));
        pace.set_stall(Duration::from_nanos(100));
        for (now, stall) in [
            (1099, None),
            (1199, Some(100)),
            (1198, None),
            (1298, Some(100)),
        ] {
            ticks.set(now);
            assert_eq!(pace.end_callback(), stall, "{now}");
        }
    }
}
