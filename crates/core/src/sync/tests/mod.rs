//! The promises of locks, semaphores and queues, one a test.

mod model;

use super::*;
use crate::{
    deferred::{Canceller, Deferred},
    error::Cancelled,
    failure::{Failure, Result},
    testing::memory::Table,
};
use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Waker},
};

/// What happened, in order.
type Log<X> = Rc<RefCell<Vec<X>>>;

fn now<T: 'static>(deferred: Deferred<T>) -> T {
    let result = deferred.try_result().expect("it has fired");
    result.expect("it has a value")
}

fn failure<T: 'static>(deferred: Deferred<T>) -> Failure {
    let result = deferred.try_result().expect("it has fired");
    result.err().expect("it has failed")
}

/// What an `async` block does that awaits and is then dropped.
fn await_and_drop<T: 'static>(mut deferred: Deferred<T>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut deferred).poll(&mut context).is_pending());
}

#[test]
fn tokens_are_given_at_once_while_there_are_any() {
    let semaphore = Semaphore::new(2);
    let first = now(semaphore.acquire());
    let second = now(semaphore.acquire());
    let third = semaphore.acquire();
    assert_eq!(
        (semaphore.tokens(), semaphore.limit(), semaphore.waiting()),
        (0, 2, 1)
    );
    drop(first);
    assert_eq!((semaphore.tokens(), semaphore.waiting()), (0, 0));
    drop((second, now(third)));
    assert_eq!(semaphore.tokens(), 2);
}

#[test]
#[should_panic(expected = "a semaphore has at least one token")]
fn a_semaphore_without_tokens_is_refused() {
    drop(Semaphore::new(0));
}

#[test]
fn whoever_waits_longest_is_next() {
    let lock = Lock::new();
    let guard = now(lock.acquire());
    let order = Log::default();
    for name in ["a", "b", "c"] {
        let order = Rc::clone(&order);
        lock.acquire()
            .map(move |_guard| order.borrow_mut().push(name))
            .detach();
    }
    assert!(lock.is_locked());
    assert_eq!(lock.waiting(), 3);
    drop(guard);
    assert_eq!(*order.borrow(), ["a", "b", "c"]);
    assert!(!lock.is_locked());
}

#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let lock = Lock::new();
    let guard = now(lock.acquire());
    let order = Log::default();
    let enter = |name: &'static str| {
        let order = Rc::clone(&order);
        lock.acquire().map(move |guard| {
            order.borrow_mut().push(name);
            guard
        })
    };
    let (late, by) = (lock.clone(), Rc::clone(&order));
    enter("a")
        .map(move |guard| {
            drop(guard);
            // The lock is free for this moment, but b waits for it.
            let log = Rc::clone(&by);
            let newcomer = late
                .acquire()
                .map(move |_guard| log.borrow_mut().push("late"));
            by.borrow_mut().push("a has asked");
            newcomer.detach();
        })
        .detach();
    enter("b").detach();
    drop(guard);
    assert_eq!(*order.borrow(), ["a", "a has asked", "b", "late"]);
}

#[test]
fn cancelling_a_waiting_acquire_gives_up_its_place() {
    let semaphore = Semaphore::new(1);
    let guard = now(semaphore.acquire());
    let (second, third) = (semaphore.acquire(), semaphore.acquire());
    second.cancel();
    assert_eq!(semaphore.waiting(), 1);
    assert!(failure(second).check::<Cancelled>().is_some());
    drop(guard);
    drop(now(third));
    assert_eq!(semaphore.tokens(), 1);
}

#[test]
fn cancelling_a_granted_acquire_does_nothing() {
    let lock = Lock::new();
    let granted = lock.acquire();
    granted.cancel();
    let waits = lock.acquire();
    drop(now(granted));
    waits.cancel();
    assert!(lock.is_locked());
    drop(now(waits));
    assert!(!lock.is_locked());
}

#[test]
fn an_acquire_that_nobody_takes_releases_at_once() {
    let lock = Lock::new();
    drop(lock.acquire());
    assert!(!lock.is_locked());
    let guard = now(lock.acquire());
    drop(lock.acquire());
    let after = lock.acquire();
    assert_eq!(lock.waiting(), 2);
    drop(guard);
    drop(now(after));
    assert!(!lock.is_locked());
}

#[test]
fn an_awaited_acquire_that_is_dropped_is_cancelled_or_releases() {
    let lock = Lock::new();
    let guard = now(lock.acquire());
    await_and_drop(lock.acquire());
    assert_eq!(lock.waiting(), 0);

    let mut waits = lock.acquire();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut waits).poll(&mut context).is_pending());
    drop(guard);
    // Granted, but its task was not polled since.
    assert!(lock.is_locked());
    drop(waits);
    assert!(!lock.is_locked());
}

#[test]
fn more_acquires_than_may_wait_are_refused() {
    let lock = Lock::new().waiters_max(1);
    let guard = now(lock.acquire());
    let waits = lock.acquire();
    let refused = failure(lock.acquire());
    assert_eq!(refused.check(), Some(&TooManyWaiters(1)));
    assert_eq!(refused.to_string(), "no more than 1 acquires may wait");
    waits.cancel();
    drop(failure(waits));
    let waits = lock.acquire();
    drop(guard);
    drop(now(waits));
}

#[test]
fn who_is_about_to_be_served_does_not_count_as_waiting() {
    let lock = Lock::new().waiters_max(1);
    let guard = now(lock.acquire());
    let again = lock.clone();
    let first = lock.acquire().map(move |guard| {
        let behind = again.acquire();
        drop(guard);
        // `behind` has the lock as good as in its hands, so one more may wait.
        (behind, again.acquire())
    });
    drop(guard);
    let (second, third) = now(first);
    drop(now(second));
    drop(now(third));
}

#[test]
fn run_releases_whatever_comes() {
    let lock = Lock::new();
    assert_eq!(now(lock.run(|| Ok(5))), 5);
    assert!(!lock.is_locked());
    let failed = lock.run(|| -> Result { Err(Failure::msg("bad")) });
    assert_eq!(failure(failed).to_string(), "bad");
    assert!(!lock.is_locked());
    let panicked = lock.run(|| -> Result { panic!("oh") });
    assert_eq!(failure(panicked).to_string(), "a callback panicked: oh");
    assert!(!lock.is_locked());
}

#[test]
fn run_holds_the_lock_until_the_inner_deferred_has_fired() {
    let lock = Lock::new();
    let (resolver, inner) = Deferred::pair();
    let first = lock.run(move || inner);
    let second = lock.run(|| ());
    assert_eq!((lock.is_locked(), lock.waiting()), (true, 1));
    resolver.resolve(3);
    assert_eq!(now(first), 3);
    now(second);
    assert!(!lock.is_locked());
}

#[test]
fn cancelling_a_run_cancels_the_work_or_never_starts_it() {
    let lock = Lock::new();
    let (resolver, inner) = Deferred::<i32>::pair();
    let running = lock.run(move || inner);
    let started = Rc::new(Cell::new(false));
    let to = Rc::clone(&started);
    let waits = lock.run(move || to.set(true));
    waits.cancel();
    assert!(failure(waits).check::<Cancelled>().is_some());
    assert_eq!(lock.waiting(), 0);
    running.cancel();
    assert!(resolver.is_cancelled());
    assert!(failure(running).check::<Cancelled>().is_some());
    assert!(!lock.is_locked());
    assert!(!started.get());
}

#[test]
fn the_lock_is_free_before_the_callbacks_of_a_run() {
    let lock = Lock::new();
    let again = lock.clone();
    let (resolver, inner) = Deferred::pair();
    let locked = lock.run(move || inner).map(move |()| again.is_locked());
    resolver.resolve(());
    assert!(!now(locked));
}

#[test]
fn a_run_that_nobody_watches_runs_all_the_same() {
    let lock = Lock::new();
    let guard = now(lock.acquire());
    let ran = Rc::new(Cell::new(false));
    let to = Rc::clone(&ran);
    lock.run(move || to.set(true)).detach();
    drop(guard);
    assert!(ran.get() && !lock.is_locked());
}

#[test]
fn panics_of_holders_release_and_the_next_goes_on() {
    let lock = Lock::new();
    let guard = now(lock.acquire());
    let holder = |_: &str| lock.acquire().map(|_guard| -> () { panic!("oh") });
    let (first, second) = (holder("first"), holder("second"));
    let third = lock.acquire();
    drop(guard);
    assert_eq!(failure(first).to_string(), "a callback panicked: oh");
    assert_eq!(failure(second).to_string(), "a callback panicked: oh");
    drop(now(third));
}

/// A value whose drop panics, once.
struct Spiteful(bool);

impl Drop for Spiteful {
    fn drop(&mut self) {
        assert!(!self.0, "spite");
    }
}

#[test]
fn a_value_that_panics_when_it_is_dropped_does_not_stop_the_queue_for_ever() {
    let queue = Queue::new();
    drop(queue.get());
    let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        queue.put(Spiteful(true)).expect("it is not full");
    }));
    assert!(thrown.is_err());
    let next = queue.get();
    queue.put(Spiteful(false)).expect("it is not full");
    now(next);
}

#[test]
fn a_hundred_thousand_wait_and_none_recurses() {
    const MANY: usize = 100_000;
    let semaphore = Semaphore::new(1);
    let guard = now(semaphore.acquire());
    let count = Rc::new(Cell::new(0));
    for _ in 0..MANY {
        let count = Rc::clone(&count);
        let run = semaphore.run(move || count.set(count.get() + 1));
        run.detach();
    }
    assert_eq!(semaphore.waiting(), MANY);
    drop(guard);
    assert_eq!((count.get(), semaphore.tokens()), (MANY, 1));

    // The same, when each is released by its own callback and asks for more.
    let guard = now(semaphore.acquire());
    for _ in 0..MANY {
        let (again, count) = (semaphore.clone(), Rc::clone(&count));
        let one = semaphore.acquire().add_callback(move |guard| {
            drop(guard);
            again.run(move || count.set(count.get() - 1))
        });
        one.detach();
    }
    drop(guard);
    assert_eq!((count.get(), semaphore.tokens()), (0, 1));
}

#[test]
fn a_hundred_thousand_gets_that_put_again_do_not_recurse() {
    const MANY: usize = 100_000;
    let queue = Queue::new();
    for _ in 0..MANY {
        let again = queue.clone();
        let next = queue.get();
        next.add_callback(move |item: usize| Ok(again.put(item + 1)?))
            .detach();
    }
    queue.put(0).expect("it is not full");
    assert_eq!(now(queue.get()), MANY);
}

#[test]
fn guards_are_held_across_await() {
    let table = Table::new();
    let lock = Lock::new();
    let order = Log::default();
    let mut steps = Vec::new();
    let mut tasks = Vec::new();
    for name in ["a", "b"] {
        let (step, waits) = Deferred::<()>::pair();
        steps.push(step);
        let (lock, order) = (lock.clone(), Rc::clone(&order));
        tasks.push(table.reactor().spawn(async move {
            let _guard = lock.acquire().await?;
            order.borrow_mut().push(format!("{name} in"));
            waits.await?;
            order.borrow_mut().push(format!("{name} out"));
            Ok(())
        }));
    }
    // b could go on first, but it is not in yet.
    steps.into_iter().rev().for_each(|step| {
        step.resolve(());
        table.settle();
    });
    assert_eq!(*order.borrow(), ["a in", "a out", "b in", "b out"]);
    tasks.into_iter().for_each(now);
    assert!(!lock.is_locked());
}

#[test]
fn a_cancelled_task_gives_up_its_guard_and_its_place() {
    let table = Table::new();
    let lock = Lock::new();
    let task = || {
        let lock = lock.clone();
        table.reactor().spawn(async move {
            let _guard = lock.acquire().await?;
            Deferred::<()>::with_canceller(|| ()).1.await
        })
    };
    let (kept, forever) = Deferred::<()>::pair();
    let holder = {
        let lock = lock.clone();
        table.reactor().spawn(async move {
            let _guard = lock.acquire().await?;
            forever.await
        })
    };
    let waits = task();
    assert_eq!(lock.waiting(), 1);
    waits.cancel();
    assert_eq!(lock.waiting(), 0);
    drop(failure(waits));
    holder.cancel();
    table.settle();
    assert!(!lock.is_locked());
    drop((failure(holder), kept));
}

#[test]
fn items_come_out_in_the_order_in_which_they_went_in() {
    let queue = Queue::new();
    for item in 0..3 {
        queue.put(item).expect("it is not full");
    }
    assert_eq!((queue.len(), queue.waiting()), (3, 0));
    assert_eq!((now(queue.get()), now(queue.get())), (0, 1));
    assert_eq!(now(queue.get()), 2);
    assert!(queue.is_empty());
}

#[test]
fn gets_are_served_in_the_order_in_which_they_came() {
    let queue = Queue::new();
    let (first, second) = (queue.get(), queue.get());
    assert_eq!(queue.waiting(), 2);
    queue.put("a").expect("it is not full");
    assert_eq!(now(first), "a");
    assert_eq!((queue.len(), queue.waiting()), (0, 1));
    queue.put("b").expect("it is not full");
    assert_eq!(now(second), "b");
}

#[test]
fn a_full_queue_gives_the_item_back() {
    let queue = Queue::new().items_max(1);
    queue.put(String::from("a")).expect("it is not full");
    let refused = queue.put(String::from("b")).unwrap_err();
    assert_eq!(refused.to_string(), "the queue is full");
    assert_eq!(refused.0, "b");
    assert_eq!(now(queue.get()), "a");
    queue.put(refused.0).expect("there is room again");

    let handed = Queue::new().items_max(0);
    assert!(handed.put(1).is_err());
    let next = handed.get();
    handed.put(2).expect("somebody waits for it");
    assert_eq!(now(next), 2);
}

#[test]
fn more_gets_than_may_wait_are_refused() {
    let queue = Queue::<i32>::new().waiters_max(1);
    let first = queue.get();
    let refused = failure(queue.get());
    assert_eq!(refused.check(), Some(&QueueUnderflow(1)));
    assert_eq!(refused.to_string(), "no more than 1 gets may wait");
    queue.put(1).expect("it is not full");
    assert_eq!(now(first), 1);
    queue.get().cancel();
}

#[test]
fn cancelling_a_waiting_get_loses_no_item() {
    let queue = Queue::new();
    let (first, second, third) = (queue.get(), queue.get(), queue.get());
    first.cancel();
    second.cancel();
    assert!(failure(first).check::<Cancelled>().is_some());
    drop(failure(second));
    queue.put(1).expect("it is not full");
    assert_eq!(now(third), 1);
    let fourth = queue.get();
    fourth.cancel();
    drop(failure(fourth));
    queue.put(2).expect("it is not full");
    assert_eq!(now(queue.get()), 2);
}

#[test]
fn a_detached_get_takes_an_item_and_an_awaited_one_that_is_dropped_takes_none() {
    let queue = Queue::new();
    drop(queue.get());
    queue.put(1).expect("it is not full");
    assert!(queue.is_empty());
    await_and_drop(queue.get());
    queue.put(2).expect("it is not full");
    assert_eq!(now(queue.get()), 2);
}

#[test]
fn a_callback_of_a_get_may_put_get_and_cancel() {
    let queue = Queue::new();
    let canceller: Rc<Cell<Option<Canceller>>> = Rc::default();
    let (by, again) = (Rc::clone(&canceller), queue.clone());
    let first = queue.get().map(move |item: i32| {
        by.take().expect("it is there").cancel();
        again.put(item + 1).expect("it is not full");
        again.get()
    });
    let second = queue.get();
    canceller.set(second.canceller());
    queue.put(1).expect("it is not full");
    assert!(failure(second).check::<Cancelled>().is_some());
    assert_eq!(now(now(first)), 2);
}

#[test]
fn inside_a_delivery_the_limits_count_what_is_left_over() {
    let queue = Queue::new().items_max(1).waiters_max(1);
    let again = queue.clone();
    let first = queue.get().map(move |item: i32| {
        let waits = again.get();
        // One goes to the get that waits, one may wait, and one is too many.
        let puts = [1, 2, 3].map(|more| again.put(item + more).is_ok());
        (waits, puts)
    });
    queue.put(0).expect("it is not full");
    let (waits, puts) = now(first);
    assert_eq!(puts, [true, true, false]);
    assert_eq!((now(waits), now(queue.get())), (1, 2));
}

#[test]
fn who_still_waits_when_the_last_handle_goes_is_abandoned() {
    let queue = Queue::<i32>::new();
    let waits = queue.get();
    drop(queue);
    let text = failure(waits).to_string();
    assert!(text.starts_with("abandoned"), "{text}");
}

#[test]
fn a_guard_outlives_its_semaphore_and_still_serves_the_next() {
    let semaphore = Semaphore::new(1);
    let guard = now(semaphore.acquire());
    let next = semaphore.acquire();
    drop(semaphore);
    drop(guard);
    drop(now(next));
}

#[test]
fn nothing_is_left_when_all_handles_are_gone() {
    let alive = Rc::new(());
    let semaphore = Semaphore::new(1);
    let guard = now(semaphore.acquire());
    for cancels in [true, false] {
        let (held, own) = (Rc::clone(&alive), semaphore.clone());
        let waits = semaphore.acquire().map(move |_guard| drop((held, own)));
        if cancels {
            waits.cancel();
            drop(failure(waits));
        }
    }
    drop((guard, semaphore));
    assert_eq!(Rc::strong_count(&alive), 1);
}
