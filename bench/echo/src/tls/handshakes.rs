//! Handshakes a second of the server's CPU, full ones and resumed ones. Knows no server but by name.

use super::Bench;
use super::certificate::Sessions;
use super::client::Batch;
use super::servers::Service;
use crate::measure::{cpu_during, number};
use crate::slices::alternate;

/// Fills `handshakes_per_cpu_second`.
pub fn measure(bench: &mut Bench) {
    fill(bench, "handshakes_per_cpu_second", Sessions::Forgotten);
}

/// Fills `resumed_handshakes_per_cpu_second`.
pub fn measure_resumed(bench: &mut Bench) {
    fill(bench, "resumed_handshakes_per_cpu_second", Sessions::Kept);
}

fn fill(bench: &mut Bench, metric: &str, sessions: Sessions) {
    let mut both = bench.start_both(metric, Service::Echo, |bench, server| {
        let config = bench.certificate.client(sessions)?;
        let batch = Batch::new(server.port, config, sessions == Sessions::Kept);
        batch.warm(2)?;
        Ok((server, batch))
    });
    let (rounds, count) = (bench.sizes.slices, bench.sizes.handshakes);
    let samples = alternate(
        &mut bench.report,
        metric,
        rounds,
        &mut both,
        |(server, batch), round| {
            // Another address each time, so that ports which wait out their TIME_WAIT are not in the way.
            let source = u8::try_from(2 + round % 200).unwrap_or(2);
            let (nanos, ()) = cpu_during(server.pid(), || batch.come_and_go(count, source))?;
            Ok(number(count) / (nanos / 1e9))
        },
    );
    samples.into_report(&mut bench.report, metric);
}
