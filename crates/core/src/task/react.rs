//! Programs that end by themselves: the loop runs until their task is done. Prints nothing and ends no process.
//! Source: Twisted's `task.react`.

use crate::{
    error::{AlreadyRunning, Cancelled, Exit},
    failure::{Failure, Result},
    reactor::Reactor,
};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

impl Reactor {
    /// Runs the loop until `future` (a Deferred, or an `async` block) is done, then stops it in order and returns what
    /// came of it. When the reactor is stopped first, `future` is dropped, which cancels what it waits for.
    ///
    /// # Errors
    /// What `future` fails with; [`Cancelled`] when the reactor was stopped first; or the reactor cannot run.
    #[track_caller]
    pub fn run_until<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Result<T> {
        match self.drive(future)? {
            Some(result) => result,
            None => Err(Cancelled.into()),
        }
    }

    /// Runs the main function of a program until what it returns is done, as [`Reactor::run_until`] does, and logs its
    /// failure, unless that is [`Exit`]. To be stopped before the end is no failure.
    ///
    /// # Errors
    /// What `main` fails with, or the reactor cannot run.
    #[track_caller]
    pub fn react<F>(&self, main: impl FnOnce(Self) -> F) -> Result
    where
        F: Future<Output = Result> + 'static,
    {
        let result = match self.drive(main(self.clone())) {
            Ok(ended) => ended.unwrap_or(Ok(())),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &result
            && failure.check::<Exit>().is_none()
        {
            tracing::error!(target: "tress", "main function encountered error: {failure:?}");
        }
        result
    }

    /// What came of `future`; nothing when the reactor was stopped before.
    #[track_caller]
    fn drive<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Result<Option<Result<T>>> {
        if self.is_running() {
            return Err(AlreadyRunning.into());
        }
        let future = Shared::new(future);
        let place = Rc::new(Cell::new(Place::Running));
        let (polled, reactor, end) = (future.clone(), self.clone(), Rc::clone(&place));
        let task = self.spawn(poll_fn(move |context| polled.poll(context)));
        let task = task.add_both(move |result| {
            if matches!(end.replace(Place::Ended(result)), Place::Running) {
                let own = reactor.clone();
                // It may be done before the reactor runs, or while it stops already.
                reactor.call_when_running(move || drop(own.stop()));
            }
        });
        let ran = self.run();
        let place = place.replace(Place::Over);
        task.cancel();
        ran?;
        Ok(match place {
            Place::Ended(result) => Some(result),
            Place::Running | Place::Over => future.look_once_more(),
        })
    }
}

/// Where the task leaves its result.
enum Place<T> {
    /// The reactor runs, or will: it must be stopped when the result comes.
    Running,
    /// The reactor has run.
    Over,
    Ended(Result<T>),
}

/// A future that is polled by a task, and once more after the loop. Not there while it is polled, and when it is done.
struct Shared<T>(Rc<Cell<Option<Unfinished<T>>>>);

type Unfinished<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

impl<T> Shared<T> {
    fn new(future: impl Future<Output = Result<T>> + 'static) -> Self {
        Self(Rc::new(Cell::new(Some(Box::pin(future)))))
    }

    /// A panic is a failure like any other: the loop must be stopped all the same.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<T>> {
        let Some(mut future) = self.0.take() else {
            return Poll::Pending;
        };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        let polled =
            polled.unwrap_or_else(|payload| Poll::Ready(Err(Failure::from_panic(&*payload))));
        if polled.is_pending() {
            self.0.set(Some(future));
        }
        polled
    }

    /// The end of a shutdown may have given it what it waited for, with no turn left to see that.
    fn look_once_more(self) -> Option<Result<T>> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}
