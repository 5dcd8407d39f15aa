//! Work on threads: what comes back, what is cancelled, and what is limited. A driver without jobs says so.

mod calls;
mod stopping;

pub use calls::*;
pub use stopping::*;

use super::{
    World,
    recorder::{Log, set_limits, watch},
};
use crate::{
    context::ContextVar,
    deferred::Deferred,
    error::{Cancelled, JobNotStarted, JobsFull, Panicked},
    failure::{Failure, Result, ThreadFailure},
    reactor::Reactor,
    testing::logged,
};
use std::{
    cell::Cell,
    fmt, io,
    num::ParseIntError,
    rc::Rc,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Where a driver runs jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobsRun {
    /// It has none.
    Nowhere,
    /// On the loop's own thread, when they have had their virtual time.
    OnTheLoop,
    /// On threads.
    OnThreads,
}

/// Holds jobs back until it is opened, or dropped.
pub struct Gate {
    pass: Arc<dyn Fn() + Send + Sync>,
    open: Cell<Option<Box<dyn FnOnce()>>>,
}

impl Gate {
    /// A gate that jobs go through with `pass`, and that `open` opens.
    pub fn new(pass: impl Fn() + Send + Sync + 'static, open: impl FnOnce() + 'static) -> Self {
        Self {
            pass: Arc::new(pass),
            open: Cell::new(Some(Box::new(open))),
        }
    }

    /// A gate for threads.
    #[must_use]
    pub fn for_threads() -> Self {
        let shared: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let outside = Arc::clone(&shared);
        let pass = move || {
            let open = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            let open = shared.1.wait_while(open, |open| !*open);
            drop(open);
        };
        Self::new(pass, move || {
            *outside.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            outside.1.notify_all();
        })
    }

    /// What a job calls.
    pub(super) fn pass(&self) -> Arc<dyn Fn() + Send + Sync> {
        Arc::clone(&self.pass)
    }

    pub(super) fn open(&self) {
        if let Some(open) = self.open.take() {
            open();
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Whether there are jobs. If not, the error is clear.
fn has_jobs(world: &dyn World) -> bool {
    if world.jobs_run() != JobsRun::Nowhere {
        return true;
    }
    let reactor = world.reactor();
    let refused = reactor.defer_to_thread(|| Ok(1)).try_result();
    let failure = refused.expect("at once").expect_err("there are none");
    let text = "could not start a job: this driver runs no jobs on threads";
    assert_eq!(failure.to_string(), text);
    let not_started = failure.check::<JobNotStarted>().expect("it says so");
    assert_eq!(not_started.0.kind(), io::ErrorKind::Unsupported);
    let lines = logged(|| reactor.call_in_thread(|| ()));
    assert!(lines[0].contains(text), "{lines:?}");
    false
}

/// Waits for the end of a job.
#[track_caller]
fn end<T: 'static>(world: &dyn World, job: Deferred<T>) -> Result<T> {
    let place = Rc::new(Cell::new(None));
    let to = Rc::clone(&place);
    job.add_both(move |result| to.set(Some(result))).detach();
    let mut ended = None;
    world.until(&mut || {
        ended = place.take();
        ended.is_some()
    });
    ended.expect("it was waited for")
}

/// Has so many threads and waits until so many jobs run.
#[track_caller]
fn until_running(world: &dyn World, jobs: usize) {
    let reactor = world.reactor();
    world.until(&mut || reactor.statistics().jobs_running == jobs);
}

fn set_threads(reactor: &Reactor, threads: usize) {
    set_limits(reactor, |limits| limits.threads = threads);
}

/// A job that waits at the gate, and runs; what it is held by, and how it ends.
#[track_caller]
fn held_job(world: &dyn World, gate: &Gate) -> (Deferred<u32>, Arc<AtomicBool>) {
    let (pass, done): (_, Arc<AtomicBool>) = (gate.pass(), Arc::default());
    let set = Arc::clone(&done);
    let job = world.reactor().defer_to_thread(move || {
        pass();
        set.store(true, Ordering::SeqCst);
        Ok(7)
    });
    until_running(world, 1);
    (job, done)
}

/// Twisted's `deferToThread`: what the function returns is the Deferred's result. There is no thread before it.
pub fn a_job_gives_its_result(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    assert_eq!(reactor.statistics().threads, 0, "a thread before any job");
    let sum = reactor.defer_to_thread(|| Ok((1..=4).collect::<Vec<u32>>()));
    assert_eq!(end(world, sum).expect("it works"), [1, 2, 3, 4]);
    let nothing = reactor.defer_to_thread(|| ());
    end(world, nothing).expect("it works");
}

/// What a job fails with keeps its text, its place and its type.
pub fn a_job_fails(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    let line = line!() + 1;
    let job = reactor.defer_to_thread(|| Ok("x".parse::<u32>()?));
    let failure = end(world, job).expect_err("it is no number");
    assert!(failure.check::<ParseIntError>().is_some(), "{failure}");
    assert_eq!(failure.location().line(), line);
    let told: fn() -> Result = || Err(Failure::msg("gone").context("looking"));
    let job = reactor.defer_to_thread(move || Ok(told()?));
    let failure = end(world, job).expect_err("it fails");
    assert_eq!(failure.to_string(), "looking: gone");
}

/// A panic in a job is a failure, and costs no thread.
pub fn a_job_panics(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    set_threads(&reactor, 1);
    for _ in 0..3 {
        let job = reactor.defer_to_thread(|| -> Result<(), ThreadFailure> { panic!("torn") });
        let failure = end(world, job).expect_err("it panics");
        let panicked = failure.check::<Panicked>().expect("it says so");
        assert_eq!(panicked.0, "torn");
    }
    let after = reactor.defer_to_thread(|| Ok(1));
    assert_eq!(end(world, after).expect("it works"), 1);
}

/// Queued work that is cancelled never runs, and what it holds is dropped at once.
pub fn cancelling_a_job_that_waits(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    set_threads(&reactor, 1);
    let gate = world.gate(SECOND);
    let (first, _) = held_job(world, &gate);
    let ran: Arc<AtomicBool> = Arc::default();
    let set = Arc::clone(&ran);
    let second = reactor.defer_to_thread(move || set.store(true, Ordering::SeqCst));
    assert_eq!(reactor.statistics().jobs_waiting, 1);
    let canceller = second.canceller().expect("it waits");
    let log = watch(second);
    canceller.cancel();
    log.check(&["cancelled"]);
    assert_eq!(reactor.statistics().jobs_waiting, 0);
    assert_eq!(Arc::strong_count(&ran), 1, "the job is still held");
    gate.open();
    assert_eq!(end(world, first).expect("it was not cancelled"), 7);
    world.settle();
    assert!(!ran.load(Ordering::SeqCst));
    log.check(&["cancelled"]);
}

/// Work that runs cannot be ended: it goes on, for nobody.
pub fn cancelling_a_job_that_runs(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let gate = world.gate(SECOND);
    let (job, done) = held_job(world, &gate);
    let canceller = job.canceller().expect("it waits");
    let log = watch(job);
    canceller.cancel();
    log.check(&["cancelled"]);
    assert_eq!(world.reactor().statistics().jobs_running, 1);
    gate.open();
    world.until(&mut || done.load(Ordering::SeqCst));
    until_running(world, 0);
    world.settle();
    canceller.cancel();
    log.check(&["cancelled"]);
}

/// What a cancelled job holds may panic when it is dropped: that is logged, and costs nothing else.
pub fn a_cancelled_job_panics_when_it_is_dropped(world: &dyn World) {
    struct Torn;
    impl Drop for Torn {
        fn drop(&mut self) {
            panic!("torn");
        }
    }
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    set_threads(&reactor, 1);
    let gate = world.gate(SECOND);
    let (first, _) = held_job(world, &gate);
    let torn = Torn;
    let second = reactor.defer_to_thread(move || {
        let _torn = &torn;
    });
    let lines = logged(|| second.cancel());
    assert!(
        lines[0].contains("a cancelled job failed: a callback panicked: torn"),
        "{lines:?}"
    );
    let failure = second.try_result().ok().and_then(Result::err);
    assert!(failure.is_some_and(|failure| failure.check::<Cancelled>().is_some()));
    gate.open();
    assert_eq!(end(world, first).expect("it was not cancelled"), 7);
}

/// Nobody has to hold a job's Deferred.
pub fn dropping_the_deferred_of_a_job_lets_it_run(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let gate = world.gate(SECOND);
    let (job, done) = held_job(world, &gate);
    drop(job);
    gate.open();
    world.until(&mut || done.load(Ordering::SeqCst));
}

/// With one thread jobs run in the order in which they were asked for, one at a time.
pub fn jobs_run_in_order_on_one_thread(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    set_threads(&reactor, 1);
    let order: Arc<Mutex<Vec<u32>>> = Arc::default();
    let (active, log) = (Arc::new(AtomicUsize::new(0)), Log::default());
    for number in 0..100 {
        let (order, active) = (Arc::clone(&order), Arc::clone(&active));
        let job = reactor.defer_to_thread(move || {
            assert_eq!(active.fetch_add(1, Ordering::SeqCst), 0, "two at once");
            order.lock().expect("no panic").push(number);
            active.fetch_sub(1, Ordering::SeqCst);
        });
        let note = log.clone();
        let noted = job.map(move |()| note.note(number.to_string()));
        noted.detach();
    }
    world.until(&mut || log.events().len() == 100);
    let expected: Vec<u32> = (0..100).collect();
    assert_eq!(*order.lock().expect("no panic"), expected);
    let came: Vec<String> = expected.iter().map(u32::to_string).collect();
    assert_eq!(log.events(), came, "the results came in another order");
    assert!(reactor.statistics().threads <= 1);
}

/// More jobs than `threads` wait, and of those more than `jobs_waiting` fail at once. One that is cancelled makes room.
pub fn jobs_waiting_are_limited(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    set_limits(&reactor, |limits| {
        limits.threads = 1;
        limits.jobs_waiting = 2;
    });
    let gate = world.gate(SECOND);
    let (first, _) = held_job(world, &gate);
    let start = |number: u32| reactor.defer_to_thread(move || Ok(number));
    let waiting = [start(1), start(2)];
    let refused = start(3).try_result();
    let failure = refused.expect("at once").expect_err("it is too many");
    assert_eq!(failure.check(), Some(&JobsFull { limit: 2 }));
    assert!(failure.to_string().contains("`jobs_waiting`"), "{failure}");
    assert_eq!(reactor.statistics().jobs_waiting, 2);
    let [one, two] = waiting;
    one.cancel();
    let three = start(3);
    gate.open();
    assert_eq!(end(world, first).expect("it works"), 7);
    assert_eq!(end(world, two).expect("it works"), 2);
    assert_eq!(end(world, three).expect("it works"), 3);
    assert_eq!(watch(one).events(), ["cancelled"]);
}

/// Twisted's `suggestThreadPoolSize`: jobs that wait begin when there may be more threads.
pub fn suggest_thread_pool_size(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    reactor.suggest_thread_pool_size(2);
    let gate = world.gate(SECOND);
    let jobs: Vec<_> = (0..5)
        .map(|number| {
            let pass = gate.pass();
            reactor.defer_to_thread(move || {
                pass();
                Ok(number)
            })
        })
        .collect();
    until_running(world, 2);
    assert_eq!(reactor.statistics().jobs_waiting, 3);
    reactor.suggest_thread_pool_size(4);
    until_running(world, 4);
    assert_eq!(reactor.statistics().jobs_waiting, 1);
    assert_eq!(reactor.limits().threads, 4);
    // Zero counts as one: what was asked for is done.
    reactor.suggest_thread_pool_size(0);
    gate.open();
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(end(world, job).expect("it works"), number);
    }
    let last = reactor.defer_to_thread(|| Ok(1));
    assert_eq!(end(world, last).expect("it works"), 1);
    world.until(&mut || reactor.statistics().threads <= 1);
}

/// A thousand at once come back, each with its own result, and nothing is left of them.
pub fn a_thousand_jobs_all_come_back(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    let came = Rc::new(Cell::new((0_u32, 0_u32)));
    for number in 0..1000 {
        let to = Rc::clone(&came);
        reactor
            .defer_to_thread(move || Ok(number))
            .map(move |got| {
                assert_eq!(got, number);
                let (count, sum) = to.get();
                to.set((count + 1, sum + got));
            })
            .detach();
    }
    world.until(&mut || came.get().0 == 1000);
    assert_eq!(came.get().1, 499_500);
    until_running(world, 0);
    let statistics = reactor.statistics();
    assert_eq!(statistics.jobs_waiting, 0);
    assert!(statistics.threads <= reactor.limits().threads);
}

static NAME: ContextVar<&'static str> = ContextVar::new("name");

/// What is in force where a job is asked for is in force when it runs, and for nobody after it.
pub fn the_context_goes_along_with_a_job(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    set_threads(&reactor, 1);
    let name = || Ok(NAME.get());
    let job = NAME.with("job", || reactor.defer_to_thread(name));
    assert_eq!(end(world, job).expect("it works"), Some("job"));
    let job = reactor.defer_to_thread(name);
    assert_eq!(end(world, job).expect("it works"), None);
}

/// Twisted's `callInThread`: nobody waits for it, and what it fails with is logged.
pub fn call_in_thread_is_for_nobody(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    let ran: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&ran);
    let line = line!() + 1;
    reactor.call_in_thread(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Err(ThreadFailure::msg("torn"))
    });
    let lines = logged(|| {
        world.until(&mut || ran.load(Ordering::SeqCst) == 1);
        until_running(world, 0);
        world.settle();
    });
    let place = format!("{}:{line}", file!());
    let ours = |text: &String| text.contains("torn") && text.contains(&place);
    assert!(lines.iter().any(ours), "{lines:?}");
}

/// Twisted's `callMultipleInThread`: one after the other on one thread, up to the first that fails.
pub fn call_multiple_in_thread_is_one_job(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    let order: Arc<Mutex<Vec<u32>>> = Arc::default();
    let jobs = (0..5).map(|number| {
        let order = Arc::clone(&order);
        move || {
            order.lock().expect("no panic").push(number);
            match number {
                3 => Err(ThreadFailure::msg("the fourth")),
                _ => Ok(()),
            }
        }
    });
    let lines = logged(|| {
        reactor.call_multiple_in_thread(jobs);
        world.until(&mut || order.lock().expect("no panic").len() == 4);
        until_running(world, 0);
        world.settle();
    });
    assert_eq!(*order.lock().expect("no panic"), [0, 1, 2, 3]);
    assert!(
        lines.iter().any(|text| text.contains("the fourth")),
        "{lines:?}"
    );
}
