//! Run, stop and run again: system events in three phases, and a stop that ends in bounded time.
//!
//! ```text
//! Stopped --run/start--> Running --stop--> Before --triggers done--> Draining --all closed--> Stopped
//! ```
//! `Before` waits for what the before-shutdown triggers return, `Draining` for the connections and the jobs; all together
//! at most for `Limits::shutdown`. Source: Twisted's `internet/base.py`.

use super::{Core, Entry, Reactor, timers};
use crate::{
    deferred::{Deferred, Outcome},
    error::{AlreadyRunning, ConnectionLost, Deadline, JobLeftBehind, NotRunning, TimedOut},
    failure::{Failure, Result},
    time::Time,
};
use std::{
    cell::Cell,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

/// Which event a trigger waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// The reactor starts to run.
    Startup,
    /// The reactor stops.
    Shutdown,
}

/// When within the event, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// First. At shutdown everything still works, and the stop waits for what a trigger returns.
    Before,
    /// At shutdown ports and connections are closed after these.
    During,
    /// Last. At shutdown everything is closed.
    After,
}

/// Names a trigger, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerId(u64);

struct Trigger {
    id: u64,
    event: EventType,
    phase: Phase,
    function: Box<dyn FnOnce() -> Deferred<()>>,
}

#[derive(Default)]
pub(super) struct Lifecycle {
    state: State,
    triggers: Vec<Trigger>,
    last_trigger: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Stopped,
    Running,
    /// Triggers are being called.
    Busy,
    /// Waits for this many triggers.
    Before(Rc<Cell<usize>>),
    /// Waits for the connections and the jobs, or calls the last triggers.
    Draining,
}

impl Reactor {
    /// Runs the loop until `stop`. Can be called again after that.
    ///
    /// # Errors
    /// The reactor runs already, or its driver can go on no more: then everything that was open has ended, and the
    /// shutdown triggers have been called, but nobody waited for what they return.
    pub fn run(&self) -> Result {
        self.start()?;
        while self.is_running() {
            self.turn_again(None)?;
        }
        Ok(())
    }

    /// Starts without running the loop, for a host that calls `turn` itself while `is_running`; see [`Reactor::rest`].
    ///
    /// # Errors
    /// The reactor runs already.
    pub fn start(&self) -> Result {
        let mut lifecycle = self.0.lifecycle.borrow_mut();
        if !matches!(lifecycle.state, State::Stopped) {
            return Err(AlreadyRunning.into());
        }
        lifecycle.state = State::Running;
        self.0.running.set(true);
        self.0.callers.started();
        drop(lifecycle);
        for phase in [Phase::Before, Phase::During, Phase::After] {
            for result in fire(&self.0, EventType::Startup, phase) {
                timers::report(&self.0, "a startup trigger", result);
            }
        }
        Ok(())
    }

    /// Stops the loop: shutdown triggers, then all ports and connections are closed and jobs on threads are waited for,
    /// in at most [`Limits::shutdown`](crate::limits::Limits); then `run` returns.
    ///
    /// # Errors
    /// The reactor does not run, or is stopping already.
    pub fn stop(&self) -> Result {
        let core = &self.0;
        let mut lifecycle = core.lifecycle.borrow_mut();
        if !matches!(lifecycle.state, State::Running) {
            return Err(NotRunning.into());
        }
        // The triggers fire from the next turn's start, not from inside whoever called.
        lifecycle.state = State::Before(Rc::new(Cell::new(usize::MAX)));
        drop(lifecycle);
        core.changing.set(true);
        core.drain_until.set(core.driver.borrow().now());
        core.look_ahead();
        Ok(())
    }

    /// Whether `run` or `start` was called and everything that `stop` does is not yet done.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.running.get()
    }

    /// Calls `function` once when the event comes, in its phase, after those added before.
    pub fn add_system_event_trigger<R>(
        &self,
        phase: Phase,
        event: EventType,
        function: impl FnOnce() -> R + 'static,
    ) -> TriggerId
    where
        R: Outcome<Value = ()>,
    {
        let mut lifecycle = self.0.lifecycle.borrow_mut();
        lifecycle.last_trigger += 1;
        let id = lifecycle.last_trigger;
        let function = Box::new(move || function().into_deferred());
        lifecycle.triggers.push(Trigger {
            id,
            event,
            phase,
            function,
        });
        TriggerId(id)
    }

    /// Removes a trigger; false when it has been called or removed.
    #[must_use]
    pub fn remove_system_event_trigger(&self, trigger: TriggerId) -> bool {
        let mut lifecycle = self.0.lifecycle.borrow_mut();
        let place = lifecycle.triggers.iter().position(|t| t.id == trigger.0);
        let removed = place.map(|place| lifecycle.triggers.remove(place));
        drop(lifecycle);
        removed.is_some()
    }

    /// Calls `function` when the reactor runs: at once if it does.
    pub fn call_when_running<R>(&self, function: impl FnOnce() -> R + 'static)
    where
        R: Outcome<Value = ()>,
    {
        if matches!(self.0.lifecycle.borrow().state, State::Stopped) {
            self.add_system_event_trigger(Phase::After, EventType::Startup, function);
            return;
        }
        timers::report(&self.0, "a call when running", function().into_deferred());
    }
}

/// Goes on with a stop as far as it can; called each turn while one goes on. True when the reactor has stopped.
#[cold]
pub(super) fn step(reactor: &Reactor) -> bool {
    let core = &reactor.0;
    loop {
        let state = std::mem::replace(&mut core.lifecycle.borrow_mut().state, State::Busy);
        if matches!(state, State::Draining) {
            core.begin_draining();
        }
        let (state, again) = advance(core, state);
        let stopped = matches!(state, State::Stopped);
        if stopped {
            run_shutdown(core, Phase::After);
            core.changing.set(false);
            core.running.set(false);
            core.callers.stopped();
            core.drain_until.set(Time::NEVER);
            core.look_ahead();
        }
        core.lifecycle.borrow_mut().state = state;
        if stopped || !again {
            return stopped;
        }
    }
}

/// The next state of a stop, and whether that may be left at once.
fn advance(core: &Rc<Core>, state: State) -> (State, bool) {
    let now = core.driver.borrow().now();
    let late = core.drain_until.get() <= now;
    match state {
        State::Before(waiting) if waiting.get() == usize::MAX => (begin_stop(core, now), true),
        State::Before(waiting) if waiting.get() > 0 && !late => (State::Before(waiting), false),
        State::Before(_) => {
            run_shutdown(core, Phase::During);
            core.begin_draining();
            core.close_everything();
            (State::Draining, true)
        }
        State::Draining if core.is_empty() => (State::Stopped, false),
        State::Draining if late => {
            let after = core.limits.borrow().shutdown;
            core.leave_jobs_behind(&JobLeftBehind { after }.into());
            let late = TimedOut {
                deadline: Deadline::Shutdown,
                after,
            };
            let late = late.into();
            core.abort_connections(&late);
            core.abort_children(&late);
            (State::Stopped, false)
        }
        state @ (State::Stopped | State::Running | State::Busy | State::Draining) => (state, false),
    }
}

/// The driver can go on no more: a stop at once, in which nothing is waited for. Whoever is connected is told why.
#[cold]
pub(super) fn give_up(core: &Rc<Core>, error: &io::Error) {
    let was_running = core.running.get();
    if was_running {
        run_shutdown(core, Phase::Before);
        run_shutdown(core, Phase::During);
    }
    core.begin_draining();
    let error = match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    };
    let reason = Failure::from(ConnectionLost(error));
    core.leave_jobs_behind(&reason);
    core.abort_connections(&reason);
    // After this, so that children that are detached have been left to themselves.
    core.close_everything();
    core.abort_children(&reason);
    if was_running {
        run_shutdown(core, Phase::After);
    }
    core.lifecycle.borrow_mut().state = State::Stopped;
    core.running.set(false);
    core.changing.set(false);
    core.callers.stopped();
    core.drain_until.set(Time::NEVER);
}

/// Fires the before-shutdown triggers and counts those that are not done yet.
fn begin_stop(core: &Rc<Core>, now: Time) -> State {
    core.drain_until.set(now + core.limits.borrow().shutdown);
    core.look_ahead();
    let waiting = Rc::new(Cell::new(0));
    for result in fire(core, EventType::Shutdown, Phase::Before) {
        waiting.set(waiting.get() + 1);
        let (done, shared) = (Rc::clone(&waiting), Rc::clone(&core.shared));
        let result = result.add_both(move |result| {
            done.set(done.get() - 1);
            // It may come between two turns.
            shared.rest.asked();
            result
        });
        timers::report(core, "a shutdown trigger", result);
    }
    State::Before(waiting)
}

fn run_shutdown(core: &Rc<Core>, phase: Phase) {
    for result in fire(core, EventType::Shutdown, phase) {
        timers::report(core, "a shutdown trigger", result);
    }
}

/// Calls the triggers of one phase, in the order in which they were added.
fn fire(core: &Rc<Core>, event: EventType, phase: Phase) -> Vec<Deferred<()>> {
    let mut results = Vec::new();
    loop {
        let mut lifecycle = core.lifecycle.borrow_mut();
        let mut triggers = lifecycle.triggers.iter();
        let Some(place) = triggers.position(|t| t.event == event && t.phase == phase) else {
            return results;
        };
        let trigger = lifecycle.triggers.remove(place);
        drop(lifecycle);
        let result = catch_unwind(AssertUnwindSafe(trigger.function));
        results
            .push(result.unwrap_or_else(|payload| Deferred::fail(Failure::from_panic(&*payload))));
    }
}

impl Core {
    /// Whether everything has been told to close: nothing new is opened.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.lifecycle.borrow().state, State::Draining)
    }

    /// Whoever is called from now on finds the reactor closing.
    fn begin_draining(&self) {
        self.lifecycle.borrow_mut().state = State::Draining;
    }

    /// Whether a stop that goes on has a step to make in the next turn.
    pub(super) fn can_stop(&self) -> bool {
        self.changing.get()
            && match &self.lifecycle.borrow().state {
                State::Before(waiting) => matches!(waiting.get(), 0 | usize::MAX),
                State::Draining => self.is_empty(),
                State::Stopped | State::Running | State::Busy => false,
            }
    }

    /// Nothing is open any more, and no child or job is to be waited for.
    fn is_empty(&self) -> bool {
        self.counters.connections.get() == 0
            && self.counters.processes.get() == 0
            && self.jobs_are_done()
    }

    /// Stops listening and connecting, and asks every connection to close.
    fn close_everything(self: &Rc<Self>) {
        self.lookups.give_up(|| NotRunning.into());
        for token in self.tokens(|entry| !matches!(entry, Entry::Free)) {
            if let Some(link) = self.link(token) {
                // From the top, so that layers take what waits above them.
                link.top().lose_connection();
                continue;
            }
            if self.stop_child(token) {
                continue;
            }
            match self.take(token) {
                Some(Entry::Port(_, port)) => self.close_port(token, &port),
                Some(Entry::Datagrams(_, port)) => self.close_datagrams(&port),
                Some(Entry::Connecting(_, attempt)) => {
                    self.driver.borrow_mut().close(token, true);
                    attempt.give_up(NotRunning.into());
                }
                Some(Entry::Conn(..) | Entry::Child(..) | Entry::Free) | None => {}
            }
        }
    }

    /// Ends every connection that is still there.
    fn abort_connections(self: &Rc<Self>, reason: &Failure) {
        for token in self.tokens(|entry| matches!(entry, Entry::Conn(..))) {
            if let Some(link) = self.link(token) {
                self.fail(token, &link, reason.clone());
            }
        }
    }
}

impl fmt::Debug for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trigger({:?} {:?})", self.phase, self.event)
    }
}
