//! Timed calls: a map in order of time, FIFO among equals, exact in memory. Reads no clock.

use super::{Core, Reactor};
use crate::{
    context::Context,
    deferred::{Deferred, Outcome},
    error::NotActive,
    failure::{Failure, Result},
    time::Time,
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    time::Duration,
};

/// When, and which of those at the same time.
type Key = (Time, u64);

#[derive(Default)]
pub(super) struct Timers {
    calls: BTreeMap<Key, Call>,
    sequence: u64,
}

struct Call {
    state: Rc<Cell<State>>,
    function: Box<dyn FnOnce() -> Deferred<()>>,
}

#[derive(Clone, Copy)]
enum State {
    Waiting(Key),
    Called,
    Cancelled,
}

/// A timed call that can be cancelled or moved. Dropping it changes nothing.
#[derive(Clone)]
pub struct DelayedCall {
    core: Weak<Core>,
    state: Rc<Cell<State>>,
}

impl Timers {
    pub(super) fn first(&self) -> Time {
        let first = self.calls.first_key_value();
        first.map_or(Time::NEVER, |((time, _), _)| *time)
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// A key at this time, after all others at this time.
    fn key(&mut self, time: Time) -> Key {
        self.sequence += 1;
        (time, self.sequence)
    }

    fn take_due(&mut self, now: Time, up_to: u64) -> Option<Call> {
        let due = self.calls.range(..=(now, u64::MAX));
        let due = due
            .map(|(key, _)| *key)
            .find(|(_, sequence)| *sequence <= up_to)?;
        self.calls.remove(&due)
    }
}

impl Reactor {
    /// Calls `function` once, `delay` from now, unless it is cancelled. Calls at the same time run in the order in
    /// which they were asked for. What it returns is `()`, a `Result` or a `Deferred`; a failure is logged.
    pub fn call_later<R>(
        &self,
        delay: Duration,
        function: impl FnOnce() -> R + 'static,
    ) -> DelayedCall
    where
        R: Outcome<Value = ()>,
    {
        let time = self.now() + delay;
        let context = Context::current();
        let mut timers = self.0.timers.borrow_mut();
        let key = timers.key(time);
        let state = Rc::new(Cell::new(State::Waiting(key)));
        let call = Call {
            state: Rc::clone(&state),
            function: Box::new(move || context.run(|| function().into_deferred())),
        };
        timers.calls.insert(key, call);
        drop(timers);
        self.0.deadline_changed();
        DelayedCall {
            core: Rc::downgrade(&self.0),
            state,
        }
    }

    /// Fires after `delay`; cancelling it cancels the timed call.
    #[track_caller]
    pub fn after(&self, delay: Duration) -> Deferred<()> {
        let call: Rc<Cell<Option<DelayedCall>>> = Rc::default();
        let to_cancel = Rc::clone(&call);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            if let Some(call) = to_cancel.take() {
                call.cancel().ok();
            }
        });
        call.set(Some(self.call_later(delay, move || resolver.resolve(()))));
        deferred
    }
}

impl DelayedCall {
    /// Does not make the call.
    ///
    /// # Errors
    /// It was made or cancelled before.
    pub fn cancel(&self) -> Result<(), NotActive> {
        let call = self.change(|timers, key| timers.calls.remove(&key))?;
        self.state.set(State::Cancelled);
        drop(call);
        Ok(())
    }

    /// Makes the call `delay` from now instead.
    ///
    /// # Errors
    /// It was made or cancelled before.
    pub fn reset(&self, delay: Duration) -> Result<(), NotActive> {
        let now = self
            .core
            .upgrade()
            .map_or(Time::NEVER, |core| Reactor(core).now());
        self.move_to(|_| now + delay)
    }

    /// Makes the call `delay` later than it was to be made.
    ///
    /// # Errors
    /// It was made or cancelled before.
    pub fn delay(&self, delay: Duration) -> Result<(), NotActive> {
        self.move_to(|time| time + delay)
    }

    /// When it is to be made.
    #[must_use]
    pub fn time(&self) -> Option<Time> {
        match self.state.get() {
            State::Waiting((time, _)) => Some(time),
            State::Called | State::Cancelled => None,
        }
    }

    /// Whether it has been neither made nor cancelled.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.time().is_some()
    }

    fn move_to(&self, time: impl FnOnce(Time) -> Time) -> Result<(), NotActive> {
        self.change(|timers, key| {
            if let Some(call) = timers.calls.remove(&key) {
                let key = timers.key(time(key.0));
                call.state.set(State::Waiting(key));
                timers.calls.insert(key, call);
            }
        })
    }

    fn change<R>(&self, f: impl FnOnce(&mut Timers, Key) -> R) -> Result<R, NotActive> {
        let State::Waiting(key) = self.state.get() else {
            return Err(match self.state.get() {
                State::Cancelled => NotActive::AlreadyCancelled,
                State::Called | State::Waiting(_) => NotActive::AlreadyCalled,
            });
        };
        let core = self.core.upgrade().ok_or(NotActive::AlreadyCancelled)?;
        let result = f(&mut core.timers.borrow_mut(), key);
        core.deadline_changed();
        Ok(result)
    }
}

impl fmt::Debug for DelayedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state.get() {
            State::Waiting((time, _)) => write!(f, "DelayedCall(at {time:?})"),
            State::Called => f.write_str("DelayedCall(called)"),
            State::Cancelled => f.write_str("DelayedCall(cancelled)"),
        }
    }
}

/// Makes the calls that are due; those that they ask for wait for the next turn.
pub(super) fn run_due(core: &Rc<Core>, now: Time) {
    let up_to = core.timers.borrow().sequence;
    loop {
        let Some(call) = core.timers.borrow_mut().take_due(now, up_to) else {
            return;
        };
        call.state.set(State::Called);
        core.pace.begin_callback();
        let result = catch_unwind(AssertUnwindSafe(call.function))
            .unwrap_or_else(|payload| Deferred::fail(Failure::from_panic(&*payload)));
        report(core, "a timed call", result);
        core.check_stall_named(&"a timed call");
    }
}

/// Counts and logs a failure, now or when it comes.
pub(super) fn report(core: &Rc<Core>, what: &'static str, result: Deferred<()>) {
    let weak = Rc::downgrade(core);
    match result.try_result() {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => core.failed(what, &failure),
        Err(waiting) => waiting
            .add_errback(move |failure| {
                if let Some(core) = weak.upgrade() {
                    core.failed(what, &failure);
                }
                Ok(())
            })
            .detach(),
    }
}
