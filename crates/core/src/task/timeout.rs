//! Deadlines for Deferreds: what is not there in time is cancelled. Knows nothing of what is waited for.
//! Source: Twisted's `Deferred.addTimeout`.

use crate::{
    deferred::{Deferred, Outcome},
    error::{Cancelled, Deadline, TimedOut},
    failure::{Failure, Result},
    reactor::Reactor,
};
use std::{cell::Cell, panic::Location, rc::Rc, time::Duration};

impl<T: 'static> Deferred<T> {
    /// Cancels it when it has no result `after` this. If the chain then ends in [`Cancelled`], that becomes
    /// [`TimedOut`]; a value or another failure stays what it is, and so does a cancel by anybody else.
    ///
    /// The timeout covers the callbacks added before it, with the Deferreds they return, and none added after. It ends
    /// with them. A result that is there already passes, even for a timeout of zero. If the reactor is dropped, no
    /// timeout comes.
    #[track_caller]
    pub fn add_timeout(self, reactor: &Reactor, after: Duration) -> Self {
        let asked = Location::caller();
        self.add_timeout_with(reactor, after, move |result, after| {
            into_timed_out(result, after, asked)
        })
    }

    /// The same, with a function for what came of the cancel and for the time it was given: what it returns goes on.
    /// It is called only when the timeout has come (Twisted's `onTimeoutCancel`).
    #[track_caller]
    pub fn add_timeout_with<R: Outcome<Value = T>>(
        self,
        reactor: &Reactor,
        after: Duration,
        on_timeout: impl FnOnce(Result<T>, Duration) -> R + 'static,
    ) -> Self {
        let waiting = match self.try_result() {
            Ok(result) => return Self::done(result),
            Err(waiting) => waiting,
        };
        let timed_out = Rc::new(Cell::new(false));
        let (canceller, came) = (waiting.canceller(), Rc::clone(&timed_out));
        let timer = reactor.call_later(after, move || {
            came.set(true);
            if let Some(canceller) = canceller {
                canceller.cancel();
            }
        });
        waiting.add_both(move |result| {
            if timed_out.get() {
                return on_timeout(result, after).into_deferred();
            }
            // It has been cancelled before only if the reactor is gone.
            timer.cancel().ok();
            Self::done(result)
        })
    }
}

/// The failure happens where the timeout was asked for: the place that says how long is long enough.
fn into_timed_out<T>(
    result: Result<T>,
    after: Duration,
    asked: &'static Location<'static>,
) -> Result<T> {
    let deadline = Deadline::Deferred;
    result.map_err(|failure| match failure.check::<Cancelled>() {
        Some(_) => Failure::happened(TimedOut { deadline, after }, asked),
        None => failure,
    })
}
