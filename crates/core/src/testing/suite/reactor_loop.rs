//! The turn: its order, calls from threads, waking, and what is counted.

use super::{
    World,
    recorder::{Recorder, flag, pair},
};
use crate::reactor::Reactor;
use std::{
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

/// In one turn: calls from threads, timed calls, tasks, whatever was asked for first.
pub fn turn_order(world: &dyn World) {
    let reactor = world.reactor();
    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let note = |what| {
        let order = Arc::clone(&order);
        move || order.lock().expect("no panic").push(what)
    };
    let (resolver, waits) = crate::Deferred::<()>::pair();
    let (task, timer, call) = (note("task"), note("timer"), note("call"));
    let spawned = reactor.spawn(async move {
        waits.await?;
        task();
        Ok(())
    });
    spawned.detach();
    resolver.resolve(());
    reactor.call_later(Duration::ZERO, timer);
    let called = reactor.remote().call_from_thread(move |_| call());
    assert!(called.is_ok());
    world.turn(&reactor);
    assert_eq!(*order.lock().expect("no panic"), ["call", "timer", "task"]);
}

/// What a timer wakes runs in the same turn, before the loop looks at its driver.
pub fn a_task_woken_by_a_timer_runs_before_the_wait(world: &dyn World) {
    let reactor = world.reactor();
    let turns: Rc<std::cell::RefCell<Vec<u64>>> = Rc::default();
    let (resolver, waits) = crate::Deferred::<()>::pair();
    let (in_task, own) = (Rc::clone(&turns), reactor.clone());
    let spawned = reactor.spawn(async move {
        waits.await?;
        in_task.borrow_mut().push(own.statistics().turns);
        Ok(())
    });
    spawned.detach();
    let (in_timer, own) = (Rc::clone(&turns), reactor.clone());
    reactor.call_later(Duration::ZERO, move || {
        in_timer.borrow_mut().push(own.statistics().turns);
        resolver.resolve(());
    });
    world.until(&mut || turns.borrow().len() == 2);
    let turns = turns.borrow();
    assert_eq!(turns[0], turns[1], "the task ran in another turn");
}

/// A turn inside a callback is refused, so that no protocol runs inside another; what was written stays where it is.
pub fn a_turn_inside_a_callback_is_refused(world: &dyn World) {
    let server = Recorder::new().on_data(move |transport, data| {
        transport.write(b"before ");
        assert!(
            transport.reactor()?.turn(Some(Duration::ZERO)).is_err(),
            "it was not refused"
        );
        transport.write(data);
        Ok(())
    });
    let one = pair(world, server, Recorder::new());
    let two = pair(world, Recorder::echo(), Recorder::new());
    one.client.transport().write(b"one");
    two.client.transport().write(b"two");
    world.until(&mut || one.client.received() == 10 && two.client.received() == 3);
    assert_eq!(one.client.bytes(), b"before one");
    assert_eq!(two.client.bytes(), b"two");
    let own = world.reactor();
    let refused = flag();
    let set = Rc::clone(&refused);
    let call = move || set.set(own.turn(Some(Duration::ZERO)).is_err());
    world.reactor().call_later(Duration::ZERO, call);
    world.until(&mut || refused.get());
}

/// Calls from threads are made in the order in which they came.
pub fn call_from_thread_is_fifo(world: &dyn World) {
    let seen: Arc<Mutex<Vec<u32>>> = Arc::default();
    let (remote, order) = (world.reactor().remote(), Arc::clone(&seen));
    #[expect(clippy::disallowed_methods, reason = "calls from another thread")]
    let thread = std::thread::spawn(move || {
        for number in 0..1000 {
            let order = Arc::clone(&order);
            let call = move |_: &Reactor| order.lock().expect("no panic").push(number);
            remote.call_from_thread(call).expect("there is room");
        }
    });
    world.until(&mut || seen.lock().expect("no panic").len() == 1000);
    thread.join().expect("no panic");
    assert!(seen.lock().expect("no panic").is_sorted());
}

/// A call asked for inside such a call is made in the next turn: a turn ends whatever threads do.
pub fn call_from_thread_waits_for_the_next_turn(world: &dyn World) {
    let turns: Arc<Mutex<Vec<u64>>> = Arc::default();
    fn again(reactor: &Reactor, turns: Arc<Mutex<Vec<u64>>>) {
        let call = move |reactor: &Reactor| {
            turns
                .lock()
                .expect("no panic")
                .push(reactor.statistics().turns);
            if turns.lock().expect("no panic").len() < 5 {
                again(reactor, turns);
            }
        };
        assert!(reactor.remote().call_from_thread(call).is_ok());
    }
    again(&world.reactor(), Arc::clone(&turns));
    world.until(&mut || turns.lock().expect("no panic").len() == 5);
    let turns = turns.lock().expect("no panic");
    assert!(turns.windows(2).all(|pair| pair[0] < pair[1]), "{turns:?}");
}

/// A loop that waits without a deadline is woken by a call from another thread.
pub fn call_from_thread_wakes_a_waiting_loop(world: &dyn World) {
    if world.waits_for_threads() {
        check_woken(world);
    }
}

/// The same while a call in a thousand years is waiting: such a wait does not overflow.
pub fn distant_timer_does_not_keep_the_loop_from_waking(world: &dyn World) {
    if !world.waits_for_threads() {
        return;
    }
    let reactor = world.reactor();
    let distant = reactor.call_later(Duration::from_secs(1000 * 365 * 24 * 3600), || ());
    check_woken(world);
    assert!(distant.is_active());
}

#[track_caller]
fn check_woken(world: &dyn World) {
    let reactor = world.reactor();
    let remote = reactor.remote();
    #[expect(clippy::disallowed_methods, reason = "a call from another thread")]
    let thread = std::thread::spawn(move || {
        let stop = |reactor: &Reactor| reactor.stop().expect("it runs");
        remote.call_from_thread(stop).expect("there is room");
    });
    let before = reactor.statistics().turns;
    // Whichever comes first: the loop's wait, or the call.
    world.run(&reactor).expect("it did not run");
    let turns = reactor.statistics().turns - before;
    assert!(turns < 20, "it did not wait but turned {turns} times");
    thread.join().expect("no panic");
}

/// A callback that takes longer than the limit `stall`, 10 ms, is counted, whatever kind it is of; shorter ones are not.
pub fn statistics_count_stalls(world: &dyn World) {
    let (reactor, pass) = (world.reactor(), world.pass());
    let slow = {
        let pass = Rc::clone(&pass);
        Recorder::new().on_data(move |_, data| {
            pass(Duration::from_millis(data.len() as u64));
            Ok(())
        })
    };
    let pair = pair(world, slow, Recorder::new());
    for (bytes, stalls) in [(5, 0), (20, 1), (9, 1), (35, 2)] {
        let received = pair.server.received() + bytes;
        pair.client.transport().write(&vec![0; bytes]);
        world.until(&mut || pair.server.received() == received);
        assert_eq!(reactor.statistics().stalls, stalls, "{bytes} ms");
    }
    assert_eq!(
        reactor.statistics().longest_stall,
        Duration::from_millis(35)
    );
    for (milliseconds, stalls) in [(5, 2), (20, 3)] {
        let (pass, called) = (Rc::clone(&pass), flag());
        let set = Rc::clone(&called);
        reactor.call_later(Duration::ZERO, move || {
            pass(Duration::from_millis(milliseconds));
            set.set(true);
        });
        world.until(&mut || called.get());
        world.settle();
        assert_eq!(reactor.statistics().stalls, stalls, "a timed call");
    }
}

/// `connection_lost` is a callback like others.
pub fn statistics_count_a_stall_in_connection_lost(world: &dyn World) {
    let (reactor, pass) = (world.reactor(), world.pass());
    let slow = Recorder::new().on_lost(move || pass(Duration::from_millis(20)));
    let pair = pair(world, slow, Recorder::new());
    pair.server.transport().abort_connection();
    world.until(&mut || pair.server.is_lost());
    world.settle();
    assert_eq!(reactor.statistics().stalls, 1);
}

/// Every turn is counted once, and its duration too.
pub fn statistics_count_turns(world: &dyn World) {
    let reactor = world.reactor();
    let before = reactor.statistics();
    for _ in 0..10 {
        world.turn(&reactor);
    }
    let after = reactor.statistics();
    let turns = after.turns - before.turns;
    assert!(turns == 10 || (world.is_hosted() && turns > 10), "{turns}");
    let durations = |statistics: &crate::reactor::Statistics| -> u64 {
        let buckets = &statistics.turn_durations.buckets;
        buckets.iter().map(|(_, count)| count).sum()
    };
    assert_eq!(durations(&after), durations(&before) + turns);
}

/// A loop with nothing to do has no backlog: a host may sleep. One with a wish to fulfil has.
pub fn has_backlog_only_while_there_is_something(world: &dyn World) {
    let pair = pair(world, Recorder::new(), Recorder::new());
    let reactor = world.reactor();
    world.settle();
    assert!(!reactor.has_backlog());
    pair.server.transport().write(b"x");
    assert!(reactor.has_backlog());
    world.until(&mut || pair.client.received() == 1);
    world.settle();
    assert!(!reactor.has_backlog());
    assert!(reactor.remote().call_from_thread(|_| ()).is_ok());
    assert!(reactor.has_backlog());
    world.settle();
    assert!(!reactor.has_backlog());
}
