//! The keys of one section and the checked way to read them. Every reader either gives a value of the
//! type asked for or a problem that names the line and what was expected.
//! Must not know: which keys a section has, what they are for.

use super::{
    WorkersWanted,
    document::{Entry, Item, Table, Value},
    problem::{Position, Problem, step},
    secret::{Place, Secret},
    spec::ValueKind,
    units::{parse_duration, parse_size},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tress_core::{
    limits::WORKERS_MAX,
    wording::{nearest, quoted, unknown},
};

/// A string of the file and where it stands, so that a later check can point at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The string.
    pub value: String,
    /// Where it starts.
    pub at: Position,
}

/// The keys of one section, each with its place.
///
/// A kind is given these after [`Options::check`] has compared them with its table; the readers
/// then cannot fail for the keys of that table.
#[derive(Clone, Debug)]
pub struct Options {
    /// `provide.users`
    path: String,
    at: Position,
    table: Table,
    /// Keys that every such section has, read by the section itself.
    common: &'static [&'static str],
    /// What relative paths are relative to.
    base: PathBuf,
}

impl Options {
    pub(super) fn new(
        path: String,
        at: Position,
        table: Table,
        common: &'static [&'static str],
        base: &Path,
    ) -> Self {
        let base = base.to_owned();
        Self {
            path,
            at,
            table,
            common,
            base,
        }
    }

    /// The dotted path of the section, as in `provide.users`.
    #[must_use]
    pub fn path_in_file(&self) -> &str {
        &self.path
    }

    /// Where the section starts.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.at
    }

    /// The same section without any key.
    pub(crate) fn without_keys(&self) -> Self {
        let (path, base) = (self.path.clone(), &self.base);
        Self::new(path, self.at, Table::default(), self.common, base)
    }

    /// Whether another section says the same, wherever it stands, but for these keys.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self, but: &[&str]) -> bool {
        self.base == other.base && self.table.says_the_same_as(&other.table, but)
    }

    /// On which line of the file the key stands, if it is there.
    #[must_use]
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.table.get(key).map(|entry| entry.at.line)
    }

    /// The keys in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.table.entries.iter().map(|entry| entry.key.as_str())
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// A problem with the value of `key`, at its line; at the section's line when the key is absent.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let at = self.table.get(key).map_or(self.at, |entry| entry.at);
        self.problem_at(key, at, message)
    }

    /// A problem with the value of `key` at `at`, for one element of a list.
    pub fn problem_at(&self, key: &str, at: Position, message: impl Into<String>) -> Problem {
        Problem::new(at, self.path_of(key), message)
    }

    /// The dotted path of a key; that of a file without sections is the key.
    fn path_of(&self, key: &str) -> String {
        match &*self.path {
            "" => step(key),
            path => format!("{path}.{}", step(key)),
        }
    }

    /// A problem for every key that is not in `known`.
    #[must_use]
    pub fn finish(&self, known: &[&str]) -> Vec<Problem> {
        let expected: Vec<&str> = self.common.iter().chain(known).copied().collect();
        self.unknown_keys(known)
            .map(|entry| {
                let message = unknown("key", &entry.key, &expected);
                self.problem_at(&entry.key, entry.at, message)
            })
            .collect()
    }

    /// A string.
    ///
    /// # Errors
    /// The key is missing or its value is not a string.
    pub fn string(&self, key: &str) -> Result<&str, Problem> {
        self.required(key, ValueKind::String, self.optional_string(key)?)
    }

    /// A string, if the key is there.
    ///
    /// # Errors
    /// The value is not a string.
    pub fn optional_string(&self, key: &str) -> Result<Option<&str>, Problem> {
        self.read(key, ValueKind::String, |value| match value {
            Value::String(text) => Some(Ok(text.as_str())),
            _ => None,
        })
    }

    /// A string or a list of strings; at least one.
    ///
    /// # Errors
    /// The key is missing or its value is something else.
    pub fn strings(&self, key: &str) -> Result<Vec<Text>, Problem> {
        self.required(key, ValueKind::Strings, self.optional_strings(key)?)
    }

    /// A string or a list of strings, at least one, if the key is there.
    ///
    /// # Errors
    /// The value is something else, or an empty list.
    pub fn optional_strings(&self, key: &str) -> Result<Option<Vec<Text>>, Problem> {
        let Some(entry) = self.table.get(key) else {
            return Ok(None);
        };
        let items = match &entry.item.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.item),
        };
        if items.is_empty() {
            return Err(self.problem(key, "the list is empty; expected at least one string"));
        }
        let text = |item: &Item| match &item.value {
            Value::String(text) => Ok(Text {
                value: text.clone(),
                at: item.at,
            }),
            other => Err(self.problem_at(key, item.at, wrong_type(ValueKind::Strings, other))),
        };
        items.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A path; a relative one starts at the directory of the configuration file.
    ///
    /// # Errors
    /// The key is missing, or its value is empty or no string.
    pub fn path(&self, key: &str) -> Result<PathBuf, Problem> {
        self.required(key, ValueKind::Path, self.optional_path(key)?)
    }

    /// A path, if the key is there; a relative one starts at the directory of the configuration file.
    ///
    /// # Errors
    /// The value is empty or no string.
    pub fn optional_path(&self, key: &str) -> Result<Option<PathBuf>, Problem> {
        self.read(key, ValueKind::Path, |value| match value {
            Value::String(text) if text.is_empty() => {
                Some(Err("expected a path, found an empty string".into()))
            }
            Value::String(text) => Some(Ok(self.base.join(text))),
            _ => None,
        })
    }

    /// A path that is no key's value: a relative one starts at the directory of the configuration file, too.
    #[must_use]
    pub fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base.join(path)
    }

    /// A whole number in 64 bits.
    ///
    /// # Errors
    /// The key is missing or its value is something else.
    pub fn integer(&self, key: &str) -> Result<i64, Problem> {
        self.required(key, ValueKind::Integer, self.optional_integer(key)?)
    }

    /// A whole number in 64 bits, if the key is there.
    ///
    /// # Errors
    /// The value is something else.
    pub fn optional_integer(&self, key: &str) -> Result<Option<i64>, Problem> {
        self.read(key, ValueKind::Integer, |value| match value {
            Value::Integer(number) => Some(Ok(*number)),
            _ => None,
        })
    }

    /// A whole number from 0.
    ///
    /// # Errors
    /// The key is missing, or its value is negative or something else.
    pub fn count(&self, key: &str) -> Result<u64, Problem> {
        self.required(key, ValueKind::Count, self.optional_count(key)?)
    }

    /// A whole number from 0, if the key is there.
    ///
    /// # Errors
    /// The value is negative or something else.
    pub fn optional_count(&self, key: &str) -> Result<Option<u64>, Problem> {
        self.read(key, ValueKind::Count, |value| match value {
            Value::Integer(number) => Some(from_zero(*number, ValueKind::Count)),
            _ => None,
        })
    }

    /// `true` or `false`; `absent` when the key is not there.
    ///
    /// # Errors
    /// The value is something else.
    pub fn bool(&self, key: &str, absent: bool) -> Result<bool, Problem> {
        let value = self.read(key, ValueKind::Bool, |value| match value {
            Value::Bool(value) => Some(Ok(*value)),
            _ => None,
        })?;
        Ok(value.unwrap_or(absent))
    }

    /// A duration.
    ///
    /// # Errors
    /// The key is missing or its value is no duration.
    pub fn duration(&self, key: &str) -> Result<Duration, Problem> {
        self.required(key, ValueKind::Duration, self.optional_duration(key)?)
    }

    /// A duration, if the key is there.
    ///
    /// # Errors
    /// The value is no duration.
    pub fn optional_duration(&self, key: &str) -> Result<Option<Duration>, Problem> {
        self.read(key, ValueKind::Duration, |value| match value {
            Value::String(text) => Some(parse_duration(text)),
            _ => None,
        })
    }

    /// A number of bytes.
    ///
    /// # Errors
    /// The key is missing or its value is no size.
    pub fn size(&self, key: &str) -> Result<u64, Problem> {
        self.required(key, ValueKind::Size, self.optional_size(key)?)
    }

    /// A number of bytes, if the key is there.
    ///
    /// # Errors
    /// The value is no size.
    pub fn optional_size(&self, key: &str) -> Result<Option<u64>, Problem> {
        self.read(key, ValueKind::Size, |value| match value {
            Value::Integer(bytes) => Some(from_zero(*bytes, ValueKind::Size)),
            Value::String(text) => Some(parse_size(text)),
            _ => None,
        })
    }

    /// A number of workers, or `"auto"`, if the key is there.
    ///
    /// # Errors
    /// The value is something else, or too large.
    pub fn optional_workers(&self, key: &str) -> Result<Option<WorkersWanted>, Problem> {
        self.read(key, ValueKind::Workers, |value| match value {
            Value::String(text) if text == "auto" => Some(Ok(WorkersWanted::Auto)),
            Value::String(text) => Some(Err(format!(
                "expected {}, found {}",
                ValueKind::Workers.described(),
                quoted(text)
            ))),
            Value::Integer(number) => Some(match usize::try_from(*number) {
                Ok(count @ 1..=WORKERS_MAX) => Ok(WorkersWanted::Count(count)),
                _ => Err(format!(
                    "expected {}, found {number}",
                    ValueKind::Workers.described()
                )),
            }),
            _ => None,
        })
    }

    /// The names and strings of a table, in the order of the file.
    ///
    /// # Errors
    /// The key is missing, its value is no table, or a value in it is no string.
    pub fn table_of_strings(&self, key: &str) -> Result<Vec<(&str, &str)>, Problem> {
        let found = self.optional_table_of_strings(key)?;
        self.required(key, ValueKind::TableOfStrings, found)
    }

    /// The names and strings of a table in the order of the file, if the key is there.
    ///
    /// # Errors
    /// The value is no table, or a value in it is no string.
    pub fn optional_table_of_strings<'o>(
        &'o self,
        key: &str,
    ) -> Result<Option<Vec<(&'o str, &'o str)>>, Problem> {
        let table = self.read(key, ValueKind::TableOfStrings, |value| match value {
            Value::Table(table) => Some(Ok(table)),
            _ => None,
        })?;
        let Some(table) = table else { return Ok(None) };
        let pair = |entry: &'o Entry| match &entry.item.value {
            Value::String(text) => Ok((entry.key.as_str(), text.as_str())),
            other => {
                let path = format!("{}.{}", self.path_of(key), step(&entry.key));
                Err(Problem::new(
                    entry.at,
                    path,
                    wrong_type(ValueKind::String, other),
                ))
            }
        };
        table
            .entries
            .iter()
            .map(pair)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Names, and where the secret of each is: `{ alice = { env = "NAME" }, bob = { file = "path" } }`, in the order of the
    /// file. None when the key is not there.
    ///
    /// # Errors
    /// The value is no table, or something in it says no place.
    pub fn secrets(&self, key: &str) -> Result<Vec<Secret>, Problem> {
        let table = self.read(key, ValueKind::Secrets, |value| match value {
            Value::Table(table) => Some(Ok(table)),
            _ => None,
        })?;
        let entries = table.map_or(&[][..], |table| &table.entries);
        entries
            .iter()
            .map(|entry| self.secret(key, entry))
            .collect()
    }

    fn secret(&self, key: &str, entry: &Entry) -> Result<Secret, Problem> {
        let path = format!("{}.{}", self.path_of(key), step(&entry.key));
        let expected =
            "expected where the secret is: `{ env = \"NAME\" }` or `{ file = \"path\" }`";
        // What was found may be the secret: it is not shown.
        let wrong = || Problem::new(entry.at, path.clone(), expected);
        let Value::Table(table) = &entry.item.value else {
            return Err(wrong());
        };
        let [only] = &table.entries[..] else {
            return Err(wrong());
        };
        let place = match (only.key.as_str(), &only.item.value) {
            ("env", Value::String(name)) if !name.is_empty() => Place::Environment(name.clone()),
            ("file", Value::String(file)) if !file.is_empty() => Place::File(self.base.join(file)),
            _ => return Err(wrong()),
        };
        Ok(Secret {
            name: entry.key.clone(),
            place,
            path,
            at: entry.at,
        })
    }

    pub(super) fn unknown_keys<'o>(&'o self, known: &'o [&str]) -> impl Iterator<Item = &'o Entry> {
        self.table.entries.iter().filter(|entry| {
            let key = entry.key.as_str();
            !known.contains(&key) && !self.common.contains(&key)
        })
    }

    /// The problem of a key that must be there and is not.
    pub(super) fn missing(&self, key: &str, expected: &str) -> Problem {
        let message = format!("missing key `{key}`; expected {expected}");
        Problem::new(self.at, self.path.clone(), message)
    }

    /// As [`Options::missing`], but points at the key that was meant to be it, if there is one.
    pub(super) fn missing_or_misspelt(&self, key: &str, expected: &str) -> Problem {
        let misspelt = self
            .unknown_keys(&[])
            .find(|entry| nearest(&entry.key, &[key]).is_some());
        match misspelt {
            Some(entry) => {
                self.problem_at(&entry.key, entry.at, unknown("key", &entry.key, &[key]))
            }
            None => self.missing(key, expected),
        }
    }

    /// Puts the value that `text` stands for where the key is absent; false when it stands for none.
    pub(super) fn insert_default(&mut self, key: &str, kind: ValueKind, text: &str) -> bool {
        let value = match kind {
            ValueKind::Bool => text.parse().ok().map(Value::Bool),
            ValueKind::Integer | ValueKind::Count => text.parse().ok().map(Value::Integer),
            ValueKind::TableOfStrings | ValueKind::Secrets => None,
            ValueKind::String
            | ValueKind::Strings
            | ValueKind::Choice(_)
            | ValueKind::Path
            | ValueKind::Duration
            | ValueKind::Size
            | ValueKind::Workers => Some(Value::String(text.to_owned())),
        };
        let Some(value) = value else { return false };
        let at = self.at;
        self.table.entries.push(Entry {
            key: key.to_owned(),
            at,
            item: Item { value, at },
        });
        true
    }

    fn required<T>(&self, key: &str, kind: ValueKind, found: Option<T>) -> Result<T, Problem> {
        found.ok_or_else(|| self.missing(key, kind.described()))
    }

    /// `read` answers with nothing for a value of another type, and with words for a value that is wrong.
    fn read<'o, T>(
        &'o self,
        key: &str,
        kind: ValueKind,
        read: impl FnOnce(&'o Value) -> Option<Result<T, String>>,
    ) -> Result<Option<T>, Problem> {
        let Some(entry) = self.table.get(key) else {
            return Ok(None);
        };
        let value = &entry.item.value;
        match read(value).unwrap_or_else(|| Err(wrong_type(kind, value))) {
            Ok(value) => Ok(Some(value)),
            Err(message) => Err(self.problem(key, message)),
        }
    }
}

fn wrong_type(expected: ValueKind, found: &Value) -> String {
    format!(
        "expected {}, found {}",
        expected.described(),
        found.described()
    )
}

fn from_zero(number: i64, kind: ValueKind) -> Result<u64, String> {
    u64::try_from(number).map_err(|_| format!("expected {}, found {number}", kind.described()))
}
