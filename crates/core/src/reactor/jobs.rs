//! Work for threads: what the loop starts, waits for, cancels and, when it stops, leaves behind. Starts no thread: that
//! is the driver's business.
//!
//! What a job returns comes back as a call from its thread, with a number; who waits for that number stands in a table,
//! as a [`Resolver`] never leaves its thread.
//!
//! ```text
//! waiting --a thread takes it--> running --result, failure, panic--> done
//!    |                              |
//!    +--cancelled: never runs       +--cancelled: goes on, for nobody
//! ```
//! Source: Twisted's `internet/threads.py` and `python/threadpool.py`.

use super::{Core, Reactor, inbox::Inbox};
use crate::{
    context::Context,
    deferred::{Deferred, Resolver},
    error::{JobNotStarted, JobsFull, NotRunning, ReactorGone},
    failure::{Failure, Result, ThreadFailure},
    jobs::{Job, JobId, JobLimits},
    limits::Limits,
};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Weak,
};

/// What a job may return: `()`, or a `Result<T, ThreadFailure>` that may go to another thread.
#[diagnostic::on_unimplemented(
    message = "a job returns `()` or `Result<T, ThreadFailure>`, not `{Self}`",
    label = "this job returns `{Self}`",
    note = "for a plain value return `Ok(value)`",
    note = "for a `Result` with another error return `Ok(result?)`"
)]
pub trait JobOutcome: sealed::Sealed {
    /// What the Deferred gets.
    type Value: Send + 'static;

    /// The same as a `Result`.
    ///
    /// # Errors
    /// What the job failed with.
    fn into_result(self) -> Result<Self::Value, ThreadFailure>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T> Sealed for super::Result<T, super::ThreadFailure> {}
}

impl JobOutcome for () {
    type Value = ();

    fn into_result(self) -> Result<(), ThreadFailure> {
        Ok(())
    }
}

impl<T: Send + 'static> JobOutcome for Result<T, ThreadFailure> {
    type Value = T;

    fn into_result(self) -> Self {
        self
    }
}

/// Jobs that have been started and are not done.
#[derive(Default)]
pub(super) struct Jobs {
    started: RefCell<BTreeMap<u64, Started>>,
    last: Cell<u64>,
}

struct Started {
    job: JobId,
    /// Nobody waits for a job that was cancelled when it ran already.
    waiter: Option<Box<dyn Waiter>>,
}

/// A [`Resolver`], whatever its type.
trait Waiter {
    fn fail(self: Box<Self>, failure: Failure);
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: 'static> Waiter for Resolver<T> {
    fn fail(self: Box<Self>, failure: Failure) {
        Self::fail(*self, failure);
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Reactor {
    /// Calls `job` on a thread, as soon as one of [`Limits::threads`] is free, and gives what it returns as a Deferred;
    /// a panic in it is a failure. It runs in the [context](crate::context) that is in force here.
    ///
    /// Cancelling a job that no thread has taken yet takes it out of the queue: it never runs. One that runs goes on, as
    /// nothing can end it, and what it returns is dropped. Either way the Deferred fails with
    /// [`Cancelled`](crate::error::Cancelled) at once. A stop waits for jobs as for connections, and fails with
    /// [`JobLeftBehind`](crate::error::JobLeftBehind) those that are not done at the end of [`Limits::shutdown`]; dropping the reactor fails them with
    /// [`ReactorGone`]. Source: Twisted's `deferToThread`.
    ///
    /// The Deferred fails at once with [`JobsFull`] when more than [`Limits::jobs_waiting`] would wait, with
    /// [`JobNotStarted`] when the driver runs no jobs or no thread is to be had, and with [`NotRunning`] while the
    /// reactor closes everything.
    #[track_caller]
    pub fn defer_to_thread<R: JobOutcome>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Deferred<R::Value> {
        let core = &self.0;
        if core.is_closing() {
            return Deferred::fail(NotRunning);
        }
        let id = core.jobs.next_id();
        let cancelled = Rc::downgrade(core);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            if let Some(core) = cancelled.upgrade() {
                core.cancel_job(id);
            }
        });
        let (inbox, context) = (std::sync::Arc::downgrade(&core.inbox), Context::current());
        let job = Job::new(move || {
            let called = AssertUnwindSafe(|| context.run(|| job().into_result()));
            let result = catch_unwind(called)
                .unwrap_or_else(|payload| Err(ThreadFailure::from_panic(&*payload)));
            send_back(&inbox, id, result);
        });
        let started = core.driver.borrow_mut().start_job(job);
        match started {
            Ok(job) => core.jobs.insert(id, job, resolver),
            Err(refused) => resolver.fail(core.why_refused(refused.error)),
        }
        deferred
    }

    /// Calls `job` on a thread, for nobody: a failure or a panic is logged. Otherwise as
    /// [`Reactor::defer_to_thread`]. Source: Twisted's `callInThread`.
    #[track_caller]
    pub fn call_in_thread<R: JobOutcome<Value = ()>>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) {
        self.defer_to_thread(job).detach();
    }

    /// Calls all of these on one thread, in order; the first that fails ends it, and is logged. Source: Twisted's
    /// `callMultipleInThread`.
    #[track_caller]
    pub fn call_multiple_in_thread<F, R>(&self, jobs: impl IntoIterator<Item = F>)
    where
        F: FnOnce() -> R + Send + 'static,
        R: JobOutcome<Value = ()>,
    {
        let jobs: Vec<F> = jobs.into_iter().collect();
        self.call_in_thread(move || jobs.into_iter().try_for_each(|job| job().into_result()));
    }

    /// Lets so many threads run jobs at once from now on: [`Limits::threads`]. Source: Twisted's
    /// `suggestThreadPoolSize`.
    pub fn suggest_thread_pool_size(&self, threads: usize) {
        let limits = Limits {
            threads,
            ..(*self.limits()).clone()
        };
        self.set_limits(limits);
    }
}

/// The result of a job, on its thread: it goes to the loop, if there is one. It is never refused, as there is room for
/// so many jobs.
fn send_back<T: Send + 'static>(inbox: &Weak<Inbox>, id: u64, result: Result<T, ThreadFailure>) {
    if let Some(inbox) = inbox.upgrade() {
        inbox.put_anyway(Box::new(move |reactor| reactor.0.job_done(id, result)));
    }
}

impl Core {
    fn job_done<T: 'static>(&self, id: u64, result: Result<T, ThreadFailure>) {
        let started = self.jobs.started.borrow_mut().remove(&id);
        let waiter = started.and_then(|started| started.waiter);
        // Otherwise nobody waits for it any more.
        if let Some(waiter) = waiter
            && let Ok(resolver) = waiter.into_any().downcast::<Resolver<T>>()
        {
            resolver.fire(result.map_err(Failure::from));
        }
    }

    /// Nobody waits for this job any more: it is taken out of the queue, or goes on.
    fn cancel_job(&self, id: u64) {
        let mut all = self.jobs.started.borrow_mut();
        let Some(started) = all.get_mut(&id) else {
            return;
        };
        let waiter = started.waiter.take();
        let taken = self.driver.borrow_mut().cancel_job(started.job);
        if taken.is_some() {
            all.remove(&id);
        }
        drop(all);
        if self.changing.get() {
            // A stop may have waited for it.
            self.shared.rest.asked();
        }
        self.catch("a cancelled job", || drop((taken, waiter)));
    }

    /// Whether every job is done.
    pub(super) fn jobs_are_done(&self) -> bool {
        self.jobs.started.borrow().is_empty()
    }

    /// The time of a stop is up: nobody waits for jobs any more. Those that no thread has taken never run.
    pub(super) fn leave_jobs_behind(&self, reason: &Failure) {
        let left = mem::take(&mut *self.jobs.started.borrow_mut());
        for (_, Started { job, waiter }) in left {
            let taken = self.driver.borrow_mut().cancel_job(job);
            self.catch("a job left behind", || drop(taken));
            if let Some(waiter) = waiter {
                waiter.fail(reason.clone());
            }
        }
    }

    fn why_refused(&self, error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::QuotaExceeded {
            let limit = self.limits.borrow().jobs_waiting;
            return JobsFull { limit }.into();
        }
        JobNotStarted(error).into()
    }
}

impl Jobs {
    fn next_id(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    fn insert<T: 'static>(&self, id: u64, job: JobId, resolver: Resolver<T>) {
        let waiter: Option<Box<dyn Waiter>> = Some(Box::new(resolver));
        let started = Started { job, waiter };
        self.started.borrow_mut().insert(id, started);
    }

    /// The reactor is being dropped.
    pub(super) fn forsake(&mut self) {
        for (_, started) in mem::take(self.started.get_mut()) {
            if let Some(waiter) = started.waiter {
                waiter.fail(ReactorGone.into());
            }
        }
    }
}

impl From<&Limits> for JobLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            threads: limits.threads,
            waiting: limits.jobs_waiting,
        }
    }
}
