//! Calls from other threads that wait for their answer: always one, and never for ever.

use super::{JobsRun, end, has_jobs};
use crate::{
    deferred::Deferred,
    error::{Abandoned, InboxFull, NotRunning, OwnThread, Panicked},
    failure::{Failure, Result, ThreadFailure},
    reactor::{Reactor, Remote},
    testing::suite::{World, recorder::set_limits},
};
use std::{
    cell::OnceCell,
    convert::Infallible,
    error::Error,
    num::ParseIntError,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// Does this on a thread of its own, which may call the servers' reactor.
fn on_thread<T: Send + 'static>(
    world: &dyn World,
    f: impl FnOnce(Remote) -> T + Send + 'static,
) -> JoinHandle<T> {
    let remote = world.reactor().remote();
    #[expect(clippy::disallowed_methods, reason = "a call from another thread")]
    std::thread::spawn(move || f(remote))
}

/// Turns until the thread has ended.
#[track_caller]
fn join<T>(world: &dyn World, thread: JoinHandle<T>) -> T {
    world.until(&mut || thread.is_finished());
    thread.join().expect("no panic")
}

/// It failed with an `E`.
#[track_caller]
fn check<E: Error + 'static, T>(answer: &Result<T, ThreadFailure>) {
    match answer {
        Ok(_) => panic!("it did not fail"),
        Err(failure) => assert!(failure.check::<E>().is_some(), "{failure}"),
    }
}

/// Twisted's `blockingCallFromThread`: the function runs on the loop, and its result is the result here, a Deferred's
/// too.
pub fn blocking_call_from_thread_gives_the_result(world: &dyn World) {
    let own = std::thread::current().id();
    let thread = on_thread(world, move |remote| {
        let there = remote.blocking_call_from_thread(|_| Ok(std::thread::current().id()));
        assert_eq!(there.expect("it works"), own);
        remote.blocking_call_from_thread(|_| ()).expect("it works");
        let later = remote.blocking_call_from_thread(|reactor: &Reactor| {
            reactor.after(Duration::ZERO).map(|()| 7)
        });
        later.expect("it works")
    });
    assert_eq!(join(world, thread), 7);
}

/// What it fails with is raised here, with its text and its type, a panic too.
pub fn blocking_call_from_thread_re_raises(world: &dyn World) {
    let thread = on_thread(world, |remote| {
        let failed = remote.blocking_call_from_thread(|_| Ok("x".parse::<u32>()?));
        check::<ParseIntError, _>(&failed);
        let failed = remote.blocking_call_from_thread(|reactor: &Reactor| {
            let later = reactor.after(Duration::ZERO);
            later.add_callback(|()| -> Result { Err(Failure::msg("late").context("trying")) })
        });
        assert_eq!(failed.expect_err("it fails").to_string(), "trying: late");
        let panicked = remote.blocking_call_from_thread(|_| -> Result { panic!("torn") });
        check::<Panicked, _>(&panicked);
        let abandoned = remote.blocking_call_from_thread(|_| Deferred::<u32>::pair().1);
        check::<Abandoned, _>(&abandoned);
    });
    join(world, thread);
}

/// On the reactor's own thread it would wait for itself: it fails at once and is never made.
pub fn blocking_call_from_thread_on_the_loop_is_refused(world: &dyn World) {
    let remote = world.reactor().remote();
    let refused = remote.blocking_call_from_thread(|_| -> Result { unreachable!("it is refused") });
    check::<OwnThread, _>(&refused);
    world.settle();
}

/// A job may call back, where it runs on a thread; where the loop runs it, the call is refused.
pub fn blocking_call_from_a_job(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let remote = world.reactor().remote();
    let job = world.reactor().defer_to_thread(move || {
        Ok(remote
            .blocking_call_from_thread(|_| Ok(7))
            .map(|n: u32| n + 1))
    });
    let answer = end(world, job).expect("the job itself works");
    match world.jobs_run() {
        JobsRun::OnThreads => assert_eq!(answer.expect("it works"), 8),
        JobsRun::OnTheLoop | JobsRun::Nowhere => check::<OwnThread, _>(&answer),
    }
}

/// A reactor that stops answers nobody any more: who waits is told, a call that was not made yet is never made, and a
/// new one is refused until it runs again.
pub fn blocking_call_from_thread_ends_with_the_run(world: &dyn World) {
    let reactor = world.reactor();
    reactor.start().expect("it did not run");
    let asked: Arc<Mutex<u32>> = Arc::default();
    let count = move |asked: &Arc<Mutex<u32>>| {
        *asked.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    };
    let in_call = Arc::clone(&asked);
    let thread = on_thread(world, move |remote| {
        remote.blocking_call_from_thread(move |reactor| {
            count(&in_call);
            let (resolver, never) = Deferred::<u32>::pair();
            // Nobody fires it, and nobody drops it while there is the reactor.
            let Ok(kept) = reactor.extension(|| Ok::<_, Infallible>(OnceCell::new()));
            assert!(kept.set(resolver).is_ok(), "it is called once");
            never
        })
    });
    world.until(&mut || *asked.lock().expect("no panic") == 1);
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    check::<NotRunning, _>(&join(world, thread));
    let late = on_thread(world, |remote| {
        remote.blocking_call_from_thread(|_| -> Result { unreachable!("it is refused") })
    });
    // No turn is needed for that.
    check::<NotRunning, _>(&late.join().expect("no panic"));
    world.settle();
    reactor.start().expect("it has stopped");
    let again = on_thread(world, |remote| remote.blocking_call_from_thread(|_| Ok(1)));
    assert_eq!(join(world, again).expect("it runs again"), 1);
}

/// A call that finds the mailbox full is refused as others are.
pub fn blocking_call_from_thread_when_there_is_no_room(world: &dyn World) {
    set_limits(&world.reactor(), |limits| limits.thread_calls = 0);
    let thread = on_thread(world, |remote| remote.blocking_call_from_thread(|_| ()));
    check::<InboxFull, _>(&thread.join().expect("no panic"));
}

/// Results of jobs are no calls that others could crowd out: there is always room for them.
pub fn results_of_jobs_always_have_room(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    set_limits(&world.reactor(), |limits| limits.thread_calls = 0);
    let job = world.reactor().defer_to_thread(|| Ok(1));
    assert_eq!(end(world, job).expect("it works"), 1);
}
