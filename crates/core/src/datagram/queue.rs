//! Datagrams that wait to be sent by one port, in order. Owned by the core; a driver takes from the front. Sends
//! nothing itself.

use crate::address::Address;
use std::{collections::VecDeque, fmt};

/// What each counts more than its data: its place in the queue.
const OVERHEAD_BYTES: usize = 64;
/// A longer buffer is not kept once the queue is empty, bytes.
const KEPT_BYTES: usize = 65_536;

/// Datagrams waiting to be sent.
#[derive(Default)]
pub struct DatagramQueue {
    /// The data of all, one after the other; before `start` it has left.
    bytes: Vec<u8>,
    start: usize,
    entries: VecDeque<(Option<Address>, usize)>,
}

impl DatagramQueue {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All that wait, the first to be sent first: to whom, where that is not the peer that the port is connected to,
    /// and what.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&Address>, &[u8])> {
        let mut at = self.start;
        self.entries.iter().map(move |(to, length)| {
            let data = &self.bytes[at..at + length];
            at += length;
            (to.as_ref(), data)
        })
    }

    /// The first `count` have left.
    ///
    /// # Panics
    /// When fewer wait.
    pub fn consume(&mut self, count: usize) {
        for (_, length) in self.entries.drain(..count) {
            self.start += length;
        }
        if self.entries.is_empty() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
        } else if self.start > KEPT_BYTES && self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// One more. Its length was looked at before.
    pub(crate) fn push(&mut self, to: Option<&Address>, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.entries.push_back((to.cloned(), data.len()));
    }

    /// The bytes that this queue holds up, with what each datagram costs.
    pub(crate) fn pending(&self) -> usize {
        self.bytes.len() - self.start + self.entries.len() * OVERHEAD_BYTES
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What it would hold with one more of this length.
    pub(crate) fn pending_with(&self, more: usize) -> usize {
        self.pending() + more + OVERHEAD_BYTES
    }
}

impl fmt::Debug for DatagramQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatagramQueue({})", self.len())
    }
}
