//! What the models show of the mailbox, whatever the order of the threads' steps: nothing that was put in is overlooked by
//! a loop that waits whenever the mailbox is not signalled, and nothing is done twice.

use super::*;
use crate::reactor::{
    models::{Loop, check},
    sync::thread,
};

#[test]
fn every_call_of_two_threads_arrives_once_and_in_the_order_of_its_thread() {
    check(|| {
        let world = Loop::<u32>::new();
        let first = world.thread(|mailbox| {
            assert!(mailbox.put(|| 1));
            assert!(mailbox.put(|| 2));
        });
        let second = world.thread(|mailbox| assert!(mailbox.put(|| 10)));
        let mut seen = Vec::new();
        world.run_until(|contents, _| {
            seen.extend(contents.calls);
            seen.len() == 3
        });
        first.join().unwrap();
        second.join().unwrap();
        let of_first: Vec<u32> = seen.into_iter().filter(|call| *call < 10).collect();
        assert_eq!(of_first, [1, 2]);
        assert!(world.mailbox.open().calls.is_empty());
    });
}

#[test]
fn a_signal_is_not_overlooked() {
    check(|| {
        let world = Loop::<u32>::new();
        let thread = world.thread(|mailbox| mailbox.raise(15));
        world.run_until(|contents, _| contents.signals == [15]);
        thread.join().unwrap();
    });
}

/// Two threads write and wake; the task, run each time it is found ready, must in the end have seen both writes, and
/// stands in the queue at most once.
#[test]
fn a_task_that_is_woken_while_it_runs_runs_again() {
    check(|| {
        let world = Loop::<u32>::new();
        let task = Arc::new(TaskWaker::new(7, &world.mailbox));
        let written = Arc::new(AtomicUsize::new(0));
        let threads = [1, 2].map(|bit| {
            let (task, written) = (Arc::clone(&task), Arc::clone(&written));
            thread::spawn(move || {
                written.fetch_or(bit, Ordering::Relaxed);
                task.wake_by_ref();
            })
        });
        world.run_until(|_, ready| {
            assert!(ready.len() <= 1, "the task is queued twice");
            ready.into_iter().any(|_| {
                task.runs();
                written.load(Ordering::Relaxed) == 3
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn waking_a_task_whose_loop_goes_away_does_nothing() {
    check(|| {
        let world = Loop::<u32>::new();
        let task = Arc::new(TaskWaker::new(7, &world.mailbox));
        let threads = [
            thread::spawn(move || task.wake()),
            thread::spawn(move || drop(world)),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_full_mailbox_refuses_and_takes_again_after_it_was_emptied() {
    check(|| {
        let world = Loop::<u32>::new();
        world.mailbox.set_capacity(1);
        let thread = world.thread(|mailbox| {
            while !mailbox.put(|| 2) {
                thread::yield_now();
            }
        });
        let mut seen = 0;
        world.mailbox.put(|| 1);
        world.run_until(|contents, _| {
            seen += contents.calls.len();
            assert!(contents.calls.len() <= 1);
            contents.calls.contains(&2) && seen >= 1
        });
        thread.join().unwrap();
    });
}
