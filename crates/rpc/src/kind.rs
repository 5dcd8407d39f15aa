//! The kinds of value that a type takes, found in its JSON Schema: for protocols whose wire does not say what a value
//! is, and for people. Knows no value and no protocol.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value as Json};
use std::fmt;

/// A type of an argument or a result, by its JSON Schema (2020-12).
#[derive(Clone, Copy)]
pub struct Type(Source);

/// Where a schema is from.
#[derive(Clone, Copy)]
enum Source {
    Of(fn(&mut SchemaGenerator) -> Schema),
    Told(&'static Json),
}

impl Type {
    /// This type.
    #[must_use]
    pub const fn of<T: JsonSchema>() -> Self {
        Self(Source::Of(|generator| generator.subschema_for::<T>()))
    }

    /// The type that this schema says, which stands for itself: it refers to no definitions. For what a peer tells of
    /// itself.
    #[must_use]
    pub const fn told(schema: &'static Json) -> Self {
        Self(Source::Told(schema))
    }

    /// Its schema, as a part of a document that this generator makes: the definitions it refers to are the generator's.
    #[must_use]
    pub fn schema(self, generator: &mut SchemaGenerator) -> Schema {
        match self.0 {
            Source::Of(make) => make(generator),
            // What is no schema says nothing.
            Source::Told(schema) => Schema::try_from(schema.clone()).unwrap_or_default(),
        }
    }

    /// What it takes. Reads the schema: not for every call.
    #[must_use]
    pub fn kind(self) -> Kind {
        let mut generator = SchemaGenerator::default();
        let schema = self.schema(&mut generator);
        let definitions = generator.take_definitions(false);
        Kind::read(schema.as_value(), &definitions, MAX_DEPTH)
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind().fmt(f)
    }
}

/// Types that hold themselves are told to this depth.
const MAX_DEPTH: usize = 8;

/// A kind of value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// No value.
    Nothing,
    /// Yes or no.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// A text.
    String,
    /// Bytes that are no text.
    Bytes,
    /// A value of that kind, or none.
    Optional(Box<Self>),
    /// Any number of values of that kind.
    List(Box<Self>),
    /// Values with these names.
    Record(Vec<(String, Self)>),
    /// More than can be said here: variants, maps, tuples, types that hold themselves.
    Any,
}

impl Kind {
    fn read(schema: &Json, definitions: &Map<String, Json>, depth: usize) -> Self {
        let Some(schema) = schema.as_object().filter(|_| depth > 0) else {
            return Self::Any;
        };
        let inner = |schema: &Json| Self::read(schema, definitions, depth - 1);
        if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            let name = name.rsplit('/').next().unwrap_or(name);
            return definitions.get(name).map_or(Self::Any, inner);
        }
        if let Some([one, other]) = schema
            .get("anyOf")
            .and_then(Json::as_array)
            .map(Vec::as_slice)
        {
            return match (inner(one), inner(other)) {
                (Self::Nothing, kind) | (kind, Self::Nothing) => Self::optional(kind),
                _ => Self::Any,
            };
        }
        match schema.get("type") {
            Some(Json::String(name)) => Self::named(name, schema, &inner),
            Some(Json::Array(names)) => match names.as_slice() {
                [Json::String(name), Json::String(null)] if null == "null" => {
                    Self::optional(Self::named(name, schema, &inner))
                }
                _ => Self::Any,
            },
            _ => Self::Any,
        }
    }

    fn optional(kind: Self) -> Self {
        match kind {
            Self::Optional(_) | Self::Any => kind,
            kind => Self::Optional(Box::new(kind)),
        }
    }

    fn named(name: &str, schema: &Map<String, Json>, inner: &dyn Fn(&Json) -> Self) -> Self {
        match name {
            "null" => Self::Nothing,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Float,
            "string" if schema.contains_key("enum") => Self::Any,
            "string" if schema.contains_key("contentEncoding") => Self::Bytes,
            "string" => Self::String,
            "array" => match schema.get("items") {
                Some(items) if !schema.contains_key("prefixItems") => {
                    Self::List(Box::new(inner(items)))
                }
                _ => Self::Any,
            },
            "object" => match schema.get("properties").and_then(Json::as_object) {
                Some(fields) => {
                    let fields = fields.iter();
                    Self::Record(fields.map(|(name, it)| (name.clone(), inner(it))).collect())
                }
                None => Self::Any,
            },
            _ => Self::Any,
        }
    }

    /// Whether a person can write it as one word: a text, a number, yes or no, or one of these that may be left out.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Boolean | Self::Integer | Self::Float | Self::String => true,
            Self::Optional(inner) => inner.is_scalar(),
            _ => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Boolean => f.write_str("boolean"),
            Self::Integer => f.write_str("integer"),
            Self::Float => f.write_str("number"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Optional(kind) => write!(f, "{kind}?"),
            Self::List(kind) => write!(f, "[{kind}]"),
            Self::Record(fields) => {
                f.write_str("{")?;
                for (index, (name, kind)) in fields.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{name}: {kind}")?;
                }
                f.write_str("}")
            }
            Self::Any => f.write_str("any"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Blob, Value};
    use schemars::JsonSchema;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Node {
        name: String,
        next: Option<Box<Self>>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Colour {
        Red,
        Blue,
    }

    #[test]
    fn kinds_are_found_in_the_schema() {
        fn kind<T: JsonSchema>(expect: &str) {
            assert_eq!(Type::of::<T>().kind().to_string(), expect);
        }
        kind::<()>("nothing");
        kind::<bool>("boolean");
        kind::<u32>("integer");
        kind::<i64>("integer");
        kind::<f64>("number");
        kind::<String>("string");
        kind::<Blob>("bytes");
        kind::<Option<String>>("string?");
        kind::<Option<Option<u8>>>("integer?");
        kind::<Vec<Vec<bool>>>("[[boolean]]");
        kind::<(u8, u8)>("any");
        kind::<Colour>("any");
        kind::<Value>("any");
        let node = Type::of::<Option<Node>>().kind().to_string();
        assert!(
            node.starts_with("{name: string, next: {name: ") && node.ends_with("}?"),
            "{node}"
        );
        assert!(Type::of::<Option<u8>>().kind().is_scalar());
        assert!(!Type::of::<Vec<u8>>().kind().is_scalar());
    }
}
