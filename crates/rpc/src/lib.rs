//! What every interface is made of: a [`Descriptor`] that says what it offers, an [`Object`] that offers it, and the
//! [`CallContext`] of each call. Knows no interface and no protocol by name.
//!
//! An interface is a trait with `async` methods that business code implements. Beside it stand, today written by
//! hand, an object-safe twin whose methods take a call context and return a `Deferred`, implemented for everything
//! that implements the trait; a handle that implements the trait over the twin; and the descriptor. A [`Client`] calls any
//! object by the names in its descriptor, on its own thread or on another's ([`Distant`]).

#![forbid(unsafe_code)]

mod client;
mod descriptor;
mod distant;
mod object;
mod value;

pub use client::{Carrier, Client, MakeTwin};
pub use descriptor::{Argument, Descriptor, Kind, Method};
pub use distant::{CallLimits, Distant, HomeStopped, Homes, NoAnswer, TooManyCalls};
pub use object::{BadCall, CallContext, Interface, Object, WrongInterface};
pub use value::{Value, Valued, WrongKind};
