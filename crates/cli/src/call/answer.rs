//! A result as text for people. Writes nowhere.

use tress_rpc::Value;

/// The lines of a result: nothing for nothing, a text as it is, a line for each item of a list and each field of a record,
/// and JSON for what is inside of these.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    match value {
        Value::Nothing => {}
        Value::List(items) => items.iter().for_each(|item| line(&in_line(item))),
        Value::Record(fields) => fields
            .iter()
            .for_each(|(name, value)| line(&format!("{name}: {}", in_line(value)))),
        Value::String(text) => line(text.strip_suffix('\n').unwrap_or(text)),
        other => line(&in_line(other)),
    }
    text
}

/// A value in one line.
fn in_line(value: &Value) -> String {
    match value {
        Value::Nothing => String::new(),
        Value::String(text) => text.replace(['\r', '\n'], " "),
        // Bytes are base64 there; names are texts, so it can be written.
        other => {
            let text = serde_json::to_string(other).unwrap_or_default();
            match other {
                Value::Bytes(_) => text.trim_matches('"').to_owned(),
                _ => text,
            }
        }
    }
}

/// The same text for a terminal, which no control character steers: it came from somebody else.
pub(crate) fn harmless(text: &str) -> String {
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let text = text.chars();
    text.map(|c| {
        if plain(c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_lines() {
        let list = |items: &[&str]| Value::List(items.iter().map(|it| Value::from(*it)).collect());
        for (value, expected) in [
            (Value::Nothing, ""),
            ("a\nb".into(), "a\nb\n"),
            ("a\n".into(), "a\n"),
            (Value::Integer(3), "3\n"),
            (Value::Float(0.5), "0.5\n"),
            (Value::Bytes(vec![1, 2]), "AQI=\n"),
            (list(&["a", "b\nc"]), "a\nb c\n"),
            (
                Value::Record(vec![("n".into(), list(&["a"]))]),
                "n: [\"a\"]\n",
            ),
        ] {
            assert_eq!(text(&value), expected);
        }
        assert_eq!(harmless("a\u{1b}[2Jb\tc\n"), "a\u{fffd}[2Jb\tc\n");
    }
}
