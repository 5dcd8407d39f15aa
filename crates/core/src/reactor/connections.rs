//! The life of a connection: how it begins, the only way into its protocol, and its one end. What its callbacks ask
//! for is done in `settle`.

use super::{Core, Entry};
use crate::{
    driver::{Lease, Report, Token},
    error::{ConnectionAborted, ConnectionLost, TimedOut},
    failure::{Failure, Result},
    protocol::Protocol,
    received::Received,
    transport::{
        Role, Transport,
        flags::{
            BLOCKED, BUFFERS, CORKED, LAYER, LOST, PUSHED, READ_CLOSED, READING, RUNNING, SERVER,
            UNUSUAL,
        },
    },
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

impl Core {
    /// Bytes for a connection, by the way that few take.
    #[cold]
    #[inline(never)]
    pub(super) fn unusual_data(self: &Rc<Self>, conn: Token, lease: &mut Lease) {
        if lease.descriptors.is_empty() || self.descriptors_arrived(conn, lease) {
            self.data(conn, lease);
        }
    }

    /// Bytes for a connection.
    #[inline(always)]
    pub(super) fn data(self: &Rc<Self>, conn: Token, lease: &mut Lease) {
        let data = lease.bytes();
        let Some(link) = self.link(conn) else { return };
        if link.has(BUFFERS | PUSHED) {
            return self.data_for_few(conn, lease);
        }
        link.0
            .received
            .set(link.0.received.get() + data.len() as u64);
        self.active(&link);
        self.enter(conn, &link, |protocol, transport| {
            protocol.data_received(transport, data)
        });
    }

    /// The same for a protocol that may take the buffer, and where a layer was pushed since.
    #[cold]
    #[inline(never)]
    fn data_for_few(self: &Rc<Self>, conn: Token, lease: &mut Lease) {
        let Some(link) = self.lowest_link(conn) else {
            return;
        };
        let received = &link.0.received;
        received.set(received.get() + lease.bytes().len() as u64);
        self.active(&link);
        if link.has(BUFFERS) {
            self.enter(conn, &link, |protocol, transport| {
                protocol.buffer_received(transport, Received::new(lease))
            });
        } else {
            self.enter(conn, &link, |protocol, transport| {
                protocol.data_received(transport, lease.bytes())
            });
        }
    }

    /// The link that a report is for: a layer that was pushed from outside is put there first.
    pub(super) fn lowest_link(self: &Rc<Self>, conn: Token) -> Option<Transport> {
        let link = self.link(conn)?;
        if !link.has(PUSHED) {
            return Some(link);
        }
        self.settle(conn, &link);
        self.link(conn)
    }

    /// Everything but bytes.
    #[cold]
    #[inline(never)]
    pub(super) fn report(self: &Rc<Self>, report: Report) {
        match report {
            Report::Accepted { port, conn, peer } => self.accepted(port, conn, peer),
            Report::AcceptFailed { port, error } => self.accept_failed(port, &error),
            Report::Connected { conn } => self.connected(conn),
            Report::Data { .. } | Report::Datagrams { .. } => {
                unreachable!("`deliver` keeps data for itself")
            }
            Report::DatagramError { port, error } => self.datagram_error(port, error),
            Report::DatagramRoom { port } => self.datagram_room(port),
            Report::ChildExited { child, status } => self.child_exited(child, status),
            Report::RunJob { job } => job.run(),
            Report::Sent {
                conn,
                bytes,
                emptied,
            } => self.sent(conn, bytes, emptied),
            Report::ReadClosed { conn } => {
                let Some(link) = self.lowest_link(conn) else {
                    return;
                };
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
                    attempt.failed(self, crate::error::ConnectError(error).into());
                }
                Some(Entry::Datagrams(_, port)) => self.datagrams_ended(&port),
                Some(Entry::Port(..) | Entry::Child(..) | Entry::Free) | None => {}
            },
        }
    }

    /// A new connection that has its protocol.
    pub(super) fn begin(self: &Rc<Self>, conn: Token, link: &Transport) {
        self.enlist(conn, link);
        self.start(conn, link);
    }

    /// Gives a connection its place in the table.
    pub(super) fn enlist(&self, conn: Token, link: &Transport) {
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
    }

    /// Calls its protocol for the first time.
    pub(super) fn start(self: &Rc<Self>, conn: Token, link: &Transport) {
        link.set(READING);
        self.driver.borrow_mut().start_reading(conn);
        self.enter(conn, link, |protocol, transport| {
            protocol.connection_made(transport)
        });
    }

    /// The one way into a protocol. Neither table nor driver is borrowed here.
    #[inline(always)]
    pub(super) fn enter(
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

    /// Output left the driver, or there is room again.
    fn sent(self: &Rc<Self>, conn: Token, bytes: usize, emptied: Option<Vec<u8>>) {
        if let Some(buffer) = emptied {
            self.shared.recycle(buffer);
        }
        let Some(link) = self.lowest_link(conn) else {
            return;
        };
        link.0.out.borrow_mut().taken_sent(bytes);
        link.clear(BLOCKED);
        self.active(&link);
        self.settle(conn, &link);
    }

    /// Ends a connection because of a failure of its protocol or of the system: it is reset.
    #[cold]
    #[inline(never)]
    pub(super) fn fail(self: &Rc<Self>, conn: Token, link: &Transport, failure: Failure) {
        let quiet = failure.check::<ConnectionAborted>().is_some()
            || failure.check::<ConnectionLost>().is_some()
            || failure.check::<TimedOut>().is_some();
        if !quiet {
            self.counters.failures.set(self.counters.failures.get() + 1);
            let culprit = link.culprit();
            let name = culprit.0.protocol.try_borrow().ok();
            let name = name.as_ref().and_then(|protocol| protocol.as_ref());
            let name = name.map_or("protocol", |protocol| protocol.name());
            let peer = culprit.peer();
            tracing::error!(target: "tress", "{name} with {peer} failed and is closed: {failure:?}");
        }
        if self.take(conn).is_some() {
            self.driver.borrow_mut().close(conn, true);
            self.ended(link, failure);
        }
    }

    /// Ends a connection cleanly.
    pub(super) fn end(self: &Rc<Self>, conn: Token, link: &Transport, reason: Failure) {
        if self.take(conn).is_some() {
            self.driver.borrow_mut().close(conn, false);
            self.ended(link, reason);
        }
    }

    /// Tells everybody who waits that the connection has ended. Its token is free already.
    fn ended(self: &Rc<Self>, link: &Transport, reason: Failure) {
        self.counters
            .connections
            .set(self.counters.connections.get() - 1);
        if link.has(SERVER) {
            self.counters
                .accepted_open
                .set(self.counters.accepted_open.get() - 1);
            self.peer_left(link);
            self.drained();
        }
        if let Some(port) = &link.0.origin.port {
            port.ended(link);
        }
        self.close_passing(link);
        lose(link, &reason);
    }

    /// Calls user code outside any living connection: a panic is logged and counted.
    pub(crate) fn catch(&self, what: &str, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            self.failed(what, &Failure::from_panic(&*payload));
        }
        self.check_stall_named(&what);
    }

    /// Counts and logs a failure of user code that costs no connection.
    #[cold]
    pub(crate) fn failed(&self, what: &str, failure: &Failure) {
        self.counters.failures.set(self.counters.failures.get() + 1);
        tracing::error!(target: "tress", "{what} failed: {failure:?}");
    }

    /// The idle deadline starts again.
    #[inline]
    pub(super) fn active(&self, link: &Transport) {
        link.0.active.set(self.shared.coarse.get());
    }
}

/// Tells everybody who waits for this link that the connection has ended. What lies above a layer, the layer tells.
pub(crate) fn lose(link: &Transport, reason: &Failure) {
    let core = link.0.origin.shared.core.upgrade();
    link.set(LOST | RUNNING);
    if link.has(CORKED) {
        link.0.origin.shared.uncork(&link.0);
    }
    link.0.out.borrow_mut().clear();
    let rare = link.0.rare_if_any();
    let producer = rare.and_then(|rare| rare.producer.borrow_mut().take());
    if let Some(mut producer) = producer {
        catch(core.as_deref(), "a producer", || producer.stop_producing());
    }
    if let (Some(rare), true) = (rare, link.has(LAYER)) {
        // For a layer that forgets to pass it on.
        rare.reason.set(Some(reason.clone()));
    }
    let protocol = link.0.protocol.borrow_mut().take();
    let was_built = protocol.is_some();
    if let Some(mut protocol) = protocol {
        let name = protocol.name();
        catch(core.as_deref(), name, || {
            protocol.connection_lost(reason.clone());
        });
        catch(core.as_deref(), name, || drop(protocol));
    }
    catch(core.as_deref(), "a layer", || drop(link.take_pushed()));
    fail_calls(link, reason);
    if let (Role::Client(Some(watcher)), Some(core)) = (&link.0.origin.role, core)
        && was_built
        && !link.has(LAYER)
    {
        let reactor = super::Reactor(Rc::clone(&core));
        core.catch("a client factory", || watcher(&reactor, reason.clone()));
    }
    link.clear(RUNNING);
}

/// Nobody is there to be called.
pub(crate) fn fail_calls(link: &Transport, reason: &Failure) {
    let core = link.0.origin.shared.core.upgrade();
    let rare = link.0.rare_if_any();
    while let Some(call) = rare.and_then(|rare| rare.calls.borrow_mut().pop_front()) {
        catch(core.as_deref(), "a queued call", || {
            call(Err(reason.clone()));
        });
    }
}

/// Calls user code of a connection that has ended, perhaps together with its reactor.
fn catch(core: Option<&Core>, what: &str, f: impl FnOnce()) {
    match core {
        Some(core) => core.catch(what, f),
        None => {
            if catch_unwind(AssertUnwindSafe(f)).is_err() {
                tracing::error!(target: "tress", "{what} panicked after the end of its reactor");
            }
        }
    }
}
