//! Child processes on the mio driver: what Twisted's `process.rst` promises, in its order, and what it does not say.
//! What holds on every driver is in the behaviour suite, under `processes`.

mod bulk;
mod events;
mod leaks;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../world/mod.rs"]
mod sockets;
mod starting;
mod world;
