//! `ClientService`: one connection to one endpoint, made again whenever it fails or is lost, for everybody who asks for
//! it. What leads to what stands in `state`; this does what it says. Opens nothing itself.
//! Source: Twisted's `application/_client_service.py`.

mod state;

#[cfg(test)]
mod tests;

use super::ReconnectPolicy;
use crate::{
    address::Address,
    deferred::{Canceller, Deferred, Outcome, Resolver},
    endpoint::Side,
    error::{Cancelled, ConnectionDone, ReactorGone},
    factory::{Factory, IntoFactory, SharedFactory},
    failure::{Failure, Result},
    protocol::Protocol,
    reactor::{Connection, EventType, Phase, Reactor, TriggerId, WeakReactor},
    transport::{Link, Transport},
};
use state::{Action, Event, State};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::{Rc, Weak},
    time::Duration,
};

/// Keeps a connection to an endpoint: a handle, cheap to clone. Dropping it changes nothing, stopping it does.
///
/// Started, it connects. When that fails, or the connection is lost, it connects again, each time a little later:
/// [`ReconnectPolicy::service`]. Who needs the connection asks with [`ClientService::when_connected`], as often as they
/// like and without keeping it. The factory is started before the first attempt and stopped when the service has
/// stopped. A reactor that stops, stops it.
///
/// ```
/// use tress_core::{Protocol, Reactor, Result, client::ClientService};
///
/// struct Quiet;
/// impl Protocol for Quiet {}
///
/// fn begin(reactor: &Reactor) -> Result<ClientService<Quiet>> {
///     let service = ClientService::new(reactor, "tcp:127.0.0.1:8007", || Quiet)?;
///     service.start_service();
///     service
///         .when_connected(Some(3))
///         .add_callback(|connection| connection.transport().write(b"hello"))
///         .add_errback(|reason| {
///             println!("three attempts have failed, the last with {reason}");
///             Ok(())
///         })
///         .detach();
///     Ok(service)
/// }
/// ```
pub struct ClientService<P: Protocol>(Rc<Inner<P>>);

struct Inner<P: Protocol> {
    reactor: WeakReactor,
    to: String,
    policy: Cell<ReconnectPolicy>,
    prepare: RefCell<Option<Prepare<P>>>,
    factory: SharedFactory,
    /// Whether the factory has been started and not stopped.
    in_use: Cell<bool>,
    state: RefCell<State>,
    /// Numbers the attempts, so that what comes late from one reaches no other.
    attempt: Cell<u64>,
    /// Attempts in a row that failed.
    failures: Cell<u32>,
    /// It has stopped by itself.
    gave_up: Cell<bool>,
    /// Tells of a reactor that stops.
    trigger: Cell<Option<TriggerId>>,
    connect_waiters: RefCell<Vec<Waiter<P>>>,
    stop_waiters: RefCell<Vec<Resolver<()>>>,
}

type Prepare<P> = Rc<dyn Fn(Connection<P>) -> Deferred<()>>;

/// Somebody who waits for a connection.
struct Waiter<P: Protocol> {
    resolver: Resolver<Connection<P>>,
    /// How many more attempts may fail before it is told; `None`: any number.
    failures: Option<u32>,
}

impl<P: Protocol> ClientService<P> {
    /// A service that will connect to an endpoint (`tcp:example.org:8007`), with a protocol of this factory each time.
    ///
    /// # Errors
    /// The endpoint is not one. Nothing has been opened.
    pub fn new<M, F>(reactor: &Reactor, to: &str, factory: F) -> Result<Self>
    where
        F: IntoFactory<M>,
        F::Factory: Factory<Protocol = P>,
    {
        reactor.check_endpoint(to, Side::Client)?;
        let factory = factory.into_factory();
        let inner = Rc::new_cyclic(|service| Inner {
            reactor: reactor.downgrade(),
            to: to.to_owned(),
            policy: Cell::new(ReconnectPolicy::service()),
            prepare: RefCell::default(),
            factory: SharedFactory::new(Builder {
                factory,
                service: Weak::clone(service),
            }),
            in_use: Cell::new(false),
            state: RefCell::new(State::New),
            attempt: Cell::new(0),
            failures: Cell::new(0),
            gave_up: Cell::new(false),
            trigger: Cell::new(None),
            connect_waiters: RefCell::default(),
            stop_waiters: RefCell::default(),
        });
        Ok(Self(inner))
    }

    /// Waits between attempts as `policy` says. With [`ReconnectPolicy::max_retries`] the service gives up after these:
    /// it has stopped then, and everybody who waits is told why.
    #[must_use]
    pub fn with_policy(self, policy: ReconnectPolicy) -> Self {
        self.0.policy.set(policy);
        self
    }

    /// Lets `hook` look at each new connection before anybody gets it: to log in, or to see whether the other end is
    /// well. What it returns is waited for; `async` code is begun with [`Reactor::spawn`]. When it fails, the
    /// connection is closed, which counts as an attempt that failed.
    #[must_use]
    pub fn prepare_connection<R>(self, hook: impl Fn(Connection<P>) -> R + 'static) -> Self
    where
        R: Outcome<Value = ()>,
    {
        let hook: Prepare<P> = Rc::new(move |connection| hook(connection).into_deferred());
        drop(self.0.prepare.replace(Some(hook)));
        self
    }

    /// Connects, and keeps connecting. Started while it stops, it connects once the old connection is gone. Started
    /// twice, it says so in the log and does nothing else.
    pub fn start_service(&self) {
        self.0.event(Event::Start);
    }

    /// The connection, or the next one there will be: at once if it is there, otherwise when it is made and prepared.
    ///
    /// Fails with [`Cancelled`] when the service is stopped first, or has been stopped and not started again; before
    /// the first start it waits. Given a number of failures, it fails with the last of them after so many attempts, one
    /// after the other from now on, have failed: 1 is the first that fails.
    #[track_caller]
    pub fn when_connected(&self, fail_after_failures: Option<u32>) -> Deferred<Connection<P>> {
        let link = match &*self.0.state.borrow() {
            State::Stopped => return Deferred::fail(Cancelled),
            State::Connected(link) => Some(link.upgrade()),
            State::New
            | State::Connecting(_)
            | State::Cancelling(_)
            | State::Made
            | State::Preparing(..)
            | State::Closing(_)
            | State::Waiting(_) => None,
        };
        match link {
            Some(Some(link)) => Deferred::succeed(Connection::new(Transport(link))),
            // It went away with its reactor.
            Some(None) => Deferred::fail(ConnectionDone),
            None => self.0.wait(fail_after_failures),
        }
    }

    /// Stops: a connection is closed once everything written has left, an attempt is given up, nothing more is tried.
    /// Whoever waits for a connection fails with [`Cancelled`]. Fires when the connection is gone: at once if there is
    /// none. An attempt, and a handshake that is under way, is not waited for.
    pub fn stop_service(&self) -> Deferred<()> {
        let (resolver, stopped) = Deferred::pair();
        self.0.stop_waiters.borrow_mut().push(resolver);
        let waiting = self.0.connect_waiters.take();
        self.0.event(Event::Stop);
        fail_all(waiting, &Cancelled.into());
        stopped
    }

    /// Whether it has made all the retries that its policy allows, and was not started or stopped since.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.0.gave_up.get()
    }

    /// The endpoint that it connects to.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.0.to
    }
}

impl<P: Protocol> Inner<P> {
    fn event(self: &Rc<Self>, event: Event) {
        if let Event::Start | Event::Stop = event {
            self.gave_up.set(false);
        }
        let (state, action) = self.state.take().step(event);
        *self.state.borrow_mut() = state;
        match action {
            Action::Nothing => {}
            Action::Complain => {
                let to = &self.to;
                tracing::warn!(target: "tress", "the client service of {to} was started twice");
            }
            Action::Connect => self.begin(),
            Action::Restart => {
                let waiting = self.stop_waiters.take();
                self.failures.set(0);
                self.begin();
                waiting.into_iter().for_each(|waiter| waiter.resolve(()));
            }
            Action::Cancel(attempt) => cancel(attempt),
            Action::Prepare(transport) => self.prepare(transport),
            Action::Tell(link) => self.tell(link),
            Action::Close(link, hook) => {
                cancel(hook);
                if let Some(link) = link.upgrade() {
                    Transport(link).lose_connection();
                }
            }
            Action::Failed(reason, hook) => self.failed(&reason, hook),
            Action::Lost(reason) => self.retry(&reason),
            Action::Stopped(next) => {
                if let Some(next) = next {
                    next.cancel().ok();
                }
                self.stopped(&Cancelled.into());
            }
            Action::GaveUp(reason) => {
                self.gave_up.set(true);
                self.stopped(&reason);
            }
        }
    }

    /// Makes an event of what comes of an attempt, unless another has begun by then. Keeps nothing: the reactor keeps a
    /// service that runs, and a transport that somebody keeps must not.
    fn on<T>(self: &Rc<Self>, attempt: u64, event: fn(T) -> Event) -> impl Fn(T) + use<T, P> {
        let service = Rc::downgrade(self);
        move |what| {
            if let Some(service) = service.upgrade()
                && service.attempt.get() == attempt
            {
                service.event(event(what));
            }
        }
    }

    fn begin(self: &Rc<Self>) {
        let attempt = self.attempt.get() + 1;
        self.attempt.set(attempt);
        let connecting = self.connect(attempt).unwrap_or_else(Deferred::fail);
        let mut unwanted = connecting.canceller();
        if let State::Connecting(own) = &mut *self.state.borrow_mut() {
            *own = unwanted.take();
        }
        // Stopped meanwhile, from inside: by the factory, or by whoever looks names up.
        cancel(unwanted);
        connecting.add_both(self.on(attempt, Event::Made)).detach();
    }

    fn connect(self: &Rc<Self>, attempt: u64) -> Result<Deferred<Transport>> {
        let reactor = self.reactor.upgrade().ok_or(ReactorGone)?;
        self.watch_shutdown(&reactor);
        if !self.in_use.get() {
            self.factory.port_started()?;
            self.in_use.set(true);
        }
        let lost = self.on(attempt, Event::Lost);
        let watcher = Rc::new(move |_: &Reactor, reason| lost(reason));
        Ok(reactor.connect_shared(&self.to, &self.factory, Some(watcher)))
    }

    /// Shows a new connection to the hook.
    fn prepare(self: &Rc<Self>, transport: Transport) {
        let attempt = self.attempt.get();
        let hook = self.prepare.borrow().clone();
        let preparing = match hook {
            None => Deferred::succeed(()),
            // Inside a chain, where a panic is a failure.
            Some(hook) => Deferred::succeed(Connection::new(transport))
                .add_callback(move |connection| hook(connection)),
        };
        let mut unwanted = preparing.canceller();
        if let State::Preparing(_, own) = &mut *self.state.borrow_mut() {
            *own = unwanted.take();
        }
        cancel(unwanted);
        preparing
            .add_both(self.on(attempt, Event::Prepared))
            .detach();
    }

    /// Everybody who waits gets the connection.
    fn tell(&self, link: Weak<Link>) {
        self.failures.set(0);
        let Some(link) = link.upgrade() else { return };
        let connection = Connection::new(Transport(link));
        for waiter in self.connect_waiters.take() {
            waiter.resolver.resolve(connection.clone());
        }
    }

    #[track_caller]
    fn wait(&self, failures: Option<u32>) -> Deferred<Connection<P>> {
        let (resolver, deferred) = Deferred::pair();
        let mut waiters = self.connect_waiters.borrow_mut();
        let mut cancelled = Vec::new();
        if waiters.len() == waiters.capacity() {
            cancelled.extend(waiters.extract_if(.., |waiter| waiter.resolver.is_cancelled()));
        }
        waiters.push(Waiter { resolver, failures });
        drop(waiters);
        deferred
    }

    fn failed(self: &Rc<Self>, reason: &Failure, hook: Option<Canceller>) {
        let told: Vec<_> = self
            .connect_waiters
            .borrow_mut()
            .extract_if(.., Waiter::counts_to_the_last)
            .collect();
        cancel(hook);
        self.retry(reason);
        fail_all(told, reason);
    }

    /// Sets the time of the next attempt, unless it was stopped meanwhile.
    fn retry(self: &Rc<Self>, reason: &Failure) {
        if !matches!(*self.state.borrow(), State::Waiting(None)) {
            return;
        }
        let (to, failures) = (&self.to, self.failures.get());
        let next = self.reactor.upgrade().and_then(|reactor| {
            let delay = self.policy.get().delay(failures, || reactor.entropy())?;
            Some((reactor, delay))
        });
        let Some((reactor, delay)) = next else {
            tracing::warn!(target: "tress", "gave up connecting to {to} after {failures} retries: {reason}");
            return self.event(Event::GiveUp(reason.clone()));
        };
        self.failures.set(failures.saturating_add(1));
        let due = self.on(self.attempt.get(), |()| Event::Due);
        let call = reactor.call_later(delay, move || due(()));
        *self.state.borrow_mut() = State::Waiting(Some(call));
        tracing::info!(target: "tress", "connecting to {to} again in {delay:?}: {reason}");
    }

    /// Nothing is open and nothing is tried any more.
    fn stopped(&self, reason: &Failure) {
        self.failures.set(0);
        let reactor = self.reactor.upgrade();
        if let (Some(trigger), Some(reactor)) = (self.trigger.take(), &reactor) {
            let _removed = reactor.remove_system_event_trigger(trigger);
        }
        if self.in_use.take() {
            let factory = self.factory.clone();
            match reactor {
                // The factory itself stopped the service: it is told once it has returned.
                Some(reactor) if factory.is_busy() => {
                    reactor.call_later(Duration::ZERO, move || factory.port_stopped());
                }
                _ => {
                    if let Err(failure) = factory.port_stopped() {
                        tracing::error!(target: "tress", "stop_factory failed: {failure:?}");
                    }
                }
            }
        }
        fail_all(self.connect_waiters.take(), reason);
        let waiting = self.stop_waiters.take();
        waiting.into_iter().for_each(|waiter| waiter.resolve(()));
    }

    /// A reactor that stops, stops the service, so that nothing is tried while it closes everything. Until then it
    /// keeps the service.
    fn watch_shutdown(self: &Rc<Self>, reactor: &Reactor) {
        if self.trigger.get().is_some() {
            return;
        }
        let (service, weak) = (ClientService(Rc::clone(self)), reactor.downgrade());
        let stop = move || {
            service.stop_service().detach();
            if let Some(reactor) = weak.upgrade() {
                // Its connection has yet to end.
                let kept = move || drop(service);
                reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, kept);
            }
        };
        let trigger = reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, stop);
        self.trigger.set(Some(trigger));
    }
}

impl<P: Protocol> Waiter<P> {
    /// Counts an attempt that failed; whether it was the last that this one puts up with.
    fn counts_to_the_last(&mut self) -> bool {
        match &mut self.failures {
            None => false,
            Some(0 | 1) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }
}

fn fail_all<P: Protocol>(waiters: Vec<Waiter<P>>, reason: &Failure) {
    for waiter in waiters {
        waiter.resolver.fail(reason.clone());
    }
}

fn cancel(canceller: Option<Canceller>) {
    if let Some(canceller) = canceller {
        canceller.cancel();
    }
}

/// The factory, as the core wants it: it tells of each protocol that it builds.
struct Builder<F: Factory> {
    factory: F,
    service: Weak<Inner<F::Protocol>>,
}

impl<F: Factory> Factory for Builder<F> {
    type Protocol = F::Protocol;

    fn build_protocol(&mut self, peer: &Address) -> Option<F::Protocol> {
        let service = self.service.upgrade()?;
        let attempt = service.attempt.get();
        let protocol = self.factory.build_protocol(peer)?;
        // The factory may have stopped the service, and even started it again.
        if service.attempt.get() == attempt {
            service.event(Event::Built);
        }
        Some(protocol)
    }

    fn start_factory(&mut self) -> Result {
        self.factory.start_factory()
    }

    fn stop_factory(&mut self) {
        self.factory.stop_factory();
    }
}

impl<P: Protocol> Clone for ClientService<P> {
    /// The same service.
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P: Protocol> fmt::Debug for ClientService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.0.state.borrow() {
            State::New => "new",
            State::Connecting(_) | State::Made => "connecting",
            State::Preparing(..) => "preparing",
            State::Connected(_) => "connected",
            State::Cancelling(_) | State::Closing(_) => "closing",
            State::Waiting(_) => "waiting",
            State::Stopped => "stopped",
        };
        write!(f, "ClientService({}, {state})", self.0.to)
    }
}
