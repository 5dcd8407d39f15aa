//! `Place`: where a part of a chain keeps its result until somebody takes it, or who will get it. Runs nothing.

use super::{
    chain::{Input, Resume},
    head::Head,
    unhandled::Unhandled,
};
use crate::failure::Result;
use std::{cell::Cell, rc::Rc, task::Waker};

/// One part of a chain: the head or a link. The place comes first, so that whoever holds a part of a type that is not
/// known reaches it without a virtual call.
pub(super) struct Part<T: 'static, B: ?Sized> {
    pub(super) place: Place<T>,
    pub(super) body: B,
}

/// What a part has beside its place, when its type does not matter.
pub(super) trait Body {}

impl<B> Body for B {}

/// The cells that a usual step looks at hold two words at most, where `T` allows it: these are read and written word by
/// word. A wider one is copied in pieces of another size than those just written, and the processor waits for each.
pub(super) struct Place<T: 'static> {
    /// The callback that was added: it gets the result.
    next: Cell<Option<Rc<dyn Input<T>>>>,
    /// The link that gets it otherwise: its callback returned this chain.
    waiting: Cell<Option<Waiting<T>>>,
    /// The task that awaits it.
    task: Cell<Option<Waker>>,
    /// Whether one of the two is there: one look for the usual end of a chain.
    is_awaited: Cell<bool>,
    /// The result, which rests.
    result: Cell<Option<Result<T, Unhandled>>>,
}

/// A link that waits for a chain, and the head of its own.
pub(super) struct Waiting<T: 'static> {
    pub(super) link: Rc<dyn Resume<T>>,
    pub(super) head: Rc<dyn Head>,
}

impl<T: 'static> Place<T> {
    pub(super) fn new() -> Self {
        Self {
            next: Cell::new(None),
            waiting: Cell::new(None),
            task: Cell::new(None),
            is_awaited: Cell::new(false),
            result: Cell::new(None),
        }
    }

    /// Keeps the result.
    #[inline]
    pub(super) fn put(&self, result: Result<T>, head: &dyn Head) {
        let rests = result.map_err(|failure| Unhandled::new(failure, head.created()));
        self.result.set(Some(rests));
    }

    /// The result, if it is there.
    #[inline]
    pub(super) fn take(&self) -> Option<Result<T>> {
        Some(self.result.take()?.map_err(Unhandled::take))
    }

    /// The result, which is not there, goes to `next` when it comes.
    #[inline]
    pub(super) fn ask(&self, next: Rc<dyn Input<T>>) {
        self.next.set(Some(next));
    }

    /// The same for a link whose callback returned this chain.
    pub(super) fn ask_for(&self, waiting: Waiting<T>) {
        self.waiting.set(Some(waiting));
        self.is_awaited.set(true);
    }

    /// The same for a task, or for none after all.
    pub(super) fn set_task(&self, task: Option<Waker>) {
        self.is_awaited.set(task.is_some());
        self.task.set(task);
    }

    /// The callback that gets the result, which is there now.
    #[inline(always)]
    pub(super) fn take_next(&self) -> Option<Rc<dyn Input<T>>> {
        self.next.take()
    }

    /// Whether a link or a task gets it.
    #[inline(always)]
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited.get()
    }

    /// The link that gets it.
    pub(super) fn take_waiting(&self) -> Option<Waiting<T>> {
        self.is_awaited.set(false);
        self.waiting.take()
    }

    /// The task that gets it.
    pub(super) fn take_task(&self) -> Option<Waker> {
        self.is_awaited.set(false);
        self.task.take()
    }

    pub(super) fn has_result(&self) -> bool {
        let result = self.result.take();
        let has_result = result.is_some();
        self.result.set(result);
        has_result
    }
}
