//! What one key takes, as a schema. Knows no section.

use crate::config::{OptionSpec, Unit, ValueKind, may_be_zero, written};
use serde_json::{Value, json};
use tress_core::{
    Limits,
    limits::{self, Limit, WORKERS_MAX},
};

const DURATION: &str = "^[0-9]+(ms|s|m|h)$";
/// A duration that is not nothing.
pub(super) const SOME_TIME: &str = "^0*[1-9][0-9]*(ms|s|m|h)$";
const SIZE: &str = "^[0-9]+(B|KiB|MiB|GiB)$";

/// An option: what it takes, what it is for, and what it is without the key.
pub(super) fn option(spec: &OptionSpec) -> Value {
    let mut schema = value(spec.value);
    schema["description"] = spec.doc.into();
    if !spec.default.is_empty() {
        schema["default"] = match spec.value {
            ValueKind::Bool | ValueKind::Integer | ValueKind::Count => {
                spec.default.parse().unwrap_or(Value::Null)
            }
            _ => spec.default.into(),
        };
    }
    schema
}

/// A row of the table of limits.
pub(super) fn limit(limit: &Limit, defaults: &Limits) -> Value {
    let (unit, mut schema) = match limit.unit {
        limits::Unit::Bytes => (Unit::Bytes, value(ValueKind::Size)),
        limits::Unit::Count => (Unit::Count, value(ValueKind::Count)),
        limits::Unit::Time => (Unit::Time, value(ValueKind::Duration)),
    };
    if !may_be_zero(limit.name) {
        if schema.get("minimum").is_some() {
            schema["minimum"] = 1.into();
        }
        if let Some(Value::String(pattern)) = schema.get("pattern") {
            schema["pattern"] = pattern.replacen("[0-9]+", "0*[1-9][0-9]*", 1).into();
        }
    }
    let default = limit.get(defaults);
    schema["description"] = limit.meaning.into();
    schema["default"] = match unit {
        Unit::Count => default.into(),
        Unit::Bytes | Unit::Time => written(default, unit).into(),
    };
    schema
}

/// One of these words, each with what it means: Taplo, and what is built on it, shows that.
pub(super) fn words<'w>(words: impl Iterator<Item = (&'w str, &'w str)>) -> Value {
    let (words, docs): (Vec<&str>, Vec<&str>) = words.unzip();
    json!({ "enum": words, "x-taplo": { "docs": { "enumValues": docs } } })
}

/// A string, or a list of some.
pub(super) fn one_or_more(string: Value) -> Value {
    let mut schema = string.clone();
    schema["type"] = json!(["string", "array"]);
    schema["items"] = string;
    schema["minItems"] = 1.into();
    schema
}

fn value(kind: ValueKind) -> Value {
    match kind {
        ValueKind::String => json!({ "type": "string" }),
        ValueKind::Strings => one_or_more(json!({ "type": "string" })),
        ValueKind::Choice(words) => json!({ "enum": words }),
        ValueKind::Path => json!({ "type": "string", "minLength": 1 }),
        ValueKind::Integer => json!({ "type": "integer" }),
        ValueKind::Count => json!({ "type": "integer", "minimum": 0 }),
        ValueKind::Bool => json!({ "type": "boolean" }),
        ValueKind::Duration => {
            json!({ "type": "string", "pattern": DURATION, "examples": ["30s"] })
        }
        ValueKind::Size => json!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": SIZE,
            "examples": ["64KiB"],
        }),
        ValueKind::TableOfStrings => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        ValueKind::Secrets => json!({ "type": "object", "additionalProperties": secret() }),
        ValueKind::Workers => json!({
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": WORKERS_MAX,
            "pattern": "^auto$",
            "examples": ["auto"],
        }),
    }
}

/// Where a secret is.
fn secret() -> Value {
    let place = |doc: &str| json!({ "type": "string", "minLength": 1, "description": doc });
    json!({
        "type": "object",
        "properties": {
            "env": place("The environment variable that holds it."),
            "file": place("The file that holds it."),
        },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    })
}
