//! `ServerService`: an endpoint at which a factory is served while the service runs. Knows no protocol.
//! Source: `StreamServerEndpointService` of Twisted's `application/internet.py`.

use super::{Health, Service};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};
use tress_core::{
    Deferred, DelayedCall, Failure, IntoFactory, Port, Reactor, Result, SharedFactory, Transport,
    WeakReactor,
    error::CannotListen,
    restart::{Delay, Next, RestartPolicy, Restarts},
};

/// Listens while it runs: a handle, whose clones are the same. Stopped, it closes its port, and asks its connections to end:
/// what was written to them leaves.
///
/// Where nothing can listen, the start fails, unless a policy says to try again ([`ServerService::with_policy`]).
#[derive(Clone)]
pub struct ServerService(Rc<Inner>);

struct Inner {
    at: String,
    factory: SharedFactory,
    restarts: RefCell<Option<Restarts>>,
    state: RefCell<State>,
    reactor: Cell<Option<WeakReactor>>,
}

#[derive(Default)]
enum State {
    #[default]
    Stopped,
    Listening(Port),
    /// It is tried again when this is due.
    Waiting(DelayedCall),
    GivenUp,
}

impl ServerService {
    /// Will serve this factory at an endpoint (`tcp:8007`).
    pub fn new<M>(at: impl Into<String>, factory: impl IntoFactory<M>) -> Self {
        Self(Rc::new(Inner {
            at: at.into(),
            factory: SharedFactory::new(factory),
            restarts: RefCell::default(),
            state: RefCell::default(),
            reactor: Cell::default(),
        }))
    }

    /// An address where nothing can listen now, such as one that another process has, is no reason not to start: it is tried
    /// again as this says, each attempt counting as a life that was short.
    #[must_use]
    pub fn with_policy(self, policy: RestartPolicy) -> Self {
        self.0.restarts.replace(Some(Restarts::new(policy)));
        self
    }

    /// Its port, while it listens.
    #[must_use]
    pub fn port(&self) -> Option<Port> {
        match &*self.0.state.borrow() {
            State::Listening(port) => Some(port.clone()),
            State::Stopped | State::Waiting(_) | State::GivenUp => None,
        }
    }
}

impl Inner {
    fn listen(self: &Rc<Self>, reactor: &Reactor) -> Result {
        let failure = match reactor.listen_shared(&self.at, &self.factory) {
            Ok(port) => {
                tracing::info!(target: "tress", "listening at {} ({})", self.at, port.local_address());
                self.state.replace(State::Listening(port));
                return Ok(());
            }
            Err(failure) => failure,
        };
        self.state.replace(State::Stopped);
        let now = reactor.now();
        let passes = failure.check::<CannotListen>().is_some();
        let next = match &mut *self.restarts.borrow_mut() {
            Some(restarts) if passes => restarts.ended(now, now, false),
            _ => return Err(failure),
        };
        self.decide(reactor, next, &failure)
    }

    fn decide(self: &Rc<Self>, reactor: &Reactor, next: Next, failure: &Failure) -> Result {
        match next {
            Next::Restart(delay) => {
                tracing::warn!(target: "tress", "{failure}; it is tried again {}", Delay(delay));
                let own = Rc::clone(self);
                let timer = reactor.call_later(delay, move || own.due());
                self.state.replace(State::Waiting(timer));
                Ok(())
            }
            Next::Leave => Err(failure.clone()),
            Next::GiveUp(intensity) => {
                self.state.replace(State::GivenUp);
                tracing::error!(
                    target: "tress",
                    "{failure}; it is given up, as it would be tried again more often than {intensity}"
                );
                Ok(())
            }
        }
    }

    fn due(self: &Rc<Self>) {
        let weak = self.reactor.take();
        let reactor = weak.as_ref().and_then(WeakReactor::upgrade);
        self.reactor.set(weak);
        if let (State::Waiting(_), Some(reactor)) = (self.state.take(), reactor)
            && let Err(failure) = self.listen(&reactor)
        {
            self.state.replace(State::GivenUp);
            tracing::error!(target: "tress", "{failure}; it is given up");
        }
    }
}

impl Service for ServerService {
    fn name(&self) -> String {
        format!("server at `{}`", self.0.at)
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        if let State::Listening(_) | State::Waiting(_) = &*self.0.state.borrow() {
            return Ok(());
        }
        if let Some(restarts) = &mut *self.0.restarts.borrow_mut() {
            restarts.begin_anew();
        }
        self.0.reactor.set(Some(reactor.downgrade()));
        let was_given_up = self.health() == Health::GivenUp;
        self.0.listen(reactor).inspect_err(|_| {
            if was_given_up {
                self.0.state.replace(State::GivenUp);
            }
        })
    }

    fn stop(&mut self) -> Deferred<()> {
        match self.0.state.take() {
            State::Listening(port) => {
                port.stop_listening();
                port.connections()
                    .into_iter()
                    .for_each(|open: Transport| open.lose_connection());
                tracing::info!(target: "tress", "stopped listening at {}", self.0.at);
            }
            State::Waiting(timer) => drop(timer.cancel()),
            State::Stopped | State::GivenUp => {}
        }
        Deferred::succeed(())
    }

    fn health(&self) -> Health {
        match &*self.0.state.borrow() {
            State::Stopped | State::Listening(_) => Health::Well,
            State::Waiting(_) => Health::Waiting,
            State::GivenUp => Health::GivenUp,
        }
    }

    fn restarts(&self) -> u64 {
        let restarts = self.0.restarts.borrow();
        restarts.as_ref().map_or(0, Restarts::total)
    }
}

impl fmt::Debug for ServerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerService({} {})", self.0.at, self.health().word())
    }
}
