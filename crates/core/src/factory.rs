//! `Factory`: makes a protocol for each connection and holds what they share. Knows nothing of endpoints.

use crate::{
    address::Address,
    failure::{Failure, Result},
    layer::{Layer, MakeLayer},
    protocol::Protocol,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

/// Builds the protocols of a port. What they share (a count, a log, a table of users) is an `Rc` that it hands to each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no factory",
    label = "`Factory` is not implemented for it",
    note = "implement `Factory` for it, which builds a protocol for each connection; a `ClientFactory` is one first"
)]
pub trait Factory: 'static {
    /// What it builds.
    type Protocol: Protocol;

    /// A protocol for a new connection; `None` closes the connection at once.
    fn build_protocol(&mut self, peer: &Address) -> Option<Self::Protocol>;

    /// Before it is used: before its first port listens, or before it connects.
    ///
    /// # Errors
    /// It cannot be used: what was asked for (to listen, to connect) fails with this, and it is not stopped.
    fn start_factory(&mut self) -> Result {
        Ok(())
    }

    /// After its use: after its last port has stopped, or after its connection has ended.
    fn stop_factory(&mut self) {}
}

/// What can be used as a factory: a [`Factory`], `|| P`, or `|peer: &Address| -> Option<P>`. The marker is inferred.
#[diagnostic::on_unimplemented(
    message = "this is no factory: it builds no protocol for each connection",
    label = "expected `|| P`, `|peer: &Address| -> Option<P>` or a `Factory`, where `P` is a `Protocol`",
    note = "a protocol by itself is no factory: write `|| Echo` for `Echo`, or `move || Chat::new(users.clone())`",
    note = "what a closure builds must implement `Protocol`; a `LineReceiver` does once it is in a `Lines`"
)]
pub trait IntoFactory<Marker> {
    /// The factory it becomes.
    type Factory: Factory;

    /// Becomes one.
    fn into_factory(self) -> Self::Factory;
}

/// Marks types that are factories.
#[derive(Debug)]
pub struct IsFactory;

impl<F: Factory> IntoFactory<IsFactory> for F {
    type Factory = F;

    fn into_factory(self) -> F {
        self
    }
}

/// The factory that a closure without arguments becomes.
pub struct Plain<F>(F);

impl<P: Protocol, F: FnMut() -> P + 'static> Factory for Plain<F> {
    type Protocol = P;

    fn build_protocol(&mut self, _peer: &Address) -> Option<P> {
        Some((self.0)())
    }
}

impl<P: Protocol, F: FnMut() -> P + 'static> IntoFactory<fn() -> P> for F {
    type Factory = Plain<F>;

    fn into_factory(self) -> Plain<F> {
        Plain(self)
    }
}

/// The factory that a closure over the peer's address becomes.
pub struct ByPeer<F>(F);

impl<P: Protocol, F: FnMut(&Address) -> Option<P> + 'static> Factory for ByPeer<F> {
    type Protocol = P;

    fn build_protocol(&mut self, peer: &Address) -> Option<P> {
        (self.0)(peer)
    }
}

impl<P, F> IntoFactory<fn(&Address) -> Option<P>> for F
where
    P: Protocol,
    F: FnMut(&Address) -> Option<P> + 'static,
{
    type Factory = ByPeer<F>;

    fn into_factory(self) -> ByPeer<F> {
        ByPeer(self)
    }
}

impl<F> fmt::Debug for Plain<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

impl<F> fmt::Debug for ByPeer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByPeer")
    }
}

/// A factory of protocols that share something: Twisted's `self.factory`. Each is built from an `Rc` of it.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use tress_core::{Factory, Protocol, factory::Sharing};
///
/// struct Counted(Rc<Cell<usize>>);
/// impl Protocol for Counted {}
///
/// let factory = Sharing::new(Cell::new(0), Counted); // on a reactor: listen("tcp:8007", factory)
/// ```
pub struct Sharing<S: ?Sized, B> {
    shared: Option<Rc<S>>,
    start: Option<Start<S>>,
    build: B,
}

type Start<S> = Box<dyn FnMut() -> Result<Rc<S>>>;

impl<S: ?Sized + 'static, P: Protocol, B: FnMut(Rc<S>) -> P + 'static> Sharing<S, B> {
    /// They share `shared`, and `build` makes each of them.
    pub fn new(shared: impl Into<Rc<S>>, build: B) -> Self {
        Self {
            shared: Some(shared.into()),
            start: None,
            build,
        }
    }

    /// They share what `start` makes when the factory is started. It is dropped when the factory is stopped and no
    /// protocol is left. What `start` fails with, [`Factory::start_factory`] fails with.
    pub fn from_start<T: Into<Rc<S>>, E: Into<Failure>>(
        mut start: impl FnMut() -> Result<T, E> + 'static,
        build: B,
    ) -> Self {
        Self {
            shared: None,
            start: Some(Box::new(move || {
                start().map(Into::into).map_err(Into::into)
            })),
            build,
        }
    }
}

impl<S: ?Sized + 'static, P: Protocol, B: FnMut(Rc<S>) -> P + 'static> Factory for Sharing<S, B> {
    type Protocol = P;

    fn build_protocol(&mut self, _peer: &Address) -> Option<P> {
        let shared = self.shared.clone()?;
        Some((self.build)(shared))
    }

    fn start_factory(&mut self) -> Result {
        if let Some(start) = &mut self.start {
            self.shared = Some(start()?);
        }
        Ok(())
    }

    fn stop_factory(&mut self) {
        if self.start.is_some() {
            self.shared = None;
        }
    }
}

impl<S: ?Sized, B> fmt::Debug for Sharing<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sharing")
    }
}

/// A factory whose type is forgotten, shared by all its ports: start and stop are counted over them.
#[derive(Clone)]
pub struct SharedFactory {
    seat: Rc<Seat>,
    /// What lies below each of its protocols, the layer on the driver first.
    layers: Vec<MakeLayer>,
}

struct Seat {
    factory: RefCell<Box<dyn AnyFactory>>,
    ports: Cell<usize>,
}

trait AnyFactory {
    fn build(&mut self, peer: &Address) -> Option<Box<dyn Protocol>>;
    fn start(&mut self) -> Result;
    fn stop(&mut self);
}

impl<F: Factory> AnyFactory for F {
    fn build(&mut self, peer: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(self.build_protocol(peer)?))
    }
    fn start(&mut self) -> Result {
        self.start_factory()
    }
    fn stop(&mut self) {
        self.stop_factory();
    }
}

impl SharedFactory {
    /// Shares `factory`; clones are the same factory.
    pub fn new<M>(factory: impl IntoFactory<M>) -> Self {
        Self {
            seat: Rc::new(Seat {
                factory: RefCell::new(Box::new(factory.into_factory())),
                ports: Cell::new(0),
            }),
            layers: Vec::new(),
        }
    }

    /// The same factory with a layer below each of its protocols, and below those layers that it has: what a kind of
    /// endpoint that lies on another hands down. `make` is called for each connection, with its peer; when it fails
    /// the connection is closed. The protocol is built when the layer is up.
    ///
    /// Start and stop are counted together with those of the original.
    #[must_use]
    pub fn layered(&self, make: impl Fn(&Address) -> Result<Box<dyn Layer>> + 'static) -> Self {
        let mut layered = self.clone();
        layered.layers.insert(0, Rc::new(make));
        layered
    }

    /// The same factory on top of these layers, the one on the driver first.
    pub(crate) fn on(&self, layers: Vec<MakeLayer>) -> Self {
        let mut layered = self.clone();
        layered.layers.splice(..0, layers);
        layered
    }

    /// What lies below each protocol, the layer on the driver first.
    pub(crate) fn layers(&self) -> &[MakeLayer] {
        &self.layers
    }

    /// A protocol for a new connection.
    ///
    /// # Errors
    /// The factory panicked, or is building another one right now.
    pub(crate) fn build(&self, peer: &Address) -> Result<Option<Box<dyn Protocol>>> {
        self.call(|factory| factory.build(peer))
    }

    /// Whether it is being called right now.
    pub(crate) fn is_busy(&self) -> bool {
        self.seat.factory.try_borrow_mut().is_err()
    }

    /// One more port listens, or one more connection is made with it.
    pub(crate) fn port_started(&self) -> Result {
        if self.seat.ports.get() == 0 {
            self.call(|factory| factory.start())??;
        }
        self.seat.ports.set(self.seat.ports.get() + 1);
        Ok(())
    }

    /// One port has stopped, or one connection that was made with it has ended.
    pub(crate) fn port_stopped(&self) -> Result {
        self.seat.ports.set(self.seat.ports.get() - 1);
        if self.seat.ports.get() > 0 {
            return Ok(());
        }
        self.call(|factory| factory.stop())
    }

    fn call<R>(&self, f: impl FnOnce(&mut dyn AnyFactory) -> R) -> Result<R> {
        let Ok(mut factory) = self.seat.factory.try_borrow_mut() else {
            return Err(Failure::msg("a factory was called from inside itself"));
        };
        catch_unwind(AssertUnwindSafe(|| f(&mut **factory)))
            .map_err(|payload| Failure::from_panic(&*payload))
    }
}

impl fmt::Debug for SharedFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedFactory({} ports)", self.seat.ports.get())
    }
}
