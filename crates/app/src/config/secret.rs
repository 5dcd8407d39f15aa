//! Secrets: a file never holds one, it says where it is. None is ever shown, not in errors either.

use super::problem::{Position, Problem};
use crate::files::Files;
use std::path::PathBuf;

/// The longest secret, bytes.
const MAX_BYTES: usize = 4096;

/// A secret with a name, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Whose it is.
    pub name: String,
    pub(super) place: Place,
    /// The key that says it, for problems.
    pub(super) path: String,
    pub(super) at: Position,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this environment variable.
    Environment(String),
    /// In this file, without the end of its line.
    File(PathBuf),
}

impl Secret {
    /// The secret itself.
    ///
    /// # Errors
    /// It is not there, empty, too long, or no text.
    pub fn read(&self, files: &dyn Files) -> Result<String, Problem> {
        let bad = |message: String| Problem::new(self.at, self.path.clone(), message);
        let text = match &self.place {
            Place::Environment(name) => files
                .variable(name)
                .ok_or_else(|| bad(format!("the environment has no variable `{name}`")))?,
            Place::File(path) => {
                let shown = path.display();
                let (bytes, _) = files
                    .read(path, MAX_BYTES + 1)
                    .map_err(|error| bad(format!("cannot read `{shown}`: {error}")))?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| bad(format!("`{shown}` is not UTF-8 text")))?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                line.strip_suffix('\r').unwrap_or(line).to_owned()
            }
        };
        match text.len() {
            0 => Err(bad("the secret is empty".into())),
            1..=MAX_BYTES => Ok(text),
            _ => Err(bad(format!("the secret is longer than {MAX_BYTES} bytes"))),
        }
    }
}
