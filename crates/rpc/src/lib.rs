//! What every interface is made of: a [`Descriptor`] that says what it offers, an [`Object`] that offers it, and the
//! [`CallContext`] of each call. Knows no interface by name.
//!
//! An interface is a trait with [`interface`] on it, which business code implements with `async` methods. Beside it stand
//! an object-safe twin whose methods take a call context and return a `Deferred`, implemented for everything
//! that implements the trait; a client that implements the trait over the twin; and the descriptor. A [`Client`] calls any
//! object by the names in its descriptor, on its own thread or on another's ([`Distant`]), and a protocol is made of an
//! object and its descriptor alone.
//!
//! ```
//! use std::rc::Rc;
//! use tress_core::{Reactor, Result};
//! use tress_rpc::{CallContext, Value, interface};
//!
//! /// Says something worth remembering.
//! #[interface(crate = "tress_rpc")]
//! pub trait Quoter {
//!     /// That many quotes.
//!     async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
//! }
//!
//! struct Same(&'static str);
//!
//! impl Quoter for Same {
//!     async fn quotes(&self, count: u32) -> Result<Vec<String>> {
//!         Ok((0..count).map(|_| self.0.to_owned()).collect())
//!     }
//! }
//!
//! # fn main() -> Result {
//! # let world = tress_sim::World::new(1);
//! # let reactor = Reactor::with(world.host("10.0.0.1"));
//! let object = <dyn DynQuoter>::object(Rc::new(Same("An apple a day keeps the doctor away.")));
//! let context = CallContext::local(&reactor);
//! let two = object.call(&context, "quotes", vec![Value::Integer(2)]);
//! # let two = two.try_result().unwrap()?;
//! assert_eq!(two, tress_rpc::to_value(&["An apple a day keeps the doctor away."; 2])?);
//!
//! let refused = object.call(&context, "quotes", vec![Value::Integer(4294967295)]);
//! # let refused = refused.try_result().unwrap().unwrap_err();
//! assert_eq!(
//!     refused.to_string(),
//!     "`Quoter.quotes`: `count`: expected 1 to 1000, found the integer 4294967295",
//! );
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod amp;
mod arguments;
mod calls;
mod client;
pub mod cred;
mod descriptor;
mod distant;
pub mod fault;
mod fitting;
#[cfg(feature = "http")]
pub mod http;
pub mod jsonrpc;
mod kind;
mod limits;
pub mod line;
mod nesting;
mod object;
mod owed;
#[cfg(feature = "pb")]
pub mod pb;
mod pending;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod told;
mod unsayable;
mod value;

pub use arguments::{Arguments, BadCall, Taken};
pub use calls::{Calls, ExposureLimits};
pub use client::{Carrier, Client, MakeTwin};
pub use descriptor::{Argument, Descriptor, Limit, Method};
pub use distant::{CallLimits, Distant, HomeStopped, Homes, NoAnswer, TooManyCalls};
pub use fault::Fault;
pub use fitting::Fitting;
pub use kind::{Kind, Type};
pub use limits::ExposureLimit;
pub use object::{CallContext, CallStatistics, Interface, Object, WrongInterface};
pub use pending::Disconnected;
pub use tress_macros::interface;
pub use unsayable::Unsayable;
pub use value::{BadValue, Blob, Value, from_value, to_value};

/// What `#[interface]` emits stands on these; not for people.
#[doc(hidden)]
pub mod emitted {
    pub use tress_core::Deferred;

    use crate::value::{Value, to_value};
    use serde::Serialize;
    use tress_core::Failure;

    /// The result of a call as a value.
    pub fn to_deferred<T: Serialize + 'static>(called: Deferred<T>) -> Deferred<Value> {
        called.add_callback(|result| to_value(&result).map_err(Failure::from))
    }
}
