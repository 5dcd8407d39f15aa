//! A protocol of lines for people, and for programs that are content with text: `quotes 3`, `find "a name"`, `help`. Knows
//! no interface.
//!
//! A line is the name of a method and its arguments, with blanks between them. What has blanks in it stands between double
//! quotes, in which `\"` and `\\` are a quote and a backslash; `yes`, `no`, `true` and `false` are booleans. Optional
//! arguments may be left out from the end on. An empty line is no call. `help` lists the methods, `help quotes` tells of one.
//! Where callers log in ([`LineFactory::portal`]), `login NAME PASSWORD` or `login TOKEN` comes first.
//!
//! An answer is any number of lines and then an empty one, which ends it. Answers come in the order of the lines.
//!
//! | result | lines |
//! |---|---|
//! | nothing | `ok` |
//! | a text | its lines, as they are |
//! | a number, a boolean, bytes | one: `3`, `true`, base64 |
//! | an optional value that is not there | none |
//! | a list | one for each item; line ends in it are blanks |
//! | a record | `name: value` for each field |
//! | a list or a record inside of these, a variant | JSON |
//! | a fault | one, which begins with `! `: `! bad-arguments: …` |
//!
//! So that a program can tell, a line of a result that is empty or begins with `!` has a blank before it. Control characters
//! are blanks: the reader may be a terminal.

mod answer;
mod help;
mod server;
mod words;

pub use server::{LineFactory, LineProtocol};
pub use words::{BadWords, words};

#[cfg(test)]
mod tests;

/// The word that is always the protocol's own.
const HELP: &str = "help";
/// How callers log in, where they do.
const LOGIN: &str = "login";
