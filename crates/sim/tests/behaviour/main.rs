//! How the virtual network behaves, seen by reactors and seen without one. No test waits for real time.

mod datagrams;
mod driver;
mod jobs;
mod names;
mod network;
mod peer;
