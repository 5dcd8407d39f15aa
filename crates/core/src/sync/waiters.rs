//! Who waits for a token or an item, first come first served. Knows neither tokens nor items.

use super::WAITERS_MAX;
use crate::deferred::{Deferred, Resolver};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

pub(super) struct Waiters<T: 'static> {
    /// By ticket, so that one who cancels is found, and the first is first.
    resolvers: RefCell<BTreeMap<u64, Resolver<T>>>,
    last_ticket: Cell<u64>,
    max: Cell<usize>,
    serving: Cell<bool>,
}

impl<T: 'static> Waiters<T> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            resolvers: RefCell::default(),
            last_ticket: Cell::new(0),
            max: Cell::new(WAITERS_MAX),
            serving: Cell::new(false),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.resolvers.borrow().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resolvers.borrow().is_empty()
    }

    pub(super) fn max(&self) -> usize {
        self.max.get()
    }

    pub(super) fn set_max(&self, max: usize) {
        self.max.set(max);
    }

    /// One more at the end of the queue, or `None` when it is full. The first `due` do not count: a `serve` that runs
    /// has something for them. Cancelling takes the place back.
    #[track_caller]
    pub(super) fn wait(self: &Rc<Self>, due: usize) -> Option<Deferred<T>> {
        if self.len() >= self.max.get().saturating_add(due) {
            return None;
        }
        let ticket = self.last_ticket.get() + 1;
        self.last_ticket.set(ticket);
        let waiters = Rc::downgrade(self);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            if let Some(waiters) = waiters.upgrade() {
                let gone = waiters.resolvers.borrow_mut().remove(&ticket);
                drop(gone);
            }
        });
        self.resolvers.borrow_mut().insert(ticket, resolver);
        Some(deferred)
    }

    /// Gives each who waits what `take` has, until either is at an end. Their callbacks run in here, and what they
    /// hand back while this runs is given out by this loop: no recursion, however many wait.
    pub(super) fn serve(&self, mut take: impl FnMut() -> Option<T>) {
        if self.serving.replace(true) {
            return;
        }
        let _serving = Serving(&self.serving);
        while !self.is_empty()
            && let Some(given) = take()
        {
            let first = self.resolvers.borrow_mut().pop_first();
            let (_, resolver) = first.expect("`take` runs no code that cancels");
            resolver.resolve(given);
        }
    }
}

/// Ends the serving, also when dropping a value panics.
struct Serving<'a>(&'a Cell<bool>);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
