//! Threads that come when they are needed and go when they are not.

use super::*;
use std::sync::{
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc::{self, Receiver, Sender},
};

const FOREVER: Duration = Duration::MAX;

fn pool(threads: usize, waiting: usize, idle: Duration) -> Pool {
    Pool::new("tress-test", JobLimits { threads, waiting }, idle)
}

/// Waits without a clock.
fn until(office: &Office, mut condition: impl FnMut(JobCounts) -> bool) {
    while !condition(office.counts()) {
        thread::yield_now();
    }
}

/// A job that runs until the sender is dropped.
#[track_caller]
fn start_held(pool: &Pool) -> Sender<()> {
    let (sender, receiver): (_, Receiver<()>) = mpsc::channel();
    let running = pool.counts().running;
    let job = Job::new(move || receiver.iter().for_each(drop));
    pool.start(job).expect("there is room");
    until(&pool.office(), |counts| counts.running == running + 1);
    sender
}

/// How many clones there are besides: jobs that still hold one.
fn holders<T>(held: &Arc<T>) -> usize {
    Arc::strong_count(held) - 1
}

#[test]
fn a_thread_comes_with_the_first_job_and_ends_when_it_is_idle() {
    let pool = pool(4, 4, Duration::ZERO);
    let office = pool.office();
    assert_eq!(pool.counts(), JobCounts::default());
    for round in 1..=3 {
        let held = start_held(&pool);
        assert_eq!(pool.counts().threads, 1, "round {round}");
        drop(held);
        until(&office, |counts| counts.threads == 0);
    }
}

#[test]
fn a_thread_that_is_idle_takes_the_next_job() {
    let pool = pool(4, 4, FOREVER);
    for _ in 0..5 {
        let held = start_held(&pool);
        assert_eq!(pool.counts().threads, 1);
        drop(held);
        until(&pool.office(), |counts| counts.running == 0);
    }
    let held = [start_held(&pool), start_held(&pool)];
    assert_eq!(pool.counts().threads, 2, "both are needed");
    drop(held);
}

#[test]
fn a_job_that_unwinds_costs_no_thread() {
    let pool = pool(1, 100, FOREVER);
    let ran: Arc<AtomicUsize> = Arc::default();
    for _ in 0..10 {
        let count = Arc::clone(&ran);
        let job = Job::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            panic!("torn");
        });
        pool.start(job).expect("there is room");
    }
    until(&pool.office(), |counts| {
        counts.running + counts.waiting == 0
    });
    assert_eq!(ran.load(Ordering::SeqCst), 10);
    assert_eq!(pool.counts().threads, 1);
}

#[test]
fn a_refused_job_comes_back_as_it_was() {
    let pool = pool(1, 1, FOREVER);
    let held = start_held(&pool);
    let id = pool.start(Job::new(|| ())).expect("one may wait");
    let ran: Arc<AtomicBool> = Arc::default();
    let set = Arc::clone(&ran);
    let refused = pool.start(Job::new(move || set.store(true, Ordering::SeqCst)));
    let refused = refused.expect_err("it is one too many");
    assert_eq!(refused.error.kind(), io::ErrorKind::QuotaExceeded);
    refused.job.run();
    assert!(ran.load(Ordering::SeqCst));
    assert!(pool.cancel(id).is_some());
    assert!(pool.cancel(id).is_none());
    pool.start(Job::new(|| ())).expect("there is room again");
    drop(held);
}

#[test]
fn fewer_threads_end_those_that_are_idle_at_once_and_the_others_later() {
    let pool = pool(3, 10, FOREVER);
    let office = pool.office();
    let [one, two, three] = [(); 3].map(|()| start_held(&pool));
    drop(three);
    until(&office, |counts| counts.running == 2);
    let limits = JobLimits {
        threads: 1,
        waiting: 10,
    };
    pool.set_limits(limits);
    until(&office, |counts| counts.threads == 2);
    drop(two);
    until(&office, |counts| counts.threads == 1);
    drop(one);
    until(&office, |counts| counts.running == 0);
    let held = start_held(&pool);
    assert_eq!(pool.counts().threads, 1);
    drop(held);
}

#[test]
fn threads_end_with_the_pool_and_what_waits_never_runs() {
    let pool = pool(1, 10, FOREVER);
    let office = pool.office();
    let held = start_held(&pool);
    let ran: Arc<AtomicBool> = Arc::default();
    for _ in 0..3 {
        let set = Arc::clone(&ran);
        let job = Job::new(move || set.store(true, Ordering::SeqCst));
        pool.start(job).expect("they may wait");
    }
    assert_eq!(holders(&ran), 3);
    drop(pool);
    assert_eq!(holders(&ran), 0);
    assert_eq!(office.counts().running, 1, "it is waited for");
    drop(held);
    until(&office, |counts| counts.threads == 0);
    assert!(!ran.load(Ordering::SeqCst));
}

#[test]
fn idle_threads_end_with_the_pool() {
    let pool = pool(4, 10, FOREVER);
    let office = pool.office();
    drop([(); 4].map(|()| start_held(&pool)));
    until(&office, |counts| counts.running == 0);
    assert_eq!(office.counts().threads, 4);
    drop(pool);
    until(&office, |counts| counts.threads == 0);
}

#[test]
fn a_job_that_panics_when_it_is_dropped_ends_nothing() {
    struct Torn(Arc<AtomicBool>);
    impl Drop for Torn {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
            panic!("torn");
        }
    }
    let pool = pool(1, 10, FOREVER);
    let held = start_held(&pool);
    let dropped: Arc<AtomicBool> = Arc::default();
    let (torn, last): (_, Arc<()>) = (Torn(Arc::clone(&dropped)), Arc::default());
    let job = Job::new(move || drop(torn));
    pool.start(job).expect("it may wait");
    let kept = Arc::clone(&last);
    pool.start(Job::new(move || drop(kept)))
        .expect("it may wait");
    drop(pool);
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(holders(&last), 0, "the one after it");
    drop(held);
}
