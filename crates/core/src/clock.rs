//! `Clock`: where a driver's time comes from. Reads no system clock: that is `tress-os`'s, and tests set their own.

use crate::{driver::Stopwatch, time::Time};
use std::time::SystemTime;

/// A source of time for a driver.
pub trait Clock: 'static {
    /// Time that never goes back.
    fn now(&self) -> Time;

    /// The calendar's time.
    fn wall(&self) -> SystemTime;

    /// What the stall detector reads.
    fn stopwatch(&self) -> Box<dyn Stopwatch>;
}
