//! `Pauser`: holds up the callbacks of a chain, and counts. Knows chains only by their public side.
//!
//! Source: `Deferred.pause` and `unpause` in Twisted's `internet/defer.py`.
//!
//! The result that comes while the count is above zero waits at a gate, in a callback that returns a Deferred. That
//! Deferred is no more than a wake-up: whatever fires it, `unpause`, a cancel or the end of the last [`Pauser`], the
//! gate looks at the count again. So a cancel finds nothing that it could fail, and nothing can be lost.

use super::{Deferred, Resolver};
use crate::failure::Result;
use std::{
    cell::Cell,
    fmt,
    rc::{Rc, Weak},
};

/// Holds up the callbacks that were added after [`Deferred::pause`]. Clones count together.
///
/// When the last clone is dropped, the callbacks run whatever the count is: nobody could run them any more.
#[derive(Clone)]
#[must_use = "dropped at once, it pauses nothing"]
pub struct Pauser(Rc<Gate>);

struct Gate {
    pauses: Cell<usize>,
    /// Wakes the result that waits.
    wake: Cell<Option<Resolver<()>>>,
}

impl<T: 'static> Deferred<T> {
    /// Pauses the chain at this place: callbacks added to the returned Deferred do not run before
    /// [`Pauser::unpause`]. The count of the pauser is 1. Callbacks added before are not held up.
    ///
    /// A result that waits cannot be cancelled any more: `cancel` does nothing then, as for every Deferred that has
    /// fired. Before that it cancels what the chain waits for, and the `Cancelled` waits at the gate like any result.
    ///
    /// ```
    /// # use tress_core::Deferred;
    /// let (pauser, deferred) = Deferred::succeed(1).pause();
    /// let deferred = deferred.map(|one| one + 1);
    /// let deferred = deferred.try_result().expect_err("it is paused");
    /// pauser.unpause();
    /// assert_eq!(deferred.try_result().unwrap().unwrap(), 2);
    /// ```
    pub fn pause(self) -> (Pauser, Self) {
        let gate = Rc::new(Gate {
            pauses: Cell::new(1),
            wake: Cell::new(None),
        });
        let behind = Rc::downgrade(&gate);
        let deferred = self.add_both(move |result| pass(behind, result));
        (Pauser(gate), deferred)
    }
}

impl Pauser {
    /// Pauses once more. A result that has passed is not called back.
    pub fn pause(&self) {
        self.0.pauses.set(self.0.pauses.get() + 1);
    }

    /// Takes one pause back. When it was the last, the callbacks run before this returns. With no pause left it does
    /// nothing: the count does not go below zero.
    pub fn unpause(&self) {
        let Some(left) = self.0.pauses.get().checked_sub(1) else {
            return;
        };
        self.0.pauses.set(left);
        if left == 0
            && let Some(wake) = self.0.wake.take()
        {
            wake.resolve(());
        }
    }

    /// How many pauses are in force.
    #[must_use]
    pub fn pauses(&self) -> usize {
        self.0.pauses.get()
    }
}

/// Lets a result through, or lets it wait until something wakes it and then asks again.
fn pass<T: 'static>(gate: Weak<Gate>, result: Result<T>) -> Deferred<T> {
    match gate.upgrade() {
        Some(paused) if paused.pauses.get() > 0 => {
            let (wake, woken) = Deferred::pair();
            paused.wake.set(Some(wake));
            woken.add_both(move |_: Result| pass(gate, result))
        }
        Some(_) | None => Deferred::done(result),
    }
}

impl fmt::Debug for Pauser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pauser({} pauses)", self.pauses())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Cancelled, failure::Failure, testing::logged};
    use std::cell::RefCell;

    type Seen = Rc<RefCell<Vec<i32>>>;

    /// What fires a paused chain, its pauser, the chain, and what its callback saw.
    fn paused() -> (Resolver<i32>, Pauser, Deferred<i32>, Seen) {
        let (resolver, deferred) = Deferred::pair();
        let (pauser, deferred) = deferred.pause();
        let seen = Seen::default();
        let to = Rc::clone(&seen);
        let deferred = deferred.map(move |value| {
            to.borrow_mut().push(value);
            value
        });
        (resolver, pauser, deferred, seen)
    }

    #[test]
    fn callbacks_wait_until_the_last_pause_is_taken_back() {
        let (resolver, pauser, deferred, seen) = paused();
        pauser.pause();
        resolver.resolve(1);
        pauser.unpause();
        assert_eq!(*seen.borrow(), [0; 0]);
        assert_eq!(pauser.pauses(), 1);
        pauser.unpause();
        assert_eq!(*seen.borrow(), [1]);
        assert_eq!(deferred.try_result().unwrap().unwrap(), 1);
    }

    #[test]
    fn a_deferred_that_had_fired_is_paused_too() {
        let (pauser, deferred) = Deferred::succeed(1).pause();
        let deferred = deferred.try_result().expect_err("it is paused");
        pauser.unpause();
        assert_eq!(deferred.try_result().unwrap().unwrap(), 1);
    }

    #[test]
    fn without_a_pause_results_pass() {
        let (resolver, pauser, _deferred, seen) = paused();
        pauser.unpause();
        resolver.resolve(1);
        assert_eq!(*seen.borrow(), [1]);
        pauser.pause();
        assert_eq!(pauser.pauses(), 1);
    }

    #[test]
    fn callbacks_before_the_pause_are_not_held_up() {
        let early = Rc::new(Cell::new(0));
        let to = Rc::clone(&early);
        let (resolver, deferred) = Deferred::pair();
        let (_pauser, _deferred) = deferred.map(move |value| to.set(value)).pause();
        resolver.resolve(4);
        assert_eq!(early.get(), 4);
    }

    #[test]
    fn the_count_does_not_go_below_zero() {
        let (resolver, pauser, _deferred, seen) = paused();
        (0..3).for_each(|_| pauser.unpause());
        pauser.pause();
        resolver.resolve(1);
        assert_eq!(*seen.borrow(), [0; 0]);
        pauser.unpause();
        assert_eq!(*seen.borrow(), [1]);
    }

    #[test]
    fn failures_wait_like_values() {
        let log = logged(|| {
            let (resolver, pauser, deferred, _) = paused();
            resolver.fail(Failure::msg("bad"));
            let deferred = deferred.try_result().expect_err("it is paused");
            pauser.unpause();
            let failure = deferred.try_result().unwrap().unwrap_err();
            assert_eq!(failure.to_string(), "bad");
        });
        assert_eq!(log, [""; 0]);
    }

    #[test]
    fn cancelling_a_result_that_waits_does_nothing() {
        let (resolver, pauser, deferred, seen) = paused();
        resolver.resolve(1);
        deferred.cancel();
        deferred.cancel();
        assert_eq!(*seen.borrow(), [0; 0]);
        let deferred = deferred.try_result().expect_err("it is still paused");
        pauser.unpause();
        assert_eq!(deferred.try_result().unwrap().unwrap(), 1);
    }

    #[test]
    fn a_cancel_reaches_the_source_and_the_cancelled_waits() {
        let (resolver, pauser, deferred, _) = paused();
        deferred.cancel();
        assert!(resolver.is_cancelled());
        let deferred = deferred.try_result().expect_err("it is paused");
        deferred.cancel();
        pauser.unpause();
        let failure = deferred.try_result().unwrap().unwrap_err();
        assert!(failure.check::<Cancelled>().is_some());
    }

    #[test]
    fn the_last_pauser_that_is_dropped_lets_the_result_through() {
        let (resolver, pauser, _deferred, seen) = paused();
        let other = pauser.clone();
        drop(pauser);
        resolver.resolve(1);
        assert_eq!(*seen.borrow(), [0; 0]);
        drop(other);
        assert_eq!(*seen.borrow(), [1]);

        let (resolver, pauser, _deferred, seen) = paused();
        drop(pauser);
        resolver.resolve(2);
        assert_eq!(*seen.borrow(), [2]);
    }

    #[test]
    fn a_detached_chain_goes_on_when_it_is_unpaused() {
        let (resolver, pauser, deferred, seen) = paused();
        deferred.detach();
        resolver.resolve(1);
        pauser.unpause();
        assert_eq!(*seen.borrow(), [1]);
    }

    #[test]
    fn a_callback_may_pause_what_comes_behind_it() {
        let (resolver, first, deferred, seen) = paused();
        let (second, deferred) = deferred.pause();
        second.unpause();
        let again = second.clone();
        let (third, deferred) = deferred.pause();
        third.unpause();
        let by = third.clone();
        first.unpause();
        let deferred = deferred.map(move |value| {
            by.pause();
            again.pause();
            value
        });
        resolver.resolve(1);
        assert_eq!((third.pauses(), second.pauses()), (1, 1));
        assert_eq!(*seen.borrow(), [1]);
        assert_eq!(deferred.try_result().unwrap().unwrap(), 1);
    }

    #[test]
    fn pausing_inside_a_callback_holds_up_the_gate_behind_it() {
        let (resolver, deferred) = Deferred::pair();
        let place: Rc<RefCell<Option<Pauser>>> = Rc::default();
        let by = Rc::clone(&place);
        let deferred = deferred.map(move |value: i32| {
            by.borrow().as_ref().expect("it is made").pause();
            value
        });
        let (pauser, deferred) = deferred.pause();
        pauser.unpause();
        place.replace(Some(pauser.clone()));
        resolver.resolve(1);
        let deferred = deferred.try_result().expect_err("it is paused");
        pauser.unpause();
        assert_eq!(deferred.try_result().unwrap().unwrap(), 1);
    }

    #[test]
    fn nothing_is_left_when_it_has_passed() {
        let alive = Rc::new(());
        let held = Rc::clone(&alive);
        let (resolver, pauser, deferred, _) = paused();
        let deferred = deferred.map(move |_| held);
        resolver.resolve(1);
        deferred.cancel();
        pauser.unpause();
        drop(deferred);
        assert_eq!(Rc::strong_count(&alive), 1);
        assert_eq!(Rc::strong_count(&pauser.0), 1);
    }
}
