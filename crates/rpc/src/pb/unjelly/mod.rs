//! Jelly that a peer sent, as a [`Value`]: only what the table in `jelly.rs` lists, anything else is refused. Knows no
//! messages, makes no objects, and never calls itself.

use super::banana::{Item, Reader};
use crate::value::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
    rc::Rc,
};
use tress_core::escape::Escaped;

/// Why an expression is no value. The connection can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadJelly(String);

impl BadJelly {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for BadJelly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is read.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    /// Lists and records in each other.
    pub(super) nesting: usize,
    /// Bytes that copies of what is shared may take, all together.
    pub(super) copies: usize,
    /// Classes whose instances are read.
    pub(super) classes: Rc<BTreeSet<String>>,
}

/// Reads one expression. The peer's own objects that are passed in it are nothing in the value; their numbers are added
/// to `remote`, also before an error: for each the peer waits for a `decref`.
pub(super) fn unjelly(
    reader: &mut Reader<'_>,
    allowed: &Allowed,
    remote: &mut Vec<i128>,
) -> Result<Value, BadJelly> {
    let mut unjelly = Unjelly {
        reader,
        allowed,
        remote,
        depth: 0,
        shared: BTreeMap::new(),
        copied: 0,
    };
    unjelly.run()
}

struct Unjelly<'a, 'r> {
    reader: &'a mut Reader<'r>,
    allowed: &'a Allowed,
    remote: &'a mut Vec<i128>,
    /// Lists and records that are open.
    depth: usize,
    shared: BTreeMap<i128, Shared>,
    /// Bytes.
    copied: usize,
}

/// What has a number, by which it may come again.
struct Shared {
    value: Value,
    depth: usize,
    bytes: usize,
}

enum Element {
    Value(Value),
    Open(Frame),
}

/// Something that has begun.
enum Frame {
    /// So many more items.
    Items { left: usize, items: Vec<Value> },
    /// So many more pairs, and the key of the one whose value is read now.
    Fields {
        left: usize,
        key: String,
        fields: Vec<(String, Value)>,
    },
    /// What has this number.
    Shared(i128),
    /// The state of an instance.
    State,
}

/// The banana ended, or is something else: only in an expression that no scanner saw, or one that is no jelly.
fn unexpected(what: &str) -> BadJelly {
    BadJelly::new(format_args!("expected {what}"))
}

impl<'r> Unjelly<'_, 'r> {
    fn run(&mut self) -> Result<Value, BadJelly> {
        let mut outer: Vec<Frame> = Vec::new();
        let mut frame: Option<Frame> = None;
        loop {
            let mut value = match self.element()? {
                Element::Value(value) => value,
                Element::Open(inner) => {
                    outer.extend(frame.replace(inner));
                    continue;
                }
            };
            loop {
                let Some(open) = &mut frame else {
                    return Ok(value);
                };
                match open {
                    Frame::Items { left, items } => {
                        items.push(value);
                        *left -= 1;
                        if *left > 0 {
                            break;
                        }
                    }
                    Frame::Fields { left, key, fields } => {
                        fields.push((mem::take(key), value));
                        *left -= 1;
                        if *left > 0 {
                            *key = self.key()?;
                            break;
                        }
                    }
                    Frame::Shared(number) => {
                        self.share(*number, &value)?;
                        frame = outer.pop();
                        continue;
                    }
                    Frame::State => {
                        frame = outer.pop();
                        continue;
                    }
                }
                self.depth -= 1;
                value = match mem::replace(&mut frame, outer.pop()) {
                    Some(Frame::Fields { fields, .. }) => record(fields)?,
                    Some(Frame::Items { items, .. }) => Value::List(items),
                    _ => unreachable!("the others have gone on above"),
                };
            }
        }
    }

    /// The next element: all of it, or the beginning of what holds others.
    #[inline]
    fn element(&mut self) -> Result<Element, BadJelly> {
        let value = match self.item()? {
            Item::Integer(number) => Value::Integer(number),
            Item::Float(number) => Value::Float(number),
            Item::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Item::Huge => return Err(unexpected("a whole number of at most 128 bits")),
            Item::List(0) => return Err(unexpected("a type, found an empty list")),
            Item::List(count) => {
                let word = self.bytes("the name of a type")?;
                return self.typed(word, count - 1);
            }
        };
        Ok(Element::Value(value))
    }

    /// What has this type; so many items follow.
    fn typed(&mut self, word: &[u8], count: usize) -> Result<Element, BadJelly> {
        let value = match (word, count) {
            (b"unicode", 1) => Value::String(self.text()?.to_owned()),
            (b"list" | b"tuple" | b"set" | b"frozenset", _) => return self.items(count),
            (b"dictionary", _) => return self.fields(count),
            (b"None", 0) => Value::Nothing,
            (b"boolean", 1) => match self.bytes("a boolean")? {
                b"true" => Value::Boolean(true),
                b"false" => Value::Boolean(false),
                other => {
                    return Err(unexpected(&format!(
                        "true or false, found {}",
                        Escaped(other)
                    )));
                }
            },
            (b"reference", 2) => {
                let number = self.integer()?;
                return Ok(Element::Open(Frame::Shared(number)));
            }
            (b"dereference", 1) => self.copy()?,
            (b"decimal", 2) => match (self.integer()?, self.integer()?) {
                (number, 0) => Value::Integer(number),
                (number, exponent) => Value::String(format!("{number}E{exponent}")),
            },
            (b"datetime" | b"date" | b"time", 1) => Value::String(self.time(word)?),
            (b"remote", 1) => {
                let number = self.integer()?;
                self.remote.push(number);
                Value::Nothing
            }
            (b"local", 1) => {
                return Err(BadJelly::new(
                    "a reference to an object of ours is no value",
                ));
            }
            (_, 1) if self.is_registered(word) => return Ok(Element::Open(Frame::State)),
            _ => {
                let message = format_args!(
                    "{} of {count} items is no type that is accepted",
                    Escaped(word)
                );
                return Err(BadJelly::new(message));
            }
        };
        Ok(Element::Value(value))
    }

    fn is_registered(&self, word: &[u8]) -> bool {
        std::str::from_utf8(word).is_ok_and(|name| self.allowed.classes.contains(name))
    }

    fn items(&mut self, count: usize) -> Result<Element, BadJelly> {
        self.check_depth(1)?;
        if count == 0 {
            return Ok(Element::Value(Value::List(Vec::new())));
        }
        self.depth += 1;
        // Never of a length that was only announced.
        let (left, items) = (count, Vec::new());
        Ok(Element::Open(Frame::Items { left, items }))
    }

    fn fields(&mut self, count: usize) -> Result<Element, BadJelly> {
        self.check_depth(1)?;
        if count == 0 {
            return Ok(Element::Value(Value::Record(Vec::new())));
        }
        self.depth += 1;
        let (left, key, fields) = (count, self.key()?, Vec::new());
        Ok(Element::Open(Frame::Fields { left, key, fields }))
    }

    fn check_depth(&self, more: usize) -> Result<(), BadJelly> {
        let most = self.allowed.nesting;
        if self.depth + more > most {
            let message = format_args!("expected at most {most} lists and records in each other");
            return Err(BadJelly::new(message));
        }
        Ok(())
    }

    /// The beginning of a pair, up to its value.
    fn key(&mut self) -> Result<String, BadJelly> {
        if self.item()? != Item::List(2) {
            return Err(unexpected("a key and its value"));
        }
        let key = match self.item()? {
            Item::Integer(number) => return Ok(number.to_string()),
            Item::Bytes(bytes) => as_text(bytes)?,
            Item::List(2) if self.bytes("the name of a type")? == b"unicode" => self.text()?,
            _ => return Err(unexpected("a key that is a text or a whole number")),
        };
        Ok(key.to_owned())
    }

    /// Gives a number to a value.
    fn share(&mut self, number: i128, value: &Value) -> Result<(), BadJelly> {
        let (depth, bytes) = (value.depth(), bytes(value));
        self.count_copy(bytes)?;
        let value = value.clone();
        let shared = Shared {
            value,
            depth,
            bytes,
        };
        match self.shared.insert(number, shared) {
            None => Ok(()),
            Some(_) => {
                let message = format_args!("`reference` {number} comes twice");
                Err(BadJelly::new(message))
            }
        }
    }

    /// A copy of what has a number.
    fn copy(&mut self) -> Result<Value, BadJelly> {
        let number = self.integer()?;
        let Some(Shared { depth, bytes, .. }) = self.shared.get(&number) else {
            let message = format_args!(
                "`dereference` of {number}, which is not whole yet: values have no cycles"
            );
            return Err(BadJelly::new(message));
        };
        let (depth, bytes) = (*depth, *bytes);
        self.check_depth(depth)?;
        self.count_copy(bytes)?;
        Ok(self.shared[&number].value.clone())
    }

    fn count_copy(&mut self, bytes: usize) -> Result<(), BadJelly> {
        self.copied += bytes;
        let most = self.allowed.copies;
        if self.copied > most {
            let message = format_args!("expected shared values of at most {most} bytes in all");
            return Err(BadJelly::new(message));
        }
        Ok(())
    }

    /// A date, a time or both, as ISO 8601 has it.
    fn time(&mut self, word: &[u8]) -> Result<String, BadJelly> {
        let bytes = self.bytes("a time")?;
        let text = as_text(bytes)?;
        let bad = || {
            unexpected(&format!(
                "a date or time in numbers, found {}",
                Escaped(bytes)
            ))
        };
        let mut numbers = [0_u32; 7];
        let (first, count) = match word {
            b"datetime" => (0, 7),
            b"date" => (0, 3),
            _ => (3, 4),
        };
        let mut words = text.split_ascii_whitespace();
        for number in &mut numbers[first..first + count] {
            *number = words
                .next()
                .and_then(|word| word.parse().ok())
                .ok_or_else(bad)?;
        }
        let [year, month, day, hour, minute, second, micro] = numbers;
        let is_date = matches!((year, month, day), (1..=9999, 1..=12, 1..=31)) || word == b"time";
        let is_time = hour < 24 && minute < 60 && second < 60 && micro < 1_000_000;
        if words.next().is_some() || !is_date || !is_time {
            return Err(bad());
        }
        let fraction = match micro {
            0 => String::new(),
            _ => format!(".{micro:06}"),
        };
        let time = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
        let date = format!("{year:04}-{month:02}-{day:02}");
        Ok(match word {
            b"datetime" => format!("{date}T{time}"),
            b"date" => date,
            _ => time,
        })
    }

    fn text(&mut self) -> Result<&'r str, BadJelly> {
        as_text(self.bytes("a text")?)
    }

    fn item(&mut self) -> Result<Item<'r>, BadJelly> {
        self.reader.next().ok_or_else(|| unexpected("more"))
    }

    fn bytes(&mut self, what: &str) -> Result<&'r [u8], BadJelly> {
        self.reader.bytes().ok_or_else(|| unexpected(what))
    }

    fn integer(&mut self) -> Result<i128, BadJelly> {
        let number = self.reader.integer();
        number.ok_or_else(|| unexpected("a whole number of at most 128 bits"))
    }
}

fn as_text(bytes: &[u8]) -> Result<&str, BadJelly> {
    let text = std::str::from_utf8(bytes);
    text.map_err(|_| unexpected(&format!("a text in UTF-8, found {}", Escaped(bytes))))
}

/// These fields, when each has a name of its own.
fn record(fields: Vec<(String, Value)>) -> Result<Value, BadJelly> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some([twice, _]) = names.array_windows().find(|[one, other]| one == other) {
        let message = format_args!("the key {} comes twice", Escaped(twice.as_bytes()));
        return Err(BadJelly::new(message));
    }
    Ok(Value::Record(fields))
}

/// What a value takes, about.
fn bytes(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(bytes).sum(),
        Value::Record(fields) => {
            let fields = fields.iter();
            fields.map(|(name, value)| name.len() + bytes(value)).sum()
        }
        _ => 0,
    };
    size_of::<Value>() + inner
}

#[cfg(test)]
mod tests;
