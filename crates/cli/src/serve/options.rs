//! The options of `tress serve`: those of the kinds and protocols that can be meant, and its own. Decides nothing.

use super::{choice::Choice, flag, unknown_flag};
use tracing::Level;
use tress_app::{
    Registry,
    config::{OptionSpec, Problem, SERVE_OPTIONS, ValueKind},
};
use tress_core::wording::{quoted, unknown};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The options of the command itself: each with its value, if it takes one, and what it is for.
pub(super) const GENERAL: &[(&str, &str, &str)] = &[
    (
        "--at",
        "ENDPOINT",
        "Where to listen, such as `tcp:8007:interface=127.0.0.1`; several times for several.",
    ),
    (
        "--as",
        "PROTOCOL",
        "A protocol more; several times for several.",
    ),
    (
        "--kind",
        "KIND",
        "The kind of provider, where the options do not tell.",
    ),
    (
        "--toml",
        "",
        "Print the file that says the same, and serve nothing.",
    ),
    (
        "--log-level",
        "LEVEL",
        "What to log to stderr, and everything worse: error, warn, info (the default), debug, trace.",
    ),
];

/// The section of the document that an option is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// `[provide.NAME]`
    Provide,
    /// `[[serve]]`
    Serve,
}

/// An option of a kind or a protocol.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// As it is written here.
    pub(super) flag: String,
    pub(super) section: Section,
    pub(super) spec: OptionSpec,
}

/// All options that may be given.
#[derive(Debug)]
pub(super) struct Grammar {
    pub(super) rows: Vec<Row>,
}

/// What was given for the sections, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words(pub(super) Vec<Word>);

/// An option that was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) section: Section,
    pub(super) spec: OptionSpec,
    /// As it was written.
    pub(super) flag: String,
    pub(super) value: String,
}

/// What was given for the command itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct General {
    pub(super) endpoints: Vec<String>,
    pub(super) protocols: Vec<String>,
    pub(super) kind: Option<String>,
    pub(super) toml: bool,
    pub(super) level: Level,
}

/// All that was given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) words: Words,
    pub(super) general: General,
}

impl Words {
    /// The options that were given for a section.
    pub(super) fn names(&self, section: Section) -> Vec<&'static str> {
        let words = self.0.iter().filter(|word| word.section == section);
        words.map(|word| word.spec.name).collect()
    }
}

impl Grammar {
    /// The options of whatever can be meant. Of two with one name that of the provider has it, and the other is
    /// `--serve-NAME`; `auth` is none, as it names sections.
    pub(super) fn of(choice: &Choice<'_>, registry: &Registry) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for spec in choice.kinds.iter().flat_map(|kind| kind.options) {
            rows.push(Row {
                flag: free(&rows, Section::Provide, spec),
                section: Section::Provide,
                spec: *spec,
            });
        }
        let exposures = choice.exposures(registry);
        let exposures = exposures
            .iter()
            .filter(|exposure| choice.protocol.is_none_or(|name| name == exposure.name));
        let options = exposures.flat_map(|exposure| exposure.options);
        for spec in SERVE_OPTIONS.iter().chain(options) {
            let known = rows
                .iter()
                .any(|row| row.section == Section::Serve && row.spec == *spec);
            if spec.name != "auth" && !known {
                rows.push(Row {
                    flag: free(&rows, Section::Serve, spec),
                    section: Section::Serve,
                    spec: *spec,
                });
            }
        }
        Self { rows }
    }

    /// Takes the words apart.
    pub(super) fn read(&self, arguments: &[String]) -> Result<Given, Vec<String>> {
        let mut given = Given {
            words: Words::default(),
            general: General {
                endpoints: Vec::new(),
                protocols: Vec::new(),
                kind: None,
                toml: false,
                level: Level::INFO,
            },
        };
        let (mut problems, mut rest) = (Vec::new(), arguments.iter().peekable());
        while let Some(word) = rest.next() {
            let (written, inline) = match word.split_once('=') {
                Some((written, value)) => (written, Some(value.to_owned())),
                None => (&**word, None),
            };
            let found = match self.find(written) {
                Ok(found) => found,
                Err(problem) => {
                    problems.push(problem);
                    // What follows was meant for it.
                    rest.next_if(|next| inline.is_none() && !next.starts_with("--"));
                    continue;
                }
            };
            let value = match (inline, found.takes_value()) {
                (Some(_), false) => Err(format!("{written}: it takes no value")),
                (Some(value), true) => Ok(value),
                (None, false) => Ok("true".to_owned()),
                (None, true) => rest.next().cloned().ok_or_else(|| {
                    format!(
                        "{written}: the value is missing; expected {}",
                        found.expected()
                    )
                }),
            };
            let taken = value.and_then(|value| given.take(&found, written, value));
            problems.extend(taken.err());
        }
        if problems.is_empty() && given.general.endpoints.is_empty() {
            let example = "an endpoint such as `tcp:8007:interface=127.0.0.1`";
            problems.push(format!("missing option `--at`; expected {example}"));
        }
        if problems.is_empty() {
            Ok(given)
        } else {
            Err(problems)
        }
    }

    fn find(&self, written: &str) -> Result<Found<'_>, String> {
        let plain = written.replace('_', "-");
        if let Some(&(name, value, _)) = GENERAL.iter().find(|(name, ..)| *name == plain) {
            return Ok(Found::General(name, value));
        }
        if let Some(row) = self
            .rows
            .iter()
            .find(|row| row.flag == plain || row.is_file(&plain))
        {
            return Ok(Found::Row(row));
        }
        if plain == "--auth" {
            let why = "it names [auth.NAME] sections, which only a file has; `--toml` prints one to begin with";
            return Err(format!("--auth: {why}"));
        }
        if !written.starts_with("--") {
            return Err(format!(
                "{} is no option; they begin with `--`",
                quoted(written)
            ));
        }
        let general = GENERAL.iter().map(|(name, ..)| (*name).to_owned());
        let mut known: Vec<String> = self.rows.iter().map(|row| row.flag.clone()).collect();
        known.dedup();
        Err(unknown_flag(
            written,
            &known.into_iter().chain(general).collect::<Vec<_>>(),
        ))
    }

    /// How an option of the provider is written.
    pub(super) fn flag_of(&self, name: &str) -> String {
        let mut rows = self.rows.iter();
        let found = rows.find(|row| row.section == Section::Provide && row.spec.name == name);
        found.map_or_else(|| flag(name), |row| row.flag.clone())
    }

    /// A problem with the document, said of the option that it comes from.
    pub(super) fn in_words(&self, problem: &Problem) -> String {
        let mut message = problem.message.clone();
        if message.contains("`anonymous = true`") {
            message.push_str(
                "; here it is `--anonymous`, and `auth` needs a file, as `--toml` prints one",
            );
        }
        let mut steps = problem.key.split('.');
        let (section, key) = match (steps.next(), steps.next(), steps.next()) {
            (Some("serve"), Some(key @ ("as" | "at")), _) => return format!("--{key}: {message}"),
            (Some("serve"), Some(key), _) => (Section::Serve, key),
            (Some("provide"), Some(_), Some(key)) => (Section::Provide, key),
            _ => return message,
        };
        let mut rows = self.rows.iter();
        let row = rows.find(|row| row.section == section && row.spec.name == key);
        match row {
            Some(row) => format!("{}: {message}", row.flag),
            None => format!("{key}: {message}"),
        }
    }
}

impl Row {
    /// A path is a file's, and most would call it so.
    fn is_file(&self, written: &str) -> bool {
        self.also() == Some(written)
    }

    /// How else it may be written.
    pub(super) fn also(&self) -> Option<&'static str> {
        let is_path = self.section == Section::Provide
            && self.spec.name == "path"
            && self.spec.value == ValueKind::Path;
        is_path.then_some("--file")
    }
}

impl Given {
    fn take(&mut self, found: &Found<'_>, written: &str, value: String) -> Result<(), String> {
        let general = &mut self.general;
        match found {
            Found::General("--at", _) => general.endpoints.push(value),
            Found::General("--as", _) => general.protocols.push(value),
            Found::General("--kind", _) if general.kind.is_some() => return Err(twice(written)),
            Found::General("--kind", _) => general.kind = Some(value),
            Found::General("--log-level", _) => {
                if !LEVELS.contains(&value.as_str()) {
                    return Err(format!(
                        "--log-level: {}",
                        unknown("level", &value, &LEVELS)
                    ));
                }
                general.level = value.parse().unwrap_or(Level::INFO);
            }
            Found::General(..) => general.toml = true,
            Found::Row(row) => {
                let again =
                    |word: &Word| word.section == row.section && word.spec.name == row.spec.name;
                if !repeats(row.spec.value) && self.words.0.iter().any(again) {
                    return Err(twice(written));
                }
                self.words.0.push(Word {
                    section: row.section,
                    spec: row.spec,
                    flag: written.to_owned(),
                    value,
                });
            }
        }
        Ok(())
    }
}

/// Whether it may be given several times, for several values.
pub(super) fn repeats(kind: ValueKind) -> bool {
    matches!(
        kind,
        ValueKind::Strings | ValueKind::TableOfStrings | ValueKind::Secrets
    )
}

fn twice(written: &str) -> String {
    format!("{written}: it is given twice")
}

enum Found<'g> {
    General(&'static str, &'static str),
    Row(&'g Row),
}

impl Found<'_> {
    fn takes_value(&self) -> bool {
        match self {
            Self::General(_, value) => !value.is_empty(),
            Self::Row(row) => row.spec.value != ValueKind::Bool,
        }
    }

    fn expected(&self) -> String {
        match self {
            Self::General(_, value) => (*value).to_owned(),
            Self::Row(row) => row.spec.value.described().to_owned(),
        }
    }
}

/// A name that no option of something else has.
fn free(rows: &[Row], section: Section, spec: &OptionSpec) -> String {
    let plain = flag(spec.name);
    let others = rows.iter().filter(|row| row.section != section);
    let taken = others.into_iter().any(|row| row.flag == plain)
        || GENERAL.iter().any(|(name, ..)| *name == plain);
    match (taken, section) {
        (false, _) => plain,
        (true, Section::Provide) => flag(&format!("provide-{}", spec.name)),
        (true, Section::Serve) => flag(&format!("serve-{}", spec.name)),
    }
}
