//! How a chain is held and run: one `Rc` a link, each owned by the one before it, and no recursion however long it is.
//! Knows no public type.
//!
//! The head is shared by a resolver and the Deferred, the last link by the one before it and the Deferred. A result is
//! handed from link to link. Where a callback returned a Deferred that waits, its link becomes the end of that chain,
//! and the head remembers what to cancel. A link that waits for another chain owns its own head, and that chain owns
//! the link: the circle ends when that chain fires, and every chain fires, because a dropped resolver fires it.

use super::{
    head::{CancelStep, Head, in_place},
    place::{Body, Part, Place, Waiting},
};
use crate::{
    context::{self, Context},
    failure::{self, Failure, Passed, Result},
};
use std::{
    cell::Cell,
    mem,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    rc::Rc,
    task::Waker,
};

/// Links that hand their result on directly before it rests in one of them and the loop in `run` goes on from there.
const DEPTH: u32 = 32;

/// What a callback came to: a result, or a chain that will have one.
pub(super) enum Flow<T: 'static> {
    Now(Result<T>),
    Later(Chain<T>),
}

/// A chain that somebody holds the end of.
pub(super) struct Chain<T: 'static> {
    tail: End<T>,
    head: Rc<dyn Head>,
}

/// The last part of a chain: only its place matters.
type End<T> = Rc<Part<T, dyn Body>>;

/// Something that takes a `T` from the link before it.
pub(super) trait Input<T> {
    fn accept(self: Rc<Self>, input: Result<T>, run: &mut Run);
}

/// Something that waits for a chain, whose result is a `T`.
pub(super) trait Resume<T> {
    fn resume(self: Rc<Self>, result: Result<T>, head: Rc<dyn Head>, run: &mut Run);
}

/// Something that a result rests in although it has to go on.
trait GoOn {
    fn go_on(self: Rc<Self>, run: &mut Run);
}

/// A result on its way.
pub(super) struct Run {
    /// The head of the chain that it is in.
    head: Rc<dyn Head>,
    /// How many links may still hand it on directly.
    depth: u32,
    /// Where it rests when those are used up.
    paused: Option<Rc<dyn GoOn>>,
}

impl<T: 'static> Chain<T> {
    /// A chain of nothing but its head.
    #[inline]
    pub(super) fn new<B: Body + 'static>(head: &Rc<Part<T, B>>) -> Self
    where
        Part<T, B>: Head,
    {
        Self {
            tail: Rc::clone(head) as End<T>,
            head: Rc::clone(head) as Rc<dyn Head>,
        }
    }

    /// Adds a callback, which runs in the context that is in force here; now, if the chain has its result.
    #[inline]
    pub(super) fn then<U: 'static>(
        self,
        callback: impl FnOnce(Result<T>) -> Flow<U> + 'static,
        added: &'static Location<'static>,
    ) -> Chain<U> {
        let Self { tail, head } = self;
        if context::is_any() {
            return link_in_context(tail, head, callback, added);
        }
        link(tail, head, callback, added)
    }

    /// The result, if it is there.
    #[inline]
    pub(super) fn take(&self) -> Option<Result<T>> {
        self.tail.place.take()
    }

    pub(super) fn has_result(&self) -> bool {
        self.tail.place.has_result()
    }

    /// Whom to wake when the result is there.
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.tail.place.set_task(Some(waker.clone()));
    }

    /// The task that awaited it goes on without it.
    pub(super) fn forget_waker(&self) {
        self.tail.place.set_task(None);
    }

    pub(super) fn head(&self) -> &Rc<dyn Head> {
        &self.head
    }
}

// The next three take a chain in its pieces: passed as one it would have to be in memory, even where they are not called.

/// Adds a link.
#[inline(always)]
fn link<T: 'static, U: 'static>(
    tail: End<T>,
    head: Rc<dyn Head>,
    callback: impl FnOnce(Result<T>) -> Flow<U> + 'static,
    added: &'static Location<'static>,
) -> Chain<U> {
    let link = in_place(|| Part {
        place: Place::new(),
        body: Link {
            callback: Cell::new(Some(callback)),
            added,
        },
    });
    let input = Rc::clone(&link);
    match tail.place.take() {
        None => tail.place.ask(input),
        Some(result) => run_now(input, result, Rc::clone(&head)),
    }
    Chain { tail: link, head }
}

/// Adds a link that brings along what is in force here.
#[cold]
#[inline(never)]
fn link_in_context<T: 'static, U: 'static>(
    tail: End<T>,
    head: Rc<dyn Head>,
    callback: impl FnOnce(Result<T>) -> Flow<U> + 'static,
    added: &'static Location<'static>,
) -> Chain<U> {
    let context = Context::current();
    link(
        tail,
        head,
        move |input| context.run(|| callback(input)),
        added,
    )
}

/// The chain that a link was added to has its result.
#[cold]
#[inline(never)]
fn run_now<T>(input: Rc<dyn Input<T>>, result: Result<T>, head: Rc<dyn Head>) {
    Run::start(head, |run| input.accept(result, run));
}

/// Cancels what a chain waits for, however deep that is.
pub(super) fn cancel(mut head: Rc<dyn Head>) {
    while let CancelStep::Inner(inner) = head.cancel_step() {
        head = inner;
    }
}

impl Run {
    /// The trampoline: a chain of any length runs in one loop.
    #[inline]
    fn start(head: Rc<dyn Head>, begin: impl FnOnce(&mut Self)) {
        let mut run = Self {
            head,
            depth: DEPTH,
            paused: None,
        };
        // Callbacks that were added in a context bring it along.
        context::run_in(&Context::default(), || {
            begin(&mut run);
            while let Some(at) = run.paused.take() {
                run.depth = DEPTH;
                at.go_on(&mut run);
            }
        });
    }

    /// Whether a link may hand on directly.
    #[inline]
    fn deeper(&mut self) -> bool {
        let may = self.depth > 0;
        if may {
            self.depth -= 1;
        }
        may
    }
}

/// Calls a callback that was added there: a panic becomes a failure.
#[inline]
pub(super) fn guarded<T, U: 'static>(
    callback: impl FnOnce(Result<T>) -> Flow<U>,
    input: Result<T>,
    added: &'static Location<'static>,
) -> Flow<U> {
    let flow = catch_unwind(AssertUnwindSafe(|| callback(input)))
        .unwrap_or_else(|payload| Flow::Now(Err(Failure::from_panic(&*payload))));
    if let Flow::Now(Err(failure)) = &flow {
        failure::passes(failure, Passed::Callback, added);
    }
    flow
}

/// The result of a head goes to whoever waits for it.
#[inline]
pub(super) fn fire<T: 'static, B: 'static>(head: Rc<Part<T, B>>, result: Result<T>)
where
    Part<T, B>: Head,
{
    if let Some(next) = head.place.take_next() {
        return Run::start(head, |run| next.accept(result, run));
    }
    if head.place.is_awaited()
        && let Some(Waiting { link, head: its }) = head.place.take_waiting()
    {
        return Run::start(head, |run| link.resume(result, its, run));
    }
    head.place.put(result, &*head);
    if let Some(task) = head.place.take_task() {
        task.wake();
    }
}

/// A callback.
struct Link<F> {
    /// Until it gets its input.
    callback: Cell<Option<F>>,
    added: &'static Location<'static>,
}

impl<T: 'static, U: 'static, F> Input<T> for Part<U, Link<F>>
where
    F: FnOnce(Result<T>) -> Flow<U> + 'static,
{
    fn accept(self: Rc<Self>, input: Result<T>, run: &mut Run) {
        let Some(callback) = self.body.callback.take() else {
            return;
        };
        match guarded(callback, input, self.body.added) {
            Flow::Now(result) => self.hand_on(result, run),
            Flow::Later(inner) => self.wait_for(inner, run),
        }
    }
}

impl<U: 'static, F: 'static> Part<U, Link<F>> {
    // Always: a step is a call less, and the others that hand on are rare.
    #[inline(always)]
    fn hand_on(self: Rc<Self>, result: Result<U>, run: &mut Run) {
        match self.place.take_next() {
            Some(next) if run.deeper() => {
                // All it had is gone. Dropping it would look at each cell again, which costs as much as the rest.
                debug_assert!(!self.place.is_awaited() && !self.place.has_result());
                if let Some(spent) = Rc::into_inner(self) {
                    mem::forget(spent);
                }
                next.accept(result, run);
            }
            None if !self.place.is_awaited() => self.place.put(result, &*run.head),
            next => self.hand_on_rarely(result, next, run),
        }
    }

    /// The same to a link that waits or a task, and when the loop must go on from here.
    #[cold]
    #[inline(never)]
    fn hand_on_rarely(
        self: Rc<Self>,
        result: Result<U>,
        next: Option<Rc<dyn Input<U>>>,
        run: &mut Run,
    ) {
        if let Some(next) = next {
            self.place.ask(next);
            return self.pause(result, run);
        }
        if let Some(waiting) = self.place.take_waiting() {
            if run.deeper() {
                drop(self);
                return waiting.link.resume(result, waiting.head, run);
            }
            self.place.ask_for(waiting);
            return self.pause(result, run);
        }
        self.place.put(result, &*run.head);
        if let Some(task) = self.place.take_task() {
            task.wake();
        }
    }

    /// The result rests, and the loop goes on from here.
    fn pause(self: Rc<Self>, result: Result<U>, run: &mut Run) {
        self.place.put(result, &*run.head);
        run.paused = Some(self);
    }

    /// The callback returned another chain: goes on with its result, now or when it comes.
    #[cold]
    fn wait_for(self: Rc<Self>, inner: Chain<U>, run: &mut Run) {
        let Chain { tail, head } = inner;
        if let Some(result) = tail.place.take() {
            return self.hand_on(result, run);
        }
        run.head.wait_for(Some(Rc::downgrade(&head)));
        tail.place.ask_for(Waiting {
            link: self,
            head: Rc::clone(&run.head),
        });
    }
}

impl<U: 'static, F: 'static> Resume<U> for Part<U, Link<F>> {
    fn resume(self: Rc<Self>, result: Result<U>, head: Rc<dyn Head>, run: &mut Run) {
        head.wait_for(None);
        run.head = head;
        self.hand_on(result, run);
    }
}

impl<U: 'static, F: 'static> GoOn for Part<U, Link<F>> {
    fn go_on(self: Rc<Self>, run: &mut Run) {
        if let Some(result) = self.place.take() {
            self.hand_on(result, run);
        }
    }
}
