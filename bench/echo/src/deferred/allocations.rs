//! How often a chain allocates. The counting allocator would slow everything else down, so it is in a program of its own.

use super::{BOXED, Bench, TRESS};
use crate::compile;
use crate::report::Report;
use std::io;
use std::path::Path;
use std::process::Command;

/// Fills `allocations_per_new_deferred`, `allocations_per_deferred_of_4_links` and `allocations_to_fire`.
pub fn measure(bench: &mut Bench) {
    if let Err(error) = count(&bench.target, &mut bench.report) {
        bench.report.skip("all", "allocations", &error.to_string());
    }
}

fn count(target: &Path, report: &mut Report) -> io::Result<()> {
    let program = compile::cargo(target, "tress-bench", "tress-bench-allocations")?;
    let output = Command::new(program).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{}: {said}", output.status)));
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (who, metric, value) =
            parse(line).ok_or_else(|| io::Error::other(format!("it said: {line}")))?;
        report.set(who, metric, value);
    }
    Ok(())
}

/// `tress METRIC NUMBER` or `boxed METRIC NUMBER`.
fn parse(line: &str) -> Option<(&'static str, &str, f64)> {
    let mut words = line.split(' ');
    let who = match words.next()? {
        "tress" => TRESS,
        "boxed" => BOXED,
        _ => return None,
    };
    let figure = (who, words.next()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_figures() {
        assert_eq!(parse("tress a 5"), Some((TRESS, "a", 5.0)));
        assert_eq!(parse("boxed b_c 0.5"), Some((BOXED, "b_c", 0.5)));
        for line in ["", "tress a", "tress a b", "tress a 1 2", "tokio a 1"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
