//! The head of a chain: fired once by its resolver or by a cancel. Knows nothing of links.

use super::{
    chain::{self, Output, Run},
    place::Place,
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
pub(super) struct Node<T: 'static> {
    place: Place<T>,
    stage: Cell<Stage>,
    created: &'static Location<'static>,
}

/// The stages of a head. Those that the chain passes come and go after the others.
#[derive(Default)]
enum Stage {
    /// Not fired; this is called when it is cancelled.
    Waiting(Option<Box<dyn FnOnce()>>),
    /// The canceller runs.
    Cancelling,
    /// It has fired, and nothing in the chain waits.
    #[default]
    Fired,
    /// It has fired, and a callback returned a Deferred that waits.
    Inner(Weak<dyn Head>),
}

impl<T: 'static> Node<T> {
    #[inline]
    pub(super) fn new(
        canceller: Option<Box<dyn FnOnce()>>,
        created: &'static Location<'static>,
    ) -> Rc<Self> {
        in_place(|| Self {
            place: Place::new(),
            stage: Cell::new(Stage::Waiting(canceller)),
            created,
        })
    }

    /// Fires once; a later one, after a cancel, is swallowed.
    #[inline]
    pub(super) fn fire(self: Rc<Self>, result: Result<T>) {
        match self.stage.take() {
            // Whatever the canceller holds is of no use now, and may hold the chain itself.
            Stage::Waiting(canceller) => drop(canceller),
            Stage::Cancelling => {}
            fired => return self.stage.set(fired),
        }
        let head = Rc::clone(&self) as Rc<dyn Head>;
        chain::fire(&self.place, result, head);
    }

    /// Its resolver was dropped. While the canceller runs that is the canceller's doing.
    pub(super) fn abandon(self: Rc<Self>) {
        match self.stage.take() {
            Stage::Waiting(canceller) => {
                self.stage.set(Stage::Waiting(canceller));
                self.fire(Err(Failure::from(Abandoned)));
            }
            other => self.stage.set(other),
        }
    }

    pub(super) fn is_fired(&self) -> bool {
        let stage = self.stage.take();
        let fired = matches!(stage, Stage::Fired | Stage::Inner(_));
        self.stage.set(stage);
        fired
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
        self.created
    }

    fn wait_for(&self, inner: Option<Weak<dyn Head>>) {
        self.stage.set(inner.map_or(Stage::Fired, Stage::Inner));
    }

    fn cancel_step(self: Rc<Self>) -> CancelStep {
        match self.stage.take() {
            Stage::Waiting(canceller) => {
                self.stage.set(Stage::Cancelling);
                if let Some(canceller) = canceller
                    && let Err(payload) = catch_unwind(AssertUnwindSafe(canceller))
                {
                    unhandled::log(&Failure::from_panic(&*payload), self.created);
                }
                match self.stage.take() {
                    Stage::Cancelling => {
                        self.stage.set(Stage::Cancelling);
                        self.fire(Err(Failure::from(Cancelled)));
                    }
                    fired => self.stage.set(fired),
                }
                CancelStep::Done
            }
            Stage::Inner(inner) => {
                let upgraded = inner.upgrade();
                self.stage.set(Stage::Inner(inner));
                upgraded.map_or(CancelStep::Done, CancelStep::Inner)
            }
            other => {
                self.stage.set(other);
                CancelStep::Done
            }
        }
    }
}

impl<T: 'static> Output<T> for Node<T> {
    fn place(&self) -> &Place<T> {
        &self.place
    }

    fn resume(self: Rc<Self>, _: Result<T>, _: &mut Run) {
        unreachable!("a head waits for its resolver, never for a chain")
    }
}
