//! Bytes from a peer, made safe to print: one way for every log line. Allocates nothing.

use std::fmt::{self, Write};

/// Shows at most this many bytes of a peer's data in a log line.
pub const SHOWN_BYTES: usize = 128;

/// Wraps bytes for printing: control characters, quotes and everything outside ASCII are escaped,
/// and what is longer than [`SHOWN_BYTES`] is cut with a note of how long it was.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES)];
        f.write_char('"')?;
        for byte in shown {
            write!(f, "{}", byte.escape_ascii())?;
        }
        f.write_char('"')?;
        if shown.len() < self.0.len() {
            write!(f, " and {} bytes more", self.0.len() - shown.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_and_log_readers_are_safe() {
        let shown = Escaped(b"a\"\x1b[2J\r\n\xff").to_string();
        assert_eq!(shown, r#""a\"\x1b[2J\r\n\xff""#);
        assert!(
            Escaped(&[b'x'; 200])
                .to_string()
                .ends_with("and 72 bytes more")
        );
    }
}
