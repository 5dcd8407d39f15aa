//! What one pool may use, in numbers. Acts on nothing.

use std::time::Duration;

/// Bounds of a [`ConnectionPool`](crate::ConnectionPool).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections to the file at once, each with a thread while it works; zero counts as one. Default 4: SQLite has one
    /// writer at a time, and readers beside it.
    pub connections: usize,
    /// Pieces of work that wait for a connection; more fail at once. Default 1024.
    pub waiting: usize,
    /// How long one piece of work may take, from the call on; then it is cancelled. Default 30 s.
    pub time: Duration,
    /// How long a connection waits for another, in this process or elsewhere, that has the file locked. Default 5 s.
    pub busy: Duration,
    /// Rows that a query may give. Default 10,000.
    pub rows: usize,
    /// Bytes that the rows of a query may hold together, and that one text or blob may have anywhere. Default 16 MiB.
    pub bytes: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connections: 4,
            waiting: 1024,
            time: Duration::from_secs(30),
            busy: Duration::from_secs(5),
            rows: 10_000,
            bytes: 16 << 20,
        }
    }
}
