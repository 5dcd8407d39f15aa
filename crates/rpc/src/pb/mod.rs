//! Perspective Broker, Twisted's protocol of objects, both ways: [`PbFactory`] serves an object to Twisted's clients, and
//! [`PbClient`] calls those of Twisted's servers. Knows no interface.
//!
//! Layers, from the wire up: banana (elements as bytes), jelly (values as elements), the broker (calls, answers, objects).
//!
//! # Values
//! An object behind an interface takes and gives plain values: texts are `unicode`, bytes are byte strings, lists are
//! lists, records are dictionaries; tuples, sets, dates and decimals are read as well, and keys that are numbers become
//! texts. An object that is passed to it is given back, and the call fails.
//!
//! Whoever needs more writes a [`Referenceable`], whose calls take and give [`PbValue`]s, and calls others with
//! [`PbReference::call_with`]: there keys keep their kind, tuples and sets are told from lists, what is shared or in itself
//! stays so, and objects of both sides are passed: a [`PbReference`] is one of the peer's, a [`PbObject`] one of ours. An
//! object has one number for as long as a peer holds it, so both sides can tell whether two are the same.
//!
//! Instances are refused, unless their class was named, [at a server](PbFactory::classes) or
//! [a client](PbClient::connect_with): then they are a [`PbValue::Instance`], and their state in a plain value. Sending one
//! is the simple half of Twisted's `Copyable`; the other half (state that changes, `Cacheable`, paging) is not there yet.
//!
//! # Logins
//! Behind [a portal](PbFactory::with_portal) each gets the object that its [`Realm`](crate::cred::Realm) gives it, and the
//! realm hears once that they have gone. Minds (objects of the client's) are let go.
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
//! [`SIZE_LIMIT`] for strings and lists, [`MAX_REFERENCES`] objects of each side held by the other. What breaks the form of the protocol
//! closes the connection; what is well formed and no value fails its call.

mod banana;
mod broker;
mod calling;
mod failures;
mod jelly;
mod login;
mod protocol;
mod referenceable;
mod server;
mod unjelly;
mod value;

#[cfg(test)]
mod tests;

pub use banana::{BananaError, PREFIX_LIMIT, SIZE_LIMIT};
pub use broker::MAX_REFERENCES;
pub use calling::{PbCarrier, PbReference};
pub use login::{PbCredentials, PbResponse};
pub use protocol::{PbClient, PbError, PbProtocol};
pub use referenceable::Referenceable;
pub use server::PbFactory;
pub use value::{PbArguments, PbKey, PbObject, PbValue};

/// Where PB servers listen, unless somebody says otherwise (TCP).
pub const PORT: u16 = 8787;
