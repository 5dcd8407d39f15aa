//! TwistedQuotes (`docs/core/howto/design.rst`): an interface of one's own, two objects that offer it, a protocol that was made
//! for it, and their plug-ins. Every other protocol comes from the interface alone.

#![forbid(unsafe_code)]

mod fortune;
mod plugin;
mod qotd;
mod quoter;

pub use fortune::FortuneQuoter;
pub use qotd::{Qotd, QotdFactory};
pub use quoter::{DynQuoter, Quoter, QuoterClient, StaticQuoter};

#[cfg(test)]
mod tests;
