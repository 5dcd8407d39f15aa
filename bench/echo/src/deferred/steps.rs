//! Steps a second: links of chains that fire, and awaits of tasks. Knows no chain but by name.

use super::{BOXED, Bench, SHARED, TRESS, TWISTED, chains};
use crate::compile;
use crate::lines::{self, Asker};
use crate::measure::cpu_during;
use crate::slices::alternate;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};
use tress::testing::memory::Table;

/// Chains between two looks at the clock.
const BATCH: usize = 1_000;

/// Fills `steps_per_second`.
pub fn measure(bench: &mut Bench) {
    let commands = [
        (TRESS, own("tress")),
        (BOXED, own("boxed")),
        (SHARED, own("shared")),
        (TWISTED, twisted(bench, "steps")),
    ];
    fill(bench, "steps_per_second", commands);
}

/// Fills `steps_per_second_awaited`.
pub fn measure_awaited(bench: &mut Bench) {
    let commands = [
        (TRESS, own("awaited")),
        (TWISTED, twisted(bench, "awaited")),
    ];
    fill(bench, "steps_per_second_awaited", commands);
}

fn own(kind: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["steps", kind]);
    Ok(command)
}

fn twisted(bench: &Bench, kind: &str) -> io::Result<Command> {
    let source = include_str!("../../peers/twisted_deferred.py");
    let (python, script) = compile::python(&bench.target, "twisted_deferred.py", source)?;
    let mut command = Command::new(python);
    command.arg(script).arg(kind);
    Ok(command)
}

fn fill<const PEERS: usize>(
    bench: &mut Bench,
    metric: &str,
    commands: [(&str, io::Result<Command>); PEERS],
) {
    let mut peers = Vec::new();
    for (who, command) in commands {
        bench.report.row(who);
        if let Some(asker) = bench.start(who, metric, command) {
            peers.push((who.to_owned(), asker));
        }
    }
    let (rounds, length) = (bench.sizes.slices, bench.sizes.slice);
    let samples = alternate(&mut bench.report, metric, rounds, &mut peers, |peer, _| {
        steps_per_second(peer, length)
    });
    samples.into_report(&mut bench.report, metric);
}

/// Of the processor's time: a peer that waits for its core makes no steps.
fn steps_per_second(peer: &mut Asker, length: Duration) -> io::Result<f64> {
    let question = length.as_millis().to_string();
    let (nanos, steps) = cpu_during(peer.pid(), || peer.ask_number(&question))?;
    Ok(steps as f64 / (nanos / 1e9))
}

/// `tress-bench steps KIND`: for every line, a number of milliseconds, it makes steps for so long and answers how many.
///
/// # Errors
/// There is no such kind, or nobody listens to the answers.
pub fn serve(kind: Option<&str>) -> io::Result<()> {
    let table = Table::new();
    match kind {
        Some("tress") => serve_batches(|| {
            for value in 0..BATCH as u64 {
                let (resolver, end) = chains::links_of_tress();
                let _ = chains::fire_tress(resolver, end, value);
            }
            BATCH * chains::LINKS
        }),
        Some("shared") => serve_batches(|| {
            for value in 0..BATCH as u64 {
                let _ = chains::fire_shared_boxes(chains::links_in_shared_boxes(), value);
            }
            BATCH * chains::LINKS
        }),
        Some("boxed") => serve_batches(|| {
            for value in 0..BATCH as u64 {
                let _ = chains::fire_boxes(chains::links_in_boxes(), value);
            }
            BATCH * chains::LINKS
        }),
        Some("awaited") => serve_batches(|| chains::await_all(&table)),
        _ => Err(io::Error::other("steps tress|boxed|shared|awaited")),
    }
}

fn serve_batches(mut batch: impl FnMut() -> usize) -> io::Result<()> {
    lines::serve(|milliseconds| {
        let length = milliseconds.parse().map_err(io::Error::other)?;
        let length = Duration::from_millis(length);
        let began = Instant::now();
        let mut steps = 0;
        loop {
            steps += batch();
            if began.elapsed() >= length {
                return Ok(steps.to_string());
            }
        }
    })
}
