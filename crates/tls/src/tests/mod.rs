//! Tests of the whole crate, by area.

mod closing;
mod configuration;
mod flow;
mod handshake;
mod hostile;
mod names;
mod simulated;
mod starting;
mod world;
