//! AMP, Twisted's Asynchronous Messaging Protocol (`protocols/amp.py`): an object served to its clients ([`AmpFactory`]), and
//! a client of its servers ([`AmpClient`]). Knows no interface.
//!
//! A method is a command of its own name; its arguments are the box's keys. The answer has the one key `result`, and none
//! for a method that gives nothing (`response = []`). What is optional and not there has no key. A box without `_ask` is
//! a call that nobody wants an answer to. What each [`Kind`](crate::Kind) is in a value:
//!
//! | kind | Twisted's argument | the bytes |
//! |---|---|---|
//! | integer, number | `Integer`, `Float` | digits; `1.5`, `inf`, `nan` |
//! | boolean | `Boolean` | `True`, `False` |
//! | string, bytes | `Unicode`, `String` | UTF-8; as they are |
//! | list | `ListOf` | each item after its length in two bytes; lists in lists too |
//! | list of records | `AmpList` | a box for each; fields that are not known are passed over, as in JSON |
//! | record, any, list of these or of optional values | `Unicode` | JSON text, in which bytes are base64 |
//!
//! A value has 65,535 bytes at most, as the protocol has it: an answer that needs more is the error `too-large`, and a call
//! that does is not made. The codes of errors (`_error_code`):
//!
//! | [`Fault`](crate::Fault) | code |
//! |---|---|
//! | [`UNKNOWN_METHOD`](crate::fault::UNKNOWN_METHOD) | `UNHANDLED`, Twisted's `UnhandledCommand` |
//! | [`INTERNAL`](crate::fault::INTERNAL) | `UNKNOWN`, Twisted's `UnknownRemoteError`; then the server closes, as Twisted's does |
//! | every other | its own: `bad-arguments`, `busy`, an application's `ZERO_DIVISION` |
//!
//! Where callers log in ([`AmpFactory::portal`]) they send the command `Login`, with `username` and `password`, both
//! `Unicode`, or with `token`; its answer is empty. AMP itself has no word for that. A Twisted client declares it so:
//!
//! ```python
//! class Login(amp.Command):
//!     arguments = [(b"username", amp.Unicode()), (b"password", amp.Unicode())]
//!     errors = {UnauthorizedLogin: b"unauthorized"}
//! ```
//!
//! `StartTLS`, `ProtocolSwitch` and descriptors are no part of this; nor do both ends of one connection serve.

mod client;
mod form;
mod format;
mod plan;
mod server;

pub use client::{AmpCaller, AmpClient, connect_amp};
pub use format::{AmpBoxes, KEY_BYTES, VALUE_BYTES};
pub use server::{AmpFactory, AmpProtocol};

#[cfg(test)]
mod tests;

const ASK: &[u8] = b"_ask";
const COMMAND: &[u8] = b"_command";
const ANSWER: &[u8] = b"_answer";
const ERROR: &[u8] = b"_error";
const ERROR_CODE: &[u8] = b"_error_code";
const ERROR_DESCRIPTION: &[u8] = b"_error_description";
const RESULT: &[u8] = b"result";
const UNHANDLED: &str = "UNHANDLED";
const UNKNOWN: &str = "UNKNOWN";
