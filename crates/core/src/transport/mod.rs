//! `Transport`: the handle through which a protocol, and anybody else, asks something of a connection.
//!
//! It is a mailbox: every method only appends or sets a flag, and the loop does what was asked after the running
//! callback. It never calls a protocol and never touches a driver's socket to send.

pub(crate) mod flags;
mod layers;
mod link;
mod passing;

pub(crate) use link::{COARSE_SHIFT, Call, Link, Origin, PortCounts, Role, Shared, Watcher};

use crate::{
    address::Address,
    driver::SocketOption,
    error::{ConnectionLost, ProducerRegistered, ReactorGone},
    failure::{Failure, Result},
    outgoing::{COPY_BELOW, Outgoing},
    producer::{Pace, Producer},
    reactor::Reactor,
};
use bytes::Bytes;
use flags::{
    ABORT, BUFFERS, CALLS, CLOSE, CORKED, DIRTY, FULL, HANDSHAKE, INDIRECT, INNER, LAYERED, LOST,
    NO_CORK, OUT, PAUSE_CHANGED, PAUSED, PRODUCER, PRODUCER_CHANGED, PULLED, READ_WHEN_FULL,
    RESUMED, RUNNING, SHUT, WATCHED, WRITE_ENDED,
};
use std::{fmt, io, rc::Rc, time::Duration};

/// So many bytes are worth a system call of their own.
const DIRECT_FROM: usize = 16_384;

/// A handle on one connection: eight bytes, cheap to clone, good to keep. After the connection has ended every
/// method does nothing.
#[derive(Clone)]
pub struct Transport(pub(crate) Rc<Link>);

/// What a connection has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStatistics {
    /// Bytes received.
    pub received: u64,
    /// Bytes that have left for the operating system.
    pub sent: u64,
    /// Bytes that still wait to leave.
    pub queued: usize,
}

impl Transport {
    /// Sends a copy of `data`, after everything written before. What one callback writes leaves together.
    #[inline]
    pub fn write(&self, data: &[u8]) {
        let link = &*self.0;
        let flags = link.flags.get();
        if flags & (RUNNING | NO_CORK) == RUNNING {
            link.written.set(link.written.get() + data.len() as u64);
            link.flags.set(flags | CORKED);
            if !link.origin.shared.cork.borrow_mut().extend(data) {
                self.check_cork();
            }
            return;
        }
        self.write_queued(data);
    }

    /// Sends `data` without copying it when it is large (at least [`COPY_BELOW`] bytes).
    pub fn write_bytes(&self, data: Bytes) {
        if data.len() < COPY_BELOW {
            return self.write(&data);
        }
        if let Some(mut out) = self.queue(data.len()) {
            out.push(data);
            drop(out);
            self.check_queue();
        }
    }

    /// Sends the pieces one after the other, as one.
    pub fn write_sequence<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            self.write(piece);
        }
    }

    /// Sends the pieces one after the other, as one. When they are many bytes (at least [`DIRECT_FROM`]) and nothing
    /// waits, as much as there is room for leaves at once and is never copied: for layers, whose output lies in buffers
    /// that they keep. Calls nobody, as all methods.
    pub(crate) fn write_pieces(&self, pieces: &[io::IoSlice<'_>]) {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let mut sent = self.send_directly(pieces, bytes);
        for piece in pieces {
            let gone = sent.min(piece.len());
            sent -= gone;
            if gone < piece.len() {
                self.write(&piece[gone..]);
            }
        }
    }

    /// What left at once.
    fn send_directly(&self, pieces: &[io::IoSlice<'_>], bytes: usize) -> usize {
        let flags = self.0.flags.get();
        if bytes < DIRECT_FROM || flags & (RUNNING | INDIRECT) != RUNNING {
            return 0;
        }
        match self.with_driver(|driver, token| driver.send_directly(token, pieces)) {
            None => 0,
            Some(Ok(sent)) => {
                self.0.written.set(self.0.written.get() + sent as u64);
                self.0.active.set(self.0.origin.shared.coarse.get());
                sent
            }
            Some(Err(error)) => {
                self.fail(ConnectionLost(error));
                0
            }
        }
    }

    /// Closes the connection once everything written has left and a registered producer is done. Reads no more.
    /// What is written after this and before that still goes out.
    pub fn lose_connection(&self) {
        if !self.has(CLOSE | LOST) {
            self.begin_closing();
            self.ask(CLOSE);
        }
    }

    /// Tells the peer that no more follows, once everything written has left. Reading goes on.
    pub fn lose_write_connection(&self) {
        if !self.has(SHUT | LOST) {
            self.ask(SHUT);
        }
    }

    /// Resets the connection: what waits is thrown away. `connection_lost` comes later, with
    /// [`ConnectionAborted`](crate::error::ConnectionAborted).
    pub fn abort_connection(&self) {
        self.end(None);
    }

    /// Ends the connection at once with this reason, as an error returned from a callback would.
    pub fn fail(&self, reason: impl Into<Failure>) {
        self.end(Some(reason.into()));
    }

    /// Delivers no more data until `resume_producing`.
    pub fn pause_producing(&self) {
        if !self.has(PAUSED | LOST) {
            self.set(PAUSED);
            self.ask(PAUSE_CHANGED);
        }
    }

    /// Delivers data again.
    pub fn resume_producing(&self) {
        if self.has(PAUSED) && !self.has(LOST) {
            self.clear(PAUSED);
            self.ask(PAUSE_CHANGED | RESUMED);
        }
    }

    /// Whether reading is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.has(PAUSED)
    }

    /// Whether closing was asked for, or is done: a framing delivers nothing more.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.has(CLOSE | ABORT | LOST)
    }

    /// Whether to keep reading from the peer although it does not read what is sent to it (see
    /// [`Limits::output_high_water`](crate::limits::Limits)). The default is no for accepted connections, which
    /// protects a server, and yes for outgoing ones: were it no for both ends, each could wait for the other.
    pub fn read_when_full(&self, yes: bool) {
        if yes {
            self.set(READ_WHEN_FULL);
        } else {
            self.clear(READ_WHEN_FULL);
        }
        self.ask(PAUSE_CHANGED);
    }

    /// From now on the protocol's [`buffer_received`](crate::Protocol::buffer_received) is called in place of its
    /// `data_received`: for `connection_made` of a protocol that keeps the bytes it gets.
    pub fn deliver_buffers(&self) {
        self.set(BUFFERS);
    }

    /// Bytes that may be written before the output that waits reaches the high-water mark (see
    /// [`Limits::output_high_water`](crate::limits::Limits)).
    #[must_use]
    pub fn room(&self) -> usize {
        let most = self.0.origin.limits.output_high_water;
        most.saturating_sub(self.queued())
    }

    /// Has `write_resumed` called, once, when all output has left, although there was never too much of it.
    pub fn watch_flush(&self) {
        if !self.has(LOST) {
            self.ask(WATCHED);
        }
    }

    /// Lets `producer` write at the pace of the peer, until `unregister_producer`. On a connection that has ended it
    /// is stopped at once.
    ///
    /// # Errors
    /// There is one already.
    pub fn register_producer(&self, mut producer: impl Producer, pace: Pace) -> Result {
        if self.has(LOST) {
            producer.stop_producing();
            return Ok(());
        }
        if self.has(PRODUCER) {
            return Err(ProducerRegistered.into());
        }
        self.set(PRODUCER);
        if pace == Pace::Pulled {
            self.set(PULLED);
        }
        self.0.rare().producer.replace(Some(Box::new(producer)));
        self.ask(PRODUCER_CHANGED);
        Ok(())
    }

    /// The producer has written everything.
    pub fn unregister_producer(&self) {
        if self.has(PRODUCER) {
            self.clear(PRODUCER | PULLED | flags::PRODUCER_PAUSED);
            // In a cell of its own while it runs; then whoever called it drops it.
            if let Ok(mut producer) = self.0.rare().producer.try_borrow_mut() {
                producer.take();
            }
            self.ask(PRODUCER_CHANGED);
        }
    }

    /// The first request must be complete within [`Limits::handshake`](crate::limits::Limits) from now.
    pub fn start_handshake(&self) {
        if let Some(bottom) = self.bottom() {
            bottom.begin();
            bottom.set(HANDSHAKE);
        }
    }

    /// The first request is complete: from now on only the idle deadline counts.
    pub fn handshake_done(&self) {
        if let Some(bottom) = self.bottom() {
            bottom.clear(HANDSHAKE);
            let now = bottom.0.origin.shared.coarse.get();
            bottom.0.active.set(now);
        }
    }

    /// Sets this connection's idle deadline; `None` means never.
    pub fn set_idle_timeout(&self, after: Option<Duration>) {
        if let Some(bottom) = self.bottom() {
            let after = after.unwrap_or(Duration::ZERO);
            bottom.0.rare().idle.set(Some(after));
        }
    }

    /// The other end's address; a layer below may know better than the system.
    #[must_use]
    pub fn peer(&self) -> Address {
        self.own_peer().unwrap_or_else(|| self.0.peer.address())
    }

    /// Our own end's address; unknown when the connection has ended. A layer below may know better than the system.
    #[must_use]
    pub fn host(&self) -> Address {
        if let Some(host) = self.own_host() {
            return host;
        }
        if let Some(below) = self.below() {
            return below.host();
        }
        self.with_driver(|driver, token| driver.local_address(token))
            .unwrap_or(Address::Unknown)
    }

    /// Small writes leave at once (the default) or wait to be sent together.
    ///
    /// # Errors
    /// The transport has no such option, or has ended.
    pub fn set_nodelay(&self, yes: bool) -> Result {
        self.set_option(SocketOption::NoDelay(yes))
    }

    /// The operating system probes a silent peer.
    ///
    /// # Errors
    /// The transport has no such option, or has ended.
    pub fn set_keepalive(&self, yes: bool) -> Result {
        self.set_option(SocketOption::KeepAlive(yes))
    }

    /// The reactor it runs on.
    ///
    /// # Errors
    /// The reactor has been dropped.
    pub fn reactor(&self) -> Result<Reactor> {
        let core = self.0.origin.shared.core.upgrade();
        Ok(Reactor(core.ok_or(ReactorGone)?))
    }

    /// What it has done so far. Above a layer these are the bytes that the protocol sees.
    #[must_use]
    pub fn statistics(&self) -> ConnectionStatistics {
        let queued = self.queued();
        ConnectionStatistics {
            received: self.0.received.get(),
            sent: self.0.written.get().saturating_sub(queued as u64),
            queued,
        }
    }

    /// Whether whoever reads for it is to read nothing now.
    pub(crate) fn wants_no_data(&self) -> bool {
        let full = self.has(FULL) && !self.has(READ_WHEN_FULL);
        full || self.has(PAUSED | CLOSE | ABORT | LOST)
    }

    /// Bytes that have been written and have not left, those that layers below have taken included.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.own_queued() + self.below().map_or(0, |below| below.queued())
    }

    /// Bytes that wait in its own queue.
    fn own_queued(&self) -> usize {
        let mut queued = self.0.out.try_borrow().map_or(0, |out| out.pending());
        if self.has(CORKED) {
            queued += self.0.origin.shared.cork.borrow().pending();
        }
        queued
    }

    /// Queues a call to the protocol, made right after the running callback.
    pub(crate) fn push_call(&self, call: Call) {
        self.0.rare().calls.borrow_mut().push_back(call);
        self.ask(CALLS);
    }

    #[inline]
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.0.flags.get() & flags != 0
    }

    #[inline]
    pub(crate) fn set(&self, flags: u32) {
        self.0.flags.set(self.0.flags.get() | flags);
    }

    #[inline]
    pub(crate) fn clear(&self, flags: u32) {
        self.0.flags.set(self.0.flags.get() & !flags);
    }

    /// Sets flags and makes sure that somebody looks at them.
    #[inline]
    pub(crate) fn ask(&self, flags: u32) {
        self.set(flags);
        if !self.has(RUNNING | DIRTY) {
            self.mark_dirty();
        }
    }

    #[cold]
    #[inline(never)]
    fn mark_dirty(&self) {
        self.set(DIRTY);
        if self.has(LAYERED) {
            if let Some(below) = self.below() {
                below.ask(INNER);
            }
            return;
        }
        let shared = &self.0.origin.shared;
        shared.dirty.borrow_mut().push(self.0.token);
        shared.mark_dirty();
    }

    /// The deadline of what begins now starts now.
    fn begin(&self) {
        self.0.since.set(self.0.origin.shared.coarse.get());
    }

    /// Writes to the connection's own queue.
    #[cold]
    #[inline(never)]
    fn write_queued(&self, data: &[u8]) {
        if let Some(mut out) = self.queue(data.len()) {
            out.extend(data);
            drop(out);
            self.check_queue();
        }
    }

    /// The connection's own queue, for `more` bytes; `None` when nothing can be written any more.
    fn queue(&self, more: usize) -> Option<std::cell::RefMut<'_, Outgoing>> {
        if self.has(WRITE_ENDED) {
            return None;
        }
        if self.has(CORKED) {
            self.0.origin.shared.uncork(&self.0);
        }
        self.0.written.set(self.0.written.get() + more as u64);
        self.ask(OUT);
        Some(self.0.out.borrow_mut())
    }

    /// The cork had to grow: past its size it becomes the connection's own queue, which may be too long.
    #[cold]
    #[inline(never)]
    fn check_cork(&self) {
        if self.0.origin.shared.cork.borrow().capacity() > Shared::CORK_BYTES {
            self.0.origin.shared.uncork(&self.0);
            self.check_queue();
        }
    }

    fn check_queue(&self) {
        if self.queued() > self.0.origin.limits.output_hard {
            self.0.out.borrow_mut().clear();
            self.fail(crate::error::OutputOverflow);
        }
    }

    pub(crate) fn set_option(&self, option: SocketOption) -> Result {
        self.with_driver(|driver, token| driver.set_option(token, option))
            .unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))?;
        Ok(())
    }

    fn with_driver<R>(
        &self,
        f: impl FnOnce(&mut dyn crate::driver::Driver, crate::driver::Token) -> R,
    ) -> Option<R> {
        let bottom = self.bottom()?;
        if self.has(LOST) || bottom.has(LOST) {
            return None;
        }
        let core = self.0.origin.shared.core.upgrade()?;
        let mut driver = core.driver.borrow_mut();
        Some(f(&mut **driver, self.0.token))
    }
}

/// `write!(&*transport, …)` and everything else that writes to `io::Write`; it never fails.
impl io::Write for &Transport {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Transport::write(self, data);
        Ok(data.len())
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.write_pieces(pieces);
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({})", self.peer())
    }
}
