//! What every bench does around its measuring: cores, the note, the files, and what must hold. Measures nothing.

use crate::args::Args;
use crate::machine::{self, Cores};
use crate::report::Report;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A measurement by the name that `--only` knows it by.
pub type Metric<B> = (&'static str, fn(&mut B));

/// Pins this process to its core, or notes why not.
pub fn take_cores(report: &mut Report) -> Cores {
    Cores::take().unwrap_or_else(|reason| {
        report.skip("all", "pinning", &reason);
        Cores::unpinned()
    })
}

/// Notes what a reader of the figures must know of the run, whatever was measured.
pub fn note(report: &mut Report, bench: &str, args: &Args, cores: &Cores) {
    let command = format!("tress-bench {bench} {}", args.words.join(" "));
    report.note("date", machine::today());
    report.note("kernel", machine::kernel());
    report.note("processor", machine::processor());
    report.note("command", command.trim_end());
    report.note("quick", args.quick);
    report.note("pinning", cores.describe());
}

/// Measures what was asked for.
pub fn measure<B>(args: &Args, all: &[Metric<B>], bench: &mut B) {
    for (name, measure) in all.iter().filter(|(name, _)| args.wants(name)) {
        println!("measuring {name} …");
        let began = Instant::now();
        measure(bench);
        println!("measured {name} in {:.1} s", began.elapsed().as_secs_f64());
        // Whatever was just killed is gone before the next begins.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Writes the files, named as the bench, and prints the table.
///
/// # Errors
/// The directory cannot be written.
pub fn write(report: &Report, bench: &str, args: &Args) -> io::Result<()> {
    let directory = args.out.clone().unwrap_or_else(results);
    report.write(&directory, bench)?;
    println!("\n{}", report.table());
    let files = directory.join(format!("{bench}.{{json,svg}}"));
    println!("written: {}", files.display());
    Ok(())
}

/// A figure that must hold: what it is called, what was measured if it was, and its bound.
pub type Held = (String, Option<f64>, Bound);

/// How far a figure may go.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// It must not be above this.
    AtMost(f64),
    /// It must not be below this.
    AtLeast(f64),
}

/// Prints the figures that were measured with their bounds, and fails when one is out of them.
///
/// # Errors
/// Every such figure, with its bound.
pub fn held(figures: &[Held]) -> io::Result<()> {
    for figure in figures {
        if let (name, Some(value), bound) = figure {
            let (holds, rule) = bound.of(*value);
            let word = if holds { "holds" } else { "does not hold" };
            println!("{word}: {name} is {value:.3}, must be {rule}");
        }
    }
    let broken: Vec<String> = figures.iter().filter_map(broken).collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(broken.join("; ")))
}

fn broken((name, value, bound): &Held) -> Option<String> {
    let value = (*value)?;
    let (holds, rule) = bound.of(value);
    (!holds).then(|| format!("{name} is {value:.3}, must be {rule}"))
}

impl Bound {
    /// Whether the value holds, and what it must be.
    fn of(self, value: f64) -> (bool, String) {
        match self {
            Self::AtMost(most) => (value <= most, format!("at most {most}")),
            Self::AtLeast(least) => (value >= least, format!("at least {least}")),
        }
    }
}

/// `bench/results`: beside this package when cargo runs it, else below the current directory.
fn results() -> PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) {
        Some(package) if package.ends_with("bench/echo") => package.with_file_name("results"),
        _ => PathBuf::from("bench/results"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Option<f64>, bound: Bound, expect: Result<(), &str>) {
        let held = held(&[("size".to_owned(), value, bound)]).map_err(|error| error.to_string());
        assert_eq!(
            held.as_ref().map_err(String::as_str),
            expect.as_ref().map_err(|text| *text)
        );
    }

    #[test]
    fn bounds_are_inclusive_and_what_was_not_measured_holds() {
        check(Some(5.0), Bound::AtMost(5.0), Ok(()));
        check(Some(5.0), Bound::AtLeast(5.0), Ok(()));
        check(None, Bound::AtMost(0.0), Ok(()));
        let over = "size is 5.100, must be at most 5";
        check(Some(5.1), Bound::AtMost(5.0), Err(over));
        let under = "size is 4.900, must be at least 5";
        check(Some(4.9), Bound::AtLeast(5.0), Err(under));
    }

    #[test]
    fn every_broken_figure_is_said() {
        let most = Bound::AtMost(1.0);
        let error = held(&[
            ("a".to_owned(), Some(2.0), most),
            ("b".to_owned(), Some(1.0), most),
            ("c".to_owned(), Some(3.0), most),
        ]);
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("a is") && text.contains("c is") && !text.contains("b is"),
            "{text}"
        );
    }
}
