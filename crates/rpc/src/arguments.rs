//! The arguments of a call, as callers give them and as a method takes them; and what is wrong with a call that an
//! interface does not have. Calls nothing.

use crate::{
    descriptor::{Descriptor, Limit, Method},
    fault,
    value::{BadValue, Value, from_value},
};
use serde::de::DeserializeOwned;
use std::{error::Error, fmt};
use tress_core::wording::quoted;

/// What a caller passes: some by place, and after them some by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    /// In the order of the method.
    pub positional: Vec<Value>,
    /// In any order.
    pub named: Vec<(String, Value)>,
}

impl From<Vec<Value>> for Arguments {
    fn from(positional: Vec<Value>) -> Self {
        Self {
            positional,
            named: Vec::new(),
        }
    }
}

impl From<Vec<(String, Value)>> for Arguments {
    fn from(named: Vec<(String, Value)>) -> Self {
        Self {
            positional: Vec::new(),
            named,
        }
    }
}

impl Arguments {
    /// One for each that the method takes, within its limits; what is left out may be so when it is optional.
    pub(crate) fn arranged(
        self,
        descriptor: &'static Descriptor,
        method: &'static Method,
    ) -> Result<Taken, BadCall> {
        let bad = |problem| BadCall::new(descriptor.name, method.name, problem);
        let expected = method.arguments;
        if self.positional.len() > expected.len() {
            return Err(bad(Problem::TooMany {
                expected: expected.len(),
                found: self.positional.len(),
            }));
        }
        let mut values: Vec<Option<Value>> = self.positional.into_iter().map(Some).collect();
        values.resize(expected.len(), None);
        for (name, value) in self.named {
            let Some(place) = expected.iter().position(|argument| argument.name == name) else {
                return Err(bad(Problem::NoArgument { name }));
            };
            if values[place].replace(value).is_some() {
                return Err(bad(Problem::Twice { name }));
            }
        }
        for (argument, value) in expected.iter().zip(&values) {
            if let (Some(limit), Some(value)) = (argument.limit, value)
                && !limit.holds(value)
            {
                return Err(bad(Problem::Limit {
                    argument: argument.name,
                    limit,
                    found: size(value),
                }));
            }
        }
        Ok(Taken {
            interface: descriptor.name,
            method: method.name,
            values: values.into_iter(),
        })
    }
}

/// How much of it there is, in words.
fn size(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{} characters", text.chars().count()),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::List(items) => format!("{} items", items.len()),
        other => other.described().into_owned(),
    }
}

/// Arguments as a method takes them, one after the other.
#[derive(Debug)]
pub struct Taken {
    interface: &'static str,
    method: &'static str,
    /// `None` for one that was left out.
    values: std::vec::IntoIter<Option<Value>>,
}

impl Taken {
    /// The next one, which has this name.
    ///
    /// # Errors
    /// It is not of that type, or was left out and is needed.
    pub fn next<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<T, BadCall> {
        let value = self.values.next().flatten();
        let missing = value.is_none();
        from_value(value.unwrap_or(Value::Nothing)).map_err(|problem| {
            self.bad(if missing {
                Problem::Missing { argument: name }
            } else {
                Problem::Value {
                    argument: name,
                    problem,
                }
            })
        })
    }

    /// All of them; `None` for one that was left out.
    pub(crate) fn values(self) -> impl Iterator<Item = Option<Value>> {
        self.values
    }

    /// All that were not left out, by name.
    pub(crate) fn named(self, method: &'static Method) -> Arguments {
        let given = method.arguments.iter().zip(self.values);
        let given = given.filter_map(|(argument, value)| Some((argument.name.to_owned(), value?)));
        given.collect::<Vec<_>>().into()
    }

    /// That the interface has no such method after all.
    #[must_use]
    pub fn unknown(&self) -> BadCall {
        self.bad(Problem::Unknown)
    }

    fn bad(&self, problem: Problem) -> BadCall {
        BadCall::new(self.interface, self.method, problem)
    }
}

/// A call that an interface does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCall(Box<Bad>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bad {
    interface: &'static str,
    method: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Unknown,
    TooMany {
        expected: usize,
        found: usize,
    },
    NoArgument {
        name: String,
    },
    Twice {
        name: String,
    },
    Missing {
        argument: &'static str,
    },
    Value {
        argument: &'static str,
        problem: BadValue,
    },
    Limit {
        argument: &'static str,
        limit: Limit,
        found: String,
    },
}

impl BadCall {
    pub(crate) fn new(interface: &'static str, method: &str, problem: Problem) -> Self {
        Self(Box::new(Bad {
            interface,
            method: method.to_owned(),
            problem,
        }))
    }

    /// The interface has no method of this name.
    #[must_use]
    pub fn unknown(descriptor: &'static Descriptor, method: &str) -> Self {
        Self::new(descriptor.name, method, Problem::Unknown)
    }

    /// As callers are told: [`fault::UNKNOWN_METHOD`] or [`fault::BAD_ARGUMENTS`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0.problem {
            Problem::Unknown => fault::UNKNOWN_METHOD,
            _ => fault::BAD_ARGUMENTS,
        }
    }
}

impl fmt::Display for BadCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bad {
            interface,
            method,
            problem,
        } = &*self.0;
        if *problem == Problem::Unknown {
            return write!(f, "`{interface}` has no method {}", quoted(method));
        }
        write!(f, "`{interface}.{method}`: ")?;
        match problem {
            Problem::Unknown => Ok(()),
            Problem::TooMany { expected, found } => {
                write!(f, "expected {expected} arguments at most, found {found}")
            }
            Problem::NoArgument { name } => write!(f, "no argument is called {}", quoted(name)),
            Problem::Twice { name } => write!(f, "`{name}` is given twice"),
            Problem::Missing { argument } => write!(f, "`{argument}` is missing"),
            Problem::Value { argument, problem } => write!(f, "`{argument}`: {problem}"),
            Problem::Limit {
                argument,
                limit,
                found,
            } => write!(f, "`{argument}`: expected {limit}, found {found}"),
        }
    }
}

impl Error for BadCall {}
