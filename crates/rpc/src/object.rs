//! An object behind an interface, with the interface forgotten and found again. Knows no interface by name.

use crate::descriptor::Descriptor;
use std::{any::Any, error::Error, fmt, rc::Rc};
use tress_core::{Address, Reactor, Result, Transport};

/// The object-safe twin of an interface, as in `dyn DynFinger`: it knows its descriptor.
pub trait Interface: 'static {
    /// What it offers.
    fn descriptor() -> &'static Descriptor;
}

/// Who calls, and the loop that the call runs on.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Where the call's tasks run.
    pub reactor: Reactor,
    /// Whose call it is; [`Address::Unknown`] for a call from inside the program.
    pub peer: Address,
}

impl CallContext {
    /// A call from inside the program.
    #[must_use]
    pub fn local(reactor: &Reactor) -> Self {
        Self {
            reactor: reactor.clone(),
            peer: Address::Unknown,
        }
    }

    /// A call that the peer of this connection makes.
    ///
    /// # Errors
    /// The reactor has been dropped.
    pub fn of(transport: &Transport) -> Result<Self> {
        Ok(Self {
            reactor: transport.reactor()?,
            peer: transport.peer(),
        })
    }
}

/// An object that offers one interface; clones are the same object.
#[derive(Clone)]
pub struct Object {
    descriptor: &'static Descriptor,
    /// An `Rc<I>` in a box of its own: `Any` needs a sized type.
    handle: Rc<dyn Any>,
}

impl Object {
    /// The object behind this twin.
    #[must_use]
    pub fn new<I: Interface + ?Sized>(object: Rc<I>) -> Self {
        Self {
            descriptor: I::descriptor(),
            handle: Rc::new(object),
        }
    }

    /// What it offers.
    #[must_use]
    pub fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
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
    }
    impl Interface for dyn Two {
        fn descriptor() -> &'static Descriptor {
            &TWO
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
