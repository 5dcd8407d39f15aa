//! Boxes on the wire: pure functions over bytes. Knows no keys and no values.

use tress_core::{
    Transport,
    framing::{Format, Parsed, Strings},
};

/// The longest key, bytes; the shortest has one.
pub const KEY_BYTES: usize = 255;
/// The longest value, bytes.
pub const VALUE_BYTES: usize = 0xffff;

const BAD_KEY: &str = "an AMP key of 1 to 255 bytes";

/// The framing of AMP: `P` gets each box whole, without its end. Written is what makes a box, and its end after it.
pub(super) type Boxes<P> = Strings<P, AmpBoxes>;

/// The format of AMP's boxes: keys and values with their lengths before them, up to an empty key. What is no box closes
/// the connection at its first wrong byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AmpBoxes {
    /// Where the next key begins: what is before is whole.
    at: usize,
}

impl Format for AmpBoxes {
    const FORMAT: Self = Self { at: 0 };
    const LONGEST: usize = usize::MAX;

    #[inline]
    fn parse(&mut self, input: &[u8], limit: usize) -> Parsed {
        let malformed = Parsed::Malformed { expected: BAD_KEY };
        loop {
            let at = self.at;
            let rest = &input[at..];
            let Some(key) = length(rest) else {
                return if rest.first().is_some_and(|high| *high != 0) {
                    malformed
                } else {
                    Parsed::More
                };
            };
            if key == 0 {
                *self = Self::FORMAT;
                return Parsed::String {
                    string: 0..at,
                    taken: at + 2,
                };
            }
            if key > KEY_BYTES {
                return malformed;
            }
            // The key and the length after it are looked at before they are there: a box never gets longer than that.
            let value = rest.get(2 + key..).and_then(length);
            let end = at + 4 + key + value.unwrap_or(0);
            if end + 2 > limit {
                return Parsed::TooLong { at_least: end + 2 };
            }
            if value.is_none() || input.len() < end {
                return Parsed::More;
            }
            self.at = end;
        }
    }

    fn write(transport: &Transport, string: &[u8]) {
        transport.write(string);
        transport.write(&[0, 0]);
    }
}

/// The length at the beginning.
#[inline]
fn length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk()?;
    Some(usize::from(u16::from_be_bytes(*length)))
}

/// What stands after its length, and the rest.
#[inline]
pub(super) fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = length(bytes)?;
    bytes[2..].split_at_checked(length)
}

/// The keys and values of a box without its end.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = cut(self.0)?;
        let (value, rest) = cut(rest)?;
        self.0 = rest;
        Some((key, value))
    }
}

/// A value is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Writes bytes after their length, which is known when they are there.
#[inline]
pub(super) fn put<E: From<TooLong>>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    write(out)?;
    let length = u16::try_from(out.len() - start - 2).map_err(|_| TooLong)?;
    out[start..start + 2].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Writes a key and its value, both of which fit.
#[inline]
pub(super) fn put_pair(out: &mut Vec<u8>, key: &[u8], value: &[u8]) -> Result<(), TooLong> {
    for part in [key, value] {
        let length = u16::try_from(part.len()).map_err(|_| TooLong)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(part);
    }
    Ok(())
}
