//! What an operator wrote, in words about it: shown so that it does no harm, and with the name that was meant. Knows no
//! file and no endpoint.

/// Shows at most this many characters of a name.
pub const SHOWN_CHARS: usize = 64;

const NAMES_LISTED: usize = 40;

/// ``unknown WHAT `paht`; expected one of `kind`, `path`; did you mean `path`?``, for callers that check
/// names against a registry. `known` is listed in the order given.
#[must_use]
pub fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let mut message = format!("unknown {what} {}", quoted(name));
    if known.is_empty() {
        message.push_str("; there is none");
    } else {
        message.push_str(&format!("; expected {}", one_of(known)));
    }
    if let Some(near) = nearest(name, known) {
        message.push_str(&format!("; did you mean {}?", quoted(near)));
    }
    message
}

/// `` `kind` ``, or `` one of `kind`, `path` ``: names that would have been right.
#[must_use]
pub fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => quoted(only),
        _ => format!("one of {}", list(names)),
    }
}

/// The name in `known` that `name` was most likely meant to be, if any is near enough: one typing
/// slip for three letters, upper and lower case being equal. The first of equally near names wins.
#[must_use]
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let letters = name.chars().count();
    if letters > SHOWN_CHARS {
        return None; // not a slip, and the comparison costs the product of the lengths
    }
    let name = name.to_lowercase();
    let allowed = letters.max(3) / 3;
    let distance = |other: &str| strsim::damerau_levenshtein(&name, &other.to_lowercase());
    known
        .iter()
        .map(|&other| (distance(other), other))
        // A name with every letter wrong is another name, however short it is.
        .filter(|&(slips, other)| {
            slips == 0 || slips <= allowed && slips < letters.min(other.len())
        })
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, other)| other)
}

/// `name` between backticks, control characters escaped, shortened when it is long: what came from
/// outside must not be able to write to the operator's terminal.
#[must_use]
pub fn quoted(name: &str) -> String {
    shown(name, '`')
}

/// The same between quotes of another kind.
#[must_use]
pub fn shown(name: &str, quote: char) -> String {
    let mut text = String::from(quote);
    for c in name.chars().take(SHOWN_CHARS) {
        match c {
            c if c == quote => text.extend(['\\', c]),
            '"' | '\'' => text.push(c),
            c => text.extend(c.escape_debug()),
        }
    }
    text.push(quote);
    if name.chars().nth(SHOWN_CHARS).is_some() {
        text.push_str("...");
    }
    text
}

fn list(names: &[&str]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(NAMES_LISTED)
        .map(|name| quoted(name))
        .collect();
    if names.len() > NAMES_LISTED {
        shown.push(format!("{} more", names.len() - NAMES_LISTED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_within_the_cut_off() {
        let known = ["kind", "path", "reload", "forwarding", "m"];
        for (name, expected) in [
            ("paht", Some("path")),
            ("pathh", Some("path")),
            ("Path", Some("path")),
            ("PATH", Some("path")),
            ("relaod", Some("reload")),
            ("forwardnig", Some("forwarding")),
            ("knd", Some("kind")),
            ("users", None),
            ("", None),
            ("x", None),
            ("M", Some("m")),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name:?}");
        }
        assert_eq!(nearest(&"p".repeat(100_000), &known), None);
    }

    #[test]
    fn what_was_written_cannot_reach_the_terminal_raw() {
        assert_eq!(quoted("a\u{1b}[31m`"), "`a\\u{1b}[31m\\``");
        assert_eq!(quoted(&"ä".repeat(65)), format!("`{}`...", "ä".repeat(64)));
        assert_eq!(unknown("kind", "x", &[]), "unknown kind `x`; there is none");
        let many: Vec<String> = (0..50).map(|n| format!("name{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(unknown("kind", "x", &many).ends_with("`name39`, 10 more"));
    }
}
