//! Tables for terminals: columns of one width, and the table of limits. Writes nowhere.

use tress_app::config;
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

/// A limit's value, as a file may write it.
pub(crate) fn amount(unit: Unit, value: u64) -> String {
    let unit = match unit {
        Unit::Count => config::Unit::Count,
        Unit::Bytes => config::Unit::Bytes,
        Unit::Time => config::Unit::Time,
    };
    config::written(value, unit)
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
