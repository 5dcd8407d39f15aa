//! Values that go between threads, and later over wires: what arguments and results are when no type is known. Knows no
//! protocol.

use crate::descriptor::Kind;
use std::{error::Error, fmt};

/// A value of one of the [`Kind`]s; may go to another thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    Nothing,
    /// A text.
    String(String),
    /// A value, or none.
    Optional(Option<Box<Self>>),
    /// Any number of values.
    List(Vec<Self>),
}

impl Value {
    /// Whether it is of this kind, all through.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Nothing, Kind::Nothing) | (Self::String(_), Kind::String) => true,
            (Self::Optional(value), Kind::Optional(kind)) => {
                value.as_ref().is_none_or(|value| value.is(*kind))
            }
            (Self::List(values), Kind::List(kind)) => values.iter().all(|value| value.is(*kind)),
            _ => false,
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn described(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::String(_) => "a string",
            Self::Optional(_) => "an optional value",
            Self::List(_) => "a list",
        }
    }
}

/// A type that stands for values of one kind.
pub trait Valued: Sized + 'static {
    /// Which kind.
    const KIND: Kind;

    /// It, as a value.
    fn into_value(self) -> Value;

    /// The value, as this type.
    ///
    /// # Errors
    /// It is of another kind.
    fn from_value(value: Value) -> Result<Self, WrongKind>;
}

/// A value is of another kind than was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongKind {
    /// The kind that was expected.
    pub expected: Kind,
    /// What was found, in words.
    pub found: &'static str,
}

impl fmt::Display for WrongKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, found } = self;
        write!(f, "expected `{expected}`, found {found}")
    }
}

impl Error for WrongKind {}

fn wrong<T: Valued>(value: &Value) -> WrongKind {
    WrongKind {
        expected: T::KIND,
        found: value.described(),
    }
}

impl Valued for () {
    const KIND: Kind = Kind::Nothing;

    fn into_value(self) -> Value {
        Value::Nothing
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        match value {
            Value::Nothing => Ok(()),
            other => Err(wrong::<Self>(&other)),
        }
    }
}

impl Valued for String {
    const KIND: Kind = Kind::String;

    fn into_value(self) -> Value {
        Value::String(self)
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(wrong::<Self>(&other)),
        }
    }
}

impl<T: Valued> Valued for Option<T> {
    const KIND: Kind = Kind::Optional(&T::KIND);

    fn into_value(self) -> Value {
        Value::Optional(self.map(|value| Box::new(value.into_value())))
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        match value {
            Value::Optional(value) => value.map(|value| T::from_value(*value)).transpose(),
            other => Err(wrong::<Self>(&other)),
        }
    }
}

impl<T: Valued> Valued for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);

    fn into_value(self) -> Value {
        Value::List(self.into_iter().map(Valued::into_value).collect())
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        match value {
            Value::List(values) => values.into_iter().map(T::from_value).collect(),
            other => Err(wrong::<Self>(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        fn check<T: Valued + Clone + PartialEq + fmt::Debug>(it: T) {
            let value = it.clone().into_value();
            assert!(value.is(T::KIND), "{value:?}");
            assert_eq!(T::from_value(value), Ok(it));
        }
        check(());
        check("ä".to_owned());
        check(Some("a".to_owned()));
        check(None::<String>);
        check(vec![Some(vec!["a".to_owned()]), None]);
        check(Some(None::<String>));
        let wrong = Vec::<String>::from_value(Value::List(vec![Value::Nothing]));
        let text = wrong.expect_err("it is no string").to_string();
        assert_eq!(text, "expected `string`, found nothing");
        assert!(!Value::List(vec![Value::Nothing]).is(Kind::List(&Kind::String)));
    }
}
