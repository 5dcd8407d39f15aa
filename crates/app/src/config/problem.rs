//! What is wrong with a configuration file, in words for an operator who never sees Rust: where, which
//! key, what was expected, and the nearest valid name. Must not know: TOML, sections, kinds.

use std::{error::Error, fmt};
use tress_core::wording::{SHOWN_CHARS, shown};

/// How many problems are kept and shown; a file with more is counted, not quoted.
pub const MAX_PROBLEMS: usize = 100;

/// A place in the file. Both numbers count from 1; line 0 means the file as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in that line.
    pub column: usize,
}

/// One thing that is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// The character in the line, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// The dotted path of the key, as in `provide.users.path`; empty when there is none to name.
    pub key: String,
    /// What is wrong and what was expected, without the place.
    pub message: String,
}

impl Problem {
    /// A problem with `key` at `at`.
    pub fn new(at: Position, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            line: at.line,
            column: at.column,
            key: key.into(),
            message: message.into(),
        }
    }

    /// The problem with its place in front, as `finger.toml:7: provide.users.path: …`. The column is
    /// shown when no key says where in the line to look.
    fn write(&self, file: &str, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str(file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.key.is_empty() {
                write!(f, ":{}", self.column)?;
            }
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that was found wrong with one file. Displayed one problem a line, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
    dropped: usize,
}

impl Problems {
    /// No problem yet with `file`, the name that every line of the report starts with.
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            list: Vec::new(),
            dropped: 0,
        }
    }

    /// The name of the file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Adds one; beyond [`MAX_PROBLEMS`] it is only counted.
    pub fn push(&mut self, problem: Problem) {
        self.push_with(|| problem);
    }

    /// As [`Problems::push`], for a problem that takes work to put into words: one that is only
    /// counted is not made.
    pub(super) fn push_with(&mut self, make: impl FnOnce() -> Problem) {
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(make());
        } else {
            self.dropped += 1;
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many were found.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.list.len() + self.dropped
    }

    /// The problems in the order in which they were found.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// `value` when nothing was found.
    ///
    /// # Errors
    /// These problems, when there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| (problem.line, problem.column));
        for (index, problem) in sorted.into_iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.write(&self.file, f)?;
        }
        if self.dropped > 0 {
            write!(f, "\n{}: and {} more", self.file, self.dropped)?;
        }
        Ok(())
    }
}

impl Error for Problems {}

/// One step of a key's path: as it is when TOML allows it bare, quoted as TOML does otherwise.
pub(super) fn step(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.len() <= SHOWN_CHARS && key.chars().all(bare) {
        key.to_owned()
    } else {
        shown(key, '"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_cannot_reach_the_terminal_raw() {
        assert_eq!(step("a\nb"), "\"a\\nb\"");
    }

    #[test]
    fn shown_in_the_order_of_the_file_and_counted_beyond_the_limit() {
        let mut problems = Problems::new("a.toml");
        assert_eq!(problems.clone().into_result(7), Ok(7));
        for line in (1..=MAX_PROBLEMS + 5).rev() {
            problems.push(Problem::new(Position { line, column: 3 }, "", "wrong"));
        }
        let text = problems.to_string();
        assert!(
            text.starts_with("a.toml:6:3: wrong\na.toml:7:3: wrong\n"),
            "{text}"
        );
        assert!(
            text.ends_with("a.toml:105:3: wrong\na.toml: and 5 more"),
            "{text}"
        );
        assert!(problems.into_result(()).is_err());
    }
}
