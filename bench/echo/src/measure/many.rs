//! Whether a message costs more when 19,000 connections are open than when 1,000 are.
//!
//! Two instances of the server, driven alternately; 64 messages in flight over all connections, each sent on
//! the next connection of a fixed walk, so that memory which was touched last is not what is needed next.

use super::{Bench, cpu_during, number};
use crate::peers::Peer;
use crate::server::Server;
use crate::slices::alternate;
use crate::walker::Walker;
use std::io;

const FEW: usize = 1_000;

/// Descriptors of a process that are not connections.
const SPARE: usize = 64;

struct Walked {
    server: Server,
    walker: Walker,
}

/// Fills `cpu_us_per_message_1000_connections`, `cpu_us_per_message_19000_connections` and
/// `ratio_19000_to_1000`, peer after peer. Where fewer descriptors are allowed, the names say how many it were.
pub fn measure(bench: &mut Bench) {
    let limit = usize::try_from(bench.descriptors).unwrap_or(usize::MAX);
    let wanted = bench.sizes.many;
    let many = wanted.min(limit.saturating_sub(SPARE));
    if many < wanted {
        println!(
            "many: only {many} connections instead of {wanted}: no more than {limit} descriptors are allowed"
        );
    }
    for peer in bench.peers.clone().iter().filter(|peer| peer.is_native()) {
        match both(bench, peer, many) {
            Ok(mut pair) => measure_pair(bench, peer.name, &mut pair, many),
            Err(error) => bench.report.skip(peer.name, "many", &error.to_string()),
        }
    }
}

fn both(bench: &Bench, peer: &Peer, many: usize) -> io::Result<Vec<(String, Walked)>> {
    let open = |count: usize| {
        let server = bench.starter.start(peer)?;
        let walker = Walker::open(server.port, count)?;
        io::Result::Ok(Walked { server, walker })
    };
    Ok(vec![
        ("few".into(), open(FEW)?),
        ("many".into(), open(many)?),
    ])
}

fn measure_pair(bench: &mut Bench, who: &str, pair: &mut Vec<(String, Walked)>, many: usize) {
    let (rounds, length) = (bench.sizes.slices, bench.sizes.slice);
    let metric = format!("many ({who})");
    let samples = alternate(&mut bench.report, &metric, rounds, pair, |walked, _| {
        let pid = walked.server.pid();
        let (nanos, messages) = cpu_during(pid, || walked.walker.walk(length))?;
        Ok(nanos / 1000.0 / number(messages))
    });
    let figures = [
        (
            format!("cpu_us_per_message_{FEW}_connections"),
            samples.median("few"),
        ),
        (
            format!("cpu_us_per_message_{many}_connections"),
            samples.median("many"),
        ),
        (
            format!("ratio_{many}_to_{FEW}"),
            samples.ratio("many", "few"),
        ),
    ];
    for (metric, value) in figures {
        if let Some(value) = value {
            bench.report.set(who, &metric, value);
        }
    }
}
