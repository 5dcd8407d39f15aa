//! What tests of programs on tress need, and what tests tress: a clock set by hand, a protocol on a table top, and the
//! behaviour suite that every driver passes. Opens no socket and waits for no real time.

mod clock;
mod log;
pub mod memory;
pub mod suite;

pub use clock::ManualClock;
pub use log::logged;
