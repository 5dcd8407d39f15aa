//! Arguments and results held against the kinds in a descriptor, where no type of Rust takes them: for an object of which
//! nothing more is known. Calls nothing.

use crate::{
    arguments::{Arguments, BadCall, Problem},
    descriptor::{Descriptor, Method},
    kind::Kind,
    value::{BadValue, Blob, Value, from_value},
};

/// The kinds that the methods of an interface take and give, read from their schemas once.
#[derive(Debug)]
pub struct Fitting {
    descriptor: &'static Descriptor,
    /// In the order of the descriptor: of the arguments, and of the result.
    kinds: Vec<(Vec<Kind>, Kind)>,
}

impl Fitting {
    /// Of this interface.
    #[must_use]
    pub fn new(descriptor: &'static Descriptor) -> Self {
        let kinds = |method: &Method| {
            let arguments = method.arguments.iter();
            let arguments = arguments.map(|argument| argument.ty.kind());
            (arguments.collect(), method.result.kind())
        };
        Self {
            descriptor,
            kinds: descriptor.methods.iter().map(kinds).collect(),
        }
    }

    /// The interface.
    #[must_use]
    pub fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    /// The arguments of a call as one record, by name; what was left out and may be is not in it.
    ///
    /// # Errors
    /// The interface has no such method, or it takes something else.
    pub fn arguments(&self, method: &str, arguments: Arguments) -> Result<Value, BadCall> {
        let found = self.descriptor.method(method);
        let (place, known) = found.ok_or_else(|| BadCall::unknown(self.descriptor, method))?;
        let bad = |problem| BadCall::new(self.descriptor.name, known.name, problem);
        let taken = arguments.arranged(self.descriptor, known)?;
        let mut record = Vec::new();
        let kinds = self.kinds.get(place).map_or(&[][..], |(kinds, _)| kinds);
        for ((argument, kind), value) in known.arguments.iter().zip(kinds).zip(taken.values()) {
            let name = argument.name;
            match value {
                None if may_be_nothing(kind) => {}
                None => return Err(bad(Problem::Missing { argument: name })),
                Some(value) => {
                    let value = fit(kind, value).map_err(|problem| {
                        bad(Problem::Value {
                            argument: name,
                            problem,
                        })
                    })?;
                    record.push((name.to_owned(), value));
                }
            }
        }
        Ok(Value::Record(record))
    }

    /// What a call gave, as its method's result.
    ///
    /// # Errors
    /// It is something else.
    pub fn result(&self, method: &str, value: Value) -> Result<Value, BadValue> {
        let place = self.descriptor.method(method).map(|(place, _)| place);
        match place.and_then(|place| self.kinds.get(place)) {
            Some((_, kind)) => fit(kind, value),
            None => Ok(value),
        }
    }
}

fn may_be_nothing(kind: &Kind) -> bool {
    matches!(kind, Kind::Optional(_) | Kind::Nothing)
}

/// The value as one of that kind: a whole number is a number, and base64 bytes. Fields that the kind does not have are
/// passed over, as everywhere.
fn fit(kind: &Kind, value: Value) -> Result<Value, BadValue> {
    let wrong = |value: &Value| {
        let found = value.described();
        Err(BadValue::new(format_args!(
            "expected {kind}, found {found}"
        )))
    };
    match (kind, value) {
        (Kind::Any, value)
        | (Kind::Nothing | Kind::Optional(_), value @ Value::Nothing)
        | (Kind::Boolean, value @ Value::Boolean(_))
        | (Kind::Integer, value @ Value::Integer(_))
        | (Kind::Float, value @ Value::Float(_))
        | (Kind::String, value @ Value::String(_))
        | (Kind::Bytes, value @ Value::Bytes(_)) => Ok(value),
        (Kind::Optional(inner), value) => fit(inner, value),
        #[expect(
            clippy::cast_precision_loss,
            reason = "so JSON says a number without fraction"
        )]
        (Kind::Float, Value::Integer(number)) => Ok(Value::Float(number as f64)),
        (Kind::Bytes, value @ Value::String(_)) => {
            from_value::<Blob>(value).map(|Blob(bytes)| Value::Bytes(bytes))
        }
        (Kind::List(inner), Value::List(items)) => {
            let items = items.into_iter().enumerate();
            let fitted = items.map(|(place, item)| {
                fit(inner, item).map_err(|bad| bad.inside(&format_args!("[{place}]")))
            });
            fitted.collect::<Result<_, _>>().map(Value::List)
        }
        (Kind::Record(fields), Value::Record(given)) => record(fields, given),
        (_, value) => wrong(&value),
    }
}

fn record(fields: &[(String, Kind)], given: Vec<(String, Value)>) -> Result<Value, BadValue> {
    let mut fitted = Vec::with_capacity(fields.len());
    let mut given: Vec<Option<(String, Value)>> = given.into_iter().map(Some).collect();
    for (name, kind) in fields {
        let mut found = given.iter_mut();
        let found = found.find(|entry| entry.as_ref().is_some_and(|(known, _)| known == name));
        match found.and_then(Option::take) {
            Some((name, value)) => {
                let value = fit(kind, value).map_err(|bad| bad.inside(&format_args!(".{name}")))?;
                fitted.push((name, value));
            }
            None if may_be_nothing(kind) => {}
            None => return Err(BadValue::new(format_args!("`{name}` is missing"))),
        }
    }
    Ok(Value::Record(fitted))
}
