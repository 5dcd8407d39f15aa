//! What options a kind takes, as a table: the file is checked against it and `tress plugins` prints it.
//! Must not know: any kind.

use super::{
    options::Options,
    problem::{Problem, Problems},
};
use tress_core::wording::{nearest, unknown};

/// One option of a kind of provider, of a protocol, or of `[app]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// The key.
    pub name: &'static str,
    /// What the key takes.
    pub value: ValueKind,
    /// Whether a file without it is refused.
    pub required: bool,
    /// What an absent optional key counts as, written as the value in a file but without quotes
    /// (`30s`, `true`); empty when absence means something of its own.
    pub default: &'static str,
    /// One sentence for operators.
    pub doc: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueKind {
    /// A string.
    String,
    /// A string or a list of strings, at least one.
    Strings,
    /// A string that is one of these.
    Choice(&'static [&'static str]),
    /// A string that names a file, relative to the directory of the configuration file.
    Path,
    /// A whole number in 64 bits.
    Integer,
    /// A whole number from 0.
    Count,
    /// `true` or `false`.
    Bool,
    /// A string such as `"30s"`.
    Duration,
    /// Bytes: a whole number from 0, or a string such as `"64KiB"`.
    Size,
    /// A table whose values are strings.
    TableOfStrings,
    /// A table of names and of where the secret of each is.
    Secrets,
    /// `"auto"`, or a whole number from 1.
    Workers,
}

impl ValueKind {
    /// What is expected, in words with an article.
    #[must_use]
    pub const fn described(self) -> &'static str {
        match self {
            Self::String | Self::Choice(_) => "a string",
            Self::Strings => "a string or a list of strings",
            Self::Path => "a path",
            Self::Integer => "an integer",
            Self::Count => "a whole number from 0",
            Self::Bool => "true or false",
            Self::Duration => "a duration such as `\"30s\"`",
            Self::Size => "a size such as `\"64KiB\"`",
            Self::TableOfStrings => "a table of strings",
            Self::Secrets => "a table of secrets such as `{ alice = { env = \"NAME\" } }`",
            Self::Workers => "`\"auto\"` or a whole number from 1 to 256",
        }
    }

    /// Whether the key's value, if there is one, is of this kind.
    fn check(self, options: &Options, key: &str) -> Result<(), Problem> {
        match self {
            Self::String => options.optional_string(key).map(drop),
            Self::Strings => options.optional_strings(key).map(drop),
            Self::Choice(names) => match options.optional_string(key)? {
                Some(name) if !names.contains(&name) => {
                    Err(options.problem(key, unknown("value", name, names)))
                }
                _ => Ok(()),
            },
            Self::Path => options.optional_path(key).map(drop),
            Self::Integer => options.optional_integer(key).map(drop),
            Self::Count => options.optional_count(key).map(drop),
            Self::Bool => options.bool(key, false).map(drop),
            Self::Duration => options.optional_duration(key).map(drop),
            Self::Size => options.optional_size(key).map(drop),
            Self::TableOfStrings => options.optional_table_of_strings(key).map(drop),
            Self::Secrets => options.secrets(key).map(drop),
            Self::Workers => options.optional_workers(key).map(drop),
        }
    }
}

impl Options {
    /// Checks every key against `specs` and puts the defaults where optional keys are absent. What is
    /// wrong goes to `problems`: wrong types, missing keys, and keys that `specs` does not have.
    /// When nothing went there, the readers cannot fail for the keys and kinds of `specs`.
    pub fn check(&mut self, specs: &[OptionSpec], problems: &mut Problems) {
        let known: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
        for spec in specs {
            if self.has(spec.name) {
                if let Err(problem) = spec.value.check(self, spec.name) {
                    problems.push(problem);
                }
            } else if !spec.default.is_empty() {
                self.set_default(spec, problems);
            } else if spec.required && !self.meant(spec.name, &known) {
                problems.push(self.missing(spec.name, spec.value.described()));
            }
        }
        for problem in self.finish(&known) {
            problems.push(problem);
        }
    }

    /// Whether a key that is not known was most likely meant to be `name`: then one complaint is enough.
    fn meant(&self, name: &str, known: &[&str]) -> bool {
        self.unknown_keys(known)
            .any(|entry| nearest(&entry.key, known) == Some(name))
    }

    fn set_default(&mut self, spec: &OptionSpec, problems: &mut Problems) {
        let inserted = self.insert_default(spec.name, spec.value, spec.default);
        // Only the author of the kind can get here, and a test of the kind's table shows it.
        if !inserted || spec.value.check(self, spec.name).is_err() {
            let message = format!(
                "the default `{}` is not {}",
                spec.default,
                spec.value.described()
            );
            problems.push(self.problem(spec.name, message));
        }
    }
}
