//! What every interface is made of: a [`Descriptor`] that says what it offers, an [`Object`] that offers it, and the
//! [`CallContext`] of each call. Knows no interface and no protocol by name.
//!
//! An interface is a trait with `async` methods that business code implements. Beside it stand, today written by
//! hand, an object-safe twin whose methods take a call context and return a `Deferred`, implemented for everything
//! that implements the trait; a handle that implements the trait over the twin; and the descriptor.

#![forbid(unsafe_code)]

mod descriptor;
mod object;

pub use descriptor::{Argument, Descriptor, Kind, Method};
pub use object::{CallContext, Interface, Object, WrongInterface};
