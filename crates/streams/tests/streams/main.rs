//! Streams on a table top, in the simulator and on real sockets. One program, so that it is linked once.

mod buffers;
mod http;
mod random;
mod serving;
mod simulated;
mod sockets;
mod states;
mod support;
