//! All framings: what a case table says happens, however the bytes are cut on the way.

mod buffer;
mod lines;
mod random;
mod strings;

use crate::{
    protocol::Protocol,
    testing::memory::{Table, Tester},
};
use std::{cell::RefCell, rc::Rc};

/// What happened to a protocol, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Events(Rc<RefCell<Vec<String>>>);

impl Events {
    pub(super) fn push(&self, event: &str, bytes: &[u8]) {
        let mut events = self.0.borrow_mut();
        let bytes = bytes.escape_ascii().to_string();
        match events.last_mut() {
            // How raw bytes are cut means nothing.
            Some(last) if event == "raw" && last.starts_with("raw ") => last.push_str(&bytes),
            _ => events.push(format!("{event} {bytes}")),
        }
    }

    pub(super) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// A protocol that a table describes: what it is made of, and what it reports to.
pub(super) trait Subject {
    type Protocol: Protocol;

    fn build(&self, events: &Events) -> Self::Protocol;
}

/// What happens when `input` arrives in these pieces. Whoever pauses is resumed after each piece.
pub(super) fn run<'a, S: Subject>(
    subject: &S,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<String> {
    let events = Events::default();
    let tester = Tester::on(&Table::new(), subject.build(&events));
    for piece in pieces {
        tester.receive(piece);
        while !tester.has_ended() && tester.transport().is_paused() {
            events.push("pause", b"");
            tester.transport().resume_producing();
            tester.settle();
        }
    }
    if tester.was_aborted() {
        events.push("aborted", b"");
    } else if tester.is_closed() {
        events.push("closed", b"");
    }
    events.take()
}

/// Checks one row of a table: whole, cut in two at every byte, and in equal pieces.
#[track_caller]
pub(super) fn check<S: Subject>(subject: &S, input: &[u8], expected: &[&str]) {
    let shown = input[..input.len().min(99)].escape_ascii();
    let whole = run(subject, [input]);
    assert_eq!(whole, expected, "{shown}, whole");
    let every = input.len().div_ceil(300).max(1);
    for at in (1..input.len()).step_by(every) {
        let (left, right) = input.split_at(at);
        let cut = run(subject, [left, right]);
        assert_eq!(cut, expected, "{shown}, cut at {at}");
    }
    for size in [1, 2, 3, 7] {
        let cut = run(subject, input.chunks(size));
        assert_eq!(cut, expected, "{shown}, in pieces of {size}");
    }
}
