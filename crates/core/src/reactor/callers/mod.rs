//! Calls from other threads that wait for their answer. None of them waits for ever: when the reactor stops or goes,
//! all are told.
//!
//! What threads share here is a mutex for all callers, and a mutex and a condition for each.

use super::{
    Reactor,
    inbox::{Rejected, Remote},
    sync::{
        Condvar, Mutex, lock,
        thread::{self, ThreadId},
    },
};
use crate::{
    deferred::{Deferred, Outcome},
    error::{Abandoned, NotRunning, OwnThread, ReactorGone},
    failure::{Failure, ThreadFailure},
};
use std::{
    collections::BTreeMap,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
};

/// Who waits, and whether it is of any use to wait.
pub(super) struct Callers {
    /// The reactor's own thread.
    thread: ThreadId,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    open: Open,
    last: u64,
    waiting: BTreeMap<u64, Arc<dyn Caller>>,
}

/// Whether calls are answered.
#[derive(Clone, Copy, Default)]
enum Open {
    /// It runs, or has not been started yet.
    #[default]
    Yes,
    /// It has stopped, and may be started again.
    Stopped,
    Gone,
}

impl Open {
    fn check(self) -> Result<(), ThreadFailure> {
        match self {
            Self::Yes => Ok(()),
            Self::Stopped => Err(NotRunning.into()),
            Self::Gone => Err(ReactorGone.into()),
        }
    }
}

/// One that waits, whatever it waits for.
trait Caller: Send + Sync {
    fn give_up(&self, why: ThreadFailure);
}

/// Where the answer goes.
struct Place<T> {
    answer: Mutex<Answer<T>>,
    there: Condvar,
}

enum Answer<T> {
    Awaited,
    There(Result<T, ThreadFailure>),
    Fetched,
}

impl Callers {
    /// For a reactor that is being made on this thread.
    pub(super) fn new() -> Self {
        Self {
            thread: thread::current().id(),
            desk: Mutex::default(),
        }
    }

    /// The reactor has been started.
    pub(super) fn started(&self) {
        lock(&self.desk).open = Open::Yes;
    }

    /// The reactor has stopped.
    pub(super) fn stopped(&self) {
        self.close(Open::Stopped);
    }

    /// The reactor is being dropped.
    pub(super) fn gone(&self) {
        self.close(Open::Gone);
    }

    fn close(&self, open: Open) {
        let mut desk = lock(&self.desk);
        desk.open = open;
        let waiting = mem::take(&mut desk.waiting);
        drop(desk);
        for caller in waiting.into_values() {
            if let Err(why) = open.check() {
                caller.give_up(why);
            }
        }
    }

    fn enter(&self, caller: Arc<dyn Caller>) -> Result<u64, ThreadFailure> {
        if thread::current().id() == self.thread {
            return Err(OwnThread.into());
        }
        let mut desk = lock(&self.desk);
        desk.open.check()?;
        desk.last += 1;
        let id = desk.last;
        desk.waiting.insert(id, caller);
        Ok(id)
    }

    fn leave(&self, id: u64) {
        let caller = lock(&self.desk).waiting.remove(&id);
        drop(caller);
    }
}

impl<T> Place<T> {
    fn new() -> Self {
        Self {
            answer: Mutex::new(Answer::Awaited),
            there: Condvar::new(),
        }
    }

    /// The first answer counts.
    fn put(&self, answer: Result<T, ThreadFailure>) {
        let mut place = lock(&self.answer);
        if matches!(*place, Answer::Awaited) {
            *place = Answer::There(answer);
            drop(place);
            self.there.notify_one();
        }
    }

    fn is_awaited(&self) -> bool {
        matches!(*lock(&self.answer), Answer::Awaited)
    }

    fn wait(&self) -> Result<T, ThreadFailure> {
        let mut place = lock(&self.answer);
        while matches!(*place, Answer::Awaited) {
            let back = self.there.wait(place);
            place = back.unwrap_or_else(PoisonError::into_inner);
        }
        match mem::replace(&mut *place, Answer::Fetched) {
            Answer::There(answer) => answer,
            Answer::Awaited | Answer::Fetched => Err(Abandoned.into()),
        }
    }
}

impl<T: Send> Caller for Place<T> {
    fn give_up(&self, why: ThreadFailure) {
        self.put(Err(why));
    }
}

/// The duty to answer: whoever drops it has answered that nobody will.
struct Duty<T>(Arc<Place<T>>);

impl<T> Drop for Duty<T> {
    fn drop(&mut self) {
        self.0.put(Err(Abandoned.into()));
    }
}

impl Remote {
    /// Calls `function` on the reactor's thread, as [`Remote::call_from_thread`] does, and waits here for what it
    /// returns: `()`, a `Result`, or a `Deferred`, whose end it waits for. A panic in it is a failure.
    ///
    /// For threads of your own and for jobs on a driver that has threads. Before the reactor runs it waits until it
    /// does. Source: Twisted's `blockingCallFromThread`.
    ///
    /// # Errors
    /// What `function` or its `Deferred` failed with (see [`ThreadFailure`] for what survives of it), or that there is no
    /// answer: [`NotRunning`] when the reactor has stopped, or stops before the end; [`ReactorGone`] when it was or is
    /// dropped; [`InboxFull`](crate::error::InboxFull); [`Abandoned`] when the call was dropped; and [`OwnThread`] on the
    /// reactor's own thread, which would wait for itself.
    pub fn blocking_call_from_thread<R>(
        &self,
        function: impl FnOnce(&Reactor) -> R + Send + 'static,
    ) -> Result<R::Value, ThreadFailure>
    where
        R: Outcome,
        R::Value: Send,
    {
        let Some(callers) = self.callers() else {
            return Err(ReactorGone.into());
        };
        let place = Arc::new(Place::new());
        let id = callers.enter(Arc::clone(&place) as Arc<dyn Caller>)?;
        let duty = Duty(Arc::clone(&place));
        let called = self.call_from_thread(move |reactor| {
            // Whoever gave up meanwhile wants nothing done.
            if duty.0.is_awaited() {
                answer(reactor, function, duty);
            }
        });
        let answer = match called {
            Ok(()) => place.wait(),
            Err(Rejected::Gone(gone, _)) => Err(gone.into()),
            Err(Rejected::Full(full, _)) => Err(full.into()),
        };
        callers.leave(id);
        answer
    }
}

/// Calls the function, and answers when what it returns has an end.
fn answer<R>(reactor: &Reactor, function: impl FnOnce(&Reactor) -> R, duty: Duty<R::Value>)
where
    R: Outcome,
    R::Value: Send,
{
    let called = catch_unwind(AssertUnwindSafe(|| function(reactor).into_deferred()));
    let called = called.unwrap_or_else(|payload| Deferred::fail(Failure::from_panic(&*payload)));
    let answered = called.add_both(move |result| duty.0.put(result.map_err(ThreadFailure::from)));
    answered.detach();
}

#[cfg(all(test, any(loom, shuttle)))]
mod models;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
