//! Perspective Broker, Twisted's protocol of objects, both ways: [`PbFactory`] serves an object to Twisted's clients, and
//! [`PbClient`] calls those of Twisted's servers. Knows no interface.
//!
//! Layers, from the wire up: banana (elements as bytes), jelly (values as elements), the broker (calls, answers, objects).
//!
//! # Values
//! Texts are `unicode`, bytes are byte strings, lists are lists, records are dictionaries; tuples, sets, dates and
//! decimals are read as well. Instances are refused, unless their class was [named](PbFactory::classes): then their state
//! is a record. Objects travel beside values: a [`PbReference`] is one of the peer's, and a client passes its own as
//! [`PbArgument::Object`]. Methods that are served take values only; an object that is passed to one is given back.
//!
//! # Faults
//! The code of a [`Fault`](crate::Fault) is the type of the failure that Twisted sees, so `failure.check("no-such-user")`
//! works; and some are also known by a class of Twisted's:
//!
//! | code | is caught as | |
//! |---|---|---|
//! | `unknown-method` | `twisted.spread.flavors.NoSuchMethod` | also when the object is gone |
//! | `bad-arguments` | `builtins.TypeError` | also for what is no value |
//! | `too-large` | `twisted.spread.banana.BananaError` | |
//! | `deadline` | `twisted.internet.defer.TimeoutError` | |
//! | `unauthorized` | `twisted.cred.error.UnauthorizedLogin`, `LoginFailed` | |
//! | `cancelled` | `twisted.internet.defer.CancelledError` | |
//! | all but `internal` | `twisted.spread.pb.Error` | a code like `quotes.NoQuote` is that class, too |
//!
//! A client sees the type of the failure as the code, and these classes as their codes.
//!
//! # Limits
//! Those of [`ExposureLimits`](crate::ExposureLimits), and those of Twisted: [`PREFIX_LIMIT`] bytes of a number,
//! [`SIZE_LIMIT`] for strings and lists, [`MAX_REFERENCES`] objects held by a peer. What breaks the form of the protocol
//! closes the connection; what is well formed and no value fails its call.
//!
//! Copyable objects of our own, cacheable ones and paging are not there yet.

mod banana;
mod broker;
mod calling;
mod failures;
mod jelly;
mod login;
mod protocol;
mod server;
mod unjelly;

#[cfg(test)]
mod tests;

pub use banana::{BananaError, PREFIX_LIMIT, SIZE_LIMIT};
pub use broker::MAX_REFERENCES;
pub use calling::{PbAnswer, PbArgument, PbCarrier, PbReference};
pub use login::{PbCredentials, PbResponse};
pub use protocol::{PbClient, PbError, PbProtocol};
pub use server::PbFactory;

/// Where PB servers listen, unless somebody says otherwise (TCP).
pub const PORT: u16 = 8787;
