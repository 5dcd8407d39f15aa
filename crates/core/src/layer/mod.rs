//! Layers (TLS, a PROXY header, throttling): protocols that own the protocol above them and give it a transport.
//!
//! ```text
//! driver <--> link --> the layer's protocol --Inner--> link above --> the user's protocol
//! ```
//! A layer says what it does with bytes. Everything else that a protocol may ask of its transport is done here as it is
//! done on a driver: queued calls, pausing, producers, the high-water marks, closing, further layers. What the protocol
//! above writes waits in its own transport's queue until the layer takes it, and counts against that one's limits.
//!
//! A layer lies below a protocol from the beginning ([`SharedFactory::layered`](crate::SharedFactory::layered) and
//! [`Target::layers`](crate::reactor::Target)), or from [`Transport::push_layer`] on. It knows no driver, and the core
//! knows no layer.
//!
//! ```
//! use tress_core::{Failure, Protocol, Result, Transport, layer::{Inner, Layer, Next}};
//! use tress_core::testing::memory::Tester;
//!
//! /// Turns every bit around.
//! struct Not(Inner);
//! struct UnderNot;
//!
//! impl Layer for UnderNot {
//!     fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
//!         Box::new(Not(inner))
//!     }
//! }
//!
//! impl Protocol for Not {
//!     fn connection_made(&mut self, _: &Transport) -> Result {
//!         self.0.connection_made() // a layer with a handshake does this when that is done
//!     }
//!     fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
//!         let plain: Vec<u8> = data.iter().map(|byte| !byte).collect();
//!         self.0.data_received(&plain)
//!     }
//!     fn read_closed(&mut self, _: &Transport) -> Result {
//!         self.0.read_closed()
//!     }
//!     fn inner_requests(&mut self, transport: &Transport) -> Result {
//!         let next = self.0.settle(Some(&mut |plain| {
//!             let sent: Vec<u8> = plain.iter().map(|byte| !byte).collect();
//!             transport.write(&sent);
//!             Ok(plain.len())
//!         }))?;
//!         match next {
//!             Next::GoOn => {}
//!             Next::ShutDown => transport.lose_write_connection(),
//!             Next::Close => transport.lose_connection(),
//!         }
//!         Ok(())
//!     }
//!     fn connection_lost(&mut self, reason: Failure) {
//!         self.0.connection_lost(reason);
//!     }
//! }
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
//!         transport.write(data);
//!         if data == b"not" {
//!             transport.push_layer(UnderNot);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let tester = Tester::new(Echo);
//! tester.receive(b"not");
//! tester.receive(b"\x9e");
//! assert_eq!(tester.sent(), b"not\x9e");
//! ```

mod below;
mod plan;
#[cfg(test)]
mod tests;

pub(crate) use plan::Plan;

use crate::{
    address::Address,
    error::{ConnectionAborted, NoProtocol, ReactorGone},
    failure::{Failure, Result},
    protocol::Protocol,
    reactor::{Core, Settled, fail_calls, lose},
    transport::{
        Role, Transport,
        flags::{BLOCKED, CLOSE, INNER, LOST, PUSHED, READ_CLOSED, RUNNING, UNUSUAL},
    },
};
use below::{Piece, Pull};
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
};

/// What a layer is made from, such as a TLS configuration.
pub trait Layer: 'static {
    /// The layer's protocol, which owns `inner`. Its `connection_made` follows.
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol>;
}

/// Makes a layer for each connection with this peer.
pub type MakeLayer = Rc<dyn Fn(&Address) -> Result<Box<dyn Layer>>>;

/// Takes some of what the protocol above wrote, sends it in the layer's own way, and says how many bytes it took.
/// Taking none means: not now.
pub type Output<'a> = &'a mut dyn FnMut(&[u8]) -> Result<usize>;

/// What the protocol above has come to, once the layer has taken all its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on, or output still waits.
    GoOn,
    /// It writes no more and still reads: the layer tells the peer. Comes once.
    ShutDown,
    /// It wants nothing but the end: the layer says its goodbye and calls `lose_connection`. Comes until the end.
    Close,
}

/// The protocol above a layer in its seat, with a transport of its own. The layer's protocol owns it.
///
/// What goes wrong in the protocol above ends the connection, whatever the layer does with the error that it gets.
/// After the end all methods do nothing.
pub struct Inner {
    link: Transport,
    /// What its protocol is built from; `None` when it is there.
    plan: Option<Plan>,
    /// Output that the layer has not taken in full.
    piece: Option<Piece>,
}

impl Inner {
    /// The transport of the protocol above.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.link
    }

    /// Whether the protocol above is there already: from the beginning for a layer that was pushed, otherwise after
    /// [`Inner::connection_made`].
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.plan.is_none()
    }

    /// Whether the protocol above wants no data now: then the layer keeps what it has until `inner_requests`.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.link.wants_no_data()
    }

    /// Who the peer is, when that is not who the system says. For before `connection_made`.
    pub fn set_peer(&self, peer: Address) {
        self.link.set_peer(peer);
    }

    /// Where the peer connected to, when that is not what the system says. For before `connection_made`.
    pub fn set_host(&self, host: Address) {
        self.link.set_host(host);
    }

    /// What [`Transport::info`] answers above this layer.
    pub fn set_info(&self, info: Rc<dyn Any>) {
        self.link.set_info(info);
    }

    /// The layer is up. Builds the protocol above, for the peer that is known by now, and tells it. When none is built
    /// the connection is closed ([`Next::Close`]). One that is there already is told nothing, and its output can go on.
    ///
    /// # Errors
    /// The protocol above failed.
    pub fn connection_made(&mut self) -> Result {
        if self.link.is_ending() {
            return Ok(());
        }
        let Some(plan) = self.plan.take() else {
            self.ask();
            return Ok(());
        };
        match plan.build(&self.link) {
            Ok(true) if self.link.is_ending() => {
                // Given up while it was built: it is told nothing.
                drop(self.link.0.protocol.take());
                Ok(())
            }
            Ok(true) => self.call(|protocol, transport| protocol.connection_made(transport)),
            Ok(false) => {
                self.not_built(&NoProtocol.into());
                Ok(())
            }
            Err(failure) => {
                if let (Role::Server, Some(core)) = (&self.link.0.origin.role, self.core()) {
                    core.failed("build_protocol", &failure);
                }
                self.not_built(&failure);
                Ok(())
            }
        }
    }

    /// Delivers bytes. They are dropped when the protocol above is closing; the layer asks [`Inner::is_paused`] before
    /// each call.
    ///
    /// # Errors
    /// The protocol above failed, or is not made yet.
    pub fn data_received(&mut self, data: &[u8]) -> Result {
        if !self.is_ready()? || data.is_empty() {
            return Ok(());
        }
        if !self.is_made() {
            return Err(Failure::msg("a layer delivered bytes before it was up"));
        }
        let received = &self.link.0.received;
        received.set(received.get() + data.len() as u64);
        self.call(|protocol, transport| protocol.data_received(transport, data))
    }

    /// The peer sends no more. Tells the protocol above once, if it is made.
    ///
    /// # Errors
    /// The protocol above failed.
    pub fn read_closed(&mut self) -> Result {
        if !self.is_ready()? || !self.is_made() || self.link.has(READ_CLOSED) {
            return Ok(());
        }
        self.link.set(READ_CLOSED);
        self.call(|protocol, transport| protocol.read_closed(transport))
    }

    /// The connection has ended. Tells the protocol above once, if it was made. A layer that forgets this has it done
    /// when it is dropped. One that has last words, such as an alert, may do this before the end, with its own reason,
    /// and then write them and close.
    pub fn connection_lost(&mut self, reason: Failure) {
        if !self.link.has(LOST) {
            let plan = self.plan.take();
            lose(&self.link, &reason);
            drop(plan);
        }
    }

    /// Does what the protocol above has asked for, and hands over its output: as much as there is room for below, the
    /// rest stays in its queue. A layer that is up passes `output`, and then the protocol above has reading from below
    /// paused and resumed as well; until then it passes `None`, all output waits and reading goes on.
    ///
    /// # Errors
    /// The protocol above failed, or `output` did.
    pub fn settle(&mut self, mut output: Option<Output<'_>>) -> Result<Next> {
        let mut next = Next::GoOn;
        loop {
            let (Some(core), Some(below)) = (self.core(), self.link.below()) else {
                return Ok(next);
            };
            if self.link.is_ending() {
                return Ok(next);
            }
            if !self.is_made() {
                let closing = self.link.has(CLOSE);
                return Ok(if closing { Next::Close } else { next });
            }
            let mut pull = Pull::new(below, &mut output, &mut self.piece);
            match settle_link(&core, &self.link, &mut pull) {
                Err(payload) if pull.is_taking => resume_unwind(payload),
                Err(payload) => return self.failed(Failure::from_panic(&*payload)),
                Ok(Err(failure)) if pull.is_taking => return Err(failure),
                Ok(Err(failure)) => return self.failed(failure),
                Ok(Ok(settled)) => {
                    if pull.is_shut {
                        next = Next::ShutDown;
                    }
                    match settled {
                        Settled::Ended(_) => return Ok(Next::Close),
                        Settled::Pushed => self.raise()?,
                        Settled::Again | Settled::Quiet => return Ok(next),
                    }
                }
            }
        }
    }

    pub(crate) fn made(link: Transport) -> Self {
        Self {
            link,
            plan: None,
            piece: None,
        }
    }

    fn planned(link: Transport, plan: Plan) -> Self {
        Self {
            link,
            plan: Some(plan),
            piece: None,
        }
    }

    /// The layer has nobody above it, and shall close.
    fn not_built(&self, reason: &Failure) {
        fail_calls(&self.link, reason);
        self.link.lose_connection();
    }

    fn core(&self) -> Option<Rc<Core>> {
        self.link.0.origin.shared.core.upgrade()
    }

    /// Puts the layers below that were pushed. Whether the protocol above may be told something.
    fn is_ready(&mut self) -> Result<bool> {
        while self.link.has(PUSHED) && !self.link.is_ending() {
            self.raise()?;
        }
        Ok(!self.link.has(CLOSE) && !self.link.is_ending())
    }

    /// Puts a layer that was pushed between this one and the protocol above.
    fn raise(&mut self) -> Result {
        self.call(|protocol, transport| protocol.layer_pushed(transport))?;
        if self.link.is_ending() {
            return Ok(());
        }
        let Some((layer, below)) = self.link.put_link_below() else {
            return Ok(());
        };
        let above = std::mem::replace(&mut self.link, below);
        if let Err(failure) = seat(layer, Self::made(above), &self.link) {
            return self.failed(failure);
        }
        self.call(begin)
    }

    /// The only way into the protocol above.
    fn call(&self, callback: impl FnOnce(&mut dyn Protocol, &Transport) -> Result) -> Result {
        let core = self.core().ok_or(ReactorGone)?;
        let link = &self.link;
        link.set(RUNNING);
        let called = catch_unwind(AssertUnwindSafe(|| core.call(link, callback)));
        link.clear(RUNNING);
        match called.unwrap_or_else(|payload| Err(Failure::from_panic(&*payload))) {
            Ok(()) => {
                if link.has(UNUSUAL) {
                    self.ask();
                }
                Ok(())
            }
            Err(failure) => self.failed(failure),
        }
    }

    /// Has the layer's `inner_requests` called.
    fn ask(&self) {
        if let Some(below) = self.link.below() {
            below.ask(INNER);
        }
    }

    /// What goes wrong above costs the connection, even if the layer forgets to pass it on.
    fn failed<T>(&self, failure: Failure) -> Result<T> {
        self.link.fail(failure.clone());
        Err(failure)
    }
}

/// Settles a link above a layer; what it panics with is for the caller to judge.
fn settle_link(
    core: &Rc<Core>,
    link: &Transport,
    pull: &mut Pull<'_, '_>,
) -> std::thread::Result<Result<Settled>> {
    link.set(RUNNING);
    link.clear(BLOCKED);
    let settled = catch_unwind(AssertUnwindSafe(|| core.settle_link(link, pull)));
    link.clear(RUNNING);
    settled
}

/// Makes the layer's protocol and gives it its seat.
pub(crate) fn seat(layer: Box<dyn Layer>, inner: Inner, below: &Transport) -> Result {
    let wrapped = catch_unwind(AssertUnwindSafe(|| layer.wrap(inner)));
    let protocol = wrapped.map_err(|payload| Failure::from_panic(&*payload))?;
    below.0.protocol.replace(Some(protocol));
    Ok(())
}

/// The first callbacks of a layer that was pushed.
pub(crate) fn begin(protocol: &mut dyn Protocol, transport: &Transport) -> Result {
    protocol.connection_made(transport)?;
    if transport.has(READ_CLOSED) {
        protocol.read_closed(transport)?;
    }
    Ok(())
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.link.has(LOST) {
            return;
        }
        let reason = match self.link.below() {
            Some(below) => below.0.rare().reason.take(),
            None => None,
        };
        let gone = self.core().is_none();
        self.connection_lost(reason.unwrap_or_else(|| {
            if gone {
                ReactorGone.into()
            } else {
                ConnectionAborted.into()
            }
        }));
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.is_made();
        write!(f, "Inner({}, made: {made})", self.link.peer())
    }
}
