//! The locks and atomics of what threads share. The models put others in their place: loom's try every order of a few
//! threads' steps, shuttle's many random orders of more of them. Knows nothing of what is shared.

use std::sync::PoisonError;

#[cfg(loom)]
use loom as world;
#[cfg(shuttle)]
use shuttle as world;
#[cfg(not(any(loom, shuttle)))]
use std as world;

pub(super) use world::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

/// A panic while a lock was held left nothing half-done: every critical section is one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
