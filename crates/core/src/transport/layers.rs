//! Links with a layer between them: who lies below and above, and what is the lowest link's business. Calls no layer.
//!
//! ```text
//! table --> link --protocol--> a layer --Inner--> link --protocol--> another layer --Inner--> link --> the user's
//!                    <------------ below (weak) -----       <------------ below (weak) -------
//! ```
//! Each owns the next one up; whoever looks down, or up past a layer, looks through a `Weak`.

use super::{
    Link, Transport,
    flags::{
        ABORT, BLOCKED, CALLS, CLOSE, CLOSING_ABOVE, CORKED, DIRTY, HANDSHAKE, INNER, LAYER,
        LAYERED, LOST, OUT, PUSHED, READ_CLOSED, READ_WHEN_FULL, READING, SERVER, SHUT, WRITE_SHUT,
    },
};
use crate::{
    address::{Address, Peer},
    error::PushedTooLate,
    failure::Failure,
    layer::Layer,
    outgoing::Outgoing,
};
use std::{
    any::Any,
    cell::RefCell,
    collections::VecDeque,
    mem,
    rc::{Rc, Weak},
};

/// What a link keeps that has a layer below or above it.
#[derive(Default)]
pub(super) struct Layers {
    below: RefCell<Weak<Link>>,
    above: RefCell<Weak<Link>>,
    pushed: RefCell<VecDeque<Pushed>>,
    info: RefCell<Option<Rc<dyn Any>>>,
    peer: RefCell<Option<Address>>,
    host: RefCell<Option<Address>>,
}

/// A layer that will lie below a link, and what was written before it was pushed.
struct Pushed {
    layer: Box<dyn Layer>,
    before: Outgoing,
    /// How many bytes had been written then, all in all.
    written: u64,
}

impl Transport {
    /// Lays a layer below this connection's protocol, which lives on and whose handles stay valid. What was written
    /// before goes out as it was; what is written from now on goes through the layer, and what arrives from now on
    /// comes through it. The layer begins right after the running callback. Each push goes below the protocol, on top
    /// of all earlier layers.
    ///
    /// On a connection that has ended this does nothing. After `lose_write_connection` no layer could say anything
    /// more: the connection fails with [`PushedTooLate`]. A protocol that keeps bytes which came before the layer has
    /// it refused: see [`Protocol::layer_pushed`](crate::Protocol::layer_pushed).
    pub fn push_layer(&self, layer: impl Layer) {
        if self.has(ABORT | LOST) {
            return;
        }
        if self.has(SHUT | WRITE_SHUT) {
            return self.fail(PushedTooLate);
        }
        if self.has(CORKED) {
            self.0.origin.shared.uncork(&self.0);
        }
        let before = mem::take(&mut *self.0.out.borrow_mut());
        self.clear(OUT);
        let pushed = Pushed {
            layer: Box::new(layer),
            before,
            written: self.0.written.get(),
        };
        self.layers().pushed.borrow_mut().push_back(pushed);
        self.ask(PUSHED);
    }

    /// What a layer below tells about itself, such as the protocol that was agreed on and the peer's certificates.
    /// Asks the layers from the top down, and the first that has an `I` answers.
    #[must_use]
    pub fn info<I: 'static>(&self) -> Option<Rc<I>> {
        let own = self.layers_if_any().and_then(|layers| {
            let info = layers.info.borrow().clone();
            info?.downcast().ok()
        });
        own.or_else(|| self.below()?.info())
    }

    fn layers(&self) -> &Layers {
        self.0.rare().layers.get_or_init(Box::default)
    }

    fn layers_if_any(&self) -> Option<&Layers> {
        self.0.rare_if_any()?.layers.get().map(|layers| &**layers)
    }

    /// The link of the layer below, if there is one and it still lives.
    pub(crate) fn below(&self) -> Option<Self> {
        if !self.has(LAYERED) {
            return None;
        }
        self.layers().below.borrow().upgrade().map(Self)
    }

    /// The link above, when its own protocol is a layer's.
    pub(crate) fn above(&self) -> Option<Self> {
        if !self.has(LAYER) {
            return None;
        }
        self.layers().above.borrow().upgrade().map(Self)
    }

    /// The link that the driver knows; `None` when that one has gone.
    pub(crate) fn bottom(&self) -> Option<Self> {
        let mut link = self.clone();
        while link.has(LAYERED) {
            link = link.below()?;
        }
        Some(link)
    }

    /// The highest link that there is: the user's, once all layers are up.
    pub(crate) fn top(&self) -> Self {
        std::iter::successors(Some(self.clone()), Self::above)
            .last()
            .expect("there is at least this one")
    }

    /// Of this link and those above, the one whose protocol is to blame for a failure.
    pub(crate) fn culprit(&self) -> Self {
        std::iter::successors(Some(self.clone()), |link| {
            link.above().filter(|above| above.has(ABORT))
        })
        .last()
        .expect("there is at least this one")
    }

    /// Has every layer from here upwards look at what lies above it.
    pub(crate) fn ask_above(&self) {
        let mut next = self.above().map(|above| (self.clone(), above));
        while let Some((link, above)) = next {
            link.set(INNER);
            next = above.above().map(|higher| (above, higher));
        }
    }

    /// Whether the connection ends, whoever said so.
    pub(crate) fn is_ending(&self) -> bool {
        self.has(ABORT | LOST) || self.below().is_some_and(|below| below.is_ending())
    }

    /// Bytes that wait to leave, here and above.
    pub(crate) fn queued_all(&self) -> usize {
        self.own_queued() + self.above().map_or(0, |above| above.queued_all())
    }

    /// Ends the connection at once, here and below.
    pub(super) fn end(&self, reason: Option<Failure>) {
        if self.has(ABORT | LOST) {
            return;
        }
        if self.has(LAYERED) {
            self.set(ABORT);
            if let Some(below) = self.below() {
                below.end(reason);
            }
            return;
        }
        if reason.is_some() {
            self.0.rare().reason.set(reason);
        }
        self.ask(ABORT);
    }

    /// The deadline for closing begins, unless it runs already.
    pub(super) fn begin_closing(&self) {
        if let Some(bottom) = self.bottom() {
            if !bottom.has(CLOSE | CLOSING_ABOVE) {
                bottom.begin();
            }
            if self.has(LAYERED) {
                bottom.set(CLOSING_ABOVE);
            }
        }
    }

    pub(super) fn own_peer(&self) -> Option<Address> {
        self.layers_if_any()?.peer.borrow().clone()
    }

    pub(super) fn own_host(&self) -> Option<Address> {
        self.layers_if_any()?.host.borrow().clone()
    }

    pub(crate) fn set_peer(&self, peer: Address) {
        self.layers().peer.replace(Some(peer));
    }

    pub(crate) fn set_host(&self, host: Address) {
        self.layers().host.replace(Some(host));
    }

    pub(crate) fn set_info(&self, info: Rc<dyn Any>) {
        self.layers().info.replace(Some(info));
    }

    /// Joins a link to the one below it.
    fn lie_on(&self, below: &Self) {
        self.set(LAYERED);
        self.layers().below.replace(Rc::downgrade(&below.0));
        below.set(LAYER);
        below.layers().above.replace(Rc::downgrade(&self.0));
    }

    /// A new link on top of this one, whose protocol will be a layer's.
    pub(crate) fn put_link_above(&self) -> Self {
        let link = &*self.0;
        let flags = link.flags.get() & READ_WHEN_FULL;
        let above = Link::new(&link.origin, link.token, flags, Peer::from(self.peer()));
        let above = Self(Rc::new(above));
        above.lie_on(self);
        above
    }

    /// The calls that wait are for the protocol above, which is not there yet.
    pub(crate) fn hand_calls_up(&self, above: &Self) {
        if self.has(CALLS) {
            self.clear(CALLS);
            above.set(CALLS);
            above.0.rare().calls.replace(self.0.rare().calls.take());
        }
    }

    /// Takes the first layer that was pushed, and puts its link below this one, in this one's place.
    pub(crate) fn put_link_below(&self) -> Option<(Box<dyn Layer>, Self)> {
        /// What belongs to whoever lies on the driver, or on a layer.
        const PLACE: u32 = BLOCKED | READING | HANDSHAKE | SERVER | CLOSING_ABOVE;
        let layers = self.layers();
        let pushed = layers.pushed.borrow_mut().pop_front()?;
        let Pushed {
            layer,
            before,
            written,
        } = pushed;
        if layers.pushed.borrow().is_empty() {
            self.clear(PUSHED);
        }
        let link = &*self.0;
        let mut flags = link.flags.get() & (PLACE | READ_CLOSED | READ_WHEN_FULL);
        if !before.is_done() {
            flags |= OUT;
        }
        let below = Link::new(&link.origin, link.token, flags, Peer::from(self.peer()));
        below.active.set(link.active.get());
        below.since.set(link.since.get());
        below.received.set(link.received.get());
        below.written.set(written);
        below.out.replace(before);
        let below = Self(Rc::new(below));
        self.hand_passing_down(&below);
        if let Some(lower) = self.below() {
            below.lie_on(&lower);
        } else {
            below.take_place(self);
        }
        below.layers().info.replace(layers.info.take());
        below.layers().host.replace(layers.host.take());
        self.clear(PLACE | DIRTY);
        self.lie_on(&below);
        below.set(INNER);
        Some((layer, below))
    }

    /// This link is the lowest one from now on.
    fn take_place(&self, old: &Self) {
        if let Some(idle) = old.0.rare().idle.take() {
            self.0.rare().idle.set(Some(idle));
        }
        if old.has(CLOSE) {
            self.set(CLOSING_ABOVE);
        }
    }

    /// Forgets the layers that were pushed and do not lie there yet.
    pub(crate) fn take_pushed(&self) -> Vec<Box<dyn Layer>> {
        match self.layers_if_any() {
            Some(layers) if self.has(PUSHED) => {
                let pushed = layers.pushed.take();
                pushed.into_iter().map(|pushed| pushed.layer).collect()
            }
            _ => Vec::new(),
        }
    }
}
