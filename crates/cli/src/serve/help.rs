//! What `tress serve` can be told, as text. Writes nowhere.

use super::{
    choice::Choice,
    options::{GENERAL, Grammar, Row, Section, repeats},
};
use crate::table::columns;
use tress_app::{Registry, config::ValueKind};
use tress_core::{Reactor, endpoint::Side};

/// What comes first.
pub(super) const NAME: &str = "PROTOCOL or KIND";

/// The command, and what it can serve.
pub(super) fn all(registry: &Registry) -> String {
    let mut text = "Serve one object, said on the command line instead of in a file, until Ctrl-C or SIGTERM\n\n\
         usage: tress serve PROTOCOL|KIND [--OPTION VALUE]... --at ENDPOINT...\n\n\
         Protocols, of objects whose kind the options tell:\n"
        .to_owned();
    let mut rows: Vec<[String; 2]> = Vec::new();
    for exposure in registry.exposures() {
        if rows.last().is_none_or(|[name, _]| name != exposure.name) {
            rows.push([exposure.name.to_owned(), exposure.doc.to_owned()]);
        }
    }
    text.push_str(&columns("  ", &rows));
    text.push_str("\nKinds of provider, each through the protocol that was made for it, or those that `--as` names:\n");
    let kinds = registry.providers();
    let rows: Vec<_> = kinds
        .map(|kind| [kind.name.to_owned(), kind.doc.to_owned()])
        .collect();
    text.push_str(&columns("  ", &rows));
    text.push_str(&general());
    text.push_str("\n`tress serve NAME --help` shows the options of one of them.\n");
    text
}

/// One protocol or kind, with all options.
pub(super) fn one(
    choice: &Choice<'_>,
    grammar: &Grammar,
    registry: &Registry,
    reactor: &Reactor,
) -> String {
    let exposure = choice
        .protocol
        .and_then(|name| registry.exposures().find(|exposure| exposure.name == name));
    let first = choice.kinds.first();
    let (name, doc) = exposure
        .map(|exposure| (exposure.name, exposure.doc))
        .or_else(|| first.map(|kind| (kind.name, kind.doc)))
        .unwrap_or_default();
    let mut text = format!(
        "{name}: {doc}\n\nusage: tress serve {name} [--OPTION VALUE]... --at ENDPOINT...\n"
    );
    for kind in &choice.kinds {
        text.push_str(&format!("\nOptions of {}: {}\n", kind.name, kind.doc));
        let rows = grammar
            .rows
            .iter()
            .filter(|row| row.section == Section::Provide && kind.options.contains(&row.spec));
        text.push_str(&options(rows));
    }
    text.push_str("\nOptions of how it is served:\n");
    let rows = grammar
        .rows
        .iter()
        .filter(|row| row.section == Section::Serve);
    text.push_str(&options(rows));
    text.push_str(&general());
    text.push_str("\nEndpoints, for `--at`:\n");
    let kinds = reactor.endpoint_kinds(Side::Server).into_iter();
    let rows: Vec<_> = kinds
        .map(|(name, usage)| [name, usage.to_owned()])
        .collect();
    text.push_str(&columns("  ", &rows));
    text
}

fn general() -> String {
    let rows: Vec<_> = GENERAL
        .iter()
        .map(|(name, value, doc)| [format!("{name} {value}"), (*doc).to_owned()])
        .collect();
    format!("\nOptions of the command:\n{}", columns("  ", &rows))
}

fn options<'r>(rows: impl Iterator<Item = &'r Row>) -> String {
    let mut shown: Vec<[String; 3]> = Vec::new();
    for row in rows {
        let flags = match row.also() {
            Some(also) => format!("{}, {also}", row.flag),
            None => row.flag.clone(),
        };
        let need = match (row.spec.required, row.spec.default) {
            (true, _) => "required".to_owned(),
            (false, "" | "false") => "optional".to_owned(),
            (false, default) => format!("default {default}"),
        };
        let several = if repeats(row.spec.value) { "..." } else { "" };
        let line = format!("{flags} {}{several}", placeholder(row.spec.value));
        shown.push([line, need, row.spec.doc.to_owned()]);
    }
    if shown.is_empty() {
        return "  none\n".to_owned();
    }
    columns("  ", &shown)
}

/// What stands for the value.
fn placeholder(kind: ValueKind) -> String {
    match kind {
        ValueKind::Choice(words) => words.join("|"),
        ValueKind::Path => "PATH".to_owned(),
        ValueKind::Integer | ValueKind::Count | ValueKind::Workers => "NUMBER".to_owned(),
        ValueKind::Bool => String::new(),
        ValueKind::Duration => "TIME".to_owned(),
        ValueKind::Size => "SIZE".to_owned(),
        ValueKind::TableOfStrings => "NAME=TEXT".to_owned(),
        ValueKind::Secrets => "NAME=env:VARIABLE|file:PATH".to_owned(),
        _ => "TEXT".to_owned(),
    }
}
