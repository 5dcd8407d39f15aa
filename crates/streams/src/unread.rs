//! What has arrived and nobody has read: in the driver's buffers where that is worth while, else copied together.
//! Knows neither transport nor reader.
//!
//! A buffer is taken when at least 1 KiB and a quarter of it are filled, else the bytes are copied. Measured (release,
//! x86_64): to copy costs 26 ns for 1 KiB, 60 ns for 4 KiB, 0.24 µs for 16 KiB, 1.6 µs for 64 KiB; to take 10 ns when a
//! spare buffer of 64 KiB lies ready, and 45 µs when it has to be made. With many connections few lie ready: then
//! taking a buffer for few bytes is far dearer than copying them, whether somebody waits to read them or not. And no
//! connection keeps more than four bytes of memory for each that arrived.

use std::{collections::VecDeque, ops::Deref};
use tress_core::received::{Chunk, Received};

/// Memory for bytes that wait unread, from which on the peer has to wait: 64 KiB. One more buffer of the driver's may
/// come on top of it.
pub const UNREAD_BYTES: usize = 65_536;

/// Fewer bytes are copied.
const TAKEN_BYTES_MIN: usize = 1024;
/// A taken buffer is at most so many times as large as what is in it.
const TAKEN_SHARE: usize = 4;

/// The pieces that wait, in order.
#[derive(Default)]
pub(crate) struct Unread {
    pieces: VecDeque<Piece>,
    /// Memory of all pieces, the one that is being read included.
    held: usize,
    /// How long the piece that is being read was.
    lent: usize,
}

/// Bytes that arrived, and how far they have been read.
pub(crate) enum Piece {
    Taken(Chunk),
    Copied { bytes: Vec<u8>, start: usize },
}

impl Unread {
    /// Keeps what arrived.
    pub(crate) fn push(&mut self, received: Received<'_>) {
        let (length, held) = (received.bytes().len(), received.held());
        if length >= TAKEN_BYTES_MIN && length >= held / TAKEN_SHARE {
            self.held += held;
            self.pieces.push_back(Piece::Taken(received.take()));
        } else {
            self.copy(received.bytes());
        }
    }

    /// The same for bytes that are only lent.
    pub(crate) fn copy(&mut self, data: &[u8]) {
        if let Some(Piece::Copied { bytes, .. }) = self.pieces.back_mut() {
            let before = bytes.capacity();
            bytes.extend_from_slice(data);
            self.held += bytes.capacity() - before;
            return;
        }
        let bytes = data.to_vec();
        self.held += bytes.capacity();
        self.pieces.push_back(Piece::Copied { bytes, start: 0 });
    }

    /// The first piece; its memory counts until [`Unread::done`].
    pub(crate) fn pop(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front();
        self.lent = piece.as_ref().map_or(0, |piece| piece.len());
        piece
    }

    /// A piece has been read.
    pub(crate) fn done(&mut self, piece: Piece) {
        self.held -= piece.held();
        self.lent = 0;
    }

    /// Bytes that wait; the piece that is being read counts in full.
    pub(crate) fn bytes(&self) -> usize {
        self.lent + self.pieces.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// Whether the peer has to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.held >= UNREAD_BYTES
    }

    /// Whether everything has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }
}

impl Piece {
    /// The first `count` bytes have been read.
    pub(crate) fn advance(&mut self, count: usize) {
        match self {
            Self::Taken(chunk) => chunk.advance(count),
            Self::Copied { bytes, start } => {
                assert!(count <= bytes.len() - *start, "advanced past the end");
                *start += count;
            }
        }
    }

    fn held(&self) -> usize {
        match self {
            Self::Taken(chunk) => chunk.held(),
            Self::Copied { bytes, .. } => bytes.capacity(),
        }
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Taken(chunk) => chunk,
            Self::Copied { bytes, start } => &bytes[*start..],
        }
    }
}
