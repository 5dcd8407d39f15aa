//! One process takes the place of another: the sockets that listen are passed on, never closed and opened again, so nobody
//! who connects meanwhile is lost. Knows no application and no file; when the old process ends is its own affair.
//!
//! ```text
//! old: starts the new --> writes what the sockets are --------> "ready": leaves the files, says "go", lets its peers finish
//! new: reads it --> listens at what it wants of them, runs --> says "ready" --> "go", or the old one's end: takes the files
//! ```
//! Until "go" the old process serves as if nothing were, and so it does when the new one fails, ends, speaks another version
//! or says nothing in time: then that is killed. From "ready" to "go" both take peers from the same queues.
//!
//! The new process finds the number of the old one in the variable `TRESS_UPGRADE`, a UNIX socket to it as descriptor 3, and
//! the sockets from 4 on. Who opened that socket is asked of the kernel: a child that has inherited no more than the variable
//! is none that takes a place. Sources: nginx (`USR2`), and HAProxy and Envoy, which pass sockets to a process that is ready.

mod predecessor;
mod program;
mod successor;
mod wire;

pub use predecessor::Predecessor;
pub use program::Program;
pub use successor::{NotUpgraded, Successor, start};

/// Names the process whose place is to be taken.
const VARIABLE: &str = "TRESS_UPGRADE";
/// Where the new process finds the socket to the old one.
const CHANNEL: u32 = 3;
/// No process is passed more sockets.
const PORTS_MAX: usize = 4096;
