//! What tests of programs on tress need, and what tests tress: a clock set by hand, a protocol on a table top, and the
//! behaviour suite that every driver passes. Opens no socket and waits for no real time.

mod clock;
mod log;
pub mod memory;
pub mod suite;

pub use clock::ManualClock;
pub use log::logged;

/// Bytes of which no two stretches look alike.
#[must_use]
pub fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
