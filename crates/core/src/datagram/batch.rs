//! Datagrams that came together: what a driver hands over at once. Delivers none of them.

use crate::address::Address;
use std::{fmt, ops::Range};

/// Some datagrams, whole and in order, in one buffer that is used again for the next ones.
#[derive(Default)]
pub struct Datagrams {
    buffer: Vec<u8>,
    entries: Vec<(Address, Range<usize>)>,
    /// How many were dropped because they were longer than the port takes.
    pub too_long: u64,
}

impl Datagrams {
    /// Forgets all of them. The buffer stays.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.too_long = 0;
    }

    /// At least this many bytes of buffer, for a driver that fills it itself and then says with [`Datagrams::add`] what
    /// lies where.
    pub fn buffer(&mut self, bytes: usize) -> &mut [u8] {
        if self.buffer.len() < bytes {
            // Fresh memory, which is there only once it is written to.
            self.buffer = vec![0; bytes];
        }
        &mut self.buffer
    }

    /// A datagram lies at this place in the buffer.
    ///
    /// # Panics
    /// The place is not in the buffer.
    pub fn add(&mut self, from: Address, place: Range<usize>) {
        assert!(place.end <= self.buffer.len(), "outside the buffer");
        self.entries.push((from, place));
    }

    /// Copies a datagram in, behind those that are there.
    pub fn push(&mut self, from: Address, data: &[u8]) {
        let start = self.entries.last().map_or(0, |(_, place)| place.end);
        self.buffer.truncate(start);
        self.buffer.extend_from_slice(data);
        self.entries.push((from, start..start + data.len()));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The one at `index`: whom it came from, and its data.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(&Address, &[u8])> {
        let (from, place) = self.entries.get(index)?;
        Some((from, &self.buffer[place.clone()]))
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagrams({})", self.len())
    }
}
