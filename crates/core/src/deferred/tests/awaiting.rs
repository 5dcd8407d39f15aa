//! A Deferred as a future, polled by hand. Tasks on a reactor are tested with the drivers.

use super::*;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn awaiting_gives_the_result_and_wakes_once() {
    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = task::Context::from_waker(&waker);
    let (resolver, deferred) = Deferred::<u32>::pair();
    let mut future = pin!(async move { deferred.map(|x| x + 1).await });
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert!(future.as_mut().poll(&mut context).is_pending());
    resolver.resolve(1);
    assert_eq!(woken.get(), 1);
    assert!(matches!(
        future.as_mut().poll(&mut context),
        Poll::Ready(Ok(2))
    ));
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let [first, last] = [(); 2].map(|()| Arc::new(Count::default()));
    let (resolver, deferred) = Deferred::<u32>::pair();
    let mut deferred = pin!(deferred);
    for count in [&first, &last] {
        let waker = Waker::from(Arc::clone(count));
        let polled = deferred
            .as_mut()
            .poll(&mut task::Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    resolver.resolve(1);
    assert_eq!((first.get(), last.get()), (0, 1));
}

#[test]
fn a_callback_added_after_a_poll_takes_the_place_of_the_task() {
    let woken = Arc::new(Count::default());
    let captured = Rc::new(());
    for dropped in [false, true] {
        let waker = Waker::from(Arc::clone(&woken));
        let (resolver, mut deferred) = Deferred::<u32>::pair();
        let kept = Rc::clone(&captured);
        deferred = deferred.map(move |x| x + u32::try_from(Rc::strong_count(&kept)).unwrap());
        let polled = Pin::new(&mut deferred).poll(&mut task::Context::from_waker(&waker));
        assert!(polled.is_pending());
        if dropped {
            drop(deferred);
            resolver.resolve(1);
        } else {
            let end = deferred.map(|x| x * 10);
            resolver.resolve(1);
            assert!(matches!(end.try_result(), Ok(Ok(30))));
        }
    }
    assert_eq!(woken.get(), 0);
    assert_eq!(
        (Arc::strong_count(&woken), Rc::strong_count(&captured)),
        (1, 1)
    );
}

/// Twisted: a yielded value that is no Deferred comes straight back. Here that is one that has its result.
#[test]
fn awaiting_what_is_there_already_goes_straight_on() {
    let future = pin!(async {
        let one = Deferred::succeed(1).await?;
        let failed = Deferred::<u32>::fail(Failure::msg("no")).await;
        Ok::<_, Failure>((one, failed.is_err()))
    });
    let polled = future.poll(&mut task::Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok((1, true)))));
}

/// Twisted: coroutines and generators that are yielded are run.
#[test]
fn async_functions_are_awaited_like_deferreds() {
    async fn twice(deferred: Deferred<u32>) -> Result<u32> {
        Ok(deferred.await? * 2)
    }
    let (resolver, deferred) = Deferred::pair();
    let mut future = pin!(async { twice(deferred).await.map(|x| x + 1) });
    let mut context = task::Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    resolver.resolve(2);
    assert!(matches!(future.poll(&mut context), Poll::Ready(Ok(5))));
}

#[test]
fn a_failure_is_raised_where_it_is_awaited() {
    let (resolver, deferred) = Deferred::<u32>::pair();
    let mut future = pin!(async {
        match deferred.await {
            Err(failure) => Ok(failure.to_string()),
            Ok(_) => Err(Failure::msg("it has failed")),
        }
    });
    let mut context = task::Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    resolver.fail(Failure::msg("bad"));
    assert!(matches!(future.poll(&mut context), Poll::Ready(Ok(text)) if text == "bad"));
}

/// Twisted: cancelling the outer cancels what it waits for. A task is cancelled by dropping its future.
#[test]
fn async_code_that_is_dropped_cancels_what_it_awaits() {
    let (resolver, deferred) = Deferred::<u32>::pair();
    let mut future = Box::pin(async move { deferred.await.map(|x| x + 1) });
    let mut context = task::Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert!(!resolver.is_cancelled());
    drop(future);
    assert!(resolver.is_cancelled());
}

#[test]
fn async_code_that_was_never_polled_only_detaches() {
    let (resolver, deferred) = Deferred::<u32>::pair();
    drop(async move { deferred.await.map(|x| x + 1) });
    assert!(!resolver.is_cancelled());
}

#[test]
fn an_awaited_deferred_may_get_callbacks_again() {
    let (resolver, mut deferred) = Deferred::<u32>::pair();
    let mut context = task::Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut deferred).poll(&mut context).is_pending());
    let deferred = deferred.map(|x| x + 1);
    resolver.resolve(1);
    assert_eq!(deferred.try_result().unwrap().unwrap(), 2);
}

#[test]
fn a_task_is_woken_by_a_chain_that_waited_for_another() {
    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = task::Context::from_waker(&waker);
    let (resolver, deferred) = Deferred::<()>::pair();
    let (inner_resolver, inner) = Deferred::<u32>::pair();
    let mut deferred = pin!(deferred.add_callback(move |()| inner));
    assert!(deferred.as_mut().poll(&mut context).is_pending());
    resolver.resolve(());
    assert_eq!(woken.get(), 0);
    inner_resolver.resolve(2);
    assert_eq!(woken.get(), 1);
    assert!(matches!(
        deferred.as_mut().poll(&mut context),
        Poll::Ready(Ok(2))
    ));
}

#[test]
#[should_panic(expected = "polled after it had finished")]
fn polling_a_finished_one_panics_as_every_future_may() {
    let mut deferred = pin!(Deferred::succeed(1_u32));
    let mut context = task::Context::from_waker(Waker::noop());
    for _ in 0..2 {
        assert!(deferred.as_mut().poll(&mut context).is_ready());
    }
}

/// The whole way of a failure, when recording it is switched on: the callbacks and awaits that it passed.
#[test]
fn a_failure_knows_the_callbacks_and_awaits_that_it_passed() {
    Failure::record_trails(true);
    let start = line!() + 4;
    let chain = async {
        let (resolver, deferred) = Deferred::<u32>::pair();
        let deferred = deferred
            .map(|x| x + 1)
            .add_errback(|failure| Err(failure.context("asking")));
        resolver.fail(Failure::msg("bad"));
        deferred.await
    };
    let outer = async { chain.await.map_err(|failure| failure.context("serving")) };
    let polled = pin!(outer).poll(&mut task::Context::from_waker(Waker::noop()));
    Failure::record_trails(false);
    let Poll::Ready(Err(failure)) = polled else {
        panic!("it has failed")
    };
    assert_eq!(failure.to_string(), "serving: asking: bad");
    let shown = format!("{failure:?}");
    for (what, line) in [("callback added", start), ("await", start + 3)] {
        let step =
            format!("passed the {what} at crates/core/src/deferred/tests/awaiting.rs:{line}");
        assert!(shown.contains(&step), "{step} is not in:\n{shown}");
    }
}
