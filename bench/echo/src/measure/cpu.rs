//! CPU per message: 50 connections, 64-byte messages, 1 and 16 in flight on each.

use super::{Bench, cpu_during, number};
use crate::slices::alternate;

const CONNECTIONS: usize = 50;

/// Fills `cpu_us_per_message_1` and `cpu_us_per_message_16`.
pub fn measure(bench: &mut Bench) {
    let mut all = bench.start_all("cpu_us_per_message", CONNECTIONS);
    for depth in [1, 16] {
        let metric = format!("cpu_us_per_message_{depth}");
        let length = bench.sizes.slice;
        let rounds = bench.sizes.slices;
        let samples = alternate(&mut bench.report, &metric, rounds, &mut all, |driven, _| {
            let pid = driven.server.pid();
            let (nanos, messages) =
                cpu_during(pid, || driven.client.keep_in_flight(depth, length))?;
            Ok(nanos / 1000.0 / number(messages))
        });
        samples.into_report(&mut bench.report, &metric);
    }
}
