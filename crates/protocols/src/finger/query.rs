//! The one line that a finger client sends (RFC 1288, 2.3), and the text that may go back. Knows no connection.

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The empty line: everybody.
    Everybody,
    /// One user.
    User(String),
    /// `user@host`: that another host be asked.
    Forward {
        /// What to ask it: the query up to its last `@`, with `/W` if that was there.
        query: String,
        /// Which host; may be empty.
        host: String,
    },
    /// Bytes that no name has: control characters, or what is not UTF-8.
    Unprintable,
}

/// Reads a query without its line ending. `/W`, which asks for more words, is accepted and changes nothing.
#[must_use]
pub fn parse(line: &[u8]) -> Query {
    let Ok(line) = str::from_utf8(line) else {
        return Query::Unprintable;
    };
    if line.chars().any(char::is_control) {
        return Query::Unprintable;
    }
    let line = line.trim_matches(' ');
    let name = without_w(line);
    if name.is_empty() {
        return Query::Everybody;
    }
    match line.rsplit_once('@') {
        Some((query, host)) => Query::Forward {
            query: query.trim_end_matches(' ').to_owned(),
            host: host.trim_start_matches(' ').to_owned(),
        },
        None => Query::User(name.to_owned()),
    }
}

/// The text as one line: control characters of a stored status never reach a peer's terminal (RFC 1288, 3.3).
pub(super) fn push_line(answer: &mut String, text: &str) {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    answer.extend(clean);
    answer.push_str("\r\n");
}

/// The line after a leading `/W`.
fn without_w(line: &str) -> &str {
    match line.split_at_checked(2) {
        Some((w, rest))
            if w.eq_ignore_ascii_case("/W") && (rest.is_empty() || rest.starts_with(' ')) =>
        {
            rest.trim_start_matches(' ')
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, expected: Query) {
        assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
    }

    fn user(name: &str) -> Query {
        Query::User(name.to_owned())
    }

    fn forward(query: &str, host: &str) -> Query {
        let (query, host) = (query.to_owned(), host.to_owned());
        Query::Forward { query, host }
    }

    #[test]
    fn queries() {
        for line in ["", "  ", "/W", "/w", " /W  "] {
            check(line, Query::Everybody);
        }
        for line in ["moshez", " moshez ", "/W moshez", "/w   moshez "] {
            check(line, user("moshez"));
        }
        check("moshez zadka", user("moshez zadka"));
        check("/Wmoshez", user("/Wmoshez"));
        check("moshez /W", user("moshez /W"));
        check("/é", user("/é"));
        check("é", user("é"));
        check("a@b", forward("a", "b"));
        check("/W a@b", forward("/W a", "b"));
        check("/W @b", forward("/W", "b"));
        check("a@b@c", forward("a@b", "c"));
        check("@", forward("", ""));
        check("a @ b", forward("a", "b"));
        for line in ["a\tb", "\u{1b}[2J", "a\u{85}", "a\rb", "\0"] {
            check(line, Query::Unprintable);
        }
        assert_eq!(parse(b"\xff"), Query::Unprintable);
    }

    #[test]
    fn an_answer_is_one_line() {
        let mut answer = String::new();
        push_line(&mut answer, "a\r\nb\u{1b}[2J\u{9b}é");
        assert_eq!(answer, "a  b [2J é\r\n");
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in prop::collection::vec(any::<u8>(), 0..40)) {
            let printable = |text: &str| !text.chars().any(char::is_control);
            match parse(&line) {
                Query::User(name) => prop_assert!(!name.is_empty() && printable(&name)),
                Query::Forward { query, host } => prop_assert!(printable(&query) && printable(&host) && !host.contains('@')),
                Query::Everybody | Query::Unprintable => {}
            }
        }
    }
}
