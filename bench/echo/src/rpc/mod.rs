//! The bench of calls: one object through the protocols of tress, beside Twisted's PB and AMP, jsonrpsee, and redis. Knows no
//! byte of any protocol.

pub mod load;
pub mod participants;
pub mod servers;
pub mod wire;

use crate::args;
use crate::compile;
use crate::measure::cpu_during;
use crate::measure::number;
use crate::report::Report;
use crate::run::{self, Bound, Held, Metric};
use crate::server::{Server, Starter};
use crate::slices::{Samples, alternate};
use load::{IN_FLIGHT, Load};
use participants::Participant;
use std::io;
use std::time::Duration;

/// The row that all are compared with.
pub const BASELINE: &str = "redis";

/// What can be measured.
pub const METRICS: [Metric<Bench>; 1] = [("calls", measure)];

/// What the bounds are about: what a server does that has its core for itself.
const RATE: &str = "calls_per_cpu_second";
const WALL: &str = "calls_per_second";
const TO_TWISTED: &str = "ratio_to_twisted";

/// How often Twisted's rate tress must have, for each protocol that both speak.
const TWISTED: [(&str, &str, f64); 2] = [
    ("tress-amp", "twisted-amp", 30.0),
    ("tress-pb", "twisted-pb", 30.0),
];

/// How much of redis' rate AMP must have.
const REDIS: (&str, f64) = ("tress-amp", 0.5);

/// The longest that a server may take to listen: Twisted's begin by reading a thousand files.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// What every measurement gets.
#[derive(Debug)]
pub struct Bench {
    /// How servers are started.
    pub starter: Starter,
    /// Whoever takes part.
    pub participants: Vec<Participant>,
    /// How much is measured.
    pub sizes: Sizes,
    /// Where the figures go.
    pub report: Report,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Rounds of alternating slices.
    pub slices: usize,
    /// How long calls are made in one slice, milliseconds.
    pub slice_millis: u64,
}

impl Sizes {
    fn new(quick: bool) -> Self {
        let (slices, slice_millis) = if quick { (3, 50) } else { (25, 200) };
        Self {
            slices,
            slice_millis,
        }
    }
}

/// A server, its one connection, and how fast it was by the clock.
struct Driven {
    server: Server,
    load: Load,
    /// Calls a second, by round.
    rates: Vec<(usize, f64)>,
}

/// Runs the bench with the words that follow its name.
///
/// # Errors
/// The words make no sense, nothing can be prepared, the results cannot be written, or a figure does not hold.
pub fn run(words: impl Iterator<Item = String>) -> io::Result<()> {
    let args = args::parse(words, &METRICS.map(|(name, _)| name), &[])?;
    let mut report = Report::new("calls, one connection, 64 in flight, one core", BASELINE);
    let target = compile::target_directory()?;
    let scratch = compile::scratch_directory(&target)?;
    let mut all = Vec::new();
    for name in participants::NAMES {
        match participants::build(name, &target) {
            Ok(participant) => {
                report.row(name);
                all.push(participant);
            }
            Err(error) => report.skip(name, RATE, &error.to_string()),
        }
    }
    let cores = run::take_cores(&mut report);
    run::note(&mut report, "rpc", &args, &cores);
    let sizes = Sizes::new(args.quick);
    note_method(&mut report, &sizes);
    let mut bench = Bench {
        starter: Starter { cores, scratch },
        participants: all,
        sizes,
        report,
    };
    run::measure(&args, &METRICS, &mut bench);
    run::write(&bench.report, "rpc", &args)?;
    held(&bench.report)
}

/// Fills `calls_per_cpu_second`, `ratio_to_twisted` and `calls_per_second`.
fn measure(bench: &mut Bench) {
    let mut driven = Vec::new();
    for participant in &bench.participants {
        let name = participant.peer.name;
        match drive(&bench.starter, participant) {
            Ok(one) => driven.push((name.to_owned(), one)),
            Err(error) => bench.report.skip(name, RATE, &error.to_string()),
        }
    }
    let Sizes {
        slices,
        slice_millis,
    } = bench.sizes;
    let slice = Duration::from_millis(slice_millis);
    let samples = alternate(
        &mut bench.report,
        RATE,
        slices,
        &mut driven,
        |one, round| one.slice(slice, round),
    );
    ratios_to_twisted(&samples, &mut bench.report);
    samples.into_report(&mut bench.report, RATE);
    let mut by_the_clock = Samples::default();
    for (who, one) in &driven {
        for (round, rate) in &one.rates {
            by_the_clock.note(who, *round, Some(*rate));
        }
    }
    by_the_clock.into_report(&mut bench.report, WALL);
}

fn drive(starter: &Starter, participant: &Participant) -> io::Result<Driven> {
    let server = starter.start_under(&participant.peer, &[], START_PATIENCE)?;
    let mut load = Load::open(server.port, participant.wire)?;
    load.run(Duration::from_millis(50))?;
    Ok(Driven {
        server,
        load,
        rates: Vec::new(),
    })
}

impl Driven {
    /// Calls a second of the server's time on its core.
    fn slice(&mut self, length: Duration, round: usize) -> io::Result<f64> {
        let load = &mut self.load;
        let (nanos, (calls, took)) = cpu_during(self.server.pid(), || load.run(length))?;
        let rate = number(calls) / took.as_secs_f64();
        self.rates.push((round, rate));
        Ok(number(calls) / (nanos / 1e9))
    }
}

fn ratios_to_twisted(samples: &Samples, report: &mut Report) {
    for (who, twisted, _) in TWISTED {
        if let Some(ratio) = samples.ratio(who, twisted) {
            // The rate comes first in the table.
            report.set(who, RATE, samples.median(who).unwrap_or(f64::NAN));
            report.set(who, TO_TWISTED, ratio);
        }
    }
}

/// Fails when a figure does not hold.
fn held(report: &Report) -> io::Result<()> {
    let (who, least) = REDIS;
    let redis = (
        format!("{RATE} of {who} to that of {BASELINE}"),
        report.ratio(who, RATE),
        Bound::AtLeast(least),
    );
    let twisted = TWISTED.map(|(who, twisted, least)| {
        let name = format!("{RATE} of {who} to that of {twisted}");
        (name, report.value(who, TO_TWISTED), Bound::AtLeast(least))
    });
    let figures: Vec<Held> = twisted.into_iter().chain([redis]).collect();
    run::held(&figures)
}

fn note_method(report: &mut Report, sizes: &Sizes) {
    report.note("slices", sizes.slices);
    report.note("milliseconds_per_slice", sizes.slice_millis);
    report.note("calls_in_flight", IN_FLIGHT);
    report.note(
        "method",
        "the servers run at the same time, on one core, and are driven in alternating slices of rotating order by one \
         client on another core, each over one connection; the client knows no protocol: it sends requests that were \
         written before, as many as answers came, and counts bytes of answers, whose length it has learnt; values are \
         medians, *_to_redis and ratio_to_twisted medians of the ratios within each round; calls_per_cpu_second are those \
         a second of the server's time on its core, ratio_to_twisted compares these; calls_per_second are by the clock, \
         and on a machine that does other work they say more about that than about the servers",
    );
    report.note(
        "calls",
        "`quote()`, which takes nothing and returns the same 37 bytes each time; redis answers PING",
    );
    report.note(
        "tress",
        "an object made with #[interface], whose method is an async fn, through each protocol as files and programs serve it",
    );
    report.note(
        "twisted",
        "the same method as an amp.Command's responder and as remote_quote of a pb.Root, on Twisted's default reactor (epoll)",
    );
    report.note(
        "jsonrpsee",
        "its server with one method, on a current-thread runtime of tokio: JSON-RPC over HTTP/1.1 with pipelining, the same \
         requests as for tress-http-jsonrpc but for the path",
    );
    report.note(
        "redis",
        "redis-server without persistence; PING as an array of one string, as clients send it",
    );
}

#[cfg(test)]
mod tests;
