//! A virtual network for [`tress_core::Reactor`]s: one clock, one seed, the same trace every time. Opens no socket,
//! reads no clock, starts no thread.
//!
//! A [`World`] holds hosts; each [`World::host`] is a [`Driver`](tress_core::driver::Driver) for one reactor. Segments
//! travel for a while, arrive cut anywhere, and fill windows; time passes only when nothing else can happen, so that a
//! test of a deadline of a hundred years takes no time.
//!
//! ```
//! use tress_core::{Failure, Protocol, Reactor, Transport};
//! use tress_sim::World;
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result<(), Failure> {
//!         transport.write(data);
//!         Ok(())
//!     }
//! }
//!
//! struct Client;
//! impl Protocol for Client {
//!     fn connection_made(&mut self, transport: &Transport) -> Result<(), Failure> {
//!         transport.write(b"hello");
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> tress_core::Result<()> {
//! let world = World::new(1);
//! let (server, client) = (world.host("10.0.0.1"), world.host("10.0.0.2"));
//! let (server, client) = (Reactor::with(server), Reactor::with(client));
//! server.listen("tcp:7", || Echo)?;
//! client.connect("tcp:10.0.0.1:7", || Client).detach();
//! world.run_until_idle(&[&server, &client])?;
//! assert_eq!(world.statistics().bytes, 10);
//! # Ok(())
//! # }
//! ```
//!
//! A single reactor needs no crank: `reactor.run()` on a [`SimDriver`] jumps the clock by itself, and ends with the
//! error `deadlock: nothing will ever happen` rather than hang. (A call from another thread that comes later than that
//! comes too late.)
//!
//! Host names are a table ([`World::add_name`]), which a reactor asks after `reactor.set_name_resolver(world.clone())`.
//!
//! Jobs ([`Reactor::defer_to_thread`](tress_core::Reactor::defer_to_thread)) need no thread: each is run by the loop,
//! when it has had the time that the seed gives it ([`Policy::job`]). A job that waits for another thread therefore waits
//! for ever, and a blocking call in it is refused.
//!
//! Child processes run programs of the world ([`World::add_program`]), through pipes of the world.
//!
//! Things go wrong as often as a test says ([`World::set_fault`]), as the seed decides: see [`Fault`]. [`check`] runs a
//! test for many seeds, and names the one that fails.
//!
//! What a virtual connection does is what Linux does: attempts to connect to a closed port are refused and those to
//! nobody stay unanswered; connections are made before they are accepted, as many as the backlog holds; bytes for an
//! end that has gone are answered by a reset; EMFILE stops accepting until a descriptor is free. Two things differ: a
//! reset drops what its receiver has not read yet, and closing with unread bytes does not reset at once, but only when
//! more of them come.

#![forbid(unsafe_code)]

mod check;
mod children;
mod crash;
mod datagrams;
mod disk;
mod driver;
mod faults;
mod host;
mod jobs;
mod names;
mod network;
mod process;
mod program;
mod signals;
mod stream;
mod world;

pub use check::{SEED_VARIABLE, check};
pub use disk::Disk;
pub use driver::SimDriver;
pub use faults::Fault;
pub use process::SimProcess;
pub use program::{ProgramEvent, ProgramHandle};
pub use world::{Policy, Statistics, World};
