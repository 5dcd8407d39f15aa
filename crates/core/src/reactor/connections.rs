//! The life of a connection: callbacks in, requests out, and its one end. The only way into a protocol.

use super::{Core, Entry};
use crate::{
    driver::{Report, Token},
    error::{ConnectionAborted, ConnectionDone, ConnectionLost},
    failure::{Failure, Result},
    producer::Producer,
    protocol::Protocol,
    transport::{
        Call, Role, Transport,
        flags::{
            ABORT, BLOCKED, CALLS, CLOSE, CORKED, DIRTY, FULL, LOST, OUT, PAUSE_CHANGED, PAUSED,
            PRODUCER, PRODUCER_CHANGED, PRODUCER_PAUSED, PULLED, READ_CLOSED, READ_WHEN_FULL,
            READING, REQUESTS, RESUMED, RUNNING, SERVER, SHUT, UNUSUAL, WRITE_SHUT,
        },
    },
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

/// A longer list of connections to flush is not kept.
const DIRTY_KEPT: usize = 4096;

impl Core {
    /// Bytes for a connection, by the way that few take.
    #[cold]
    #[inline(never)]
    pub(super) fn unusual_data(self: &Rc<Self>, conn: Token, data: &[u8]) {
        self.data(conn, data);
    }

    /// Bytes for a connection.
    #[inline(always)]
    pub(super) fn data(self: &Rc<Self>, conn: Token, data: &[u8]) {
        let Some(link) = self.link(conn) else { return };
        link.0
            .received
            .set(link.0.received.get() + data.len() as u64);
        self.active(&link);
        self.enter(conn, &link, |protocol, transport| {
            protocol.data_received(transport, data)
        });
    }

    /// Everything but bytes.
    #[cold]
    #[inline(never)]
    pub(super) fn report(self: &Rc<Self>, report: Report) {
        match report {
            Report::Accepted { port, conn, peer } => self.accepted(port, conn, peer),
            Report::AcceptFailed { port, error } => self.accept_failed(port, &error),
            Report::Connected { conn } => self.connected(conn),
            Report::Data { .. } => unreachable!("`deliver` keeps data for itself"),
            Report::Sent {
                conn,
                bytes,
                emptied,
            } => self.sent(conn, bytes, emptied),
            Report::ReadClosed { conn } => {
                let Some(link) = self.link(conn) else { return };
                link.set(READ_CLOSED);
                self.active(&link);
                self.enter(conn, &link, |protocol, transport| {
                    protocol.read_closed(transport)
                });
            }
            Report::Closed { token, error } => match self.take(token) {
                Some(Entry::Conn(_, link)) => {
                    self.ended(&link, ConnectionLost(error).into());
                }
                Some(Entry::Connecting(_, attempt)) => {
                    attempt.failed(crate::error::ConnectError(error).into());
                }
                Some(Entry::Port(..) | Entry::Free) | None => {}
            },
        }
    }

    /// A new connection that has its protocol.
    pub(super) fn begin(self: &Rc<Self>, conn: Token, link: &Transport) {
        self.put(conn, Entry::Conn(conn.generation, link.clone()));
        self.counters
            .connections
            .set(self.counters.connections.get() + 1);
        if link.has(SERVER) {
            self.counters
                .accepted_open
                .set(self.counters.accepted_open.get() + 1);
        }
        self.watch_deadlines(&link.0.origin.limits);
        link.set(READING);
        self.driver.borrow_mut().start_reading(conn);
        self.enter(conn, link, |protocol, transport| {
            protocol.connection_made(transport)
        });
    }

    /// The one way into a protocol. Neither table nor driver is borrowed here.
    #[inline(always)]
    fn enter(
        self: &Rc<Self>,
        conn: Token,
        link: &Transport,
        callback: impl FnOnce(&mut dyn Protocol, &Transport) -> Result,
    ) {
        self.current.set(conn);
        link.set(RUNNING);
        let result = match &mut *link.0.protocol.borrow_mut() {
            Some(protocol) => callback(&mut **protocol, link),
            None => return,
        };
        self.check_stall(link);
        match result {
            Ok(()) => self.after_callback(conn, link),
            Err(failure) => self.fail(conn, link, failure),
        }
    }

    /// Sends what a callback wrote. The usual case, output that fits and nothing else asked, is done here.
    #[inline(always)]
    fn after_callback(self: &Rc<Self>, conn: Token, link: &Transport) {
        let flags = link.0.flags.get();
        if flags & UNUSUAL == 0 {
            if flags & CORKED == 0 {
                link.0.flags.set(flags & !RUNNING);
                return;
            }
            let mut cork = self.shared.cork.borrow_mut();
            let sent = self.driver.borrow_mut().try_send(conn, &mut cork);
            if sent.is_ok() && cork.is_done() {
                link.0.flags.set(flags & !(CORKED | RUNNING));
                return;
            }
            drop(cork);
            self.shared.uncork(&link.0);
            if let Err(error) = sent {
                return self.fail(conn, link, ConnectionLost(error).into());
            }
        }
        self.settle(conn, link);
    }

    /// Does what was asked of a connection, until nothing is left to do now.
    #[cold]
    #[inline(never)]
    fn settle(self: &Rc<Self>, conn: Token, link: &Transport) {
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
        let sent = self.driver.borrow_mut().send(conn, &mut out);
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

    /// Output left the driver, or there is room again.
    fn sent(self: &Rc<Self>, conn: Token, bytes: usize, emptied: Option<Vec<u8>>) {
        if let Some(buffer) = emptied {
            self.shared.recycle(buffer);
        }
        let Some(link) = self.link(conn) else { return };
        link.0.out.borrow_mut().taken_sent(bytes);
        link.clear(BLOCKED);
        self.active(&link);
        self.settle(conn, &link);
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
        if link.has(FULL) && pending == 0 {
            link.clear(FULL);
            self.update_reading(conn, link);
            self.call(link, |protocol, transport| {
                protocol.write_resumed(transport)
            })?;
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
        self.mark.set(self.stopwatch.ticks());
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

    /// Ends a connection because of a failure of its protocol or of the system: it is reset.
    #[cold]
    #[inline(never)]
    pub(super) fn fail(self: &Rc<Self>, conn: Token, link: &Transport, failure: Failure) {
        let quiet = failure.check::<ConnectionAborted>().is_some()
            || failure.check::<ConnectionLost>().is_some()
            || failure.check::<crate::error::TimedOut>().is_some();
        if !quiet {
            self.counters.failures.set(self.counters.failures.get() + 1);
            let name = link.0.protocol.try_borrow().ok();
            let name = name.as_ref().and_then(|protocol| protocol.as_ref());
            let name = name.map_or("protocol", |protocol| protocol.name());
            let peer = link.peer();
            tracing::error!(target: "tress", "{name} with {peer} failed and is closed: {failure:?}");
        }
        if self.take(conn).is_some() {
            self.driver.borrow_mut().close(conn, true);
            self.ended(link, failure);
        }
    }

    /// Ends a connection cleanly.
    fn end(self: &Rc<Self>, conn: Token, link: &Transport, reason: Failure) {
        if self.take(conn).is_some() {
            self.driver.borrow_mut().close(conn, false);
            self.ended(link, reason);
        }
    }

    /// Tells everybody who waits that the connection has ended. Its token is free already.
    fn ended(self: &Rc<Self>, link: &Transport, reason: Failure) {
        link.set(LOST | RUNNING);
        self.counters
            .connections
            .set(self.counters.connections.get() - 1);
        if link.has(SERVER) {
            self.counters
                .accepted_open
                .set(self.counters.accepted_open.get() - 1);
            self.peer_left(link);
        }
        if link.has(CORKED) {
            self.shared.uncork(&link.0);
        }
        link.0.out.borrow_mut().clear();
        if let Some(rare) = link.0.rare_if_any() {
            let producer = rare.producer.borrow_mut().take();
            if let Some(mut producer) = producer {
                self.catch("a producer", || producer.stop_producing());
            }
        }
        let protocol = link.0.protocol.borrow_mut().take();
        if let Some(mut protocol) = protocol {
            let name = protocol.name();
            let reason = reason.clone();
            self.catch(name, || protocol.connection_lost(reason));
            self.catch(name, || drop(protocol));
        }
        if let Some(rare) = link.0.rare_if_any() {
            while let Some(call) = { rare.calls.borrow_mut().pop_front() } {
                let reason = reason.clone();
                self.catch("a queued call", || call(Err(reason)));
            }
        }
        if let Role::Client(Some(watcher)) = &link.0.origin.role
            && let Some(core) = self.shared.core.upgrade()
        {
            self.catch("a client factory", || {
                watcher(&super::Reactor(core), reason)
            });
        }
        link.clear(RUNNING);
    }

    /// Calls user code outside any living connection: a panic is logged and counted.
    pub(super) fn catch(&self, what: &str, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            self.failed(what, &Failure::from_panic(&*payload));
        }
        self.check_stall_named(what);
    }

    /// Counts and logs a failure of user code that costs no connection.
    #[cold]
    pub(super) fn failed(&self, what: &str, failure: &Failure) {
        self.counters.failures.set(self.counters.failures.get() + 1);
        tracing::error!(target: "tress", "{what} failed: {failure:?}");
    }

    /// The idle deadline starts again.
    #[inline]
    fn active(&self, link: &Transport) {
        link.0.active.set(self.shared.coarse.get());
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
