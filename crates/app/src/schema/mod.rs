//! Everything that a file may say, as a JSON Schema (2020-12) for editors. Knows no kind, protocol or endpoint by name: all of
//! it comes from the registry and the tables of options.
//!
//! Which keys a section may have depends on a word in it (`kind`, `as`). Validators are told by `if` and `then`, so that they
//! complain about the key and not about the whole section. Editors that offer keys look into `anyOf` only, so there all
//! alternatives are named once more, with `true` behind them, which leaves the verdict to `then`.

mod values;

#[cfg(test)]
mod tests;

use crate::{
    config::{
        APP_OPTIONS, CONTROL_PROTOCOL, LOG_OPTIONS, MAX_SECTIONS, OptionSpec, RESTART_LIMIT_MAX,
        RUN_OPTIONS, SERVE_OPTIONS,
    },
    registry::{Exposure, Make, Registry},
};
use serde_json::{Map, Value, json};
use tress_core::{Limits, Reactor, endpoint::Side};

/// The schema of the files that this registry can run, with the kinds of endpoint of this reactor; indented text.
#[must_use]
pub fn schema(registry: &Registry, reactor: &Reactor) -> String {
    let endpoints = reactor.endpoint_kinds(Side::Server);
    let document = Document {
        registry,
        endpoints: &endpoints,
        definitions: Map::new(),
    };
    format!("{:#}\n", document.whole())
}

/// What sections are called: in `[provide.NAME]`, and where `what` names one.
const NAME_PATTERN: &str = "^[A-Za-z0-9_-]{1,64}$";

struct Document<'d> {
    registry: &'d Registry,
    /// Each kind, and how it is written.
    endpoints: &'d [(String, &'static str)],
    /// `$defs`
    definitions: Map<String, Value>,
}

impl Document<'_> {
    fn whole(mut self) -> Value {
        let provide = self.provide();
        let auth = self.auth();
        let serve = self.serve();
        let control = self.control();
        let something = json!({ "anyOf": [{ "required": ["control"] }, { "required": ["run"] }] });
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:tress:application",
            "title": "A tress application",
            "description": "Objects, and the protocols and endpoints that they are served through: what `tress run` runs.",
            "type": "object",
            "properties": {
                "app": app(),
                "auth": auth,
                "control": control,
                "limits": limits(),
                "log": log(),
                "provide": provide,
                "run": run(),
                "serve": serve,
            },
            "if": something,
            "else": { "required": ["provide", "serve"] },
            "additionalProperties": false,
            "$defs": self.definitions,
        })
    }

    /// `[provide.NAME]`
    fn provide(&mut self) -> Value {
        let kinds: Vec<_> = self.registry.providers().collect();
        let kinds: Vec<_> = kinds.iter().map(|k| (k.name, k.doc, k.options)).collect();
        self.kinds(
            "provide",
            "Objects, each made by a kind of provider.",
            &kinds,
        )
    }

    /// `[auth.NAME]`
    fn auth(&mut self) -> Value {
        let kinds: Vec<_> = self.registry.checkers().collect();
        let kinds: Vec<_> = kinds.iter().map(|k| (k.name, k.doc, k.options)).collect();
        self.kinds(
            "auth",
            "Who may call: checkers of credentials, which `auth` in [[serve]] names.",
            &kinds,
        )
    }

    /// Named sections whose `kind` says which keys they have.
    fn kinds(
        &mut self,
        section: &str,
        doc: &str,
        kinds: &[(&'static str, &'static str, &[OptionSpec])],
    ) -> Value {
        let mut choices = Vec::new();
        for (name, doc, options) in kinds {
            let own = json!({ "kind": { "const": name, "description": doc } });
            let definition = closed(&format!("kind = \"{name}\""), doc, own, options);
            let when = json!({ "properties": { "kind": { "const": name } }, "required": ["kind"] });
            choices.push((when, self.define(&format!("{section}.{name}"), definition)));
        }
        let named = kinds.iter().map(|(name, doc, _)| (*name, *doc));
        let mut kind = values::words(named);
        describe(&mut kind, "Which plug-in makes it.");
        let mut one = json!({
            "type": "object",
            "properties": { "kind": kind },
            "required": ["kind"],
        });
        choose(&mut one, choices);
        json!({
            "description": doc,
            "type": "object",
            "propertyNames": { "pattern": NAME_PATTERN },
            "maxProperties": MAX_SECTIONS,
            "additionalProperties": one,
        })
    }

    /// `[[serve]]`
    fn serve(&mut self) -> Value {
        let names = self.registry.protocols();
        let shared = |name: &&str| {
            let mut exposures = self.exposures(name);
            exposures.any(|exposure| matches!(exposure.make, Make::Http(_)))
        };
        let shared: Vec<&str> = names.iter().copied().filter(shared).collect();
        let docs: Vec<&str> = names
            .iter()
            .map(|name| self.exposures(name).next().map_or("", |found| found.doc))
            .collect();
        let mut choices = Vec::new();
        for (name, doc) in names.iter().zip(&docs) {
            let exposures: Vec<Exposure> = self.exposures(name).copied().collect();
            let with = if shared.contains(name) {
                json!({ "items": { "enum": shared } })
            } else {
                json!({ "maxItems": 1 })
            };
            let own = json!({ "what": true, "as": with, "at": true });
            let options = options_of(&exposures);
            let definition = closed(&format!("as = \"{name}\""), doc, own, &options);
            let said = json!({ "anyOf": [
                { "const": name },
                { "type": "array", "contains": { "const": name } },
            ] });
            let when = json!({ "properties": { "as": said }, "required": ["as"] });
            choices.push((when, self.define(&format!("serve.{name}"), definition)));
        }
        let mut one = json!({
            "type": "object",
            "properties": {
                "what": {
                    "description": "The NAME of the [provide.NAME] that is served.",
                    "type": "string",
                    "pattern": NAME_PATTERN,
                },
                "as": protocols(&names, &docs),
                "at": self.at(),
                "interface": self.interface(),
            },
            "required": ["what", "as", "at"],
        });
        choose(&mut one, choices);
        json!({
            "description": "An object, through one or more protocols, at one or more endpoints.",
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_SECTIONS,
            "items": one,
        })
    }

    /// `[control]`
    fn control(&self) -> Value {
        let exposures: Vec<Exposure> = self.exposures(CONTROL_PROTOCOL).copied().collect();
        closed(
            "[control]",
            "Where `tress ctl` reaches the running application: a UNIX socket beside the file, or these endpoints.",
            json!({ "at": self.at() }),
            &options_of(&exposures),
        )
    }

    /// `at` in `[[serve]]`
    fn at(&self) -> Value {
        let names: Vec<String> = self.endpoints.iter().map(|(name, _)| plain(name)).collect();
        let usages: Vec<String> = self
            .endpoints
            .iter()
            .map(|(_, usage)| format!("`{usage}`"))
            .collect();
        let one = json!({
            "type": "string",
            "pattern": format!("^({})(:|$)", names.join("|")),
        });
        let mut at = values::one_or_more(one);
        describe(
            &mut at,
            &format!("Where to listen. {}", usages.join("; ") + "."),
        );
        at
    }

    /// `interface` in `[[serve]]`: any that some kind of provider offers.
    fn interface(&self) -> Value {
        let mut known: Vec<(&str, &str)> = Vec::new();
        for interface in self.registry.providers().flat_map(|kind| kind.interfaces) {
            if !known.iter().any(|(name, _)| *name == interface.name) {
                known.push((interface.name, interface.doc));
            }
        }
        values::words(known.into_iter())
    }

    fn exposures<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Exposure> {
        self.registry.exposures().filter(move |e| e.name == name)
    }

    /// Puts it among the definitions, and answers with what refers to it.
    fn define(&mut self, name: &str, definition: Value) -> Value {
        self.definitions.insert(name.to_owned(), definition);
        let escaped = name.replace('~', "~0").replace('/', "~1");
        json!({ "$ref": format!("#/$defs/{escaped}") })
    }
}

/// The keys beside `what`, `as` and `at` of a protocol, which may be there for several interfaces: then what not all of them
/// must have is optional.
fn options_of(exposures: &[Exposure]) -> Vec<OptionSpec> {
    let mut options = SERVE_OPTIONS.to_vec();
    for spec in exposures.iter().flat_map(|exposure| exposure.options) {
        let same = |other: &&OptionSpec| other.name == spec.name;
        let everywhere = exposures.iter().all(|e| e.options.iter().any(|o| same(&o)));
        if !options.iter().any(|known| same(&known)) {
            let required = spec.required && everywhere;
            options.push(OptionSpec { required, ..*spec });
        }
    }
    options
}

/// `as` in `[[serve]]`
fn protocols(names: &[&str], docs: &[&str]) -> Value {
    let named = names.iter().copied().zip(docs.iter().copied());
    let words = values::words(named);
    json!({
        "description": "The protocols that it is served through.",
        "anyOf": [
            words,
            { "type": "array", "items": words, "minItems": 1, "uniqueItems": true },
        ],
    })
}

/// `[app]`
fn app() -> Value {
    let doc = "The application as a whole.";
    closed("[app]", doc, json!({}), APP_OPTIONS)
}

/// `[[run]]`
fn run() -> Value {
    let doc = "A child process that is kept running.";
    let mut one = closed("[[run]]", doc, json!({}), RUN_OPTIONS);
    one["properties"]["name"]["pattern"] = NAME_PATTERN.into();
    for (key, least, most) in [
        ("restart_limit", 1, RESTART_LIMIT_MAX),
        ("user", 0, u64::from(u32::MAX) - 1),
        ("group", 0, u64::from(u32::MAX) - 1),
    ] {
        one["properties"][key]["minimum"] = least.into();
        one["properties"][key]["maximum"] = most.into();
    }
    for key in [
        "threshold",
        "min_restart_delay",
        "max_restart_delay",
        "restart_period",
        "kill_time",
    ] {
        one["properties"][key]["pattern"] = values::SOME_TIME.into();
    }
    json!({
        "description": "Child processes, which are started again when they end.",
        "type": "array",
        "maxItems": MAX_SECTIONS,
        "items": one,
    })
}

/// `[log]`
fn log() -> Value {
    let doc = "What is logged, in which form, and where it goes.";
    closed("[log]", doc, json!({}), LOG_OPTIONS)
}

/// `[limits]`
fn limits() -> Value {
    let defaults = Limits::default();
    let rows = Limits::TABLE.iter();
    let properties: Map<String, Value> = rows
        .map(|limit| (limit.name.to_owned(), values::limit(limit, &defaults)))
        .collect();
    json!({
        "title": "[limits]",
        "description": "Bounds of the engine, for every connection and the whole; `tress check --limits` lists them.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// A table that has these properties, and one for each option, and no others.
fn closed(title: &str, doc: &str, own: Value, options: &[OptionSpec]) -> Value {
    let mut properties = match own {
        Value::Object(own) => own,
        _ => Map::new(),
    };
    for option in options {
        properties.insert(option.name.to_owned(), values::option(option));
    }
    let required = options
        .iter()
        .filter(|o| o.required && o.default.is_empty());
    let required: Vec<&str> = required.map(|option| option.name).collect();
    json!({
        "title": title,
        "description": doc,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Adds that the first of these definitions holds whose condition does.
fn choose(schema: &mut Value, choices: Vec<(Value, Value)>) {
    let offered = choices.iter().map(|(_, definition)| definition.clone());
    let offered: Vec<Value> = offered.chain([json!(true)]).collect();
    let mut chain = json!({});
    for (when, definition) in choices.into_iter().rev() {
        chain = json!({ "if": when, "then": definition, "else": chain });
    }
    if let (Value::Object(schema), Value::Object(chain)) = (schema, chain) {
        schema.insert("anyOf".to_owned(), offered.into());
        schema.extend(chain);
    }
}

fn describe(schema: &mut Value, doc: &str) {
    schema["description"] = doc.into();
}

/// A name in a regular expression, as it is.
fn plain(name: &str) -> String {
    let mut escaped = String::new();
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
