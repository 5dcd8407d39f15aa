//! Tasks: futures on the loop, beside everything else that it does.

use super::{
    World,
    recorder::{Log, Recorder, connect, flag, listen_once, watch},
};
use crate::{
    context::ContextVar,
    deferred::{Canceller, Deferred, Resolver},
    failure::{Failure, Result},
    testing::logged,
};
use std::{
    cell::{Cell, RefCell},
    future::{self, Future},
    pin::pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
    time::Duration,
};

/// Pending once, and woken at once.
async fn yield_now() {
    let mut yielded = false;
    let once = future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    once.await;
}

/// What comes before its first wait happens inside `spawn`; with no wait at all it is done then.
pub fn a_task_is_polled_once_at_once(world: &dyn World) {
    let (reactor, begun) = (world.reactor(), flag());
    let set = Rc::clone(&begun);
    let done = reactor.spawn(async move {
        set.set(true);
        Ok(7)
    });
    assert!(begun.get());
    assert_eq!(done.try_result().ok().and_then(Result::ok), Some(7));
    assert_eq!(reactor.statistics().tasks, 0);
}

/// A task that wakes itself each time it runs gets one poll a turn; connections, timers and other tasks go on.
pub fn a_task_that_is_always_ready_starves_nobody(world: &dyn World) {
    let reactor = world.reactor();
    let (stop, polls) = (flag(), Rc::new(Cell::new(0_u64)));
    let (end, count) = (Rc::clone(&stop), Rc::clone(&polls));
    let busy = reactor.spawn(async move {
        while !end.get() {
            count.set(count.get() + 1);
            yield_now().await;
        }
        Ok(())
    });
    let (turns, before) = (reactor.statistics().turns, polls.get());
    let port = listen_once(world, Recorder::echo());
    let client = Recorder::new().on_made(|transport| {
        transport.write(b"hello");
        Ok(())
    });
    let client = connect(world, &port, client);
    world.until(&mut || client.received() == 5);
    let timer = flag();
    let set = Rc::clone(&timer);
    reactor.call_later(Duration::ZERO, move || set.set(true));
    world.until(&mut || timer.get());
    assert!(polls.get() > before, "it did not run");
    assert!(
        polls.get() - before <= reactor.statistics().turns - turns + 1,
        "it ran more than once a turn"
    );
    stop.set(true);
    world.until(&mut || reactor.statistics().tasks == 0);
    assert!(busy.try_result().is_ok());
}

/// The warning says where the task was spawned that did not yield for longer than the limit `stall`.
pub fn a_task_that_holds_the_loop_is_named(world: &dyn World) {
    let (reactor, pass) = (world.reactor(), world.pass());
    let line = line!() + 1;
    let task = reactor.spawn(async move {
        yield_now().await;
        pass(Duration::from_millis(25));
        Ok(())
    });
    let lines = logged(|| world.until(&mut || reactor.statistics().stalls == 1));
    let name = format!("a task spawned at {}:{line}:", file!());
    assert!(
        lines.iter().any(|text| text.contains(&name)),
        "{name} is not in {lines:?}"
    );
    assert!(task.try_result().is_ok());
}

/// A waker may be used in any thread: the loop's wait ends, and the task runs on the loop's thread.
pub fn a_task_is_woken_from_another_thread(world: &dyn World) {
    let reactor = world.reactor();
    let shared: Arc<Mutex<(bool, Option<Waker>)>> = Arc::default();
    let inside = Arc::clone(&shared);
    let log = watch(reactor.spawn(async move {
        future::poll_fn(|context| {
            let mut shared = inside.lock().expect("no panic");
            shared.1 = Some(context.waker().clone());
            if shared.0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        Ok(())
    }));
    let outside = Arc::clone(&shared);
    #[expect(clippy::disallowed_methods, reason = "a test of threads needs one")]
    let thread = std::thread::spawn(move || {
        let mut shared = outside.lock().expect("no panic");
        shared.0 = true;
        shared.1.take().into_iter().for_each(Waker::wake);
    });
    thread.join().expect("no panic");
    world.until(&mut || log.count("ok") == 1);
}

/// Cancelling drops the future at once, and with it whatever it awaits is cancelled.
pub fn cancelling_a_task_drops_it_and_what_it_awaits(world: &dyn World) {
    let reactor = world.reactor();
    let (resolver, waits) = Deferred::<()>::pair();
    let held = Rc::new(());
    let kept = Rc::clone(&held);
    let task = reactor.spawn(async move {
        let _kept = kept;
        waits.await
    });
    let canceller = task.canceller();
    let log = watch(task);
    assert_eq!(Rc::strong_count(&held), 2);
    canceller.expect("it waits").cancel();
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(resolver.is_cancelled());
    log.check(&["cancelled"]);
    assert_eq!(reactor.statistics().tasks, 0);
    world.settle();
}

/// A task that cancels itself while it runs is dropped when it waits next.
pub fn a_task_may_cancel_itself(world: &dyn World) {
    let reactor = world.reactor();
    let own: Rc<RefCell<Option<Canceller>>> = Rc::default();
    let (inside, log) = (Rc::clone(&own), Log::default());
    let note = log.clone();
    let task = reactor.spawn(async move {
        yield_now().await;
        let canceller = inside.borrow_mut().take();
        canceller
            .into_iter()
            .for_each(|canceller| canceller.cancel());
        note.note("still here");
        yield_now().await;
        note.note("never");
        Ok(())
    });
    own.replace(task.canceller());
    let end = watch(task);
    world.until(&mut || reactor.statistics().tasks == 0);
    world.settle();
    log.check(&["still here"]);
    end.check(&["cancelled"]);
}

/// What such a task holds may panic when it is dropped: that is counted, and the loop goes on.
pub fn a_task_that_cancels_itself_may_panic_at_its_end(world: &dyn World) {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("no end");
        }
    }
    let reactor = world.reactor();
    let own: Rc<RefCell<Option<Canceller>>> = Rc::default();
    let inside = Rc::clone(&own);
    let task = reactor.spawn(async move {
        let _held = Bad;
        yield_now().await;
        let canceller = inside.borrow_mut().take();
        canceller.expect("it waits").cancel();
        future::pending().await
    });
    own.replace(task.canceller());
    let end = watch::<()>(task);
    world.until(&mut || reactor.statistics().failures == 1);
    end.check(&["cancelled"]);
    assert_eq!(reactor.statistics().tasks, 0);
}

/// However often it is woken before it runs, it is polled once.
pub fn a_task_that_is_woken_twice_is_polled_once(world: &dyn World) {
    let polls: Rc<RefCell<Vec<Waker>>> = Rc::default();
    let noted = Rc::clone(&polls);
    let task = world.reactor().spawn(future::poll_fn(move |context| {
        noted.borrow_mut().push(context.waker().clone());
        Poll::<Result>::Pending
    }));
    for number in 1..=3 {
        assert_eq!(polls.borrow().len(), number);
        let waker = polls.borrow()[0].clone();
        waker.wake_by_ref();
        waker.wake_by_ref();
        world.settle();
    }
    task.cancel();
    let cancelled = task.try_result().expect("it is cancelled");
    cancelled.expect_err("it never ends by itself");
}

/// Nobody has to hold a task's Deferred.
pub fn dropping_the_deferred_of_a_task_lets_it_run(world: &dyn World) {
    let (reactor, done) = (world.reactor(), flag());
    let (set, own) = (Rc::clone(&done), reactor.clone());
    let task = reactor.spawn(async move {
        own.after(Duration::from_secs(1)).await?;
        set.set(true);
        Ok(())
    });
    drop(task);
    world.advance(Duration::from_secs(1));
    world.until(&mut || done.get());
}

/// A task that is not in a turn may turn the loop; what wakes it meanwhile is not lost.
pub fn a_task_that_turns_the_loop_is_polled_again(world: &dyn World) {
    let (reactor, place) = (world.reactor(), Rc::new(RefCell::new(None::<Resolver<()>>)));
    let (own, resolvers) = (reactor.clone(), Rc::clone(&place));
    let log = watch(reactor.spawn(async move {
        let (resolver, mut waits) = Deferred::<()>::pair();
        let mut first = true;
        resolvers.replace(Some(resolver));
        future::poll_fn(|context| {
            let polled = pin!(&mut waits).poll(context);
            if std::mem::take(&mut first) {
                let resolver = resolvers.borrow_mut().take();
                resolver
                    .into_iter()
                    .for_each(|resolver| resolver.resolve(()));
                own.turn(Some(Duration::ZERO)).expect("the driver works");
            }
            polled
        })
        .await
    }));
    world.until(&mut || log.count("ok") == 1);
}

static NAME: ContextVar<&'static str> = ContextVar::new("name");

/// What is in force where a timer, a task or a call from a thread is asked for is in force when it runs, each time.
pub fn values_in_force_go_with_timers_tasks_and_calls_from_threads(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let seen: Arc<Mutex<Option<&str>>> = Arc::default();
    NAME.with("timer", || {
        let log = log.clone();
        reactor.call_later(Duration::ZERO, move || {
            log.note(NAME.get().unwrap_or("none"))
        });
    });
    let task = NAME.with("task", || {
        let (log, own) = (log.clone(), reactor.clone());
        reactor.spawn(async move {
            log.note(NAME.get().unwrap_or("none"));
            own.after(Duration::from_secs(1)).await?;
            log.note(NAME.get().unwrap_or("none"));
            Ok(())
        })
    });
    let (remote, note) = (reactor.remote(), Arc::clone(&seen));
    #[expect(clippy::disallowed_methods, reason = "a test of threads needs one")]
    let thread = std::thread::spawn(move || {
        NAME.with("thread", || {
            let called = remote.call_from_thread(move |_| {
                *note.lock().expect("no panic") = NAME.get();
            });
            assert!(called.is_ok());
        });
    });
    thread.join().expect("no panic");
    world.until(&mut || log.events().len() == 2);
    world.until(&mut || seen.lock().expect("no panic").is_some());
    world.advance(Duration::from_secs(1));
    world.until(&mut || log.events().len() == 3);
    log.check(&["task", "timer", "task"]);
    assert_eq!(*seen.lock().expect("no panic"), Some("thread"));
    assert_eq!(NAME.get(), None);
    assert!(task.try_result().is_ok());
}

/// Twisted: the context is copied once, at the start. What is in force for whoever fires or wakes changes nothing.
pub fn the_context_of_a_task_is_taken_at_its_start(world: &dyn World) {
    let (reactor, log) = (world.reactor(), Log::default());
    let (resolver, waits) = Deferred::<()>::pair();
    let note = log.clone();
    let task = NAME.with("start", || {
        reactor.spawn(async move {
            waits.await?;
            note.note(NAME.get().unwrap_or("none"));
            NAME.with("inner", || note.note(NAME.get().unwrap_or("none")));
            yield_now().await;
            note.note(NAME.get().unwrap_or("none"));
            Ok(())
        })
    });
    NAME.with("other", || {
        resolver.resolve(());
        world.until(&mut || reactor.statistics().tasks == 0);
    });
    log.check(&["start", "inner", "start"]);
    assert!(task.try_result().is_ok());
}

/// When recording is on, a failure that leaves a task says where that was spawned, and which awaits it passed.
pub fn the_failure_of_a_task_knows_its_way(world: &dyn World) {
    Failure::record_trails(true);
    let reactor = world.reactor();
    let line = line!() + 1;
    let task = reactor.spawn(async move {
        yield_now().await;
        Deferred::<()>::fail(Failure::msg("bad")).await
    });
    world.until(&mut || reactor.statistics().tasks == 0);
    let shown = match task.try_result() {
        Ok(Err(failure)) => format!("{failure:?}"),
        other => panic!("it has failed, not {other:?}"),
    };
    for step in [
        format!("await at {}:{}", file!(), line + 2),
        format!("task spawned at {}:{line}", file!()),
    ] {
        assert!(shown.contains(&step), "{step} is not in {shown}");
    }
}
