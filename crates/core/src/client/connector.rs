//! `Connector`: one factory, one destination, one connection after the other. Decides nothing about retries.
//!
//! ```text
//! Disconnected --connect--> Waiting --its time--> Connecting --> Made, Connected
//!      ^                       |                      |  |          |
//!      +---stop_connecting-----+--------failed--------+--|---lost---+
//!      +--------------------------------failed-- GivenUp-+
//! ```
//! `Disconnected` is entered before the factory is told; when its hook leaves it so, the factory is stopped.

use super::{
    ClientFactory,
    hooks::{Hooks, Seat},
};
use crate::{
    address::Address,
    deferred::Canceller,
    error::{ConnectingCancelled, ReactorGone},
    factory::{Factory, SharedFactory},
    failure::{Failure, Result},
    reactor::{Core, DelayedCall, EventType, Phase, Reactor, TriggerId},
    transport::{Link, Transport},
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    time::Duration,
};

/// What a [`ClientFactory`] is told about: cheap to clone, good to keep.
///
/// Every method only asks; what comes of it the factory learns later, from the loop.
#[derive(Clone)]
pub struct Connector(Rc<Inner>);

/// A connector that somebody else keeps alive.
#[derive(Clone, Default)]
pub(super) struct WeakConnector(Weak<Inner>);

struct Inner {
    core: Weak<Core>,
    to: String,
    state: RefCell<State>,
    shutdown: Cell<Shutdown>,
    /// The factory, for its hooks. Borrowed only while one of them runs.
    hooks: Rc<RefCell<dyn Hooks>>,
    /// The same factory, for `build_protocol`.
    builder: SharedFactory,
}

/// Where the connection stands. Whatever is held here is weak: the loop owns the connection.
enum State {
    /// Nothing goes on.
    Disconnected,
    /// This call will start to connect.
    Waiting(DelayedCall),
    /// `None`: it has failed already, and the factory is about to be told.
    Connecting(Option<Canceller>),
    /// The same, but `stop_connecting` was called: no protocol is built any more.
    GivenUp(Option<Canceller>),
    /// Its protocol was built and is being told. Whatever comes of that, the end is that the connection is lost.
    Made {
        /// `disconnect` was called meanwhile.
        close: bool,
    },
    /// There is a connection.
    Connected(Weak<Link>),
}

/// How far the reactor is from stopping.
#[derive(Clone, Copy)]
enum Shutdown {
    /// Nobody asked to be told.
    Unwatched,
    /// This trigger tells.
    Watched(TriggerId),
    /// It stops: nothing new is started.
    Going,
}

impl Connector {
    pub(super) fn new(reactor: &Reactor, to: &str, factory: impl ClientFactory) -> Self {
        let seat = Rc::new(RefCell::new(Seat::new(factory)));
        Self(Rc::new_cyclic(|inner| Inner {
            core: Rc::downgrade(&reactor.0),
            to: to.to_owned(),
            state: RefCell::new(State::Disconnected),
            shutdown: Cell::new(Shutdown::Unwatched),
            builder: SharedFactory::new(Builder {
                seat: Rc::clone(&seat),
                connector: WeakConnector(inner.clone()),
            }),
            hooks: seat,
        }))
    }

    /// Connects again, to the same place. Does nothing while a connection is there or on its way, or when the
    /// reactor is closing everything in order to stop.
    pub fn connect(&self) {
        self.connect_later(Duration::ZERO);
    }

    /// The same, `delay` from now. The factory is not stopped while it waits.
    pub fn connect_later(&self, delay: Duration) {
        let disconnected = matches!(*self.0.state.borrow(), State::Disconnected);
        let stopping = matches!(self.0.shutdown.get(), Shutdown::Going);
        let Ok(reactor) = self.reactor() else { return };
        if disconnected && !stopping {
            self.watch_shutdown(&reactor);
            let connector = self.clone();
            let call = reactor.call_later(delay, move || connector.begin());
            self.change(State::Waiting(call));
        }
    }

    /// Ends the connection once everything written has left, or stops connecting.
    pub fn disconnect(&self) {
        if let State::Made { close } = &mut *self.0.state.borrow_mut() {
            *close = true;
        }
        match self.link() {
            Some(link) => link.lose_connection(),
            None => self.stop_connecting(),
        }
    }

    /// Gives up the attempt, which fails with [`ConnectingCancelled`](crate::error::ConnectingCancelled). One that
    /// only waits for its time ends without a word. Does nothing to a connection that is there.
    pub fn stop_connecting(&self) {
        let state = self.0.state.replace(State::Disconnected);
        match state {
            State::Waiting(call) => {
                call.cancel().ok();
                self.settle();
            }
            State::Connecting(canceller) => {
                self.change(State::GivenUp(canceller));
                // Not from here: it calls the factory, and this may be one of its hooks.
                let connector = self.clone();
                if let Ok(reactor) = self.reactor() {
                    reactor.call_later(Duration::ZERO, move || connector.give_up());
                }
            }
            state => {
                self.change(state);
            }
        }
    }

    /// The endpoint that it connects to.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.0.to
    }

    /// The reactor it runs on.
    ///
    /// # Errors
    /// The reactor has been dropped.
    pub fn reactor(&self) -> Result<Reactor> {
        Ok(Reactor(self.0.core.upgrade().ok_or(ReactorGone)?))
    }

    /// Whether a connection is there.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link().is_some()
    }

    pub(super) fn downgrade(&self) -> WeakConnector {
        WeakConnector(Rc::downgrade(&self.0))
    }

    /// The time has come to connect.
    fn begin(&self) -> Result {
        let reactor = self.reactor()?;
        let started = self.hook(|factory, _| factory.start());
        if let Err(failure) = started.and_then(|started| started) {
            self.failed(failure);
            return Ok(());
        }
        if matches!(*self.0.state.borrow(), State::Disconnected) {
            // `start_factory` called `stop_connecting`.
            self.settle();
            return Ok(());
        }
        let watcher = self.clone();
        let watcher = Rc::new(move |_: &Reactor, reason| watcher.lost(reason));
        let attempt = reactor.connect_shared(&self.0.to, &self.0.builder, Some(watcher));
        self.change(State::Connecting(attempt.canceller()));
        self.tell(|factory, connector| factory.started_connecting(connector));
        let connector = self.clone();
        attempt.add_both(move |made| connector.made(made)).detach();
        Ok(())
    }

    /// The attempt has an end.
    fn made(&self, made: Result<Transport>) {
        let making = match &*self.0.state.borrow() {
            State::Made { close } => Some(*close),
            _ => None,
        };
        match (made, making) {
            (Ok(link), Some(close)) => {
                if close {
                    link.lose_connection();
                }
                self.change(State::Connected(Rc::downgrade(&link.0)));
            }
            // It ended inside `connection_made`: `lost` tells.
            (Err(_), Some(_)) | (Ok(_), None) => {}
            (Err(_), None) if self.is_given_up() => self.failed(ConnectingCancelled.into()),
            (Err(reason), None) => self.failed(reason),
        }
    }

    fn failed(&self, reason: Failure) {
        self.change(State::Disconnected);
        self.tell(|factory, connector| factory.client_connection_failed(connector, reason));
        self.settle();
    }

    fn lost(&self, reason: Failure) {
        self.change(State::Disconnected);
        self.tell(|factory, connector| factory.client_connection_lost(connector, reason));
        self.settle();
    }

    /// Does what `stop_connecting` asked for; the attempt may have had its end since.
    fn give_up(&self) {
        let canceller = match &*self.0.state.borrow() {
            State::GivenUp(canceller) => canceller.clone(),
            _ => None,
        };
        if let Some(canceller) = canceller {
            canceller.cancel();
        }
    }

    fn is_given_up(&self) -> bool {
        matches!(*self.0.state.borrow(), State::GivenUp(_))
    }

    /// Stops the factory if nothing goes on any more.
    fn settle(&self) {
        if !matches!(*self.0.state.borrow(), State::Disconnected) {
            return;
        }
        if let Shutdown::Watched(trigger) = self.0.shutdown.get() {
            self.0.shutdown.set(Shutdown::Unwatched);
            if let Ok(reactor) = self.reactor() {
                let _removed = reactor.remove_system_event_trigger(trigger);
            }
        }
        // Inside a hook it cannot be stopped; whoever called the hook settles after it.
        if self.0.hooks.try_borrow_mut().is_ok() {
            self.tell(|factory, _| factory.stop());
        }
    }

    /// A reactor that stops ends what waits, and lets nothing new begin until it has stopped.
    fn watch_shutdown(&self, reactor: &Reactor) {
        if matches!(self.0.shutdown.get(), Shutdown::Watched(_)) {
            return;
        }
        let weak = self.downgrade();
        let trigger =
            reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, move || {
                if let Some(connector) = weak.upgrade() {
                    connector.shut_down();
                }
            });
        self.0.shutdown.set(Shutdown::Watched(trigger));
    }

    fn shut_down(&self) {
        self.0.shutdown.set(Shutdown::Going);
        let weak = self.downgrade();
        if let Ok(reactor) = self.reactor() {
            reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, move || {
                if let Some(connector) = weak.upgrade() {
                    connector.0.shutdown.set(Shutdown::Unwatched);
                }
            });
        }
        if matches!(*self.0.state.borrow(), State::Waiting(_)) {
            self.stop_connecting();
        }
    }

    fn link(&self) -> Option<Transport> {
        match &*self.0.state.borrow() {
            State::Connected(link) => link.upgrade().map(Transport),
            _ => None,
        }
    }

    fn change(&self, state: State) {
        // What is replaced is dropped when nothing is borrowed.
        drop(self.0.state.replace(state));
    }

    /// Calls a hook; what goes wrong in it ends nothing.
    fn tell(&self, hook: impl FnOnce(&mut dyn Hooks, &Self)) {
        if let Err(failure) = self.hook(hook) {
            let to = &self.0.to;
            tracing::error!(target: "tress", "the client factory for {to} failed: {failure:?}");
        }
    }

    fn hook<R>(&self, hook: impl FnOnce(&mut dyn Hooks, &Self) -> R) -> Result<R> {
        let Ok(mut factory) = self.0.hooks.try_borrow_mut() else {
            return Err(Failure::msg(
                "a client factory was called from inside itself",
            ));
        };
        catch_unwind(AssertUnwindSafe(|| hook(&mut *factory, self)))
            .map_err(|payload| Failure::from_panic(&*payload))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.0.state.borrow() {
            State::Disconnected => "disconnected",
            State::Waiting(_) => "waiting",
            State::Connecting(_) => "connecting",
            State::GivenUp(_) => "given up",
            State::Made { .. } | State::Connected(_) => "connected",
        };
        write!(f, "Connector({}, {state})", self.0.to)
    }
}

impl WeakConnector {
    pub(super) fn upgrade(&self) -> Option<Connector> {
        self.0.upgrade().map(Connector)
    }
}

/// The seated factory, as the core wants it.
struct Builder<F> {
    seat: Rc<RefCell<Seat<F>>>,
    connector: WeakConnector,
}

impl<F: ClientFactory> Factory for Builder<F> {
    type Protocol = F::Protocol;

    fn build_protocol(&mut self, peer: &Address) -> Option<F::Protocol> {
        let connector = self.connector.upgrade()?;
        if connector.is_given_up() {
            return None;
        }
        let mut seat = self.seat.try_borrow_mut().ok()?;
        let protocol = seat.factory.build_protocol(peer)?;
        if connector.is_given_up() {
            return None;
        }
        connector.change(State::Made { close: false });
        Some(protocol)
    }
}
