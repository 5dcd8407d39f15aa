//! What was opened elsewhere, on the mio driver: what only descriptors have, and where a port is open elsewhere too. One
//! test at a time, and nothing is left open after it.

mod descriptors;
mod kept;
mod serial;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../world/mod.rs"]
mod world;
