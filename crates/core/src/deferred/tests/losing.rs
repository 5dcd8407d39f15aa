//! What becomes of a failure that nobody handles, of a chain that nobody holds, and of everything in it.

use super::*;
use crate::error::Abandoned;

/// In Twisted this is logged when the garbage collector comes by; here when it arrives or is dropped.
#[test]
fn an_unhandled_failure_is_logged_once_when_it_arrives() {
    let (resolver, deferred) = Deferred::<i32>::pair();
    let created = line!() - 1;
    deferred.map(|x| x + 1).detach();
    let lines = logged(|| resolver.fail(Failure::msg("lost")));
    let expected = format!("tests/losing.rs:{created}:");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("ERROR unhandled failure in a Deferred created at"));
    assert!(lines[0].contains(&expected), "{lines:?}");
    assert!(lines[0].contains(": lost (at "), "{lines:?}");
}

#[test]
fn a_failure_that_waits_for_its_errback_is_not_logged_before_it_is_dropped() {
    let mut kept = None;
    let lines = logged(|| {
        let (resolver, deferred) = Deferred::<i32>::pair();
        resolver.fail(Failure::msg("kept"));
        kept = Some(deferred);
    });
    assert_eq!(lines, [""; 0]);
    assert_eq!(logged(|| drop(kept)).len(), 1);
}

#[test]
fn a_handled_failure_is_never_logged() {
    let lines = logged(|| {
        let (resolver, deferred) = Deferred::<i32>::pair();
        deferred.add_errback(|_| Ok(1)).detach();
        resolver.fail(Failure::msg("handled"));
        let (resolver, deferred) = Deferred::<i32>::pair();
        resolver.fail(Failure::msg("handled"));
        deferred.add_errback(|_| Ok(1)).detach();
        let taken = Deferred::<i32>::fail(Failure::msg("taken")).try_result();
        assert!(taken.unwrap().is_err());
    });
    assert_eq!(lines, [""; 0]);
}

#[test]
fn a_failure_in_a_callback_of_a_detached_chain_names_the_deferred_that_the_chain_began_with() {
    let (resolver, deferred) = Deferred::<i32>::pair();
    let created = line!() - 1;
    let (inner_resolver, inner) = Deferred::<i32>::pair();
    deferred
        .add_callback(move |_| inner)
        .map(|x| x + 1)
        .detach();
    resolver.resolve(1);
    let lines = logged(|| inner_resolver.fail(Failure::msg("inner")));
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(&format!("tests/losing.rs:{created}:")),
        "{lines:?}"
    );
}

#[test]
fn one_made_failed_says_where_it_was_made() {
    let line = line!() + 2;
    let lines = logged(|| {
        Deferred::<i32>::fail(Failure::msg("no"))
            .map(|x| x + 1)
            .detach()
    });
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(&format!(
            "created at crates/core/src/deferred/tests/losing.rs:{line}:"
        )),
        "{lines:?}"
    );
}

#[test]
fn an_abandoned_chain_that_nobody_holds_says_so() {
    let (resolver, deferred) = Deferred::<i32>::pair();
    drop(deferred);
    let lines = logged(|| drop(resolver));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(&Abandoned.to_string()), "{lines:?}");
}

#[test]
fn dropping_the_tail_detaches_and_never_cancels() {
    let log = Log::default();
    let (resolver, deferred) = Deferred::pair();
    let note = log.clone();
    drop(deferred.map(move |x: i32| note.note(x)));
    resolver.resolve(3);
    log.check(&["3"]);
}

/// Whatever a chain held is gone once it has fired and its end is dropped, in whichever order that happens.
#[test]
fn nothing_is_kept_when_a_chain_is_done() {
    let held = Rc::new(());
    let with = |held: &Rc<()>| {
        let (kept, canceller) = (Rc::clone(held), Rc::clone(held));
        let (resolver, deferred) = Deferred::<u32>::with_canceller(move || drop(canceller));
        (resolver, deferred.map(move |x| drop((x, kept))))
    };
    for order in 0..5 {
        let (resolver, deferred) = with(&held);
        let (_unfired, inner) = Deferred::<()>::pair();
        match order {
            0 => drop((resolver, deferred)),
            1 => drop((deferred, resolver)),
            2 => {
                resolver.resolve(1);
                drop(deferred);
            }
            3 => deferred.cancel(),
            _ => {
                let waiting = deferred.add_callback(move |()| inner);
                resolver.resolve(1);
                waiting.cancel();
            }
        }
        assert_eq!(Rc::strong_count(&held), 1, "order {order}");
    }
}

/// A callback that holds its own canceller, and a canceller that holds its own Deferred's end.
#[test]
fn circles_that_users_make_end_when_the_chain_fires() {
    let held = Rc::new(());
    let place: Rc<RefCell<Option<Deferred<()>>>> = Rc::default();
    let (own, kept) = (Rc::clone(&place), Rc::clone(&held));
    let (resolver, deferred) = Deferred::<()>::with_canceller(move || drop((own, kept)));
    place.replace(Some(deferred));
    resolver.resolve(());
    assert_eq!(Rc::strong_count(&held), 1);
}
