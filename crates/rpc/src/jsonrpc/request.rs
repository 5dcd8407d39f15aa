//! Reads requests. Calls nothing.

use crate::{arguments::Arguments, value::Value};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};
use std::fmt;

/// What came.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    One(Request),
    Batch(Vec<Request>),
}

/// One call that is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    /// As it was written, to be sent back so; nothing for a notification.
    pub(super) id: Option<String>,
    /// What is called, or what is wrong with it.
    pub(super) call: Result<(String, Arguments), &'static str>,
}

/// Nothing that can be answered one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no JSON.
    NoJson(String),
    /// It is no request.
    NoRequest(String),
}

/// A request or a batch of them.
pub(super) fn read(text: &[u8], nesting: usize, batch: usize) -> Result<Message, Refused> {
    // Around the arguments stand the parameters, the request and perhaps a batch.
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_batch = first == Some(&b'[');
    if is_deeper(text, nesting.saturating_add(if is_batch { 3 } else { 2 })) {
        let why = format!("it is nested deeper than {nesting}");
        return Err(Refused::NoRequest(why));
    }
    let refused = |error: serde_json::Error| match error.classify() {
        Category::Data => Refused::NoRequest(error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => Refused::NoJson(error.to_string()),
    };
    if !is_batch {
        return serde_json::from_slice(text)
            .map(Message::One)
            .map_err(refused);
    }
    let mut read = serde_json::Deserializer::from_slice(text);
    let requests = read.deserialize_seq(Batch { limit: batch });
    let requests = requests.map_err(refused)?;
    read.end().map_err(refused)?;
    match requests {
        None => Err(Refused::NoRequest(format!(
            "a batch has {batch} requests at most"
        ))),
        Some(requests) if requests.is_empty() => Err(Refused::NoRequest(
            "a batch has one request at least".into(),
        )),
        Some(requests) => Ok(Message::Batch(requests)),
    }
}

/// Whether more lists and objects than `limit` stand in each other. The text may be anything.
pub(crate) fn is_deeper(text: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' if depth == limit => return true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    false
}

/// Some requests, or `None` when they are too many: then the rest is passed over and kept by nobody.
struct Batch {
    limit: usize,
}

impl<'de> Visitor<'de> for Batch {
    type Value = Option<Vec<Request>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut requests = Vec::new();
        while requests.len() < self.limit {
            match items.next_element()? {
                Some(request) => requests.push(request),
                None => return Ok(Some(requests)),
            }
        }
        let mut too_many = false;
        while items.next_element::<IgnoredAny>()?.is_some() {
            too_many = true;
        }
        Ok((!too_many).then_some(requests))
    }
}

impl Request {
    const fn wrong(id: Option<String>, why: &'static str) -> Self {
        Self { id, call: Err(why) }
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyRequest)
    }
}

/// Takes whatever comes.
struct AnyRequest;

const NO_OBJECT: Request = Request::wrong(None, "a request is an object");

impl<'de> Visitor<'de> for AnyRequest {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Request, E> {
        Ok(NO_OBJECT)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Request, E> {
        Ok(NO_OBJECT)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Request, E> {
        Ok(NO_OBJECT)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Request, E> {
        Ok(NO_OBJECT)
    }

    fn visit_str<E>(self, _: &str) -> Result<Request, E> {
        Ok(NO_OBJECT)
    }

    fn visit_unit<E>(self) -> Result<Request, E> {
        Ok(NO_OBJECT)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Request, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(NO_OBJECT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Request, A::Error> {
        let mut read = Members::default();
        while let Some(member) = members.next_key()? {
            match member {
                Member::Version => read.version.set(members.next_value()?),
                Member::Method => read.method.set(members.next_value()?),
                Member::Parameters => read.parameters.set(members.next_value()?),
                Member::Id => read.id.set(members.next_value::<&RawValue>()?.get()),
                Member::Other => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(read.made())
    }
}

/// The name of a member.
enum Member {
    Version,
    Method,
    Parameters,
    Id,
    Other,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Member, E> {
                Ok(match name {
                    "jsonrpc" => Member::Version,
                    "method" => Member::Method,
                    "params" => Member::Parameters,
                    "id" => Member::Id,
                    _ => Member::Other,
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

/// What is there once at most.
struct Once<T> {
    value: Option<T>,
    twice: bool,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self {
            value: None,
            twice: false,
        }
    }
}

impl<T> Once<T> {
    fn set(&mut self, value: T) {
        self.twice |= self.value.replace(value).is_some();
    }
}

/// What has been read of a request.
#[derive(Default)]
struct Members<'de> {
    version: Once<Value>,
    method: Once<Value>,
    parameters: Once<Value>,
    id: Once<&'de str>,
}

impl Members<'_> {
    fn made(self) -> Request {
        let id = match self.id.value {
            _ if self.id.twice => return Request::wrong(None, "`id` comes twice"),
            None => None,
            Some(id)
                if id.starts_with(['"', '-', 'n'])
                    || id.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                Some(id.to_owned())
            }
            Some(_) => return Request::wrong(None, "`id` is no string, number or null"),
        };
        let twice = self.version.twice || self.method.twice || self.parameters.twice;
        if twice {
            return Request::wrong(id, "a member comes twice");
        }
        if self.version.value != Some("2.0".into()) {
            return Request::wrong(id, "`jsonrpc` is not \"2.0\"");
        }
        let Some(Value::String(method)) = self.method.value else {
            return Request::wrong(id, "`method` is no string");
        };
        let arguments = match self.parameters.value {
            None => Arguments::default(),
            Some(Value::List(items)) => items.into(),
            Some(Value::Record(fields)) => fields.into(),
            Some(_) => return Request::wrong(id, "`params` is no array or object"),
        };
        let call = Ok((method, arguments));
        Request { id, call }
    }
}
