//! `Deferred<T>`: a value that is not there yet, and the chain of callbacks that waits for it. Knows no reactor.
//!
//! [`Resolver`] is the write side, consumed by firing; [`Deferred`] the read side, consumed by each callback added.
//! Callbacks run at once, in order, inside the call that fires. Source: Twisted's `internet/defer.py`.

mod chain;
mod outcome;

pub use outcome::Outcome;

use crate::failure::{Failure, Result};
use chain::{Chained, Node, State};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
};

/// The read side of a value that comes later, or of the failure that comes instead.
///
/// Dropping the end of a chain detaches it: the callbacks still run, nothing is cancelled, and a failure that
/// nobody handles is logged once, when it arrives.
pub struct Deferred<T: 'static> {
    state: State<T>,
    /// Whether a task waits for it: then dropping it cancels.
    awaited: bool,
}

/// The write side: fires its [`Deferred`] once. Dropped unfired, it fails it with [`Abandoned`](crate::error::Abandoned).
pub struct Resolver<T: 'static>(Option<Rc<Node<T>>>);

/// Cancels a [`Deferred`] without owning it.
#[derive(Clone)]
pub struct Canceller(Weak<dyn Chained>);

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
        Self::done(Ok(value))
    }

    /// One that has failed already.
    #[track_caller]
    pub fn fail(failure: impl Into<Failure>) -> Self {
        Self::done(Err(failure.into()))
    }

    /// One that has this result already.
    pub fn done(result: Result<T>) -> Self {
        Self::from_state(State::Done(result))
    }

    /// Calls `callback` with the value; a failure passes by.
    pub fn add_callback<R: Outcome>(
        self,
        callback: impl FnOnce(T) -> R + 'static,
    ) -> Deferred<R::Value> {
        self.then(move |result| match result {
            Ok(value) => callback(value).into_deferred().take_state(),
            Err(failure) => State::Done(Err(failure)),
        })
    }

    /// Calls `callback` with the value, for a callback that cannot fail and returns the next value.
    pub fn map<U: 'static>(self, callback: impl FnOnce(T) -> U + 'static) -> Deferred<U> {
        self.then(move |result| State::Done(result.map(callback)))
    }

    /// Calls `errback` with the failure; a value passes by. Returning `Ok` goes on with that value.
    pub fn add_errback<R: Outcome<Value = T>>(
        self,
        errback: impl FnOnce(Failure) -> R + 'static,
    ) -> Self {
        self.then(move |result| match result {
            Ok(value) => State::Done(Ok(value)),
            Err(failure) => errback(failure).into_deferred().take_state(),
        })
    }

    /// Calls `callback` with whichever comes.
    pub fn add_both<R: Outcome>(
        self,
        callback: impl FnOnce(Result<T>) -> R + 'static,
    ) -> Deferred<R::Value> {
        self.then(move |result| callback(result).into_deferred().take_state())
    }

    /// Calls one of the two; `errback` does not see what `callback` fails with.
    pub fn add_callbacks<R: Outcome, E: Outcome<Value = R::Value>>(
        self,
        callback: impl FnOnce(T) -> R + 'static,
        errback: impl FnOnce(Failure) -> E + 'static,
    ) -> Deferred<R::Value> {
        self.then(move |result| match result {
            Ok(value) => callback(value).into_deferred().take_state(),
            Err(failure) => errback(failure).into_deferred().take_state(),
        })
    }

    /// Lets the chain run by itself, as dropping it does; a failure that arrives at its end is logged.
    pub fn detach(self) {
        drop(self);
    }

    /// Cancels what the chain waits for now: the resolver's side, or the inner Deferred that a callback returned.
    /// Nothing happens when it has fired.
    pub fn cancel(&self) {
        if let Some(canceller) = self.canceller() {
            canceller.cancel();
        }
    }

    /// A handle that cancels it, while somebody else owns the chain. `None` when it has fired.
    #[must_use]
    pub fn canceller(&self) -> Option<Canceller> {
        match &self.state {
            State::Waiting(output) => {
                let chained: Rc<dyn Chained> = output.clone().into_chained();
                Some(Canceller(Rc::downgrade(&chained)))
            }
            State::Done(_) | State::Taken => None,
        }
    }

    /// The result, if it is there: for tests and for code that runs after the loop.
    ///
    /// # Errors
    /// The Deferred itself, when it has not fired.
    pub fn try_result(mut self) -> Result<Result<T>, Self> {
        match self.take_state() {
            State::Done(result) => Ok(result),
            state => Err(Self::from_state(state)),
        }
    }

    fn from_node(node: Node<T>) -> (Resolver<T>, Self) {
        let node = Rc::new(node);
        (
            Resolver(Some(Rc::clone(&node))),
            Self::from_state(State::Waiting(node)),
        )
    }

    fn from_state(state: State<T>) -> Self {
        Self {
            state,
            awaited: false,
        }
    }

    fn take_state(&mut self) -> State<T> {
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Waiting(output) if output.is_done() => State::Done(output.take()),
            state => state,
        }
    }

    fn then<U: 'static>(
        mut self,
        callback: impl FnOnce(Result<T>) -> State<U> + 'static,
    ) -> Deferred<U> {
        Deferred::from_state(chain::then(self.take_state(), callback))
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
    pub fn fire(mut self, result: Result<T>) {
        if let Some(node) = self.0.take() {
            node.fire(result);
        }
    }
}

impl<T: 'static> Drop for Resolver<T> {
    fn drop(&mut self) {
        if let Some(node) = self.0.take() {
            node.abandon();
        }
    }
}

impl Canceller {
    /// Cancels the Deferred, if it still waits.
    pub fn cancel(&self) {
        if let Some(chained) = self.0.upgrade() {
            chain::cancel(chained);
        }
    }
}

impl<T: 'static> Unpin for Deferred<T> {}

impl<T: 'static> Future for Deferred<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        match self.take_state() {
            State::Done(result) => {
                self.awaited = false;
                Poll::Ready(result)
            }
            State::Waiting(output) => {
                output.set_waker(context.waker().clone());
                self.state = State::Waiting(output);
                self.awaited = true;
                Poll::Pending
            }
            State::Taken => panic!("a Deferred was polled after it had finished"),
        }
    }
}

impl<T: 'static> Drop for Deferred<T> {
    fn drop(&mut self) {
        if self.awaited {
            self.cancel();
        }
        if let State::Done(Err(failure)) = std::mem::replace(&mut self.state, State::Taken) {
            chain::unhandled(&failure, None);
        }
    }
}

impl<T: 'static> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Done(Ok(_)) => "Deferred(has its value)",
            State::Done(Err(_)) => "Deferred(has failed)",
            State::Waiting(_) => "Deferred(waiting)",
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
