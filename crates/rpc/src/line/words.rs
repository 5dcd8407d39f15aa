//! Cuts a line into words: a pure function.

use std::{error::Error, fmt};

/// Why a line is not cut into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadWords {
    /// It is not UTF-8.
    NoText,
    /// It has a control character other than a tab.
    Control,
    /// A quote has no end.
    Open,
    /// Something follows the end of a quote at once, or a quote begins inside of a word.
    Joined,
    /// A backslash stands before something else than a quote or a backslash.
    Escape,
}

impl fmt::Display for BadWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoText => "the line is not UTF-8",
            Self::Control => "the line has a control character",
            Self::Open => "a quote has no end",
            Self::Joined => "between a quote and another word there is a blank",
            Self::Escape => r#"in quotes a backslash stands before `"` or `\` only"#,
        })
    }
}

impl Error for BadWords {}

/// The words of a line: what stands between blanks and tabs, or between double quotes.
///
/// ```
/// use tress_rpc::line::words;
///
/// assert_eq!(words(br#"find "a \"name\"" 3"#)?, ["find", "a \"name\"", "3"]);
/// # Ok::<(), tress_rpc::line::BadWords>(())
/// ```
///
/// # Errors
/// It is no text, or its quotes do not match.
pub fn words(line: &[u8]) -> Result<Vec<String>, BadWords> {
    let line = std::str::from_utf8(line).map_err(|_| BadWords::NoText)?;
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(BadWords::Control);
    }
    let mut words = Vec::new();
    let mut rest = line.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        let word;
        (word, rest) = match rest.strip_prefix('"') {
            Some(rest) => quoted(rest)?,
            None => plain(rest)?,
        };
        words.push(word);
        rest = rest.trim_start_matches([' ', '\t']);
    }
    Ok(words)
}

fn plain(rest: &str) -> Result<(String, &str), BadWords> {
    let end = rest.find([' ', '\t']).unwrap_or(rest.len());
    let (word, rest) = rest.split_at(end);
    if word.contains('"') {
        return Err(BadWords::Joined);
    }
    Ok((word.to_owned(), rest))
}

/// What follows an opening quote.
fn quoted(rest: &str) -> Result<(String, &str), BadWords> {
    let mut word = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next().ok_or(BadWords::Open)? {
            '"' => break,
            '\\' => match characters.next().ok_or(BadWords::Open)? {
                escaped @ ('"' | '\\') => word.push(escaped),
                _ => return Err(BadWords::Escape),
            },
            character => word.push(character),
        }
    }
    let rest = characters.as_str();
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Err(BadWords::Joined);
    }
    Ok((word, rest))
}
