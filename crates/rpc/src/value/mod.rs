//! Values that go between threads and over wires: what arguments and results are when no type is known. Knows no
//! protocol.
//!
//! Every type of serde becomes one ([`to_value`]) and is read back from one ([`from_value`]). An option that is nothing is
//! [`Value::Nothing`]; a structure is a [`Value::Record`]; an enum is tagged on the outside, as serde does it.

mod blob;
mod de;
mod ser;

pub use blob::Blob;
pub(crate) use blob::encoded;
pub use de::from_value;
pub use ser::to_value;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::{borrow::Cow, error::Error, fmt};

/// A value whose type is not known; may go to another thread.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Nothing,
    /// Yes or no.
    Boolean(bool),
    /// A whole number; what a type or a protocol takes may be less.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    String(String),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
    /// Any number of values.
    List(Vec<Self>),
    /// Values with names, in the order in which they were written.
    Record(Vec<(String, Self)>),
}

impl Value {
    /// What it is, in words.
    #[must_use]
    pub fn described(&self) -> Cow<'static, str> {
        match self {
            Self::Nothing => "nothing".into(),
            Self::Boolean(value) => format!("`{value}`").into(),
            Self::Integer(number) => format!("the integer {number}").into(),
            Self::Float(number) => format!("the number {number}").into(),
            Self::String(_) => "a string".into(),
            Self::Bytes(_) => "bytes".into(),
            Self::List(_) => "a list".into(),
            Self::Record(_) => "a record".into(),
        }
    }

    /// How deep lists and records stand in each other: 0 for a plain value.
    #[must_use]
    pub fn depth(&self) -> usize {
        let inner = match self {
            Self::List(items) => items.iter().map(Self::depth).max(),
            Self::Record(fields) => fields.iter().map(|(_, value)| value.depth()).max(),
            _ => return 0,
        };
        1 + inner.unwrap_or(0)
    }
}

impl schemars::JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// A value is not what a type takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// Where in the value: `.name` and `[3]`, from the outside in; empty for the value itself.
    path: String,
    message: String,
}

impl BadValue {
    /// With this reason.
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            path: String::new(),
            message: message.to_string(),
        }
    }

    /// The same, seen from outside of what is called so.
    #[must_use]
    pub(crate) fn inside(mut self, step: &dyn fmt::Display) -> Self {
        self.path = format!("{step}{}", self.path);
        self
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, message } = self;
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            f.write_str(message)
        } else {
            write!(f, "`{path}`: {message}")
        }
    }
}

impl Error for BadValue {}

impl serde::de::Error for BadValue {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }
}

impl serde::ser::Error for BadValue {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }
}

/// From any format that says itself what it holds. A field that comes twice is refused.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        Value::deserialize(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        Value::deserialize(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new(); // never of a length that was only announced
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut record: Vec<(String, Value)> = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            if !names.insert(name.clone()) {
                let message = format!("`{name}` comes twice");
                return Err(serde::de::Error::custom(message));
            }
            record.push((name, fields.next_value()?));
        }
        Ok(Value::Record(record))
    }
}

#[cfg(test)]
mod tests;
