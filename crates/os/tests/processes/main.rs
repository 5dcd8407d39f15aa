//! Child processes on the mio driver: what Twisted's `process.rst` promises, in its order, and what it does not say.

mod bulk;
mod events;
mod starting;
mod world;
