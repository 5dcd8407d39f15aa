//! The system's clocks, and the cycle counter that the stall detector reads once an event.

use crate::sys;
use std::time::{Duration, Instant, SystemTime};
use tress_core::{Time, clock::Clock, driver::Stopwatch};

/// The system's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time(sys::monotonic())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn stopwatch(&self) -> Box<dyn Stopwatch> {
        if has_steady_cycles() {
            Box::new(Cycles {
                start: Instant::now(),
                cycles: sys::cycles(),
            })
        } else {
            Box::new(*self)
        }
    }
}

impl Stopwatch for SystemClock {
    fn ticks(&self) -> u64 {
        self.now().0
    }

    fn duration(&self, ticks: u64) -> Duration {
        Duration::from_nanos(ticks)
    }

    fn at_least(&self, duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A cycle counter, and when it was at what.
struct Cycles {
    start: Instant,
    cycles: u64,
}

impl Stopwatch for Cycles {
    #[inline]
    fn ticks(&self) -> u64 {
        sys::cycles()
    }

    /// By the rate since the start: exact enough after a millisecond, and nobody asks earlier.
    fn duration(&self, ticks: u64) -> Duration {
        let cycles = sys::cycles().saturating_sub(self.cycles).max(1);
        let nanoseconds = self.start.elapsed().as_nanos();
        let duration = u128::from(ticks) * nanoseconds / u128::from(cycles);
        Duration::from_nanos(u64::try_from(duration).unwrap_or(u64::MAX))
    }

    /// No counter in use is slower than 1 GHz.
    fn at_least(&self, duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Whether the cycle counter ticks at one rate whatever the processor does ("invariant TSC").
fn has_steady_cycles() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_and_clock_agree() {
        let clock = SystemClock;
        let watch = clock.stopwatch();
        let (start, ticks) = (Instant::now(), watch.ticks());
        while start.elapsed() < Duration::from_millis(3) {
            std::hint::spin_loop();
        }
        let measured = watch.duration(watch.ticks().saturating_sub(ticks));
        assert!(measured >= Duration::from_micros(2_500), "{measured:?}");
        assert!(measured <= start.elapsed() * 2, "{measured:?}");
    }
}
