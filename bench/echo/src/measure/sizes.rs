//! How much the echo bench measures.

use std::time::Duration;

/// Rounds, lengths and numbers of everything that is measured.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Rounds of alternating slices.
    pub slices: usize,
    /// How long one slice drives one server.
    pub slice: Duration,
    /// Connections of the large instance in `many`.
    pub many: usize,
    /// Messages counted under strace, with one connection and with 20.
    pub syscall_messages: (usize, usize),
    /// Messages of the short and of the long run under callgrind.
    pub instruction_messages: (usize, usize),
    /// Idle connections held open.
    pub idle: usize,
    /// Connections per slice of the accept rate.
    pub accepts: usize,
    /// Length and number of the open-loop slices.
    pub latency: (Duration, usize),
    /// Starts per server.
    pub starts: usize,
}

impl Sizes {
    /// The sizes that go with `--quick` or without it.
    #[must_use]
    pub fn new(quick: bool) -> Self {
        if quick {
            return Self {
                slices: 5,
                slice: Duration::from_millis(100),
                many: 19_000,
                syscall_messages: (500, 4_000),
                instruction_messages: (1_000, 4_000),
                idle: 2_000,
                accepts: 500,
                latency: (Duration::from_millis(500), 3),
                starts: 5,
            };
        }
        Self {
            slices: 30,
            slice: Duration::from_millis(250),
            many: 19_000,
            syscall_messages: (4_000, 20_000),
            instruction_messages: (2_000, 12_000),
            idle: 8_000,
            accepts: 2_000,
            latency: (Duration::from_secs(3), 3),
            starts: 15,
        }
    }
}
