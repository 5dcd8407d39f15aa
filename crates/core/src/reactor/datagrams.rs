//! Datagram ports: opening them, the only way into their protocols, sending what was written, and their one end. Parses
//! no endpoint.
//!
//! The datagrams that came together are delivered one after the other, and what is written meanwhile leaves together,
//! in few system calls. A failure costs one datagram and never the port.

use super::{Core, Entry, Reactor};
use crate::{
    address::Address,
    datagram::{DatagramProtocol, DatagramTransport, Datagrams, Link, State},
    driver::Token,
    endpoint::Side,
    endpoint_datagram::{self, DatagramTarget},
    error::{CannotListen, ConnectError, NotRunning},
    failure::{Failure, Result},
    time::Time,
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

/// Answers to one batch wait for each other until there are so many.
const SENT_TOGETHER: usize = 32;

/// What a reactor knows of its datagram ports, beside their entries in the table.
#[derive(Default)]
pub(super) struct DatagramPorts {
    /// Those of which something was asked while their protocol did not run.
    listed: RefCell<VecDeque<DatagramTransport>>,
    /// Datagrams that were dropped, either way.
    pub(super) dropped: Cell<u64>,
    receive_warned: Cell<Option<Time>>,
    send_warned: Cell<Option<Time>>,
    failure_warned: Cell<Option<Time>>,
}

impl Reactor {
    /// Opens a datagram port (`udp:9999`, `udp:9999:interface=127.0.0.1`, `unixgram:/run/x.socket`): this protocol gets
    /// what arrives there. Calls `start_protocol` before it returns. The port is open until it is stopped, whoever
    /// drops the handle.
    ///
    /// # Errors
    /// The endpoint is not one, nothing can listen there ([`CannotListen`]), or `start_protocol` failed.
    pub fn listen_datagrams(
        &self,
        at: &str,
        protocol: impl DatagramProtocol,
    ) -> Result<DatagramTransport> {
        let target = endpoint_datagram::parse(at, Side::Server)?;
        self.open_datagrams(&target, Box::new(protocol))
    }

    /// Opens a datagram port that is connected (`udp:127.0.0.1:9999`, `unixgram:/run/x.socket`): it sends to one address,
    /// hears only from there, and is told when nobody has it. Names are not looked up.
    ///
    /// # Errors
    /// The endpoint is not one, nobody can be reached there ([`ConnectError`]), or `start_protocol` failed.
    pub fn connect_datagrams(
        &self,
        to: &str,
        protocol: impl DatagramProtocol,
    ) -> Result<DatagramTransport> {
        let target = endpoint_datagram::parse(to, Side::Client)?;
        self.open_datagrams(&target, Box::new(protocol))
    }

    /// Checks the endpoint string of a datagram port without opening anything.
    ///
    /// # Errors
    /// It is not one.
    pub fn check_datagram_endpoint(&self, at: &str, side: Side) -> Result {
        endpoint_datagram::parse(at, side).map(drop)
    }

    fn open_datagrams(
        &self,
        target: &DatagramTarget,
        protocol: Box<dyn DatagramProtocol>,
    ) -> Result<DatagramTransport> {
        let core = &self.0;
        if core.is_closing() {
            return Err(NotRunning.into());
        }
        let mut options = target.options.clone();
        options.longest = self.limits().datagram;
        let bound = core.driver.borrow_mut().bind(&target.at, &options);
        let bound = bound.map_err(|error| CannotListen {
            at: target.at.to_string(),
            error,
        })?;
        self.begin_datagrams(bound, target.to.as_ref(), protocol)
    }

    /// A driver's datagram port gets its protocol, connected to this peer if there is one.
    pub(super) fn begin_datagrams(
        &self,
        bound: (Token, Address),
        to: Option<&Address>,
        protocol: Box<dyn DatagramProtocol>,
    ) -> Result<DatagramTransport> {
        let core = &self.0;
        let token = bound.0;
        let link = Link::new(Rc::downgrade(core), bound, self.limits(), protocol);
        if let Some(to) = to {
            let connected = core.driver.borrow_mut().connect_datagrams(token, to);
            match connected {
                Ok(peer) => link.peer.replace(Some(peer)),
                Err(error) => {
                    core.driver.borrow_mut().close(token, false);
                    return Err(ConnectError(error).into());
                }
            };
        }
        let port = DatagramTransport(Rc::new(link));
        core.put(token, Entry::Datagrams(token.generation, port.clone()));
        match call(&port, |protocol, transport| {
            protocol.start_protocol(transport)
        }) {
            Ok(()) => core.settle_datagrams(&port),
            Err(failure) => {
                core.take(token);
                core.driver.borrow_mut().close(token, false);
                forget(&port);
                return Err(failure);
            }
        }
        Ok(port)
    }
}

impl Core {
    /// Something was asked of this port from outside.
    pub(crate) fn list_datagrams(&self, link: &Rc<Link>) {
        link.is_listed.set(true);
        let mut listed = self.datagrams.listed.borrow_mut();
        listed.push_back(DatagramTransport(Rc::clone(link)));
        self.shared.mark_dirty();
    }

    /// Looks at those of which something was asked so far.
    pub(super) fn flush_datagrams(self: &Rc<Self>) {
        let count = self.datagrams.listed.borrow().len();
        if count > 0 {
            self.pace.begin_callback();
        }
        for _ in 0..count {
            let first = self.datagrams.listed.borrow_mut().pop_front();
            let Some(port) = first else { return };
            port.0.is_listed.set(false);
            self.settle_datagrams(&port);
        }
    }

    /// Datagrams for a port.
    #[inline(never)]
    pub(super) fn datagrams_arrived(self: &Rc<Self>, port: Token, batch: &Datagrams) {
        let Some(port) = self.datagram_port(port) else {
            return;
        };
        if batch.too_long > 0 {
            self.too_long(&port, batch.too_long);
        }
        let mut index = 0;
        while let Some((from, data)) = batch.get(index)
            && port.is_listening()
        {
            index += 1;
            if !port.0.hears(from) {
                self.count_dropped(1);
                port.0.count(|counts| counts.receive_dropped += 1);
                continue;
            }
            port.0.count(|counts| counts.received += 1);
            self.enter_datagrams(&port, from, |protocol, transport| {
                protocol.datagram_received(transport, data, from)
            });
            let queue = port.0.queue.borrow();
            let many =
                queue.len() >= SENT_TOGETHER || queue.pending() > port.0.limits.datagram_output / 2;
            drop(queue);
            if many {
                self.send_datagrams(&port);
            }
        }
        self.settle_datagrams(&port);
    }

    /// There is room again for what waits to be sent.
    #[cold]
    pub(super) fn datagram_room(self: &Rc<Self>, port: Token) {
        if let Some(port) = self.datagram_port(port) {
            port.0.is_blocked.set(false);
            self.settle_datagrams(&port);
        }
    }

    #[cold]
    pub(super) fn datagram_error(self: &Rc<Self>, port: Token, error: io::Error) {
        let Some(port) = self.datagram_port(port) else {
            return;
        };
        if error.kind() == io::ErrorKind::ConnectionRefused && port.0.peer.borrow().is_some() {
            port.0.is_refused.set(true);
            return self.settle_datagrams(&port);
        }
        if self.may_warn(&self.datagrams.receive_warned) {
            tracing::warn!(target: "tress", "{port:?} cannot receive: {error}");
        }
    }

    /// Ends a port that has been taken out of the table.
    pub(super) fn close_datagrams(self: &Rc<Self>, port: &DatagramTransport) {
        port.0.state.set(State::Stopping);
        self.send_datagrams(port);
        self.driver.borrow_mut().close(port.0.token, false);
        self.datagrams_ended(port);
    }

    /// Tells everybody who waits that the port is closed.
    pub(super) fn datagrams_ended(self: &Rc<Self>, port: &DatagramTransport) {
        let link = &port.0;
        link.state.set(State::Stopped);
        let unsent = std::mem::take(&mut *link.queue.borrow_mut()).len();
        self.count_unsent(port, unsent as u64);
        let protocol = link.protocol.borrow_mut().take();
        if let Some(mut protocol) = protocol {
            self.catch(link.name, || protocol.stop_protocol());
            self.catch(link.name, || drop(protocol));
        }
        for waiting in link.waiting.take() {
            waiting.resolve(());
        }
    }

    fn datagram_port(&self, token: Token) -> Option<DatagramTransport> {
        match self.table.borrow().get(token.slot as usize) {
            Some(Entry::Datagrams(generation, port)) if *generation == token.generation => {
                Some(port.clone())
            }
            _ => None,
        }
    }

    /// Does what was asked of a port whose protocol does not run.
    fn settle_datagrams(self: &Rc<Self>, port: &DatagramTransport) {
        let link = &port.0;
        self.send_datagrams(port);
        if link.is_refused.take() && link.state.get() == State::Open {
            let peer = port.peer().unwrap_or(Address::Unknown);
            self.enter_datagrams(port, &peer, |protocol, transport| {
                protocol.connection_refused(transport)
            });
            self.send_datagrams(port);
        }
        if link.state.get() == State::Stopping && self.take(link.token).is_some() {
            self.close_datagrams(port);
        } else if link.is_refused.get() && !link.is_listed.get() {
            // In the next turn, or the two could go on for ever.
            self.list_datagrams(link);
        }
    }

    /// Calls the protocol: what goes wrong is logged and counted.
    fn enter_datagrams(
        &self,
        port: &DatagramTransport,
        from: &Address,
        callback: impl FnOnce(&mut dyn DatagramProtocol, &DatagramTransport) -> Result,
    ) {
        let result = call(port, callback);
        self.check_stall_named(&port.0.name);
        if let Err(failure) = result {
            self.datagram_failed(port, from, &failure);
        }
    }

    /// Hands what waits to the driver. What it cannot send, whatever the room, is dropped.
    fn send_datagrams(&self, port: &DatagramTransport) {
        let link = &port.0;
        let mut asked_again = false;
        while !link.is_blocked.get() {
            let mut queue = link.queue.borrow_mut();
            let before = queue.len();
            if before == 0 {
                return;
            }
            let result = self
                .driver
                .borrow_mut()
                .send_datagrams(link.token, &mut queue);
            let sent = before - queue.len();
            link.count(|counts| counts.sent += sent as u64);
            let Err(error) = result else {
                link.is_blocked.set(!queue.is_empty());
                return;
            };
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            if refused && link.peer.borrow().is_some() {
                link.is_refused.set(true);
                // Over IP that is the answer to one sent before, and this one was not tried.
                if link.is_ip() && (sent > 0 || !asked_again) {
                    asked_again = true;
                    continue;
                }
            }
            asked_again = false;
            let to = queue.iter().next().and_then(|(to, _)| to.cloned());
            queue.consume(1);
            drop(queue);
            self.not_sent(port, to, &error);
        }
    }

    #[cold]
    fn not_sent(&self, port: &DatagramTransport, to: Option<Address>, error: &io::Error) {
        self.count_unsent(port, 1);
        if self.may_warn(&self.datagrams.send_warned) {
            let to = to.or_else(|| port.peer()).unwrap_or(Address::Unknown);
            let dropped = self.datagrams.dropped.get();
            tracing::warn!(target: "tress", "a datagram to {to} was not sent: {error} ({dropped} dropped so far)");
        }
    }

    #[cold]
    fn too_long(&self, port: &DatagramTransport, count: u64) {
        self.count_dropped(count);
        port.0.count(|counts| counts.receive_dropped += count);
        if self.may_warn(&self.datagrams.receive_warned) {
            let limit = port.0.limits.datagram;
            let dropped = self.datagrams.dropped.get();
            tracing::warn!(target: "tress", "{port:?} dropped a datagram that is longer than the limit \"datagram\", {limit} bytes ({dropped} dropped so far)");
        }
    }

    #[cold]
    fn datagram_failed(&self, port: &DatagramTransport, from: &Address, failure: &Failure) {
        port.0.count(|counts| counts.failures += 1);
        self.counters.failures.set(self.counters.failures.get() + 1);
        if self.may_warn(&self.datagrams.failure_warned) {
            let name = port.0.name;
            let total = port.0.counts.get().failures;
            tracing::error!(target: "tress", "{name} failed with a datagram of {from} and goes on: {failure:?} ({total} failures so far)");
        }
    }

    fn count_unsent(&self, port: &DatagramTransport, count: u64) {
        self.count_dropped(count);
        port.0.count(|counts| counts.send_dropped += count);
    }

    pub(crate) fn count_dropped(&self, count: u64) {
        let dropped = &self.datagrams.dropped;
        dropped.set(dropped.get() + count);
    }
}

/// Calls the protocol, unless it has ended. A panic is a failure like any other.
fn call(
    port: &DatagramTransport,
    callback: impl FnOnce(&mut dyn DatagramProtocol, &DatagramTransport) -> Result,
) -> Result {
    match &mut *port.0.protocol.borrow_mut() {
        Some(protocol) => catch_unwind(AssertUnwindSafe(|| callback(&mut **protocol, port)))
            .unwrap_or_else(|payload| Err(Failure::from_panic(&*payload))),
        None => Ok(()),
    }
}

/// A port ends without being told: its protocol never started, or the reactor is dropped.
pub(super) fn forget(port: &DatagramTransport) {
    port.0.state.set(State::Stopped);
    let protocol = port.0.protocol.borrow_mut().take();
    if catch_unwind(AssertUnwindSafe(|| drop(protocol))).is_err() {
        tracing::error!(target: "tress", "a protocol panicked while it was dropped");
    }
    drop(port.0.waiting.take());
}
