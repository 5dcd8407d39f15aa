//! The calls that a client over a connection has made and that wait for their answers: each ends once, by its answer, its
//! deadline, a cancel or the end of the connection. Knows no protocol and writes nothing.

use crate::{
    calls::ExposureLimits,
    distant::{NoAnswer, TooManyCalls},
    object::CallContext,
    value::Value,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    error::Error,
    fmt,
    rc::Rc,
};
use tress_core::{Deferred, DelayedCall, Failure, Resolver, Result, Transport};

/// The connection to an object has ended, or is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnected {
    /// The interface that was to be called.
    pub interface: &'static str,
    /// What has ended it, in words; empty when it has not begun.
    pub reason: String,
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, reason } = self;
        if reason.is_empty() {
            return write!(f, "there is no connection to `{interface}` yet");
        }
        write!(f, "the connection to `{interface}` has ended: {reason}")
    }
}

impl Error for Disconnected {}

/// A connection that calls are made over.
pub(crate) struct Pending {
    interface: &'static str,
    limits: ExposureLimits,
    link: RefCell<Link>,
    calls: RefCell<BTreeMap<u64, Waiter>>,
    last: Cell<u64>,
}

enum Link {
    /// The connection is not there yet.
    Before,
    Up(Transport),
    /// What has ended it.
    Lost(String),
}

struct Waiter {
    /// What the protocol remembers of the call: the place of its method.
    method: usize,
    resolver: Resolver<Value>,
    timeout: DelayedCall,
}

/// Whom an answer is for.
pub(crate) enum Asked {
    /// A call that waits, and the place of its method.
    Waits(usize, Resolver<Value>),
    /// One that waits no more.
    Late,
    /// Nobody has asked.
    Never,
}

impl Pending {
    pub(crate) fn new(interface: &'static str, limits: ExposureLimits) -> Rc<Self> {
        Rc::new(Self {
            interface,
            limits,
            link: RefCell::new(Link::Before),
            calls: RefCell::default(),
            last: Cell::new(0),
        })
    }

    pub(crate) fn limits(&self) -> &ExposureLimits {
        &self.limits
    }

    /// The connection is there.
    pub(crate) fn connected(&self, transport: &Transport) {
        self.link.replace(Link::Up(transport.clone()));
    }

    /// Where to write to.
    ///
    /// # Errors
    /// There is no connection.
    pub(crate) fn transport(&self) -> Result<Transport, Disconnected> {
        let reason = match &*self.link.borrow() {
            Link::Up(transport) if !transport.is_closing() => return Ok(transport.clone()),
            Link::Up(_) => "it was closed".to_owned(),
            Link::Before => String::new(),
            Link::Lost(reason) => reason.clone(),
        };
        Err(self.disconnected(reason))
    }

    fn disconnected(&self, reason: String) -> Disconnected {
        Disconnected {
            interface: self.interface,
            reason,
        }
    }

    /// Enters a call of the method at that place. `write` is given its number, to send it with.
    pub(crate) fn call(
        self: &Rc<Self>,
        context: &CallContext,
        method: usize,
        write: impl FnOnce(&Transport, u64) -> Result,
    ) -> Deferred<Value> {
        let transport = match self.transport() {
            Ok(transport) => transport,
            Err(gone) => return Deferred::fail(gone),
        };
        let limit = self.limits.calls_in_flight;
        if self.calls.borrow().len() >= limit {
            return Deferred::fail(TooManyCalls { limit });
        }
        let id = self.last.get() + 1;
        if let Err(failure) = write(&transport, id) {
            return Deferred::fail(failure);
        }
        self.last.set(id);
        let cancelled = Rc::downgrade(self);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            let taken = cancelled.upgrade().and_then(|pending| pending.take(id));
            drop(taken);
        });
        let waiter = Waiter {
            method,
            resolver,
            timeout: self.timeout(context, id),
        };
        self.calls.borrow_mut().insert(id, waiter);
        deferred
    }

    fn timeout(self: &Rc<Self>, context: &CallContext, id: u64) -> DelayedCall {
        let now = context.reactor.now();
        let own = self.limits.call_deadline;
        let after = context
            .deadline
            .map_or(own, |deadline| deadline.since(now).min(own));
        let late = Rc::downgrade(self);
        context.reactor.call_later(after, move || {
            let Some(pending) = late.upgrade() else {
                return;
            };
            let object = pending.interface.to_owned();
            if let Some((_, resolver)) = pending.take(id) {
                resolver.fail(NoAnswer { object, after });
            }
        })
    }

    fn take(&self, id: u64) -> Option<(usize, Resolver<Value>)> {
        let waiter = self.calls.borrow_mut().remove(&id)?;
        // It may be what runs now.
        waiter.timeout.cancel().ok();
        Some((waiter.method, waiter.resolver))
    }

    /// An answer came.
    pub(crate) fn answered(&self, id: u64) -> Asked {
        match self.take(id) {
            Some((method, resolver)) => Asked::Waits(method, resolver),
            None if (1..=self.last.get()).contains(&id) => Asked::Late,
            None => Asked::Never,
        }
    }

    /// Nothing more comes: whatever waits has failed.
    pub(crate) fn lost(&self, reason: &Failure) {
        let reason = reason.to_string();
        self.link.replace(Link::Lost(reason.clone()));
        for waiter in self.calls.take().into_values() {
            waiter.timeout.cancel().ok();
            waiter.resolver.fail(self.disconnected(reason.clone()));
        }
    }
}

/// Closes the connection when the last client of it goes.
#[derive(Debug)]
pub(crate) struct Held(pub(crate) Rc<Pending>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Ok(transport) = self.0.transport() {
            transport.lose_connection();
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, waiting) = (self.interface, self.calls.borrow().len());
        write!(f, "Pending({waiting} of {name} wait)")
    }
}
