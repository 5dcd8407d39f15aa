//! Tables for terminals: columns of one width, and the table of limits. Writes nowhere.

use tress_core::{
    Limits,
    limits::{Limit, Unit},
};

/// Lines of columns: each but the last is as wide as its widest cell.
pub(crate) fn columns<const N: usize>(indent: &str, rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Every limit: its name, its value as a file may write it, what it counts and what it means.
pub(crate) fn limits(limits: &Limits) -> String {
    let defaults = Limits::default();
    let head = ["limit", "value", "unit", "meaning"].map(str::to_owned);
    let rows = Limits::TABLE.iter().map(|limit| {
        let mut meaning = limit.meaning.to_owned();
        if limit.get(limits) != limit.get(&defaults) {
            let default = value(limit, &defaults);
            meaning.push_str(&format!(" (default {default})"));
        }
        let unit = match limit.unit {
            Unit::Bytes => "bytes",
            Unit::Count => "count",
            Unit::Time => "time",
        };
        [
            limit.name.to_owned(),
            value(limit, limits),
            unit.to_owned(),
            meaning,
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    columns("", &rows)
}

fn value(limit: &Limit, limits: &Limits) -> String {
    amount(limit.unit, limit.get(limits))
}

/// A limit's value in the largest unit that needs no fraction.
pub(crate) fn amount(unit: Unit, value: u64) -> String {
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
        Some((unit, worth)) => format!("{}{unit}", value / worth),
        None => "0".to_owned() + if unit == Unit::Bytes { "B" } else { "s" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn limits_are_shown_as_a_file_may_write_them() {
        let mut changed = Limits::default();
        changed.idle = Duration::ZERO;
        changed.line = 1_000;
        changed.shutdown = Duration::from_millis(1_500);
        let shown = limits(&changed);
        let words = |name: &str| -> Vec<&str> {
            let line = shown.lines().find(|line| line.starts_with(name));
            line.unwrap().split_whitespace().collect()
        };
        assert_eq!(words("line")[..3], ["line", "1000B", "bytes"]);
        assert!(shown.contains("(default 16KiB)"), "{shown}");
        assert_eq!(words("idle")[..3], ["idle", "0s", "time"]);
        assert_eq!(words("shutdown")[..3], ["shutdown", "1500ms", "time"]);
        assert_eq!(words("output_hard")[..3], ["output_hard", "16MiB", "bytes"]);
        assert_eq!(
            words("connections ")[..3],
            ["connections", "65536", "count"]
        );
        assert_eq!(shown.lines().count(), Limits::TABLE.len() + 1);
    }
}
