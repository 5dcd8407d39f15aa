//! The picture: for every metric a group of bars, one per row, each from 1 to its ratio on a log scale.

use super::{Report, is_ratio, readable};
use std::fmt::Write as _;

const LEFT: f64 = 300.0;
const PLOT: f64 = 560.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 84.0;
const BAR: f64 = 13.0;
const GAP: f64 = 14.0;
const COLOURS: [&str; 8] = [
    "#c0392b", "#e59866", "#7f8c8d", "#2e86c1", "#8e44ad", "#27ae60", "#b7950b", "#34495e",
];

/// Bars end here, whatever the ratio beside them says: one outlier is not to squeeze all others.
const LOWEST: f64 = 0.01;
const HIGHEST: f64 = 100.0;

/// From the smallest to the largest ratio, on a log scale.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(report: &Report) -> Self {
        let mut scale = Self {
            low: 0.8,
            high: 2.0,
        };
        for metric in &report.metrics {
            for ratio in report
                .rows
                .iter()
                .filter_map(|row| length(report, &row.who, metric))
            {
                scale.low = scale.low.min(ratio * 0.9).max(LOWEST);
                scale.high = scale.high.max(ratio * 1.1).min(HIGHEST);
            }
        }
        scale
    }

    fn x(&self, ratio: f64) -> f64 {
        let part = (ratio.clamp(self.low, self.high) / self.low).ln() / (self.high / self.low).ln();
        LEFT + PLOT * part
    }

    /// 1, 2 and 5 of every power of ten that fits.
    fn marks(&self) -> Vec<f64> {
        let powers = (-6..=9).map(|power| 10_f64.powi(power));
        let marks = powers.flat_map(|power| [power, 2.0 * power, 5.0 * power]);
        marks
            .filter(|&mark| mark >= self.low && mark <= self.high)
            .collect()
    }
}

/// Draws everything.
pub(super) fn draw(report: &Report) -> String {
    let scale = Scale::of(report);
    let mut body = String::new();
    let mut y = TOP;
    for metric in &report.metrics {
        y = group(&mut body, report, &scale, metric, y);
    }
    let (width, height) = (LEFT + PLOT + RIGHT, y + 30.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"17\" font-weight=\"bold\">{}</text>\n\
         <text x=\"16\" y=\"46\" fill=\"#555555\">Ratio to {}, log scale; beside each bar the ratio and the value. \
         Lower is better, except for what is counted per second. No bar: nothing to compare with.</text>\n",
        escaped(&report.title),
        escaped(&report.baseline)
    );
    legend(&mut svg, report);
    grid(&mut svg, &scale, y);
    svg.push_str(&body);
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, report: &Report) {
    let mut x = 16.0;
    for (at, row) in report.rows.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let who = escaped(&row.who);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"56\" width=\"11\" height=\"11\" fill=\"{colour}\"/>"
        );
        let _ = writeln!(svg, "<text x=\"{}\" y=\"66\">{who}</text>", x + 16.0);
        x += 110.0;
    }
}

fn grid(svg: &mut String, scale: &Scale, bottom: f64) {
    let top = TOP - 4.0;
    for mark in scale.marks() {
        let x = scale.x(mark);
        let colour = if (mark - 1.0).abs() < 1e-9 {
            "#555555"
        } else {
            "#e0e0e0"
        };
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom:.1}\" stroke=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{mark}</text>",
            bottom + 16.0
        );
    }
}

/// How long a bar is: the ratio to the baseline, or a metric that is itself a ratio.
fn length(report: &Report, who: &str, metric: &str) -> Option<f64> {
    let own = || {
        is_ratio(metric)
            .then(|| report.value(who, metric))
            .flatten()
    };
    report
        .ratio(who, metric)
        .or_else(own)
        .filter(|&ratio| ratio > 0.0)
}

/// One metric; returns where the next begins.
fn group(svg: &mut String, report: &Report, scale: &Scale, metric: &str, from: f64) -> f64 {
    let mut y = from;
    for (at, row) in report.rows.iter().enumerate() {
        let Some(value) = report.value(&row.who, metric) else {
            continue;
        };
        let (mut text_at, mut label) = (scale.x(1.0), format!("{} ({})", row.who, readable(value)));
        if let Some(ratio) = length(report, &row.who, metric) {
            let (one, end) = (scale.x(1.0), scale.x(ratio));
            let (x, width) = (one.min(end), (one - end).abs().max(1.5));
            let (height, colour) = (BAR - 2.0, COLOURS[at % COLOURS.len()]);
            let _ = writeln!(
                svg,
                "<rect class=\"bar\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                 fill=\"{colour}\"/>"
            );
            text_at = one.max(end);
            if !is_ratio(metric) {
                label = format!("{} {ratio:.2}x ({})", row.who, readable(value));
            }
        }
        let (x, baseline) = (text_at + 5.0, y + BAR - 3.5);
        let label = escaped(&label);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{baseline:.1}\" font-size=\"10.5\">{label}</text>"
        );
        y += BAR;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 12.0,
        f64::midpoint(from, y) + 3.0,
        escaped(metric)
    );
    y + GAP
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
