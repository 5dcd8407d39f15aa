//! Jobs without threads: the seed says how long each takes, and everything else follows.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tress_core::{
    Deferred, Reactor, Result, Time,
    error::{OwnThread, ReactorGone},
};
use tress_sim::World;

const HOST: &str = "10.0.0.1";

/// In which order 20 jobs of this seed end, when the last one ends, and the hash of the trace.
fn run(seed: u64, threads: usize) -> (Vec<u32>, Time, u64) {
    let world = World::new(seed);
    let reactor = Reactor::with(world.host(HOST));
    reactor.suggest_thread_pool_size(threads);
    let order: Rc<RefCell<Vec<u32>>> = Rc::default();
    for number in 0..20 {
        let to = Rc::clone(&order);
        let job = reactor.defer_to_thread(move || Ok(number));
        job.map(move |number| to.borrow_mut().push(number)).detach();
    }
    world.run_until_idle(&[&reactor]).expect("it comes to rest");
    (order.take(), world.now(), world.trace_hash())
}

#[test]
fn the_same_seed_runs_jobs_in_the_same_order_at_the_same_times() {
    let all: Vec<u32> = (0..20).collect();
    let orders: Vec<Vec<u32>> = (0..5)
        .map(|seed| {
            let once = run(seed, 10);
            assert_eq!(once, run(seed, 10), "seed {seed}");
            let mut sorted = once.0.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, all, "seed {seed}");
            once.0
        })
        .collect();
    assert!(
        orders.iter().any(|order| *order != all),
        "the seeds try no other order"
    );
    assert!(orders.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn one_virtual_thread_does_one_job_after_the_other() {
    let (order, end_of_one, _) = run(1, 1);
    assert_eq!(order, (0..20).collect::<Vec<_>>());
    let (_, end_of_many, _) = run(1, 20);
    assert!(end_of_many.since(Time(0)) <= Duration::from_millis(10));
    assert!(end_of_one.since(Time(0)) > Duration::from_millis(20));
}

/// No crank: the clock jumps to the end of the job.
#[test]
fn a_reactor_alone_waits_for_its_jobs() {
    let world = World::new(3);
    let mut policy = world.policy();
    policy.job = Duration::from_secs(3600);
    world.set_policy(policy);
    let driver = world.host(HOST);
    let begun = world.now();
    let reactor = Reactor::with(driver);
    let ran: Arc<Mutex<Option<std::thread::ThreadId>>> = Arc::default();
    let place = Arc::clone(&ran);
    let job = reactor.defer_to_thread(move || {
        *place.lock().expect("no panic") = Some(std::thread::current().id());
        Ok(7)
    });
    assert_eq!(reactor.run_until(job).expect("it works"), 7);
    let own = std::thread::current().id();
    assert_eq!(*ran.lock().expect("no panic"), Some(own), "a real thread");
    let took = world.now().since(begun);
    assert!(took > Duration::ZERO && took <= Duration::from_secs(3600));
    assert_eq!(reactor.statistics().threads, 0);
}

/// The same clock for a timeout as for the job: it ends the wait, and the job, which ran, goes on for nobody.
#[test]
fn a_job_may_take_longer_than_its_timeout() {
    let world = World::new(1);
    let mut policy = world.policy();
    policy.job = Duration::from_secs(3600);
    world.set_policy(policy);
    let reactor = Reactor::with(world.host(HOST));
    let ran: Arc<AtomicBool> = Arc::default();
    let set = Arc::clone(&ran);
    let job = reactor.defer_to_thread(move || set.store(true, Ordering::SeqCst));
    let late = job.add_timeout(&reactor, Duration::from_secs(1));
    let failure = reactor.run_until(late).expect_err("it takes too long");
    assert_eq!(failure.to_string(), "a Deferred timed out after 1s");
    world.run_until_idle(&[&reactor]).expect("it comes to rest");
    assert!(ran.load(Ordering::SeqCst));
    assert_eq!(reactor.statistics().jobs_running, 0);
}

/// A job that would block for ever is told so.
#[test]
fn a_blocking_call_in_a_job_is_refused() {
    let world = World::new(1);
    let reactor = Reactor::with(world.host(HOST));
    let remote = reactor.remote();
    let job = reactor.defer_to_thread(move || remote.blocking_call_from_thread(|_| Ok(1)));
    let failure = reactor.run_until(job).expect_err("it is refused");
    assert!(failure.check::<OwnThread>().is_some(), "{failure}");
    // An ordinary call is none of that.
    let (remote, called) = (reactor.remote(), Arc::new(AtomicBool::new(false)));
    let set = Arc::clone(&called);
    let job = reactor.defer_to_thread(move || {
        let call = move |_: &Reactor| set.store(true, Ordering::SeqCst);
        remote.call_from_thread(call).expect("there is room");
    });
    reactor.run_until(job).expect("it works");
    assert!(called.load(Ordering::SeqCst));
}

/// Dropping a driver drops its jobs, those that run too, and what is on its way for them finds nobody.
#[test]
fn a_dropped_reactor_leaves_no_job() {
    let world = World::new(1);
    let (gone, other) = (
        Reactor::with(world.host(HOST)),
        Reactor::with(world.host("10.0.0.2")),
    );
    gone.suggest_thread_pool_size(1);
    let held = Arc::new(());
    let jobs: Vec<Deferred<()>> = [(); 3]
        .map(|()| {
            let held = Arc::clone(&held);
            gone.defer_to_thread(move || drop(held))
        })
        .into();
    let living = other.defer_to_thread(|| Ok(1));
    drop(gone);
    assert_eq!(Arc::strong_count(&held), 1);
    for job in jobs {
        let failure = job.try_result().ok().and_then(Result::err);
        assert!(failure.is_some_and(|failure| failure.check::<ReactorGone>().is_some()));
    }
    world.run_until_idle(&[&other]).expect("it comes to rest");
    assert_eq!(
        living
            .try_result()
            .expect("it has an end")
            .expect("it works"),
        1
    );
}
