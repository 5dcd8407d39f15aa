//! Strings with their length before them in one, two or four bytes, big-endian.

use super::strings::{Format, Parsed, Strings};
use crate::transport::Transport;

/// A length in one byte, then the string, for a [`StringReceiver`](super::StringReceiver).
pub type Int8Strings<P> = Strings<P, Prefix<1>>;

/// A length in two bytes, then the string, for a [`StringReceiver`](super::StringReceiver).
pub type Int16Strings<P> = Strings<P, Prefix<2>>;

/// A length in four bytes, then the string, for a [`StringReceiver`](super::StringReceiver).
pub type Int32Strings<P> = Strings<P, Prefix<4>>;

/// The format of [`Int8Strings`], [`Int16Strings`] and [`Int32Strings`]: a length in `WIDTH` bytes, one to four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<const WIDTH: usize>;

impl<const WIDTH: usize> Format for Prefix<WIDTH> {
    const FORMAT: Self = {
        assert!(1 <= WIDTH && WIDTH <= 4, "a prefix has one to four bytes");
        Self
    };
    const LONGEST: usize = usize::MAX >> (usize::BITS as usize - 8 * WIDTH);

    #[inline]
    fn parse(&mut self, input: &[u8], limit: usize) -> Parsed {
        let Some(prefix) = input.first_chunk::<WIDTH>() else {
            return Parsed::More;
        };
        let length = prefix
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length > limit {
            return Parsed::TooLong { at_least: length };
        }
        let taken = WIDTH + length;
        if input.len() < taken {
            return Parsed::More;
        }
        Parsed::String {
            string: WIDTH..taken,
            taken,
        }
    }

    fn write(transport: &Transport, string: &[u8]) {
        let length = string.len().to_be_bytes();
        transport.write(&length[length.len() - WIDTH..]);
        transport.write(string);
    }
}
