//! `Cooperator`: long work in small steps, so that the loop goes on meanwhile. Knows nothing of what the steps do.
//!
//! The tasks whose turn will come stand in a line, owned by the reactor's timer through the scheduler. A task that is
//! paused is owned by its handles, one that waits for a Deferred by that. Source: Twisted's `internet/task.py`.

use crate::{
    deferred::{Canceller, Deferred, Outcome, Resolver},
    error::SchedulerError,
    failure::{Failure, Result},
    reactor::{DelayedCall, Reactor, WeakReactor},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    time::Duration,
};

/// Runs iterators beside each other and beside the loop: one step each in turn, until the time slice is used up, then
/// the rest in the next turn of the loop. Clones are the same cooperator; dropping them all changes nothing.
///
/// Multiple cooperators know nothing of each other: each takes its own slice.
///
/// ```
/// # use std::{cell::Cell, rc::Rc};
/// # use tress_core::{Cooperator, testing::memory::Table};
/// let table = Table::new();
/// let cooperator = Cooperator::new(table.reactor());
/// let sum = Rc::new(Cell::new(0));
/// let adding = Rc::clone(&sum);
/// let steps = (1..=1000).map(move |n| adding.update(|sum| sum + n));
/// let done = cooperator.coiterate(steps);
/// table.settle();
/// assert!(matches!(done.try_result(), Ok(Ok(()))));
/// assert_eq!(sum.get(), 500_500);
/// ```
#[derive(Clone)]
pub struct Cooperator(Rc<Scheduler>);

/// One iterator that a [`Cooperator`] runs. Clones are the same task; dropping them all changes nothing, unless it is
/// paused: then nobody can resume it, and it is dropped.
#[derive(Clone)]
pub struct CooperativeTask {
    task: Rc<Task>,
    scheduler: Rc<Scheduler>,
}

/// The next step, or none when there are no more.
type Steps = Box<dyn FnMut() -> Option<Deferred<()>>>;

struct Scheduler {
    reactor: WeakReactor,
    slice: Duration,
    /// The tasks whose turn will come, by their place.
    line: RefCell<BTreeMap<u64, Rc<Task>>>,
    /// All that are not finished, in the order in which they came.
    tasks: RefCell<BTreeMap<u64, Weak<Task>>>,
    /// The last number given to a task or a place.
    last: Cell<u64>,
    next_turn: RefCell<Option<DelayedCall>>,
    stopped: Cell<bool>,
}

struct Task {
    number: u64,
    /// For forgetting it when it is dropped.
    scheduler: Weak<Scheduler>,
    /// Not there during a step, and when it is finished.
    steps: Cell<Option<Steps>>,
    phase: RefCell<Phase>,
    pauses: Cell<u32>,
    waiters: RefCell<Vec<Resolver<()>>>,
    /// Its failure, until somebody asks: it is logged when nobody ever does.
    unheard: Cell<Option<Deferred<()>>>,
}

enum Phase {
    /// In no line, because it is paused or not there yet.
    Aside,
    /// In the line, at this place.
    InLine(u64),
    /// It makes a step.
    Stepping,
    /// It waits for what its last step returned.
    Waiting(Option<Canceller>),
    /// Why nothing can be asked of it any more, and what whoever waits for it gets.
    Finished(SchedulerError, Result),
}

impl Cooperator {
    /// How long the tasks may run in one turn of the loop: half of what [`Limits::stall`](crate::Limits) allows by
    /// default, so that a full slice is no stall. Twisted's is 10 ms.
    pub const TIME_SLICE: Duration = Duration::from_millis(5);

    /// One that gives its tasks [`Cooperator::TIME_SLICE`] a turn.
    #[must_use]
    pub fn new(reactor: &Reactor) -> Self {
        Self::with_time_slice(reactor, Self::TIME_SLICE)
    }

    /// One that gives its tasks so much time a turn. At least one step is made in each.
    #[must_use]
    pub fn with_time_slice(reactor: &Reactor, slice: Duration) -> Self {
        Self(Rc::new(Scheduler {
            reactor: reactor.downgrade(),
            slice,
            line: RefCell::default(),
            tasks: RefCell::default(),
            last: Cell::new(0),
            next_turn: RefCell::default(),
            stopped: Cell::new(false),
        }))
    }

    /// Runs an iterator, from the next turn of the loop on. An item is `()`, a `Result`, whose failure ends the task,
    /// or a `Deferred`: the next step is made when that has fired, and the other tasks go on meanwhile.
    ///
    /// For steps that are no iterator there is [`std::iter::from_fn`].
    pub fn cooperate<R: Outcome<Value = ()>>(
        &self,
        mut iterator: impl Iterator<Item = R> + 'static,
    ) -> CooperativeTask {
        let scheduler = Rc::clone(&self.0);
        let task = Rc::new(Task {
            number: scheduler.number(),
            scheduler: Rc::downgrade(&scheduler),
            steps: Cell::new(Some(Box::new(move || {
                iterator.next().map(Outcome::into_deferred)
            }))),
            phase: RefCell::new(Phase::Aside),
            pauses: Cell::new(0),
            waiters: RefCell::default(),
            unheard: Cell::default(),
        });
        let mut tasks = scheduler.tasks.borrow_mut();
        tasks.insert(task.number, Rc::downgrade(&task));
        drop(tasks);
        let task = CooperativeTask { task, scheduler };
        if self.is_running() {
            task.go_on();
            task.scheduler.plan();
        } else {
            task.end(SchedulerError::SchedulerStopped);
        }
        task
    }

    /// The same for a task of which nothing but its end is wanted: see [`CooperativeTask::when_done`]. Cancelling the
    /// Deferred cancels what the task waits for and stops it.
    #[track_caller]
    pub fn coiterate<R: Outcome<Value = ()>>(
        &self,
        iterator: impl Iterator<Item = R> + 'static,
    ) -> Deferred<()> {
        let task = self.cooperate(iterator);
        if task.ending().is_some() {
            return task.when_done();
        }
        let weak = (Rc::downgrade(&task.task), Rc::downgrade(&task.scheduler));
        let (resolver, done) = Deferred::with_canceller(move || {
            if let (Some(task), Some(scheduler)) = (weak.0.upgrade(), weak.1.upgrade()) {
                CooperativeTask { task, scheduler }.cancel();
            }
        });
        task.task.waiters.borrow_mut().push(resolver);
        done
    }

    /// Stops all tasks with [`SchedulerError::SchedulerStopped`], also those that are paused or wait, and every new one
    /// until [`Cooperator::start`] is called.
    pub fn stop(&self) {
        self.0.stopped.set(true);
        let tasks: Vec<_> = self.0.tasks.borrow().values().cloned().collect();
        for task in tasks.iter().filter_map(Weak::upgrade) {
            let scheduler = Rc::clone(&self.0);
            CooperativeTask { task, scheduler }.end(SchedulerError::SchedulerStopped);
        }
    }

    /// Takes tasks again after [`Cooperator::stop`].
    pub fn start(&self) {
        self.0.stopped.set(false);
    }

    /// Whether it takes tasks: until it is stopped, or the reactor is dropped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.0.stopped.get() && self.0.reactor.upgrade().is_some()
    }
}

impl CooperativeTask {
    /// Makes no step until it is resumed, as often as it was paused.
    ///
    /// # Errors
    /// It is finished: how.
    pub fn pause(&self) -> Result<(), SchedulerError> {
        self.check_unfinished()?;
        self.task.pauses.update(|pauses| pauses + 1);
        let mut phase = self.task.phase.borrow_mut();
        if let Phase::InLine(place) = *phase {
            *phase = Phase::Aside;
            self.scheduler.line.borrow_mut().remove(&place);
        }
        drop(phase);
        self.scheduler.plan();
        Ok(())
    }

    /// Takes back one [`CooperativeTask::pause`].
    ///
    /// # Errors
    /// It is finished: how. Or it is not paused: to wait for a Deferred is no pause.
    pub fn resume(&self) -> Result<(), SchedulerError> {
        self.check_unfinished()?;
        let pauses = self.task.pauses.get().checked_sub(1);
        let pauses = pauses.ok_or(SchedulerError::NotPaused)?;
        self.task.pauses.set(pauses);
        if matches!(*self.task.phase.borrow(), Phase::Aside) {
            self.go_on();
        }
        self.scheduler.plan();
        Ok(())
    }

    /// Makes no further step and drops the iterator; a Deferred that it waits for is left alone. Whoever waits for its
    /// end gets [`SchedulerError::TaskStopped`].
    ///
    /// # Errors
    /// It is finished: how.
    pub fn stop(&self) -> Result<(), SchedulerError> {
        self.check_unfinished()?;
        self.end(SchedulerError::TaskStopped);
        Ok(())
    }

    /// Fires when the iterator has ended, or fails with what it failed with: an item, a Deferred, a panic. Can be asked
    /// for often, and afterwards. A failure of which nobody has asked is logged when the task is dropped.
    #[track_caller]
    pub fn when_done(&self) -> Deferred<()> {
        match self.ending() {
            Some((_, result)) => {
                // From now on it is the caller's.
                self.task.unheard.take().map(Deferred::try_result);
                Deferred::done(result)
            }
            None => {
                let (resolver, done) = Deferred::pair();
                self.task.waiters.borrow_mut().push(resolver);
                done
            }
        }
    }

    fn ending(&self) -> Option<(SchedulerError, Result)> {
        match &*self.task.phase.borrow() {
            Phase::Finished(how, result) => Some((*how, result.clone())),
            Phase::Aside | Phase::InLine(_) | Phase::Stepping | Phase::Waiting(_) => None,
        }
    }

    fn check_unfinished(&self) -> Result<(), SchedulerError> {
        self.ending().map_or(Ok(()), |(how, _)| Err(how))
    }

    /// Whether its turn comes again: it stands in line, or aside while it is paused.
    fn go_on(&self) {
        if self.task.pauses.get() > 0 {
            self.task.phase.replace(Phase::Aside);
            return;
        }
        let place = self.scheduler.number();
        self.task.phase.replace(Phase::InLine(place));
        let mut line = self.scheduler.line.borrow_mut();
        line.insert(place, Rc::clone(&self.task));
    }

    /// Its turn has come.
    fn step(&self) {
        let Some(mut steps) = self.task.steps.take() else {
            return;
        };
        self.task.phase.replace(Phase::Stepping);
        let made = catch_unwind(AssertUnwindSafe(&mut steps))
            .unwrap_or_else(|payload| Some(Deferred::fail(Failure::from_panic(&*payload))));
        if self.ending().is_some() {
            // It stopped itself. What it failed with is logged.
            drop(made);
            return discard(Some(steps));
        }
        self.task.steps.set(Some(steps));
        match made.map(Deferred::try_result) {
            None => self.finish(SchedulerError::TaskDone, Ok(())),
            Some(Ok(Ok(()))) => self.go_on(),
            Some(Ok(Err(failure))) => self.finish(SchedulerError::TaskFailed, Err(failure)),
            Some(Err(waiting)) => self.wait_for(waiting),
        }
    }

    fn wait_for(&self, waiting: Deferred<()>) {
        self.task.phase.replace(Phase::Waiting(waiting.canceller()));
        let own = self.clone();
        let waited = waiting.add_both(move |result| {
            if own.ending().is_some() {
                // A failure is nobody's now, and is logged.
                return result;
            }
            match result {
                Ok(()) => own.go_on(),
                Err(failure) => own.finish(SchedulerError::TaskFailed, Err(failure)),
            }
            own.scheduler.plan();
            Ok(())
        });
        waited.detach();
    }

    fn end(&self, how: SchedulerError) {
        if self.ending().is_none() {
            self.finish(how, Err(how.into()));
        }
    }

    fn finish(&self, how: SchedulerError, result: Result) {
        let (task, scheduler) = (&self.task, &self.scheduler);
        let finished = Phase::Finished(how, result.clone());
        if let Phase::InLine(place) = task.phase.replace(finished) {
            scheduler.line.borrow_mut().remove(&place);
        }
        scheduler.tasks.borrow_mut().remove(&task.number);
        scheduler.plan();
        discard(task.steps.take());
        let mut waiters = task.waiters.take();
        waiters.retain(|waiter| !waiter.is_cancelled());
        if how == SchedulerError::TaskFailed && waiters.is_empty() {
            task.unheard.set(Some(Deferred::done(result.clone())));
        }
        for waiter in waiters {
            waiter.fire(result.clone());
        }
    }

    /// The only one who waits for it cancels: that fails as cancelled, unless what the task waits for gives another
    /// failure at once.
    fn cancel(&self) {
        let pending = match &*self.task.phase.borrow() {
            Phase::Waiting(pending) => pending.clone(),
            Phase::Aside | Phase::InLine(_) | Phase::Stepping | Phase::Finished(..) => None,
        };
        if let Some(pending) = pending {
            pending.cancel();
        }
        drop(self.task.waiters.take());
        self.end(SchedulerError::TaskStopped);
    }
}

impl Scheduler {
    fn number(&self) -> u64 {
        self.last.update(|last| last + 1);
        self.last.get()
    }

    /// Sees to it that there is a next turn if somebody stands in line, and none otherwise.
    fn plan(self: &Rc<Self>) {
        let wanted = !self.line.borrow().is_empty();
        let mut next = self.next_turn.borrow_mut();
        let planned = next.as_ref().is_some_and(DelayedCall::is_active);
        if wanted && !planned {
            let own = Rc::clone(self);
            *next = self
                .reactor
                .upgrade()
                .map(|reactor| reactor.call_later(Duration::ZERO, move || own.turn()));
        } else if planned && !wanted {
            let unwanted = next.take();
            drop(next);
            unwanted.map(|call| call.cancel());
        }
    }

    /// One step each, in the order in which they came to the line, until the time is up.
    fn turn(self: Rc<Self>) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        let end = reactor.now() + self.slice;
        loop {
            let first = self.line.borrow_mut().pop_first();
            let Some((_, task)) = first else { break };
            let scheduler = Rc::clone(&self);
            CooperativeTask { task, scheduler }.step();
            if reactor.now() >= end {
                break;
            }
        }
        self.plan();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(scheduler) = self.scheduler.upgrade() {
            scheduler.tasks.borrow_mut().remove(&self.number);
        }
        discard(self.steps.take());
    }
}

/// Drops an iterator of somebody, whatever that does.
fn discard(steps: Option<Steps>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(steps))) {
        let failure = Failure::from_panic(&*payload);
        tracing::error!(target: "tress", "a cooperative task failed while it was dropped: {failure:?}");
    }
}

impl fmt::Debug for Cooperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cooperator({} tasks)", self.0.tasks.borrow().len())
    }
}

impl fmt::Debug for CooperativeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.task.phase.borrow() {
            Phase::Aside => "CooperativeTask(paused)",
            Phase::InLine(_) => "CooperativeTask(waiting for its turn)",
            Phase::Stepping => "CooperativeTask(making a step)",
            Phase::Waiting(_) => "CooperativeTask(waiting for a Deferred)",
            Phase::Finished(..) => "CooperativeTask(finished)",
        })
    }
}
