//! What a file can name, as text. Writes nowhere.

use crate::{example, table::columns};
use tress_app::{
    CheckerKind, Exposure, ProviderKind, Registry, Serves,
    config::{OptionSpec, ValueKind},
};
use tress_core::{Reactor, endpoint::Side, wording::unknown};
use tress_rpc::Descriptor;

/// Everything, a line each, and below it a line for each of its options.
pub(crate) fn all(registry: &Registry, reactor: &Reactor) -> String {
    let mut text = "Providers, for `kind` in [provide.NAME]:\n".to_owned();
    let kinds = registry.providers();
    let kinds = kinds.map(|kind| ([kind.name.to_owned(), kind.doc.to_owned()], kind.options));
    text.push_str(&with_options(kinds.collect()));
    text.push_str("\nProtocols, for `as` in [[serve]]:\n");
    let exposures = registry.exposures().map(|e| {
        let interface = match e.serves {
            Serves::Interface(interface) => format!("of {}", interface.name),
            Serves::Any(_) => "of every interface".to_owned(),
        };
        ([e.name.to_owned(), interface, e.doc.to_owned()], e.options)
    });
    text.push_str(&with_options(exposures.collect()));
    text.push_str("\nCheckers, for `kind` in [auth.NAME]:\n");
    let kinds = registry.checkers();
    let kinds = kinds.map(|kind| ([kind.name.to_owned(), kind.doc.to_owned()], kind.options));
    text.push_str(&with_options(kinds.collect()));
    text.push_str("\nEndpoints, for `at` in [[serve]]:\n");
    text.push_str(&endpoints(reactor, Side::Server));
    text.push_str("\nEndpoints to connect to:\n");
    text.push_str(&endpoints(reactor, Side::Client));
    text.push_str("\n`tress plugins --explain NAME` tells all of one of them, with an example.\n");
    text
}

/// Kinds in columns, the options of each below it.
fn with_options<const N: usize>(kinds: Vec<([String; N], &'static [OptionSpec])>) -> String {
    let (rows, specs): (Vec<_>, Vec<_>) = kinds.into_iter().unzip();
    let mut text = String::new();
    for (line, specs) in columns("  ", &rows).lines().zip(specs) {
        text.push_str(line);
        text.push('\n');
        text.push_str(&columns("      ", &option_rows(specs)));
    }
    text
}

/// The ones of this name, in full.
///
/// # Errors
/// There is none: the nearest name.
pub(crate) fn one(name: &str, registry: &Registry, reactor: &Reactor) -> Result<String, String> {
    let mut found: Vec<String> = registry
        .provider(name)
        .map(|kind| provider(kind, registry) + &shown(example::provider(kind, registry)))
        .into_iter()
        .collect();
    let exposures = registry.exposures().filter(|e| e.name == name);
    found.extend(exposures.map(|e| exposure(e) + &shown(example::exposure(e, registry))));
    let checkers = registry.checker(name).into_iter();
    found.extend(checkers.map(|kind| checker(kind) + &shown(example::checker(kind, registry))));
    let endpoints = endpoint(name, reactor).into_iter();
    found.extend(endpoints.map(|text| text + &shown(example::endpoint(name, registry, reactor))));
    if found.is_empty() {
        let providers = registry.providers().map(|kind| kind.name);
        let kinds = [Side::Server, Side::Client].map(|side| reactor.endpoint_kinds(side));
        let endpoints = kinds.iter().flatten().map(|(name, _)| &**name);
        let known: Vec<&str> = providers
            .chain(registry.protocols())
            .chain(registry.checkers().map(|kind| kind.name))
            .chain(endpoints)
            .collect();
        return Err(unknown("name", name, &known));
    }
    Ok(found.join("\n"))
}

/// An example, if there is one.
fn shown(example: Option<String>) -> String {
    let Some(example) = example else {
        return String::new();
    };
    let lines = example.lines().map(|line| format!("    {line}"));
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    format!("\n  example:\n{}\n", lines.join("\n"))
}

/// The kinds of endpoint for one side, a line each.
fn endpoints(reactor: &Reactor, side: Side) -> String {
    let kinds = reactor.endpoint_kinds(side).into_iter();
    let rows: Vec<_> = kinds
        .map(|(name, usage)| [name, usage.to_owned()])
        .collect();
    columns("  ", &rows)
}

/// The kind of endpoint of that name, as it is written for each side that it is for.
fn endpoint(name: &str, reactor: &Reactor) -> Option<String> {
    let sides = [
        (Side::Server, "to listen at"),
        (Side::Client, "to connect to"),
    ];
    let rows: Vec<_> = sides
        .iter()
        .flat_map(|(side, words)| {
            let mut kinds = reactor.endpoint_kinds(*side).into_iter();
            let usage = kinds.find_map(|(kind, usage)| (kind == name).then_some(usage));
            usage.map(|usage| [(*words).to_owned(), usage.to_owned()])
        })
        .collect();
    (!rows.is_empty()).then(|| format!("{name}: an endpoint\n{}", columns("  ", &rows)))
}

fn provider(kind: &ProviderKind, registry: &Registry) -> String {
    let mut text = format!("{}: a provider\n  {}\n", kind.name, kind.doc);
    text.push_str(&options(kind.options));
    for interface in kind.interfaces {
        text.push_str(&methods("offers", interface));
    }
    let protocols = registry.protocols_of(kind).join(", ");
    text.push_str(&format!("\n  can be served as: {protocols}\n"));
    text
}

fn checker(kind: &CheckerKind) -> String {
    let text = format!("{}: a checker of credentials\n  {}\n", kind.name, kind.doc);
    text + &options(kind.options)
}

fn exposure(exposure: &Exposure) -> String {
    let mut text = format!("{}: a protocol\n  {}\n", exposure.name, exposure.doc);
    text.push_str(&options(exposure.options));
    match exposure.serves {
        Serves::Interface(interface) => text.push_str(&methods("serves", interface)),
        Serves::Any(_) => text.push_str("\n  serves objects of every interface that it can say\n"),
    }
    text
}

fn options(specs: &[OptionSpec]) -> String {
    if specs.is_empty() {
        return String::new();
    }
    let rows = option_rows(specs);
    format!("\n  options:\n{}", columns("    ", &rows))
}

/// Name, type, default and doc of each.
fn option_rows(specs: &[OptionSpec]) -> Vec<[String; 4]> {
    let rows = specs.iter().map(|spec| {
        let need = match (spec.required, spec.default) {
            (true, _) => "required".to_owned(),
            (false, "") => "optional".to_owned(),
            (false, default) => format!("default {default}"),
        };
        let kind = match spec.value {
            ValueKind::Choice(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                names.join(" or ")
            }
            value => value.described().to_owned(),
        };
        [spec.name.to_owned(), kind, need, spec.doc.to_owned()]
    });
    rows.collect()
}

fn methods(verb: &str, interface: &Descriptor) -> String {
    let rows: Vec<_> = interface
        .methods
        .iter()
        .map(|method| [method.to_string(), method.doc.to_owned()])
        .collect();
    format!(
        "\n  {verb} {}: {}\n{}",
        interface.name,
        interface.doc,
        columns("    ", &rows)
    )
}
