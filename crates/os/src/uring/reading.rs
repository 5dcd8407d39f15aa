//! What comes in: lent straight to the core, or parked while the core does not want it or has had enough for a turn.
//!
//! Parked bytes are copied out of the ring's buffers: connections that nobody reads must not starve the others.

use super::{
    Uring,
    linger::DISCARDED_BYTES,
    slots::{ENDED, PASSING, Parked, QUEUED, READING, RESTING, SHARED, State},
    work::{Loan, Work},
};
use std::{io, rc::Rc};
use tress_core::{
    clock::Clock,
    driver::{Lease, Report, Token},
};

impl<C: Clock> Uring<C> {
    /// Accepts or receives for this slot, if that is wanted and not done already.
    pub(super) fn arm(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else {
            return;
        };
        let wanted = slot.has(READING) && !slot.has(ENDED | RESTING) && slot.parked.is_empty();
        let (true, None, Some(socket)) = (wanted, slot.incoming, &slot.socket) else {
            return;
        };
        let socket = Rc::clone(socket);
        let work = match slot.state {
            // An operation that accepts would get all of them, as it always waits first; or wait with a peer that has
            // come for the end of a long callback.
            State::Listening if slot.has(SHARED) => Work::AwaitInput(socket),
            State::Listening => Work::Accept(socket),
            State::Open if slot.has(PASSING) => Work::AwaitInput(socket),
            State::Open | State::Lingering => Work::Receive(socket),
            State::Free | State::Connecting | State::Beside(_) => return,
        };
        slot.incoming = Some(self.ring.start(token, work));
    }

    /// Accepts or receives no more; what the kernel has done by then is parked.
    pub(super) fn disarm(&mut self, token: Token) {
        if let Some(slot) = self.slots.get(token)
            && matches!(slot.state, State::Listening | State::Open)
            && let Some(key) = slot.incoming
        {
            self.ring.cancel(key);
        }
    }

    /// Bytes came, or the end of them, or an error.
    pub(super) fn received(
        &mut self,
        conn: Token,
        result: io::Result<usize>,
        loan: Option<Loan>,
        more: bool,
        lease: &mut Lease,
    ) -> Option<Report> {
        let Some(slot) = self.slots.get(conn) else {
            self.give_back(loan);
            return None;
        };
        if !more {
            slot.incoming = None;
        }
        if slot.state == State::Lingering {
            self.give_back(loan);
            self.discarded(conn, &result);
            return None;
        }
        let report = match (result, loan) {
            (Ok(0), loan) => {
                self.give_back(loan);
                self.deliver_or_park(conn, Parked::End)
            }
            (Ok(length), Some(loan)) => self.bytes(conn, length, loan, lease),
            (Ok(_), None) => {
                let lost = io::Error::other("the kernel named a buffer that it did not have");
                self.deliver_or_park(conn, Parked::Failed(lost))
            }
            (Err(error), loan) => {
                if let Some(loan) = loan {
                    self.ring.give_back(loan);
                }
                match error.raw_os_error() {
                    // All buffers were in use: they have come back when the next round starts.
                    Some(libc::ENOBUFS) => {
                        self.starved.push(conn);
                        return None;
                    }
                    Some(libc::ECANCELED | libc::EINTR) => None,
                    Some(libc::EAGAIN) => {
                        slot.wait_again();
                        None
                    }
                    _ => self.deliver_or_park(conn, Parked::Failed(error)),
                }
            }
        };
        if !more {
            self.arm(conn);
        }
        report
    }

    /// Lends a buffer to the core, or parks what is in it.
    #[inline]
    fn bytes(
        &mut self,
        conn: Token,
        length: usize,
        loan: Loan,
        lease: &mut Lease,
    ) -> Option<Report> {
        let (turn, most) = (self.turn, self.bytes_per_turn);
        let slot = self.slots.get(conn)?;
        if slot.is_open_for(turn, most) {
            slot.took(length);
            lease.length = length.min(loan.buffer.len());
            lease.buffer = loan.buffer;
            lease.mark = loan.id + 1;
            lease.reused = true;
            return Some(Report::Data { conn });
        }
        let bytes = loan.buffer.get(..length).unwrap_or(&loan.buffer);
        slot.parked.push_back(Parked::Bytes(bytes.into()));
        let wanted = slot.has(READING);
        self.ring.give_back(loan);
        if wanted {
            // It has had its share of this turn.
            self.disarm(conn);
            self.queue(conn);
        }
        None
    }

    /// Reports the end of a connection's input, or keeps it until the core wants it.
    pub(super) fn deliver_or_park(&mut self, conn: Token, what: Parked) -> Option<Report> {
        let slot = self.slots.get(conn)?;
        slot.set(ENDED);
        if slot.has(READING) && slot.parked.is_empty() {
            return self.deliver(conn, what, &mut Lease::default());
        }
        slot.parked.push_back(what);
        if slot.has(READING) {
            self.queue(conn);
        }
        None
    }

    /// A connection is of no use any more, for a reason that the next round reports, whatever else has come.
    #[cold]
    pub(super) fn broken(&mut self, conn: Token, error: io::Error) {
        self.disarm(conn);
        if let Some(slot) = self.slots.get(conn) {
            slot.reset_on_close();
            slot.set(ENDED | READING);
            slot.parked.clear();
            slot.parked.push_back(Parked::Failed(error));
            self.queue(conn);
        }
    }

    /// Reports what was parked.
    fn deliver(&mut self, token: Token, what: Parked, lease: &mut Lease) -> Option<Report> {
        match what {
            Parked::Bytes(bytes) => {
                self.slots.get(token)?.took(bytes.len());
                lease.length = bytes.len();
                lease.buffer = bytes;
                lease.mark = 0;
                lease.reused = false;
                Some(Report::Data { conn: token })
            }
            Parked::End => {
                self.slots.get(token)?.clear(READING);
                Some(Report::ReadClosed { conn: token })
            }
            Parked::Failed(error) => {
                self.remove(token);
                Some(Report::Closed { token, error })
            }
            Parked::Peer(socket) => Some(self.introduce(token, socket)),
        }
    }

    /// The next of what was parked for the slot under the cursor, which moves on when there is no more for this turn.
    pub(super) fn unpark(&mut self, token: Token, lease: &mut Lease) -> Option<Report> {
        let (turn, most) = (self.turn, self.bytes_per_turn);
        let Some(slot) = self.slots.get(token) else {
            self.cursor += 1;
            return None;
        };
        if slot.state == State::Connecting && slot.incoming.is_none() {
            slot.clear(QUEUED);
            slot.state = State::Open;
            self.cursor += 1;
            self.arm(token);
            return Some(Report::Connected { conn: token });
        }
        if slot.has(READING)
            && slot.may_take(turn, most)
            && let Some(what) = slot.parked.pop_front()
        {
            return self.deliver(token, what, lease);
        }
        if slot.takes_peers(turn) {
            return self.take_peer(token);
        }
        self.cursor += 1;
        slot.clear(QUEUED);
        if slot.has(READING) {
            if slot.parked.is_empty() {
                self.arm(token);
            } else {
                self.queue(token);
            }
        }
        None
    }

    /// Something came for a socket that lingers.
    fn discarded(&mut self, token: Token, result: &io::Result<usize>) {
        let turn = self.turn;
        let Some(slot) = self.slots.get(token) else {
            return;
        };
        match result {
            Ok(0) => self.remove(token),
            Ok(length) => {
                let patient = slot.may_take(turn, DISCARDED_BYTES);
                slot.took(*length);
                if !patient {
                    slot.reset_on_close();
                    self.remove(token);
                } else {
                    self.arm(token);
                }
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => self.starved.push(token),
                Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => self.arm(token),
                _ => self.remove(token),
            },
        }
    }

    fn give_back(&mut self, loan: Option<Loan>) {
        if let Some(loan) = loan {
            self.ring.give_back(loan);
        }
    }
}
