//! The operating system's side of tress: the drivers [`Mio`] (epoll, kqueue) and signals.
//!
//! Nothing else in tress opens a socket, starts a thread or reads a clock. Nothing here knows a protocol.

mod clock;
mod mio;
mod signals;
mod sys;

pub use clock::SystemClock;
pub use mio::Mio;
pub use signals::{Signals, stop_on_signals};
