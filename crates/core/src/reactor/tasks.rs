//! Futures on the loop: each is polled when it was woken, in the order of the wakes, once a turn however often it wakes
//! itself, so that no task keeps the loop from its connections. Knows nothing of those.

use super::{Core, Reactor, inbox::Call, mailbox::TaskWaker};
use crate::{
    context::Context,
    deferred::{Deferred, Resolver},
    failure::{self, Failure, Passed, Result},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::{self, Future},
    panic::{AssertUnwindSafe, Location, catch_unwind},
    pin::{Pin, pin},
    rc::{Rc, Weak},
    sync::Arc,
    task::{self, Poll, Waker},
};

#[derive(Default)]
pub(super) struct Tasks {
    waiting: BTreeMap<u64, Rc<Task>>,
    last: u64,
}

/// A future, where it comes from, and what is in force for it.
struct Task {
    /// Borrowed while it is polled; `None` after its end.
    future: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    wakes: Arc<TaskWaker<Call>>,
    /// The same, as futures want it.
    waker: Waker,
    context: Context,
    spawned: &'static Location<'static>,
    /// It was cancelled while it was being polled.
    cancelled: Cell<bool>,
}

impl Reactor {
    /// Runs `future` on the loop and gives its result as a Deferred. It is polled once at once, and whenever it was
    /// woken, at most once a turn; a panic in it is a failure. It runs in the [context](crate::context) that is in
    /// force here. Cancelling the Deferred drops the future; dropping the Deferred lets it run.
    #[track_caller]
    pub fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Deferred<T> {
        let spawned = Location::caller();
        let id = self.0.tasks.borrow_mut().next_id();
        let core: Weak<Core> = Rc::downgrade(&self.0);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            if let Some(core) = core.upgrade() {
                cancel(&core, id);
            }
        });
        let wakes = Arc::new(TaskWaker::new(id, &self.0.inbox));
        let task = Rc::new(Task {
            future: RefCell::new(Some(Box::pin(run(future, resolver, spawned)))),
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
            context: Context::current(),
            spawned,
            cancelled: Cell::new(false),
        });
        self.0
            .tasks
            .borrow_mut()
            .waiting
            .insert(id, Rc::clone(&task));
        poll(&self.0, id, &task);
        deferred
    }
}

/// Polls the tasks that were woken before this turn.
pub(super) fn run_ready(reactor: &Reactor) {
    let core = &reactor.0;
    for id in core.inbox.take_ready() {
        let task = core.tasks.borrow().waiting.get(&id).map(Rc::clone);
        if let Some(task) = task {
            core.pace.begin_callback();
            poll(core, id, &task);
            core.check_stall_named(&format_args!("a task spawned at {}", task.spawned));
        }
    }
}

/// The future and what becomes of its result.
async fn run<T: 'static>(
    future: impl Future<Output = Result<T>>,
    resolver: Resolver<T>,
    spawned: &'static Location<'static>,
) {
    let mut future = pin!(future);
    let guarded = future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)))
            .unwrap_or_else(|payload| Poll::Ready(Err(Failure::from_panic(&*payload))))
    });
    let result = guarded.await;
    if let Err(failure) = &result {
        failure::passes(failure, Passed::Task, spawned);
    }
    resolver.fire(result);
}

fn poll(core: &Core, id: u64, task: &Task) {
    task.wakes.runs();
    let Ok(mut future) = task.future.try_borrow_mut() else {
        // It turns the loop itself: it is polled in a later turn.
        return task.waker.wake_by_ref();
    };
    let mut context = task::Context::from_waker(&task.waker);
    let polled = match &mut *future {
        Some(future) => task.context.run(|| future.as_mut().poll(&mut context)),
        None => return,
    };
    if polled.is_pending() && !task.cancelled.get() {
        return;
    }
    let ended = future.take();
    drop(future);
    core.tasks.borrow_mut().waiting.remove(&id);
    if task.cancelled.get() {
        core.catch("a cancelled task", || drop(ended));
    }
}

/// Drops the future, now or when it returns.
fn cancel(core: &Core, id: u64) {
    let task = core.tasks.borrow_mut().waiting.remove(&id);
    let Some(task) = task else { return };
    task.cancelled.set(true);
    let future = task.future.try_borrow_mut().ok().and_then(|mut f| f.take());
    core.catch("a cancelled task", || drop(future));
}

impl Tasks {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}
