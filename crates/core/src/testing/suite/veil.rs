//! The layer that tests lie on: a hello of three bytes each way, then all bytes are turned around by a key. Asks for
//! no more of the core than any other layer.

use super::recorder::Log;
use crate::{
    address::Address,
    endpoint::{EndpointKind, EndpointSpec, Side},
    factory::SharedFactory,
    failure::{Failure, Result},
    layer::{Inner, Layer, MakeLayer, Next},
    protocol::Protocol,
    reactor::{Port, Reactor, Target},
    transport::Transport,
};
use std::{cell::Cell, rc::Rc};

/// The most bytes that are turned around at once: less than a usual write, so that output is taken in pieces.
const PIECE: usize = 5000;
/// The most bytes that are delivered at once, so that some are still there when the protocol above pauses.
const DELIVERED: usize = 1000;
/// What a veil that is up tells about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) u8);

/// What is said first.
pub(super) fn hello(key: u8) -> [u8; 3] {
    [b'v', key, b'!']
}

/// What a veil is made from. Both ends have the same key.
#[derive(Clone, Default)]
pub(super) struct Veil {
    pub(super) key: u8,
    pub(super) log: Log,
    /// Fails when these bytes arrive, or panics, when it is up.
    pub(super) fails_at: Option<(&'static [u8], Fails)>,
    /// Says nothing before the other end did.
    pub(super) waits: bool,
    /// Who it says that the peer is, and where it says that it is itself.
    pub(super) ends: Option<(Address, Address)>,
    /// Most output that waited above it.
    pub(super) most: Rc<Cell<usize>>,
}

#[derive(Clone, Copy)]
pub(super) enum Fails {
    Throws,
    Panics,
}

impl Veil {
    pub(super) fn new(key: u8) -> Self {
        Self {
            key,
            ..Self::default()
        }
    }

    /// One that lets the other end speak first.
    pub(super) fn waiting(key: u8) -> Self {
        Self {
            waits: true,
            ..Self::new(key)
        }
    }

    fn make(self) -> MakeLayer {
        Rc::new(move |_| Ok(Box::new(self.clone())))
    }
}

impl Layer for Veil {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        Box::new(Veiled {
            state: State::Greeting(Vec::new()),
            veil: *self,
            inner,
            ended: false,
        })
    }
}

/// The protocol of a [`Veil`].
struct Veiled {
    veil: Veil,
    inner: Inner,
    state: State,
    /// The peer sends no more.
    ended: bool,
}

enum State {
    /// So much of the peer's hello is there.
    Greeting(Vec<u8>),
    /// These bytes are not delivered yet.
    Up(Vec<u8>),
}

impl Veiled {
    fn turned(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().map(|byte| byte ^ self.veil.key).collect()
    }

    fn greet(&mut self, transport: &Transport, mut got: Vec<u8>, data: &[u8]) -> Result {
        got.extend_from_slice(data);
        let hello = hello(self.veil.key);
        let known = got.len().min(hello.len());
        if got[..known] != hello[..known] {
            return Err(Failure::msg("no veil"));
        }
        if known < hello.len() {
            self.state = State::Greeting(got);
            return Ok(());
        }
        let rest = got.split_off(known);
        self.state = State::Up(self.turned(&rest));
        transport.handshake_done();
        if self.veil.waits {
            transport.write(&hello);
        }
        self.veil.log.note("up");
        if let Some((peer, host)) = self.veil.ends.clone() {
            self.inner.set_peer(peer);
            self.inner.set_host(host);
        }
        self.inner.set_info(Rc::new(Key(self.veil.key)));
        self.inner.connection_made()?;
        self.deliver()
    }

    /// Delivers as long as somebody wants it.
    fn deliver(&mut self) -> Result {
        let State::Up(held) = &mut self.state else {
            return Ok(());
        };
        while !held.is_empty() && !self.inner.is_paused() {
            let piece: Vec<u8> = held.drain(..held.len().min(DELIVERED)).collect();
            self.inner.data_received(&piece)?;
        }
        if self.ended && held.is_empty() {
            self.inner.read_closed()?;
        }
        Ok(())
    }

    fn check(&self, data: &[u8]) -> Result {
        match self.veil.fails_at {
            Some((at, Fails::Throws)) if at == data => Err(Failure::msg("torn")),
            Some((at, Fails::Panics)) if at == data => panic!("torn"),
            _ => Ok(()),
        }
    }
}

impl Protocol for Veiled {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.veil.log.note("veil made");
        transport.start_handshake();
        if !self.veil.waits {
            transport.write(&hello(self.veil.key));
        }
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        match std::mem::replace(&mut self.state, State::Up(Vec::new())) {
            State::Greeting(got) => self.greet(transport, got, data),
            State::Up(mut held) => {
                let turned = self.turned(data);
                self.check(&turned)?;
                held.extend_from_slice(&turned);
                self.state = State::Up(held);
                self.deliver()
            }
        }
    }

    fn read_closed(&mut self, _: &Transport) -> Result {
        if matches!(self.state, State::Greeting(_)) {
            return Err(Failure::msg("closed before the veil was up"));
        }
        self.ended = true;
        self.deliver()
    }

    fn inner_requests(&mut self, transport: &Transport) -> Result {
        let waiting = self.inner.transport().statistics().queued;
        self.veil.most.set(self.veil.most.get().max(waiting));
        let key = self.veil.key;
        let mut output = |plain: &[u8]| {
            let plain = &plain[..plain.len().min(PIECE)];
            let turned: Vec<u8> = plain.iter().map(|byte| byte ^ key).collect();
            transport.write(&turned);
            Ok(plain.len())
        };
        let next = match self.state {
            State::Greeting(_) => self.inner.settle(None),
            State::Up(_) => self.inner.settle(Some(&mut output)),
        };
        match next? {
            Next::GoOn => {}
            Next::ShutDown => transport.lose_write_connection(),
            Next::Close if transport.is_closing() => {}
            Next::Close => {
                self.veil.log.note("goodbye");
                transport.lose_connection();
            }
        }
        self.deliver()
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.veil.log.note("veil lost");
        self.inner.connection_lost(reason);
    }

    fn name(&self) -> &'static str {
        "veil"
    }
}

/// `veil:` before any other endpoint.
struct Kind(Veil);

impl EndpointKind for Kind {
    fn listen(
        &self,
        reactor: &Reactor,
        spec: &EndpointSpec,
        factory: &SharedFactory,
    ) -> Result<Port> {
        let make = self.0.clone().make();
        reactor.listen_spec(&spec.inner(&[])?, &factory.layered(move |peer| make(peer)))
    }

    fn target(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        let mut target = reactor.target(&spec.inner(&[])?)?;
        target.layers.push(self.0.clone().make());
        Ok(target)
    }

    fn check(&self, reactor: &Reactor, spec: &EndpointSpec, side: Side) -> Result {
        reactor.check_spec(&spec.inner(&[])?, side)
    }

    fn usage(&self, _: Side) -> &'static str {
        "veil:ENDPOINT"
    }
}

/// Has the reactor know `name:`, which lies on any other endpoint with this veil between.
pub(super) fn add_kind(reactor: &Reactor, name: &str, veil: &Veil) {
    reactor.endpoint_kind(name, Kind(veil.clone()));
}
