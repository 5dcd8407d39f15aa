//! Attacks on the real program over real sockets: what a peer sends, or does not read, costs its own connection only.
//! Must not know how the program works inside: it sees an address, a process id and what the kernel tells of that.

#![cfg(test)]
#![cfg(target_os = "linux")] // looks into /proc
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a peer from outside, with sockets, threads and a clock of its own"
)]

mod arguments;
mod crowds;
mod datagrams;
mod faults;
mod hostile_input;
mod kinds;
mod peer;
mod real_peers;
mod stopping;
mod testee;
mod unix;
