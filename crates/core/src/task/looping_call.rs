//! `LoopingCall`: a function called every so often, on a grid that never drifts. Knows nothing of what it calls.
//!
//! ```text
//! Idle --start--> Calling --returned--> Planned --due--> Calling ...
//!                    |                     |
//!                    +--stop--> Stopping   +--stop--> Idle
//!                                  +--returned--> Idle
//! ```
//! A failed call leads to `Idle` as well. What is planned is owned by the reactor's timer alone: when the reactor is
//! dropped, so is the plan, and the loop has stopped. Source: Twisted's `internet/task.py`.

use crate::{
    deferred::{Canceller, Deferred, Outcome, Resolver},
    error::{AlreadyLooping, NotLooping, ReactorGone},
    failure::{Failure, Result},
    reactor::{DelayedCall, Reactor, WeakReactor},
    time::Time,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

/// Calls a function again and again. Clones are the same loop; dropping them all changes nothing, as with a
/// [`DelayedCall`]: a running loop goes on.
///
/// The calls are made at `start + k * interval`, exactly: nothing adds up. While a call, or the Deferred that it
/// returned, takes longer than the interval, the next ones are skipped, never made up for.
///
/// ```
/// # use std::{cell::Cell, rc::Rc, time::Duration};
/// # use tress_core::{LoopingCall, testing::memory::Table};
/// let table = Table::new();
/// let left = Rc::new(Cell::new(3));
/// let to_count = Rc::clone(&left);
/// let countdown = LoopingCall::new(table.reactor(), move |countdown| {
///     left.update(|left| left - 1);
///     if left.get() == 0 {
///         countdown.stop()?;
///     }
///     Ok(())
/// });
/// let ended = countdown.start(Duration::from_secs(1));
/// table.advance(Duration::from_secs(2));
/// assert!(matches!(ended.try_result(), Ok(Ok(()))));
/// # assert_eq!(to_count.get(), 0);
/// ```
#[derive(Clone)]
pub struct LoopingCall(Rc<Loop>);

type Function = Box<dyn FnMut(&LoopingCall, u64) -> Deferred<()>>;

struct Loop {
    reactor: WeakReactor,
    /// Not there while it is being called.
    function: Cell<Option<Function>>,
    /// Replaced, never borrowed, while anything else is called.
    state: RefCell<State>,
}

enum State {
    /// Nothing will be called.
    Idle,
    /// The next call waits for its time.
    Planned(Run, DelayedCall),
    /// The function runs, or what it returned is waited for: that cancels it.
    Calling(Run, Option<Canceller>),
    /// The same, and no further call will be made.
    Stopping(Resolver<()>, Option<Canceller>),
}

/// From a start to a stop.
struct Run {
    resolver: Resolver<()>,
    grid: Grid,
}

impl LoopingCall {
    /// A loop that does not run yet. `function` gets the loop itself, to stop or reset it, and returns `()`, a `Result`
    /// or a `Deferred`, which is waited for before the next call is planned.
    pub fn new<R: Outcome<Value = ()>>(
        reactor: &Reactor,
        mut function: impl FnMut(&Self) -> R + 'static,
    ) -> Self {
        Self::with_count(reactor, move |own, _| function(own))
    }

    /// The same for a function that is also told how many calls should have been made since its last one: 1 when
    /// everything is in time, more when calls were skipped, always 1 when the interval is zero. So the sum is the
    /// number of intervals that have passed.
    pub fn with_count<R: Outcome<Value = ()>>(
        reactor: &Reactor,
        mut function: impl FnMut(&Self, u64) -> R + 'static,
    ) -> Self {
        Self(Rc::new(Loop {
            reactor: reactor.downgrade(),
            function: Cell::new(Some(Box::new(move |own, count| {
                function(own, count).into_deferred()
            }))),
            state: RefCell::new(State::Idle),
        }))
    }

    /// Calls the function now and then after each `interval`; zero means each turn of the loop.
    ///
    /// The Deferred fires when the loop has stopped: after [`LoopingCall::stop`], or because the reactor was dropped.
    /// It fails with what a call fails with, a panic included, and the loop has stopped then too. Cancelling it stops
    /// the loop and cancels what the last call waits for. It fails with [`AlreadyLooping`] when the loop runs, or the
    /// last call before a stop is not over.
    #[track_caller]
    pub fn start(&self, interval: Duration) -> Deferred<()> {
        self.begin(interval, true)
    }

    /// The same, but the first call is made after one interval.
    #[track_caller]
    pub fn start_later(&self, interval: Duration) -> Deferred<()> {
        self.begin(interval, false)
    }

    /// Makes no further call. What `start` returned fires: at once, or after the call that is being made, when the
    /// Deferred that this returned has fired.
    ///
    /// # Errors
    /// It does not run, or has been stopped.
    pub fn stop(&self) -> Result<(), NotLooping> {
        match self.0.take_state() {
            State::Planned(run, timer) => {
                timer.cancel().ok();
                run.resolver.resolve(());
                Ok(())
            }
            State::Calling(run, pending) => {
                self.0.set(State::Stopping(run.resolver, pending));
                Ok(())
            }
            state @ (State::Idle | State::Stopping(..)) => {
                self.0.set(state);
                Err(NotLooping)
            }
        }
    }

    /// Starts the grid anew: the next call is made one interval from now, and its count is 1. Inside a call, too.
    ///
    /// # Errors
    /// It does not run, or has been stopped.
    pub fn reset(&self) -> Result<(), NotLooping> {
        let now = self.0.reactor.upgrade().ok_or(NotLooping)?.now();
        match &mut *self.0.state.borrow_mut() {
            State::Planned(run, timer) => {
                run.grid.restart(now);
                timer.reset(run.grid.until_next(now)).ok();
                Ok(())
            }
            State::Calling(run, _) => {
                run.grid.restart(now);
                Ok(())
            }
            State::Idle | State::Stopping(..) => Err(NotLooping),
        }
    }

    /// Whether a further call will be made: from the start until a stop or a failure.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(
            *self.0.state.borrow(),
            State::Planned(..) | State::Calling(..)
        )
    }

    #[track_caller]
    fn begin(&self, interval: Duration, at_once: bool) -> Deferred<()> {
        if !matches!(*self.0.state.borrow(), State::Idle) {
            return Deferred::fail(AlreadyLooping);
        }
        let Some(reactor) = self.0.reactor.upgrade() else {
            return Deferred::fail(ReactorGone);
        };
        let own = Rc::downgrade(&self.0);
        let (resolver, ended) = Deferred::with_canceller(move || {
            if let Some(own) = own.upgrade() {
                own.cancel();
            }
        });
        let grid = Grid::new(reactor.now(), interval, at_once);
        let run = Run { resolver, grid };
        if at_once {
            self.0.call(&reactor, run);
        } else {
            self.0.plan(run);
        }
        ended
    }
}

impl Loop {
    fn take_state(&self) -> State {
        self.state.replace(State::Idle)
    }

    fn set(&self, state: State) {
        self.state.replace(state);
    }

    fn plan(self: &Rc<Self>, run: Run) {
        let Some(reactor) = self.reactor.upgrade() else {
            return run.resolver.resolve(());
        };
        let delay = run.grid.until_next(reactor.now());
        let due = Due(Some(Rc::clone(self)));
        let timer = reactor.call_later(delay, move || due.come());
        self.set(State::Planned(run, timer));
    }

    fn call(self: &Rc<Self>, reactor: &Reactor, mut run: Run) {
        let count = run.grid.count(reactor.now());
        self.set(State::Calling(run, None));
        let mut function = self.function.take().expect("one call is made at a time");
        let own = LoopingCall(Rc::clone(self));
        let returned = catch_unwind(AssertUnwindSafe(|| function(&own, count)))
            .unwrap_or_else(|payload| Deferred::fail(Failure::from_panic(&*payload)));
        self.function.set(Some(function));
        match returned.try_result() {
            Ok(result) => self.returned(result),
            Err(waiting) => self.wait_for(waiting),
        }
    }

    fn wait_for(self: &Rc<Self>, waiting: Deferred<()>) {
        let canceller = waiting.canceller();
        let mut cancelled = false;
        match &mut *self.state.borrow_mut() {
            State::Calling(_, pending) => *pending = canceller.clone(),
            State::Stopping(resolver, pending) => {
                *pending = canceller.clone();
                cancelled = resolver.is_cancelled();
            }
            State::Idle | State::Planned(..) => {}
        }
        let own = Rc::clone(self);
        waiting
            .add_both(move |result| own.returned(result))
            .detach();
        if let (true, Some(canceller)) = (cancelled, canceller) {
            canceller.cancel();
        }
    }

    /// The call is over, and what it waited for has come.
    fn returned(self: &Rc<Self>, result: Result) {
        match (self.take_state(), result) {
            (State::Calling(run, _), Ok(())) => self.plan(run),
            (State::Calling(run, _), Err(failure)) => run.resolver.fail(failure),
            (State::Stopping(resolver, _), result) => resolver.fire(result),
            (state @ (State::Idle | State::Planned(..)), _) => self.set(state),
        }
    }

    /// Whoever waits for the end does so no more: it fails as cancelled, unless what the last call waits for gives a
    /// result at once.
    fn cancel(&self) {
        match self.take_state() {
            State::Planned(run, timer) => {
                timer.cancel().ok();
                drop(run);
            }
            State::Calling(Run { resolver, .. }, pending) | State::Stopping(resolver, pending) => {
                self.set(State::Stopping(resolver, pending.clone()));
                if let Some(pending) = pending {
                    pending.cancel();
                }
            }
            State::Idle => {}
        }
    }
}

/// What a timer holds for a loop.
struct Due(Option<Rc<Loop>>);

impl Due {
    fn come(mut self) {
        let Some(own) = self.0.take() else { return };
        match (own.take_state(), own.reactor.upgrade()) {
            (State::Planned(run, _), Some(reactor)) => own.call(&reactor, run),
            (state, _) => own.set(state),
        }
    }
}

impl Drop for Due {
    /// The timer was cancelled, or dropped together with the reactor. Only then is the loop still planned.
    fn drop(&mut self) {
        let Some(own) = self.0.take() else { return };
        match own.take_state() {
            State::Planned(run, _) => run.resolver.resolve(()),
            state @ (State::Idle | State::Calling(..) | State::Stopping(..)) => own.set(state),
        }
    }
}

/// The points in time `start + k * interval`, in whole nanoseconds. Knows which of them have been counted.
struct Grid {
    start: Time,
    interval: u64,
    /// Points up to the start itself: one when that is a point, too.
    at_start: u64,
    counted: u64,
}

impl Grid {
    fn new(start: Time, interval: Duration, at_once: bool) -> Self {
        Self {
            start,
            interval: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            at_start: u64::from(at_once),
            counted: 0,
        }
    }

    fn restart(&mut self, now: Time) {
        self.start = now;
        self.at_start = 0;
        self.counted = 0;
    }

    /// Time since the start.
    fn elapsed(&self, now: Time) -> u64 {
        now.0.saturating_sub(self.start.0)
    }

    /// How many points have passed since this was asked last.
    fn count(&mut self, now: Time) -> u64 {
        let Some(intervals) = self.elapsed(now).checked_div(self.interval) else {
            return 1;
        };
        let passed = intervals.saturating_add(self.at_start);
        passed - std::mem::replace(&mut self.counted, passed)
    }

    /// How long it is until the first point after `now`.
    fn until_next(&self, now: Time) -> Duration {
        let into = self.elapsed(now).checked_rem(self.interval);
        Duration::from_nanos(into.map_or(0, |into| self.interval - into))
    }
}

impl fmt::Debug for LoopingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.0.state.borrow() {
            State::Idle => "LoopingCall(stopped)",
            State::Planned(..) => "LoopingCall(waiting for its time)",
            State::Calling(..) => "LoopingCall(calling)",
            State::Stopping(..) => "LoopingCall(stopping)",
        })
    }
}
