//! The bench of Deferreds and timed calls: what they cost beside what others offer for the same. Knows no socket.

pub mod allocations;
pub mod chains;
pub mod steps;
pub mod timers;

use crate::args;
use crate::compile;
use crate::lines::Asker;
use crate::machine::Cores;
use crate::report::Report;
use crate::run::{self, Bound, Held, Metric};
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The row of tress, which all others are compared with.
pub const TRESS: &str = "tress";
/// The row of closures in boxes: a list that only its owner can run, without guards, contexts or traces.
pub const BOXED: &str = "boxed closures";
/// The row of the same behind one `Rc` with a place for the result: the least that a chain can be which one fires and
/// another one waits for. For information.
pub const SHARED: &str = "boxed, shared";
/// The row of Twisted.
pub const TWISTED: &str = "Twisted";

/// What can be measured, in this order.
pub const METRICS: [Metric<Bench>; 4] = [
    ("steps", steps::measure),
    ("allocations", allocations::measure),
    ("awaited", steps::measure_awaited),
    ("timers", timers::measure),
];

/// What every measurement gets.
#[derive(Debug)]
pub struct Bench {
    /// Where peers and harness run.
    pub cores: Cores,
    /// Where things are built.
    pub target: PathBuf,
    /// How much is measured.
    pub sizes: Sizes,
    /// Where the figures go.
    pub report: Report,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Rounds of alternating slices of steps.
    pub slices: usize,
    /// How long one slice lets one peer make steps.
    pub slice: Duration,
    /// How often the timers of all peers are measured.
    pub timer_rounds: usize,
    /// Timers of one process.
    pub timers: usize,
}

impl Sizes {
    fn new(quick: bool) -> Self {
        if quick {
            return Self {
                slices: 5,
                slice: Duration::from_millis(50),
                timer_rounds: 3,
                timers: 100_000,
            };
        }
        Self {
            slices: 30,
            slice: Duration::from_millis(200),
            timer_rounds: 7,
            timers: 1_000_000,
        }
    }
}

impl Bench {
    /// Starts a peer on the peers' core; one that cannot be started is named with the reason.
    fn start(&mut self, who: &str, metric: &str, command: io::Result<Command>) -> Option<Asker> {
        let asker =
            command.and_then(|mut command| self.cores.on_server_core(|| Asker::open(&mut command)));
        asker
            .map_err(|error| self.report.skip(who, metric, &error.to_string()))
            .ok()
    }
}

/// Runs the bench with the words that follow its name.
///
/// # Errors
/// The words make no sense, the results cannot be written, or a figure does not hold.
pub fn run(words: impl Iterator<Item = String>) -> io::Result<()> {
    let args = args::parse(words, &METRICS.map(|(name, _)| name), &[])?;
    let mut report = Report::new("Deferreds and timed calls, one core", TRESS);
    report.row(TRESS);
    let target = compile::target_directory()?;
    let cores = run::take_cores(&mut report);
    run::note(&mut report, "deferred", &args, &cores);
    let sizes = Sizes::new(args.quick);
    note_method(&mut report, &sizes);
    let mut bench = Bench {
        cores,
        target,
        sizes,
        report,
    };
    run::measure(&args, &METRICS, &mut bench);
    run::write(&bench.report, "deferred", &args)?;
    held(&bench.report)
}

/// What no figure of tress may exceed, whatever the machine: counts, and the part of the memory that stays.
const HELD: [(&str, f64); 4] = [
    ("allocations_per_deferred_of_4_links", 5.0),
    ("allocations_per_new_deferred", 1.0),
    ("allocations_to_fire", 0.0),
    ("timer_bytes_left_percent", 5.0),
];

/// Fails when a figure does not hold. The absolute rate is the aim on a quiet machine; a busy one may miss it.
fn held(report: &Report) -> io::Result<()> {
    let steps = "steps_per_second";
    let rate = report.value(TRESS, steps);
    let boxed = report.ratio(BOXED, steps);
    let twisted = report.ratio(TWISTED, steps).map(|theirs| 1.0 / theirs);
    let to_twisted = "steps of tress to those of Twisted";
    let of_boxed = "steps of boxed closures to those of tress";
    let mut figures: Vec<Held> = vec![
        (steps.to_owned(), rate, Bound::AtLeast(25e6)),
        (to_twisted.to_owned(), twisted, Bound::AtLeast(30.0)),
        (of_boxed.to_owned(), boxed, Bound::AtMost(1.5)),
    ];
    figures.extend(HELD.map(|(metric, most)| -> Held {
        (
            metric.to_owned(),
            report.value(TRESS, metric),
            Bound::AtMost(most),
        )
    }));
    run::held(&figures)
}

fn note_method(report: &mut Report, sizes: &Sizes) {
    report.note("slices", sizes.slices);
    report.note("slice_seconds", sizes.slice.as_secs_f64());
    report.note("timers", sizes.timers);
    report.note("timer_rounds", sizes.timer_rounds);
    report.note(
        "method",
        "peers are processes on one core, asked in turn and in rotating order; values are medians over the rounds, \
         *_to_tress of what is measured in rounds the median of the ratios within each round; time is the processor's",
    );
    report.note(
        "steps",
        "a step is a link: two that map, one for failures, one that may fail; added before the value comes, each \
         capturing a number; boxed closures are a list that its owner runs, the shared ones stand behind one Rc, as \
         somebody else fires them",
    );
    report.note(
        "awaited",
        "a step is an await: a hundred tasks, each awaiting four Deferreds that fire after it waits",
    );
    report.note(
        "timers_method",
        "deadlines spread evenly over ten minutes, nine in ten cancelled in random order, the others fired by a clock \
         set by hand in a hundred jumps; nanoseconds of each operation; bytes are resident, of one pending timer with \
         what its owner holds, and left of all of them when they are gone and the allocator was told to give back \
         what it keeps for later (by default glibc keeps nine tenths, of every peer)",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(figures: &[(&str, &str, f64)]) -> Report {
        let mut report = Report::new("x", TRESS);
        for (who, metric, value) in figures {
            report.set(who, metric, *value);
        }
        report
    }

    #[track_caller]
    fn check(figures: &[(&str, &str, f64)], broken: &[&str]) {
        let text =
            held(&report(figures)).map_or_else(|error| error.to_string(), |()| String::new());
        let said: Vec<&str> = text.split("; ").filter(|line| !line.is_empty()).collect();
        assert_eq!(said.len(), broken.len(), "{text}");
        assert!(
            said.iter()
                .zip(broken)
                .all(|(line, name)| line.starts_with(name)),
            "{text}"
        );
    }

    #[test]
    fn what_was_not_measured_holds() {
        check(&[], &[]);
    }

    #[test]
    fn figures_at_their_bounds_hold() {
        check(
            &[
                (TRESS, "steps_per_second", 30e6),
                (BOXED, "steps_per_second", 45e6),
                (TWISTED, "steps_per_second", 1e6),
                (TRESS, "allocations_per_deferred_of_4_links", 5.0),
                (TRESS, "allocations_per_new_deferred", 1.0),
                (TRESS, "allocations_to_fire", 0.0),
                (TRESS, "timer_bytes_left_percent", 5.0),
            ],
            &[],
        );
    }

    #[test]
    fn figures_beyond_their_bounds_are_named() {
        check(
            &[
                (TRESS, "steps_per_second", 24e6),
                (BOXED, "steps_per_second", 37e6),
                (TWISTED, "steps_per_second", 0.9e6),
                (TRESS, "allocations_per_deferred_of_4_links", 6.0),
                (TRESS, "allocations_per_new_deferred", 2.0),
                (TRESS, "allocations_to_fire", 0.001),
                (TRESS, "timer_bytes_left_percent", 5.1),
            ],
            &[
                "steps_per_second",
                "steps of tress to those of Twisted",
                "steps of boxed closures to those of tress",
                "allocations_per_deferred_of_4_links",
                "allocations_per_new_deferred",
                "allocations_to_fire",
                "timer_bytes_left_percent",
            ],
        );
    }

    #[test]
    fn only_tress_must_hold_anything() {
        check(
            &[
                (BOXED, "allocations_to_fire", 3.0),
                ("tokio", "timer_bytes_left_percent", 90.0),
            ],
            &[],
        );
    }
}
