//! Locks, semaphores and queues that answer with a Deferred instead of blocking. Knows no reactor and no thread.
//!
//! All serve who waits in the order in which they came, all are handles (a clone is the same lock, semaphore or
//! queue), and all work from callbacks and from `async` code:
//!
//! ```
//! # use tress_core::{Result, sync::Lock};
//! async fn one_at_a_time(lock: Lock) -> Result {
//!     let guard = lock.acquire().await?;
//!     // Nobody else is here, also while this awaits something.
//!     drop(guard);
//!     Ok(())
//! }
//! ```
//!
//! Source: `DeferredLock`, `DeferredSemaphore` and `DeferredQueue` in Twisted's `internet/defer.py`.

mod lock;
mod queue;
mod semaphore;
mod waiters;

pub use lock::{Lock, LockGuard};
pub use queue::{Queue, QueueOverflow, QueueUnderflow};
pub use semaphore::{Semaphore, SemaphoreGuard, TooManyWaiters};

/// How many acquires of one lock or semaphore, or gets of one queue, may wait at once. `waiters_max` changes it.
pub const WAITERS_MAX: usize = 1_048_576;

/// How many items may wait in one queue. [`Queue::items_max`] changes it.
pub const ITEMS_MAX: usize = 65_536;

#[cfg(test)]
mod tests;
