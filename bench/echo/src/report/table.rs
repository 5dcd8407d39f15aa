//! The table: rows are peers, columns are metrics, in as many blocks as the width needs.

use super::{Report, readable};
use std::fmt::Write as _;

/// As wide as a block may get.
const WIDTH: usize = 118;

/// Draws all blocks.
pub(super) fn draw(report: &Report) -> String {
    let names = report
        .rows
        .iter()
        .map(|row| row.who.len())
        .max()
        .unwrap_or(0)
        + 2;
    let mut text = format!(
        "{} (in brackets: ratio to {})\n",
        report.title, report.baseline
    );
    let mut block: Vec<(&str, usize)> = Vec::new();
    let mut wide = names;
    for metric in &report.metrics {
        let cells = report
            .rows
            .iter()
            .map(|row| cell(report, &row.who, metric).len());
        let width = cells.max().unwrap_or(0).max(metric.len()) + 2;
        if wide + width > WIDTH && !block.is_empty() {
            draw_block(&mut text, report, &block, names);
            block.clear();
            wide = names;
        }
        block.push((metric, width));
        wide += width;
    }
    draw_block(&mut text, report, &block, names);
    text
}

fn draw_block(text: &mut String, report: &Report, block: &[(&str, usize)], names: usize) {
    if block.is_empty() {
        return;
    }
    let mut line = |who: &str, cells: &mut dyn Iterator<Item = (String, usize)>| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{who:names$}");
        for (cell, width) in cells {
            let _ = write!(text, "{cell:>width$}");
        }
        text.push('\n');
    };
    line("", &mut std::iter::empty());
    line(
        "",
        &mut block
            .iter()
            .map(|&(metric, width)| (metric.to_owned(), width)),
    );
    for row in &report.rows {
        line(
            &row.who,
            &mut block
                .iter()
                .map(|&(metric, width)| (cell(report, &row.who, metric), width)),
        );
    }
}

fn cell(report: &Report, who: &str, metric: &str) -> String {
    let Some(value) = report.value(who, metric) else {
        return "-".into();
    };
    match report.ratio(who, metric) {
        Some(ratio) => format!("{} ({ratio:.2}x)", readable(value)),
        None => readable(value),
    }
}
