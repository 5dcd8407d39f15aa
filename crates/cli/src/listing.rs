//! What a file can name, as text. Writes nowhere.

use crate::table::columns;
use tress_app::{CheckerKind, Exposure, ProviderKind, Registry, Serves, config::OptionSpec};
use tress_core::{Reactor, endpoint::Side, wording::unknown};
use tress_rpc::Descriptor;

/// Everything, a line each.
pub(crate) fn all(registry: &Registry, reactor: &Reactor) -> String {
    let mut text = "Providers, for `kind` in [provide.NAME]:\n".to_owned();
    let rows: Vec<_> = registry
        .providers()
        .map(|kind| [kind.name.to_owned(), kind.doc.to_owned()])
        .collect();
    text.push_str(&columns("  ", &rows));
    text.push_str("\nProtocols, for `as` in [[serve]]:\n");
    let rows: Vec<_> = registry
        .exposures()
        .map(|e| {
            let interface = match e.serves {
                Serves::Interface(interface) => format!("of {}", interface.name),
                Serves::Any(_) => "of every interface".to_owned(),
            };
            [e.name.to_owned(), interface, e.doc.to_owned()]
        })
        .collect();
    text.push_str(&columns("  ", &rows));
    text.push_str("\nCheckers, for `kind` in [auth.NAME]:\n");
    let rows: Vec<_> = registry
        .checkers()
        .map(|kind| [kind.name.to_owned(), kind.doc.to_owned()])
        .collect();
    text.push_str(&columns("  ", &rows));
    text.push_str("\nEndpoints, for `at` in [[serve]]:\n");
    text.push_str(&endpoints(reactor, Side::Server));
    text.push_str("\nEndpoints to connect to:\n");
    text.push_str(&endpoints(reactor, Side::Client));
    text.push_str("\n`tress plugins NAME` shows one of them with its options.\n");
    text
}

/// The ones of this name, in full.
///
/// # Errors
/// There is none: the nearest name.
pub(crate) fn one(name: &str, registry: &Registry, reactor: &Reactor) -> Result<String, String> {
    let mut found: Vec<String> = registry
        .provider(name)
        .map(|kind| provider(kind, registry))
        .into_iter()
        .collect();
    let exposures = registry.exposures().filter(|e| e.name == name);
    found.extend(exposures.map(exposure));
    found.extend(registry.checker(name).map(checker));
    found.extend(endpoint(name, reactor));
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
    let rows: Vec<_> = specs
        .iter()
        .map(|spec| {
            let need = match (spec.required, spec.default) {
                (true, _) => "required".to_owned(),
                (false, "") => "optional".to_owned(),
                (false, default) => format!("default {default}"),
            };
            let kind = spec.value.described().to_owned();
            [spec.name.to_owned(), kind, need, spec.doc.to_owned()]
        })
        .collect();
    format!("\n  options:\n{}", columns("    ", &rows))
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
