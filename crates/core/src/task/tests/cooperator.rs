//! `Cooperator`: turns, time slices, and every state in which a task can be paused, stopped or asked for its end. The
//! cases are those of Twisted's `test_cooperator.py`, and what can go wrong besides.

use super::*;
use crate::{
    Address, CooperativeTask, Cooperator, Protocol, Transport,
    error::SchedulerError::{self, NotPaused, SchedulerStopped, TaskDone, TaskFailed, TaskStopped},
    testing::{ManualClock, logged},
};

/// What one step of a [`Worker`] does.
type Work = Box<dyn FnOnce() -> Option<Deferred<()>>>;

/// A cooperator that makes one step a turn, and a task that does what it is told next, or counts.
struct Worker {
    table: Table,
    cooperator: Cooperator,
    task: CooperativeTask,
    steps: Rc<Cell<usize>>,
    next: Rc<Cell<Option<Work>>>,
}

impl Worker {
    fn new() -> Self {
        let table = Table::new();
        let cooperator = Cooperator::with_time_slice(table.reactor(), Duration::ZERO);
        let steps: Rc<Cell<usize>> = Rc::default();
        let next: Rc<Cell<Option<Work>>> = Rc::default();
        let (count, work) = (Rc::clone(&steps), Rc::clone(&next));
        let task = cooperator.cooperate(std::iter::from_fn(move || {
            count.update(|count| count + 1);
            work.take()
                .map_or_else(|| Some(Deferred::succeed(())), |work| work())
        }));
        Self {
            table,
            cooperator,
            task,
            steps,
            next,
        }
    }

    fn next(&self, work: impl FnOnce() -> Option<Deferred<()>> + 'static) {
        self.next.set(Some(Box::new(work)));
    }

    /// The next step waits until this is fired.
    fn wait(&self) -> Resolver<()> {
        let (resolver, deferred) = Deferred::pair();
        self.next(move || Some(deferred));
        resolver
    }

    /// Turns the loop a few times; the task has made so many steps since its start.
    #[track_caller]
    fn check(&self, turns: usize, steps: usize) {
        turn(self.table.reactor(), turns);
        assert_eq!(self.steps.get(), steps, "steps");
    }

    #[track_caller]
    fn check_timers(&self, expected: usize) {
        assert_eq!(self.table.reactor().statistics().timers, expected);
    }

    /// Nothing can be asked of the task any more.
    #[track_caller]
    fn check_finished(&self, how: SchedulerError) {
        assert_eq!(self.task.pause(), Err(how));
        assert_eq!(self.task.resume(), Err(how));
        assert_eq!(self.task.stop(), Err(how));
        let steps = self.steps.get();
        self.check(3, steps);
        self.check_timers(0);
    }
}

/// Notes `name` for each of its steps, and lets this much time pass in it.
fn noting(
    clock: &ManualClock,
    log: &Rc<RefCell<String>>,
    name: char,
    takes: Duration,
) -> impl Iterator<Item = ()> + use<> {
    let (log, clock) = (Rc::clone(log), clock.clone());
    std::iter::repeat_with(move || {
        log.borrow_mut().push(name);
        clock.advance(takes);
    })
}

#[test]
fn tasks_make_one_step_each_in_turn() {
    let table = Table::new();
    let cooperator = Cooperator::new(table.reactor());
    let log = Rc::default();
    let done = ['a', 'b', 'c', 'd'].map(|name| {
        let steps = noting(&table.clock(), &log, name, Duration::ZERO);
        Watch::new(cooperator.coiterate(steps.take(3)))
    });
    assert_eq!(*log.borrow(), "", "nothing runs inside the caller");
    turn(table.reactor(), 1);
    assert_eq!(*log.borrow(), "abcdabcdabcd");
    done.iter().for_each(|done| done.check("()"));
    assert_eq!(table.reactor().statistics().timers, 0);
}

#[test]
fn the_rest_is_done_in_the_next_turn_when_the_time_slice_is_used_up() {
    let table = Table::new();
    let cooperator = Cooperator::with_time_slice(table.reactor(), millis(7));
    let log = Rc::default();
    for name in ['a', 'b', 'c'] {
        let steps = noting(&table.clock(), &log, name, millis(2));
        cooperator.coiterate(steps.take(3)).detach();
    }
    for so_far in ["abca", "abcabcab", "abcabcabc"] {
        turn(table.reactor(), 1);
        assert_eq!(*log.borrow(), so_far);
    }
    assert_eq!(table.reactor().statistics().timers, 0);
}

/// Twisted's slice of 10 ms would be counted as a stall whenever it is used up.
#[test]
fn a_full_time_slice_is_no_stall() {
    let table = Table::new();
    let cooperator = Cooperator::new(table.reactor());
    let log = Rc::default();
    cooperator
        .coiterate(noting(&table.clock(), &log, 'a', millis(1)))
        .detach();
    turn(table.reactor(), 10);
    assert_eq!(log.borrow().len(), 50);
    assert_eq!(table.reactor().statistics().stalls, 0);
    cooperator.stop();
}

#[test]
fn a_slice_of_zero_makes_one_step_a_turn() {
    let worker = Worker::new();
    worker.check(1, 1);
    worker.check(3, 4);
    worker.check_timers(1);
}

/// Sends back what it receives, and remembers it.
struct Echo(Rc<RefCell<Vec<u8>>>);

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(b"x");
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.0.borrow_mut().extend_from_slice(data);
        transport.write(data);
        Ok(())
    }
}

#[test]
fn endless_tasks_leave_room_for_each_other_for_timers_and_for_connections() {
    let table = Table::new();
    let (reactor, log) = (table.reactor(), Rc::default());
    let received: Rc<RefCell<Vec<u8>>> = Rc::default();
    let (server, client) = (Rc::clone(&received), Rc::clone(&received));
    let factory = move |_: &Address| Some(Echo(Rc::clone(&server)));
    reactor.listen("tcp:80", factory).expect("it is free");
    let connecting = reactor.connect_protocol("tcp:192.0.2.2:80", Echo(client));
    connecting.map(|_| ()).detach();
    turn(reactor, 5);
    let cooperator = Cooperator::new(reactor);
    for name in ['a', 'b'] {
        let steps = noting(&table.clock(), &log, name, millis(1));
        cooperator.coiterate(steps).detach();
    }
    let timer = Rc::clone(&log);
    reactor.call_later(millis(12), move || timer.borrow_mut().push('T'));
    let mut echoes = received.borrow().len();
    for _ in 0..20 {
        turn(reactor, 1);
        let now = received.borrow().len();
        assert!(now > echoes, "a connection waits");
        echoes = now;
    }
    let log = log.borrow();
    // The first turn to begin after 12 ms.
    assert_eq!(log.find('T'), Some(15), "{log}");
    let steps = |name| log.matches(name).count();
    assert_eq!((steps('a'), steps('b'), steps('T')), (50, 50, 1));
    cooperator.stop();
}

#[test]
fn a_task_that_returned_a_deferred_waits_and_the_others_go_on() {
    let worker = Worker::new();
    let log: Rc<RefCell<String>> = Rc::default();
    let resolver = worker.wait();
    worker.check(1, 1);
    let other = noting(&worker.table.clock(), &log, 'o', Duration::ZERO);
    let other = worker.cooperator.cooperate(other.take(3));
    worker.check(5, 1);
    assert_eq!(*log.borrow(), "ooo");
    Watch::new(other.when_done()).check("()");
    worker.check_timers(0);
    resolver.resolve(());
    assert_eq!(worker.steps.get(), 1, "not from inside");
    worker.check(1, 2);
}

#[test]
fn a_task_that_returned_a_deferred_that_has_fired_goes_on() {
    let table = Table::new();
    let cooperator = Cooperator::new(table.reactor());
    let steps = (0..100).map(|_| Deferred::succeed(()));
    let done = Watch::new(cooperator.coiterate(steps));
    turn(table.reactor(), 1);
    done.check("()");
}

type Failing = fn() -> Deferred<()>;

#[test]
fn an_item_a_deferred_or_a_panic_fails_the_task() {
    let failing: [(Failing, _); 3] = [
        (|| Deferred::fail(Failure::msg("now")), "now"),
        (
            || Deferred::pair().1,
            "abandoned: its resolver was dropped without being fired",
        ),
        (|| panic!("oh"), "a callback panicked: oh"),
    ];
    for (step, text) in failing {
        let worker = Worker::new();
        let done = Watch::new(worker.task.when_done());
        worker.next(move || Some(step()));
        worker.check(2, 1);
        done.check(text);
        worker.check_finished(TaskFailed);
        Watch::new(worker.task.when_done()).check(text);
    }
    let worker = Worker::new();
    let done = Watch::new(worker.task.when_done());
    let resolver = worker.wait();
    worker.check(2, 1);
    resolver.fail(Failure::msg("late"));
    done.check("late");
    worker.check_finished(TaskFailed);
    // An item may be a Result.
    let steps = [Ok(()), Err(Failure::msg("item"))].into_iter();
    let done = Watch::new(worker.cooperator.coiterate(steps));
    turn(worker.table.reactor(), 2);
    done.check("item");
}

#[test]
fn a_failing_task_does_not_stop_the_others() {
    let worker = Worker::new();
    let done = Watch::new(
        worker
            .cooperator
            .coiterate(std::iter::from_fn(|| -> Option<()> { panic!("oh") })),
    );
    worker.check(5, 4);
    done.check("a callback panicked: oh");
}

#[test]
fn pause_and_resume() {
    let worker = Worker::new();
    worker.check(2, 2);
    assert_eq!(worker.task.pause(), Ok(()));
    worker.check_timers(0);
    worker.check(3, 2);
    assert_eq!(worker.task.resume(), Ok(()));
    assert_eq!(worker.steps.get(), 2, "not from inside");
    worker.check(1, 3);
}

#[test]
fn pauses_are_counted() {
    let worker = Worker::new();
    assert_eq!(worker.task.pause(), Ok(()));
    assert_eq!(worker.task.pause(), Ok(()));
    assert_eq!(worker.task.resume(), Ok(()));
    worker.check(3, 0);
    assert_eq!(worker.task.resume(), Ok(()));
    worker.check(1, 1);
}

#[test]
fn resuming_what_is_not_paused_is_an_error() {
    let worker = Worker::new();
    assert_eq!(worker.task.resume(), Err(NotPaused));
    assert_eq!(worker.task.pause(), Ok(()));
    assert_eq!(worker.task.resume(), Ok(()));
    assert_eq!(worker.task.resume(), Err(NotPaused));
    worker.check(2, 2);
}

/// In Twisted a `resume` would make a waiting task go on too early.
#[test]
fn waiting_for_a_deferred_is_no_pause() {
    let worker = Worker::new();
    let resolver = worker.wait();
    worker.check(2, 1);
    assert_eq!(worker.task.resume(), Err(NotPaused));
    worker.check(2, 1);
    resolver.resolve(());
    worker.check(1, 2);
}

#[test]
fn a_task_paused_while_it_waits_needs_both_to_go_on() {
    for fires_first in [false, true] {
        let worker = Worker::new();
        let resolver = worker.wait();
        worker.check(2, 1);
        assert_eq!(worker.task.pause(), Ok(()));
        if fires_first {
            resolver.resolve(());
            worker.check(2, 1);
            assert_eq!(worker.task.resume(), Ok(()));
        } else {
            assert_eq!(worker.task.resume(), Ok(()));
            worker.check(2, 1);
            resolver.resolve(());
        }
        worker.check(1, 2);
    }
}

#[test]
fn a_task_may_pause_itself() {
    let worker = Worker::new();
    let own = worker.task.clone();
    worker.next(move || {
        own.pause().expect("it runs");
        Some(Deferred::succeed(()))
    });
    worker.check(3, 1);
    worker.check_timers(0);
    worker.task.resume().expect("it is paused");
    worker.check(1, 2);
}

#[test]
fn a_task_may_pause_and_resume_itself_in_one_step() {
    let worker = Worker::new();
    let own = worker.task.clone();
    worker.next(move || {
        own.pause().expect("it runs");
        own.resume().expect("it is paused");
        Some(Deferred::succeed(()))
    });
    worker.check(3, 3);
}

#[test]
fn when_done_fires_for_everyone_who_asks_at_the_end_and_after() {
    let worker = Worker::new();
    let early = [(); 2].map(|()| Watch::new(worker.task.when_done()));
    worker.check(3, 3);
    early.iter().for_each(Watch::check_waiting);
    worker.next(|| None);
    worker.check(1, 4);
    early.iter().for_each(|done| done.check("()"));
    Watch::new(worker.task.when_done()).check("()");
    worker.check_finished(TaskDone);
}

/// What one of them makes of it does not change what the others get.
#[test]
fn a_failure_comes_to_everyone_who_asks() {
    let worker = Worker::new();
    let handled = Watch::new(worker.task.when_done().add_errback(|_| Ok(())));
    let other = Watch::new(worker.task.when_done());
    worker.next(|| Some(Deferred::fail(Failure::msg("no"))));
    worker.check(1, 1);
    handled.check("()");
    other.check("no");
}

#[test]
fn stop_ends_it_at_once_with_task_stopped() {
    let worker = Worker::new();
    worker.check(1, 1);
    let done = Watch::new(worker.task.when_done());
    assert_eq!(worker.task.stop(), Ok(()));
    done.check(&TaskStopped.to_string());
    worker.check_finished(TaskStopped);
    Watch::new(worker.task.when_done()).check(&TaskStopped.to_string());
}

/// In Twisted the `resume` says nothing.
#[test]
fn a_task_stopped_while_it_is_paused_does_not_go_on() {
    let worker = Worker::new();
    worker.task.pause().expect("it runs");
    assert_eq!(worker.task.stop(), Ok(()));
    worker.check_finished(TaskStopped);
}

#[test]
fn a_task_stopped_while_it_waits_leaves_the_deferred_alone() {
    let worker = Worker::new();
    let resolver = worker.wait();
    worker.check(2, 1);
    let done = Watch::new(worker.task.when_done());
    assert_eq!(worker.task.stop(), Ok(()));
    done.check(&TaskStopped.to_string());
    assert!(!resolver.is_cancelled());
    resolver.resolve(());
    worker.check_finished(TaskStopped);
}

#[test]
fn what_a_stopped_task_waited_for_may_fail_and_is_logged() {
    let worker = Worker::new();
    let resolver = worker.wait();
    worker.check(2, 1);
    let done = Watch::new(worker.task.when_done());
    worker.task.stop().expect("it waits");
    let lines = logged(|| resolver.fail(Failure::msg("late")));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("late"), "{lines:?}");
    done.check(&TaskStopped.to_string());
    worker.check_finished(TaskStopped);
}

#[test]
fn a_task_may_stop_itself() {
    for fails in [false, true] {
        let worker = Worker::new();
        let done = Watch::new(worker.task.when_done());
        let own = worker.task.clone();
        worker.next(move || {
            own.stop().expect("it runs");
            fails.then(|| Deferred::fail(Failure::msg("afterwards")))
        });
        let lines = logged(|| worker.check(1, 1));
        assert_eq!(lines.len(), usize::from(fails), "{lines:?}");
        assert_eq!(Rc::strong_count(&worker.next), 1, "the iterator is gone");
        done.check(&TaskStopped.to_string());
        worker.check_finished(TaskStopped);
    }
}

#[test]
fn a_failure_of_which_nobody_asks_is_logged_when_the_task_is_dropped() {
    for asks in [false, true] {
        let lines = logged(|| {
            let worker = Worker::new();
            let cancelled = worker.task.when_done();
            cancelled.cancel();
            Watch::new(cancelled).check("cancelled");
            worker.next(|| Some(Deferred::fail(Failure::msg("lost"))));
            worker.check(1, 1);
            if asks {
                Watch::new(worker.task.when_done()).check("lost");
            }
        });
        assert_eq!(lines.len(), usize::from(!asks), "{lines:?}");
    }
}

#[test]
fn stopping_the_cooperator_ends_all_tasks_whatever_they_do() {
    let worker = Worker::new();
    let cooperator = &worker.cooperator;
    let resolver = worker.wait();
    worker.check(1, 1);
    let paused = cooperator.cooperate(std::iter::repeat(()));
    paused.pause().expect("it runs");
    let ready = cooperator.cooperate(std::iter::repeat(()));
    let order = Rc::new(RefCell::new(Vec::new()));
    for (name, task) in [
        ("ready", &ready),
        ("paused", &paused),
        ("waiting", &worker.task),
    ] {
        let order = Rc::clone(&order);
        let note = move |failure: Failure| {
            order.borrow_mut().push(format!("{name}: {failure}"));
            Ok(())
        };
        task.when_done().add_errback(note).detach();
    }
    assert!(cooperator.is_running());
    cooperator.stop();
    let expected = ["waiting", "paused", "ready"].map(|name| format!("{name}: {SchedulerStopped}"));
    assert_eq!(*order.borrow(), expected, "in the order in which they came");
    assert!(!cooperator.is_running());
    assert_eq!(paused.resume(), Err(SchedulerStopped));
    resolver.resolve(());
    worker.check_finished(SchedulerStopped);
    cooperator.stop();
}

#[test]
fn a_stopped_cooperator_refuses_new_tasks_until_it_is_started() {
    let worker = Worker::new();
    let cooperator = &worker.cooperator;
    cooperator.stop();
    let steps = || (0..2).map(|_| ());
    let text = SchedulerStopped.to_string();
    Watch::new(cooperator.coiterate(steps())).check(&text);
    let task = cooperator.cooperate(steps());
    assert_eq!(task.stop(), Err(SchedulerStopped));
    worker.check_timers(0);
    cooperator.start();
    assert!(cooperator.is_running());
    let done = Watch::new(cooperator.coiterate(steps()));
    turn(worker.table.reactor(), 3);
    done.check("()");
}

#[test]
fn a_task_may_be_stopped_from_the_end_of_another_while_the_cooperator_stops() {
    let worker = Worker::new();
    let other = worker.cooperator.cooperate(std::iter::repeat(()));
    let stopping = other.clone();
    let ending = worker.task.when_done();
    let ending = Watch::new(ending.add_errback(move |_| Ok(stopping.stop()?)));
    let done = Watch::new(other.when_done());
    worker.cooperator.stop();
    ending.check("()");
    done.check(&TaskStopped.to_string());
    assert_eq!(other.stop(), Err(TaskStopped));
}

/// When its end is told, a task has left its cooperator.
#[test]
fn the_cooperator_may_be_stopped_from_the_end_of_a_task() {
    let worker = Worker::new();
    let other = worker.cooperator.cooperate(std::iter::repeat(()));
    let cooperator = worker.cooperator.clone();
    let stopping = worker.task.when_done().map(move |()| cooperator.stop());
    let done = Watch::new(stopping);
    worker.next(|| None);
    worker.check(1, 1);
    done.check("()");
    worker.check_finished(TaskDone);
    assert_eq!(other.stop(), Err(SchedulerStopped));
}

#[test]
fn the_cooperator_may_be_stopped_inside_a_step() {
    let worker = Worker::new();
    let done = Watch::new(worker.task.when_done());
    let cooperator = worker.cooperator.clone();
    worker.next(move || {
        cooperator.stop();
        Some(Deferred::succeed(()))
    });
    worker.check(1, 1);
    done.check(&SchedulerStopped.to_string());
    worker.check_finished(SchedulerStopped);
}

#[test]
fn a_task_may_be_added_inside_a_step_and_at_the_end_of_one() {
    let table = Table::new();
    let cooperator = Cooperator::new(table.reactor());
    let log: Rc<RefCell<String>> = Rc::default();
    let (own, inner) = (cooperator.clone(), Rc::clone(&log));
    let clock = table.clock();
    let adding = (0..2).map(move |_| {
        let steps = noting(&clock, &inner, 'i', Duration::ZERO);
        own.coiterate(steps.take(2)).detach();
    });
    let (own, after) = (cooperator.clone(), Rc::clone(&log));
    let clock = table.clock();
    let done = cooperator.coiterate(adding).add_callback(move |()| {
        let steps = noting(&clock, &after, 'e', Duration::ZERO);
        own.coiterate(steps.take(2))
    });
    let done = Watch::new(done);
    turn(table.reactor(), 1);
    assert_eq!(*log.borrow(), "iiiiee");
    done.check("()");
    assert_eq!(
        table.reactor().statistics().timers,
        0,
        "one turn is planned"
    );
}

#[test]
fn removing_the_last_task_cancels_the_turn_that_was_planned() {
    let worker = Worker::new();
    let second = worker.cooperator.cooperate(std::iter::repeat(()));
    worker.check_timers(1);
    worker.task.stop().expect("it runs");
    worker.check_timers(1);
    second.stop().expect("it runs");
    worker.check_timers(0);
    worker.cooperator.coiterate(std::iter::repeat(())).detach();
    worker.check_timers(1);
    worker.cooperator.stop();
    worker.check_timers(0);
}

#[test]
fn cancelling_coiterate_stops_the_task_and_cancels_what_it_waits_for() {
    let worker = Worker::new();
    worker.task.stop().expect("it runs");
    let running = worker.cooperator.coiterate(std::iter::repeat(()));
    turn(worker.table.reactor(), 2);
    running.cancel();
    worker.check_timers(0);
    Watch::new(running).check("cancelled");
    let (resolver, deferred) = Deferred::<()>::pair();
    let waiting = worker.cooperator.coiterate(std::iter::once(deferred));
    turn(worker.table.reactor(), 2);
    let lines = logged(|| waiting.cancel());
    assert_eq!(lines, [""; 0]);
    assert!(resolver.is_cancelled());
    Watch::new(waiting).check("cancelled");
}

/// What the task waits for may give a value, or go on for a while: the task is stopped all the same.
#[test]
fn cancelling_coiterate_stops_the_task_whatever_comes_of_what_it_waits_for() {
    let worker = Worker::new();
    worker.task.stop().expect("it runs");
    let (_kept, waits) = Deferred::<()>::pair();
    let handled = waits.add_errback(|_| Ok(()));
    let steps = std::iter::once(handled).chain(std::iter::from_fn(|| unreachable!("it goes on")));
    let done = worker.cooperator.coiterate(steps);
    turn(worker.table.reactor(), 2);
    done.cancel();
    Watch::new(done).check("cancelled");
    worker.check_timers(0);

    let (resolver, cleaning) = Deferred::<()>::pair();
    let (_kept, waits) = Deferred::<()>::pair();
    let cleans = waits.add_errback(move |_| cleaning);
    let steps = std::iter::once(cleans).chain(std::iter::from_fn(|| unreachable!("it goes on")));
    let done = worker.cooperator.coiterate(steps);
    turn(worker.table.reactor(), 2);
    done.cancel();
    Watch::new(done).check("cancelled");
    resolver.resolve(());
    worker.check_timers(0);
    turn(worker.table.reactor(), 2);
}

#[test]
fn cancelling_when_done_leaves_the_task_and_the_others_alone() {
    let worker = Worker::new();
    let done = Watch::new(worker.task.when_done());
    let cancelled = worker.task.when_done();
    cancelled.cancel();
    Watch::new(cancelled).check("cancelled");
    worker.check(2, 2);
    worker.next(|| None);
    worker.check(1, 3);
    done.check("()");
}

#[test]
fn a_timeout_on_coiterate_stops_the_task() {
    let table = Table::new();
    let cooperator = Cooperator::new(table.reactor());
    let log = Rc::default();
    let done = cooperator.coiterate(noting(&table.clock(), &log, 'a', millis(1)));
    let done = Watch::new(done.add_timeout(table.reactor(), millis(12)));
    turn(table.reactor(), 10);
    done.check("a Deferred timed out after 12ms");
    assert_eq!(log.borrow().len(), 15);
    assert_eq!(table.reactor().statistics().timers, 0);
}

#[test]
fn dropping_the_handles_changes_nothing() {
    let Worker {
        table,
        cooperator,
        task,
        steps,
        next,
    } = Worker::new();
    let (resolver, deferred) = Deferred::pair();
    let done = Watch::new(task.when_done());
    drop((cooperator, task));
    turn(table.reactor(), 2);
    next.set(Some(Box::new(move || Some(deferred))));
    turn(table.reactor(), 2);
    assert_eq!(steps.get(), 3);
    resolver.resolve(());
    turn(table.reactor(), 2);
    assert_eq!(steps.get(), 5);
    done.check_waiting();
}

#[test]
fn a_paused_task_goes_on_after_its_cooperator_was_dropped() {
    let Worker {
        table,
        cooperator,
        task,
        steps,
        ..
    } = Worker::new();
    task.pause().expect("it runs");
    drop(cooperator);
    turn(table.reactor(), 2);
    task.resume().expect("it is paused");
    turn(table.reactor(), 2);
    assert_eq!(steps.get(), 2);
}

#[test]
fn a_paused_task_that_nobody_can_resume_is_dropped() {
    let worker = Worker::new();
    let held = Rc::new(());
    let own = Rc::clone(&held);
    let steps = std::iter::repeat_with(move || drop(Rc::clone(&own)));
    let task = worker.cooperator.cooperate(steps);
    let done = Watch::new(task.when_done());
    task.pause().expect("it runs");
    drop(task);
    assert_eq!(Rc::strong_count(&held), 1);
    done.check("abandoned: its resolver was dropped without being fired");
    assert_eq!(format!("{:?}", worker.cooperator), "Cooperator(1 tasks)");
}

#[test]
fn without_its_reactor_a_cooperator_refuses_tasks() {
    let Worker {
        table,
        cooperator,
        task,
        ..
    } = Worker::new();
    drop(table);
    assert!(!cooperator.is_running());
    let text = SchedulerStopped.to_string();
    Watch::new(cooperator.coiterate(std::iter::once(()))).check(&text);
    assert_eq!(task.pause(), Ok(()));
    assert_eq!(task.resume(), Ok(()));
    assert_eq!(task.stop(), Ok(()));
}

#[test]
fn nothing_is_kept_after_any_end() {
    for ending in [
        "done", "fail", "panic", "stop", "stop all", "cancel", "waiting", "reactor",
    ] {
        let held = Rc::new(());
        let own = Rc::clone(&held);
        let table = Table::new();
        let cooperator = Cooperator::with_time_slice(table.reactor(), Duration::ZERO);
        let way = Rc::new(Cell::new(""));
        let inside = Rc::clone(&way);
        let steps = move || match inside.get() {
            "done" => None,
            "fail" => Some(Deferred::fail(Failure::msg("no"))),
            "panic" => panic!("oh"),
            "waiting" => Some(Deferred::pair().1),
            _ => {
                let _held = &own;
                Some(Deferred::succeed(()))
            }
        };
        let task = cooperator.cooperate(std::iter::from_fn(steps));
        let own = Rc::clone(&held);
        let endless = std::iter::repeat_with(move || drop(own.clone()));
        let other = cooperator.coiterate(endless);
        let done = Watch::new(task.when_done());
        turn(table.reactor(), 2);
        way.set(ending);
        match ending {
            "stop" => task.stop().expect("it runs"),
            "stop all" => cooperator.stop(),
            "reactor" => {}
            _ => turn(table.reactor(), 2),
        }
        if ending != "reactor" {
            other.cancel();
            task.stop().ok();
            assert_eq!(Rc::strong_count(&held), 1, "{ending}");
        }
        drop((cooperator, table, task));
        drop(Watch::new(other));
        assert_eq!(Rc::strong_count(&held), 1, "{ending}");
        assert!(done.0.borrow().is_some(), "{ending}");
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("bomb");
    }
}

#[test]
fn an_iterator_that_panics_when_it_is_dropped_costs_nobody_else() {
    let worker = Worker::new();
    let steps = || {
        let bomb = Bomb;
        std::iter::from_fn(move || -> Option<()> {
            let _own = &bomb;
            None
        })
    };
    let done = Watch::new(worker.cooperator.coiterate(steps()));
    let lines = logged(|| worker.check(4, 3));
    done.check("()");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("a callback panicked: bomb"), "{lines:?}");
    // The same for one that nobody can resume.
    let task = worker.cooperator.cooperate(steps());
    task.pause().expect("it runs");
    let lines = logged(|| drop(task));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn a_hundred_thousand_tasks_take_turns() {
    let table = Table::new();
    let cooperator = Cooperator::new(table.reactor());
    let steps = Rc::new(Cell::new(0_u32));
    let tasks: Vec<CooperativeTask> = (0..100_000)
        .map(|_| {
            let steps = Rc::clone(&steps);
            cooperator.cooperate((0..3).map(move |_| steps.update(|steps| steps + 1)))
        })
        .collect();
    for task in tasks.iter().skip(1).step_by(2) {
        task.pause().expect("it runs");
    }
    turn(table.reactor(), 1);
    assert_eq!(steps.get(), 150_000);
    cooperator.stop();
    assert_eq!(tasks[0].stop(), Err(TaskDone));
    assert_eq!(tasks[1].stop(), Err(SchedulerStopped));
}

#[test]
fn it_says_how_it_stands() {
    let worker = Worker::new();
    let check = |text| assert_eq!(format!("{:?}", worker.task), text);
    check("CooperativeTask(waiting for its turn)");
    worker.task.pause().expect("it runs");
    check("CooperativeTask(paused)");
    worker.task.resume().expect("it is paused");
    let _resolver = worker.wait();
    worker.check(1, 1);
    check("CooperativeTask(waiting for a Deferred)");
    worker.task.stop().expect("it waits");
    check("CooperativeTask(finished)");
}
