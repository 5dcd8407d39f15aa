//! The timers of tokio: its wheel, by pinned boxed `Sleep`s on a runtime whose time is paused.
//!
//! A `Sleep` enters the wheel when it is polled, so each is polled once; cancelling one is dropping it. Nobody is woken:
//! the waker does nothing, so that firing is what the wheel does, without a task that runs. Deadlines are given
//! as points in time: tokio asks its clock nothing. `tokio_util`'s `DelayQueue` would be the same wheel on a slab, which
//! keeps its memory until it is told to shrink.

use super::Timers;
use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, Sleep, advance, sleep_until};

#[derive(Debug)]
pub(super) struct TokioTimers {
    runtime: Runtime,
    start: Instant,
    sleeps: Vec<Option<Pin<Box<Sleep>>>>,
}

impl TokioTimers {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let start = runtime.block_on(async { Instant::now() });
        Ok(Self {
            runtime,
            start,
            sleeps: Vec::new(),
        })
    }
}

impl Timers for TokioTimers {
    fn add(&mut self, delays: &[u32]) {
        let _inside = self.runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        self.sleeps.reserve_exact(delays.len());
        for delay in delays {
            let deadline = self.start + Duration::from_millis(u64::from(*delay));
            let mut sleep = Box::pin(sleep_until(deadline));
            let polled = sleep.as_mut().poll(&mut context);
            assert!(polled.is_pending(), "no time has passed");
            self.sleeps.push(Some(sleep));
        }
    }

    fn cancel(&mut self, places: &[u32]) {
        for place in places {
            drop(self.sleeps[*place as usize].take());
        }
    }

    fn advance(&mut self, by: Duration) {
        self.runtime.block_on(advance(by));
    }

    fn fired(&self) -> usize {
        let sleeps = self.sleeps.iter().flatten();
        sleeps.filter(|sleep| sleep.is_elapsed()).count()
    }

    fn let_go(&mut self) {
        self.sleeps = Vec::new();
    }
}
