//! How the virtual network behaves, seen by reactors and seen without one. No test waits for real time.

mod children;
mod datagrams;
mod driver;
mod faults;
mod jobs;
mod names;
mod network;
mod peer;
mod supervised;
