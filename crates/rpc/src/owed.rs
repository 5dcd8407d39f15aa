//! The answers that a connection owes: a peer that sends no more still gets them, and then the connection is closed.
//! Writes nothing.

use std::cell::Cell;
use tress_core::Transport;

/// How many, and whether no more will be asked for.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    answers: Cell<usize>,
    ended: Cell<bool>,
}

impl Owed {
    /// One more.
    pub(crate) fn asked(&self) {
        self.answers.set(self.answers.get() + 1);
    }

    /// One less; the last closes when the peer has ended.
    pub(crate) fn answered(&self, transport: &Transport) {
        self.answers.set(self.answers.get().saturating_sub(1));
        self.close(transport);
    }

    /// The peer sends no more.
    pub(crate) fn ended(&self, transport: &Transport) {
        self.ended.set(true);
        self.close(transport);
    }

    fn close(&self, transport: &Transport) {
        if self.ended.get() && self.answers.get() == 0 {
            transport.lose_connection();
        }
    }
}
