//! The operating system's side of tress: the drivers [`Mio`] (epoll, kqueue) and, with the feature `uring`, the
//! experimental `Uring` (io_uring); signals; host names ([`SystemResolver`]); lock files; and [`Workers`].
//!
//! Nothing else in tress opens a socket, starts a thread or reads a clock. Nothing here knows a protocol.

mod adopting;
mod blame;
mod clock;
pub mod lock_file;
pub mod logs;
mod mio;
mod passing;
mod pool;
mod process;
pub mod resolver;
pub mod seam;
pub mod serial;
mod signals;
pub mod stdio;
mod streams;
mod sys;
pub mod systemd;
mod unix;
pub mod upgrade;
#[cfg(all(feature = "uring", target_os = "linux"))]
mod uring;
mod waits;
#[cfg(target_os = "linux")]
pub mod watch;
pub mod workers;

pub use clock::SystemClock;
pub use mio::Mio;
pub use resolver::SystemResolver;
#[cfg(all(feature = "uring", target_os = "linux"))]
pub use uring::{Uring, UringOptions};
pub use workers::{Worker, Workers};
