//! What the loop says in the log: who failed, who held it up, and how often it says so.

use crate::{
    Failure, Protocol, Result, Transport,
    testing::{logged, memory::Tester},
};
use std::time::Duration;

/// Does what it is told.
struct Obedient;

impl Protocol for Obedient {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        match data {
            b"fail" => Err(Failure::msg("as told")),
            b"panic" => panic!("as told"),
            _ => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        "obedient"
    }
}

#[test]
fn a_failure_is_logged_with_protocol_and_peer() {
    for (word, text) in [
        ("fail", "as told"),
        ("panic", "a callback panicked: as told"),
    ] {
        let lines = logged(|| Tester::new(Obedient).receive(word.as_bytes()));
        assert_eq!(lines.len(), 1, "{lines:?}");
        let expected = format!("ERROR obedient with 192.0.2.1:1 failed and is closed: {text} (at ");
        assert!(lines[0].starts_with(&expected), "{lines:?}");
    }
}

#[test]
fn a_stall_is_named_and_the_warning_is_rate_limited() {
    let lines = logged(|| {
        let tester = Tester::new(Obedient);
        let clock = tester.clock();
        let slow = move |by| {
            let clock = clock.clone();
            tester.with(move |_, _| clock.advance(Duration::from_millis(by)));
        };
        [5, 20, 30, 2000, 40].into_iter().for_each(slow);
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    let first = "WARN obedient held the loop for 20ms, longer than 10ms (the 1. such callback)";
    assert_eq!(lines[0], first);
    assert!(
        lines[1].contains("2s") && lines[1].contains("(the 3. such"),
        "{lines:?}"
    );
}

#[test]
fn a_detached_failure_is_logged_once_when_it_arrives() {
    let lines = logged(|| {
        let (resolver, deferred) = crate::Deferred::<()>::pair();
        drop(deferred.map(|()| ()));
        resolver.fail(Failure::msg("too late"));
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("ERROR unhandled failure in a Deferred")
            && lines[0].contains("too late")
    );
}
