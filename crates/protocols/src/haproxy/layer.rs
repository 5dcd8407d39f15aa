//! The layer: reads the header of a connection, then passes everything through. Parses nothing itself.

use super::{
    header::{BadHeader, HEADER_BYTES_MAX, Proxied, read_header},
    networks::Networks,
};
use std::{cell::Cell, mem, rc::Rc, time::Duration};
use tress_core::{
    Address, Failure, Inner, Layer, Protocol, Reactor, Result, Time, Transport, layer::Next,
};

/// At most one refused connection is logged in this time; the others are counted.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// What the connections of one port have in common.
pub(super) struct Shared {
    trusted: Networks,
    /// When the last refusal was logged, and how many were not since.
    warned: Cell<Option<Time>>,
    unsaid: Cell<u64>,
}

impl Shared {
    pub(super) fn new(trusted: Networks) -> Rc<Self> {
        Rc::new(Self {
            trusted,
            warned: Cell::new(None),
            unsaid: Cell::new(0),
        })
    }

    fn refused(&self, reactor: &Reactor, peer: &Address, why: &str) {
        let now = reactor.now();
        let last = self.warned.get();
        if last.is_some_and(|last| now.since(last) < WARNING_INTERVAL) {
            return self.unsaid.set(self.unsaid.get() + 1);
        }
        self.warned.set(Some(now));
        let unsaid = match self.unsaid.take() {
            0 => String::new(),
            more => format!(" ({more} more since the last such line)"),
        };
        tracing::warn!(target: "tress", "closed the connection of {peer}: {why}{unsaid}");
    }
}

/// Below each connection of the port.
pub(super) struct HeaderLayer(pub(super) Rc<Shared>);

impl Layer for HeaderLayer {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        Box::new(HeaderProtocol {
            shared: self.0,
            inner,
            state: State::Reading(Vec::new()),
        })
    }
}

struct HeaderProtocol {
    shared: Rc<Shared>,
    inner: Inner,
    state: State,
}

enum State {
    /// What has come of the header; empty while it has not begun.
    Reading(Vec<u8>),
    /// The header was read, and this came with it, but the protocol above wants nothing now: nothing more is read either.
    Holding(Vec<u8>),
    /// Everything passes through.
    Open,
    /// It is being closed.
    Refused,
}

impl HeaderProtocol {
    /// Some of the header, or all of it and more.
    fn read(&mut self, transport: &Transport, mut kept: Vec<u8>, data: &[u8]) -> Result {
        let before = kept.len();
        // In one piece, as nearly always, nothing is kept.
        let bytes = if before == 0 {
            data
        } else {
            kept.extend_from_slice(&data[..data.len().min(HEADER_BYTES_MAX - before)]);
            &kept[..]
        };
        match read_header(bytes) {
            Ok(None) => {
                if before == 0 {
                    kept.extend_from_slice(data);
                }
                self.state = State::Reading(kept);
                Ok(())
            }
            Ok(Some((proxied, length))) => self.open(transport, proxied, &data[length - before..]),
            Err(bad) => self.refuse(transport, &bad.to_string()),
        }
    }

    /// The header is there, and this follows it.
    fn open(&mut self, transport: &Transport, proxied: Proxied, rest: &[u8]) -> Result {
        if let Proxied::From { peer, host } = proxied {
            self.inner.set_peer(peer);
            self.inner.set_host(host);
        }
        self.state = State::Open;
        transport.handshake_done();
        self.inner.connection_made()?;
        self.deliver(rest)
    }

    fn deliver(&mut self, data: &[u8]) -> Result {
        if self.inner.is_paused() && !data.is_empty() {
            self.state = State::Holding(data.to_vec());
            return Ok(());
        }
        self.inner.data_received(data)
    }

    /// What was held goes on, as far as it is wanted.
    fn release(&mut self) -> Result {
        if self.inner.is_paused() {
            return Ok(());
        }
        match mem::replace(&mut self.state, State::Open) {
            State::Holding(held) => self.inner.data_received(&held),
            state @ (State::Reading(_) | State::Open | State::Refused) => {
                self.state = state;
                Ok(())
            }
        }
    }

    fn refuse(&mut self, transport: &Transport, why: &str) -> Result {
        self.state = State::Refused;
        self.shared
            .refused(&transport.reactor()?, &transport.peer(), why);
        transport.abort_connection();
        Ok(())
    }
}

impl Protocol for HeaderProtocol {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        if !self.shared.trusted.contain(&transport.peer()) {
            return self.refuse(transport, "it is not trusted to send a PROXY header");
        }
        transport.start_handshake();
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        match mem::replace(&mut self.state, State::Open) {
            State::Reading(kept) => self.read(transport, kept, data),
            State::Open => self.deliver(data),
            State::Holding(mut held) => {
                held.extend_from_slice(data);
                self.state = State::Holding(held);
                Ok(())
            }
            State::Refused => {
                self.state = State::Refused;
                Ok(())
            }
        }
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        match mem::replace(&mut self.state, State::Open) {
            State::Reading(_) => {
                let absent = BadHeader::Absent.to_string();
                self.refuse(transport, &absent)
            }
            State::Open => self.inner.read_closed(),
            State::Holding(held) => {
                self.inner.data_received(&held)?;
                self.inner.read_closed()
            }
            State::Refused => {
                self.state = State::Refused;
                Ok(())
            }
        }
    }

    fn inner_requests(&mut self, transport: &Transport) -> Result {
        let mut pass = |plain: &[u8]| {
            transport.write(plain);
            Ok(plain.len())
        };
        let next = match self.state {
            State::Reading(_) | State::Refused => self.inner.settle(None)?,
            State::Open | State::Holding(_) => self.inner.settle(Some(&mut pass))?,
        };
        match next {
            Next::GoOn => {}
            Next::ShutDown => transport.lose_write_connection(),
            Next::Close => transport.lose_connection(),
        }
        self.release()
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.inner.connection_lost(reason);
    }

    fn name(&self) -> &'static str {
        "the PROXY header"
    }
}
