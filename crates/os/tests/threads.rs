//! Every sentence of Twisted's `threading.rst` as a test, on the driver of the operating system, with its own clock; and
//! what happens to threads when their reactor goes. The behaviour suite has the rest.

#[path = "world/leftovers.rs"]
mod leftovers;

use leftovers::Leftovers;
use std::{
    cell::RefCell,
    num::ParseIntError,
    rc::Rc,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, RecvError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tress_core::{
    Deferred, EventType, Failure, Phase, Reactor, Result, ThreadFailure,
    error::{Cancelled, ReactorGone},
};
use tress_os::Mio;

fn reactor() -> Reactor {
    Reactor::with(Mio::new().expect("epoll works"))
}

fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn(f)
}

/// Turns until it holds. Fails by never ending, as no real time is waited for.
fn until(reactor: &Reactor, mut condition: impl FnMut() -> bool) {
    while !condition() {
        reactor
            .turn(Some(Duration::from_millis(1)))
            .expect("the driver works");
    }
}

/// Closed until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let open = self.0.0.lock().expect("no panic");
        drop(self.0.1.wait_while(open, |open| !*open).expect("no panic"));
    }

    fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }
}

#[track_caller]
fn failed<T: 'static>(deferred: Deferred<T>) -> Failure {
    let result = deferred.try_result().expect("it has an end");
    result.err().expect("it failed")
}

#[test]
fn the_pool_has_0_to_10_threads_lazily_created() {
    let _none = Leftovers::none();
    let (reactor, gate) = (reactor(), Gate::default());
    assert_eq!(reactor.limits().threads, 10);
    assert_eq!(reactor.statistics().threads, 0);
    let jobs: Vec<_> = (1..=30)
        .map(|count: usize| {
            let pass = gate.clone();
            let job = reactor.defer_to_thread(move || {
                pass.pass();
                Ok(count)
            });
            until(&reactor, || {
                reactor.statistics().jobs_running == count.min(10)
            });
            assert_eq!(reactor.statistics().threads, count.min(10));
            job
        })
        .collect();
    assert_eq!(reactor.statistics().jobs_waiting, 20);
    gate.open();
    let sum = reactor.run_until(tress_core::gather_results(jobs));
    assert_eq!(sum.expect("all work").into_iter().sum::<usize>(), 465);
}

#[test]
fn defer_to_thread() {
    let _none = Leftovers::none();
    let reactor = reactor();
    let own = thread::current().id();
    let elsewhere = reactor.defer_to_thread(move || Ok(thread::current().id() != own));
    assert!(reactor.run_until(elsewhere).expect("it works"));
    let failed = reactor.defer_to_thread(|| Ok("x".parse::<u32>()?));
    let failure = reactor.run_until(failed).expect_err("it is no number");
    assert!(failure.check::<ParseIntError>().is_some());
    let panicked = reactor.defer_to_thread(|| -> Result<(), ThreadFailure> { panic!("torn") });
    let failure = reactor.run_until(panicked).expect_err("it panics");
    assert_eq!(failure.to_string(), "a callback panicked: torn");
}

#[test]
fn blocking_call_from_thread_re_raises() {
    let _none = Leftovers::none();
    let reactor = reactor();
    let remote = reactor.remote();
    let job = reactor.defer_to_thread(move || {
        let one: u32 = remote.blocking_call_from_thread(|_| Ok(1))?;
        let two = remote.blocking_call_from_thread(move |reactor| {
            reactor
                .after(Duration::from_millis(1))
                .map(move |()| one + 1)
        })?;
        let failed = remote.blocking_call_from_thread(|_| Ok("x".parse::<u32>()?));
        let failure = failed.expect_err("it is no number");
        Ok((two, failure.check::<ParseIntError>().is_some()))
    });
    assert_eq!(reactor.run_until(job).expect("it works"), (2, true));
}

#[test]
fn call_from_thread_wakes_the_poll() {
    let _none = Leftovers::none();
    let reactor = reactor();
    let remote = reactor.remote();
    let thread = spawn(move || {
        let stop = |reactor: &Reactor| reactor.stop().expect("it runs");
        remote.call_from_thread(stop).expect("there is room");
    });
    // There is no deadline: only the call ends the wait.
    reactor.run().expect("it works");
    thread.join().expect("no panic");
}

#[test]
fn suggest_thread_pool_size() {
    let _none = Leftovers::none();
    let reactor = reactor();
    reactor.suggest_thread_pool_size(3);
    assert_eq!(reactor.limits().threads, 3);
    let (most, now): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let jobs: Vec<_> = (0..50)
        .map(|_| {
            let (most, now) = (Arc::clone(&most), Arc::clone(&now));
            reactor.defer_to_thread(move || {
                let running = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(running, Ordering::SeqCst);
                thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    reactor
        .run_until(tress_core::gather_results(jobs))
        .expect("all work");
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(reactor.statistics().threads <= 3);
}

#[test]
fn the_pool_is_joined_at_during_shutdown() {
    let _none = Leftovers::none();
    let (reactor, gate) = (reactor(), Gate::default());
    reactor.suggest_thread_pool_size(1);
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let note = |what: &str| {
        let (log, what) = (Rc::clone(&log), what.to_owned());
        move || log.borrow_mut().push(what)
    };
    for name in ["what ran", "what waited"] {
        let (pass, done) = (gate.clone(), note(name));
        let job = reactor.defer_to_thread(move || pass.pass());
        job.map(move |()| done()).detach();
    }
    let (open, during) = (gate, note("during"));
    reactor.add_system_event_trigger(Phase::During, EventType::Shutdown, move || {
        during();
        open.open();
    });
    reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, note("after"));
    let own = reactor.clone();
    reactor.call_when_running(move || own.stop());
    // Its wait ends with the last job, long before the limit `shutdown`.
    reactor.run().expect("it works");
    let log = log.borrow();
    assert_eq!(*log, ["during", "what ran", "what waited", "after"]);
}

/// Two jobs on two threads that wait for two which wait for a thread: what those that wait would have done.
fn deadlock(reactor: &Reactor) -> ([Deferred<u32>; 2], [Deferred<()>; 2]) {
    reactor.suggest_thread_pool_size(2);
    let mut senders: Vec<Sender<u32>> = Vec::new();
    let waiting = [(); 2].map(|()| {
        let (sender, receiver) = mpsc::channel();
        senders.push(sender);
        reactor.defer_to_thread(move || Ok(receiver.recv()?))
    });
    until(reactor, || reactor.statistics().jobs_running == 2);
    let mut senders = senders.into_iter().zip(1..);
    let awaited = [(); 2].map(|()| {
        let (sender, number) = senders.next().expect("there are two");
        reactor.defer_to_thread(move || Ok(sender.send(number)?))
    });
    for _ in 0..200 {
        reactor.turn(Some(Duration::ZERO)).expect("it works");
    }
    let statistics = reactor.statistics();
    assert_eq!((statistics.jobs_running, statistics.jobs_waiting), (2, 2));
    let all = waiting.iter().map(Deferred::canceller);
    let all = all.chain(awaited.iter().map(Deferred::canceller));
    assert!(
        all.into_iter().all(|waits| waits.is_some()),
        "one has an end"
    );
    (waiting, awaited)
}

#[test]
fn a_full_pool_of_mutually_waiting_tasks_deadlocks_and_cancelling_one_ends_that() {
    let _none = Leftovers::none();
    let reactor = reactor();
    let ([first, second], [cancelled, other]) = deadlock(&reactor);
    cancelled.cancel();
    assert!(failed(cancelled).check::<Cancelled>().is_some());
    // What the cancelled job held has gone, so nobody waits for it any more, and the thread does what the other waits for.
    let failure = reactor.run_until(first).expect_err("nobody sent anything");
    assert!(failure.check::<RecvError>().is_some(), "{failure}");
    assert_eq!(reactor.run_until(second).expect("it works"), 2);
    reactor.run_until(other).expect("it works");
    let after = reactor.defer_to_thread(|| Ok(1));
    assert_eq!(reactor.run_until(after).expect("it works"), 1);
}

#[test]
fn a_full_pool_of_mutually_waiting_tasks_goes_on_with_more_threads() {
    let _none = Leftovers::none();
    let reactor = reactor();
    let (waiting, awaited) = deadlock(&reactor);
    reactor.suggest_thread_pool_size(4);
    let results = reactor.run_until(tress_core::gather_results(waiting));
    assert_eq!(results.expect("all work"), [1, 2]);
    reactor
        .run_until(tress_core::gather_results(awaited))
        .expect("all work");
}

/// What runs goes on and is left alone; what waits never runs, and what it holds is dropped at once.
#[test]
fn dropping_the_reactor_waits_for_no_job() {
    let _none = Leftovers::none();
    let (reactor, gate) = (reactor(), Gate::default());
    reactor.suggest_thread_pool_size(1);
    let (sender, ended) = mpsc::channel();
    let pass = gate.clone();
    let running = reactor.defer_to_thread(move || {
        pass.pass();
        sender.send(()).ok();
    });
    until(&reactor, || reactor.statistics().jobs_running == 1);
    let ran: Arc<AtomicBool> = Arc::default();
    let set = Arc::clone(&ran);
    let waiting = reactor.defer_to_thread(move || set.store(true, Ordering::SeqCst));
    let remote = reactor.remote();
    drop(reactor);
    assert_eq!(Arc::strong_count(&ran), 1, "the job is still held");
    for job in [running, waiting] {
        assert!(failed(job).check::<ReactorGone>().is_some());
    }
    let late = remote.blocking_call_from_thread(|_| ());
    assert!(late.is_err_and(|gone| gone.check::<ReactorGone>().is_some()));
    gate.open();
    ended.recv().expect("the job that ran goes on to its end");
    assert!(!ran.load(Ordering::SeqCst));
}

/// Whoever waits for an answer is told when the reactor is dropped.
#[test]
fn blocking_calls_end_when_the_reactor_is_dropped() {
    let _none = Leftovers::none();
    let reactor = reactor();
    let (in_call, called) = mpsc::channel();
    // One is called and never answered, the other never called.
    let threads = [true, false].map(|is_called| {
        let (remote, in_call) = (reactor.remote(), in_call.clone());
        spawn(move || {
            if !is_called {
                in_call.send(()).ok();
            }
            remote.blocking_call_from_thread(move |_| {
                in_call.send(()).ok();
                let (resolver, never) = Deferred::<()>::pair();
                std::mem::forget(resolver);
                never
            })
        })
    });
    called.recv().expect("one comes");
    // It may be the call itself that came first.
    reactor.turn(Some(Duration::ZERO)).expect("it works");
    drop(reactor);
    for thread in threads {
        let answer = thread.join().expect("no panic");
        let gone = answer.expect_err("nobody answered");
        assert!(gone.check::<ReactorGone>().is_some(), "{gone}");
    }
}

/// A thread that a stop left behind does not keep the process from its next run, nor from its end.
#[test]
fn a_job_that_never_ends_does_not_hold_up_the_stop() {
    let _none = Leftovers::none();
    let (reactor, gate) = (reactor(), Gate::default());
    let mut limits = (*reactor.limits()).clone();
    limits.shutdown = Duration::from_millis(1);
    reactor.set_limits(limits);
    for _ in 0..3 {
        let pass = gate.clone();
        let job = reactor.defer_to_thread(move || pass.pass());
        let own = reactor.clone();
        reactor.call_when_running(move || own.stop());
        reactor.run().expect("it works");
        let text = failed(job).to_string();
        assert!(text.contains("after 1ms (limit `shutdown`)"), "{text}");
    }
    gate.open();
    until(&reactor, || reactor.statistics().jobs_running == 0);
}
