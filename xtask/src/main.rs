//! The project's own commands, so that a contributor and CI run the same thing: `cargo xtask test`, `tidy`, `mutants`,
//! `asan`, `package`, `bench`.
//! Must not know the crates it checks: no dependency on any of them, only their manifests and their text.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]

mod asan;
mod behaviours;
mod bench;
mod cargo;
mod mutants;
mod package;
mod sim;
mod suite;
mod tidy;
mod tools;
mod works;

use cargo::Workspace;
use std::{env, process::ExitCode};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test               everything that must hold before a commit: format, clippy, tests, docs, tidy
  tidy               only the project's own rules: layers, module docs, file length, banned words, paths
  works              bring the README's table of what works up to date
  behaviours         bring the README's table of behaviours up to date, from what `test` found
  asan               the io_uring driver's tests under AddressSanitizer, compiled for it: a few minutes
  package            the program as one static file and a Debian package, which is installed, upgraded and purged: 10 minutes
  mutants [PART..]   plant known defects (those with a PART in them) in a copy of the tree, and count those that are noticed
  sim [ARGS]         the simulator's workload, while everything goes wrong: --seeds FROM..TO, --mutant NAME, --scale
  bench NAME [ARGS]  run one benchmark, `echo`, `deferred`, `rpc` or `tls`; results go to bench/results/, or with --out elsewhere
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some(command) = Command::parse(&args) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match command.run() {
        Ok(summary) => {
            println!("cargo xtask {}: ok, {summary}", args[0]);
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("cargo xtask {}: FAILED: {why}", args[0]);
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, PartialEq)]
enum Command<'a> {
    Test,
    Tidy,
    Works,
    Behaviours,
    Asan,
    Package(package::Arguments<'a>),
    /// Those that contain one of these; without any, all.
    Mutants(&'a [String]),
    /// What the workload is given.
    Sim(&'a [String]),
    /// What tress-bench is given: the benchmark's name, then its own arguments.
    Bench(&'a [String]),
}

impl<'a> Command<'a> {
    fn parse(args: &'a [String]) -> Option<Self> {
        let (name, rest) = args.split_first()?;
        match (name.as_str(), rest) {
            ("test", []) => Some(Self::Test),
            ("tidy", []) => Some(Self::Tidy),
            ("works", []) => Some(Self::Works),
            ("behaviours", []) => Some(Self::Behaviours),
            ("asan", []) => Some(Self::Asan),
            ("package", rest) => package::Arguments::parse(rest).map(Self::Package),
            ("mutants", parts) if parts.iter().all(|part| !part.starts_with('-')) => {
                Some(Self::Mutants(parts))
            }
            ("sim", rest) => Some(Self::Sim(rest)),
            ("bench", [bench, ..]) if !bench.starts_with('-') => Some(Self::Bench(rest)),
            _ => None,
        }
    }

    /// Runs the command; the answer, good or bad, is its last line.
    fn run(&self) -> Result<String, String> {
        let workspace = Workspace::load()?;
        match self {
            Self::Test => suite::run(&workspace),
            Self::Tidy => tidy::run(&workspace),
            Self::Works => works::write(&workspace),
            Self::Behaviours => behaviours::write(&workspace),
            Self::Asan => asan::run(&workspace),
            Self::Package(arguments) => package::run(&workspace, *arguments),
            Self::Mutants(parts) => mutants::run(&workspace, parts),
            Self::Sim(args) => sim::run(&workspace, args),
            Self::Bench(args) => bench::run(&workspace, args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expect: impl Fn(&[String]) -> Option<Command<'_>>) {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert_eq!(Command::parse(&args), expect(&args), "cargo xtask {line}");
    }

    #[test]
    fn commands() {
        check("test", |_| Some(Command::Test));
        check("tidy", |_| Some(Command::Tidy));
        check("behaviours", |_| Some(Command::Behaviours));
        check("asan", |_| Some(Command::Asan));
        check("mutants", |_| Some(Command::Mutants(&[])));
        check("mutants sweep dial", |args| {
            Some(Command::Mutants(&args[1..]))
        });
        check("sim --seeds 7..9", |args| Some(Command::Sim(&args[1..])));
        check("bench echo --seconds 3", |args| {
            Some(Command::Bench(&args[1..]))
        });
    }

    #[test]
    fn everything_else_is_usage() {
        for line in [
            "",
            "--help",
            "-h",
            "bench",
            "bench --help",
            "mutants --help",
            "test core",
            "tidy all",
            "asan core",
            "package --help",
            "tests",
        ] {
            check(line, |_| None);
        }
    }
}
