//! `PbValue`: what PB can say and plain values cannot: keys that are numbers, tuples and sets, instances of classes,
//! objects of both sides, and lists that are in themselves. Knows no bytes.

use super::{calling::PbReference, referenceable::Referenceable};
use crate::{
    fault::{self, Fault},
    object::Object,
    value::{BadValue, Value},
};
use std::{borrow::Cow, collections::BTreeMap, fmt, rc::Rc};
use tress_core::{Result, escape::Escaped, wording::quoted};

/// Bytes that copies of shared values may take when a value of PB becomes a plain one.
const COPIES_BYTES: usize = 1 << 20;

/// Everything that a call of PB can take and give. A [`Referenceable`] takes and gives these; an [`Object`] behind an
/// interface takes and gives plain [`Value`]s, in which keys are texts and there are no objects.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PbValue {
    /// `None`
    Nothing,
    /// `True`, `False`
    Boolean(bool),
    /// An `int` of at most 128 bits.
    Integer(i128),
    /// A `float`.
    Float(f64),
    /// A `str`.
    String(String),
    /// A `bytes`; every string of Python 2.
    Bytes(Vec<u8>),
    /// A `list`.
    List(Vec<Self>),
    /// A `tuple`.
    Tuple(Vec<Self>),
    /// A `set`, in the order in which it came; two that are equal are not looked for.
    Set(Vec<Self>),
    /// A `frozenset`, the same way.
    FrozenSet(Vec<Self>),
    /// A `dict`. No key may come twice.
    Dictionary(Vec<(PbKey, Self)>),
    /// An instance of a class that whoever reads has registered, by its name: Twisted's `Copyable` on the sending side, its
    /// `RemoteCopy` on the other. No class has a meaning here.
    Instance {
        /// As Python calls it, `quotes.Quote`.
        class: String,
        /// Its attributes, usually: what `getStateToCopy` gives.
        state: Box<Self>,
    },
    /// An object of the peer's.
    Reference(PbReference),
    /// One of our own.
    Object(PbObject),
    /// A value that comes again, by this number, in the same call or answer, or inside of itself.
    Shared(i128, Box<Self>),
    /// The value that has this number.
    Again(i128),
}

/// A key of a [`PbValue::Dictionary`]. A text and the same bytes are two keys, as in Python 3.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PbKey {
    /// An `int` of at most 128 bits.
    Integer(i128),
    /// A `str`.
    String(String),
    /// A `bytes`.
    Bytes(Vec<u8>),
}

/// Something of ours that a peer may call.
#[derive(Clone)]
pub enum PbObject {
    /// By the methods of its interface, with plain values.
    Object(Object),
    /// With everything that PB can say.
    Referenceable(Rc<dyn Referenceable>),
}

/// What a call of PB is given: some by place, and some by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PbArguments {
    /// In their order.
    pub positional: Vec<PbValue>,
    /// In any order; no name comes twice.
    pub named: Vec<(String, PbValue)>,
}

impl PbArguments {
    /// These and no others, each by its place or by its name.
    ///
    /// # Errors
    /// [`fault::BAD_ARGUMENTS`], when there is one more or one less.
    pub fn take<const N: usize>(self, names: [&str; N]) -> Result<[PbValue; N], Fault> {
        let bad = |expected: fmt::Arguments<'_>| {
            Fault::new(fault::BAD_ARGUMENTS, format_args!("expected {expected}"))
        };
        let mut values: Vec<Option<PbValue>> = self.positional.into_iter().map(Some).collect();
        if values.len() > N {
            return Err(bad(format_args!("at most {N} arguments")));
        }
        values.resize(N, None);
        for (name, value) in self.named {
            let place = names.iter().position(|known| *known == name);
            match place.map(|place| values[place].replace(value)) {
                Some(None) => {}
                _ => return Err(bad(format_args!("no other argument {}", quoted(&name)))),
            }
        }
        let values: Option<Vec<PbValue>> = values.into_iter().collect();
        let values = values.and_then(|values| values.try_into().ok());
        values.ok_or_else(|| bad(format_args!("{N} arguments")))
    }
}

impl<const N: usize> From<[PbValue; N]> for PbArguments {
    fn from(positional: [PbValue; N]) -> Self {
        Self {
            positional: positional.into(),
            named: Vec::new(),
        }
    }
}

impl PbValue {
    /// The plain value: tuples and sets are lists, instances are their state, keys are texts, and what is shared is copied.
    ///
    /// # Errors
    /// It contains an object or itself; two keys are the same text; or the copies are more than 1 MiB.
    pub fn value(self) -> Result<Value, BadValue> {
        let mut plain = Plain {
            shared: BTreeMap::new(),
            left: COPIES_BYTES,
        };
        plain.of(self)
    }

    /// The object of the peer's.
    ///
    /// # Errors
    /// It is something else.
    pub fn reference(self) -> Result<PbReference, BadValue> {
        match self {
            Self::Reference(reference) => Ok(reference),
            other => {
                let found = other.described();
                Err(bad(format_args!("an object of the peer's, found {found}")))
            }
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn described(&self) -> Cow<'static, str> {
        match self {
            Self::Nothing => Value::Nothing.described(),
            Self::Boolean(value) => Value::Boolean(*value).described(),
            Self::Integer(number) => Value::Integer(*number).described(),
            Self::Float(number) => Value::Float(*number).described(),
            Self::String(_) => "a string".into(),
            Self::Bytes(_) => "bytes".into(),
            Self::List(_) => "a list".into(),
            Self::Tuple(_) => "a tuple".into(),
            Self::Set(_) | Self::FrozenSet(_) => "a set".into(),
            Self::Dictionary(_) => "a dictionary".into(),
            Self::Instance { class, .. } => format!("an instance of {}", quoted(class)).into(),
            Self::Reference(_) => "an object of the peer's".into(),
            Self::Object(_) => "an object of ours".into(),
            Self::Shared(_, value) => value.described(),
            Self::Again(number) => format!("what has the number {number}").into(),
        }
    }
}

fn bad(expected: impl fmt::Display) -> BadValue {
    BadValue::new(format_args!("expected {expected}"))
}

/// Makes plain values.
struct Plain {
    /// What has a number, and about how many bytes it takes.
    shared: BTreeMap<i128, (Value, usize)>,
    /// Bytes that may still be copied.
    left: usize,
}

impl Plain {
    fn of(&mut self, value: PbValue) -> Result<Value, BadValue> {
        Ok(match value {
            PbValue::Nothing => Value::Nothing,
            PbValue::Boolean(value) => Value::Boolean(value),
            PbValue::Integer(number) => Value::Integer(number),
            PbValue::Float(number) => Value::Float(number),
            PbValue::String(text) => Value::String(text),
            PbValue::Bytes(bytes) => Value::Bytes(bytes),
            PbValue::List(items)
            | PbValue::Tuple(items)
            | PbValue::Set(items)
            | PbValue::FrozenSet(items) => {
                let items = items.into_iter().map(|item| self.of(item));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            PbValue::Dictionary(fields) => self.record(fields)?,
            PbValue::Instance { state, .. } => self.of(*state)?,
            PbValue::Reference(_) | PbValue::Object(_) => {
                let found = value.described();
                return Err(bad(format_args!("a value, found {found}")));
            }
            PbValue::Shared(number, value) => {
                let value = self.of(*value)?;
                let bytes = bytes(&value);
                self.copied(bytes)?;
                self.shared.insert(number, (value.clone(), bytes));
                value
            }
            PbValue::Again(number) => {
                let Some((value, bytes)) = self.shared.get(&number) else {
                    return Err(bad("a value that does not contain itself"));
                };
                let (value, bytes) = (value.clone(), *bytes);
                self.copied(bytes)?;
                value
            }
        })
    }

    fn record(&mut self, fields: Vec<(PbKey, PbValue)>) -> Result<Value, BadValue> {
        let mut record: Vec<(String, Value)> = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        for (key, value) in fields {
            let name = key.into_text()?;
            if !names.insert(name.clone()) {
                let name = Escaped(name.as_bytes());
                return Err(bad(format_args!("each key once, found {name} twice")));
            }
            record.push((name, self.of(value)?));
        }
        Ok(Value::Record(record))
    }

    fn copied(&mut self, bytes: usize) -> Result<(), BadValue> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| {
            bad(format_args!(
                "shared values of at most {COPIES_BYTES} bytes in all"
            ))
        })?;
        Ok(())
    }
}

/// What a value takes, about.
pub(super) fn bytes(value: &Value) -> usize {
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

impl PbKey {
    /// As a name in a record.
    fn into_text(self) -> Result<String, BadValue> {
        match self {
            Self::Integer(number) => Ok(number.to_string()),
            Self::String(text) => Ok(text),
            Self::Bytes(bytes) => String::from_utf8(bytes).map_err(|error| {
                let bytes = Escaped(error.as_bytes());
                bad(format_args!("keys that are texts, found {bytes}"))
            }),
        }
    }
}

impl From<Value> for PbValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Nothing => Self::Nothing,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(number) => Self::Integer(number),
            Value::Float(number) => Self::Float(number),
            Value::String(text) => Self::String(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::List(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Record(fields) => {
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| (PbKey::String(name), value.into()));
                Self::Dictionary(fields.collect())
            }
        }
    }
}

impl From<&str> for PbValue {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<PbReference> for PbValue {
    fn from(reference: PbReference) -> Self {
        Self::Reference(reference)
    }
}

impl From<PbObject> for PbValue {
    fn from(object: PbObject) -> Self {
        Self::Object(object)
    }
}

impl From<&Object> for PbObject {
    fn from(object: &Object) -> Self {
        Self::Object(object.clone())
    }
}

impl<R: Referenceable> From<Rc<R>> for PbObject {
    fn from(object: Rc<R>) -> Self {
        Self::Referenceable(object)
    }
}

impl PbObject {
    /// Where it is: clones are at the same place.
    pub(super) fn address(&self) -> *const () {
        match self {
            Self::Object(object) => object.address(),
            Self::Referenceable(object) => Rc::as_ptr(object).cast(),
        }
    }
}

/// The same object, not one that is like it.
impl PartialEq for PbObject {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl fmt::Debug for PbObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::Referenceable(_) => f.write_str("Referenceable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[PbValue]) -> PbValue {
        PbValue::List(items.to_vec())
    }

    #[track_caller]
    fn check(value: PbValue, expect: &str) {
        let plain = match value.value() {
            Ok(value) => serde_json::to_string(&value).expect("it is JSON"),
            Err(bad) => bad.to_string(),
        };
        assert_eq!(plain, expect);
    }

    #[test]
    fn plain_values_are_what_is_left() {
        let one = PbValue::Integer(1);
        let dictionary = |keys: &[PbKey]| {
            PbValue::Dictionary(keys.iter().map(|key| (key.clone(), one.clone())).collect())
        };
        check(
            PbValue::Tuple(vec![PbValue::Set(vec![one.clone()]), "a".into()]),
            r#"[[1],"a"]"#,
        );
        let keys = [
            PbKey::Integer(1),
            PbKey::String("a".into()),
            PbKey::Bytes(b"b".into()),
        ];
        check(dictionary(&keys), r#"{"1":1,"a":1,"b":1}"#);
        let twice = [PbKey::Integer(1), PbKey::String("1".into())];
        check(
            dictionary(&twice),
            "expected each key once, found \"1\" twice",
        );
        let bytes = [PbKey::Bytes(b"\xff".into())];
        check(
            dictionary(&bytes),
            "expected keys that are texts, found \"\\xff\"",
        );
        let instance = PbValue::Instance {
            class: "a.B".into(),
            state: Box::new(dictionary(&keys[1..2])),
        };
        check(instance, r#"{"a":1}"#);
        let shared = PbValue::Shared(1, Box::new(PbValue::List(vec![one])));
        check(list(&[shared, PbValue::Again(1)]), "[[1],[1]]");
        let cycle = PbValue::Shared(1, Box::new(list(&[PbValue::Again(1)])));
        check(cycle, "expected a value that does not contain itself");
        struct Nothing;
        impl Referenceable for Nothing {
            fn remote_message_received(
                self: Rc<Self>,
                _: &crate::CallContext,
                _: &str,
                _: PbArguments,
            ) -> tress_core::Deferred<PbValue> {
                tress_core::Deferred::succeed(PbValue::Nothing)
            }
        }
        let object = PbObject::from(Rc::new(Nothing));
        assert_eq!(object, object.clone());
        assert_ne!(object, PbObject::from(Rc::new(Nothing)));
        check(
            list(&[object.into()]),
            "expected a value, found an object of ours",
        );
    }

    /// Thirty values, each of which is the one before twice.
    #[test]
    fn copies_are_limited() {
        let mut value = PbValue::Nothing;
        for number in 1..30 {
            let shared = PbValue::Shared(number, Box::new(value));
            value = list(&[shared, PbValue::Again(number)]);
        }
        check(
            value,
            "expected shared values of at most 1048576 bytes in all",
        );
    }

    #[test]
    fn arguments_are_taken_by_place_and_by_name() {
        let check = |positional: &[i128], named: &[(&str, i128)], expect: &str| {
            let integers = positional.iter().map(|number| PbValue::Integer(*number));
            let named = named
                .iter()
                .map(|(name, number)| ((*name).to_owned(), PbValue::Integer(*number)));
            let arguments = PbArguments {
                positional: integers.collect(),
                named: named.collect(),
            };
            let taken = match arguments.take(["a", "b"]) {
                Ok(taken) => format!("{taken:?}"),
                Err(fault) => fault.to_string(),
            };
            assert_eq!(taken, expect);
        };
        check(&[1, 2], &[], "[Integer(1), Integer(2)]");
        check(&[1], &[("b", 2)], "[Integer(1), Integer(2)]");
        check(&[], &[("b", 2), ("a", 1)], "[Integer(1), Integer(2)]");
        check(&[1], &[], "bad-arguments: expected 2 arguments");
        check(
            &[1, 2, 3],
            &[],
            "bad-arguments: expected at most 2 arguments",
        );
        check(
            &[1],
            &[("a", 2)],
            "bad-arguments: expected no other argument `a`",
        );
        check(
            &[1],
            &[("c", 2)],
            "bad-arguments: expected no other argument `c`",
        );
    }
}
