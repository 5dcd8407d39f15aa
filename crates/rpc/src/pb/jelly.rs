//! Jelly: what a [`Value`] is as an expression of banana; `unjelly.rs` has the way back. Knows no messages.
//!
//! | jelly | value | |
//! |---|---|---|
//! | `['None']`, `['boolean', 'true']` | nothing, boolean | both ways |
//! | a whole number, a float | integer, float | both ways; beyond 128 bits is an error |
//! | a byte string (Python 2: every string) | bytes | both ways; where a text is expected, UTF-8 is one |
//! | `['unicode', utf8]` | string | both ways |
//! | `['list', …]` | list | both ways |
//! | `['tuple', …]`, `['set', …]`, `['frozenset', …]` | list | read only |
//! | `['dictionary', [key, value]…]` | record | both ways; keys are texts, or numbers, which become texts |
//! | `['decimal', n, exponent]` | integer, or the string `123E-2` | read only |
//! | `['datetime', 'y m d h m s us']`, `date`, `time` | string of ISO 8601 | read only |
//! | `['reference', n, x]`, `['dereference', n]` | `x`, and a copy of it | read only; cycles are refused |
//! | `[name, state]` of a class that was registered | its state | read only |
//! | `['remote', n]`, `['local', n]` | none: see the broker | |
//!
//! Everything else (classes, modules, functions, methods, instances, persistent and cached objects) is refused.
//! Source: Twisted's `spread/jelly.py`.

use super::banana::{TooLarge, Writer};
use crate::value::Value;

/// Writes a value. Its depth is that of a type of the application's, or of what a peer was allowed to send.
pub(super) fn jelly(writer: &mut Writer<'_>, value: &Value) -> Result<(), TooLarge> {
    match value {
        Value::Nothing => {
            writer.list(1)?;
            writer.bytes(b"None")
        }
        Value::Boolean(yes) => {
            writer.list(2)?;
            writer.bytes(b"boolean")?;
            writer.bytes(if *yes { b"true" } else { b"false" })
        }
        Value::Integer(number) => {
            writer.integer(*number);
            Ok(())
        }
        Value::Float(number) => {
            writer.float(*number);
            Ok(())
        }
        Value::String(text) => unicode(writer, text),
        Value::Bytes(bytes) => writer.bytes(bytes),
        Value::List(items) => sequence(writer, b"list", items),
        Value::Record(fields) => {
            writer.list(1 + fields.len())?;
            writer.bytes(b"dictionary")?;
            for (name, value) in fields {
                writer.list(2)?;
                unicode(writer, name)?;
                jelly(writer, value)?;
            }
            Ok(())
        }
    }
}

/// Writes a text.
pub(super) fn unicode(writer: &mut Writer<'_>, text: &str) -> Result<(), TooLarge> {
    writer.list(2)?;
    writer.bytes(b"unicode")?;
    writer.bytes(text.as_bytes())
}

/// Writes values one after the other, as `list` or `tuple`.
pub(super) fn sequence(
    writer: &mut Writer<'_>,
    word: &[u8],
    items: &[Value],
) -> Result<(), TooLarge> {
    writer.list(1 + items.len())?;
    writer.bytes(word)?;
    items.iter().try_for_each(|item| jelly(writer, item))
}
