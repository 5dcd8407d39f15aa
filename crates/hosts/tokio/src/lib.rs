//! A reactor inside a tokio runtime ([`run`]), and a tokio runtime beside a reactor ([`OnTokio`]).
//!
//! [`run`] shares the thread of a tokio runtime: tokio waits, for its own sockets and for the reactor's descriptor, and
//! each has its turn. Nothing goes from thread to thread: protocols call tokio's libraries and tokio's tasks write to
//! transports. For a program that is mostly tokio's.
//!
//! ```
//! use tokio::runtime::{Builder, LocalOptions};
//! use tress_core::{Reactor, Result};
//!
//! fn main() -> Result {
//!     let runtime = Builder::new_current_thread()
//!         .enable_all()
//!         .build_local(LocalOptions::default())?;
//!     let reactor = Reactor::with(tress_os::Mio::new()?);
//!     runtime.block_on(async {
//!         let own = reactor.clone();
//!         tokio::task::spawn_local(async move {
//!             tokio::time::sleep(std::time::Duration::from_millis(1)).await;
//!             own.stop()
//!         });
//!         tress_tokio::run(&reactor).await
//!     })
//! }
//! ```
//!
//! [`OnTokio::on_tokio`] is for a program that is mostly not: the reactor runs its own loop, and a future that needs
//! tokio runs on a thread beside it.
//!
//! This crate knows no protocol and no driver. Any driver that has a descriptor to watch will do.

#![forbid(unsafe_code)]

mod host;
mod side;

pub use host::{run, turn_while};
pub use side::OnTokio;
