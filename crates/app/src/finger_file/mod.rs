//! The text file of a finger server: one `user: status` a line. Reads it, changes one status in it
//! with everything else kept byte for byte, and puts the new text in its place all at once.
//! Must not know: who asks, when to read it again, any protocol.
//!
//! A line is split at its first colon and both sides lose the blanks around them. Lines whose first
//! character is `#` and empty lines say nothing. When a user has several lines, the last one counts.
//! Anything else is refused with its line number, never repaired.

mod replace;

#[cfg(test)]
mod tests;

pub use replace::write_atomically;

use std::{collections::BTreeMap, error::Error, fmt};

/// The largest file that is read or made, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The longest line, in bytes without its ending.
pub const MAX_LINE_BYTES: usize = 1024;

/// Every user's status, in the order in which the users first appear in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    list: Vec<(String, String)>,
    index: BTreeMap<String, usize>,
}

impl Users {
    /// The user's status; it may be empty.
    #[must_use]
    pub fn status(&self, user: &str) -> Option<&str> {
        let &index = self.index.get(user)?;
        self.list.get(index).map(|(_, status)| status.as_str())
    }

    /// Users and statuses in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.list
            .iter()
            .map(|(user, status)| (user.as_str(), status.as_str()))
    }

    /// How many users there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no user.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn set(&mut self, user: &str, status: &str) {
        if let Some(&index) = self.index.get(user) {
            self.list[index].1 = status.to_owned();
        } else {
            self.index.insert(user.to_owned(), self.list.len());
            self.list.push((user.to_owned(), status.to_owned()));
        }
    }
}

/// Why the text is no users file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// What is wrong and what was expected.
    pub what: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl Error for ParseError {}

/// Why a status cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// The text that was to be changed is no users file.
    Original(ParseError),
    /// The user's name cannot stand in a users file: what was expected.
    User(&'static str),
    /// The status cannot stand in a users file: what was expected.
    Status(&'static str),
    /// The user and the status are more than [`MAX_LINE_BYTES`] together.
    LineTooLong,
    /// The new text would be more than [`MAX_FILE_BYTES`].
    FileTooLarge,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original(_) => f.write_str("the users file is malformed"),
            Self::User(what) => write!(f, "the user's name {what}"),
            Self::Status(what) => write!(f, "the status {what}"),
            Self::LineTooLong => f.write_str("the user's name and status are too long"),
            Self::FileTooLarge => f.write_str("the users file would become too large"),
        }
    }
}

impl Error for ChangeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Original(error) => Some(error),
            Self::User(_) | Self::Status(_) | Self::LineTooLong | Self::FileTooLarge => None,
        }
    }
}

/// Reads a users file.
///
/// # Errors
/// The first line that is not `user: status`, a comment or empty; that is no UTF-8, holds a control
/// character, or is longer than [`MAX_LINE_BYTES`]. A file larger than [`MAX_FILE_BYTES`].
pub fn parse(text: &[u8]) -> Result<Users, ParseError> {
    let mut users = Users::default();
    for line in lines(text)? {
        if let Some((user, status)) = line?.pair {
            users.set(user, status);
        }
    }
    Ok(users)
}

/// The file's text with `user` having `status`: the last line of that user is replaced, or a line is
/// added at the end. Every other byte stays, comments and line endings included. Blanks around both
/// are dropped, as reading would drop them.
///
/// # Errors
/// `original` is no users file, or `user` or `status` cannot stand in one: a name that is empty, has
/// a colon or begins with `#`; control characters in either; a line or file that would be too long.
pub fn with_status(original: &[u8], user: &str, status: &str) -> Result<Vec<u8>, ChangeError> {
    let (user, status) = (user.trim_matches(BLANK), status.trim_matches(BLANK));
    check_new(user, status)?;
    let new_line = if status.is_empty() {
        format!("{user}:")
    } else {
        format!("{user}: {status}")
    };
    if new_line.len() > MAX_LINE_BYTES {
        return Err(ChangeError::LineTooLong);
    }
    let mut place = None;
    for line in lines(original).map_err(ChangeError::Original)? {
        let line = line.map_err(ChangeError::Original)?;
        if line.pair.is_some_and(|(name, _)| name == user) {
            place = Some(line.start..line.end);
        }
    }
    let mut text = original.to_vec();
    if let Some(place) = place {
        text.splice(place, new_line.into_bytes());
    } else {
        let ending: &[u8] = if ends_lines_with_crlf(original) {
            b"\r\n"
        } else {
            b"\n"
        };
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.extend_from_slice(ending);
        }
        text.extend_from_slice(new_line.as_bytes());
        text.extend_from_slice(ending);
    }
    if text.len() > MAX_FILE_BYTES {
        return Err(ChangeError::FileTooLarge);
    }
    Ok(text)
}

fn check_new(user: &str, status: &str) -> Result<(), ChangeError> {
    let user_error = if user.is_empty() {
        Some("is empty")
    } else if user.contains(':') {
        Some("has a colon in it")
    } else if user.starts_with('#') {
        Some("begins with `#`, as a comment does")
    } else if user.starts_with(BYTE_ORDER_MARK) {
        Some("begins with a byte order mark")
    } else if has_control(user) {
        Some("has control characters in it")
    } else {
        None
    };
    if let Some(what) = user_error {
        return Err(ChangeError::User(what));
    }
    if has_control(status) {
        return Err(ChangeError::Status("has control characters in it"));
    }
    Ok(())
}

/// One line, checked.
struct Line<'t> {
    /// Where its bytes are, without the ending.
    start: usize,
    end: usize,
    /// The user and the status, unless the line says nothing.
    pair: Option<(&'t str, &'t str)>,
}

fn lines(text: &[u8]) -> Result<impl Iterator<Item = Result<Line<'_>, ParseError>>, ParseError> {
    let whole = |what| Err(ParseError { line: 0, what });
    if text.len() > MAX_FILE_BYTES {
        return whole("the file is larger than 1 MiB");
    }
    if text.starts_with(BYTE_ORDER_MARK.encode_utf8(&mut [0; 3]).as_bytes()) {
        return whole("the file begins with a byte order mark; save it as UTF-8 without one");
    }
    let mut start = 0;
    let lines = text.split_inclusive(|&byte| byte == b'\n').enumerate();
    Ok(lines.map(move |(index, with_ending)| {
        let line = match with_ending.strip_suffix(b"\n") {
            Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
            None => with_ending,
        };
        let range = start..start + line.len();
        start += with_ending.len();
        let pair = pair(line).map_err(|what| ParseError {
            line: index + 1,
            what,
        })?;
        Ok(Line {
            start: range.start,
            end: range.end,
            pair,
        })
    }))
}

/// The user and the status in one line without its ending; nothing for a comment or a blank line.
fn pair(line: &[u8]) -> Result<Option<(&str, &str)>, &'static str> {
    if line.len() > MAX_LINE_BYTES {
        return Err("the line is longer than 1024 bytes");
    }
    let line = str::from_utf8(line).map_err(|_| "the line is not UTF-8 text")?;
    let line = line.trim_matches(BLANK);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (user, status) = line
        .split_once(':')
        .ok_or("no colon; expected `user: status`")?;
    let (user, status) = (
        user.trim_end_matches(BLANK),
        status.trim_start_matches(BLANK),
    );
    if user.is_empty() {
        return Err("no user before the colon; expected `user: status`");
    }
    if has_control(user) || has_control(status) {
        return Err("a control character in the line");
    }
    Ok(Some((user, status)))
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// As the last line that has an ending has it.
fn ends_lines_with_crlf(text: &[u8]) -> bool {
    text.iter()
        .rposition(|&byte| byte == b'\n')
        .is_some_and(|end| text[..end].ends_with(b"\r"))
}

/// What is dropped around users and statuses; tabs count, other control characters are refused.
const BLANK: [char; 2] = [' ', '\t'];
const BYTE_ORDER_MARK: char = '\u{feff}';
