//! `HostName`: text that can be a host name, by RFC 1123. Looks nothing up.

use std::{error::Error, fmt};

/// Longest name, bytes, without the dot at its end.
const NAME_BYTES_MAX: usize = 253;
/// Longest part between two dots, bytes.
const LABEL_BYTES_MAX: usize = 63;

/// A host name that a resolver may be asked for: ASCII labels of letters, digits, `-` and `_`, with or without a dot at
/// the end. Never a number or an IP address in disguise (`127.1`, `0x7f000001`), which some resolvers would accept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Box<str>);

/// Why a text is no host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadHostName {
    /// The text.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl HostName {
    /// Takes the text if it can be a host name. Upper and lower case are kept.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadHostName> {
        match problem(text) {
            None => Ok(Self(text.into())),
            Some(problem) => Err(BadHostName {
                name: text.to_owned(),
                problem,
            }),
        }
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `localhost`, which RFC 6761 says is the loopback whatever a resolver says.
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        let name = self.0.strip_suffix('.').unwrap_or(&self.0);
        name.eq_ignore_ascii_case("localhost")
    }
}

fn problem(text: &str) -> Option<&'static str> {
    if !text.is_ascii() {
        return Some(
            "only ASCII is looked up; write its ASCII form, as in `xn--bcher-kva.example`",
        );
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return Some("it is longer than 253 bytes");
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    name.split('.')
        .find_map(label_problem)
        .or_else(|| is_number(last).then_some("it ends in a number, as only an IP address does"))
}

fn label_problem(label: &str) -> Option<&'static str> {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if label.is_empty() {
        Some("a part between two dots is empty")
    } else if label.len() > LABEL_BYTES_MAX {
        Some("a part between two dots is longer than 63 bytes")
    } else if !label.bytes().all(is_ours) {
        Some("only letters, digits, `-` and `_` may stand between the dots")
    } else if label.starts_with('-') || label.ends_with('-') {
        Some("a part between two dots begins or ends with `-`")
    } else {
        None
    }
}

/// Whether `getaddrinfo` might take the label for a part of an IPv4 address.
fn is_number(label: &str) -> bool {
    let hexadecimal = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BadHostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no host name: {}", self.name, self.problem)
    }
}

impl Error for BadHostName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        match (HostName::parse(text), expected) {
            (Ok(name), Ok(())) => assert_eq!(name.to_string(), text),
            (Err(bad), Err(problem)) => assert!(bad.problem.contains(problem), "{bad}"),
            (got, expected) => panic!("{text}: got {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_host_name_is_what_rfc_1123_says_and_underscores() {
        for good in [
            "a",
            "Example.ORG",
            "example.org.",
            "_x.3com.example",
            "1.a",
            "x--y",
            "0xg",
        ] {
            check(good, Ok(()));
        }
        for bad in ["", "."] {
            check(bad, Err("is empty"));
        }
        for bad in ["..", ".a", "a..b", "a.."] {
            check(bad, Err("part between two dots is empty"));
        }
        for bad in ["a b", "a/b", "a:b", "a%b", "a\0", "a\n", "*", "[a]"] {
            check(bad, Err("only letters"));
        }
        for bad in ["-a.b", "a-.b", "a.-", "-"] {
            check(bad, Err("begins or ends"));
        }
        check("b\u{fc}cher.example", Err("ASCII"));
    }

    #[test]
    fn numbers_and_disguised_addresses_are_no_names() {
        for bad in [
            "0x",
            "1",
            "127.1",
            "256.1.1.1",
            "a.1",
            "0x7f000001",
            "1.0X1",
            "127.0.0.1.",
        ] {
            check(bad, Err("number"));
        }
    }

    #[test]
    fn lengths_end_where_dns_ends() {
        let label = |length| "a".repeat(length);
        check(&label(63), Ok(()));
        check(&label(64), Err("63"));
        let name = [label(63), label(63), label(63), label(61)].join(".");
        assert_eq!(name.len(), 253);
        check(&name, Ok(()));
        check(&format!("{name}."), Ok(()));
        check(&format!("{name}a"), Err("253"));
    }

    #[test]
    fn localhost_is_known_however_it_is_written() {
        for (name, is_it) in [
            ("localhost", true),
            ("LocalHost.", true),
            ("localhost.example", false),
            ("a", false),
        ] {
            let name = HostName::parse(name).expect("it is a name");
            assert_eq!(name.is_localhost(), is_it, "{name}");
        }
    }
}
