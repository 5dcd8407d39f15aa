//! Wire protocols: bytes on one side, an interface on the other. None opens a socket, reads a file or a clock, or
//! starts a thread: that is what lets them run in a simulation.

#![forbid(unsafe_code)]

pub mod finger;
