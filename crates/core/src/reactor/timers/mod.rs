//! Timed calls: a heap in order of time, FIFO among equals. Reads no clock.
//!
//! A cancelled or moved call leaves its entry behind in the heap, where it is dropped when it comes up, or with all
//! the others when they are more than the calls that wait: so cancelling costs no search, and memory returns.

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
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    time::Duration,
};

/// When, and which of those at the same time.
type Key = (Time, u64);
type Function = Box<dyn FnOnce() -> Deferred<()>>;

/// Entries that may be of no use before anybody looks how many there are.
const USELESS: usize = 64;

#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    /// Calls that wait.
    waiting: usize,
    sequence: u64,
}

/// A place in the heap. It counts as long as the call still names it.
struct Entry {
    key: Key,
    call: Rc<Call>,
}

struct Call {
    state: Cell<State>,
    /// The key of its entry: earlier than the call's time when that was put off meanwhile.
    entry: Cell<Key>,
    function: Cell<Option<Function>>,
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
    call: Rc<Call>,
}

impl Timers {
    /// When the first call is due.
    pub(super) fn first(&self) -> Time {
        let first = self.heap.peek();
        first.map_or(Time::NEVER, |Reverse(entry)| entry.key.0)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// A key at this time, after all others at this time.
    fn key(&mut self, time: Time) -> Key {
        self.sequence += 1;
        (time, self.sequence)
    }

    fn add(&mut self, time: Time, function: Function) -> Rc<Call> {
        let key = self.key(time);
        let call = Rc::new(Call {
            state: Cell::new(State::Waiting(key)),
            entry: Cell::new(key),
            function: Cell::new(Some(function)),
        });
        self.waiting += 1;
        self.push(key, Rc::clone(&call));
        call
    }

    fn push(&mut self, key: Key, call: Rc<Call>) {
        self.heap.push(Reverse(Entry { key, call }));
    }

    /// The call waits no more.
    fn end(&mut self, call: &Call, state: State) {
        call.state.set(state);
        self.waiting -= 1;
        self.tidy();
    }

    fn move_to(&mut self, call: &Rc<Call>, time: Time) {
        let key = self.key(time);
        call.state.set(State::Waiting(key));
        // One that is put off keeps its entry until that comes up: many are put off again and again.
        if key < call.entry.get() {
            call.entry.set(key);
            self.push(key, Rc::clone(call));
        }
        self.tidy();
    }

    /// Leaves an entry on top that counts, and not many that do not.
    fn tidy(&mut self) {
        while let Some(Reverse(top)) = self.heap.peek() {
            if top.is_due_then() {
                break;
            }
            let Some(Reverse(Entry { key, call })) = self.heap.pop() else {
                break;
            };
            if let State::Waiting(later) = call.state.get()
                && call.entry.get() == key
            {
                call.entry.set(later);
                self.push(later, call);
            }
        }
        // Saturating: while calls are made, those of the next turn are kept outside of the heap.
        if self.heap.len().saturating_sub(self.waiting) > self.waiting.max(USELESS) {
            self.heap.retain(|Reverse(entry)| entry.counts());
        }
        let length = self.heap.len().max(USELESS);
        if self.heap.capacity() / 4 > length {
            self.heap.shrink_to(2 * length);
        }
    }

    fn take_due(&mut self, now: Time) -> Option<Entry> {
        if self.first() > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        Some(entry)
    }
}

impl Drop for Timers {
    /// Handles own their calls, and functions may own handles: taking the functions out breaks the circle.
    fn drop(&mut self) {
        for Reverse(entry) in self.heap.drain() {
            let function = entry.call.function.take();
            if catch_unwind(AssertUnwindSafe(|| drop(function))).is_err() {
                tracing::error!(target: "tress", "a timed call panicked while it was dropped");
            }
        }
    }
}

impl Entry {
    /// Whether its call waits for exactly its time.
    fn is_due_then(&self) -> bool {
        matches!(self.call.state.get(), State::Waiting(key) if key == self.key)
    }

    /// Whether its call waits, and names this entry.
    fn counts(&self) -> bool {
        matches!(self.call.state.get(), State::Waiting(_)) && self.call.entry.get() == self.key
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Entry {}

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
        let function = Box::new(move || context.run(|| function().into_deferred()));
        let call = self.0.timers.borrow_mut().add(time, function);
        self.0.deadline_changed();
        DelayedCall {
            core: Rc::downgrade(&self.0),
            call,
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
        self.change(|timers, call, _| timers.end(call, State::Cancelled))?;
        drop(self.call.function.take());
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
        match self.call.state.get() {
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
        self.change(|timers, call, (old, _)| timers.move_to(call, time(old)))
    }

    fn change(&self, f: impl FnOnce(&mut Timers, &Rc<Call>, Key)) -> Result<(), NotActive> {
        let key = match self.call.state.get() {
            State::Waiting(key) => key,
            State::Called => return Err(NotActive::AlreadyCalled),
            State::Cancelled => return Err(NotActive::AlreadyCancelled),
        };
        let core = self.core.upgrade().ok_or(NotActive::AlreadyCancelled)?;
        f(&mut core.timers.borrow_mut(), &self.call, key);
        core.deadline_changed();
        Ok(())
    }
}

impl fmt::Debug for DelayedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call.state.get() {
            State::Waiting((time, _)) => write!(f, "DelayedCall(at {time:?})"),
            State::Called => f.write_str("DelayedCall(called)"),
            State::Cancelled => f.write_str("DelayedCall(cancelled)"),
        }
    }
}

/// Makes the calls that are due; those that they ask for wait for the next turn.
pub(super) fn run_due(core: &Rc<Core>, now: Time) {
    let up_to = core.timers.borrow().sequence;
    let mut next_turn = Vec::new();
    loop {
        let due = core.timers.borrow_mut().take_due(now);
        let Some(entry) = due else { break };
        if entry.key.1 > up_to {
            next_turn.push(Reverse(entry));
            core.timers.borrow_mut().tidy();
            continue;
        }
        core.timers.borrow_mut().end(&entry.call, State::Called);
        let Some(function) = entry.call.function.take() else {
            continue;
        };
        core.pace.begin_callback();
        let result = catch_unwind(AssertUnwindSafe(function))
            .unwrap_or_else(|payload| Deferred::fail(Failure::from_panic(&*payload)));
        report(core, "a timed call", result);
        core.check_stall_named(&"a timed call");
    }
    if !next_turn.is_empty() {
        let mut timers = core.timers.borrow_mut();
        timers.heap.extend(next_turn);
        timers.tidy();
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

#[cfg(test)]
mod tests;
