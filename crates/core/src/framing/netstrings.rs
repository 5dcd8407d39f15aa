//! Netstrings: `5:hello,`. Strict, as <https://cr.yp.to/proto/netstrings.txt> has it: digits, no leading zeros.

use super::strings::{Format, Parsed, Strings};
use crate::transport::Transport;
use std::io::Write;

/// Netstrings for a [`StringReceiver`](super::StringReceiver).
///
/// ```
/// use tress_core::{Result, testing::memory::Tester};
/// use tress_core::framing::{Netstrings, StringReceiver, StringTransport};
///
/// struct Echo;
/// impl StringReceiver for Echo {
///     fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
///         Ok(transport.send_string(string)?)
///     }
/// }
///
/// let tester = Tester::new(Netstrings::new(Echo));
/// tester.receive(b"5:hello,0:,");
/// assert_eq!(tester.sent(), b"5:hello,0:,");
/// tester.receive(b"007:James B,");
/// assert!(tester.is_closed());
/// ```
pub type Netstrings<P> = Strings<P, Netstring>;

/// The format of [`Netstrings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netstring;

impl Format for Netstring {
    const FORMAT: Self = Self;
    const LONGEST: usize = usize::MAX;

    #[inline]
    fn parse(&mut self, input: &[u8], limit: usize) -> Parsed {
        let mut length = 0_usize;
        for (place, byte) in input.iter().enumerate() {
            match byte {
                b'0'..=b'9' if place > 0 && length == 0 => {
                    return Parsed::Malformed {
                        expected: "no digit after a leading zero",
                    };
                }
                b'0'..=b'9' => {
                    let digit = usize::from(byte - b'0');
                    length = length.saturating_mul(10).saturating_add(digit);
                    // So more digits than the limit has are never read.
                    if length > limit {
                        return Parsed::TooLong { at_least: length };
                    }
                }
                b':' if place > 0 => return body(input, place + 1, length),
                _ => {
                    return Parsed::Malformed {
                        expected: "a netstring's length and colon",
                    };
                }
            }
        }
        Parsed::More
    }

    fn write(transport: &Transport, string: &[u8]) {
        // Writing to a transport never fails.
        write!(&mut &*transport, "{}:", string.len()).ok();
        transport.write(string);
        transport.write(b",");
    }
}

/// What follows the colon, which `start` is behind.
fn body(input: &[u8], start: usize, length: usize) -> Parsed {
    let end = start.saturating_add(length);
    match input.get(end) {
        None => Parsed::More,
        Some(b',') => Parsed::String {
            string: start..end,
            taken: end + 1,
        },
        Some(_) => Parsed::Malformed {
            expected: "a comma after a netstring",
        },
    }
}
