//! `Deferred<T>`: a value that is not there yet, and the chain of callbacks that waits for it. Knows no reactor.
//!
//! [`Resolver`] is the write side, consumed by firing; [`Deferred`] the read side, consumed by each callback added.
//! Callbacks run at once, in order, inside the call that fires. Source: Twisted's `internet/defer.py`.

mod chain;
mod head;
mod list;
mod outcome;
mod pause;
mod place;
mod race;
mod unhandled;

pub use list::{DeferredList, FirstError, gather_results};
pub use outcome::Outcome;
pub use pause::Pauser;
pub use race::{FailureGroup, race};

use crate::{
    error::Cancelled,
    failure::{self, Failure, Passed, Result},
};
use chain::{Chain, Flow};
use head::{Head, Node};
use std::{
    fmt,
    future::Future,
    mem,
    panic::Location,
    pin::Pin,
    rc::{Rc, Weak},
    task::{self, Poll},
};
use unhandled::Unhandled;

/// The read side of a value that comes later, or of the failure that comes instead.
///
/// Dropping the end of a chain detaches it: the callbacks still run, nothing is cancelled, and a failure that
/// nobody handles is logged once, when it arrives.
pub struct Deferred<T: 'static>(State<T>);

enum State<T: 'static> {
    Done(Result<T, Unhandled>),
    Waiting(Chain<T>),
    /// The same, and dropping it cancels: a task awaits it, or that was asked for.
    Guarded(CancelOnDrop<T>),
    Taken,
}

/// The write side: fires its [`Deferred`] once. Dropped unfired, it fails it with [`Abandoned`](crate::error::Abandoned).
pub struct Resolver<T: 'static>(Option<Rc<Node<T>>>);

/// Cancels a [`Deferred`] without owning it: all of its chain, wherever that has gone meanwhile.
#[derive(Clone)]
pub struct Canceller(Weak<dyn Head>);

impl<T: 'static> Deferred<T> {
    /// A Deferred and what fires it.
    #[track_caller]
    pub fn pair() -> (Resolver<T>, Self) {
        Self::from_node(Node::new(None, Location::caller()))
    }

    /// The same, with a function that `cancel` calls while it is unfired: it should make the resolver fire soon or
    /// be dropped. If the Deferred is still unfired when it returns, it fails with [`crate::error::Cancelled`].
    #[track_caller]
    pub fn with_canceller(canceller: impl FnOnce() + 'static) -> (Resolver<T>, Self) {
        Self::from_node(Node::new(Some(Box::new(canceller)), Location::caller()))
    }

    /// One that has its value already.
    pub fn succeed(value: T) -> Self {
        Self(State::Done(Ok(value)))
    }

    /// One that has failed already.
    #[track_caller]
    pub fn fail(failure: impl Into<Failure>) -> Self {
        Self::done(Err(failure.into()))
    }

    /// One that has this result already.
    #[track_caller]
    pub fn done(result: Result<T>) -> Self {
        Self(State::Done(Unhandled::rest(result, Location::caller())))
    }

    /// Calls `callback` with the value; a failure passes by.
    #[track_caller]
    pub fn add_callback<R: Outcome>(
        self,
        callback: impl FnOnce(T) -> R + 'static,
    ) -> Deferred<R::Value> {
        self.then(move |result| match result {
            Ok(value) => callback(value).into_deferred().into_flow(),
            Err(failure) => Flow::Now(Err(failure)),
        })
    }

    /// Calls `callback` with the value, for a callback that cannot fail and returns the next value.
    #[track_caller]
    pub fn map<U: 'static>(self, callback: impl FnOnce(T) -> U + 'static) -> Deferred<U> {
        self.then(move |result| Flow::Now(result.map(callback)))
    }

    /// Calls `errback` with the failure; a value passes by. Returning `Ok` goes on with that value.
    #[track_caller]
    pub fn add_errback<R: Outcome<Value = T>>(
        self,
        errback: impl FnOnce(Failure) -> R + 'static,
    ) -> Self {
        self.then(move |result| match result {
            Ok(value) => Flow::Now(Ok(value)),
            Err(failure) => errback(failure).into_deferred().into_flow(),
        })
    }

    /// Calls `callback` with whichever comes.
    #[track_caller]
    pub fn add_both<R: Outcome>(
        self,
        callback: impl FnOnce(Result<T>) -> R + 'static,
    ) -> Deferred<R::Value> {
        self.then(move |result| callback(result).into_deferred().into_flow())
    }

    /// Calls one of the two; `errback` does not see what `callback` fails with.
    #[track_caller]
    pub fn add_callbacks<R: Outcome, E: Outcome<Value = R::Value>>(
        self,
        callback: impl FnOnce(T) -> R + 'static,
        errback: impl FnOnce(Failure) -> E + 'static,
    ) -> Deferred<R::Value> {
        self.then(move |result| match result {
            Ok(value) => callback(value).into_deferred().into_flow(),
            Err(failure) => errback(failure).into_deferred().into_flow(),
        })
    }

    /// Lets the chain run by itself, as dropping it does; a failure that arrives at its end is logged.
    pub fn detach(self) {
        if let State::Guarded(chain) = self.0 {
            chain.disarm();
        }
    }

    /// Cancels what the chain waits for now: the resolver's side, or the inner Deferred that a callback returned.
    /// Nothing happens when it waits for nothing.
    pub fn cancel(&self) {
        if let Some(chain) = self.chain() {
            chain::cancel(Rc::clone(chain.head()));
        }
    }

    /// A handle that cancels it as [`Deferred::cancel`] does, while somebody else owns the chain and adds to it.
    /// `None` when it has its result.
    #[must_use]
    pub fn canceller(&self) -> Option<Canceller> {
        let waiting = self.chain().filter(|chain| !chain.has_result());
        waiting.map(|chain| Canceller(Rc::downgrade(chain.head())))
    }

    /// The same Deferred, but dropping it cancels it instead of detaching it, as it does once a task has awaited it.
    #[must_use]
    pub fn cancel_on_drop(self) -> Self {
        match self.0 {
            State::Waiting(chain) => Self(State::Guarded(CancelOnDrop(Some(chain)))),
            state => Self(state),
        }
    }

    /// The result, if it is there: for tests and for code that runs after the loop.
    ///
    /// # Errors
    /// The Deferred itself, when it has not fired.
    pub fn try_result(self) -> Result<Result<T>, Self> {
        match self.0 {
            State::Done(result) => Ok(result.map_err(Unhandled::take)),
            State::Waiting(chain) => match chain.take() {
                Some(result) => Ok(result),
                None => Err(Self(State::Waiting(chain))),
            },
            State::Guarded(chain) => match chain.take() {
                Some(result) => {
                    drop(chain.disarm());
                    Ok(result)
                }
                None => Err(Self(State::Guarded(chain))),
            },
            State::Taken => unreachable!("only a task that has its result leaves this behind"),
        }
    }

    #[inline]
    fn from_node(node: Rc<Node<T>>) -> (Resolver<T>, Self) {
        let chain = Chain::new(&node);
        (Resolver(Some(node)), Self(State::Waiting(chain)))
    }

    /// From now on dropping it cancels.
    fn guard(&mut self) {
        if let State::Waiting(_) = self.0 {
            let waiting = mem::replace(&mut self.0, State::Taken);
            self.0 = Self(waiting).cancel_on_drop().0;
        }
    }

    /// Its result has been taken: nothing is left to cancel.
    fn disarm(&mut self) {
        if let State::Guarded(chain) = &mut self.0 {
            drop(chain.0.take());
        }
        self.0 = State::Taken;
    }

    /// The chain, unless the result is here.
    fn chain(&self) -> Option<&Chain<T>> {
        match &self.0 {
            State::Waiting(chain) => Some(chain),
            State::Guarded(chain) => chain.0.as_ref(),
            State::Done(_) | State::Taken => None,
        }
    }

    #[track_caller]
    #[inline]
    fn then<U: 'static>(
        self,
        callback: impl FnOnce(Result<T>) -> Flow<U> + 'static,
    ) -> Deferred<U> {
        let added = Location::caller();
        match self.0 {
            State::Waiting(chain) => Deferred(State::Waiting(chain.then(callback, added))),
            state => Self(state).then_rarely(callback, added),
        }
    }

    /// The same for one that does not wait, or is guarded.
    #[cold]
    #[inline(never)]
    fn then_rarely<U: 'static>(
        self,
        callback: impl FnOnce(Result<T>) -> Flow<U> + 'static,
        added: &'static Location<'static>,
    ) -> Deferred<U> {
        match self.0 {
            State::Waiting(chain) => Deferred(State::Waiting(chain.then(callback, added))),
            State::Guarded(chain) => {
                Deferred(State::Waiting(chain.disarm().then(callback, added))).cancel_on_drop()
            }
            State::Done(result) => Deferred::after(result, callback, added),
            State::Taken => unreachable!("only a task that has its result leaves this behind"),
        }
    }

    /// What a callback makes of a result that is there already.
    fn after<S>(
        result: Result<S, Unhandled>,
        callback: impl FnOnce(Result<S>) -> Flow<T>,
        added: &'static Location<'static>,
    ) -> Self {
        let created = result.as_ref().err().map_or(added, Unhandled::created);
        match chain::guarded(callback, result.map_err(Unhandled::take), added) {
            Flow::Now(result) => Self(State::Done(Unhandled::rest(result, created))),
            Flow::Later(chain) => Self(State::Waiting(chain)),
        }
    }

    #[inline]
    fn into_flow(self) -> Flow<T> {
        match self.0 {
            State::Done(result) => Flow::Now(result.map_err(Unhandled::take)),
            State::Waiting(chain) => Flow::Later(chain),
            State::Guarded(chain) => Flow::Later(chain.disarm()),
            State::Taken => unreachable!("only a task that has its result leaves this behind"),
        }
    }
}

/// A chain that is cancelled when this is dropped.
struct CancelOnDrop<T: 'static>(Option<Chain<T>>);

impl<T: 'static> CancelOnDrop<T> {
    fn take(&self) -> Option<Result<T>> {
        self.0.as_ref()?.take()
    }

    fn disarm(mut self) -> Chain<T> {
        self.release()
            .expect("it has its chain until it is consumed")
    }

    /// Takes the chain out, and the task that has asked for its result.
    fn release(&mut self) -> Option<Chain<T>> {
        let chain = self.0.take()?;
        chain.forget_waker();
        Some(chain)
    }
}

impl<T: 'static> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        if let Some(chain) = self.release() {
            let head = Rc::clone(chain.head());
            // It was wanted, so nobody needs to be told of it, now or later.
            let swallow = |result: Result<T>| match result {
                Err(failure) if failure.check::<Cancelled>().is_none() => Err(failure),
                _ => Ok(()),
            };
            let end = chain.then(move |result| Flow::Now(swallow(result)), head.created());
            chain::cancel(head);
            drop(end);
        }
    }
}

impl<T: 'static> Resolver<T> {
    /// Fires the Deferred with a value: its callbacks run before this returns.
    pub fn resolve(self, value: T) {
        self.fire(Ok(value));
    }

    /// Fires the Deferred with a failure.
    #[track_caller]
    pub fn fail(self, failure: impl Into<Failure>) {
        self.fire(Err(failure.into()));
    }

    /// Whether the Deferred was cancelled: nobody waits for a value any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|node| node.is_fired())
    }

    /// Fires the Deferred with either. Nothing happens when it was cancelled before.
    #[inline]
    pub fn fire(mut self, result: Result<T>) {
        if let Some(node) = self.0.take() {
            node.fire(result);
        }
    }
}

impl<T: 'static> Drop for Resolver<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(node) = self.0.take() {
            node.abandon();
        }
    }
}

impl Canceller {
    /// Cancels what the chain waits for now. Nothing happens when it waits for nothing.
    pub fn cancel(&self) {
        if let Some(head) = self.0.upgrade() {
            chain::cancel(head);
        }
    }
}

impl<T: 'static> Unpin for Deferred<T> {}

impl<T: 'static> Future for Deferred<T> {
    type Output = Result<T>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Result<T>> {
        let awaited = Location::caller();
        let result = match (self.chain(), &self.0) {
            (Some(chain), _) => match chain.take() {
                Some(result) => {
                    self.disarm();
                    result
                }
                None => {
                    chain.set_waker(context.waker());
                    self.guard();
                    return Poll::Pending;
                }
            },
            (None, State::Taken) => panic!("a Deferred was polled after it had finished"),
            (None, _) => match Self(mem::replace(&mut self.0, State::Taken)).try_result() {
                Ok(result) => result,
                Err(_) => unreachable!("it has no chain, so it has its result"),
            },
        };
        Poll::Ready(result.inspect_err(|failure| failure::passes(failure, Passed::Await, awaited)))
    }
}

impl<T: 'static> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Done(Ok(_)) => "Deferred(has its value)",
            State::Done(Err(_)) => "Deferred(has failed)",
            State::Waiting(_) | State::Guarded(_) => match self.canceller() {
                Some(_) => "Deferred(waiting)",
                None => "Deferred(has its result)",
            },
            State::Taken => "Deferred(finished)",
        })
    }
}

impl<T: 'static> fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canceller")
    }
}

#[cfg(test)]
mod tests;
