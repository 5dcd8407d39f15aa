//! Jelly: what a value is as an expression of banana; `unjelly/` has the way back. Knows no messages.
//!
//! | jelly | [`Value`] | [`PbValue`] |
//! |---|---|---|
//! | `['None']`, `['boolean', 'true']` | nothing, boolean | the same |
//! | a whole number, a float | integer, float; beyond 128 bits is an error | the same |
//! | a byte string (Python 2: every string) | bytes; where a text is expected, UTF-8 is one | bytes |
//! | `['unicode', utf8]` | string | the same |
//! | `['list', …]` | list | the same |
//! | `['tuple', …]`, `['set', …]`, `['frozenset', …]` | list; read only | each its own |
//! | `['dictionary', [key, value]…]` | record; keys are texts, or numbers, which become texts | with keys as they are |
//! | `['decimal', n, exponent]` | integer, or the string `123E-2`; read only | the same |
//! | `['datetime', 'y m d h m s us']`, `date`, `time` | string of ISO 8601; read only | the same |
//! | `['reference', n, x]`, `['dereference', n]` | `x`, and a copy of it; cycles are refused; read only | as they are |
//! | `[name, state]` of a class that was registered | its state; read only | instance |
//! | `['remote', n]`, `['local', n]` | none: see the broker | objects |
//!
//! Everything else (classes, modules, functions, methods, instances, persistent and cached objects) is refused.
//! Source: Twisted's `spread/jelly.py`.

use super::{
    banana::{TooLarge, Writer},
    value::{PbArguments, PbKey, PbValue},
};
use crate::value::Value;

/// Writes a value. Its depth is that of a type of the application's, or of what a peer was allowed to send.
pub(super) fn jelly(writer: &mut Writer<'_>, value: &Value) -> Result<(), TooLarge> {
    match value {
        Value::Nothing => nothing(writer),
        Value::Boolean(yes) => boolean(writer, *yes),
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

fn nothing(writer: &mut Writer<'_>) -> Result<(), TooLarge> {
    writer.list(1)?;
    writer.bytes(b"None")
}

fn boolean(writer: &mut Writer<'_>, yes: bool) -> Result<(), TooLarge> {
    writer.list(2)?;
    writer.bytes(b"boolean")?;
    writer.bytes(if yes { b"true" } else { b"false" })
}

/// Writes what is an object: it, or whose it is, is nothing that jelly knows.
pub(super) type Object<'o> = dyn FnMut(&mut Writer<'_>, &PbValue) -> Result<(), TooLarge> + 'o;

/// Writes a value of PB, and with this what is an object in it. Its depth is that of [`jelly`].
pub(super) fn jelly_pb(
    writer: &mut Writer<'_>,
    value: &PbValue,
    object: &mut Object<'_>,
) -> Result<(), TooLarge> {
    let mut sequence = |writer: &mut Writer<'_>, word: &[u8], items: &[PbValue]| {
        writer.list(1 + items.len())?;
        writer.bytes(word)?;
        items
            .iter()
            .try_for_each(|item| jelly_pb(writer, item, object))
    };
    match value {
        PbValue::Nothing => nothing(writer),
        PbValue::Boolean(yes) => boolean(writer, *yes),
        PbValue::Integer(number) => {
            writer.integer(*number);
            Ok(())
        }
        PbValue::Float(number) => {
            writer.float(*number);
            Ok(())
        }
        PbValue::String(text) => unicode(writer, text),
        PbValue::Bytes(bytes) => writer.bytes(bytes),
        PbValue::List(items) => sequence(writer, b"list", items),
        PbValue::Tuple(items) => sequence(writer, b"tuple", items),
        PbValue::Set(items) => sequence(writer, b"set", items),
        PbValue::FrozenSet(items) => sequence(writer, b"frozenset", items),
        PbValue::Dictionary(fields) => {
            writer.list(1 + fields.len())?;
            writer.bytes(b"dictionary")?;
            fields.iter().try_for_each(|(key, value)| {
                writer.list(2)?;
                match key {
                    PbKey::Integer(number) => writer.integer(*number),
                    PbKey::String(text) => unicode(writer, text)?,
                    PbKey::Bytes(bytes) => writer.bytes(bytes)?,
                }
                jelly_pb(writer, value, object)
            })
        }
        PbValue::Instance { class, state } => {
            writer.list(2)?;
            writer.bytes(class.as_bytes())?;
            jelly_pb(writer, state, object)
        }
        PbValue::Shared(number, value) => {
            writer.list(3)?;
            writer.bytes(b"reference")?;
            writer.integer(*number);
            jelly_pb(writer, value, object)
        }
        PbValue::Again(number) => {
            writer.list(2)?;
            writer.bytes(b"dereference")?;
            writer.integer(*number);
            Ok(())
        }
        PbValue::Reference(_) | PbValue::Object(_) => object(writer, value),
    }
}

/// Writes what a call is given.
pub(super) fn jelly_arguments(
    writer: &mut Writer<'_>,
    arguments: &PbArguments,
    object: &mut Object<'_>,
) -> Result<(), TooLarge> {
    let PbArguments { positional, named } = arguments;
    writer.list(1 + positional.len())?;
    writer.bytes(b"tuple")?;
    for value in positional {
        jelly_pb(writer, value, object)?;
    }
    writer.list(1 + named.len())?;
    writer.bytes(b"dictionary")?;
    named.iter().try_for_each(|(name, value)| {
        writer.list(2)?;
        unicode(writer, name)?;
        jelly_pb(writer, value, object)
    })
}
