//! Where lines end: pure functions over bytes.

use std::rc::Rc;

/// What ends a line, and what is sent after one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delimiter {
    /// Carriage return and line feed, as most protocols of the Internet have it.
    #[default]
    CrLf,
    /// A line feed.
    Lf,
    /// A line feed, and one carriage return before it is not part of the line. Sends both.
    Either,
    /// These bytes, at least one.
    Custom(Rc<[u8]>),
}

/// What [`cut_line`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A line of `length` bytes; with its end it takes `taken`.
    Line {
        /// Without its end.
        length: usize,
        /// With its end.
        taken: usize,
    },
    /// The first `shown` bytes are more than a line may have.
    TooLong {
        /// The longest line and its end: always the same number, however the bytes were cut on the way.
        shown: usize,
    },
    /// The line has not ended yet.
    More,
}

impl Delimiter {
    /// These bytes, at least one.
    #[must_use]
    pub fn custom(bytes: &[u8]) -> Self {
        Self::Custom(bytes.into())
    }

    /// What is sent after a line.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::CrLf | Self::Either => b"\r\n",
            Self::Lf => b"\n",
            Self::Custom(bytes) => bytes,
        }
    }

    /// What a received line must end in.
    fn end(&self) -> &[u8] {
        match self {
            Self::Either => b"\n",
            Self::CrLf | Self::Lf | Self::Custom(_) => self.bytes(),
        }
    }
}

/// Finds the first line of `input`. `scanned` is how many of its bytes were looked at before: zero for a new line,
/// otherwise what the last call, which found no end, has left there.
///
/// A line may have `longest` bytes without its end. Looks no further than that, whatever `input` holds.
#[inline]
#[must_use]
pub fn cut_line(input: &[u8], delimiter: &Delimiter, longest: usize, scanned: &mut usize) -> Cut {
    let shown = longest.saturating_add(delimiter.bytes().len());
    let window = &input[..input.len().min(shown)];
    if let Some(taken) = find_end(window, delimiter, *scanned) {
        *scanned = 0;
        let mut length = taken - delimiter.end().len();
        if *delimiter == Delimiter::Either && window[..length].ends_with(b"\r") {
            length -= 1;
        }
        return if length <= longest {
            Cut::Line { length, taken }
        } else {
            Cut::TooLong { shown }
        };
    }
    if window.len() == shown {
        *scanned = 0;
        return Cut::TooLong { shown };
    }
    *scanned = window.len();
    Cut::More
}

/// How many bytes of a line that is too long to pass over, and whether they reach its end.
pub(super) fn skip_line(input: &[u8], delimiter: &Delimiter) -> (usize, bool) {
    match find_end(input, delimiter, 0) {
        Some(taken) => (taken, true),
        // An end may have begun in the last bytes.
        None => (input.len().saturating_sub(delimiter.end().len() - 1), false),
    }
}

/// Where the first end of a line ends, if that is beyond `scanned`.
#[inline]
fn find_end(input: &[u8], delimiter: &Delimiter, scanned: usize) -> Option<usize> {
    let end = delimiter.end();
    let from = scanned.min(input.len());
    memchr::memchr_iter(*end.last()?, &input[from..])
        .map(|found| from + found + 1)
        .find(|taken| input[..*taken].ends_with(end))
}
