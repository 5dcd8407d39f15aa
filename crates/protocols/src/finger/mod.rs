//! Finger (RFC 1288), who is here and how they are, and the setter that changes it: the two services of Twisted's
//! finger tutorial. Knows the wire and the two interfaces; where statuses are kept is somebody else's.

mod forward;
mod interface;
mod query;
mod server;
mod setter;

#[cfg(test)]
mod tests;

pub use interface::{
    DynFinger, DynFingerSetter, Finger, FingerClient, FingerSetter, FingerSetterClient,
};
pub use query::{Query, parse};
pub use server::{FingerFactory, FingerOptions, FingerProtocol};
pub use setter::{FingerSetterFactory, FingerSetterProtocol};

/// The longest query, and the most that a setter's client may send, in bytes.
pub const MAX_BYTES: usize = 1024;
