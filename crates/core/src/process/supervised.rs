//! `Supervised`: a child process that is started again when it ends, as a policy says, and stopped in bounded time. Knows
//! nothing of what the child does: its owner makes a protocol for each.
//!
//! ```text
//! Stopped --start--> Starting --spawned--> Running --it ended--> Waiting --due--> Starting
//!                       |                     |  \--it ended, and that is all--> Over
//!                       |                     +--stop--> Stopping --it ended--> Stopped
//!                       +--could not be: Stopped, and after the first time Waiting or Over
//! ```
//! A start while it stops leads to `Waiting` at its end. A child has ended when its pipes are closed, too; what somebody
//! else still has open then is closed after [`LAST_WORDS`]. Source: Twisted's `runner/procmon.py`.

use super::{Child, Command, Process, ProcessDone, ProcessProtocol};
use crate::{
    deferred::{Deferred, Resolver},
    error::{NotRunning, ReactorGone},
    failure::{Failure, Result},
    reactor::{DelayedCall, EventType, Phase, Reactor, TriggerId, WeakReactor},
    restart::{Delay, Next, RestartPolicy, Restarts},
    time::Time,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::{Rc, Weak},
    time::Duration,
};

/// How long the pipes of a child that has exited are read, if something that it has started keeps them open.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a child may take to end after `SIGTERM`: as Twisted's `killTime`.
pub const KILL_TIME: Duration = Duration::from_secs(5);

/// A child process that is kept running: a handle, whose clones are the same. Dropping it changes nothing, stopping it does.
///
/// Whoever owns it makes a [`ProcessProtocol`] for each child, which hears and says all that the child does, its start
/// (`connection_made`) and its end (`process_ended`) included; and may be told what becomes of it by
/// [`Supervised::on_event`]. What is decided is logged under its name. A reactor that stops, stops the child and starts none.
///
/// ```
/// use std::time::Duration;
/// use tress_core::{
///     ProcessProtocol, Process, Reactor, Result,
///     process::{Command, LineLog, Supervised},
///     restart::{Intensity, RestartPolicy},
/// };
///
/// /// Asks at the child's standard input, hears answers at its standard output; what it complains of is logged.
/// struct Asking(LineLog);
///
/// impl ProcessProtocol for Asking {
///     fn connection_made(&mut self, process: &Process) -> Result {
///         process.write(b"hello\n")
///     }
///
///     fn err_received(&mut self, _: &Process, data: &[u8]) -> Result {
///         self.0.received(data);
///         Ok(())
///     }
/// }
///
/// fn begin(reactor: &Reactor) -> Result<Supervised> {
///     let command = Command::new("plugin").inherit_environment();
///     let child = Supervised::new(reactor, "plugin", command, || Asking(LineLog::new("plugin")))
///         .with_policy(RestartPolicy {
///             intensity: Some(Intensity { restarts: 5, period: Duration::from_secs(60) }),
///             ..RestartPolicy::default()
///         });
///     child.start()?;
///     Ok(child)
/// }
/// ```
#[derive(Clone)]
pub struct Supervised(Rc<Inner>);

/// What has become of a supervised child.
#[derive(Clone, Debug)]
pub enum ChildEvent {
    /// It was started. Its protocol hears of that in the next turn.
    Started(Process),
    /// It has ended, or could not be started again. Its protocol has been told.
    Ended {
        /// [`ProcessDone`], [`ProcessTerminated`](super::ProcessTerminated), or why it could not be started.
        reason: Failure,
        /// What comes next; `None` when it was stopped.
        next: Option<Next>,
    },
}

/// What a supervised child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// There is none and will be none.
    Stopped,
    /// It runs.
    Running,
    /// It has ended, and the time until it is started again is not over.
    Waiting,
    /// It was told to end.
    Stopping,
    /// It has ended as it was to.
    Finished,
    /// It was started again too often.
    GivenUp,
}

type Listener = Rc<dyn Fn(&Supervised, &ChildEvent)>;

struct Inner {
    reactor: WeakReactor,
    name: String,
    command: Command,
    make: Box<dyn Fn() -> Box<dyn ProcessProtocol>>,
    listener: RefCell<Option<Listener>>,
    kill_time: Cell<Duration>,
    restarts: RefCell<Restarts>,
    /// When the state became what it is.
    changed: Cell<Time>,
    /// Replaced, never borrowed, while anything else is called.
    state: RefCell<State>,
    /// Tells one that waits of a reactor that stops.
    trigger: Cell<Option<TriggerId>>,
    /// They wait for the end of the child that is being stopped.
    waiting: RefCell<Vec<Resolver<()>>>,
}

#[derive(Default)]
enum State {
    #[default]
    Stopped,
    /// Its protocol is being made, or the system starts it.
    Starting,
    Running {
        child: Weak<Child>,
        since: Time,
    },
    /// The reactor's timer owns what will be done.
    Waiting(DelayedCall),
    Stopping {
        child: Weak<Child>,
        /// It was started again meanwhile.
        again: bool,
    },
    Over(ChildState),
}

impl Supervised {
    /// What will be started by `command`, and called `name` in the log. `make` makes the protocol of each child.
    pub fn new<P: ProcessProtocol>(
        reactor: &Reactor,
        name: impl Into<String>,
        command: Command,
        make: impl Fn() -> P + 'static,
    ) -> Self {
        Self(Rc::new(Inner {
            reactor: reactor.downgrade(),
            name: name.into(),
            command,
            make: Box::new(move || Box::new(make())),
            listener: RefCell::default(),
            kill_time: Cell::new(KILL_TIME),
            restarts: RefCell::new(Restarts::new(RestartPolicy::default())),
            changed: Cell::new(reactor.now()),
            state: RefCell::default(),
            trigger: Cell::default(),
            waiting: RefCell::default(),
        }))
    }

    /// Starts it again as this says, from now on.
    #[must_use]
    pub fn with_policy(self, policy: RestartPolicy) -> Self {
        self.0.restarts.replace(Restarts::new(policy));
        self
    }

    /// Gives it so long to end after `SIGTERM`; then it is killed.
    #[must_use]
    pub fn with_kill_time(self, kill_time: Duration) -> Self {
        self.0.kill_time.set(kill_time);
        self
    }

    /// Tells `listener` what becomes of it. It may start and stop it from there.
    #[must_use]
    pub fn on_event(self, listener: impl Fn(&Self, &ChildEvent) + 'static) -> Self {
        self.0.listener.replace(Some(Rc::new(listener)));
        self
    }

    /// Starts it, and nothing that it failed at before counts any more. Does nothing where it runs. One that waits need not wait
    /// any longer than to the next turn; one that is being stopped is started after its end.
    ///
    /// # Errors
    /// It cannot be started ([`SpawnError`](super::SpawnError)): it is what it was then.
    pub fn start(&self) -> Result {
        match &mut *self.0.state.borrow_mut() {
            State::Starting | State::Running { .. } => return Ok(()),
            State::Stopping { again, .. } => {
                *again = true;
                return Ok(());
            }
            State::Waiting(timer) => {
                self.0.restarts.borrow_mut().begin_anew();
                timer.reset(Duration::ZERO).ok();
                return Ok(());
            }
            State::Stopped | State::Over(_) => {}
        }
        let before = self.state();
        self.0.restarts.borrow_mut().begin_anew();
        self.0.begin().inspect_err(|_| {
            if let (ChildState::Stopped, ChildState::Finished | ChildState::GivenUp) =
                (self.state(), before)
            {
                self.0.set(State::Over(before));
            }
        })
    }

    /// Starts it after this time, unless it is started or stopped before; does nothing where it runs. That it cannot be started
    /// is then no error, but a life that was short.
    pub fn start_later(&self, delay: Duration) {
        let rests = matches!(*self.0.state.borrow(), State::Stopped | State::Over(_));
        if let (true, Some(reactor)) = (rests, self.0.reactor.upgrade()) {
            self.0.restarts.borrow_mut().begin_anew();
            self.0.wait(&reactor, delay);
        }
    }

    /// Stops it: `SIGTERM`, and after the time to kill `SIGKILL`. Fires when it has ended, at once where there is none. It is not
    /// started again until somebody does that.
    #[track_caller]
    pub fn stop(&self) -> Deferred<()> {
        self.0.stop(false)
    }

    /// Stops it and starts it again; starts it where it does not run.
    ///
    /// # Errors
    /// It did not run and cannot be started.
    pub fn restart(&self) -> Result {
        self.0.stop(true).detach();
        self.start()
    }

    /// The child, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        match &*self.0.state.borrow() {
            State::Running { child, .. } | State::Stopping { child, .. } => {
                child.upgrade().map(Process)
            }
            State::Stopped | State::Starting | State::Waiting(_) | State::Over(_) => None,
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> ChildState {
        match &*self.0.state.borrow() {
            State::Stopped => ChildState::Stopped,
            State::Starting | State::Running { .. } => ChildState::Running,
            State::Waiting(_) => ChildState::Waiting,
            State::Stopping { .. } => ChildState::Stopping,
            State::Over(state) => *state,
        }
    }

    /// For how long it has been doing that; since it was made, if nothing was done with it.
    #[must_use]
    pub fn age(&self) -> Duration {
        let reactor = self.0.reactor.upgrade();
        reactor.map_or(Duration::ZERO, |reactor| {
            reactor.now().since(self.0.changed.get())
        })
    }

    /// How often it was started again because it had ended.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.0.restarts.borrow().total()
    }

    /// What logs call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl Inner {
    /// Starts a child, where there is none.
    fn begin(self: &Rc<Self>) -> Result {
        self.set(State::Starting);
        let made = catch_unwind(AssertUnwindSafe(|| (self.make)()));
        let made = made.map_err(|payload| Failure::from_panic(&*payload));
        let spawned = made.and_then(|protocol| {
            let reactor = self.reactor.upgrade().ok_or(ReactorGone)?;
            let watched = Watched {
                own: Rc::clone(self),
                protocol,
                exited: None,
                last_words: None,
            };
            let process = reactor.spawn_process(&self.command, watched)?;
            Ok((process, reactor.now()))
        });
        let (process, since) = match spawned {
            Ok(spawned) => spawned,
            Err(failure) => {
                self.set(State::Stopped);
                self.tell_waiting();
                return Err(failure);
            }
        };
        let name = &self.name;
        tracing::info!(target: "tress", "{name}: started, process {}", process.id());
        let child = Rc::downgrade(&process.0);
        // Who makes a protocol may have stopped it.
        let stops = match &mut *self.state.borrow_mut() {
            State::Stopping { child: unknown, .. } => {
                *unknown = child;
                true
            }
            state => {
                *state = State::Running { child, since };
                false
            }
        };
        if stops {
            process.0.stop(self.kill_time.get());
        }
        self.tell(&ChildEvent::Started(process));
        Ok(())
    }

    /// Whoever waits for the end of it, waits from now on.
    #[track_caller]
    fn stop(&self, again: bool) -> Deferred<()> {
        let child = match self.state.take() {
            State::Starting => Weak::new(),
            State::Running { child, .. } | State::Stopping { child, .. } => child,
            State::Waiting(timer) => {
                timer.cancel().ok();
                self.set(State::Stopped);
                return Deferred::succeed(());
            }
            State::Stopped | State::Over(_) => return Deferred::succeed(()),
        };
        let running = child.upgrade();
        self.set(State::Stopping { child, again });
        let (resolver, stopped) = Deferred::pair();
        self.waiting.borrow_mut().push(resolver);
        if let Some(child) = running {
            child.stop(self.kill_time.get());
        }
        stopped
    }

    /// A child has ended.
    fn ended(self: &Rc<Self>, exited: Option<Time>, reason: Failure) {
        let Some(reactor) = self.reactor.upgrade() else {
            self.set(State::Stopped);
            return self.tell_waiting();
        };
        match self.state.take() {
            State::Running { since, .. } => {
                let now = exited.unwrap_or_else(|| reactor.now());
                self.decide(&reactor, since, now, reason);
            }
            State::Stopping { again, .. } => {
                let name = &self.name;
                tracing::info!(target: "tress", "{name}: stopped");
                self.set(State::Stopped);
                if again && !reactor.0.is_closing() {
                    self.restarts.borrow_mut().begin_anew();
                    self.wait(&reactor, Duration::ZERO);
                }
                self.tell(&ChildEvent::Ended { reason, next: None });
                self.tell_waiting();
            }
            state @ (State::Stopped | State::Starting | State::Waiting(_) | State::Over(_)) => {
                self.state.replace(state);
            }
        }
    }

    /// The time until it is started again is over.
    fn due(self: &Rc<Self>) {
        if !matches!(*self.state.borrow(), State::Waiting(_)) {
            return;
        }
        if let (Err(failure), Some(reactor)) = (self.begin(), self.reactor.upgrade()) {
            let now = reactor.now();
            self.decide(&reactor, now, now, failure);
        }
    }

    /// What comes after an end that nobody asked for.
    fn decide(self: &Rc<Self>, reactor: &Reactor, since: Time, now: Time, reason: Failure) {
        let closing = reactor.0.is_closing() || reason.check::<NotRunning>().is_some();
        let success = reason.check::<ProcessDone>().is_some();
        let next = (!closing).then(|| self.restarts.borrow_mut().ended(since, now, success));
        let name = &self.name;
        match next {
            Some(Next::Restart(delay)) => {
                self.wait(reactor, delay);
                tracing::warn!(target: "tress", "{name}: {reason}; it is started again {}", Delay(delay));
            }
            Some(Next::Leave) => {
                self.set(State::Over(ChildState::Finished));
                tracing::info!(target: "tress", "{name}: {reason}; it is not started again");
            }
            Some(Next::GiveUp(intensity)) => {
                self.set(State::Over(ChildState::GivenUp));
                tracing::error!(
                    target: "tress",
                    "{name}: {reason}; it is given up, as it would be started again more often than {intensity}"
                );
            }
            None => self.set(State::Stopped),
        }
        self.tell(&ChildEvent::Ended { reason, next });
    }

    fn wait(self: &Rc<Self>, reactor: &Reactor, delay: Duration) {
        let own = Rc::clone(self);
        let timer = reactor.call_later(delay, move || own.due());
        let own = Rc::downgrade(self);
        let stop = move || {
            if let Some(own) = own.upgrade() {
                own.trigger.take();
                own.stop(false).detach();
            }
        };
        let trigger = reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, stop);
        self.set(State::Waiting(timer));
        self.trigger.set(Some(trigger));
    }

    fn set(&self, state: State) {
        if let Some(reactor) = self.reactor.upgrade() {
            self.changed.set(reactor.now());
            if let Some(trigger) = self.trigger.take() {
                let _removed = reactor.remove_system_event_trigger(trigger);
            }
        }
        self.state.replace(state);
    }

    fn tell(self: &Rc<Self>, event: &ChildEvent) {
        let listener = self.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(&Supervised(Rc::clone(self)), event);
        }
    }

    fn tell_waiting(&self) {
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(|waiter| waiter.resolve(()));
    }
}

/// Passes on to the owner's protocol what a child does, and says when it has ended.
struct Watched {
    own: Rc<Inner>,
    protocol: Box<dyn ProcessProtocol>,
    exited: Option<Time>,
    /// Closes what somebody else keeps open.
    last_words: Option<DelayedCall>,
}

impl ProcessProtocol for Watched {
    fn connection_made(&mut self, process: &Process) -> Result {
        self.protocol.connection_made(process)
    }

    fn child_data_received(&mut self, process: &Process, descriptor: u32, data: &[u8]) -> Result {
        self.protocol.child_data_received(process, descriptor, data)
    }

    fn child_write_paused(&mut self, process: &Process, descriptor: u32) -> Result {
        self.protocol.child_write_paused(process, descriptor)
    }

    fn child_write_resumed(&mut self, process: &Process, descriptor: u32) -> Result {
        self.protocol.child_write_resumed(process, descriptor)
    }

    fn child_connection_lost(
        &mut self,
        process: &Process,
        descriptor: u32,
        reason: &Failure,
    ) -> Result {
        self.protocol
            .child_connection_lost(process, descriptor, reason)
    }

    fn process_exited(&mut self, process: &Process, reason: &Failure) -> Result {
        if let Some(reactor) = self.own.reactor.upgrade() {
            self.exited = Some(reactor.now());
            let child = Rc::downgrade(&process.0);
            self.last_words = Some(reactor.call_later(LAST_WORDS, move || {
                if let Some(child) = child.upgrade() {
                    child.abort_pipes();
                }
            }));
        }
        self.protocol.process_exited(process, reason)
    }

    fn process_ended(&mut self, reason: Failure) {
        if let Some(last_words) = self.last_words.take() {
            // It has been called when it has closed the last pipe.
            last_words.cancel().ok();
        }
        let told = catch_unwind(AssertUnwindSafe(|| {
            self.protocol.process_ended(reason.clone());
        }));
        self.own.ended(self.exited, reason);
        if let Err(panic) = told {
            resume_unwind(panic);
        }
    }

    fn name(&self) -> &'static str {
        self.protocol.name()
    }
}

impl fmt::Debug for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supervised({} {:?})", self.0.name, self.state())
    }
}
