//! The loop's side of its mailbox: the handles that other threads hold, and the calls that they made.

use super::{Reactor, callers::Callers, mailbox::Mailbox, signals};
use crate::{
    context::Context,
    error::{InboxFull, ReactorGone},
    failure::Failure,
};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

pub(super) type Inbox = Mailbox<Call>;
pub(super) type Call = Box<dyn FnOnce(&Reactor) + Send>;

/// A handle on a reactor for other threads: `Send`, `Sync`, cheap to clone.
#[derive(Clone)]
pub struct Remote {
    inbox: Weak<Inbox>,
    callers: Weak<Callers>,
}

/// Why a call from another thread was not taken; gives it back.
pub enum Rejected<F> {
    /// The reactor has been dropped.
    Gone(ReactorGone, F),
    /// More calls wait than [`Limits::thread_calls`](crate::limits::Limits) allows.
    Full(InboxFull, F),
}

impl<F> fmt::Debug for Rejected<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(error, _) => error.fmt(f),
            Self::Full(error, _) => error.fmt(f),
        }
    }
}

impl Remote {
    pub(super) fn new(inbox: &Arc<Inbox>, callers: &Arc<Callers>) -> Self {
        Self {
            inbox: Arc::downgrade(inbox),
            callers: Arc::downgrade(callers),
        }
    }

    /// Who waits for answers, while there is a reactor.
    pub(super) fn callers(&self) -> Option<Arc<Callers>> {
        self.callers.upgrade()
    }

    /// Makes this call on the reactor's thread, in its next turn, after those queued before, in the
    /// [context](crate::context) that is in force here.
    ///
    /// # Errors
    /// The call itself, when the reactor has gone or too many calls wait.
    pub fn call_from_thread<F>(&self, call: F) -> Result<(), Rejected<F>>
    where
        F: FnOnce(&Reactor) + Send + 'static,
    {
        let Some(inbox) = self.inbox.upgrade() else {
            return Err(Rejected::Gone(ReactorGone, call));
        };
        let mut call = Some(call);
        let taken = inbox.put(|| {
            let context = Context::current();
            let call = call.take();
            Box::new(move |reactor| context.run(|| call.into_iter().for_each(|call| call(reactor))))
        });
        match call {
            Some(call) if !taken => Err(Rejected::Full(InboxFull, call)),
            _ => Ok(()),
        }
    }

    /// Stops the reactor, as [`Reactor::stop`] on its own thread; however many calls wait, this is one of them. A reactor
    /// that has gone or does not run is not told.
    pub fn stop(&self) {
        if let Some(inbox) = self.inbox.upgrade() {
            // One that has stopped meanwhile has done what was asked.
            inbox.put_anyway(Box::new(|reactor| drop(reactor.stop())));
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

/// Makes the calls that are there now; those that come meanwhile wait for the next turn.
pub(super) fn run_calls(reactor: &Reactor) {
    let core = &reactor.0;
    let contents = core.inbox.open();
    for number in contents.signals {
        signals::run_handlers(reactor, number);
    }
    for call in contents.calls {
        core.pace.begin_callback();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(reactor))) {
            core.failed("a call from a thread", &Failure::from_panic(&*payload));
        }
        core.check_stall_named(&"a call from a thread");
    }
}
