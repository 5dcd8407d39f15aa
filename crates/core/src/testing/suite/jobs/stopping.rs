//! Jobs when the reactor stops: it waits for them, but not for ever.

use super::{Gate, SECOND, end, has_jobs, held_job, set_threads, until_running};
use crate::{
    error::JobLeftBehind,
    reactor::{EventType, Phase},
    testing::suite::{
        World,
        recorder::{Log, watch},
    },
};
use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Twisted: the pool is joined at during-shutdown. What runs and what waits is done before the reactor has stopped, the
/// loop goes on meanwhile, and nothing new is begun.
pub fn stop_waits_for_jobs(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let (reactor, log) = (world.reactor(), Log::default());
    set_threads(&reactor, 1);
    reactor.start().expect("it did not run");
    let gate = world.gate(SECOND);
    let (first, _) = held_job(world, &gate);
    let second = reactor.defer_to_thread(|| Ok(2));
    let (own, note) = (reactor.clone(), log.clone());
    let first = first.map(move |number| {
        note.note(number.to_string());
        let late = watch(own.defer_to_thread(|| Ok(3)));
        note.note(late.events().join(","));
    });
    first.detach();
    let note = log.clone();
    second
        .map(move |number| note.note(number.to_string()))
        .detach();
    for (phase, name) in [(Phase::During, "during"), (Phase::After, "after")] {
        let note = log.clone();
        reactor.add_system_event_trigger(phase, EventType::Shutdown, move || note.note(name));
    }
    reactor.stop().expect("it runs");
    world.settle();
    assert!(reactor.is_running(), "it did not wait");
    log.check(&["during"]);
    gate.open();
    world.until(&mut || !reactor.is_running());
    log.check(&["during", "7", "the reactor is not running", "2", "after"]);
}

/// A job that was cancelled while it ran is waited for too: it may still do what must not be done after the end.
pub fn stop_waits_for_a_cancelled_job_that_runs(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    reactor.start().expect("it did not run");
    let gate = world.gate(SECOND);
    let (job, done) = held_job(world, &gate);
    job.cancel();
    watch(job).check(&["cancelled"]);
    reactor.stop().expect("it runs");
    world.settle();
    assert!(reactor.is_running(), "it did not wait");
    gate.open();
    world.until(&mut || !reactor.is_running());
    assert!(done.load(Ordering::SeqCst));
}

/// When the limit `shutdown` is over what waits never runs, what runs is left behind, and both fail. The reactor can run
/// again, with jobs, and is not held up by what was left.
pub fn stop_leaves_jobs_behind_when_time_is_up(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    set_threads(&reactor, 1);
    reactor.start().expect("it did not run");
    let gate = world.gate(3600 * SECOND);
    let (first, _) = held_job(world, &gate);
    let ran: Arc<AtomicBool> = Arc::default();
    let set = Arc::clone(&ran);
    let second = reactor.defer_to_thread(move || set.store(true, Ordering::SeqCst));
    let logs = [watch(first), watch(second)];
    reactor.stop().expect("it runs");
    world.settle();
    world.advance(5 * SECOND - Duration::from_millis(1));
    assert!(reactor.is_running(), "it stopped early");
    world.advance(SECOND);
    world.until(&mut || !reactor.is_running());
    let late = JobLeftBehind { after: 5 * SECOND }.to_string();
    assert_eq!(
        late,
        "the reactor stopped before the job was done, after 5s (limit `shutdown`)"
    );
    for log in &logs {
        log.check(&[&late]);
    }
    let statistics = reactor.statistics();
    assert_eq!((statistics.jobs_running, statistics.jobs_waiting), (1, 0));
    check_runs_again(world, &gate);
    assert!(!ran.load(Ordering::SeqCst), "it ran after all");
    for log in &logs {
        log.check(&[&late]);
    }
}

/// Runs once more with a job, after what was left behind has ended.
#[track_caller]
fn check_runs_again(world: &dyn World, gate: &Gate) {
    let reactor = world.reactor();
    reactor.start().expect("it has stopped");
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
    gate.open();
    until_running(world, 0);
    reactor.start().expect("it has stopped");
    let job = reactor.defer_to_thread(|| Ok(1));
    assert_eq!(end(world, job).expect("it works"), 1);
    reactor.stop().expect("it runs");
    world.until(&mut || !reactor.is_running());
}

/// Run, stop and run again: each time the jobs work, and none is lost in between.
pub fn jobs_work_each_time_it_runs(world: &dyn World) {
    if !has_jobs(world) {
        return;
    }
    let reactor = world.reactor();
    for round in 0..3 {
        let before = reactor.defer_to_thread(move || Ok(round));
        reactor.start().expect("it has stopped");
        assert_eq!(end(world, before).expect("it works"), round);
        let inside = Rc::new(reactor.clone());
        let job = reactor.defer_to_thread(move || Ok(round));
        let log = watch(job.add_callback(move |_| inside.stop()));
        world.until(&mut || !reactor.is_running());
        log.check(&["ok"]);
    }
}
