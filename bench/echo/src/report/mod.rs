//! Rows of figures: as a table, as JSON, as an SVG of ratios. Of use to every bench.

mod svg;
mod table;

use serde_json::{Map, Value, json};
use std::io;
use std::path::Path;

/// One row: who, and its figures in the order they were measured.
#[derive(Debug, Clone, Default)]
pub struct Row {
    who: String,
    figures: Vec<Figure>,
}

/// One figure, and its ratio to the baseline where that was measured round by round.
#[derive(Debug, Clone)]
struct Figure {
    metric: String,
    value: f64,
    ratio: Option<f64>,
}

/// Everything a bench found out.
#[derive(Debug)]
pub struct Report {
    title: String,
    baseline: String,
    rows: Vec<Row>,
    metrics: Vec<String>,
    notes: Map<String, Value>,
    skipped: Vec<String>,
}

impl Report {
    /// An empty report; ratios are to the row called `baseline`.
    #[must_use]
    pub fn new(title: &str, baseline: &str) -> Self {
        Self {
            title: title.into(),
            baseline: baseline.into(),
            rows: Vec::new(),
            metrics: Vec::new(),
            notes: Map::new(),
            skipped: Vec::new(),
        }
    }

    /// The row that ratios refer to.
    #[must_use]
    pub fn baseline(&self) -> &str {
        &self.baseline
    }

    /// Adds an empty row, so that rows appear in a chosen order.
    pub fn row(&mut self, who: &str) {
        if self.find(who).is_none() {
            self.rows.push(Row {
                who: who.into(),
                figures: Vec::new(),
            });
        }
    }

    /// Sets a figure. What is not a number is left out.
    pub fn set(&mut self, who: &str, metric: &str, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.row(who);
        if !self.metrics.iter().any(|known| known == metric) {
            self.metrics.push(metric.into());
        }
        if let Some(row) = self.rows.iter_mut().find(|row| row.who == who) {
            row.figures.retain(|figure| figure.metric != metric);
            row.figures.push(Figure {
                metric: metric.into(),
                value,
                ratio: None,
            });
        }
    }

    /// Sets the ratio of a figure that is there; without it the ratio is that of the values.
    pub fn set_ratio(&mut self, who: &str, metric: &str, ratio: f64) {
        let row = self.rows.iter_mut().find(|row| row.who == who);
        if let Some(figure) = row.and_then(|row| {
            row.figures
                .iter_mut()
                .find(|figure| figure.metric == metric)
        }) {
            figure.ratio = Some(ratio);
        }
    }

    /// Says at once, and in the note, that a figure is missing and why.
    pub fn skip(&mut self, who: &str, metric: &str, reason: &str) {
        let line = format!("{who}: {metric} skipped: {reason}");
        println!("{line}");
        self.skipped.push(line);
    }

    /// Adds to the note.
    pub fn note(&mut self, key: &str, value: impl Into<Value>) {
        self.notes.insert(key.into(), value.into());
    }

    /// A figure.
    #[must_use]
    pub fn value(&self, who: &str, metric: &str) -> Option<f64> {
        self.figure(who, metric).map(|figure| figure.value)
    }

    /// The ratio of a figure to the baseline's; a metric called `ratio_…` has none.
    #[must_use]
    pub fn ratio(&self, who: &str, metric: &str) -> Option<f64> {
        let figure = self.figure(who, metric)?;
        let plain = || {
            let theirs = self.value(&self.baseline, metric)?;
            (!is_ratio(metric)).then_some(figure.value / theirs)
        };
        figure
            .ratio
            .or_else(plain)
            .filter(|ratio| ratio.is_finite())
    }

    fn find(&self, who: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.who == who)
    }

    fn figure(&self, who: &str, metric: &str) -> Option<&Figure> {
        self.find(who)?
            .figures
            .iter()
            .find(|figure| figure.metric == metric)
    }

    /// `{"rows": [{"who": …, "<metric>": number, "<metric>_to_<baseline>": number}], "note": {…}}`; no null anywhere.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.json_row(row)).collect();
        let mut note = self.notes.clone();
        note.insert("skipped".into(), json!(self.skipped));
        json!({ "rows": rows, "note": note })
    }

    fn json_row(&self, row: &Row) -> Value {
        let mut object = Map::new();
        object.insert("who".into(), json!(row.who));
        for metric in &self.metrics {
            if let Some(value) = self.value(&row.who, metric) {
                object.insert(metric.clone(), json!(rounded(value)));
            }
        }
        for metric in &self.metrics {
            if let Some(ratio) = self.ratio(&row.who, metric) {
                object.insert(
                    format!("{metric}_to_{}", self.baseline),
                    json!(rounded(ratio)),
                );
            }
        }
        Value::Object(object)
    }

    /// The table, for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        table::draw(self)
    }

    /// The picture of the ratios.
    #[must_use]
    pub fn svg(&self) -> String {
        svg::draw(self)
    }

    /// Writes `<stem>.json` and `<stem>.svg`.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn write(&self, directory: &Path, stem: &str) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let text = serde_json::to_string_pretty(&self.json())?;
        std::fs::write(directory.join(format!("{stem}.json")), text + "\n")?;
        std::fs::write(directory.join(format!("{stem}.svg")), self.svg())
    }
}

/// A metric that is a ratio already; its ratio to the baseline would say nothing.
fn is_ratio(metric: &str) -> bool {
    metric.starts_with("ratio_")
}

/// Four significant digits: more would pretend.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let digits = 3.0 - value.abs().log10().floor();
    if digits <= 0.0 {
        return value.round();
    }
    let scale = 10_f64.powf(digits);
    (value * scale).round() / scale
}

/// A value as people read it: `0.0412`, `3.21`, `812`, `1,234,567`.
fn readable(value: f64) -> String {
    let size = value.abs();
    if size < 1.0 {
        return format!("{value:.3}");
    }
    if size < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{:.0}", size);
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let mut report = Report::new("echo <64 bytes>", "bare");
        report.row("tress");
        report.set("bare", "cpu", 2.0);
        report.set("tress", "cpu", 3.0);
        report.set_ratio("tress", "cpu", 1.6);
        report.set("bare", "bytes", 1_234_567.0);
        report.set("tress", "bytes", f64::NAN);
        report.note("date", "2026-01-01");
        report
    }

    #[test]
    fn json_has_rows_in_order_and_no_null() {
        let json = sample().json();
        assert_eq!(
            json["rows"][0],
            json!({"who": "tress", "cpu": 3.0, "cpu_to_bare": 1.6})
        );
        assert_eq!(json["rows"][1]["bytes"], json!(1_234_567.0));
        assert_eq!(json["rows"][1]["cpu_to_bare"], json!(1.0));
        assert_eq!(json["note"]["date"], json!("2026-01-01"));
        assert!(!json.to_string().contains("null"));
    }

    #[test]
    fn a_measured_ratio_wins_over_the_ratio_of_values() {
        let mut report = sample();
        assert_eq!(report.ratio("tress", "cpu"), Some(1.6));
        report.set("tress", "cpu", 3.0);
        assert_eq!(report.ratio("tress", "cpu"), Some(1.5));
        assert_eq!(report.ratio("tress", "bytes"), None);
        assert_eq!(report.ratio("nobody", "cpu"), None);
        report.set("bare", "ratio_many_to_few", 1.2);
        assert_eq!(report.ratio("bare", "ratio_many_to_few"), None);
    }

    #[test]
    fn the_table_shows_values_and_ratios() {
        let table = sample().table();
        assert!(table.contains("3.00 (1.60x)"), "{table}");
        assert!(table.contains("1,234,567"), "{table}");
        let tress = table
            .lines()
            .find(|line| line.starts_with("tress"))
            .unwrap();
        assert!(tress.trim_end().ends_with('-'), "{table}");
    }

    #[test]
    fn the_picture_is_escaped_and_has_a_bar_per_ratio() {
        let svg = sample().svg();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("echo &lt;64 bytes&gt;"));
        assert_eq!(svg.matches("class=\"bar\"").count(), 3);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn an_empty_report_is_still_a_report() {
        let report = Report::new("nothing", "bare");
        assert_eq!(report.json()["rows"], json!([]));
        assert!(report.svg().contains("</svg>"));
        assert!(report.table().starts_with("nothing"));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(readable(0.0412), "0.041");
        assert_eq!(readable(3.214), "3.21");
        assert_eq!(readable(812.4), "812");
        assert_eq!(readable(-1_234_567.0), "-1,234,567");
        assert_eq!(rounded(3.214_56), 3.215);
        assert_eq!(rounded(1_234_567.4), 1_234_567.0);
        assert_eq!(rounded(0.0), 0.0);
    }
}
