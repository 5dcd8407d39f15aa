//! What jelly becomes: plain values, in which there are no objects and what is shared is copied; or values of PB, which keep
//! all of it. Reads nothing.

use super::{BadJelly, Key, Maker, Sequence, as_text};
use crate::{
    pb::{
        banana::Item,
        broker::Broker,
        calling::PbReference,
        value::{PbKey, PbValue, bytes},
    },
    value::Value,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
};
use tress_core::escape::Escaped;

/// Makes plain values.
pub(super) struct Values<'a> {
    /// Bytes that copies of what is shared may take, all together.
    copies: usize,
    /// Bytes that they take.
    copied: usize,
    shared: BTreeMap<i128, Shared>,
    /// The peer's objects that were passed.
    remote: &'a mut Vec<i128>,
}

/// What has a number, by which it may come again.
struct Shared {
    value: Value,
    depth: usize,
    bytes: usize,
}

impl<'a> Values<'a> {
    pub(super) fn new(copies: usize, remote: &'a mut Vec<i128>) -> Self {
        Self {
            copies,
            copied: 0,
            shared: BTreeMap::new(),
            remote,
        }
    }

    fn count_copy(&mut self, bytes: usize) -> Result<(), BadJelly> {
        self.copied += bytes;
        let most = self.copies;
        if self.copied > most {
            let message = format_args!("expected shared values of at most {most} bytes in all");
            return Err(BadJelly::new(message));
        }
        Ok(())
    }
}

impl Maker for Values<'_> {
    type Made = Value;
    type Key = String;

    #[inline]
    fn plain(&mut self, value: Value) -> Value {
        value
    }

    #[inline]
    fn sequence(&mut self, _sort: Sequence, items: Vec<Value>) -> Value {
        Value::List(items)
    }

    fn key(&mut self, key: Key<'_>) -> Result<String, BadJelly> {
        Ok(match key {
            Key::Integer(number) => number.to_string(),
            Key::Bytes(bytes) => as_text(bytes)?.to_owned(),
            Key::Text(text) => text.to_owned(),
        })
    }

    fn dictionary(&mut self, fields: Vec<(String, Value)>) -> Result<Value, BadJelly> {
        each_once(&fields, |name| Escaped(name.as_bytes()).to_string())?;
        Ok(Value::Record(fields))
    }

    fn instance(&mut self, _class: &str, state: Value) -> Value {
        state
    }

    fn begin(&mut self, _number: i128) -> Result<(), BadJelly> {
        Ok(())
    }

    fn shared(&mut self, number: i128, value: Value) -> Result<Value, BadJelly> {
        let (depth, bytes) = (value.depth(), bytes(&value));
        self.count_copy(bytes)?;
        let shared = Shared {
            value: value.clone(),
            depth,
            bytes,
        };
        match self.shared.insert(number, shared) {
            None => Ok(value),
            Some(_) => Err(twice(number)),
        }
    }

    fn again(&mut self, number: i128) -> Result<(Value, usize), BadJelly> {
        let Some(Shared { depth, bytes, .. }) = self.shared.get(&number) else {
            let message = format_args!(
                "`dereference` of {number}, which is not whole yet: values have no cycles"
            );
            return Err(BadJelly::new(message));
        };
        let (depth, bytes) = (*depth, *bytes);
        self.count_copy(bytes)?;
        Ok((self.shared[&number].value.clone(), depth))
    }

    fn remote(&mut self, number: i128) -> Result<Value, BadJelly> {
        self.remote.push(number);
        Ok(Value::Nothing)
    }

    fn local(&mut self, _target: Item<'_>) -> Result<Value, BadJelly> {
        Err(BadJelly::new(
            "a reference to an object of ours is no value",
        ))
    }
}

/// Makes values of PB.
pub(in crate::pb) struct PbValues<'a> {
    broker: &'a Rc<Broker>,
    /// What has begun.
    numbers: BTreeSet<i128>,
}

impl<'a> PbValues<'a> {
    /// With the objects of this connection.
    pub(in crate::pb) fn new(broker: &'a Rc<Broker>) -> Self {
        Self {
            broker,
            numbers: BTreeSet::new(),
        }
    }
}

impl Maker for PbValues<'_> {
    type Made = PbValue;
    type Key = PbKey;

    fn plain(&mut self, value: Value) -> PbValue {
        value.into()
    }

    fn sequence(&mut self, sort: Sequence, items: Vec<PbValue>) -> PbValue {
        match sort {
            Sequence::List => PbValue::List(items),
            Sequence::Tuple => PbValue::Tuple(items),
            Sequence::Set => PbValue::Set(items),
            Sequence::FrozenSet => PbValue::FrozenSet(items),
        }
    }

    fn key(&mut self, key: Key<'_>) -> Result<PbKey, BadJelly> {
        Ok(match key {
            Key::Integer(number) => PbKey::Integer(number),
            Key::Bytes(bytes) => PbKey::Bytes(bytes.to_vec()),
            Key::Text(text) => PbKey::String(text.to_owned()),
        })
    }

    fn dictionary(&mut self, fields: Vec<(PbKey, PbValue)>) -> Result<PbValue, BadJelly> {
        each_once(&fields, |key| match key {
            PbKey::Integer(number) => number.to_string(),
            PbKey::String(text) => Escaped(text.as_bytes()).to_string(),
            PbKey::Bytes(bytes) => Escaped(bytes).to_string(),
        })?;
        Ok(PbValue::Dictionary(fields))
    }

    fn instance(&mut self, class: &str, state: PbValue) -> PbValue {
        PbValue::Instance {
            class: class.to_owned(),
            state: Box::new(state),
        }
    }

    fn begin(&mut self, number: i128) -> Result<(), BadJelly> {
        match self.numbers.insert(number) {
            true => Ok(()),
            false => Err(twice(number)),
        }
    }

    fn shared(&mut self, number: i128, value: PbValue) -> Result<PbValue, BadJelly> {
        Ok(PbValue::Shared(number, Box::new(value)))
    }

    fn again(&mut self, number: i128) -> Result<(PbValue, usize), BadJelly> {
        if self.numbers.contains(&number) {
            return Ok((PbValue::Again(number), 0));
        }
        let message = format_args!("`dereference` of {number}, which has not begun");
        Err(BadJelly::new(message))
    }

    fn remote(&mut self, number: i128) -> Result<PbValue, BadJelly> {
        let reference = PbReference::passed(self.broker, number);
        reference.map(PbValue::Reference).map_err(BadJelly::new)
    }

    fn local(&mut self, target: Item<'_>) -> Result<PbValue, BadJelly> {
        match self.broker.ours(target) {
            Some(object) => Ok(PbValue::Object(object)),
            None => Err(BadJelly::new("no object of ours has that number")),
        }
    }
}

fn twice(number: i128) -> BadJelly {
    BadJelly::new(format_args!("`reference` {number} comes twice"))
}

/// That each key comes once.
fn each_once<K: Ord, V, S: fmt::Display>(
    fields: &[(K, V)],
    shown: impl Fn(&K) -> S,
) -> Result<(), BadJelly> {
    let mut keys: Vec<&K> = fields.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    match keys.array_windows().find(|[one, other]| one == other) {
        Some([twice, _]) => {
            let message = format_args!("the key {} comes twice", shown(twice));
            Err(BadJelly::new(message))
        }
        None => Ok(()),
    }
}
