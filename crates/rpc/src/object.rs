//! An object behind an interface, with the interface forgotten and found again. Knows no interface by name.

use crate::{
    arguments::{Arguments, BadCall, Taken},
    client::Client,
    descriptor::{Descriptor, Method},
    fault::{self, Fault},
    value::Value,
};
use std::{any::Any, cell::Cell, error::Error, fmt, rc::Rc};
use tress_core::{Address, Deferred, Reactor, Result, Time, Transport};

/// The object-safe twin of an interface, as in `dyn DynFinger`: it knows its descriptor. `#[interface]` implements it.
pub trait Interface: 'static {
    /// What it offers.
    fn descriptor() -> &'static Descriptor;

    /// Makes the call of the method at that place in the descriptor. Nothing is called when an argument does not fit.
    fn dispatch(
        self: Rc<Self>,
        context: &CallContext,
        method: usize,
        arguments: Taken,
    ) -> Deferred<Value>;
}

/// Who calls, until when, and the loop that the call runs on.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Where the call's tasks run.
    pub reactor: Reactor,
    /// Whose call it is; [`Address::Unknown`] for a call from inside the program.
    pub peer: Address,
    /// Who has logged in, by the name that the application knows; nothing for one who has not.
    pub avatar: Option<Rc<str>>,
    /// When the caller stops waiting.
    pub deadline: Option<Time>,
}

impl CallContext {
    /// A call from inside the program.
    #[must_use]
    pub fn local(reactor: &Reactor) -> Self {
        Self::from_peer(reactor, Address::Unknown)
    }

    /// A call that this peer makes.
    #[must_use]
    pub fn from_peer(reactor: &Reactor, peer: Address) -> Self {
        Self {
            reactor: reactor.clone(),
            peer,
            avatar: None,
            deadline: None,
        }
    }

    /// A call that the peer of this connection makes.
    ///
    /// # Errors
    /// The reactor has been dropped.
    pub fn of(transport: &Transport) -> Result<Self> {
        Ok(Self::from_peer(&transport.reactor()?, transport.peer()))
    }
}

/// An object that offers one interface; clones are the same object.
#[derive(Clone)]
pub struct Object {
    descriptor: &'static Descriptor,
    /// An `Rc<I>` in a box of its own: `Any` needs a sized type.
    handle: Rc<dyn Any>,
    dispatch: Dispatch,
    counts: Rc<Counts>,
}

/// How often an object was called by peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallStatistics {
    /// Calls, also of what there is not.
    pub calls: u64,
    /// Those that were answered with a fault.
    pub faults: u64,
    /// Those of them that took too long.
    pub deadlines: u64,
}

/// Counted by [`Calls`](crate::Calls).
#[derive(Default)]
pub(crate) struct Counts(Cell<CallStatistics>);

impl Counts {
    pub(crate) fn called(&self) {
        let mut now = self.0.get();
        now.calls += 1;
        self.0.set(now);
    }

    pub(crate) fn failed(&self, fault: &Fault) {
        let mut now = self.0.get();
        now.faults += 1;
        now.deadlines += u64::from(fault.code() == fault::DEADLINE);
        self.0.set(now);
    }
}

type Dispatch = fn(&Rc<dyn Any>, &CallContext, usize, Taken) -> Deferred<Value>;

impl Object {
    /// The object behind this twin.
    #[must_use]
    pub fn new<I: Interface + ?Sized>(object: Rc<I>) -> Self {
        Self {
            descriptor: I::descriptor(),
            handle: Rc::new(object),
            dispatch: |handle, context, method, arguments| {
                let object = handle.downcast_ref::<Rc<I>>();
                let object = object.expect("it was made of one, above");
                Rc::clone(object).dispatch(context, method, arguments)
            },
            counts: Rc::default(),
        }
    }

    /// An object whose calls a client carries, when nothing more is known of its interface than the descriptor. As a
    /// [`MakeTwin`](crate::MakeTwin) it is `Object::carried`.
    #[must_use]
    pub fn carried(client: Client) -> Self {
        Self {
            descriptor: client.descriptor(),
            handle: Rc::new(client),
            dispatch: |handle, context, method, arguments| {
                let client = handle.downcast_ref::<Client>();
                let client = client.expect("it was made of one, above");
                let known = client.descriptor().methods.get(method);
                match known {
                    Some(known) => client.call(context, known.name, arguments.named(known)),
                    None => Deferred::fail(arguments.unknown()),
                }
            },
            counts: Rc::default(),
        }
    }

    /// What it offers.
    #[must_use]
    pub fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    /// How often peers have called it, through any [`Calls`](crate::Calls): this one and its clones, and what a realm gave in
    /// its place.
    #[must_use]
    pub fn statistics(&self) -> CallStatistics {
        self.counts.0.get()
    }

    /// The same object, whose calls are counted apart from those of all others.
    #[must_use]
    pub fn counted_apart(mut self) -> Self {
        self.counts = Rc::default();
        self
    }

    pub(crate) fn counts(&self) -> &Rc<Counts> {
        &self.counts
    }

    /// The same object, whose calls count as the other's.
    pub(crate) fn counted_as(&mut self, other: &Self) {
        self.counts = Rc::clone(&other.counts);
    }

    /// Makes a call by name. Fails with [`BadCall`] when the interface has no such method, or one that takes something
    /// else: then nothing was called.
    #[must_use]
    pub fn call(
        &self,
        context: &CallContext,
        method: &str,
        arguments: impl Into<Arguments>,
    ) -> Deferred<Value> {
        let Some(known) = self.descriptor.method(method) else {
            return Deferred::fail(BadCall::unknown(self.descriptor, method));
        };
        self.make(context, known, arguments.into())
    }

    /// Makes a call of a method that was found in the descriptor.
    pub(crate) fn make(
        &self,
        context: &CallContext,
        (index, known): (usize, &'static Method),
        arguments: Arguments,
    ) -> Deferred<Value> {
        match arguments.arranged(self.descriptor, known) {
            Ok(arguments) => (self.dispatch)(&self.handle, context, index, arguments),
            Err(bad) => Deferred::fail(bad),
        }
    }

    /// Where it is: clones are at the same place.
    #[cfg(feature = "pb")]
    pub(crate) fn address(&self) -> *const () {
        Rc::as_ptr(&self.handle).cast()
    }

    /// The twin again.
    ///
    /// # Errors
    /// The object offers another interface.
    pub fn get<I: Interface + ?Sized>(&self) -> Result<Rc<I>, WrongInterface> {
        match self.handle.downcast_ref::<Rc<I>>() {
            Some(object) => Ok(Rc::clone(object)),
            None => Err(WrongInterface {
                offered: self.descriptor.name,
                asked: I::descriptor().name,
            }),
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.descriptor.name)
    }
}

/// An object was asked for an interface that it does not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongInterface {
    /// What it offers.
    pub offered: &'static str,
    /// What was asked for.
    pub asked: &'static str,
}

impl fmt::Display for WrongInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, asked } = self;
        write!(f, "the object offers `{offered}`, not `{asked}`")
    }
}

impl Error for WrongInterface {}

#[cfg(test)]
mod tests {
    use super::*;

    trait One {
        fn number(&self) -> u32;
    }
    trait Two {}

    const fn named(name: &'static str) -> Descriptor {
        Descriptor {
            name,
            doc: "",
            methods: &[],
        }
    }
    static ONE: Descriptor = named("One");
    static TWO: Descriptor = named("Two");

    impl Interface for dyn One {
        fn descriptor() -> &'static Descriptor {
            &ONE
        }

        fn dispatch(
            self: Rc<Self>,
            _context: &CallContext,
            _method: usize,
            _arguments: Taken,
        ) -> Deferred<Value> {
            Deferred::succeed(Value::Integer(self.number().into()))
        }
    }
    impl Interface for dyn Two {
        fn descriptor() -> &'static Descriptor {
            &TWO
        }

        fn dispatch(
            self: Rc<Self>,
            _context: &CallContext,
            _method: usize,
            _arguments: Taken,
        ) -> Deferred<Value> {
            Deferred::succeed(Value::Nothing)
        }
    }
    impl One for u32 {
        fn number(&self) -> u32 {
            *self
        }
    }

    #[test]
    fn the_interface_is_found_again_and_no_other() {
        let object = Object::new::<dyn One>(Rc::new(7_u32));
        assert_eq!(object.descriptor().name, "One");
        assert_eq!(object.get::<dyn One>().map(|one| one.number()), Ok(7));
        let error = object.get::<dyn Two>().err();
        let text = error.map(|error| error.to_string());
        assert_eq!(text.as_deref(), Some("the object offers `One`, not `Two`"));
    }
}
