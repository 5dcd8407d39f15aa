//! Futures on the loop: each is polled when it was woken, in the order of the wakes. Knows nothing of connections.

use super::{Core, Reactor, inbox::TaskWaker};
use crate::{
    deferred::Deferred,
    failure::{Failure, Result},
};
use std::{
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
};

type Task = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
pub(super) struct Tasks {
    waiting: BTreeMap<u64, (Task, Waker)>,
    /// Cancelled while they were being polled.
    cancelled: Vec<u64>,
    last: u64,
}

impl Reactor {
    /// Runs `future` on the loop and gives its result as a Deferred. It is polled once at once. Cancelling the
    /// Deferred drops the future; dropping the Deferred lets it run.
    #[track_caller]
    pub fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Deferred<T> {
        let mut tasks = self.0.tasks.borrow_mut();
        tasks.last += 1;
        let id = tasks.last;
        drop(tasks);
        let core: Weak<Core> = Rc::downgrade(&self.0);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            if let Some(core) = core.upgrade() {
                let mut tasks = core.tasks.borrow_mut();
                let Some((task, _)) = tasks.waiting.remove(&id) else {
                    return tasks.cancelled.push(id);
                };
                drop(tasks);
                core.catch("a cancelled task", || drop(task));
            }
        });
        let task: Task = Box::pin(async move { resolver.fire(future.await) });
        let waker = Waker::from(Arc::new(TaskWaker {
            task: id,
            inbox: Arc::downgrade(&self.0.inbox),
        }));
        poll(&self.0, id, task, waker);
        deferred
    }
}

/// Polls the tasks that were woken before this turn.
pub(super) fn run_ready(reactor: &Reactor) {
    let core = &reactor.0;
    for id in core.inbox.take_ready() {
        let task = core.tasks.borrow_mut().waiting.remove(&id);
        if let Some((task, waker)) = task {
            core.pace.begin_callback();
            poll(core, id, task, waker);
            core.check_stall_named("a task");
        }
    }
}

fn poll(core: &Rc<Core>, id: u64, mut task: Task, waker: Waker) {
    let mut context = Context::from_waker(&waker);
    let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut context)));
    match polled {
        Ok(Poll::Ready(())) => {}
        Ok(Poll::Pending) => {
            let mut tasks = core.tasks.borrow_mut();
            let cancelled = tasks
                .cancelled
                .iter()
                .position(|cancelled| *cancelled == id);
            let Some(place) = cancelled else {
                tasks.waiting.insert(id, (task, waker));
                return;
            };
            tasks.cancelled.swap_remove(place);
            drop(tasks);
            core.catch("a cancelled task", || drop(task));
        }
        Err(payload) => core.failed("a task", &Failure::from_panic(&*payload)),
    }
}

impl Tasks {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
