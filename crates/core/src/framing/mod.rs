//! Framings: wrapper types that cut bytes into lines and strings. Each knows its bytes and nothing else.
//!
//! A protocol that thinks in lines implements [`LineReceiver`] and is wrapped in [`Lines`]; one that thinks in strings
//! implements [`StringReceiver`] and is wrapped in [`Netstrings`], [`Int8Strings`], [`Int16Strings`] or
//! [`Int32Strings`]. The wrapper is the [`Protocol`](crate::Protocol) that a factory builds:
//!
//! ```
//! use tress_core::{Result, framing::{LineReceiver, LineTransport, Lines}, testing::memory::Tester};
//!
//! struct Answer;
//! impl LineReceiver for Answer {
//!     fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
//!         transport.send_line(match line {
//!             b"How are you?" => b"Fine",
//!             _ => b"I don't know what you mean",
//!         });
//!         Ok(())
//!     }
//! }
//!
//! let tester = Tester::new(Lines::new(Answer)); // on a reactor: listen("tcp:8123", || Lines::new(Answer))
//! tester.receive(b"How are you?\r\nWhat?\r\n");
//! assert_eq!(tester.sent(), b"Fine\r\nI don't know what you mean\r\n");
//! ```
//!
//! All framings keep these promises. A string arrives whole, however its bytes were cut on the way, and is lent for
//! one callback; what arrives in one piece is not copied. Nothing is delivered while reading is paused, while more
//! output waits than the high-water mark, or after closing was asked for; what is left is delivered in order later, or
//! thrown away. Memory grows with what has arrived, never with a length that a peer declared. A peer that breaks the
//! rules is logged with one warning and cut off; that is no failure of the protocol.

mod buffer;
mod lines;
mod netstrings;
mod prefixed;
mod strings;
#[cfg(test)]
mod tests;

pub use lines::{Cut, Delimiter, LineOptions, LineReceiver, LineTransport, Lines, cut_line};
pub use netstrings::{Netstring, Netstrings};
pub use prefixed::{Int8Strings, Int16Strings, Int32Strings, Prefix};
pub use strings::{
    Format, Parsed, StringOptions, StringReceiver, StringTooLong, StringTransport, Strings,
};

use crate::{escape::Escaped, transport::Transport};

/// Cuts off a peer that broke the rules, with one line in the log. What was answered before still leaves.
#[cold]
fn misbehaved(transport: &Transport, protocol: &str, expected: &str, bytes: &[u8]) {
    let (peer, bytes) = (transport.peer(), Escaped(bytes));
    tracing::warn!(target: "tress", "{protocol}: {peer} is cut off: expected {expected}, got {bytes}");
    transport.lose_connection();
}
