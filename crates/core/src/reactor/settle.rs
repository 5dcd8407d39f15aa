//! Doing what was asked of a connection while its callback ran, or from outside: calls, pausing, sending, producers,
//! the high-water mark and closing. One request after the other, within a budget.

use super::Core;
use crate::{
    driver::Token,
    error::{ConnectionAborted, ConnectionDone, ConnectionLost},
    failure::{Failure, Result},
    producer::Producer,
    protocol::Protocol,
    transport::{
        Call, Transport,
        flags::{
            ABORT, BLOCKED, CALLS, CLOSE, CORKED, DIRTY, FULL, LOST, OUT, PASSING, PAUSE_CHANGED,
            PAUSED, PRODUCER, PRODUCER_CHANGED, PRODUCER_PAUSED, PULLED, READ_CLOSED,
            READ_WHEN_FULL, READING, REQUESTS, RESUMED, RUNNING, SHUT, WATCHED, WRITE_SHUT,
        },
    },
};
use std::rc::Rc;

/// A longer list of connections to flush is not kept.
const DIRTY_KEPT: usize = 4096;

impl Core {
    /// Does what was asked of a connection, until nothing is left to do now.
    #[cold]
    #[inline(never)]
    pub(super) fn settle(self: &Rc<Self>, conn: Token, link: &Transport) {
        self.current.set(conn);
        link.set(RUNNING);
        let mut budget = Budget::new(link);
        while !link.has(LOST) {
            link.clear(DIRTY);
            if link.has(CORKED) {
                self.shared.uncork(&link.0);
            }
            let step = self.settle_step(conn, link, &mut budget);
            match step {
                Ok(Settled::Again) => {}
                Ok(Settled::Quiet) => {
                    link.clear(RUNNING);
                    budget.ask_for_the_rest(link);
                    return;
                }
                Ok(Settled::Ended(reason)) => return self.end(conn, link, reason),
                Err(failure) => return self.fail(conn, link, failure),
            }
        }
    }

    /// One thing that was asked.
    fn settle_step(&self, conn: Token, link: &Transport, budget: &mut Budget) -> Result<Settled> {
        if link.has(ABORT) {
            let reason = link.0.rare_if_any().and_then(|rare| rare.reason.take());
            return Err(reason.unwrap_or_else(|| ConnectionAborted.into()));
        }
        if link.has(CALLS) {
            return self.run_call(link, budget);
        }
        if link.has(PAUSE_CHANGED) {
            link.clear(PAUSE_CHANGED);
            self.update_reading(conn, link);
            if link.has(RESUMED) && !link.has(PAUSED | CLOSE) {
                link.clear(RESUMED);
                self.call(link, |protocol, transport| {
                    protocol.reading_resumed(transport)
                })?;
            }
            return Ok(Settled::Again);
        }
        self.send(conn, link)?;
        if self.update_pressure(conn, link, budget)? {
            return Ok(Settled::Again);
        }
        if link.0.out.borrow().pending() == 0 {
            if link.has(CLOSE) && !link.has(PRODUCER) {
                return Ok(Settled::Ended(ConnectionDone.into()));
            }
            if link.has(SHUT) && !link.has(WRITE_SHUT | PRODUCER) {
                link.set(WRITE_SHUT);
                self.driver.borrow_mut().shutdown_write(conn);
            }
            if link.has(WRITE_SHUT) && link.has(READ_CLOSED) {
                return Ok(Settled::Ended(ConnectionDone.into()));
            }
        }
        self.update_reading(conn, link);
        let quiet = !link.has(REQUESTS | CORKED) && (!link.has(OUT) || link.has(BLOCKED));
        Ok(if quiet {
            Settled::Quiet
        } else {
            Settled::Again
        })
    }

    /// Makes one queued call to the protocol.
    fn run_call(&self, link: &Transport, budget: &mut Budget) -> Result<Settled> {
        let next = budget.next_call(link);
        match next {
            None => link.clear(CALLS),
            Some(call) => {
                if let Some(protocol) = &mut *link.0.protocol.borrow_mut() {
                    call(Ok((&mut **protocol, link)));
                }
                self.check_stall(link);
            }
        }
        Ok(Settled::Again)
    }

    /// Calls the protocol from inside `settle`.
    fn call(
        &self,
        link: &Transport,
        callback: impl FnOnce(&mut dyn Protocol, &Transport) -> Result,
    ) -> Result {
        let result = match &mut *link.0.protocol.borrow_mut() {
            Some(protocol) => callback(&mut **protocol, link),
            None => Ok(()),
        };
        self.check_stall(link);
        result
    }

    /// Hands output to the driver.
    fn send(&self, conn: Token, link: &Transport) -> Result {
        if !link.has(OUT) || link.has(BLOCKED) {
            return Ok(());
        }
        let mut out = link.0.out.borrow_mut();
        let before = out.unsent();
        let sent = if link.has(PASSING) {
            self.send_passing(conn, link, &mut out)
        } else {
            self.driver.borrow_mut().send(conn, &mut out)
        };
        sent.map_err(ConnectionLost)?;
        if out.unsent() < before {
            self.active(link);
        }
        if out.is_done() {
            link.clear(OUT);
            out.clear();
        } else {
            link.set(BLOCKED);
        }
        Ok(())
    }

    /// Reads from the peer exactly while somebody wants its bytes.
    fn update_reading(&self, conn: Token, link: &Transport) {
        let full = link.has(FULL) && !link.has(READ_WHEN_FULL);
        let wanted = !full && !link.has(PAUSED | CLOSE | READ_CLOSED);
        if wanted && !link.has(READING) {
            link.set(READING);
            self.driver.borrow_mut().start_reading(conn);
        } else if !wanted && link.has(READING) {
            link.clear(READING);
            self.driver.borrow_mut().stop_reading(conn);
        }
    }

    /// Tells the protocol and the producer about the high-water mark; true when one of them was called.
    fn update_pressure(&self, conn: Token, link: &Transport, budget: &mut Budget) -> Result<bool> {
        link.clear(PRODUCER_CHANGED);
        let pending = link.0.out.borrow().pending();
        if !link.has(FULL) && pending > link.0.origin.limits.output_high_water {
            link.set(FULL);
            self.update_reading(conn, link);
            self.call(link, |protocol, transport| protocol.write_paused(transport))?;
            return Ok(true);
        }
        if link.has(FULL | WATCHED) && pending == 0 {
            link.clear(FULL | WATCHED);
            self.update_reading(conn, link);
            self.call(link, |protocol, transport| {
                protocol.write_resumed(transport)
            })?;
            if !link.has(CORKED | OUT) {
                // Asked again with nothing written: that was the answer.
                link.clear(WATCHED);
            }
            return Ok(true);
        }
        if link.has(PRODUCER) {
            return self.drive_producer(link, pending, budget);
        }
        Ok(false)
    }

    /// Keeps a producer at the pace of the peer; true when it was asked for more.
    fn drive_producer(
        &self,
        link: &Transport,
        pending: usize,
        budget: &mut Budget,
    ) -> Result<bool> {
        let pulled = link.has(PULLED);
        let rare = link.0.rare();
        if !pulled && link.has(FULL) && !link.has(PRODUCER_PAUSED) {
            link.set(PRODUCER_PAUSED);
            let taken = rare.producer.borrow_mut().take();
            if let Some(mut producer) = taken {
                producer.pause_producing();
                self.check_stall(link);
                put_back(link, producer);
            }
        }
        let wants_more = pending == 0 && (pulled || link.has(PRODUCER_PAUSED));
        if !wants_more || link.has(BLOCKED) || !budget.may_pull() {
            return Ok(false);
        }
        link.clear(PRODUCER_PAUSED);
        let taken = rare.producer.borrow_mut().take();
        let Some(mut producer) = taken else {
            return Ok(false);
        };
        let result = producer.resume_producing(link);
        self.check_stall(link);
        if link.has(CORKED) {
            self.shared.uncork(&link.0);
        }
        put_back(link, producer);
        // A pulled producer that wrote nothing is asked again at the next flush, not in a circle.
        result.map(|()| link.0.out.borrow().pending() > 0 || !link.has(PRODUCER))
    }

    /// Looks at every connection of which something was asked from outside.
    #[cold]
    #[inline(never)]
    pub(super) fn flush_dirty(self: &Rc<Self>) {
        self.shared.any_dirty.set(false);
        let mut dirty = std::mem::take(&mut *self.shared.dirty.borrow_mut());
        let mut rest = dirty.drain(..);
        self.pace.begin_callback();
        self.guard(|| {
            for token in rest.by_ref() {
                if let Some(link) = self.link(token) {
                    self.settle(token, &link);
                }
            }
        });
        drop(rest);
        let mut list = self.shared.dirty.borrow_mut();
        if list.is_empty() && list.capacity() == 0 && dirty.capacity() <= DIRTY_KEPT {
            *list = dirty;
        }
    }
}

/// What one connection may do before the others have their turn.
struct Budget {
    calls: usize,
    pulls: u32,
}

impl Budget {
    /// Times a pulled producer is asked at once.
    const PULLS: u32 = 16;

    /// The calls that are queued now.
    fn new(link: &Transport) -> Self {
        let calls = link
            .0
            .rare_if_any()
            .map_or(0, |rare| rare.calls.borrow().len());
        Self {
            calls,
            pulls: Self::PULLS,
        }
    }

    fn next_call(&mut self, link: &Transport) -> Option<Call> {
        self.calls = self.calls.checked_sub(1)?;
        link.0.rare().calls.borrow_mut().pop_front()
    }

    fn may_pull(&mut self) -> bool {
        self.pulls = self.pulls.saturating_sub(1);
        self.pulls > 0
    }

    /// What is left is done in the next turn.
    fn ask_for_the_rest(&self, link: &Transport) {
        if link
            .0
            .rare_if_any()
            .is_some_and(|rare| !rare.calls.borrow().is_empty())
        {
            link.ask(CALLS);
        }
        if self.pulls == 0 {
            link.ask(PRODUCER_CHANGED);
        }
    }
}

/// Gives a producer that has been called its seat back, unless it unregistered itself or registered another.
fn put_back(link: &Transport, producer: Box<dyn Producer>) {
    let mut seat = link.0.rare().producer.borrow_mut();
    if link.has(PRODUCER) && seat.is_none() {
        *seat = Some(producer);
    }
}

enum Settled {
    /// There may be more to do.
    Again,
    /// Nothing to do until something happens.
    Quiet,
    /// The connection has ended cleanly.
    Ended(Failure),
}
