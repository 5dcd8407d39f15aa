//! Wire protocols: bytes on one side, an interface on the other. None opens a socket, reads a file or a clock, or
//! starts a thread: that is what lets them run in a simulation.

// What is public here and implements a trait of the core says `do_not_recommend`: who forgot to implement that trait is not
// to be told of finger.

#![forbid(unsafe_code)]

pub mod finger;
pub mod haproxy;
