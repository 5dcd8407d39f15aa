//! The generic client: calls by name, carried by anything that can carry a call. Knows no interface; `#[interface]`
//! implements each over [`Client`].

use crate::{
    arguments::Arguments,
    descriptor::Descriptor,
    object::{CallContext, Object},
    value::{BadValue, Value, from_value},
};
use serde::de::DeserializeOwned;
use std::{fmt, rc::Rc};
use tress_core::{Deferred, Failure};

/// Carries calls to an object, wherever that is: on this thread ([`Object`]), on another's
/// ([`Distant`](crate::Distant)), or behind a protocol.
pub trait Carrier: 'static {
    /// What the object offers.
    fn descriptor(&self) -> &'static Descriptor;

    /// Makes a call. Fails with [`BadCall`](crate::BadCall) when it is none of the object's; cancelling cancels it there.
    fn call(&self, context: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value>;
}

impl Carrier for Object {
    fn descriptor(&self) -> &'static Descriptor {
        Self::descriptor(self)
    }

    fn call(&self, context: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        Self::call(self, context, method, arguments)
    }
}

/// An object by its calls only.
#[derive(Clone)]
pub struct Client(Rc<dyn Carrier>);

/// Makes an object of one interface whose calls a client carries.
pub type MakeTwin = fn(Client) -> Object;

impl Client {
    /// Of the object that this carries calls to.
    #[must_use]
    pub fn new(carrier: impl Carrier) -> Self {
        Self(Rc::new(carrier))
    }

    /// What the object offers.
    #[must_use]
    pub fn descriptor(&self) -> &'static Descriptor {
        self.0.descriptor()
    }

    /// Makes a call, and reads its result.
    #[must_use]
    pub fn call<T: DeserializeOwned + 'static>(
        &self,
        context: &CallContext,
        method: &str,
        arguments: impl Into<Arguments>,
    ) -> Deferred<T> {
        let called = self.0.call(context, method, arguments.into());
        called.add_callback(|value| from_value(value).map_err(Failure::from))
    }

    /// The same with arguments that were typed; one that is no value fails the call.
    #[must_use]
    pub fn call_with<T: DeserializeOwned + 'static>(
        &self,
        context: &CallContext,
        method: &str,
        arguments: impl IntoIterator<Item = Result<Value, BadValue>>,
    ) -> Deferred<T> {
        let arguments: Result<Vec<Value>, BadValue> = arguments.into_iter().collect();
        match arguments {
            Ok(arguments) => self.call(context, method, arguments),
            Err(bad) => Deferred::fail(bad),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.descriptor().name)
    }
}
