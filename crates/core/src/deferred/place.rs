//! `Place`: where a link's result rests until somebody takes it, and who that will be. Runs nothing.

use super::{
    chain::{Input, Output},
    head::Head,
    unhandled::Unhandled,
};
use crate::failure::{Failure, Result};
use std::{cell::Cell, rc::Rc, task::Waker};

pub(super) struct Place<T: 'static> {
    result: Cell<Option<Result<T, Unhandled>>>,
    /// Whether the result is there: to look at one byte instead of moving the whole costs a third less.
    done: Cell<bool>,
    pub(super) next: Cell<Next<T>>,
}

/// Who gets the result.
#[derive(Default)]
pub(super) enum Next<T: 'static> {
    /// Nobody has asked: it rests.
    #[default]
    Nobody,
    /// The callback that was added.
    Link(Rc<dyn Input<T>>),
    Other(Other<T>),
}

/// Who else. Apart, so that the usual links are told and dropped without a table of jumps.
pub(super) enum Other<T: 'static> {
    /// The link whose callback returned this chain.
    Waiting(Rc<dyn Output<T>>),
    /// The task that awaits it.
    Task(Waker),
}

impl<T: 'static> Place<T> {
    pub(super) fn new() -> Self {
        Self {
            result: Cell::new(None),
            done: Cell::new(false),
            next: Cell::new(Next::Nobody),
        }
    }

    #[inline]
    pub(super) fn put(&self, result: Result<T>, head: &dyn Head) {
        let rests = result.map_err(|failure| Unhandled::new(failure, head.created()));
        self.result.set(Some(rests));
        self.done.set(true);
    }

    #[inline]
    pub(super) fn set_next(&self, next: Next<T>) {
        self.next.set(next);
    }

    pub(super) fn has_result(&self) -> bool {
        self.done.get()
    }

    /// The result, if it is there.
    #[inline]
    pub(super) fn take(&self) -> Option<Result<T, Failure>> {
        if !self.done.replace(false) {
            return None;
        }
        Some(self.result.take()?.map_err(Unhandled::take))
    }
}
