//! The standing workload of the simulator: the chat and the finger service of the seed, with clients that come back, a
//! child and datagrams, while everything goes wrong that can. `cargo xtask sim` runs it. Opens nothing and waits for
//! nothing: all of it is decided by a seed.
#![forbid(unsafe_code)]

mod chat;
mod checked;
mod finger;
mod ledger;
mod log;
mod mutant;
mod pings;
mod scale;
mod town;
mod words;

pub use mutant::Mutation;
pub use scale::{Scale, scale};
pub use town::{Outcome, run};
