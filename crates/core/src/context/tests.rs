//! What is in force where.

use super::*;
use crate::Deferred;
use std::{pin::pin, task::Waker};

static NAME: ContextVar<&'static str> = ContextVar::new("name");
static NUMBER: ContextVar<u32> = ContextVar::new("number");

#[test]
fn a_value_holds_for_its_scope_and_the_outer_one_after_it() {
    assert_eq!(NUMBER.get(), None);
    NUMBER.with(1, || {
        NUMBER.with(2, || assert_eq!(NUMBER.get(), Some(2)));
        assert_eq!(NUMBER.get(), Some(1));
        assert_eq!(NAME.get(), None);
        NAME.with("a", || {
            assert_eq!((NAME.get(), NUMBER.get()), (Some("a"), Some(1)))
        });
    });
    assert_eq!(NUMBER.get(), None);
}

#[test]
fn a_panic_leaves_what_was_in_force_before() {
    let panics = || NUMBER.with(3, || panic!("oh"));
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(NUMBER.get(), None);
}

/// Twisted carries contexts through its coroutines only; here each callback runs in the one it was added in.
#[test]
fn a_callback_runs_in_the_context_it_was_added_in_whoever_fires() {
    let (resolver, deferred) = Deferred::<()>::pair();
    let deferred = NUMBER.with(1, || deferred.map(|()| NUMBER.get()));
    let deferred = deferred.map(|first| (first, NUMBER.get()));
    let deferred = NUMBER.with(2, || deferred.map(|seen| (seen, NUMBER.get())));
    NUMBER.with(9, || resolver.resolve(()));
    let seen = deferred.try_result().unwrap().unwrap();
    assert_eq!(seen, ((Some(1), None), Some(2)));
}

#[test]
fn a_scoped_future_has_its_value_at_each_poll_and_nobody_else_does() {
    let (resolver, deferred) = Deferred::<()>::pair();
    let mut future = pin!(NUMBER.scope(5, async move {
        let before = NUMBER.get();
        deferred.await.unwrap();
        (before, NUMBER.get())
    }));
    let mut cx = task::Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
    assert_eq!(NUMBER.get(), None);
    resolver.resolve(());
    assert_eq!(
        future.as_mut().poll(&mut cx),
        task::Poll::Ready((Some(5), Some(5)))
    );
}

#[test]
fn a_context_can_be_taken_to_another_thread() {
    let context = NUMBER.with(7, Context::current);
    #[expect(clippy::disallowed_methods, reason = "a test of threads needs one")]
    let thread = std::thread::spawn(move || (NUMBER.get(), context.run(|| NUMBER.get())));
    assert_eq!(thread.join().unwrap(), (None, Some(7)));
}

/// A callback that adds the next one with the value replaced: what is in force must not grow with each.
#[test]
fn a_value_that_is_replaced_for_ever_takes_no_more_room() {
    let mut context = Context::current();
    for number in 0..100_000 {
        context = context.run(|| NUMBER.with(number, Context::current));
    }
    assert_eq!(context.bindings().len(), 1);
    assert_eq!(format!("{context:?}"), r#"{"number"}"#);
}
