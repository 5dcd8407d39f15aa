//! The command line of `tress-bench`: flags that all benches share. Knows of no bench more than the usage says.

use lexopt::prelude::*;
use std::io;
use std::path::PathBuf;

/// What is printed when the command line makes no sense.
pub const USAGE: &str = "\
usage: tress-bench echo     [--quick] [--only METRIC,...] [--out DIR] [--peers NAME,...]
       tress-bench deferred [--quick] [--only METRIC,...] [--out DIR]
       tress-bench rpc      [--quick] [--only METRIC,...] [--out DIR]
       tress-bench tls      [--quick] [--only METRIC,...] [--out DIR]
  METRIC of echo:     cpu many syscalls instructions memory accept latency start
  METRIC of deferred: steps allocations awaited timers
  METRIC of rpc:      calls
  METRIC of tls:      handshakes resumed messages received sent memory
  NAME:               tress tress-2-workers tress-uring tress-in-tokio bare tokio libuv twisted
  --quick  fewer and shorter rounds: to see that it works, not to quote
  --out    directory of the JSON and the SVG named as the bench, instead of bench/results";

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
}

/// Reads the words after the bench's name, for a bench with these metrics; without peers to choose there is no flag.
///
/// # Errors
/// A flag, metric or peer that does not exist.
pub fn parse(
    words: impl Iterator<Item = String>,
    metrics: &[&str],
    peers: &[&str],
) -> io::Result<Args> {
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
            Long("only") => args.only = list(&mut parser, metrics).map_err(wrong)?,
            Long("peers") if !peers.is_empty() => {
                args.peers = list(&mut parser, peers).map_err(wrong)?;
            }
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

    const METRICS: [&str; 3] = ["cpu", "start", "memory"];

    fn parsed(line: &str) -> io::Result<Args> {
        let words = line.split_whitespace().map(str::to_owned);
        parse(words, &METRICS, &["bare", "libuv"])
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

    #[test]
    fn a_bench_without_peers_to_choose_has_no_such_flag() {
        let words = ["--peers", "bare"].map(str::to_owned).into_iter();
        let error = parse(words, &METRICS, &[]).unwrap_err().to_string();
        assert!(error.contains("'--peers'"), "{error}");
    }

    #[test]
    fn the_usage_names_every_metric_and_peer() {
        let lists = [
            (
                "METRIC of echo:",
                crate::echo::METRICS.map(|(name, _)| name).to_vec(),
            ),
            (
                "METRIC of deferred:",
                crate::deferred::METRICS.map(|(name, _)| name).to_vec(),
            ),
            (
                "METRIC of rpc:",
                crate::rpc::METRICS.map(|(name, _)| name).to_vec(),
            ),
            (
                "METRIC of tls:",
                crate::tls::METRICS.map(|(name, _)| name).to_vec(),
            ),
            ("NAME:", crate::peers::NAMES.to_vec()),
        ];
        for (heading, mut names) in lists {
            let line = USAGE
                .lines()
                .find_map(|line| line.trim().strip_prefix(heading));
            let mut said: Vec<&str> = line.unwrap().split_whitespace().collect();
            said.sort_unstable();
            names.sort_unstable();
            assert_eq!(said, names, "{heading}");
        }
    }
}
