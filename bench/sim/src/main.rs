//! `tress-sim-workload`: runs seeds of the workload on all processors, or the scale run, and prints what came of them.
//! Knows nothing of what a seed does.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]

use std::{
    collections::BTreeMap,
    env,
    ops::Range,
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};
use tress_sim::Fault;
use tress_sim_workload::{Mutation, Outcome, run, scale};

const USAGE: &str = "\
usage: cargo xtask sim [--seeds FROM..TO] [--mutant NAME] [--quiet]
       cargo xtask sim --scale [CONNECTIONS]

  --seeds FROM..TO   the seeds to run, TO excluded; 0..1000 unless said
  --mutant NAME      plants a bug: lost-write, double-close, stale-token, timer-reorder, no-pause
  --quiet            prints no line for a seed that is well
  --scale            100000 virtual connections through one reactor

ends with 1 when an invariant broke, or when in 1000 seeds or more a kind of fault never struck
";

/// In this many seeds every kind of fault has to strike.
const SEEDS_FOR_EVERY_FAULT: u64 = 1000;

#[derive(Debug, PartialEq)]
enum Command {
    Seeds {
        seeds: Range<u64>,
        mutation: Option<Mutation>,
        quiet: bool,
    },
    Scale(usize),
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match parse(&args) {
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
        Some(Command::Scale(connections)) => match scale(connections) {
            Ok(scale) => {
                println!("{scale}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                eprintln!("{failure}");
                ExitCode::FAILURE
            }
        },
        Some(Command::Seeds {
            seeds,
            mutation,
            quiet,
        }) => run_all(seeds, mutation, quiet),
    }
}

fn parse(args: &[String]) -> Option<Command> {
    if let [first, rest @ ..] = args
        && first == "--scale"
    {
        return match rest {
            [] => Some(Command::Scale(100_000)),
            [count] => count
                .parse()
                .ok()
                .filter(|count| *count > 0)
                .map(Command::Scale),
            _ => None,
        };
    }
    let (mut seeds, mut mutation, mut quiet) = (0..1000, None, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => {
                let (from, to) = args.next()?.split_once("..")?;
                seeds = from.parse().ok()?..to.parse().ok()?;
            }
            "--mutant" => {
                let name = args.next()?;
                let known = Mutation::ALL.into_iter();
                mutation = Some(known.clone().find(|known| known.name() == name)?);
            }
            "--quiet" => quiet = true,
            _ => return None,
        }
    }
    (!seeds.is_empty()).then_some(Command::Seeds {
        seeds,
        mutation,
        quiet,
    })
}

/// Runs the seeds, as many at once as there are processors, and prints them in order. The first broken invariant ends it.
fn run_all(seeds: Range<u64>, mutation: Option<Mutation>, quiet: bool) -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "how long it took is told")]
    let start = Instant::now();
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, enough) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (sender, receiver) = mpsc::sync_channel(64);
    let mut totals = Totals::default();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, seeds) = (sender.clone(), seeds.clone());
            let (next, enough) = (&next, &enough);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) || sender.send(run(seed, mutation)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut waiting, mut at) = (BTreeMap::new(), seeds.start);
        for outcome in receiver {
            waiting.insert(outcome.seed, outcome);
            while let Some(outcome) = waiting.remove(&at) {
                at += 1;
                totals.add(&outcome, quiet);
                if !outcome.broken.is_empty() {
                    enough.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    });
    totals.print(start);
    let idle = totals.idle().filter(|_| mutation.is_none());
    let idle: Vec<&str> = idle.map(Fault::name).collect();
    if !idle.is_empty() {
        let seeds = totals.seeds;
        eprintln!(
            "in {seeds} seeds these faults never struck: {}",
            idle.join(", ")
        );
    }
    if totals.broken == 0 && idle.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    events: u64,
    faults: [u64; Fault::ALL.len()],
    broken: usize,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome, quiet: bool) {
        let Outcome {
            seed,
            events,
            faults,
            hash,
            broken,
        } = outcome;
        if !quiet || !broken.is_empty() {
            let faults: u64 = faults.iter().sum();
            println!("seed={seed} events={events} faults={faults} hash={hash:016x}");
        }
        for what in broken {
            eprintln!("seed={seed}: {what}");
        }
        self.seeds += 1;
        self.events += events;
        self.broken += broken.len();
        for (total, count) in self.faults.iter_mut().zip(faults) {
            *total += count;
        }
    }

    /// The kinds of faults that never struck, in so many seeds that each should have: what strikes nowhere tests nothing.
    fn idle(&self) -> impl Iterator<Item = Fault> {
        let counts = Fault::ALL.into_iter().zip(self.faults);
        let enough = self.seeds >= SEEDS_FOR_EVERY_FAULT;
        counts.filter_map(move |(fault, count)| (enough && count == 0).then_some(fault))
    }

    fn print(&self, start: Instant) {
        for (fault, count) in Fault::ALL.iter().zip(self.faults) {
            println!("{fault} {count}");
        }
        let Self {
            seeds,
            events,
            broken,
            ..
        } = self;
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{seeds} seeds, {events} events, {broken} invariants broken, {seconds:.1} s");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_never_strikes_is_noticed() {
        let check = |seeds, counts: &[(Fault, u64)], expected: &[Fault]| {
            let mut totals = Totals {
                seeds,
                faults: [7; Fault::ALL.len()],
                ..Totals::default()
            };
            for (fault, count) in counts {
                totals.faults[*fault as usize] = *count;
            }
            assert_eq!(totals.idle().collect::<Vec<_>>(), expected);
        };
        let all = [(Fault::Reset, 0), (Fault::SpuriousWakeup, 0)];
        check(1000, &[], &[]);
        check(1000, &all, &[Fault::Reset, Fault::SpuriousWakeup]);
        check(1000, &[(Fault::HostCrash, 1)], &[]);
        check(999, &all, &[]);
    }

    #[test]
    fn arguments() {
        let check = |line: &str, expected: Option<Command>| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(parse(&args), expected, "{line}");
        };
        let seeds = |seeds, mutation, quiet| Command::Seeds {
            seeds,
            mutation,
            quiet,
        };
        check("", Some(seeds(0..1000, None, false)));
        check("--seeds 7..9 --quiet", Some(seeds(7..9, None, true)));
        let stale = Some(Mutation::StaleToken);
        check("--mutant stale-token", Some(seeds(0..1000, stale, false)));
        check("--scale", Some(Command::Scale(100_000)));
        check("--scale 10", Some(Command::Scale(10)));
        for wrong in [
            "--seeds",
            "--seeds 7",
            "--seeds 9..9",
            "--seeds a..b",
            "--mutant x",
            "--scale 0",
            "more",
        ] {
            check(wrong, None);
        }
    }
}
