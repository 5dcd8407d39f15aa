//! Durations and sizes as operators write them: `"250ms"`, `"30s"`, `"64KiB"`.
//! Must not know: TOML, keys, limits.

use std::{cmp::Reverse, time::Duration};
use tress_core::wording::quoted;

/// What the value of a `[limits]` key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes: an integer, or a string such as `"64KiB"`.
    Bytes,
    /// A number of things: an integer.
    Count,
    /// Time: a string such as `"30s"`.
    Time,
}

/// The longest duration a file may name: about 114 years, so that nanoseconds in 64 bits hold it and now.
pub const MAX_DURATION: Duration = Duration::from_secs(1_000_000 * 3_600);

/// Reads `"250ms"`, `"30s"`, `"5m"` or `"1h"`: a whole number and its unit, nothing between.
///
/// # Errors
/// Says what was expected, for an operator.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    scaled(text, &UNITS, "a duration", "30s")?
        .map(Duration::from_millis)
        .filter(|duration| *duration <= MAX_DURATION)
        .ok_or_else(|| format!("{} is too long; at most `1000000h`", quoted(text)))
}

/// Reads `"512B"`, `"64KiB"`, `"1MiB"` or `"2GiB"`: a whole number and its unit, in bytes.
///
/// # Errors
/// Says what was expected, for an operator.
pub fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    scaled(text, &UNITS, "a size", "64KiB")?
        .filter(|&bytes| i64::try_from(bytes).is_ok()) // what a plain TOML integer can say, too
        .ok_or_else(|| format!("{} is too large", quoted(text)))
}

/// A value as a file may write it, in the largest unit that needs no fraction: bytes, a count, or milliseconds.
#[must_use]
pub fn written(value: u64, unit: Unit) -> String {
    let units: &[(&str, u64)] = match unit {
        Unit::Count => return value.to_string(),
        Unit::Bytes => &[
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
            ("B", 1),
        ],
        Unit::Time => &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)],
    };
    let fits = |worth: u64| value >= worth && value.is_multiple_of(worth);
    let found = units.iter().find(|(_, worth)| fits(*worth));
    match found {
        Some((name, worth)) => format!("{}{name}", value / worth),
        None => "0".to_owned() + if unit == Unit::Bytes { "B" } else { "s" },
    }
}

/// The number times the worth of its unit; nothing when that is beyond 64 bits.
fn scaled(
    text: &str,
    units: &[(&str, u64)],
    what: &str,
    example: &str,
) -> Result<Option<u64>, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if !digits.is_empty()
        && let Some(&(_, worth)) = units.iter().find(|&&(name, _)| name == unit)
    {
        let number: Option<u64> = digits.parse().ok();
        return Ok(number.and_then(|number| number.checked_mul(worth)));
    }
    let names: Vec<String> = units.iter().map(|(name, _)| quoted(name)).collect();
    let why = match (digits, unit) {
        ("", _) => "it starts with no number".to_owned(),
        (_, "") => "its unit is missing".to_owned(),
        _ => format!("unknown unit {}", quoted(unit)),
    };
    let hint = match meant(unit, units) {
        Some(name) if !digits.is_empty() => {
            format!("; did you mean {}?", quoted(&format!("{digits}{name}")))
        }
        _ => String::new(),
    };
    Err(format!(
        "{} is not {what}: {why}; expected a whole number and one of {}, as in {}{hint}",
        quoted(text),
        names.join(", "),
        quoted(example),
    ))
}

/// The unit that begins most like `text`: `"sec"` means `"s"`, `"KB"` and `"kib"` mean `"KiB"`.
fn meant<'u>(text: &str, units: &[(&'u str, u64)]) -> Option<&'u str> {
    let alike = |name: &str| {
        let pairs = name.bytes().zip(text.bytes());
        pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
    };
    units
        .iter()
        .map(|&(name, _)| name)
        .filter(|name| alike(name) > 0)
        .max_by_key(|name| (alike(name), Reverse(name.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn duration(text: &str, expected: Result<u64, &str>) {
        let found = parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(
            found,
            expected.map(u128::from).map_err(str::to_owned),
            "{text:?}"
        );
    }

    #[track_caller]
    fn size(text: &str, expected: Result<u64, &str>) {
        assert_eq!(
            parse_size(text),
            expected.map_err(str::to_owned),
            "{text:?}"
        );
    }

    #[test]
    fn durations() {
        duration("0s", Ok(0));
        duration("250ms", Ok(250));
        duration("30s", Ok(30_000));
        duration("5m", Ok(300_000));
        duration("1h", Ok(3_600_000));
        duration("1000000h", Ok(3_600_000_000_000));
        duration(
            "1000001h",
            Err("`1000001h` is too long; at most `1000000h`"),
        );
        let huge = "99999999999999999999s";
        duration(
            huge,
            Err("`99999999999999999999s` is too long; at most `1000000h`"),
        );
        let expected = "expected a whole number and one of `ms`, `s`, `m`, `h`, as in `30s`";
        for (text, why, hint) in [
            ("", "it starts with no number", ""),
            ("s", "it starts with no number", ""),
            ("-1s", "it starts with no number", ""),
            ("30", "its unit is missing", ""),
            ("30 s", "unknown unit ` s`", ""),
            ("1.5h", "unknown unit `.5h`", ""),
            ("1d", "unknown unit `d`", ""),
            ("30sec", "unknown unit `sec`", "; did you mean `30s`?"),
            ("5min", "unknown unit `min`", "; did you mean `5m`?"),
            ("5msec", "unknown unit `msec`", "; did you mean `5ms`?"),
            ("1H", "unknown unit `H`", "; did you mean `1h`?"),
        ] {
            let text_and_why = format!("`{text}` is not a duration: {why}; {expected}{hint}");
            duration(text, Err(&text_and_why));
        }
    }

    #[test]
    fn sizes() {
        size("0B", Ok(0));
        size("512B", Ok(512));
        size("64KiB", Ok(65_536));
        size("1MiB", Ok(1 << 20));
        size("2GiB", Ok(2 << 30));
        size("9999999999GiB", Err("`9999999999GiB` is too large"));
        size(
            "9223372036854775808B",
            Err("`9223372036854775808B` is too large"),
        );
        let expected = "expected a whole number and one of `B`, `KiB`, `MiB`, `GiB`, as in `64KiB`";
        for (text, why, hint) in [
            ("64", "its unit is missing", ""),
            ("64KB", "unknown unit `KB`", "; did you mean `64KiB`?"),
            ("64kib", "unknown unit `kib`", "; did you mean `64KiB`?"),
            ("1M", "unknown unit `M`", "; did you mean `1MiB`?"),
            ("1T", "unknown unit `T`", ""),
        ] {
            size(
                text,
                Err(&format!("`{text}` is not a size: {why}; {expected}{hint}")),
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,20}") {
            drop((parse_duration(&text), parse_size(&text)));
        }

        #[test]
        fn whole_seconds_survive(seconds in 0_u64..3_600_000_000) {
            let read = parse_duration(&format!("{seconds}s"));
            prop_assert_eq!(read, Ok(Duration::from_secs(seconds)));
        }
    }
}
