//! What an interface offers, as data: for listings, schemas and every protocol that is made from a description.
//! Calls nothing.

use crate::{
    kind::{Kind, Type},
    value::Value,
};
use schemars::SchemaGenerator;
use serde_json::{Value as Json, json};
use std::fmt;

/// An interface: its name, what it is for, and its methods.
#[derive(Debug)]
pub struct Descriptor {
    /// The name of the trait.
    pub name: &'static str,
    /// The first paragraph of its docs.
    pub doc: &'static str,
    /// In the order of the trait.
    pub methods: &'static [Method],
}

/// One method of an interface.
#[derive(Debug)]
pub struct Method {
    /// What it is called by.
    pub name: &'static str,
    /// The first paragraph of its docs.
    pub doc: &'static str,
    /// In the order of the call.
    pub arguments: &'static [Argument],
    /// What a call gives when it succeeds.
    pub result: Type,
}

/// One argument of a method.
#[derive(Debug)]
pub struct Argument {
    /// What it is passed by.
    pub name: &'static str,
    /// What may be passed.
    pub ty: Type,
    /// How much of it.
    pub limit: Option<Limit>,
}

/// What a number may be, or how many characters a text, bytes a blob or items a list may have; both ends are within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// No less than this.
    pub least: Option<i128>,
    /// No more than this.
    pub most: Option<i128>,
}

impl Limit {
    /// Whether a value keeps it. What has no size (nothing, a boolean, a record) does.
    #[must_use]
    pub fn holds(&self, value: &Value) -> bool {
        let size = match value {
            Value::Integer(number) => *number,
            #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
            Value::Float(number) => {
                return self.least.is_none_or(|least| *number >= least as f64)
                    && self.most.is_none_or(|most| *number <= most as f64);
            }
            Value::String(text) => length(text.chars().count()),
            Value::Bytes(bytes) => length(bytes.len()),
            Value::List(items) => length(items.len()),
            Value::Nothing | Value::Boolean(_) | Value::Record(_) => return true,
        };
        self.least.is_none_or(|least| size >= least) && self.most.is_none_or(|most| size <= most)
    }

    /// Says it in the words of JSON Schema, for that kind of value.
    fn add_to(self, schema: &mut schemars::Schema, kind: &Kind) {
        let (least, most) = match kind {
            Kind::Optional(inner) => return self.add_to(schema, inner),
            Kind::Integer | Kind::Float => ("minimum", "maximum"),
            Kind::String => ("minLength", "maxLength"),
            Kind::List(_) => ("minItems", "maxItems"),
            _ => return,
        };
        let number = |end: i128| i64::try_from(end).map_or(Json::Null, Json::from);
        for (key, end) in [(least, self.least), (most, self.most)] {
            if let Some(end) = end {
                schema.insert(key.to_owned(), number(end));
            }
        }
    }
}

fn length(length: usize) -> i128 {
    i128::try_from(length).unwrap_or(i128::MAX)
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (Some(least), Some(most)) => write!(f, "{least} to {most}"),
            (Some(least), None) => write!(f, "at least {least}"),
            (None, Some(most)) => write!(f, "at most {most}"),
            (None, None) => f.write_str("anything"),
        }
    }
}

impl Descriptor {
    /// The method of that name, and its place.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<(usize, &'static Method)> {
        let mut methods = self.methods.iter().enumerate();
        methods.find(|(_, method)| method.name == name)
    }
}

impl Method {
    /// The JSON Schema (2020-12) of its arguments as one object; the definitions it refers to are the generator's.
    #[must_use]
    pub fn arguments_schema(&self, generator: &mut SchemaGenerator) -> Json {
        let mut properties = serde_json::Map::new();
        let mut required = Vec::new();
        for argument in self.arguments {
            let mut schema = argument.ty.schema(generator);
            let kind = argument.ty.kind();
            if let Some(limit) = argument.limit {
                limit.add_to(&mut schema, &kind);
            }
            if !matches!(kind, Kind::Optional(_) | Kind::Nothing) {
                required.push(argument.name);
            }
            properties.insert(argument.name.to_owned(), schema.to_value());
        }
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}

/// `user(name: string) -> string?`
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (index, argument) in self.arguments.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}: {}", argument.name, argument.ty.kind())?;
        }
        f.write_str(")")?;
        match self.result.kind() {
            Kind::Nothing => Ok(()),
            result => write!(f, " -> {result}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Argument = Argument {
        name: "name",
        ty: Type::of::<String>(),
        limit: Some(Limit {
            least: None,
            most: Some(3),
        }),
    };

    #[test]
    fn methods_are_shown_as_they_are_called() {
        let method = |arguments, result| Method {
            name: "m",
            doc: "",
            arguments,
            result,
        };
        let shown = method(&[NAME, NAME], Type::of::<Option<String>>()).to_string();
        assert_eq!(shown, "m(name: string, name: string) -> string?");
        assert_eq!(method(&[], Type::of::<()>()).to_string(), "m()");
        let shown = method(&[], Type::of::<Vec<String>>()).to_string();
        assert_eq!(shown, "m() -> [string]");
    }

    #[test]
    fn limits_hold_numbers_and_sizes() {
        let limit = |least, most| Limit { least, most };
        let (from, to) = (limit(Some(1), None), limit(None, Some(3)));
        for (value, within_from, within_to) in [
            (Value::Integer(0), false, true),
            (Value::Integer(1), true, true),
            (Value::Integer(3), true, true),
            (Value::Integer(i128::MAX), true, false),
            (Value::Float(0.5), false, true),
            (Value::Float(3.5), true, false),
            ("".into(), false, true),
            ("äöü".into(), true, true),
            ("äöüß".into(), true, false),
            (Value::Bytes(vec![0; 4]), true, false),
            (Value::List(vec![Value::Nothing; 4]), true, false),
            (Value::Nothing, true, true),
        ] {
            assert_eq!(from.holds(&value), within_from, "{value:?}");
            assert_eq!(to.holds(&value), within_to, "{value:?}");
        }
        assert_eq!(limit(Some(1), Some(9)).to_string(), "1 to 9");
    }

    #[test]
    fn the_schema_of_a_call_holds_its_limits() {
        const COUNT: Argument = Argument {
            name: "count",
            ty: Type::of::<Option<u8>>(),
            limit: Some(Limit {
                least: Some(1),
                most: None,
            }),
        };
        let method = Method {
            name: "m",
            doc: "",
            arguments: &[NAME, COUNT],
            result: Type::of::<()>(),
        };
        let schema = method.arguments_schema(&mut SchemaGenerator::default());
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "properties": {
                    "name": { "type": "string", "maxLength": 3 },
                    "count": { "type": ["integer", "null"], "format": "uint8", "minimum": 1, "maximum": 255 },
                },
                "required": ["name"],
                "additionalProperties": false,
            })
        );
    }
}
