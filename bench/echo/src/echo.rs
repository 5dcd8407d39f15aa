//! The echo bench: builds the peers, measures what was asked for, and writes the report.

use crate::args::Args;
use crate::machine::{self, Cores};
use crate::measure::{self, Bench};
use crate::peers::{self, BASELINE, NAMES, Peer};
use crate::proc::has_ring;
use crate::report::Report;
use crate::server::Starter;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Enough for 19,000 connections, on either side.
const DESCRIPTORS: u64 = 24_000;

/// Runs the bench.
///
/// # Errors
/// Nothing can be measured, or the results cannot be written.
pub fn run(args: &Args) -> io::Result<()> {
    let mut report = Report::new("Echo of 64-byte messages, one core", BASELINE);
    let descriptors = machine::raise_descriptor_limit(DESCRIPTORS);
    let target = peers::target_directory()?;
    let scratch = target.join("bench-peers");
    std::fs::create_dir_all(&scratch)?;
    // Built before this process is pinned: builds may have every core.
    let built = build(args, &target, &mut report);
    let cores = Cores::take().unwrap_or_else(|reason| {
        report.skip("all", "pinning", &reason);
        Cores::unpinned()
    });
    let starter = Starter { cores, scratch };
    let peers = probe(built, &starter, &mut report);
    if peers.is_empty() {
        return Err(io::Error::other("no server can be started"));
    }
    write_note(args, &cores, descriptors, &mut report);
    let mut bench = Bench {
        peers,
        starter,
        sizes: args.sizes(),
        descriptors,
        report,
    };
    measure_all(args, &mut bench);
    let directory = args.out.clone().unwrap_or_else(results);
    bench.report.write(&directory, "echo")?;
    println!("\n{}", bench.report.table());
    println!("written: {}", directory.join("echo.{json,svg}").display());
    held(&bench.report)
}

/// What tress must hold whatever the machine: counts and sizes, no timings.
const HELD: &[(&str, f64)] = &[
    ("instructions_per_message_20", 345.0),
    ("resident_bytes_per_idle_connection", 384.0),
    ("idle_resident_bytes", 8.0 * 1024.0 * 1024.0),
];

/// Fails when a figure of tress is above what it must hold.
fn held(report: &Report) -> io::Result<()> {
    let measured = HELD
        .iter()
        .filter_map(|(metric, most)| Some((metric, most, report.value("tress", metric)?)));
    let over: Vec<String> = measured
        .filter(|(_, most, value)| value > most)
        .map(|(metric, most, value)| format!("{metric} is {value}, must be at most {most}"))
        .collect();
    if over.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(over.join("; ")))
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

type Measure = fn(&mut Bench);

fn measure_all(args: &Args, bench: &mut Bench) {
    let all: [(&str, Measure); 8] = [
        ("cpu", measure::cpu::measure),
        ("many", measure::many::measure),
        ("syscalls", measure::syscalls::measure),
        ("instructions", measure::instructions::measure),
        ("memory", measure::memory::measure),
        ("accept", measure::accept::measure),
        ("latency", measure::latency::measure),
        ("start", measure::start::measure),
    ];
    for (name, measure) in all.into_iter().filter(|(name, _)| args.wants(name)) {
        println!("measuring {name} …");
        let began = Instant::now();
        measure(bench);
        println!("measured {name} in {:.1} s", began.elapsed().as_secs_f64());
        // Whatever was just killed is gone before the next begins.
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn write_note(args: &Args, cores: &Cores, descriptors: u64, report: &mut Report) {
    let sizes = args.sizes();
    let mut command = vec!["tress-bench echo"];
    command.extend(args.words.iter().map(String::as_str));
    report.note("date", machine::today());
    report.note("kernel", machine::kernel());
    report.note("processor", machine::processor());
    report.note("command", command.join(" "));
    report.note("quick", args.quick);
    report.note("slices", sizes.slices);
    report.note("slice_seconds", sizes.slice.as_secs_f64());
    report.note("pinning", cores.describe());
    report.note("descriptor_limit", descriptors);
    report.note(
        "method",
        "all peers run at the same time and are driven in alternating slices of rotating order; values are medians, \
         *_to_bare of sliced metrics the median of the ratios within each round; CPU is the servers' time on a core",
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

/// `bench/results`: beside this package when cargo runs it, else below the current directory.
fn results() -> PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) {
        Some(package) if package.ends_with("bench/echo") => package.with_file_name("results"),
        _ => PathBuf::from("bench/results"),
    }
}
