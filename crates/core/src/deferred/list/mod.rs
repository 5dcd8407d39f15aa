//! `DeferredList` and `gather_results`: one Deferred for many. Knows chains only by their public side.
//!
//! Source: Twisted's `DeferredList` and `gatherResults` in `internet/defer.py`.

use super::{Canceller, Deferred, FailureGroup, Resolver};
use crate::failure::{Failure, Result};
use std::{
    cell::{Cell, RefCell},
    error::Error,
    fmt,
    rc::Rc,
};

/// Waits for several Deferreds at once; the last call says when it fires and with what.
///
/// | call | fires with | fails with | Twisted's flags |
/// |---|---|---|---|
/// | [`fire_on_all`](Self::fire_on_all) | every result | never, but see cancelling | none |
/// | [`fire_on_one_callback`](Self::fire_on_one_callback) | the first value and its index | [`FailureGroup`]: nobody has a value | `fireOnOneCallback` |
/// | [`fire_on_one_errback`](Self::fire_on_one_errback) | all values | [`FirstError`]: the first failure | `fireOnOneErrback` |
/// | [`fire_on_one`](Self::fire_on_one) | the first value and its index | [`FirstError`], if a failure is first | both |
///
/// Lists of results are in the order of the inputs, whatever the order in which they fire.
///
/// **Cancelling** the returned Deferred cancels every input that still waits. `fire_on_all` then fires with what is
/// there, [`Cancelled`](crate::error::Cancelled) in the place of each input that was cancelled. The others fail with
/// `Cancelled` itself, unless the canceller of an input gave the value that was waited for. (Twisted wraps it in
/// `FirstError`, and then a timeout does not know its own cancel.) An input whose callback runs at this moment cannot
/// be cancelled; then all four fail with `Cancelled`, unless they need no value of it. Dropping the returned Deferred
/// detaches it.
///
/// **Failures that the result does not tell of** are logged once as unhandled: those that come after the list has
/// fired, and those that came before a `fire_on_one_callback` that fires with a value. Those that the result tells of
/// belong to whoever gets it, so nothing is logged twice; in Twisted, where the inputs live on, each failure is logged
/// for its input too. With [`consume_errors`](Self::consume_errors) none is logged, nor once the list is cancelled.
///
/// A list whose input is a list fires inside that one's firing, so the depth of nesting, unlike the number of inputs
/// and the length of chains, is bounded by the stack: some hundreds are safe.
///
/// ```
/// # use tress_core::{Deferred, DeferredList, Failure};
/// let names = [Deferred::succeed("ann"), Deferred::fail(Failure::msg("no such user"))];
/// let listed = DeferredList::new(names).fire_on_all().map(|results| {
///     results.into_iter().filter_map(Result::ok).collect::<Vec<_>>()
/// });
/// assert_eq!(listed.try_result().unwrap().unwrap(), ["ann"]);
/// ```
#[must_use = "a DeferredList waits for nothing before one of the `fire_on_..` is called"]
pub struct DeferredList<T: 'static> {
    inputs: Vec<Deferred<T>>,
    consume_errors: bool,
}

/// All values, in the order of the Deferreds, or [`FirstError`] as soon as one fails.
///
/// The same as [`DeferredList::fire_on_one_errback`]: the others are not cancelled when one fails, and a later failure
/// is logged as unhandled. Cancelling the returned Deferred cancels all.
#[track_caller]
pub fn gather_results<T: 'static>(
    deferreds: impl IntoIterator<Item = Deferred<T>>,
) -> Deferred<Vec<T>> {
    DeferredList::new(deferreds).fire_on_one_errback()
}

/// One of several Deferreds failed, and that decided.
#[derive(Clone, Debug)]
pub struct FirstError {
    /// What it failed with.
    pub failure: Failure,
    /// Which one: its place among the inputs, counted from 0.
    pub index: usize,
}

impl fmt::Display for FirstError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Deferred at index {} failed", self.index)
    }
}

impl Error for FirstError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.failure.error())
    }
}

impl<T: 'static> DeferredList<T> {
    /// Waits for these.
    pub fn new(deferreds: impl IntoIterator<Item = Deferred<T>>) -> Self {
        Self {
            inputs: deferreds.into_iter().collect(),
            consume_errors: false,
        }
    }

    /// Failures that the result does not tell of are dropped in silence, not logged.
    pub fn consume_errors(mut self) -> Self {
        self.consume_errors = true;
        self
    }

    /// Fires when all have fired. No inputs: fires with an empty list at once.
    #[track_caller]
    pub fn fire_on_all(self) -> Deferred<Vec<Result<T>>> {
        if self.inputs.is_empty() {
            return Deferred::succeed(Vec::new());
        }
        let mut results = Slots::new(self.inputs.len());
        self.fire_when(move |index, result| Some(Fire::with(Ok(results.fill(index, result)?))))
    }

    /// Fires with the first value and the index of its input; the others go on. If all fail, it fails with
    /// [`FailureGroup`], where Twisted fires with the list of failures.
    ///
    /// No inputs: it never fires with a value. It fails at once, with an empty `FailureGroup`; in Twisted nothing ever
    /// comes. [`race`](super::race) is this one and cancels the others.
    #[track_caller]
    pub fn fire_on_one_callback(self) -> Deferred<(T, usize)> {
        if self.inputs.is_empty() {
            return Deferred::fail(FailureGroup::default());
        }
        let mut failures = Slots::new(self.inputs.len());
        self.fire_when(move |index, result| match result {
            Ok(value) => Some(Fire {
                result: Ok((value, index)),
                untold: failures.take(),
            }),
            Err(failure) => {
                let all = failures.fill(index, failure)?;
                Some(Fire::with(Err(FailureGroup(all).into())))
            }
        })
    }

    /// Fires with all values, or fails with [`FirstError`] as soon as one input fails; the others go on. No inputs:
    /// fires with an empty list at once.
    #[track_caller]
    pub fn fire_on_one_errback(self) -> Deferred<Vec<T>> {
        if self.inputs.is_empty() {
            return Deferred::succeed(Vec::new());
        }
        let mut values = Slots::new(self.inputs.len());
        self.fire_when(move |index, result| match result {
            Ok(value) => Some(Fire::with(Ok(values.fill(index, value)?))),
            Err(failure) => Some(Fire::with(Err(FirstError { failure, index }.into()))),
        })
    }

    /// Fires with the first result of all: a value and the index of its input, or [`FirstError`]. No inputs: as
    /// [`fire_on_one_callback`](Self::fire_on_one_callback).
    #[track_caller]
    pub fn fire_on_one(self) -> Deferred<(T, usize)> {
        if self.inputs.is_empty() {
            return Deferred::fail(FailureGroup::default());
        }
        self.fire_when(|index, result| {
            Some(Fire::with(match result {
                Ok(value) => Ok((value, index)),
                Err(failure) => Err(FirstError { failure, index }.into()),
            }))
        })
    }

    /// Shows every result to `judge`, until that says what to fire.
    #[track_caller]
    fn fire_when<R: 'static>(
        self,
        judge: impl FnMut(usize, Result<T>) -> Option<Fire<R>> + 'static,
    ) -> Deferred<R> {
        let cancelled = Rc::new(Cell::new(false));
        let cancel = {
            let cancelled = Rc::clone(&cancelled);
            let inputs: Vec<_> = self.inputs.iter().filter_map(Deferred::canceller).collect();
            move || {
                cancelled.set(true);
                inputs.iter().for_each(Canceller::cancel);
            }
        };
        let (resolver, deferred) = Deferred::with_canceller(cancel);
        let list = Rc::new(List {
            open: RefCell::new(Some((judge, resolver))),
            cancelled,
            consume_errors: self.consume_errors,
        });
        for (index, input) in self.inputs.into_iter().enumerate() {
            let list = Rc::clone(&list);
            let seen = input.add_both(move |result| list.see(index, result));
            // What `see` gives back as a failure is logged by this.
            seen.detach();
        }
        deferred
    }
}

/// What the inputs share: each holds it until it has fired, the list's own Deferred does not.
struct List<R: 'static, J> {
    /// `None` once it has fired.
    open: RefCell<Option<(J, Resolver<R>)>>,
    cancelled: Rc<Cell<bool>>,
    consume_errors: bool,
}

/// The end of a list.
struct Fire<R> {
    result: Result<R>,
    /// Failures that came before and that the result does not tell of.
    untold: Vec<Failure>,
}

impl<R> Fire<R> {
    fn with(result: Result<R>) -> Self {
        Self {
            result,
            untold: Vec::new(),
        }
    }
}

impl<R: 'static, J> List<R, J> {
    /// Takes the result of one input. Fails with it when it is one to log.
    fn see<T>(&self, index: usize, result: Result<T>) -> Result
    where
        J: FnMut(usize, Result<T>) -> Option<Fire<R>>,
    {
        let mut open = self.open.borrow_mut();
        let Some((judge, _)) = open.as_mut() else {
            drop(open);
            return match result {
                Err(failure) if self.logs() => Err(failure),
                Ok(_) | Err(_) => Ok(()),
            };
        };
        let Some(fire) = judge(index, result) else {
            return Ok(());
        };
        let (judge, resolver) = open.take().expect("it was open a moment ago");
        drop(open);
        // What it kept may run code when it is dropped: a guard lets the next one in.
        drop(judge);
        if self.logs() {
            fire.untold.into_iter().for_each(log_unhandled);
        }
        match fire.result {
            // Dropped unfired by its own cancel, it fails with `Cancelled`.
            Err(_) if self.cancelled.get() => drop(resolver),
            result => resolver.fire(result),
        }
        Ok(())
    }

    fn logs(&self) -> bool {
        !self.consume_errors && !self.cancelled.get()
    }
}

fn log_unhandled(failure: Failure) {
    Deferred::<()>::fail(failure).detach();
}

/// A list that is filled in any order.
struct Slots<X> {
    slots: Vec<Option<X>>,
    empty: usize,
}

impl<X> Slots<X> {
    fn new(count: usize) -> Self {
        Self {
            slots: (0..count).map(|_| None).collect(),
            empty: count,
        }
    }

    /// Fills one; the last one gives the list.
    fn fill(&mut self, index: usize, with: X) -> Option<Vec<X>> {
        self.slots[index] = Some(with);
        self.empty -= 1;
        (self.empty == 0).then(|| self.take())
    }

    /// What has been filled in.
    fn take(&mut self) -> Vec<X> {
        self.slots.drain(..).flatten().collect()
    }
}

impl<T: 'static> fmt::Debug for DeferredList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeferredList({} inputs)", self.inputs.len())
    }
}

#[cfg(test)]
mod tests;
