//! How a chain is held and run: one `Rc` a link, each owned by the one before it, and no recursion however long it is.
//! Knows no public type.
//!
//! The head is shared by a resolver and the Deferred, the last link by the one before it and the Deferred. A result is
//! handed from link to link. Where a callback returned a Deferred that waits, its link becomes the end of that chain,
//! and the head remembers what to cancel. A link that waits for another chain owns its own head, and that chain owns
//! the link: the circle ends when that chain fires, and every chain fires, because a dropped resolver fires it.

use super::{
    head::{CancelStep, Head, in_place},
    place::{Next, Other, Place},
};
use crate::{
    context::{self, Context},
    failure::{self, Failure, Passed, Result},
};
use std::{
    cell::Cell,
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
    tail: Rc<dyn Output<T>>,
    head: Rc<dyn Head>,
}

/// Something that takes a `T` from the link before it.
pub(super) trait Input<T> {
    fn accept(self: Rc<Self>, input: Result<T>, run: &mut Run);
}

/// Something whose result is a `T`.
pub(super) trait Output<T: 'static> {
    fn place(&self) -> &Place<T>;
    /// The chain that it waited for has fired.
    fn resume(self: Rc<Self>, result: Result<T>, run: &mut Run);
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
    pub(super) fn new<H: Head + Output<T> + 'static>(head: &Rc<H>) -> Self {
        Self {
            tail: Rc::clone(head) as Rc<dyn Output<T>>,
            head: Rc::clone(head) as Rc<dyn Head>,
        }
    }

    /// Adds a callback; it runs now if the chain has its result.
    #[inline]
    pub(super) fn then<U: 'static>(
        self,
        callback: impl FnOnce(Result<T>) -> Flow<U> + 'static,
        added: &'static Location<'static>,
    ) -> Chain<U> {
        let context = Context::current();
        let link = in_place(|| Link {
            stage: Cell::new(Stage::Callback(callback)),
            place: Place::new(),
            context,
            added,
        });
        let Self { tail, head } = self;
        let place = tail.place();
        match place.take() {
            None => place
                .next
                .set(Next::Link(Rc::clone(&link) as Rc<dyn Input<T>>)),
            Some(result) => {
                let input: Rc<dyn Input<T>> = Rc::clone(&link) as Rc<dyn Input<T>>;
                Run::start(Rc::clone(&head), |run| input.accept(result, run));
            }
        }
        Chain { tail: link, head }
    }

    /// The result, if it is there.
    #[inline]
    pub(super) fn take(&self) -> Option<Result<T>> {
        self.tail.place().take()
    }

    pub(super) fn has_result(&self) -> bool {
        self.tail.place().has_result()
    }

    /// Whom to wake when the result is there.
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.tail
            .place()
            .set_next(Next::Other(Other::Task(waker.clone())));
    }

    pub(super) fn head(&self) -> &Rc<dyn Head> {
        &self.head
    }
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
        begin(&mut run);
        while let Some(at) = run.paused.take() {
            run.depth = DEPTH;
            at.go_on(&mut run);
        }
    }

    /// Whether a link may hand on directly.
    #[inline]
    fn deeper(&mut self) -> bool {
        let may = self.depth > 0;
        self.depth = self.depth.saturating_sub(1);
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

/// The result of the head goes to whoever waits for it.
#[inline]
pub(super) fn fire<T: 'static>(place: &Place<T>, result: Result<T>, head: Rc<dyn Head>) {
    match place.next.take() {
        Next::Link(next) => Run::start(head, |run| next.accept(result, run)),
        Next::Other(Other::Waiting(next)) => Run::start(head, |run| next.resume(result, run)),
        Next::Nobody => place.put(result, &*head),
        Next::Other(Other::Task(waker)) => {
            place.put(result, &*head);
            waker.wake();
        }
    }
}

/// A callback, and where its result goes.
struct Link<U: 'static, F> {
    stage: Cell<Stage<F>>,
    place: Place<U>,
    /// What was in force when the callback was added.
    context: Context,
    added: &'static Location<'static>,
}

/// The stages of a link, in the order in which it passes them.
#[derive(Default)]
enum Stage<F> {
    /// It waits for its input.
    Callback(F),
    /// It waits for the chain that its callback returned, and keeps the head of its own.
    Inner(Rc<dyn Head>),
    /// It waits for nothing.
    #[default]
    Done,
}

impl<T: 'static, U: 'static, F> Input<T> for Link<U, F>
where
    F: FnOnce(Result<T>) -> Flow<U> + 'static,
{
    fn accept(self: Rc<Self>, input: Result<T>, run: &mut Run) {
        let Stage::Callback(callback) = self.stage.take() else {
            return;
        };
        let callback = |input| context::run_in(&self.context, || callback(input));
        match guarded(callback, input, self.added) {
            Flow::Now(result) => self.hand_on(result, run),
            Flow::Later(inner) => self.wait_for(inner, run),
        }
    }
}

impl<U: 'static, F: 'static> Link<U, F> {
    // Always: a step is a call less, and the others that hand on are rare.
    #[inline(always)]
    fn hand_on(self: Rc<Self>, result: Result<U>, run: &mut Run) {
        match self.place.next.take() {
            Next::Link(next) if run.deeper() => {
                drop(self);
                next.accept(result, run);
            }
            Next::Other(Other::Waiting(next)) if run.deeper() => {
                drop(self);
                next.resume(result, run);
            }
            next => self.rest(result, next, run),
        }
    }

    /// Keeps the result: nobody takes it yet, a task does, or the loop must go on from here.
    fn rest(self: Rc<Self>, result: Result<U>, next: Next<U>, run: &mut Run) {
        self.place.put(result, &*run.head);
        match next {
            Next::Nobody => {}
            Next::Other(Other::Task(waker)) => waker.wake(),
            next => {
                self.place.next.set(next);
                run.paused = Some(self);
            }
        }
    }

    /// The callback returned another chain: goes on with its result, now or when it comes.
    #[cold]
    fn wait_for(self: Rc<Self>, inner: Chain<U>, run: &mut Run) {
        if let Some(result) = inner.take() {
            return self.hand_on(result, run);
        }
        run.head.wait_for(Some(Rc::downgrade(&inner.head)));
        self.stage.set(Stage::Inner(Rc::clone(&run.head)));
        inner
            .tail
            .place()
            .next
            .set(Next::Other(Other::Waiting(self)));
    }
}

impl<U: 'static, F: 'static> Output<U> for Link<U, F> {
    fn place(&self) -> &Place<U> {
        &self.place
    }

    fn resume(self: Rc<Self>, result: Result<U>, run: &mut Run) {
        if let Stage::Inner(head) = self.stage.take() {
            head.wait_for(None);
            run.head = head;
            self.hand_on(result, run);
        }
    }
}

impl<U: 'static, F: 'static> GoOn for Link<U, F> {
    fn go_on(self: Rc<Self>, run: &mut Run) {
        if let Some(result) = self.place.take() {
            self.hand_on(result, run);
        }
    }
}
