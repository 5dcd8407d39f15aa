//! Latency at half load: the rate is half of what the same server just reached with the same connections.

use super::{Bench, Driven, number};
use crate::open_loop;
use crate::slices::{Samples, alternate};
use crate::stats::percentile;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 1_000;

/// Fills `p50_us_at_half_load` and `p999_us_at_half_load`, and the throughput that the load is half of.
pub fn measure(bench: &mut Bench) {
    let all = bench.start_all("latency", CONNECTIONS);
    let mut loaded: Vec<(String, (Driven, f64))> = Vec::new();
    for (who, mut driven) in all {
        match throughput(&mut driven, bench.sizes.slice * 4) {
            Ok(per_second) => {
                bench.report.set(&who, "messages_per_second_1000_connections", per_second);
                loaded.push((who, (driven, per_second / 2.0)));
            }
            Err(error) => bench.report.skip(&who, "latency", &error.to_string()),
        }
    }
    let (length, rounds) = bench.sizes.latency;
    let names: Vec<String> = loaded.iter().map(|(who, _)| who.clone()).collect();
    let mut halves: Vec<(usize, f64)> = Vec::new();
    let mut middle = Samples::default();
    let tail = alternate(&mut bench.report, "latency", rounds, &mut loaded, |(driven, rate), round| {
        let mut nanos = open_loop::run(&mut driven.client, *rate, length)?;
        let micros = |nanos: Option<u64>| nanos.map_or(f64::NAN, |nanos| Duration::from_nanos(nanos).as_secs_f64() * 1e6);
        halves.push((round, micros(percentile(&mut nanos, 500))));
        Ok(micros(percentile(&mut nanos, 999)))
    });
    let _ = (&names, &mut halves, &mut middle);
    tail.into_report(&mut bench.report, "p999_us_at_half_load");
}

/// Messages a second with one in flight on every connection.
fn throughput(driven: &mut Driven, length: Duration) -> std::io::Result<f64> {
    let began = Instant::now();
    let messages = driven.client.keep_in_flight(1, length)?;
    Ok(number(messages) / began.elapsed().as_secs_f64())
}
