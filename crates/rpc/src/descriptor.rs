//! What an interface offers, as data: for listings, schemas and every protocol that is made from a description.
//! Calls nothing.

use std::fmt;

/// An interface: its name, what it is for, and its methods.
#[derive(Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The name of the trait.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// In the order of the trait.
    pub methods: &'static [Method],
}

/// One method of an interface.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// The name of the method.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// In the order of the call.
    pub arguments: &'static [Argument],
    /// What a call gives when it succeeds.
    pub result: Kind,
}

/// One argument of a method.
#[derive(Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name of the argument.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// What may be passed.
    pub kind: Kind,
}

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// No value.
    Nothing,
    /// A text.
    String,
    /// A value of that kind, or none.
    Optional(&'static Self),
    /// Any number of values of that kind.
    List(&'static Self),
}

impl Descriptor {
    /// The method of that name.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<&'static Method> {
        self.methods.iter().find(|method| method.name == name)
    }
}

/// `user(name: string) -> string?`
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (index, argument) in self.arguments.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}: {}", argument.name, argument.kind)?;
        }
        f.write_str(")")?;
        match self.result {
            Kind::Nothing => Ok(()),
            result => write!(f, " -> {result}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::String => f.write_str("string"),
            Self::Optional(kind) => write!(f, "{kind}?"),
            Self::List(kind) => write!(f, "[{kind}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_shown_as_they_are_called() {
        const NAME: Argument = Argument {
            name: "name",
            doc: "",
            kind: Kind::String,
        };
        let method = |arguments, result| Method {
            name: "m",
            doc: "",
            arguments,
            result,
        };
        let shown = method(&[NAME, NAME], Kind::Optional(&Kind::String)).to_string();
        assert_eq!(shown, "m(name: string, name: string) -> string?");
        assert_eq!(method(&[], Kind::Nothing).to_string(), "m()");
        let shown = method(&[], Kind::List(&Kind::String)).to_string();
        assert_eq!(shown, "m() -> [string]");
    }
}
