//! The echo bench: builds the peers, measures what was asked for, and writes the report.

use crate::args::{self, Args};
use crate::compile;
use crate::machine::{self, Cores};
use crate::measure::{self, Bench, application, sizes::Sizes};
use crate::peers::{self, BASELINE, NAMES, Peer};
use crate::proc::has_ring;
use crate::report::Report;
use crate::run::{self, Bound, Held, Metric};
use crate::server::Starter;
use std::io;
use std::path::Path;

/// Enough for 19,000 connections, on either side.
const DESCRIPTORS: u64 = 24_000;

/// What can be measured, in this order.
pub const METRICS: [Metric<Bench>; 8] = [
    ("cpu", measure::cpu::measure),
    ("many", measure::many::measure),
    ("syscalls", measure::syscalls::measure),
    ("instructions", measure::instructions::measure),
    ("memory", measure::memory::measure),
    ("accept", measure::accept::measure),
    ("latency", measure::latency::measure),
    ("start", measure::start::measure),
];

/// What tress must hold whatever the machine: counts and sizes, no timings.
const HELD: [(&str, f64); 3] = [
    ("instructions_per_message_20", 345.0),
    ("resident_bytes_per_idle_connection", 384.0),
    ("idle_resident_bytes", 8.0 * 1024.0 * 1024.0),
];

/// What `tress run` of the example's finger application must hold.
const HELD_BY_THE_APPLICATION: [(&str, f64); 2] = [
    ("start_to_listening_ms", 20.0),
    ("idle_resident_bytes", 8.0 * 1024.0 * 1024.0),
];

/// What a message may cost in processor time on another loop, to what it costs on the reactor's own on mio: the name, which
/// loop, at which load of [`measure::cpu`], and at most how much.
pub(crate) const HELD_TO_MIO: [(&str, &str, &str, f64); 7] = [
    (
        "uring_to_mio_500_connections",
        "tress-uring",
        "500_connections",
        1.05,
    ),
    ("hosted_to_alone_1", "tress-in-tokio", "1", 1.25),
    ("hosted_to_alone_16", "tress-in-tokio", "16", 1.25),
    (
        "hosted_to_alone_500_connections",
        "tress-in-tokio",
        "500_connections",
        1.25,
    ),
    ("two_workers_to_one_1", "tress-2-workers", "1", 1.11),
    ("two_workers_to_one_16", "tress-2-workers", "16", 1.11),
    (
        "two_workers_to_one_500_connections",
        "tress-2-workers",
        "500_connections",
        1.11,
    ),
];

/// Runs the bench with the words that follow its name.
///
/// # Errors
/// The words make no sense, nothing can be measured, the results cannot be written, or a figure does not hold.
pub fn run(words: impl Iterator<Item = String>) -> io::Result<()> {
    let args = args::parse(words, &METRICS.map(|(name, _)| name), &NAMES)?;
    let mut report = Report::new("Echo of 64-byte messages, one core", BASELINE);
    let descriptors = machine::raise_descriptor_limit(DESCRIPTORS);
    let target = compile::target_directory()?;
    let scratch = compile::scratch_directory(&target)?;
    // Built before this process is pinned: builds may have every core.
    let built = build(&args, &target, &mut report);
    let application = args.wants("start").then(|| application::build(&target));
    let application = application.transpose().unwrap_or_else(|error| {
        report.skip(application::NAME, "start", &error.to_string());
        None
    });
    let cores = run::take_cores(&mut report);
    let starter = Starter { cores, scratch };
    let peers = probe(built, &starter, &mut report);
    if peers.is_empty() {
        return Err(io::Error::other("no server can be started"));
    }
    write_note(&args, &cores, descriptors, &mut report);
    let mut bench = Bench {
        peers,
        application,
        starter,
        sizes: Sizes::new(args.quick),
        descriptors,
        report,
    };
    run::measure(&args, &METRICS, &mut bench);
    run::write(&bench.report, "echo", &args)?;
    let report = &bench.report;
    let mut held: Vec<Held> = Vec::new();
    for (metric, most) in HELD {
        held.push((
            metric.to_owned(),
            report.value("tress", metric),
            Bound::AtMost(most),
        ));
    }
    for (metric, most) in HELD_BY_THE_APPLICATION {
        let value = report.value(application::NAME, metric);
        let name = format!("{} {metric}", application::NAME);
        held.push((name, value, Bound::AtMost(most)));
    }
    for (name, peer, load, most) in HELD_TO_MIO {
        let ratio = report.value(peer, &measure::cpu::to_tress(load));
        held.push((name.to_owned(), ratio, Bound::AtMost(most)));
    }
    run::held(&held)
}

/// Builds the peers; those that fail are named with the reason.
fn build(args: &Args, target: &Path, report: &mut Report) -> Vec<Peer> {
    let wanted = |name: &&str| args.peers.is_empty() || args.peers.iter().any(|peer| peer == name);
    let mut built = Vec::new();
    for name in NAMES.into_iter().filter(wanted) {
        match peers::build(name, target) {
            Ok(peer) => built.push(peer),
            Err(error) => report.skip(name, "everything", &error.to_string()),
        }
    }
    built
}

/// Starts each peer once and has it answer one message; those that fail are named with the reason.
fn probe(built: Vec<Peer>, starter: &Starter, report: &mut Report) -> Vec<Peer> {
    let mut peers = Vec::new();
    for peer in built {
        match try_out(starter, &peer) {
            Ok(()) => {
                report.row(peer.name);
                peers.push(peer);
            }
            Err(error) => report.skip(peer.name, "everything", &error.to_string()),
        }
    }
    peers
}

fn try_out(starter: &Starter, peer: &Peer) -> io::Result<()> {
    let driven = measure::drive(starter, peer, 1)?;
    if peer.name == "tress-uring" && !has_ring(driven.server.pid())? {
        return Err(io::Error::other(
            "it runs without an io_uring: the flag is not heeded",
        ));
    }
    Ok(())
}

fn write_note(args: &Args, cores: &Cores, descriptors: u64, report: &mut Report) {
    let sizes = Sizes::new(args.quick);
    run::note(report, "echo", args, cores);
    report.note("slices", sizes.slices);
    report.note("slice_seconds", sizes.slice.as_secs_f64());
    report.note("descriptor_limit", descriptors);
    report.note(
        "method",
        "all peers run at the same time and are driven in alternating slices of rotating order; values are medians, \
         *_to_bare of sliced metrics, and ratio_to_tress_*, the median of the ratios within each round; CPU is the servers' time on a core",
    );
    report.note(
        "kernel_bytes",
        "slab growth of the whole machine; both ends of every connection are on it",
    );
    report.note(
        "many",
        "64 messages in flight over all connections, sent along a fixed walk; peer after peer",
    );
    report.note("latency", "from the intended send time, at half of messages_per_second_1000_connections of the same peer");
}
