//! Signals as events: who handles which, and the handlers' turn. Catches none: the driver does.

use super::{Core, Reactor, inbox::Inbox};
use crate::{error::CannotCatch, failure::Result, signal::Signal};
use std::{
    cell::{Cell, RefCell},
    fmt, io,
    rc::{Rc, Weak},
    sync::Arc,
};

/// Signals with handlers at once, or ever: as many as there are bits for them.
const SIGNALS_MAX: usize = 64;

/// What a reactor knows of signals.
#[derive(Default)]
pub(super) struct Signals(RefCell<Vec<Caught>>);

/// A signal that was caught at least once. Its place is its number in the mailbox, and stays its own: what was raised
/// before the last handler left must not reach those of another signal.
struct Caught {
    signal: Signal,
    handlers: Vec<Rc<Handler>>,
}

struct Handler {
    function: Box<dyn Fn(&Reactor)>,
    is_wanted: Cell<bool>,
}

/// A handler of a signal, which is called until this is dropped.
#[must_use = "the handler is removed when this is dropped"]
pub struct SignalHandle {
    core: Weak<Core>,
    signal: Signal,
    handler: Rc<Handler>,
}

/// What a driver tells of a signal. Safe to use inside a signal handler: it takes no lock and no memory.
#[derive(Clone)]
pub struct SignalSender {
    inbox: Arc<Inbox>,
    number: u32,
}

impl SignalSender {
    /// The signal was raised: its handlers run in the next turn, once however often it was raised.
    pub fn raise(&self) {
        self.inbox.raise(self.number);
    }
}

impl fmt::Debug for SignalSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignalSender")
    }
}

impl Reactor {
    /// Calls `handler` on the loop in the turn after this signal was raised, after the handlers that were there before,
    /// until what this returns is dropped. Signals that are raised faster than the loop turns are one.
    ///
    /// When the last handler has gone, the signal does what it did before anybody handled it.
    ///
    /// # Errors
    /// [`CannotCatch`]: no program can catch KILL and STOP; or the driver has no signals, or not this one.
    pub fn on_signal(
        &self,
        signal: Signal,
        handler: impl Fn(&Self) + 'static,
    ) -> Result<SignalHandle> {
        let core = &self.0;
        let handler = Rc::new(Handler {
            function: Box::new(handler),
            is_wanted: Cell::new(true),
        });
        let number = core
            .signals
            .place(signal)
            .map_err(|error| CannotCatch { signal, error })?;
        if core.signals.0.borrow()[number].handlers.is_empty() {
            let sender = SignalSender {
                inbox: Arc::clone(&core.inbox),
                number: u32::try_from(number).expect("they are few"),
            };
            let caught = core.driver.borrow_mut().catch_signal(signal, sender);
            caught.map_err(|error| CannotCatch { signal, error })?;
        }
        core.signals.0.borrow_mut()[number]
            .handlers
            .push(Rc::clone(&handler));
        Ok(SignalHandle {
            core: Rc::downgrade(core),
            signal,
            handler,
        })
    }

    /// Stops the reactor in order at Ctrl-C and SIGTERM, while the result is kept. Another signal while it is stopping
    /// changes nothing: a stop is bounded anyway.
    ///
    /// # Errors
    /// As [`Reactor::on_signal`].
    pub fn stop_on_signals(&self) -> Result<[SignalHandle; 2]> {
        let stop_at = |signal| {
            self.on_signal(signal, move |reactor| {
                if reactor.stop().is_ok() {
                    tracing::info!(target: "tress", "received {signal}, stopping");
                }
            })
        };
        Ok([stop_at(Signal::Int)?, stop_at(Signal::Term)?])
    }
}

impl Signals {
    /// The place of a signal, a new one if it was never caught.
    fn place(&self, signal: Signal) -> io::Result<usize> {
        if let Signal::Kill | Signal::Stop = signal {
            let text = "the system lets no program catch it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut caught = self.0.borrow_mut();
        if let Some(place) = caught.iter().position(|caught| caught.signal == signal) {
            return Ok(place);
        }
        if caught.len() == SIGNALS_MAX {
            let text = format!("{SIGNALS_MAX} other signals were handled before");
            return Err(io::Error::other(text));
        }
        caught.push(Caught {
            signal,
            handlers: Vec::new(),
        });
        Ok(caught.len() - 1)
    }
}

/// Calls the handlers of the signal at this place.
pub(super) fn run_handlers(reactor: &Reactor, number: u32) {
    let caught = reactor.0.signals.0.borrow();
    let Some(Caught { signal, handlers }) = caught.get(number as usize) else {
        return;
    };
    let (signal, handlers) = (*signal, handlers.clone());
    drop(caught);
    for handler in handlers {
        // One of those before it may have removed it.
        if handler.is_wanted.get() {
            reactor.0.pace.begin_callback();
            let what = format!("a handler of {signal}");
            reactor.0.catch(&what, || (handler.function)(reactor));
        }
    }
}

impl SignalHandle {
    /// Removes the handler, as dropping this does.
    pub fn remove(self) {}

    /// What is handled.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }
}

impl Drop for SignalHandle {
    fn drop(&mut self) {
        self.handler.is_wanted.set(false);
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let mut caught = core.signals.0.borrow_mut();
        let Some(caught_here) = caught
            .iter_mut()
            .find(|caught| caught.signal == self.signal)
        else {
            return;
        };
        caught_here
            .handlers
            .retain(|handler| !Rc::ptr_eq(handler, &self.handler));
        let was_last = caught_here.handlers.is_empty();
        drop(caught);
        if was_last {
            core.driver.borrow_mut().release_signal(self.signal);
        }
    }
}

impl fmt::Debug for SignalHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalHandle({})", self.signal)
    }
}
