//! Cancelling: whom it reaches, and what a later firing does.

use super::*;
use crate::error::Abandoned;

#[test]
fn cancelling_an_unfired_deferred_calls_its_canceller_and_then_fails_it() {
    let log = Log::default();
    let note = log.clone();
    let (_resolver, deferred) = Deferred::<i32>::with_canceller(move || note.note("canceller"));
    let deferred = deferred.map(|x| x + 1);
    deferred.cancel();
    deferred.cancel();
    log.check(&["\"canceller\""]);
    assert!(failure(deferred).check::<Cancelled>().is_some());
}

#[test]
fn a_canceller_may_fire_the_deferred_itself() {
    let place: Rc<RefCell<Option<Resolver<i32>>>> = Rc::default();
    let own = Rc::clone(&place);
    let (resolver, deferred) = Deferred::with_canceller(move || {
        let resolver = own.borrow_mut().take();
        resolver
            .into_iter()
            .for_each(|resolver| resolver.resolve(7));
    });
    place.replace(Some(resolver));
    deferred.cancel();
    assert_eq!(deferred.try_result().unwrap().unwrap(), 7);
}

/// In Twisted exactly one later firing is swallowed; here there cannot be two.
#[test]
fn after_a_cancel_one_later_firing_is_swallowed() {
    let ways: [fn(Resolver<i32>); 3] = [
        |r: Resolver<i32>| r.resolve(5),
        |r| r.fail(Failure::msg("late")),
        drop,
    ];
    for fire in ways {
        let (resolver, deferred) = Deferred::<i32>::pair();
        assert!(!resolver.is_cancelled());
        deferred.cancel();
        assert!(resolver.is_cancelled());
        let lines = logged(|| fire(resolver));
        assert_eq!(lines, [""; 0]);
        assert!(failure(deferred).check::<Cancelled>().is_some());
    }
}

#[test]
fn a_canceller_that_drops_the_resolver_leaves_it_cancelled_and_not_abandoned() {
    let place: Rc<RefCell<Option<Resolver<i32>>>> = Rc::default();
    let own = Rc::clone(&place);
    let (resolver, deferred) = Deferred::with_canceller(move || drop(own.borrow_mut().take()));
    place.replace(Some(resolver));
    deferred.cancel();
    assert!(failure(deferred).check::<Cancelled>().is_some());
}

#[test]
fn cancelling_a_fired_deferred_that_waits_cancels_what_it_waits_for() {
    let log = Log::default();
    let note = log.clone();
    let (_kept, inner) = Deferred::<i32>::with_canceller(move || note.note("inner"));
    let (resolver, outer) = Deferred::pair();
    let outer = outer.add_callback(move |()| inner);
    resolver.resolve(());
    outer.cancel();
    log.check(&["\"inner\""]);
    assert!(failure(outer).check::<Cancelled>().is_some());
}

#[test]
fn a_cancel_goes_down_through_a_million_chains() {
    let (_kept, mut nested) = Deferred::<u32>::pair();
    for _ in 0..1_000_000 {
        let (resolver, outer) = Deferred::<()>::pair();
        nested = outer.add_callback(move |()| nested);
        resolver.resolve(());
    }
    nested.cancel();
    assert!(failure(nested).check::<Cancelled>().is_some());
}

#[test]
fn an_errback_after_a_cancel_may_return_a_value() {
    let (_resolver, deferred) = Deferred::<i32>::pair();
    let canceller = deferred.canceller().unwrap();
    let deferred = deferred.add_errback(|failure| failure.trap::<Cancelled>().map(|_| 4));
    canceller.cancel();
    assert_eq!(deferred.try_result().unwrap().unwrap(), 4);
}

#[test]
fn cancelling_what_has_its_result_does_nothing() {
    let (resolver, deferred) = Deferred::pair();
    let canceller = deferred.canceller().unwrap();
    resolver.resolve(1);
    canceller.cancel();
    deferred.cancel();
    assert_eq!(deferred.try_result().unwrap().unwrap(), 1);
    assert!(Deferred::succeed(1).canceller().is_none());
    let (resolver, deferred) = Deferred::pair();
    let deferred = deferred.map(|x: i32| x + 1);
    assert!(deferred.canceller().is_some());
    resolver.resolve(1);
    assert!(deferred.canceller().is_none());
}

/// As in Twisted, where it is the same object: a canceller reaches what the chain waits for now, added later or not.
#[test]
fn a_canceller_reaches_callbacks_that_were_added_after_it_was_made() {
    let (resolver, deferred) = Deferred::<()>::pair();
    let canceller = deferred.canceller().unwrap();
    let (_kept, inner) = Deferred::<i32>::pair();
    let deferred = deferred.add_callback(move |()| inner);
    resolver.resolve(());
    canceller.cancel();
    assert!(failure(deferred).check::<Cancelled>().is_some());
}

#[test]
fn a_canceller_does_not_own_the_chain() {
    let value = Rc::new(());
    let (resolver, deferred) = Deferred::<()>::pair();
    let kept = Rc::clone(&value);
    let deferred = deferred.map(move |()| drop(kept));
    let canceller = deferred.canceller().unwrap();
    drop((resolver, deferred));
    assert_eq!(Rc::strong_count(&value), 1);
    canceller.cancel();
}

#[test]
fn a_cancel_inside_a_callback_of_the_same_chain_does_nothing() {
    let (resolver, deferred) = Deferred::<u32>::pair();
    let canceller = deferred.canceller().unwrap();
    let deferred = deferred.map(move |x| {
        canceller.cancel();
        x
    });
    resolver.resolve(6);
    assert_eq!(deferred.try_result().unwrap().unwrap(), 6);
}

#[test]
fn a_cancel_inside_the_canceller_does_nothing_more() {
    let own: Rc<RefCell<Option<Canceller>>> = Rc::default();
    let inside = Rc::clone(&own);
    let log = Log::default();
    let note = log.clone();
    let (_resolver, deferred) = Deferred::<()>::with_canceller(move || {
        note.note("once");
        let canceller = inside.borrow().clone();
        canceller
            .into_iter()
            .for_each(|canceller| canceller.cancel());
    });
    own.replace(deferred.canceller());
    deferred.cancel();
    log.check(&["\"once\""]);
    assert!(failure(deferred).check::<Cancelled>().is_some());
}

/// Twisted: `cancel` never raises unless the canceller does. Here not even then; it is logged.
#[test]
fn a_canceller_that_panics_is_logged_and_the_deferred_is_cancelled_all_the_same() {
    let (_resolver, deferred) = Deferred::<()>::with_canceller(|| panic!("oh"));
    let lines = logged(|| deferred.cancel());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("a callback panicked: oh"), "{lines:?}");
    assert!(failure(deferred).check::<Cancelled>().is_some());
}

#[test]
fn only_what_was_asked_to_cancel_when_it_is_dropped_does() {
    let (resolver, deferred) = Deferred::<u32>::pair();
    let deferred = deferred.cancel_on_drop().map(|x| x + 1);
    assert!(!resolver.is_cancelled());
    assert_eq!(logged(|| drop(deferred)), [""; 0], "the cancel was wanted");
    assert!(resolver.is_cancelled());

    let (resolver, deferred) = Deferred::<u32>::pair();
    deferred.cancel_on_drop().detach();
    assert!(!resolver.is_cancelled());

    let (resolver, deferred) = Deferred::<u32>::pair();
    let waiting = deferred.cancel_on_drop().try_result().unwrap_err();
    resolver.resolve(8);
    assert_eq!(waiting.try_result().unwrap().unwrap(), 8);
}

#[test]
fn a_guarded_deferred_that_a_callback_returns_belongs_to_the_chain() {
    let (_kept, inner) = Deferred::<u32>::pair();
    let (resolver, outer) = Deferred::<()>::pair();
    let inner = inner.cancel_on_drop();
    let outer = outer.add_callback(move |()| inner);
    resolver.resolve(());
    let outer = outer.try_result().unwrap_err();
    outer.cancel();
    assert!(failure(outer).check::<Cancelled>().is_some());
}

#[test]
fn a_dropped_resolver_abandons() {
    let (resolver, deferred) = Deferred::<i32>::pair();
    drop(resolver);
    assert!(failure(deferred).check::<Abandoned>().is_some());
}
