//! What a plug-in tells of its kinds, read within limits; and the kinds of provider that become of it. Starts nothing.

use super::{Known, PluginSpec, child};
use crate::{
    config::{OptionSpec, Options, Problem, ValueKind},
    registry::{ProviderKind, Registry, Sharing},
};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use tress_core::wording::{quoted, unknown};
use tress_rpc::{
    Descriptor, MakeTwin, Object, Value,
    told::{TOLD_NAME_MAX, plain_text},
};

/// The most kinds of a plug-in.
pub(super) const KINDS_MAX: usize = 64;
/// The most options of a kind.
const OPTIONS_MAX: usize = 64;

/// What a plug-in told: who it is, and what its kinds are.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What it calls itself, and its version.
    pub name: String,
    /// What it said of each of its kinds.
    pub kinds: BTreeMap<String, Json>,
}

/// The types of options that a plug-in may have, by what it calls them.
const TYPES: &[(&str, ValueKind)] = &[
    ("string", ValueKind::String),
    ("strings", ValueKind::Strings),
    ("path", ValueKind::Path),
    ("integer", ValueKind::Integer),
    ("count", ValueKind::Count),
    ("boolean", ValueKind::Bool),
    ("duration", ValueKind::Duration),
    ("size", ValueKind::Size),
    ("table", ValueKind::TableOfStrings),
];

/// Whether a kind may be called so, behind the dot.
///
/// # Errors
/// What was expected.
pub(super) fn kind_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=TOLD_NAME_MAX).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "{} is no name for a kind; expected at most {TOLD_NAME_MAX} letters, digits, `-` and `_`",
        quoted(name)
    ))
}

impl Registry {
    /// Adds the kinds of a plug-in.
    ///
    /// # Errors
    /// What is wrong with what it told.
    pub(crate) fn register_plugin(&mut self, spec: PluginSpec, told: Told) -> Result<(), String> {
        let mut kinds = Vec::with_capacity(told.kinds.len());
        for (name, about) in &told.kinds {
            let kind = kind(&spec.name, name, about, self);
            kinds.push(kind.map_err(|why| format!("it tells of its kind `{name}`: {why}"))?);
        }
        for kind in &kinds {
            if self.provider(kind.name).is_some() {
                return Err(format!("this program has a kind `{}` itself", kind.name));
            }
        }
        let known = Known(std::sync::Arc::new((spec, told)));
        for kind in kinds {
            self.register_provider(kind);
            self.plugins.insert(kind.name, known.clone());
        }
        Ok(())
    }
}

/// The kind of provider. It stays in memory for as long as the program runs, as others do.
fn kind(
    plugin: &str,
    name: &str,
    about: &Json,
    registry: &Registry,
) -> Result<ProviderKind, String> {
    let fields = about.as_object().ok_or("it is no JSON object")?;
    let doc = text(fields, "doc")?;
    let mut options: Vec<OptionSpec> = Vec::new();
    for option in list(fields, "options", OPTIONS_MAX)? {
        let option = self::option(option)?;
        if option.name == "kind" || options.iter().any(|known| known.name == option.name) {
            return Err(format!("option `{}` comes twice", option.name));
        }
        options.push(option);
    }
    let interface = fields.get("interface").ok_or("it has no `interface`")?;
    let told = Descriptor::told(interface)?;
    let twin = match registry.twin(told.name) {
        None => (told, Object::carried as MakeTwin),
        Some((known, twin)) => match known.missing_in(told) {
            None => (known, twin),
            Some(method) => {
                return Err(format!(
                    "`{}` is an interface that tress knows, and its method `{method}` is not there; expected all of its methods, or another name",
                    known.name
                ));
            }
        },
    };
    Ok(ProviderKind {
        name: format!("{plugin}.{name}").leak(),
        doc: doc.leak(),
        options: options.leak(),
        interfaces: vec![twin.0].leak(),
        make: child::make,
        sharing: Sharing::Home(vec![twin].leak()),
    })
}

fn option(told: &Json) -> Result<OptionSpec, String> {
    let fields = told.as_object().ok_or("an option is no JSON object")?;
    let name = text(fields, "name")?;
    kind_name(&name).map_err(|_| format!("an option is called {}", quoted(&name)))?;
    let wrong = |why: String| format!("option `{name}`: {why}");
    let ty = text(fields, "type").map_err(wrong)?;
    let found = TYPES.iter().find(|(known, _)| *known == ty);
    let names: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
    let (_, value) = found.ok_or_else(|| wrong(unknown("type", &ty, &names)))?;
    let required = match fields.get("required") {
        None => false,
        Some(Json::Bool(required)) => *required,
        Some(_) => return Err(wrong("`required` is neither true nor false".to_owned())),
    };
    let default = match fields.get("default") {
        None => String::new(),
        Some(Json::String(text)) => plain_text(text).map_err(wrong)?,
        Some(Json::Number(number)) => number.to_string(),
        Some(Json::Bool(value)) => value.to_string(),
        Some(_) => return Err(wrong("`default` is no text and no number".to_owned())),
    };
    Ok(OptionSpec {
        value: *value,
        required,
        default: default.leak(),
        doc: text(fields, "doc").map_err(wrong)?.leak(),
        name: name.clone().leak(),
    })
}

fn text(fields: &Map<String, Json>, key: &str) -> Result<String, String> {
    match fields.get(key) {
        None => Ok(String::new()),
        Some(Json::String(text)) => plain_text(text).map_err(|why| format!("`{key}`: {why}")),
        Some(_) => Err(format!("`{key}` is no string")),
    }
}

fn list<'j>(fields: &'j Map<String, Json>, key: &str, most: usize) -> Result<&'j [Json], String> {
    match fields.get(key) {
        None => Ok(&[]),
        Some(Json::Array(items)) if items.len() <= most => Ok(items),
        Some(Json::Array(items)) => Err(format!("{} {key}; expected at most {most}", items.len())),
        Some(_) => Err(format!("`{key}` is no list")),
    }
}

/// The options of a section as the plug-in gets them: durations are seconds, sizes bytes, and paths start where the file is.
pub(super) fn values(options: &Options, specs: &[OptionSpec]) -> Result<Value, Problem> {
    let mut record = Vec::new();
    for spec in specs.iter().filter(|spec| options.has(spec.name)) {
        let key = spec.name;
        let value = match spec.value {
            ValueKind::Integer => Value::Integer(options.integer(key)?.into()),
            ValueKind::Count => Value::Integer(options.count(key)?.into()),
            ValueKind::Size => Value::Integer(options.size(key)?.into()),
            ValueKind::Bool => Value::Boolean(options.bool(key, false)?),
            ValueKind::Duration => Value::Float(options.duration(key)?.as_secs_f64()),
            ValueKind::Path => Value::String(options.path(key)?.to_string_lossy().into_owned()),
            ValueKind::Strings => {
                let texts = options.strings(key)?.into_iter();
                Value::List(texts.map(|text| Value::String(text.value)).collect())
            }
            ValueKind::TableOfStrings => {
                let pairs = options.table_of_strings(key)?.into_iter();
                Value::Record(
                    pairs
                        .map(|(name, text)| (name.to_owned(), text.into()))
                        .collect(),
                )
            }
            _ => options.string(key)?.into(),
        };
        record.push((key.to_owned(), value));
    }
    Ok(Value::Record(record))
}
