//! What is built on timed calls: functions called again and again, long work in small steps, deadlines for Deferreds,
//! and programs that end by themselves. Reads no clock but the reactor's. Source: Twisted's `internet/task.py`.

mod cooperator;
mod looping_call;
mod react;
mod timeout;

pub use cooperator::{CooperativeTask, Cooperator};
pub use looping_call::LoopingCall;

use crate::{
    deferred::{Deferred, Outcome},
    reactor::Reactor,
};
use std::time::Duration;

impl Reactor {
    /// Calls `function` after `delay` and gives what comes of it. Cancelled before, it is not called; cancelled after,
    /// the Deferred that it returned is.
    #[track_caller]
    pub fn defer_later<R: Outcome>(
        &self,
        delay: Duration,
        function: impl FnOnce() -> R + 'static,
    ) -> Deferred<R::Value> {
        self.after(delay).add_callback(|()| function())
    }
}

#[cfg(test)]
mod tests;
