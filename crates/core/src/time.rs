//! Points in time on a driver's own clock. Knows no operating system: a driver hands them out.

use std::{ops::Add, time::Duration};

/// Nanoseconds since an epoch that the driver chose; only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// A time that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// How long it is from `earlier` to this time; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// A delay of centuries ends at [`Time::NEVER`] and does not overflow.
    fn add(self, delay: Duration) -> Self {
        let nanoseconds = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_of_centuries_does_not_overflow() {
        assert_eq!(Time(1) + Duration::MAX, Time::NEVER);
        assert_eq!(Time(5).since(Time(7)), Duration::ZERO);
    }
}
