//! `Factory`: makes a protocol for each connection and holds what they share. Knows nothing of endpoints.

use crate::{address::Address, failure::Failure, protocol::Protocol};
use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

/// Builds the protocols of a port. What they share (a count, a log, a table of users) is an `Rc` that it hands to each.
pub trait Factory: 'static {
    /// What it builds.
    type Protocol: Protocol;

    /// A protocol for a new connection; `None` closes the connection at once.
    fn build_protocol(&mut self, peer: &Address) -> Option<Self::Protocol>;

    /// Before its first port listens.
    fn start_factory(&mut self) {}

    /// After its last port has stopped.
    fn stop_factory(&mut self) {}
}

/// What can be used as a factory: a [`Factory`], `|| P`, or `|peer: &Address| -> Option<P>`. The marker is inferred.
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

/// A factory whose type is forgotten, shared by all its ports: start and stop are counted over them.
#[derive(Clone)]
pub struct SharedFactory(Rc<Seat>);

struct Seat {
    factory: RefCell<Box<dyn AnyFactory>>,
    ports: Cell<usize>,
}

trait AnyFactory {
    fn build(&mut self, peer: &Address) -> Option<Box<dyn Protocol>>;
    fn start(&mut self);
    fn stop(&mut self);
}

impl<F: Factory> AnyFactory for F {
    fn build(&mut self, peer: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(self.build_protocol(peer)?))
    }
    fn start(&mut self) {
        self.start_factory();
    }
    fn stop(&mut self) {
        self.stop_factory();
    }
}

impl SharedFactory {
    /// Shares `factory`; clones are the same factory.
    pub fn new<M>(factory: impl IntoFactory<M>) -> Self {
        Self(Rc::new(Seat {
            factory: RefCell::new(Box::new(factory.into_factory())),
            ports: Cell::new(0),
        }))
    }

    /// A protocol for a new connection.
    ///
    /// # Errors
    /// The factory panicked, or is building another one right now.
    pub(crate) fn build(&self, peer: &Address) -> Result<Option<Box<dyn Protocol>>, Failure> {
        self.call(|factory| factory.build(peer))
    }

    /// Whether it is being called right now.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.factory.try_borrow_mut().is_err()
    }

    /// One more port listens.
    pub(crate) fn port_started(&self) -> Result<(), Failure> {
        if self.0.ports.get() == 0 {
            self.call(|factory| factory.start())?;
        }
        self.0.ports.set(self.0.ports.get() + 1);
        Ok(())
    }

    /// One port has stopped.
    pub(crate) fn port_stopped(&self) -> Result<(), Failure> {
        self.0.ports.set(self.0.ports.get() - 1);
        if self.0.ports.get() > 0 {
            return Ok(());
        }
        self.call(|factory| factory.stop())
    }

    fn call<R>(&self, f: impl FnOnce(&mut dyn AnyFactory) -> R) -> Result<R, Failure> {
        let Ok(mut factory) = self.0.factory.try_borrow_mut() else {
            return Err(Failure::msg("a factory was called from inside itself"));
        };
        catch_unwind(AssertUnwindSafe(|| f(&mut **factory)))
            .map_err(|payload| Failure::from_panic(&*payload))
    }
}

impl fmt::Debug for SharedFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedFactory({} ports)", self.0.ports.get())
    }
}
