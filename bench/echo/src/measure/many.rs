//! Whether a message costs more when 19,000 connections are open than when 1,000 are.
//!
//! Two instances of the server, driven alternately; 64 messages in flight over all connections, each sent on
//! the next connection of a fixed walk, so that memory which was touched last is not what is needed next.

use super::{Bench, Driven, cpu_during, drive, number};
use crate::peers::Peer;
use crate::slices::{Samples, alternate};
use std::io;

const FEW: usize = 1_000;
const IN_FLIGHT: usize = 64;

/// Descriptors of the client that are not connections.
const SPARE: usize = 64;

const FEW_METRIC: &str = "cpu_us_per_message_1000_connections";
const MANY_METRIC: &str = "cpu_us_per_message_19000_connections";
const RATIO_METRIC: &str = "ratio_19000_to_1000";

/// Fills the three columns, peer after peer: the client's descriptors do not suffice for all at once.
pub fn measure(bench: &mut Bench) {
    let limit = usize::try_from(bench.descriptors).unwrap_or(usize::MAX);
    let many = bench.sizes.many.min(limit.saturating_sub(FEW + SPARE));
    if many < bench.sizes.many {
        let wanted = bench.sizes.many;
        println!("many: only {many} connections instead of {wanted}: no more than {limit} descriptors are allowed");
        bench.report.note("connections_instead_of_19000", many);
    }
    for peer in bench.peers.clone().iter().filter(|peer| peer.is_native()) {
        match both(bench, peer, many) {
            Ok(mut pair) => measure_pair(bench, peer.name, &mut pair),
            Err(error) => bench.report.skip(peer.name, "many", &error.to_string()),
        }
    }
}

fn both(bench: &Bench, peer: &Peer, many: usize) -> io::Result<Vec<(String, Driven)>> {
    let few = drive(&bench.starter, peer, FEW)?;
    let many = drive(&bench.starter, peer, many)?;
    Ok(vec![("few".into(), few), ("many".into(), many)])
}

fn measure_pair(bench: &mut Bench, who: &str, pair: &mut Vec<(String, Driven)>) {
    let (rounds, length) = (bench.sizes.slices, bench.sizes.slice);
    let samples: Samples = alternate(&mut bench.report, &format!("many ({who})"), rounds, pair, |driven, _| {
        let pid = driven.server.pid();
        let (nanos, messages) = cpu_during(pid, || driven.client.walk(IN_FLIGHT, length))?;
        Ok(nanos / 1000.0 / number(messages))
    });
    let figures = [
        (FEW_METRIC, samples.median("few")),
        (MANY_METRIC, samples.median("many")),
        (RATIO_METRIC, samples.ratio("many", "few")),
    ];
    for (metric, value) in figures {
        if let Some(value) = value {
            bench.report.set(who, metric, value);
        }
    }
}
