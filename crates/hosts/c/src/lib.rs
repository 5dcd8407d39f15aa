//! A reactor for loops of other languages: C, and whatever can call C. `tress.h` documents the calls.
//!
//! This is how it is linked: `cargo build --release -p tress-c` makes `libtress_c.so`. The calls are in `door`, which is
//! where `unsafe` is; what they do is in `hosted`, which is plain Rust. Knows no loop.

#![deny(unsafe_op_in_unsafe_fn)]

mod door;
mod finger;
mod hosted;

pub use door::{tress_deadline, tress_descriptor, tress_finger, tress_free, tress_new, tress_turn};
pub use finger::Answered;
pub use hosted::Hosted;
