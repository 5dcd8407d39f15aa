//! Doing what was asked of a connection while its callback ran, or from outside: calls, pausing, sending, producers,
//! the high-water mark, layers and closing. One request after the other, within a budget. The same for a connection on
//! the driver and for what lies above a layer: only [`Below`] differs.

use super::{Core, Entry};
use crate::{
    driver::Token,
    error::{ConnectionAborted, ConnectionDone, ConnectionLost},
    failure::{Failure, Result},
    layer::{self, Inner},
    producer::Producer,
    protocol::Protocol,
    transport::{
        Call, Transport,
        flags::{
            ABORT, BLOCKED, CALLS, CLOSE, CORKED, DIRTY, FULL, INNER, LAYER, LAYERED, LOST, OUT,
            PASSING, PAUSE_CHANGED, PAUSED, PRODUCER, PRODUCER_CHANGED, PRODUCER_PAUSED, PULLED,
            PUSHED, READ_CLOSED, READING, REQUESTS, RESUMED, RUNNING, SHUT, WATCHED, WRITE_SHUT,
        },
    },
};
use std::rc::Rc;

/// A longer list of connections to flush is not kept.
const DIRTY_KEPT: usize = 4096;

/// What a connection lies on: the driver, or a layer.
pub(crate) trait Below {
    /// Takes what it can of the output.
    fn send(&mut self, link: &Transport) -> Result;

    /// Reads from the peer exactly while somebody wants its bytes.
    fn update_reading(&mut self, link: &Transport);

    /// Everything that was written has been taken, and no more follows. False when the peer cannot be told yet.
    fn shutdown_write(&mut self) -> bool;

    /// Whether what is left of the output will stay for a while.
    fn is_blocked(&self) -> bool;

    /// Whether all that was taken has left; if not, it says when.
    fn is_drained(&mut self) -> bool;
}

/// The driver.
struct Bottom<'a> {
    core: &'a Core,
    conn: Token,
}

pub(crate) enum Settled {
    /// There may be more to do.
    Again,
    /// Nothing to do until something happens.
    Quiet,
    /// A layer is to be put below.
    Pushed,
    /// The connection has ended cleanly.
    Ended(Failure),
}

impl Core {
    /// Does what was asked of a connection, until nothing is left to do now.
    #[cold]
    #[inline(never)]
    pub(super) fn settle(self: &Rc<Self>, conn: Token, link: &Transport) {
        self.current.set(conn);
        let mut link = link.clone();
        while !link.has(LOST) {
            link.set(RUNNING);
            let mut bottom = Bottom { core: self, conn };
            match self.settle_link(&link, &mut bottom) {
                Ok(Settled::Again | Settled::Quiet) => return,
                Ok(Settled::Pushed) => match self.raise(conn, &link) {
                    Ok(below) => link = below,
                    Err((link, failure)) => return self.fail(conn, &link, failure),
                },
                Ok(Settled::Ended(reason)) => return self.end(conn, &link, reason),
                Err(failure) => return self.fail(conn, &link, failure),
            }
        }
    }

    /// The same for one link, up to where somebody else must do something.
    pub(crate) fn settle_link(&self, link: &Transport, below: &mut dyn Below) -> Result<Settled> {
        let mut budget = Budget::new(link);
        loop {
            link.clear(DIRTY);
            if link.has(CORKED) {
                self.shared.uncork(&link.0);
            }
            match self.settle_step(link, below, &mut budget)? {
                Settled::Again => {}
                Settled::Quiet => {
                    link.clear(RUNNING);
                    budget.ask_for_the_rest(link);
                    return Ok(Settled::Quiet);
                }
                settled @ (Settled::Pushed | Settled::Ended(_)) => return Ok(settled),
            }
        }
    }

    /// One thing that was asked.
    fn settle_step(
        &self,
        link: &Transport,
        below: &mut dyn Below,
        budget: &mut Budget,
    ) -> Result<Settled> {
        if link.has(ABORT) {
            if link.has(LAYERED) {
                // The lowest link knows the reason, and ends it.
                return Ok(Settled::Quiet);
            }
            let reason = link.0.rare_if_any().and_then(|rare| rare.reason.take());
            return Err(reason.unwrap_or_else(|| ConnectionAborted.into()));
        }
        if link.has(PUSHED) {
            return Ok(Settled::Pushed);
        }
        if link.has(CALLS) {
            return self.run_call(link, budget);
        }
        if link.has(INNER) && budget.may_ask_above() {
            link.clear(INNER);
            self.call(link, |protocol, transport| {
                protocol.inner_requests(transport)
            })?;
            return Ok(Settled::Again);
        }
        if link.has(PAUSE_CHANGED) {
            link.clear(PAUSE_CHANGED);
            below.update_reading(link);
            if link.has(RESUMED) && !link.has(PAUSED | CLOSE) {
                link.clear(RESUMED);
                self.call(link, |protocol, transport| {
                    protocol.reading_resumed(transport)
                })?;
            }
            return Ok(Settled::Again);
        }
        below.send(link)?;
        if self.update_pressure(link, below, budget)? {
            return Ok(Settled::Again);
        }
        if link.0.out.borrow().pending() == 0 {
            if link.has(CLOSE) && !link.has(PRODUCER) {
                return Ok(Settled::Ended(ConnectionDone.into()));
            }
            if link.has(SHUT) && !link.has(WRITE_SHUT | PRODUCER) && below.shutdown_write() {
                link.set(WRITE_SHUT);
            }
            if link.has(WRITE_SHUT) && link.has(READ_CLOSED) {
                return Ok(Settled::Ended(ConnectionDone.into()));
            }
        }
        below.update_reading(link);
        let quiet = !link.has(budget.requests() | CORKED) && (!link.has(OUT) || link.has(BLOCKED));
        Ok(if quiet {
            Settled::Quiet
        } else {
            Settled::Again
        })
    }

    /// Puts a layer that was pushed below its protocol: the layer's link is the connection from now on. An error comes
    /// with the link that it ends.
    fn raise(&self, conn: Token, above: &Transport) -> Result<Transport, (Transport, Failure)> {
        let refused = self.call(above, |protocol, transport| {
            protocol.layer_pushed(transport)
        });
        refused.map_err(|failure| (above.clone(), failure))?;
        if above.has(ABORT) {
            return Ok(above.clone());
        }
        let Some((layer, below)) = above.put_link_below() else {
            return Ok(above.clone());
        };
        self.put(conn, Entry::Conn(conn.generation, below.clone()));
        above.clear(RUNNING);
        below.set(RUNNING);
        let begun = layer::seat(layer, Inner::made(above.clone()), &below)
            .and_then(|()| self.call(&below, layer::begin));
        match begun {
            Ok(()) => Ok(below),
            Err(failure) => Err((below, failure)),
        }
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

    /// Calls the protocol from inside `settle`, or from a layer below it.
    pub(crate) fn call(
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

    /// Tells the protocol and the producer about the high-water mark; true when one of them was called.
    fn update_pressure(
        &self,
        link: &Transport,
        below: &mut dyn Below,
        budget: &mut Budget,
    ) -> Result<bool> {
        link.clear(PRODUCER_CHANGED);
        let pending = link.0.out.borrow().pending();
        let high_water = link.0.origin.limits.output_high_water;
        if !link.has(FULL) && link.queued() > high_water && below.is_blocked() {
            link.set(FULL);
            below.update_reading(link);
            self.call(link, |protocol, transport| protocol.write_paused(transport))?;
            return Ok(true);
        }
        if link.has(FULL | WATCHED) && pending == 0 && below.is_drained() {
            link.clear(FULL | WATCHED);
            below.update_reading(link);
            if link.has(LAYER) {
                // There is room for what waits above.
                link.set(INNER);
            }
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
            return self.drive_producer(link, below, budget);
        }
        Ok(false)
    }

    /// Keeps a producer at the pace of the peer; true when it was asked for more.
    fn drive_producer(
        &self,
        link: &Transport,
        below: &mut dyn Below,
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
        let wants_more = pulled || link.has(PRODUCER_PAUSED);
        let has_room = link.0.out.borrow().pending() == 0 && !link.has(BLOCKED);
        if !wants_more || !has_room || !below.is_drained() || !budget.may_pull() {
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

impl Below for Bottom<'_> {
    fn send(&mut self, link: &Transport) -> Result {
        if !link.has(OUT) || link.has(BLOCKED) {
            return Ok(());
        }
        let mut out = link.0.out.borrow_mut();
        let before = out.unsent();
        let sent = if link.has(PASSING) {
            self.core.send_passing(self.conn, link, &mut out)
        } else {
            self.core.driver.borrow_mut().send(self.conn, &mut out)
        };
        sent.map_err(ConnectionLost)?;
        if out.unsent() < before {
            self.core.active(link);
        }
        if out.is_done() {
            link.clear(OUT);
            self.core.shared.recycle(out.take_emptied());
        } else {
            link.set(BLOCKED);
            // What waits above may be too much now.
            link.ask_above();
        }
        Ok(())
    }

    fn update_reading(&mut self, link: &Transport) {
        let wanted = !link.wants_no_data() && !link.has(READ_CLOSED);
        if wanted && !link.has(READING) {
            link.set(READING);
            self.core.driver.borrow_mut().start_reading(self.conn);
        } else if !wanted && link.has(READING) {
            link.clear(READING);
            self.core.driver.borrow_mut().stop_reading(self.conn);
        }
    }

    fn shutdown_write(&mut self) -> bool {
        self.core.driver.borrow_mut().shutdown_write(self.conn);
        true
    }

    /// It has just been tried.
    fn is_blocked(&self) -> bool {
        true
    }

    /// What the driver has taken counts as output that waits.
    fn is_drained(&mut self) -> bool {
        true
    }
}

/// What one connection may do before the others have their turn.
struct Budget {
    calls: usize,
    pulls: u32,
    asks: u32,
}

impl Budget {
    /// Times a pulled producer is asked at once.
    const PULLS: u32 = 16;
    /// Times a layer is asked at once to look at what lies above it.
    const ASKS: u32 = 8;

    /// The calls that are queued now.
    fn new(link: &Transport) -> Self {
        let calls = link
            .0
            .rare_if_any()
            .map_or(0, |rare| rare.calls.borrow().len());
        Self {
            calls,
            pulls: Self::PULLS,
            asks: Self::ASKS,
        }
    }

    fn may_ask_above(&mut self) -> bool {
        let may = self.asks > 0;
        self.asks = self.asks.saturating_sub(1);
        may
    }

    /// The requests that can still be answered now.
    fn requests(&self) -> u32 {
        match self.asks {
            0 => REQUESTS & !INNER,
            _ => REQUESTS,
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
        if link.has(INNER) {
            link.ask(INNER);
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
