//! `TimerService`: a function that is called every so often while the service runs. Knows nothing of what it calls.
//!
//! ```text
//! Stopped --start--> Running --a call failed--> Waiting --due--> Running
//!    ^                  |  \--it failed too often, or is not called again--> Over
//!    |                  +--stop--> Stopping --the last call is over--> Stopped
//! ```
//! A start while it stops leads to `Running` at its end. Source: Twisted's `application/internet.py`.

use super::{Health, Service};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Canceller, Deferred, DelayedCall, LoopingCall, Outcome, Reactor, Resolver, Result, Time,
    WeakReactor,
    restart::{Delay, Next, RestartPolicy, Restarts},
};

/// Calls a function now and then after each interval, while it runs: a handle, whose clones are the same. The function returns
/// `()`, a `Result`, or a `Deferred`, which is waited for: a call that takes longer than the interval is never made twice at once.
///
/// A call that fails or panics is logged, and what comes then says a [`RestartPolicy`]: by default it is called again after a
/// second, and later if it fails on. What ran for its threshold without failing is called again at once. (Twisted's stops for
/// good.) A stop waits for the call that is being made.
#[derive(Clone)]
pub struct TimerService(Rc<Inner>);

struct Inner {
    name: String,
    interval: Duration,
    function: RefCell<Box<dyn FnMut() -> Deferred<()>>>,
    restarts: RefCell<Restarts>,
    reactor: RefCell<Option<WeakReactor>>,
    state: RefCell<State>,
    waiting: RefCell<Vec<Resolver<()>>>,
    /// A start came while it stopped.
    again: Cell<bool>,
}

#[derive(Default)]
enum State {
    #[default]
    Stopped,
    Running {
        calls: LoopingCall,
        since: Time,
        last: Option<Canceller>,
    },
    Stopping {
        last: Option<Canceller>,
    },
    Waiting(DelayedCall),
    Over(Health),
}

impl TimerService {
    /// Will call `function` every `interval`; zero means in each turn of the loop.
    pub fn new<R: Outcome<Value = ()>>(
        name: impl Into<String>,
        interval: Duration,
        mut function: impl FnMut() -> R + 'static,
    ) -> Self {
        Self(Rc::new(Inner {
            name: name.into(),
            interval,
            function: RefCell::new(Box::new(move || function().into_deferred())),
            restarts: RefCell::new(Restarts::new(RestartPolicy::default())),
            reactor: RefCell::default(),
            state: RefCell::default(),
            waiting: RefCell::default(),
            again: Cell::new(false),
        }))
    }

    /// After a call that failed it goes on as this says.
    #[must_use]
    pub fn with_policy(self, policy: RestartPolicy) -> Self {
        self.0.restarts.replace(Restarts::new(policy));
        self
    }
}

impl Inner {
    fn begin(self: &Rc<Self>, reactor: &Reactor) {
        let own = Rc::clone(self);
        let calls = LoopingCall::new(reactor, move |_| (own.function.borrow_mut())());
        let since = reactor.now();
        self.state.replace(State::Running {
            calls: calls.clone(),
            since,
            last: None,
        });
        let ended = calls.start(self.interval);
        let canceller = ended.canceller();
        if let State::Running { last, .. } | State::Stopping { last } =
            &mut *self.state.borrow_mut()
        {
            *last = canceller;
        }
        let own = Rc::clone(self);
        ended.add_both(move |result| own.ended(result)).detach();
    }

    /// The loop has stopped, or a call has failed.
    fn ended(self: &Rc<Self>, result: Result) {
        let weak = self.reactor.borrow().clone();
        let Some(reactor) = weak.and_then(|weak| weak.upgrade()) else {
            self.state.replace(State::Stopped);
            return;
        };
        if let Err(failure) = &result {
            tracing::error!(target: "tress", "{}: {failure}", self.name);
        }
        match (self.state.take(), result) {
            (State::Running { since, .. }, Err(_)) => self.decide(&reactor, since),
            (State::Stopping { .. }, _) => {
                let waiting = self.waiting.take();
                if self.again.take() {
                    self.restarts.borrow_mut().begin_anew();
                    self.begin(&reactor);
                }
                waiting.into_iter().for_each(|waiter| waiter.resolve(()));
            }
            // The reactor has gone, or somebody was told of an old end.
            (State::Running { .. }, Ok(())) => {}
            (state @ (State::Stopped | State::Waiting(_) | State::Over(_)), _) => {
                self.state.replace(state);
            }
        }
    }

    fn decide(self: &Rc<Self>, reactor: &Reactor, since: Time) {
        let next = self
            .restarts
            .borrow_mut()
            .ended(since, reactor.now(), false);
        let state = match next {
            Next::Restart(delay) => {
                tracing::warn!(target: "tress", "{}: it is called again {}", self.name, Delay(delay));
                let own = Rc::clone(self);
                State::Waiting(reactor.call_later(delay, move || own.due()))
            }
            Next::Leave => State::Over(Health::Finished),
            Next::GiveUp(intensity) => {
                tracing::error!(
                    target: "tress",
                    "{}: it is given up, as it would be called again more often than {intensity}",
                    self.name
                );
                State::Over(Health::GivenUp)
            }
        };
        self.state.replace(state);
    }

    fn due(self: &Rc<Self>) {
        let weak = self.reactor.borrow().clone();
        let is_due = matches!(*self.state.borrow(), State::Waiting(_));
        if let (true, Some(reactor)) = (is_due, weak.and_then(|weak| weak.upgrade())) {
            self.begin(&reactor);
        }
    }
}

impl Service for TimerService {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        match &*self.0.state.borrow() {
            State::Running { .. } | State::Waiting(_) => return Ok(()),
            State::Stopping { .. } => {
                self.0.again.set(true);
                return Ok(());
            }
            State::Stopped | State::Over(_) => {}
        }
        self.0.reactor.replace(Some(reactor.downgrade()));
        self.0.restarts.borrow_mut().begin_anew();
        self.0.begin(reactor);
        Ok(())
    }

    /// Cancelling what it returns cancels what the last call waits for.
    fn stop(&mut self) -> Deferred<()> {
        self.0.again.set(false);
        let (calls, last) = match self.0.state.take() {
            State::Running { calls, last, .. } => (Some(calls), last),
            State::Stopping { last } => (None, last),
            State::Waiting(timer) => {
                timer.cancel().ok();
                return Deferred::succeed(());
            }
            State::Stopped | State::Over(_) => return Deferred::succeed(()),
        };
        self.0.state.replace(State::Stopping { last });
        let own = Rc::downgrade(&self.0);
        let (resolver, stopped) = Deferred::with_canceller(move || {
            let last = own.upgrade().and_then(|own| match &*own.state.borrow() {
                State::Stopping { last } => last.clone(),
                State::Stopped | State::Running { .. } | State::Waiting(_) | State::Over(_) => None,
            });
            if let Some(last) = last {
                last.cancel();
            }
        });
        self.0.waiting.borrow_mut().push(resolver);
        if let Some(calls) = calls {
            // It runs: the state says so.
            calls.stop().ok();
        }
        stopped
    }

    fn health(&self) -> Health {
        match &*self.0.state.borrow() {
            State::Stopped | State::Running { .. } => Health::Well,
            State::Stopping { .. } => Health::Stopping,
            State::Waiting(_) => Health::Waiting,
            State::Over(health) => *health,
        }
    }

    fn restarts(&self) -> u64 {
        self.0.restarts.borrow().total()
    }
}

impl fmt::Debug for TimerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerService({} {})", self.0.name, self.health().word())
    }
}
