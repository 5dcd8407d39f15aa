//! How many connections a second of CPU accepts, answers once and closes.

use super::{Bench, cpu_during, number};
use crate::churn;
use crate::slices::alternate;

const METRIC: &str = "accepts_per_cpu_second";

/// Fills `accepts_per_cpu_second`.
pub fn measure(bench: &mut Bench) {
    let mut all = bench.start_all(METRIC, 1);
    let (rounds, count) = (bench.sizes.slices, bench.sizes.accepts);
    let samples = alternate(
        &mut bench.report,
        METRIC,
        rounds,
        &mut all,
        |driven, round| {
            let source = u8::try_from(2 + round % 200).unwrap_or(2);
            let (nanos, ()) = cpu_during(driven.server.pid(), || {
                churn::run(driven.server.port, count, source)
            })?;
            Ok(number(count) / (nanos / 1e9))
        },
    );
    samples.into_report(&mut bench.report, METRIC);
}
