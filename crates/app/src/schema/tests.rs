//! That nothing of the registry is left out. Whether files are judged as `tress check` judges them is tested with a validator
//! from outside, in `tress-cli`.

use super::*;
use tress_core::testing::memory::Table;

fn builtin() -> (Registry, Value) {
    let (table, registry) = (Table::new(), Registry::builtin());
    registry.install_endpoints(table.reactor());
    let schema = schema(&registry, table.reactor());
    let document = serde_json::from_str(&schema).expect("it is JSON");
    (registry, document)
}

/// The properties of a definition.
#[track_caller]
fn check_options(definition: &Value, options: &[OptionSpec]) {
    for option in options {
        let found = &definition["properties"][option.name];
        assert_eq!(found["description"], option.doc, "{definition:#}");
        let default = match &found["default"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(default, option.default, "{found:#}");
    }
    assert_eq!(definition["additionalProperties"], false);
}

#[test]
fn every_kind_protocol_option_and_limit_is_in_it() {
    let (registry, document) = builtin();
    let definitions = &document["$defs"];
    for kind in registry.providers() {
        let definition = &definitions[format!("provide.{}", kind.name)];
        assert_eq!(definition["description"], kind.doc);
        check_options(definition, kind.options);
    }
    for kind in registry.checkers() {
        let definition = &definitions[format!("auth.{}", kind.name)];
        assert_eq!(definition["description"], kind.doc);
        check_options(definition, kind.options);
    }
    for exposure in registry.exposures() {
        let definition = &definitions[format!("serve.{}", exposure.name)];
        check_options(definition, exposure.options);
        check_options(definition, SERVE_OPTIONS);
    }
    check_options(&document["properties"]["app"], APP_OPTIONS);
    check_options(&document["properties"]["log"], LOG_OPTIONS);
    for limit in Limits::TABLE {
        let found = &document["properties"]["limits"]["properties"][limit.name];
        assert_eq!(found["description"], limit.meaning);
    }
    let at = &document["properties"]["serve"]["items"]["properties"]["at"];
    assert_eq!(at["pattern"], "^(haproxy|tcp|tcp6|unix)(:|$)");
}

#[test]
fn limits_say_their_least_and_their_default() {
    let (_, document) = builtin();
    let limits = &document["properties"]["limits"]["properties"];
    let of = |name: &str| {
        let limit = &limits[name];
        [&limit["default"], &limit["minimum"], &limit["pattern"]].map(Value::to_string)
    };
    let size = "\"^0*[1-9][0-9]*(B|KiB|MiB|GiB)$\"";
    assert_eq!(of("line"), ["\"16KiB\"", "1", size]);
    assert_eq!(of("connections"), ["65536", "1", "null"]);
    let idle = &of("idle")[2];
    assert_eq!(idle, "\"^[0-9]+(ms|s|m|h)$\"");
}

#[test]
fn a_protocol_of_several_interfaces_demands_what_all_of_them_do() {
    let spec = |name, required| OptionSpec {
        name,
        value: crate::config::ValueKind::String,
        required,
        default: "",
        doc: "",
    };
    const BOTH: &str = "both";
    let one: &'static [OptionSpec] = Vec::leak(vec![spec(BOTH, true), spec("one", true)]);
    let other: &'static [OptionSpec] = Vec::leak(vec![spec(BOTH, true)]);
    let registry = Registry::builtin();
    let exposure = *registry.exposures().next().expect("there are some");
    let exposures = [one, other].map(|options| Exposure {
        options,
        ..exposure
    });
    let found = options_of(&exposures);
    let required: Vec<&str> = found
        .iter()
        .filter(|o| o.required)
        .map(|o| o.name)
        .collect();
    assert_eq!(required, [BOTH]);
    assert!(found.iter().any(|option| option.name == "one"));
}

#[test]
fn names_are_taken_as_they_are() {
    assert_eq!(plain("a.b-c"), "a\\.b\\-c");
}
