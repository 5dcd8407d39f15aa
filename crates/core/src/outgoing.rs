//! What a connection still has to send. Owned by the core until a driver consumes or takes it. Sends nothing itself.

use bytes::Bytes;
use std::{collections::VecDeque, io::IoSlice};

/// Buffers of at least this many bytes are queued as they are; smaller ones are copied together.
pub const COPY_BELOW: usize = 4096;

/// Bytes waiting to be sent, in order: a copied head, then segments. Empty, it holds no heap.
#[derive(Debug, Default)]
pub struct Outgoing {
    head: Vec<u8>,
    /// How much of `head` has been consumed.
    start: u32,
    /// Bytes that a driver has taken and not yet reported as sent.
    taken: u32,
    tail: Option<Box<Tail>>,
}

#[derive(Debug, Default)]
struct Tail {
    segments: VecDeque<Segment>,
    bytes: usize,
}

#[derive(Debug)]
enum Segment {
    Copied(Vec<u8>, usize),
    Shared(Bytes),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes, start) => &bytes[*start..],
            Self::Shared(bytes) => bytes,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Copied(_, start) => *start += count,
            Self::Shared(bytes) => bytes::Buf::advance(bytes, count),
        }
    }
}

impl Outgoing {
    /// Bytes waiting, those a driver has taken included.
    #[inline]
    #[must_use]
    pub fn pending(&self) -> usize {
        self.unsent() + self.taken as usize
    }

    /// Bytes that no driver has taken yet.
    #[inline]
    #[must_use]
    pub fn unsent(&self) -> usize {
        let tail = self.tail.as_ref().map_or(0, |tail| tail.bytes);
        self.head.len() - self.start as usize + tail
    }

    /// Whether nothing waits that a driver has not taken.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_none()
    }

    /// Whether everything has left.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.head.is_empty() && self.tail.is_none() && self.taken == 0
    }

    /// All of it, when it is one piece: the usual case.
    #[inline]
    #[must_use]
    pub fn single(&self) -> Option<&[u8]> {
        (self.tail.is_none() && self.start == 0).then_some(&self.head[..])
    }

    /// Everything in `single` has been sent.
    #[inline]
    pub fn clear_single(&mut self) {
        self.head.clear();
    }

    /// Fills `slices` with the first pieces, in order, and returns how many there are.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let head = Some(&self.head[self.start as usize..]).filter(|head| !head.is_empty());
        let tail = self.tail.iter().flat_map(|tail| tail.segments.iter());
        let pieces = head.into_iter().chain(tail.map(Segment::bytes));
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// The first `count` bytes have been sent.
    ///
    /// # Panics
    /// When `count` is more than what waits.
    pub fn consume(&mut self, mut count: usize) {
        let head = self.head.len() - self.start as usize;
        if count < head {
            self.start += u32::try_from(count).expect("the hard limit keeps the head below 4 GiB");
            return;
        }
        count -= head;
        self.head.clear();
        self.start = 0;
        let Some(tail) = &mut self.tail else {
            assert_eq!(count, 0, "consumed more than was waiting");
            return;
        };
        tail.bytes -= count;
        while let Some(first) = tail.segments.front_mut() {
            let length = first.bytes().len();
            if count < length {
                first.advance(count);
                return;
            }
            count -= length;
            tail.segments.pop_front();
        }
        self.tail = None;
    }

    /// Moves the first piece out, for a driver that keeps it until it is sent.
    pub fn take(&mut self) -> Option<Taken> {
        let taken = if self.head.is_empty() {
            let tail = self.tail.as_mut()?;
            let piece = tail.segments.pop_front()?;
            tail.bytes -= piece.bytes().len();
            if tail.segments.is_empty() {
                self.tail = None;
            }
            match piece {
                Segment::Copied(bytes, start) => Taken::Copied(bytes, start),
                Segment::Shared(bytes) => Taken::Shared(bytes),
            }
        } else {
            let start = std::mem::take(&mut self.start) as usize;
            Taken::Copied(std::mem::take(&mut self.head), start)
        };
        self.taken += u32::try_from(taken.bytes().len()).expect("the hard limit");
        Some(taken)
    }

    /// Taken bytes have left.
    pub(crate) fn taken_sent(&mut self, count: usize) {
        self.taken -= u32::try_from(count).expect("no more than was taken");
    }

    /// Copies `bytes` to the end. False when they did not fit the head and the caller should check the limits.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> bool {
        if self.tail.is_none() && self.head.capacity() - self.head.len() >= bytes.len() {
            self.head.extend_from_slice(bytes);
            return true;
        }
        self.extend_slow(bytes);
        false
    }

    #[cold]
    #[inline(never)]
    fn extend_slow(&mut self, bytes: &[u8]) {
        let Some(tail) = &mut self.tail else {
            let mut start = self.start as usize;
            append(&mut self.head, &mut start, bytes);
            self.start = u32::try_from(start).expect("the hard limit keeps the head below 4 GiB");
            return;
        };
        tail.bytes += bytes.len();
        match tail.segments.back_mut() {
            Some(Segment::Copied(last, start)) => append(last, start, bytes),
            _ => tail.segments.push_back(Segment::Copied(bytes.to_vec(), 0)),
        }
    }

    /// Queues `bytes` without copying them.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        let tail = self.tail.get_or_insert_default();
        tail.bytes += bytes.len();
        tail.segments.push_back(Segment::Shared(bytes));
    }

    /// Forgets everything that no driver has taken, and the buffer.
    pub(crate) fn clear(&mut self) {
        self.head = Vec::new();
        self.start = 0;
        self.tail = None;
    }

    /// The head's buffer, emptied, once everything has left.
    pub(crate) fn take_emptied(&mut self) -> Vec<u8> {
        debug_assert!(self.is_done());
        self.start = 0;
        std::mem::take(&mut self.head)
    }

    /// Puts an emptied buffer at the head, when the head has none.
    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        if self.head.capacity() == 0 {
            self.head = buffer;
        }
    }

    /// Bytes of memory held for the head.
    pub(crate) fn capacity(&self) -> usize {
        self.head.capacity()
    }
}

/// Appends to a buffer of which the first `start` bytes have left; these go when they are the larger part.
fn append(buffer: &mut Vec<u8>, start: &mut usize, bytes: &[u8]) {
    if *start >= buffer.len() / 2 {
        buffer.drain(..*start);
        *start = 0;
    }
    buffer.extend_from_slice(bytes);
}

/// For tests of drivers: what a connection would send.
impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        let mut out = Self::default();
        out.push(bytes);
        out
    }
}

/// A piece that a driver took over.
#[derive(Debug)]
pub enum Taken {
    /// A buffer of the core's pool and where its unsent bytes start.
    Copied(Vec<u8>, usize),
    /// The user's own buffer.
    Shared(Bytes),
}

impl Taken {
    /// What is to be sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes, start) => &bytes[*start..],
            Self::Shared(bytes) => bytes,
        }
    }

    /// The buffer, emptied, when it is one for the core's pool.
    #[must_use]
    pub fn emptied(self) -> Option<Vec<u8>> {
        match self {
            Self::Copied(mut bytes, _) => {
                bytes.clear();
                Some(bytes)
            }
            Self::Shared(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(out: &Outgoing) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = out.slices(&mut slices);
        slices[..count].iter().flat_map(|s| s.to_vec()).collect()
    }

    fn sample() -> (Outgoing, Vec<u8>) {
        let mut out = Outgoing::default();
        out.extend(b"head");
        out.push(Bytes::from_static(b"shared"));
        out.extend(b"small");
        out.extend(b"er");
        out.push(Bytes::from_static(b"last"));
        (out, b"headsharedsmallerlast".to_vec())
    }

    #[test]
    fn order_is_kept_however_it_is_consumed() {
        for step in 1..=21 {
            let (mut out, mut expected) = sample();
            while !expected.is_empty() {
                assert_eq!(content(&out), expected);
                assert_eq!(out.pending(), expected.len());
                let count = step.min(expected.len());
                out.consume(count);
                expected.drain(..count);
            }
            assert!(out.is_empty());
        }
    }

    #[test]
    fn taken_pieces_stay_pending_until_sent() {
        let (mut out, expected) = sample();
        out.consume(2);
        let mut all = b"he".to_vec();
        while let Some(taken) = out.take() {
            all.extend_from_slice(taken.bytes());
        }
        assert_eq!(all, expected);
        assert!(out.is_empty());
        assert_eq!(out.pending(), expected.len() - 2);
        out.taken_sent(expected.len() - 2);
        assert_eq!(out.pending(), 0);
    }
}
