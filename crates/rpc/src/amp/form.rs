//! Values as AMP has them: texts, by the kind of the value. Knows no method.

use super::format::{KEY_BYTES, TooLong, VALUE_BYTES, cut, put};
use crate::{kind::Kind, nesting::is_deeper, value::Value};
use std::io::{self, Write};

/// How values of a kind are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// There is no such value.
    Nothing,
    Boolean,
    Integer,
    Float,
    Text,
    Bytes,
    List(Box<Self>),
    Boxes(Vec<(String, Self)>),
    Json,
    /// Nobody knows: what is written says it itself, and what is read is text, a list of such, or bytes.
    Unknown,
}

/// Why a value is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Its text has more bytes than a value may have.
    TooLong,
    /// It is not of its kind.
    Other(String),
}

impl From<TooLong> for Bad {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

impl Form {
    /// Of that kind; what is optional is told by its key, or by `null` in JSON.
    pub(super) fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Nothing => Self::Nothing,
            Kind::Boolean => Self::Boolean,
            Kind::Integer => Self::Integer,
            Kind::Float => Self::Float,
            Kind::String => Self::Text,
            Kind::Bytes => Self::Bytes,
            Kind::Optional(inner) => Self::of(inner),
            Kind::List(inner) => match &**inner {
                Kind::Record(fields) => Self::boxes(fields),
                Kind::Optional(_) => Self::Json,
                inner => match Self::of(inner) {
                    Self::Nothing | Self::Json => Self::Json,
                    form => Self::List(Box::new(form)),
                },
            },
            Kind::Record(_) | Kind::Any => Self::Json,
        }
    }

    fn boxes(fields: &[(String, Kind)]) -> Self {
        if fields
            .iter()
            .any(|(name, _)| !(1..=KEY_BYTES).contains(&name.len()))
        {
            return Self::Json;
        }
        let forms = fields
            .iter()
            .map(|(name, kind)| (name.clone(), Self::of(kind)));
        Self::Boxes(forms.collect())
    }

    /// Reads a value's bytes.
    pub(super) fn read(&self, bytes: &[u8], nesting: usize) -> Result<Value, String> {
        let text = || std::str::from_utf8(bytes).map_err(|_| "expected UTF-8".to_owned());
        let number = |expected: &str| format!("expected {expected}");
        match self {
            Self::Nothing => Err("expected no value".to_owned()),
            Self::Boolean => match bytes {
                b"True" => Ok(Value::Boolean(true)),
                b"False" => Ok(Value::Boolean(false)),
                _ => Err("expected `True` or `False`".to_owned()),
            },
            Self::Integer => {
                let parsed = match bytes.len() {
                    0..=18 => text()?.parse::<i64>().map(i128::from),
                    _ => text()?.parse(),
                };
                parsed.map(Value::Integer).map_err(|_| number("an integer"))
            }
            Self::Float => text()?
                .parse()
                .map(Value::Float)
                .map_err(|_| number("a number")),
            Self::Text => Ok(Value::String(text()?.to_owned())),
            Self::Bytes => Ok(Value::Bytes(bytes.to_vec())),
            Self::List(form) => {
                let mut items = Vec::new();
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (item, after) = cut(rest).ok_or("a list is cut off")?;
                    rest = after;
                    let item = form.read(item, nesting);
                    items.push(item.map_err(|why| format!("item {}: {why}", items.len()))?);
                }
                Ok(Value::List(items))
            }
            Self::Boxes(fields) => {
                let mut records = Vec::new();
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (record, after) = read_box(fields, rest, nesting)
                        .map_err(|why| format!("box {}: {why}", records.len()))?;
                    rest = after;
                    records.push(record);
                }
                Ok(Value::List(records))
            }
            Self::Json => {
                if is_deeper(bytes, nesting) {
                    return Err(format!("it is nested deeper than {nesting}"));
                }
                serde_json::from_slice(bytes).map_err(|error| format!("expected JSON: {error}"))
            }
            Self::Unknown => Ok(guessed(bytes, nesting)),
        }
    }

    /// Writes a value, without the length before it.
    pub(super) fn write(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Bad> {
        match (self, value) {
            (Self::Boolean, Value::Boolean(value)) => {
                out.extend_from_slice(if *value { b"True" } else { b"False" });
            }
            (Self::Integer | Self::Float, Value::Integer(number)) => put_integer(*number, out),
            (Self::Float, Value::Float(number)) => {
                // Writing to a vector never fails.
                write!(out, "{number:?}").ok();
            }
            (Self::Text, Value::String(text)) => out.extend_from_slice(text.as_bytes()),
            (Self::Bytes, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
            (Self::List(form), Value::List(items)) => {
                let start = out.len();
                for item in items {
                    put(out, |out| form.write(item, out))?;
                    fits(out, start)?;
                }
            }
            (Self::Boxes(fields), Value::List(records)) => {
                let start = out.len();
                for record in records {
                    write_box(fields, record, out, start)?;
                }
            }
            (Self::Unknown, value) => of_itself(value).write(value, out)?,
            (Self::Json, value) => {
                let end = out.len() + VALUE_BYTES;
                let text = Bounded { out, end };
                let written = serde_json::to_writer(text, value);
                written.map_err(|_| Bad::TooLong)?;
            }
            (form, value) => {
                let found = value.described();
                return Err(Bad::Other(format!("expected {form:?}, found {found}")));
            }
        }
        Ok(())
    }
}

/// How a value is written when nobody knows its kind.
fn of_itself(value: &Value) -> Form {
    match value {
        Value::Nothing => Form::Nothing,
        Value::Boolean(_) => Form::Boolean,
        Value::Integer(_) => Form::Integer,
        Value::Float(_) => Form::Float,
        Value::String(_) => Form::Text,
        Value::Bytes(_) => Form::Bytes,
        Value::List(_) => Form::List(Box::new(Form::Unknown)),
        Value::Record(_) => Form::Json,
    }
}

/// What bytes are most likely. A length below 256 has a NUL in it, which texts do not have.
fn guessed(bytes: &[u8], nesting: usize) -> Value {
    let text = std::str::from_utf8(bytes).ok();
    if bytes.contains(&0)
        && nesting > 0
        && let Some(items) = items(bytes)
    {
        let items = items.into_iter().map(|item| guessed(item, nesting - 1));
        return Value::List(items.collect());
    }
    match text {
        Some(text) => Value::String(text.to_owned()),
        None => Value::Bytes(bytes.to_vec()),
    }
}

/// The items of a list that ends with the last of them.
fn items(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (item, after) = cut(rest)?;
        found.push(item);
        rest = after;
    }
    Some(found)
}

/// Integers of 64 bits need no formatter of 128.
fn put_integer(number: i128, out: &mut Vec<u8>) {
    // Writing to a vector never fails.
    match i64::try_from(number) {
        Ok(number) => write!(out, "{number}").ok(),
        Err(_) => write!(out, "{number}").ok(),
    };
}

/// What has been written since `start` may still be a value.
fn fits(out: &[u8], start: usize) -> Result<(), Bad> {
    if out.len() - start > VALUE_BYTES {
        return Err(Bad::TooLong);
    }
    Ok(())
}

/// The record at the beginning, and what follows its box.
fn read_box<'a>(
    fields: &[(String, Form)],
    bytes: &'a [u8],
    nesting: usize,
) -> Result<(Value, &'a [u8]), String> {
    let mut record: Vec<(String, Value)> = Vec::new();
    let mut rest = bytes;
    loop {
        let (key, after) = cut(rest).ok_or("it is cut off")?;
        if key.is_empty() {
            return Ok((Value::Record(record), after));
        }
        if key.len() > KEY_BYTES {
            return Err(format!("a key has {KEY_BYTES} bytes at most"));
        }
        let (value, after) = cut(after).ok_or("it is cut off")?;
        rest = after;
        let Some((name, form)) = fields.iter().find(|(name, _)| name.as_bytes() == key) else {
            continue;
        };
        if record.iter().any(|(known, _)| known == name) {
            return Err(format!("`{name}` comes twice"));
        }
        let value = form.read(value, nesting);
        record.push((
            name.clone(),
            value.map_err(|why| format!("`{name}`: {why}"))?,
        ));
    }
}

fn write_box(
    fields: &[(String, Form)],
    record: &Value,
    out: &mut Vec<u8>,
    start: usize,
) -> Result<(), Bad> {
    let Value::Record(given) = record else {
        let found = record.described();
        return Err(Bad::Other(format!("expected a record, found {found}")));
    };
    for (name, value) in given {
        if *value == Value::Nothing {
            continue;
        }
        let Some((_, form)) = fields.iter().find(|(known, _)| known == name) else {
            return Err(Bad::Other(format!("no field is called `{name}`")));
        };
        put_named(out, name.as_bytes(), form, value)?;
        fits(out, start)?;
    }
    out.extend_from_slice(&[0, 0]);
    Ok(())
}

/// Writes a key and the value after it. What is nothing has no key.
pub(super) fn put_named(
    out: &mut Vec<u8>,
    key: &[u8],
    form: &Form,
    value: &Value,
) -> Result<(), Bad> {
    if *value == Value::Nothing || *form == Form::Nothing {
        return Ok(());
    }
    put(out, |out| {
        out.extend_from_slice(key);
        Ok::<_, Bad>(())
    })?;
    put(out, |out| form.write(value, out))
}

/// A text that does not grow beyond its end.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() > self.end {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
