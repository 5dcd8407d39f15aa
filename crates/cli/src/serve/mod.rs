//! `tress serve`: one object through one protocol, said on the command line. Makes the document that a file would be, and
//! hands that over. Knows no kind and no protocol.

mod choice;
mod document;
mod help;
mod options;

#[cfg(test)]
mod tests;

use crate::{
    Ended, Registry,
    commands::{self, Process},
    logging,
    upgrade::{self, Taking},
};
use choice::Choice;
use options::{Given, Grammar};
use std::io::{self, Write};
use tress_core::{Reactor, wording::unknown};

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// This text.
    Help(String),
    /// This document, as text.
    Document(String),
    /// To run the document until it is told to stop, and log from this level on.
    Run {
        name: String,
        document: String,
        level: tracing::Level,
    },
}

/// Does what these arguments say, which came after `serve`.
pub(crate) fn serve(arguments: &[String], registry: &Registry) -> Result<(), Ended> {
    let reactor = commands::reactor()?;
    registry.install_endpoints(&reactor);
    let wrong = |problems: Vec<String>| {
        let lines = problems
            .iter()
            .map(|problem| format!("tress serve: {problem}"));
        Ended::Unknown(lines.collect::<Vec<_>>().join("\n"))
    };
    match read(arguments, registry, &reactor).map_err(wrong)? {
        Asked::Help(text) | Asked::Document(text) => io::stdout().write_all(text.as_bytes())?,
        Asked::Run {
            name,
            document,
            level,
        } => {
            let overrides = logging::Overrides {
                level: Some(level.to_string().to_lowercase()),
                ..logging::Overrides::default()
            };
            let run = |registry: &Registry, place: &Taking| {
                let section = tress_app::config::LogSection::default();
                let started = logging::start(&section, overrides, registry);
                let (registry, log) = started.map_err(Ended::Unknown)?;
                let process = Process { log: &log, place };
                let install =
                    |reactor: &Reactor, reload| commands::install(reactor, reload, &process);
                let (registry, text) = (commands::managed(registry), document.as_bytes());
                let ran = tress_app::run_text(&name, text, &registry, &reactor, install);
                log.end();
                ran.map_err(Ended::Because)
            };
            upgrade::taking_over(registry.clone(), run)?;
        }
    }
    Ok(())
}

/// What the arguments ask for, or everything that is wrong with them.
fn read(
    arguments: &[String],
    registry: &Registry,
    reactor: &Reactor,
) -> Result<Asked, Vec<String>> {
    let one = |problem: String| vec![problem];
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| !is_help(name)) else {
        return match arguments {
            [] => Err(one(format!(
                "missing {}; see `tress serve --help`",
                help::NAME
            ))),
            [..] => Ok(Asked::Help(help::all(registry))),
        };
    };
    let choice = Choice::named(name, registry).map_err(one)?;
    let grammar = Grammar::of(&choice, registry);
    if rest.iter().any(|word| is_help(word)) {
        return Ok(Asked::Help(help::one(&choice, &grammar, registry, reactor)));
    }
    let Given { words, general } = grammar.read(rest)?;
    let kind = choice
        .kind(&words, general.kind.as_deref(), &grammar)
        .map_err(one)?;
    let protocols = choice
        .protocols(kind, &general.protocols, registry)
        .map_err(one)?;
    let document = document::of(kind, &protocols, &general.endpoints, &words)?;
    let checked = tress_app::Application::parse(name, document.as_bytes(), registry, reactor);
    if let Err(problems) = checked {
        let shown = |problem| grammar.in_words(problem);
        return Err(problems.list().iter().map(shown).collect());
    }
    Ok(if general.toml {
        Asked::Document(document)
    } else {
        Asked::Run {
            name: name.clone(),
            document,
            level: general.level,
        }
    })
}

fn is_help(word: &str) -> bool {
    matches!(word, "--help" | "-h")
}

/// `--quote`, as an option of that name is written here.
fn flag(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// An option that is not known.
fn unknown_flag(written: &str, known: &[String]) -> String {
    let known: Vec<&str> = known.iter().map(|flag| &**flag).collect();
    unknown("option", written, &known)
}
