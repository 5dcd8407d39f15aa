//! Interfaces that are known at run time only: as JSON that a peer tells, read into a [`Descriptor`] within limits. Whatever
//! of it people will see is plain text. Calls nothing.

use crate::{
    descriptor::{Argument, Descriptor, Limit, Method},
    kind::Type,
};
use serde_json::{Map, Value as Json};
use tress_core::wording::quoted;

/// The longest name, characters.
pub const TOLD_NAME_MAX: usize = 64;
/// The longest text for people, characters.
pub const TOLD_DOC_MAX: usize = 1000;
/// The most methods of an interface.
pub const TOLD_METHODS_MAX: usize = 256;
/// The most arguments of a method.
pub const TOLD_ARGUMENTS_MAX: usize = 32;
/// Schemas in each other.
const SCHEMA_DEPTH_MAX: usize = 16;

impl Descriptor {
    /// An interface as a peer tells it:
    ///
    /// ```json
    /// {"name": "Quoter", "doc": "Says something.", "methods": [
    ///   {"name": "quotes", "doc": "So many.",
    ///    "arguments": [{"name": "count", "schema": {"type": "integer", "minimum": 1}}],
    ///    "result": {"type": "array", "items": {"type": "string"}}}]}
    /// ```
    ///
    /// A schema stands for itself (no `$ref`). `minimum`, `maxLength`, `maxItems` and their like become the argument's
    /// [`Limit`]; without `result` a method gives nothing. The memory is never given back: ask once for what is used long.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn told(told: &Json) -> Result<&'static Self, String> {
        let fields = record(told, "the interface")?;
        let name = name(fields, "the interface")?;
        let place = format!("`{name}`");
        let methods = list(fields, "methods", &place, TOLD_METHODS_MAX)?;
        let mut read: Vec<Told> = Vec::with_capacity(methods.len());
        for method in methods {
            let method = Told::read(method, &place)?;
            if read.iter().any(|known| known.name == method.name) {
                return Err(format!("`{name}.{}` comes twice", method.name));
            }
            read.push(method);
        }
        if read.is_empty() {
            return Err(format!("{place} has no methods"));
        }
        let methods = read.into_iter().map(Told::kept).collect::<Vec<_>>();
        Ok(Box::leak(Box::new(Self {
            name: name.leak(),
            doc: doc(fields, &place)?.leak(),
            methods: methods.leak(),
        })))
    }

    /// What of this another interface of the same name does not have, if anything.
    #[must_use]
    pub fn missing_in(&self, other: &Self) -> Option<&'static Method> {
        self.methods.iter().find(|method| {
            let shown = method.to_string();
            let same = |(_, found): (usize, &Method)| found.to_string() == shown;
            !other.method(method.name).is_some_and(same)
        })
    }
}

/// A method that was found right.
struct Told {
    name: String,
    doc: String,
    arguments: Vec<(String, Json)>,
    result: Json,
}

impl Told {
    fn read(method: &Json, interface: &str) -> Result<Self, String> {
        let fields = record(method, &format!("a method of {interface}"))?;
        let name = name(fields, &format!("a method of {interface}"))?;
        let place = format!("method `{name}` of {interface}");
        let mut arguments: Vec<(String, Json)> = Vec::new();
        for argument in list(fields, "arguments", &place, TOLD_ARGUMENTS_MAX)? {
            let fields = record(argument, &format!("an argument of {place}"))?;
            let name = self::name(fields, &format!("an argument of {place}"))?;
            if arguments.iter().any(|(known, _)| *known == name) {
                return Err(format!("argument `{name}` of {place} comes twice"));
            }
            let schema = schema(fields, "schema", &format!("argument `{name}` of {place}"))?;
            let schema =
                schema.ok_or_else(|| format!("argument `{name}` of {place} has no `schema`"))?;
            arguments.push((name, schema));
        }
        let result = schema(fields, "result", &place)?;
        Ok(Self {
            doc: doc(fields, &place)?,
            result: result.unwrap_or_else(|| serde_json::json!({ "type": "null" })),
            name,
            arguments,
        })
    }

    fn kept(self) -> Method {
        let ty = |schema: Json| Type::told(Box::leak(Box::new(schema)));
        let arguments = self.arguments.into_iter().map(|(name, schema)| Argument {
            name: name.leak(),
            limit: limit(&schema),
            ty: ty(schema),
        });
        Method {
            name: self.name.leak(),
            doc: self.doc.leak(),
            arguments: arguments.collect::<Vec<_>>().leak(),
            result: ty(self.result),
        }
    }
}

fn record<'j>(told: &'j Json, what: &str) -> Result<&'j Map<String, Json>, String> {
    told.as_object()
        .ok_or_else(|| format!("{what} is no JSON object"))
}

fn list<'j>(
    fields: &'j Map<String, Json>,
    key: &str,
    place: &str,
    most: usize,
) -> Result<&'j [Json], String> {
    match fields.get(key) {
        None => Ok(&[]),
        Some(Json::Array(items)) if items.len() <= most => Ok(items),
        Some(Json::Array(items)) => {
            let found = items.len();
            Err(format!(
                "{place} has {found} {key}; expected at most {most}"
            ))
        }
        Some(_) => Err(format!("`{key}` of {place} is no list")),
    }
}

/// A name that every protocol can say.
fn name(fields: &Map<String, Json>, what: &str) -> Result<String, String> {
    let name = fields.get("name").and_then(Json::as_str);
    let name = name.ok_or_else(|| format!("{what} has no `name`"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !name.chars().all(plain) || name.len() > TOLD_NAME_MAX {
        return Err(format!(
            "{what} is called {}; expected at most {TOLD_NAME_MAX} letters, digits and `_`, no digit first",
            quoted(name)
        ));
    }
    Ok(name.to_owned())
}

fn doc(fields: &Map<String, Json>, place: &str) -> Result<String, String> {
    match fields.get("doc") {
        None => Ok(String::new()),
        Some(Json::String(text)) => {
            plain_text(text).map_err(|why| format!("`doc` of {place}: {why}"))
        }
        Some(_) => Err(format!("`doc` of {place} is no string")),
    }
}

/// A text that a terminal can be shown, in one line.
///
/// # Errors
/// It is too long, or has control characters in it.
pub fn plain_text(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() > TOLD_DOC_MAX {
        return Err(format!("it has more than {TOLD_DOC_MAX} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters in it".to_owned());
    }
    Ok(text)
}

fn schema(fields: &Map<String, Json>, key: &str, place: &str) -> Result<Option<Json>, String> {
    let Some(schema) = fields.get(key) else {
        return Ok(None);
    };
    if !matches!(schema, Json::Object(_) | Json::Bool(true)) {
        return Err(format!("`{key}` of {place} is no JSON Schema"));
    }
    if !stands_alone(schema, SCHEMA_DEPTH_MAX) {
        return Err(format!(
            "`{key}` of {place} is nested deeper than {SCHEMA_DEPTH_MAX}, or has a `$ref` in it; expected a schema that stands for itself"
        ));
    }
    Ok(Some(schema.clone()))
}

fn stands_alone(schema: &Json, depth: usize) -> bool {
    if depth == 0 {
        return false;
    }
    match schema {
        Json::Object(fields) => fields
            .iter()
            .all(|(key, value)| key != "$ref" && stands_alone(value, depth - 1)),
        Json::Array(items) => items.iter().all(|item| stands_alone(item, depth - 1)),
        _ => true,
    }
}

/// How much of it there may be, as its schema says.
fn limit(schema: &Json) -> Option<Limit> {
    let end = |keys: [&str; 3]| {
        let mut found = keys.iter().filter_map(|key| schema.get(key)?.as_i64());
        found.next().map(i128::from)
    };
    let limit = Limit {
        least: end(["minimum", "minLength", "minItems"]),
        most: end(["maximum", "maxLength", "maxItems"]),
    };
    (limit.least.is_some() || limit.most.is_some()).then_some(limit)
}

#[cfg(test)]
mod tests;
