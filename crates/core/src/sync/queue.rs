//! `Queue`: items go in at once and come out as Deferreds, both in order. Knows no thread.
//!
//! Source: `DeferredQueue` in Twisted's `internet/defer.py`.

use super::{ITEMS_MAX, waiters::Waiters};
use crate::deferred::Deferred;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    error::Error,
    fmt,
    rc::Rc,
};

/// Items wait for gets, or gets wait for items; first come, first served on both sides.
///
/// ```
/// # use tress_core::sync::Queue;
/// let jobs = Queue::new().items_max(100);
/// let next = jobs.get();
/// jobs.put("mend the roof")?;
/// assert_eq!(next.try_result().unwrap()?, "mend the roof");
/// # Ok::<(), tress_core::Failure>(())
/// ```
pub struct Queue<T: 'static>(Rc<Inner<T>>);

struct Inner<T: 'static> {
    items: RefCell<VecDeque<T>>,
    items_max: Cell<usize>,
    getters: Rc<Waiters<T>>,
}

impl<T: 'static> Queue<T> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::new(Inner {
            items: RefCell::default(),
            items_max: Cell::new(ITEMS_MAX),
            getters: Waiters::new(),
        }))
    }

    /// Changes how many items may wait, for all clones; the default is [`ITEMS_MAX`]. With 0 an item is only taken
    /// while somebody waits for it. Twisted's `size`.
    #[must_use]
    pub fn items_max(self, items: usize) -> Self {
        self.0.items_max.set(items);
        self
    }

    /// Changes how many gets may wait, for all clones; the default is [`WAITERS_MAX`](super::WAITERS_MAX). Twisted's
    /// `backlog`.
    #[must_use]
    pub fn waiters_max(self, gets: usize) -> Self {
        self.0.getters.set_max(gets);
        self
    }

    /// Puts an item at the end, or gives it to the get that waits longest; the callbacks of that run before this
    /// returns. A put from within them is served right after them.
    ///
    /// # Errors
    /// The item itself, when the queue is full.
    pub fn put(&self, item: T) -> Result<(), QueueOverflow<T>> {
        let inner = &self.0;
        // Gets and items can only both be there while a put further up gives them out: those do not count.
        let due = inner.getters.len();
        if self.len() >= inner.items_max.get().saturating_add(due) {
            return Err(QueueOverflow(item));
        }
        inner.items.borrow_mut().push_back(item);
        inner.getters.serve(|| inner.take());
        Ok(())
    }

    /// The next item; it fails with [`QueueUnderflow`] when too many gets wait already.
    ///
    /// Cancelling it while it waits gives up the place, and no item is lost. Dropped while it waits, it is detached:
    /// an item still goes to it, through its callbacks if it has any, and is gone. What was awaited and is then
    /// dropped, as when its task is cancelled, cancels and takes no item, unless it has been given one already.
    #[track_caller]
    pub fn get(&self) -> Deferred<T> {
        let inner = &self.0;
        if inner.getters.is_empty()
            && let Some(item) = inner.take()
        {
            return Deferred::succeed(item);
        }
        let place = inner.getters.wait(self.len());
        place.unwrap_or_else(|| Deferred::fail(QueueUnderflow(inner.getters.max())))
    }

    /// How many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.items.borrow().len()
    }

    /// Whether no item waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many gets wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.getters.len()
    }
}

impl<T: 'static> Inner<T> {
    fn take(&self) -> Option<T> {
        self.items.borrow_mut().pop_front()
    }
}

impl<T: 'static> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: 'static> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The queue is full. Holds the item that was not taken.
pub struct QueueOverflow<T>(pub T);

/// This many gets wait already, and no more may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueUnderflow(pub usize);

impl<T> fmt::Display for QueueOverflow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full")
    }
}

impl fmt::Display for QueueUnderflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no more than {} gets may wait", self.0)
    }
}

impl<T> Error for QueueOverflow<T> {}

impl Error for QueueUnderflow {}

impl<T: 'static> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("items", &self.len())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl<T> fmt::Debug for QueueOverflow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueOverflow")
    }
}
