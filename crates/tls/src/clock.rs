//! The reactor's calendar time in the form that rustls asks for. Reads no clock: whoever has a reactor sets it.

use rustls::{pki_types::UnixTime, time_provider::TimeProvider};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// The time of the handshake that is being processed, in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct WallClock(Arc<AtomicU64>);

impl WallClock {
    pub(crate) fn at(now: SystemTime) -> Self {
        let clock = Self::default();
        clock.set(now);
        clock
    }

    pub(crate) fn set(&self, now: SystemTime) {
        self.0.store(unix_seconds(now), Ordering::Relaxed);
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Seconds since 1970; 0 before.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
