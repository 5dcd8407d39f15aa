//! Jelly that a peer sent: only what the table in `jelly.rs` lists, anything else is refused. What it becomes is told by a
//! [`Maker`]: plain values, or those of PB (`make.rs`). Knows no messages, and never calls itself.

mod make;

pub(super) use make::PbValues;
use make::Values;

use super::banana::{Item, Reader};
use crate::value::Value;
use std::{collections::BTreeSet, fmt, mem, rc::Rc};
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

/// Reads one expression as a plain value. The peer's own objects that are passed in it are nothing in the value; their
/// numbers are added to `remote`, also before an error: for each the peer waits for a `decref`.
pub(super) fn unjelly(
    reader: &mut Reader<'_>,
    allowed: &Allowed,
    remote: &mut Vec<i128>,
) -> Result<Value, BadJelly> {
    unjelly_with(reader, allowed, &mut Values::new(allowed.copies, remote))
}

/// Reads one expression as what this makes.
pub(super) fn unjelly_with<M: Maker>(
    reader: &mut Reader<'_>,
    allowed: &Allowed,
    maker: &mut M,
) -> Result<M::Made, BadJelly> {
    let mut unjelly = Unjelly {
        reader,
        allowed,
        maker,
        depth: 0,
    };
    unjelly.run()
}

/// Makes what expressions become.
pub(super) trait Maker {
    type Made;
    type Key;

    /// What holds nothing else.
    fn plain(&mut self, value: Value) -> Self::Made;
    fn sequence(&mut self, sort: Sequence, items: Vec<Self::Made>) -> Self::Made;
    fn key(&mut self, key: Key<'_>) -> Result<Self::Key, BadJelly>;
    fn dictionary(&mut self, fields: Vec<(Self::Key, Self::Made)>) -> Result<Self::Made, BadJelly>;
    /// One of a class that is registered.
    fn instance(&mut self, class: &str, state: Self::Made) -> Self::Made;
    /// What begins now has this number.
    fn begin(&mut self, number: i128) -> Result<(), BadJelly>;
    /// What had begun with this number.
    fn shared(&mut self, number: i128, value: Self::Made) -> Result<Self::Made, BadJelly>;
    /// What has this number, and how deep lists and records stand in it.
    fn again(&mut self, number: i128) -> Result<(Self::Made, usize), BadJelly>;
    /// An object of the peer's, which has passed it with this number.
    fn remote(&mut self, number: i128) -> Result<Self::Made, BadJelly>;
    /// An object of ours, by what it was passed with.
    fn local(&mut self, target: Item<'_>) -> Result<Self::Made, BadJelly>;
}

/// Values one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sequence {
    List,
    Tuple,
    Set,
    FrozenSet,
}

/// A key as it was sent.
#[derive(Debug)]
pub(super) enum Key<'r> {
    Integer(i128),
    Bytes(&'r [u8]),
    Text(&'r str),
}

struct Unjelly<'a, 'r, M> {
    reader: &'a mut Reader<'r>,
    allowed: &'a Allowed,
    maker: &'a mut M,
    /// Lists and records that are open.
    depth: usize,
}

enum Element<'r, M: Maker> {
    Made(M::Made),
    Open(Frame<'r, M>),
}

/// Something that has begun.
enum Frame<'r, M: Maker> {
    /// So many more items.
    Items {
        left: usize,
        sort: Sequence,
        items: Vec<M::Made>,
    },
    /// So many more pairs, and the key of the one whose value is read now.
    Fields {
        left: usize,
        key: Option<M::Key>,
        fields: Vec<(M::Key, M::Made)>,
    },
    /// What has this number.
    Shared(i128),
    /// The state of an instance of this class.
    State(&'r str),
}

/// The banana ended, or is something else: only in an expression that no scanner saw, or one that is no jelly.
fn unexpected(what: &str) -> BadJelly {
    BadJelly::new(format_args!("expected {what}"))
}

impl<'r, M: Maker> Unjelly<'_, 'r, M> {
    fn run(&mut self) -> Result<M::Made, BadJelly> {
        let mut outer: Vec<Frame<'r, M>> = Vec::new();
        let mut frame: Option<Frame<'r, M>> = None;
        loop {
            let mut value = match self.element()? {
                Element::Made(value) => value,
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
                    Frame::Items { left, items, .. } => {
                        items.push(value);
                        *left -= 1;
                        if *left > 0 {
                            break;
                        }
                    }
                    Frame::Fields { left, key, fields } => {
                        fields.extend(key.take().map(|key| (key, value)));
                        *left -= 1;
                        if *left > 0 {
                            *key = Some(self.key()?);
                            break;
                        }
                    }
                    Frame::Shared(number) => {
                        value = self.maker.shared(*number, value)?;
                        frame = outer.pop();
                        continue;
                    }
                    Frame::State(class) => {
                        value = self.maker.instance(class, value);
                        frame = outer.pop();
                        continue;
                    }
                }
                self.depth -= 1;
                value = match mem::replace(&mut frame, outer.pop()) {
                    Some(Frame::Fields { fields, .. }) => self.maker.dictionary(fields)?,
                    Some(Frame::Items { sort, items, .. }) => self.maker.sequence(sort, items),
                    _ => unreachable!("the others have gone on above"),
                };
            }
        }
    }

    /// The next element: all of it, or the beginning of what holds others.
    #[inline]
    fn element(&mut self) -> Result<Element<'r, M>, BadJelly> {
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
        Ok(self.plain(value))
    }

    fn plain(&mut self, value: Value) -> Element<'r, M> {
        Element::Made(self.maker.plain(value))
    }

    /// What has this type; so many items follow.
    fn typed(&mut self, word: &'r [u8], count: usize) -> Result<Element<'r, M>, BadJelly> {
        let value = match (word, count) {
            (b"unicode", 1) => Value::String(self.text()?.to_owned()),
            (b"list", _) => return self.items(Sequence::List, count),
            (b"tuple", _) => return self.items(Sequence::Tuple, count),
            (b"set", _) => return self.items(Sequence::Set, count),
            (b"frozenset", _) => return self.items(Sequence::FrozenSet, count),
            (b"dictionary", _) => return self.fields(count),
            (b"None", 0) => Value::Nothing,
            (b"boolean", 1) => match self.bytes("a boolean")? {
                b"true" => Value::Boolean(true),
                b"false" => Value::Boolean(false),
                other => {
                    let found = format!("true or false, found {}", Escaped(other));
                    return Err(unexpected(&found));
                }
            },
            (b"decimal", 2) => match (self.integer()?, self.integer()?) {
                (number, 0) => Value::Integer(number),
                (number, exponent) => Value::String(format!("{number}E{exponent}")),
            },
            (b"datetime" | b"date" | b"time", 1) => Value::String(self.time(word)?),
            _ => return self.linked(word, count),
        };
        Ok(self.plain(value))
    }

    /// The same for what is more than itself: shared, an object, or of a class.
    fn linked(&mut self, word: &'r [u8], count: usize) -> Result<Element<'r, M>, BadJelly> {
        Ok(Element::Made(match (word, count) {
            (b"reference", 2) => {
                let number = self.integer()?;
                self.maker.begin(number)?;
                return Ok(Element::Open(Frame::Shared(number)));
            }
            (b"dereference", 1) => {
                let number = self.integer()?;
                let (value, depth) = self.maker.again(number)?;
                self.check_depth(depth)?;
                value
            }
            (b"remote", 1) => {
                let number = self.integer()?;
                self.maker.remote(number)?
            }
            (b"local", 1) => {
                let target = self.item()?;
                self.maker.local(target)?
            }
            _ => match self.registered(word) {
                Some(class) if count == 1 => return Ok(Element::Open(Frame::State(class))),
                _ => {
                    let message = format_args!(
                        "{} of {count} items is no type that is accepted",
                        Escaped(word)
                    );
                    return Err(BadJelly::new(message));
                }
            },
        }))
    }

    fn registered(&self, word: &'r [u8]) -> Option<&'r str> {
        let name = std::str::from_utf8(word).ok()?;
        self.allowed.classes.contains(name).then_some(name)
    }

    fn items(&mut self, sort: Sequence, count: usize) -> Result<Element<'r, M>, BadJelly> {
        self.check_depth(1)?;
        if count == 0 {
            return Ok(Element::Made(self.maker.sequence(sort, Vec::new())));
        }
        self.depth += 1;
        // Never of a length that was only announced.
        let (left, items) = (count, Vec::new());
        Ok(Element::Open(Frame::Items { left, sort, items }))
    }

    fn fields(&mut self, count: usize) -> Result<Element<'r, M>, BadJelly> {
        self.check_depth(1)?;
        if count == 0 {
            return Ok(Element::Made(self.maker.dictionary(Vec::new())?));
        }
        self.depth += 1;
        let (left, key, fields) = (count, Some(self.key()?), Vec::new());
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
    fn key(&mut self) -> Result<M::Key, BadJelly> {
        if self.item()? != Item::List(2) {
            return Err(unexpected("a key and its value"));
        }
        let key = match self.item()? {
            Item::Integer(number) => Key::Integer(number),
            Item::Bytes(bytes) => Key::Bytes(bytes),
            Item::List(2) if self.bytes("the name of a type")? == b"unicode" => {
                Key::Text(self.text()?)
            }
            _ => return Err(unexpected("a key that is a text or a whole number")),
        };
        self.maker.key(key)
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

#[cfg(test)]
mod tests;
