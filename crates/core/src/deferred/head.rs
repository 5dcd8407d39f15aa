//! The head of a chain: fired once by its resolver or by a cancel. Knows nothing of links.

use super::{
    chain,
    place::{Part, Place},
    unhandled,
};
use crate::{
    error::{Abandoned, Cancelled},
    failure::{Failure, Result},
};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    rc::{Rc, Weak},
};

/// The beginning of a chain, whatever its type.
pub(super) trait Head {
    /// Where the Deferred was made.
    fn created(&self) -> &'static Location<'static>;
    /// What the chain waits for since it fired; nothing when it goes on.
    fn wait_for(&self, inner: Option<Weak<dyn Head>>);
    /// Cancels it, or tells what to cancel instead.
    fn cancel_step(self: Rc<Self>) -> CancelStep;
}

pub(super) enum CancelStep {
    /// It has fired, and its chain waits for this one.
    Inner(Rc<dyn Head>),
    Done,
}

/// What a resolver and a Deferred share.
pub(super) type Node<T> = Part<T, Own>;

/// What a head has beside its place.
pub(super) struct Own {
    stage: Cell<Stage>,
    /// Called when it is cancelled before it fires.
    canceller: Cell<Option<Box<dyn FnOnce()>>>,
    /// What the chain waits for since it fired; nothing when it goes on.
    inner: Cell<Option<Weak<dyn Head>>>,
    created: &'static Location<'static>,
}

/// The stages of a head, in the order in which it passes them.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Waiting,
    /// The canceller runs.
    Cancelling,
    Fired,
}

impl<T: 'static> Node<T> {
    #[inline]
    pub(super) fn new(
        canceller: Option<Box<dyn FnOnce()>>,
        created: &'static Location<'static>,
    ) -> Rc<Self> {
        in_place(|| Self {
            place: Place::new(),
            body: Own {
                stage: Cell::new(Stage::Waiting),
                canceller: Cell::new(canceller),
                inner: Cell::new(None),
                created,
            },
        })
    }

    /// Fires once; a later one, after a cancel, is swallowed.
    #[inline]
    pub(super) fn fire(self: Rc<Self>, result: Result<T>) {
        if self.body.stage.replace(Stage::Fired) != Stage::Fired {
            // Whatever the canceller holds is of no use now, and may hold the chain itself.
            drop(self.body.canceller.take());
            chain::fire(self, result);
        }
    }

    /// Its resolver was dropped. While the canceller runs that is the canceller's doing.
    pub(super) fn abandon(self: Rc<Self>) {
        if self.body.stage.get() == Stage::Waiting {
            self.fire(Err(Failure::from(Abandoned)));
        }
    }

    pub(super) fn is_fired(&self) -> bool {
        self.body.stage.get() == Stage::Fired
    }

    /// Calls the canceller, and fires unless that has.
    fn cancel(self: Rc<Self>) {
        self.body.stage.set(Stage::Cancelling);
        if let Some(canceller) = self.body.canceller.take()
            && let Err(payload) = catch_unwind(AssertUnwindSafe(canceller))
        {
            unhandled::log(&Failure::from_panic(&*payload), self.body.created);
        }
        if !self.is_fired() {
            self.fire(Err(Failure::from(Cancelled)));
        }
    }
}

/// Makes a value where it will live. `Rc::new` makes it on the stack and copies it, in pieces of another size than
/// those that have just been written: the processor waits for each, which costs as much as all the rest.
#[inline]
pub(super) fn in_place<T>(make: impl FnOnce() -> T) -> Rc<T> {
    Rc::new_cyclic(|_| make())
}

impl<T: 'static> Head for Node<T> {
    fn created(&self) -> &'static Location<'static> {
        self.body.created
    }

    fn wait_for(&self, inner: Option<Weak<dyn Head>>) {
        self.body.inner.set(inner);
    }

    fn cancel_step(self: Rc<Self>) -> CancelStep {
        match self.body.stage.get() {
            Stage::Waiting => {
                self.cancel();
                CancelStep::Done
            }
            Stage::Cancelling => CancelStep::Done,
            Stage::Fired => {
                let inner = self.body.inner.take();
                let upgraded = inner.as_ref().and_then(Weak::upgrade);
                self.body.inner.set(inner);
                upgraded.map_or(CancelStep::Done, CancelStep::Inner)
            }
        }
    }
}
