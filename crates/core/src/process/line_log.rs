//! What a child writes, in the log, line by line. Knows no process.

use std::fmt::Write;

/// The longest line of a child that the log shows, bytes; of what is longer it shows the beginning, and how much is missing.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// Cuts what a child writes into lines, and logs each with the child's name: `[web] listening`. The target is `tress::child`,
/// so that they can be turned off. Control characters are escaped, and so is what is no UTF-8.
#[derive(Clone, Debug)]
pub struct LineLog {
    name: String,
    /// The line that has not ended: at most [`LOG_LINE_BYTES_MAX`].
    line: Vec<u8>,
    /// Bytes of it that are not kept.
    missing: u64,
}

impl LineLog {
    /// For a child of this name, and one of the descriptors that it writes to.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            line: Vec::new(),
            missing: 0,
        }
    }

    /// It wrote this. Lines end with LF or CR LF.
    pub fn received(&mut self, mut data: &[u8]) {
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            self.keep(&data[..end]);
            self.log();
            data = &data[end + 1..];
        }
        self.keep(data);
    }

    /// It writes no more: a line without an end is logged, too.
    pub fn ended(&mut self) {
        if !self.line.is_empty() {
            self.log();
        }
    }

    fn keep(&mut self, data: &[u8]) {
        let room = LOG_LINE_BYTES_MAX - self.line.len();
        let (kept, missing) = data.split_at(data.len().min(room));
        self.line.extend_from_slice(kept);
        self.missing += missing.len() as u64;
    }

    fn log(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let mut text = printable(line);
        if self.missing > 0 {
            // A string can always be written to.
            write!(text, " and {} bytes more", self.missing).ok();
        }
        tracing::info!(target: "tress::child", "[{}] {text}", self.name);
        self.line.clear();
        self.missing = 0;
    }
}

fn printable(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() && character != '\t' {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.extend(byte.escape_ascii().map(char::from));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::logged;

    /// However it is cut.
    #[track_caller]
    fn check(written: &[u8], expected: &[&str]) {
        for cut in 0..=written.len() {
            let lines = logged(|| {
                let mut log = LineLog::new("web");
                log.received(&written[..cut]);
                log.received(&written[cut..]);
                assert!(log.line.capacity() <= 2 * LOG_LINE_BYTES_MAX);
                log.ended();
                log.ended();
            });
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let found = lines
                .iter()
                .map(|line| line.split_once("[web] ").map(|(_, text)| text));
            let found: Vec<&str> = found.map(|line| line.expect("it has the name")).collect();
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[test]
    fn each_line_has_the_childs_name_and_cannot_harm_a_terminal() {
        check(b"one\ntwo\r\n\nlast", &["one", "two", "", "last"]);
        check(
            "\x1b[2J äß\t\u{9b}\n".as_bytes(),
            &["\\u{1b}[2J äß\t\\u{9b}"],
        );
        check(b"a\xff\xc3\n", &["a\\xff\\xc3"]);
        check(b"", &[]);
    }

    #[test]
    fn a_line_that_never_ends_is_not_kept() {
        let mut log = LineLog::new("web");
        let lines = logged(|| {
            for _ in 0..100 {
                log.received(&[b'x'; 1000]);
            }
            assert_eq!(log.line.len(), LOG_LINE_BYTES_MAX);
            log.received(b"\nnext\n");
        });
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].ends_with("x and 95904 bytes more"),
            "{}",
            &lines[0][4000..]
        );
        assert!(lines[1].ends_with("[web] next"));
    }
}
