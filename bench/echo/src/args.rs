//! The command line of `tress-bench echo`, and the sizes that follow from it.

use lexopt::prelude::*;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What is printed when the command line makes no sense.
pub const USAGE: &str =
    "usage: tress-bench echo [--quick] [--only METRIC,...] [--peers NAME,...] [--out DIR]
  METRIC: cpu many syscalls instructions memory accept latency start
  NAME:   tress tress-uring bare tokio libuv twisted
  --quick  fewer slices and messages: to see that it works, not to quote
  --out    directory of echo.json and echo.svg instead of bench/results";

/// What can be measured; each is one module of [`crate::measure`].
pub const METRICS: [&str; 8] = [
    "cpu",
    "many",
    "syscalls",
    "instructions",
    "memory",
    "accept",
    "latency",
    "start",
];

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Rounds of alternating slices.
    pub slices: usize,
    /// How long one slice drives one server.
    pub slice: Duration,
    /// Connections of the large instance in `many`.
    pub many: usize,
    /// Messages counted under strace, with one connection and with 20.
    pub syscall_messages: (usize, usize),
    /// Messages of the short and of the long run under callgrind.
    pub instruction_messages: (usize, usize),
    /// Idle connections held open.
    pub idle: usize,
    /// Connections per slice of the accept rate.
    pub accepts: usize,
    /// Length and number of the open-loop slices.
    pub latency: (Duration, usize),
    /// Starts per server.
    pub starts: usize,
}

/// The parsed command line.
#[derive(Debug, Clone)]
pub struct Args {
    /// Small sizes, for trying.
    pub quick: bool,
    /// Metrics to measure; empty means all.
    pub only: Vec<String>,
    /// Peers to measure; empty means all.
    pub peers: Vec<String>,
    /// Where the results go.
    pub out: Option<PathBuf>,
    /// The words as given, for the note in the results.
    pub words: Vec<String>,
}

impl Args {
    /// Whether this metric was asked for.
    #[must_use]
    pub fn wants(&self, metric: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == metric)
    }

    /// The sizes that go with `--quick` or without it.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        if self.quick {
            return Sizes {
                slices: 5,
                slice: Duration::from_millis(100),
                many: 19_000,
                syscall_messages: (500, 4_000),
                instruction_messages: (1_000, 4_000),
                idle: 2_000,
                accepts: 500,
                latency: (Duration::from_millis(500), 3),
                starts: 5,
            };
        }
        Sizes {
            slices: 30,
            slice: Duration::from_millis(250),
            many: 19_000,
            syscall_messages: (4_000, 20_000),
            instruction_messages: (2_000, 12_000),
            idle: 8_000,
            accepts: 2_000,
            latency: (Duration::from_secs(3), 3),
            starts: 15,
        }
    }
}

/// Reads the words after `echo`.
///
/// # Errors
/// A flag, metric or peer that does not exist.
pub fn parse(words: impl Iterator<Item = String>) -> io::Result<Args> {
    let words: Vec<String> = words.collect();
    let wrong = |error: lexopt::Error| io::Error::other(format!("{error}\n{USAGE}"));
    let mut args = Args {
        quick: false,
        only: Vec::new(),
        peers: Vec::new(),
        out: None,
        words: words.clone(),
    };
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(word) = parser.next().map_err(wrong)? {
        match word {
            Long("quick") => args.quick = true,
            Long("only") => args.only = list(&mut parser, &METRICS).map_err(wrong)?,
            Long("peers") => args.peers = list(&mut parser, &crate::peers::NAMES).map_err(wrong)?,
            Long("out") => args.out = Some(PathBuf::from(parser.value().map_err(wrong)?)),
            other => return Err(wrong(other.unexpected())),
        }
    }
    Ok(args)
}

fn list(parser: &mut lexopt::Parser, known: &[&str]) -> Result<Vec<String>, lexopt::Error> {
    let value = parser.value()?.string()?;
    let names: Vec<String> = value.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("unknown name `{name}`; known are {}", known.join(" ")).into()),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> io::Result<Args> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn nothing_asks_for_everything() {
        let args = parsed("").unwrap();
        assert!(METRICS.iter().all(|metric| args.wants(metric)));
        assert!(!args.quick && args.peers.is_empty());
    }

    #[test]
    fn lists_are_split_and_checked() {
        let args = parsed("--quick --only cpu,start --peers=bare,libuv").unwrap();
        assert!(args.quick && args.wants("cpu") && args.wants("start") && !args.wants("memory"));
        assert_eq!(args.peers, ["bare", "libuv"]);
        assert!(
            parsed("--only cpu,nonsense")
                .unwrap_err()
                .to_string()
                .contains("`nonsense`")
        );
        assert!(parsed("--peers nginx").is_err());
        assert!(parsed("--frobnicate").is_err());
    }
}
