//! Bytes as they come from a driver: lent for one callback, or taken together with the buffer they lie in.
//! Knows no connection, and no driver but by its lease.

use crate::driver::Lease;
use std::{cell::RefCell, fmt, mem, ops::Deref, rc::Rc};

/// Buffers that were taken and given back are kept for the next one up to this many bytes, and at least one of them.
pub const SPARE_BYTES: usize = 1 << 20;

/// Bytes that arrived, for one callback: to look at, or to keep without a copy.
pub struct Received<'a>(&'a mut Lease);

impl<'a> Received<'a> {
    /// What a driver, or a layer that has bytes of its own, put into this lease.
    #[inline]
    pub fn new(lease: &'a mut Lease) -> Self {
        Self(lease)
    }

    /// The bytes, at least one.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Bytes of memory that a chunk of it would keep: the length of the buffer.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.buffer.len()
    }

    /// Takes the buffer that the bytes lie in: nothing is copied, and nothing else is ever written to it. The driver
    /// goes on with a spare one, or with a new one where there is none.
    ///
    /// A buffer may be much larger than what is in it ([`Chunk::held`]); it is given back when the chunk is dropped.
    #[must_use]
    pub fn take(self) -> Chunk {
        let lease = self.0;
        let end = mem::take(&mut lease.length);
        let (buffer, home) = if lease.reused {
            let spares = Rc::clone(lease.spares.get_or_insert_default());
            let spare = spares.take(lease.buffer.len());
            (mem::replace(&mut lease.buffer, spare), Some(spares))
        } else {
            (mem::take(&mut lease.buffer), None)
        };
        Chunk {
            buffer,
            start: 0,
            end,
            home,
        }
    }
}

impl fmt::Debug for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} bytes)", self.0.length)
    }
}

/// Received bytes in the buffer that the driver received them in. The buffer is used again once this is dropped.
pub struct Chunk {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    home: Option<Rc<Spares>>,
}

impl Chunk {
    /// Forgets the first `count` bytes.
    ///
    /// # Panics
    /// There are not so many.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advanced past the end");
        self.start += count;
    }

    /// Bytes of memory that it keeps, however few are left in it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.keep(mem::take(&mut self.buffer));
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len())
    }
}

/// Buffers that nobody uses, all of one length. The last one given back is the first one taken: it is still in the
/// processor's cache.
#[derive(Default)]
pub(crate) struct Spares(RefCell<Vec<Box<[u8]>>>);

impl Spares {
    /// One of this length; spares of another length are of no use any more.
    fn take(&self, length: usize) -> Box<[u8]> {
        let mut spares = self.0.borrow_mut();
        while let Some(spare) = spares.pop() {
            if spare.len() == length {
                return spare;
            }
        }
        vec![0; length].into()
    }

    fn keep(&self, buffer: Box<[u8]>) {
        let mut spares = self.0.borrow_mut();
        let fits = match spares.last() {
            None => true,
            Some(last) => {
                last.len() == buffer.len() && (spares.len() + 1) * buffer.len() <= SPARE_BYTES
            }
        };
        if fits {
            spares.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lease as a driver fills it that reads into one buffer again and again.
    fn lease(bytes: &[u8], buffer: usize) -> Lease {
        let mut lease = Lease {
            buffer: vec![0; buffer].into(),
            reused: true,
            ..Lease::default()
        };
        fill(&mut lease, bytes);
        lease
    }

    fn fill(lease: &mut Lease, bytes: &[u8]) {
        lease.buffer[..bytes.len()].copy_from_slice(bytes);
        lease.length = bytes.len();
    }

    #[test]
    fn a_taken_buffer_is_the_drivers_own_and_stays_as_it_is() {
        let mut lease = lease(b"first", 8);
        let lent = lease.buffer.as_ptr();
        let mut first = Received::new(&mut lease).take();
        assert_eq!(
            (first.as_ptr(), &*first, first.held()),
            (lent, &b"first"[..], 8)
        );
        assert_eq!((lease.buffer.len(), lease.bytes()), (8, &b""[..]));
        fill(&mut lease, b"second");
        assert_eq!(&*first, b"first");
        first.advance(2);
        assert_eq!(&*first, b"rst");
        first.advance(3);
        assert!(first.is_empty());
    }

    #[test]
    fn a_buffer_that_is_given_back_is_the_next_spare() {
        let mut lease = lease(b"a", 8);
        let lent = lease.buffer.as_ptr();
        drop(Received::new(&mut lease).take());
        let other = lease.buffer.as_ptr();
        for round in 0..4 {
            fill(&mut lease, b"b");
            let expected = if round % 2 == 0 { other } else { lent };
            let chunk = Received::new(&mut lease).take();
            assert_eq!(chunk.as_ptr(), expected, "round {round}");
        }
    }

    #[test]
    fn a_buffer_that_is_not_reused_leaves_nothing_behind() {
        let mut lease = lease(b"all", 3);
        lease.reused = false;
        let chunk = Received::new(&mut lease).take();
        assert_eq!(&*chunk, b"all");
        assert!(lease.buffer.is_empty() && lease.spares.is_none());
    }

    #[test]
    fn spares_are_bounded_and_of_one_length() {
        let mut lease = lease(b"x", SPARE_BYTES / 4);
        let taken: Vec<Chunk> = (0..9)
            .map(|_| {
                lease.length = 1;
                Received::new(&mut lease).take()
            })
            .collect();
        drop(taken);
        let spares = |lease: &Lease| lease.spares.as_ref().unwrap().0.borrow().len();
        assert_eq!(spares(&lease), 4);

        lease.buffer = vec![0; 2 * SPARE_BYTES].into();
        let large: Vec<Chunk> = (0..3)
            .map(|_| {
                lease.length = 1;
                Received::new(&mut lease).take()
            })
            .collect();
        assert_eq!(spares(&lease), 0);
        drop(large);
        assert_eq!(spares(&lease), 1);
    }

    #[test]
    fn a_chunk_may_outlive_the_lease() {
        let mut lease = lease(b"late", 4);
        let chunk = Received::new(&mut lease).take();
        drop(lease);
        assert_eq!(&*chunk, b"late");
    }

    #[test]
    #[should_panic(expected = "advanced past the end")]
    fn advancing_past_the_end_panics() {
        let mut lease = lease(b"few", 8);
        Received::new(&mut lease).take().advance(4);
    }
}
