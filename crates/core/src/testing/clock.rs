//! A clock that moves only when a test says so.

use crate::{clock::Clock, driver::Stopwatch, time::Time};
use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, SystemTime},
};

/// Time set by hand; clones are the same clock. The calendar starts at the UNIX epoch.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Rc<Cell<Time>>);

impl ManualClock {
    /// A clock at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets this much time pass.
    pub fn advance(&self, by: Duration) {
        self.0.set(self.0.get() + by);
    }

    /// Goes to a time, if that is later.
    pub fn advance_to(&self, time: Time) {
        self.0.set(self.0.get().max(time));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        self.0.get()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0.get().0)
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        Box::new(self.clone())
    }
}

impl Stopwatch for ManualClock {
    fn ticks(&self) -> u64 {
        self.0.get().0
    }

    fn duration(&self, ticks: u64) -> Duration {
        Duration::from_nanos(ticks)
    }

    fn at_least(&self, duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }
}
