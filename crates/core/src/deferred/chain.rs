//! How a chain is held and run: one `Rc` a waiting step, one loop instead of recursion. Knows no public type.
//!
//! A node points at the step that waits for it and a step points back at what it waits for. That circle is broken
//! when the node fires, and every node fires: a dropped resolver fires it.

use crate::{
    error::{Abandoned, Cancelled},
    failure::{Failure, Result},
};
use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, Location, catch_unwind},
    rc::Rc,
    task::Waker,
};

/// Where a chain stands.
pub(crate) enum State<T> {
    Done(Result<T>),
    Waiting(Rc<dyn Output<T>>),
    Taken,
}

/// Something in a chain, whatever its type.
pub(crate) trait Chained {
    /// What it waited for is there: do the work and return who is next.
    fn advance(self: Rc<Self>) -> Option<Rc<dyn Chained>>;
    /// Where to go to cancel it.
    fn cancel_step(&self) -> CancelStep;
}

pub(crate) enum CancelStep {
    /// It waits for this one: cancel that instead.
    Upstream(Rc<dyn Chained>),
    /// It has been failed; this one is next.
    Fired(Option<Rc<dyn Chained>>),
    /// Nothing to cancel.
    Nothing,
}

/// Something in a chain that ends in a `T`.
pub(crate) trait Output<T>: Chained {
    fn is_done(&self) -> bool;
    /// The result, which must be there.
    fn take(&self) -> Result<T>;
    fn set_next(&self, next: Rc<dyn Chained>);
    fn set_waker(&self, waker: Waker);
    fn into_chained(self: Rc<Self>) -> Rc<dyn Chained>;
}

/// Adds a callback: runs it now, or makes a step that waits.
pub(crate) fn then<T: 'static, U: 'static>(
    state: State<T>,
    callback: impl FnOnce(Result<T>) -> State<U> + 'static,
) -> State<U> {
    match state {
        State::Done(result) => guarded(callback, result),
        State::Waiting(upstream) => {
            let step = Rc::new(Step {
                place: Place::new(),
                wait: RefCell::new(Wait::Upstream(Rc::clone(&upstream), callback)),
            });
            upstream.set_next(Rc::clone(&step) as Rc<dyn Chained>);
            State::Waiting(step)
        }
        State::Taken => unreachable!("a Deferred is consumed by what takes its state"),
    }
}

/// Walks up to what a chain waits for and cancels that.
pub(crate) fn cancel(mut at: Rc<dyn Chained>) {
    loop {
        match at.cancel_step() {
            CancelStep::Upstream(upstream) => at = upstream,
            CancelStep::Fired(next) => return run(next),
            CancelStep::Nothing => return,
        }
    }
}

/// Logs a failure that nobody handled.
#[cold]
pub(crate) fn unhandled(failure: &Failure, created: Option<&'static Location<'static>>) {
    match created {
        Some(created) => {
            tracing::error!(target: "tress", "unhandled failure in a Deferred created at {created}: {failure:?}");
        }
        None => tracing::error!(target: "tress", "unhandled failure in a Deferred: {failure:?}"),
    }
}

/// The trampoline: a chain of any length runs in one loop.
fn run(mut next: Option<Rc<dyn Chained>>) {
    while let Some(chained) = next {
        next = chained.advance();
    }
}

fn guarded<T, U>(callback: impl FnOnce(Result<T>) -> State<U>, result: Result<T>) -> State<U> {
    catch_unwind(AssertUnwindSafe(|| callback(result)))
        .unwrap_or_else(|payload| State::Done(Err(Failure::from_panic(&*payload))))
}

/// Where a result rests until the next one takes it. Dropped with a failure in it, it logs that.
struct Place<T> {
    result: Cell<Option<Result<T>>>,
    done: Cell<bool>,
    next: Cell<Next>,
}

#[derive(Default)]
enum Next {
    #[default]
    Nobody,
    Step(Rc<dyn Chained>),
    Task(Waker),
}

impl<T> Place<T> {
    fn new() -> Self {
        Self {
            result: Cell::new(None),
            done: Cell::new(false),
            next: Cell::new(Next::Nobody),
        }
    }

    fn put(&self, result: Result<T>) -> Option<Rc<dyn Chained>> {
        self.result.set(Some(result));
        self.done.set(true);
        match self.next.take() {
            Next::Nobody => None,
            Next::Step(step) => Some(step),
            Next::Task(waker) => {
                waker.wake();
                None
            }
        }
    }

    fn take(&self) -> Result<T> {
        self.result
            .take()
            .expect("a result is taken once, after it was put")
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        if let Some(Err(failure)) = self.result.take() {
            unhandled(&failure, None);
        }
    }
}

/// The head of a chain, shared by a resolver and a Deferred.
pub(crate) struct Node<T> {
    place: Place<T>,
    canceller: Cell<Option<Box<dyn FnOnce()>>>,
    cancelling: Cell<bool>,
    created: &'static Location<'static>,
}

impl<T: 'static> Node<T> {
    pub(crate) fn new(
        canceller: Option<Box<dyn FnOnce()>>,
        created: &'static Location<'static>,
    ) -> Self {
        Self {
            place: Place::new(),
            canceller: Cell::new(canceller),
            cancelling: Cell::new(false),
            created,
        }
    }

    /// Its resolver was dropped. While the canceller runs that is the canceller's doing.
    pub(crate) fn abandon(&self) {
        if !self.cancelling.get() {
            self.fire(Err(Failure::from(Abandoned)));
        }
    }

    pub(crate) fn is_fired(&self) -> bool {
        self.place.done.get()
    }

    /// Fires once; a later one, after a cancel, is swallowed.
    pub(crate) fn fire(&self, result: Result<T>) {
        if !self.place.done.get() {
            // Whatever the canceller holds is of no use now, and may hold the chain itself.
            self.canceller.take();
            run(self.place.put(result));
        }
    }
}

impl<T: 'static> Chained for Node<T> {
    fn advance(self: Rc<Self>) -> Option<Rc<dyn Chained>> {
        None
    }

    fn cancel_step(&self) -> CancelStep {
        if self.place.done.get() {
            return CancelStep::Nothing;
        }
        self.cancelling.set(true);
        if let Some(canceller) = self.canceller.take()
            && let Err(payload) = catch_unwind(AssertUnwindSafe(canceller))
        {
            unhandled(&Failure::from_panic(&*payload), Some(self.created));
        }
        if self.place.done.get() {
            CancelStep::Nothing
        } else {
            CancelStep::Fired(self.place.put(Err(Failure::from(Cancelled))))
        }
    }
}

impl<T: 'static> Output<T> for Node<T> {
    fn is_done(&self) -> bool {
        self.place.done.get()
    }

    fn take(&self) -> Result<T> {
        self.place.take()
    }

    fn set_next(&self, next: Rc<dyn Chained>) {
        self.place.next.set(Next::Step(next));
    }

    fn set_waker(&self, waker: Waker) {
        self.place.next.set(Next::Task(waker));
    }

    fn into_chained(self: Rc<Self>) -> Rc<dyn Chained> {
        self
    }
}

impl<T> Drop for Node<T> {
    fn drop(&mut self) {
        if let Some(Err(failure)) = self.place.result.take() {
            unhandled(&failure, Some(self.created));
        }
    }
}

/// A callback and what it waits for.
struct Step<T: 'static, U: 'static, F> {
    place: Place<U>,
    wait: RefCell<Wait<T, U, F>>,
}

/// The states of a step, in the order in which it passes them.
enum Wait<T: 'static, U: 'static, F> {
    /// For the value that the callback gets.
    Upstream(Rc<dyn Output<T>>, F),
    /// For the Deferred that the callback returned.
    Inner(Rc<dyn Output<U>>),
    /// For nothing: it has its result, or is running.
    Nothing,
}

impl<T: 'static, U: 'static, F> Chained for Step<T, U, F>
where
    F: FnOnce(Result<T>) -> State<U> + 'static,
{
    fn advance(self: Rc<Self>) -> Option<Rc<dyn Chained>> {
        let wait = self.wait.replace(Wait::Nothing);
        let state = match wait {
            Wait::Upstream(upstream, callback) => {
                let result = upstream.take();
                drop(upstream);
                guarded(callback, result)
            }
            Wait::Inner(inner) => State::Done(inner.take()),
            Wait::Nothing => return None,
        };
        match state {
            State::Done(result) => self.place.put(result),
            State::Waiting(inner) => {
                inner.set_next(Rc::clone(&self) as Rc<dyn Chained>);
                self.wait.replace(Wait::Inner(inner));
                None
            }
            State::Taken => unreachable!("a callback returns a Deferred that nobody consumed"),
        }
    }

    fn cancel_step(&self) -> CancelStep {
        match &*self.wait.borrow() {
            Wait::Upstream(upstream, _) => CancelStep::Upstream(Rc::clone(upstream).into_chained()),
            Wait::Inner(inner) => CancelStep::Upstream(Rc::clone(inner).into_chained()),
            Wait::Nothing => CancelStep::Nothing,
        }
    }
}

impl<T: 'static, U: 'static, F> Output<U> for Step<T, U, F>
where
    F: FnOnce(Result<T>) -> State<U> + 'static,
{
    fn is_done(&self) -> bool {
        self.place.done.get()
    }

    fn take(&self) -> Result<U> {
        self.place.take()
    }

    fn set_next(&self, next: Rc<dyn Chained>) {
        self.place.next.set(Next::Step(next));
    }

    fn set_waker(&self, waker: Waker) {
        self.place.next.set(Next::Task(waker));
    }

    fn into_chained(self: Rc<Self>) -> Rc<dyn Chained> {
        self
    }
}
