//! Latency at half load: the rate is half of what the same server reached with the same connections just before.

use super::{Bench, Driven, number};
use crate::open_loop;
use crate::slices::{Samples, alternate};
use crate::stats::percentile;
use std::io;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 1_000;

/// Above this the client's own lateness is said aloud.
const LATE_US: f64 = 200.0;

struct Loaded {
    who: String,
    driven: Driven,
}

/// Fills `p50_us_at_half_load`, `p999_us_at_half_load` and `messages_per_second_1000_connections`,
/// which the load is half of.
pub fn measure(bench: &mut Bench) {
    let all = bench.start_all("latency", CONNECTIONS).into_iter();
    let mut loaded: Vec<_> = all
        .map(|(who, driven)| (who.clone(), Loaded { who, driven }))
        .collect();
    let (length, rounds) = bench.sizes.latency;
    let closed_loop = bench.sizes.slice * 4;
    let (mut most, mut middle, mut late) =
        (Samples::default(), Samples::default(), Samples::default());
    let tail = alternate(
        &mut bench.report,
        "latency",
        rounds,
        &mut loaded,
        |loaded, round| {
            let per_second = throughput(&mut loaded.driven, closed_loop)?;
            let mut timings = open_loop::run(&mut loaded.driven.client, per_second / 2.0, length)?;
            most.note(&loaded.who, round, Some(per_second));
            late.note(
                &loaded.who,
                round,
                percentile(&mut timings.lateness, 999).map(micros),
            );
            middle.note(
                &loaded.who,
                round,
                percentile(&mut timings.latencies, 500).map(micros),
            );
            let tail = percentile(&mut timings.latencies, 999).map(micros);
            tail.ok_or_else(|| io::Error::other("nothing was sent"))
        },
    );
    // A peer that failed in a later round has no tail; its other figures are not to be quoted either.
    loaded
        .iter()
        .for_each(|(who, _)| say_if_late(bench, who, &late));
    let quotable = |who: &str| loaded.iter().any(|(name, _)| name == who);
    most.only(quotable)
        .into_report(&mut bench.report, "messages_per_second_1000_connections");
    middle
        .only(quotable)
        .into_report(&mut bench.report, "p50_us_at_half_load");
    tail.into_report(&mut bench.report, "p999_us_at_half_load");
}

/// A client that is late itself (its core is not its own) makes a server look slow: then say so.
fn say_if_late(bench: &mut Bench, who: &str, late: &Samples) {
    let Some(late) = late.median(who) else { return };
    bench
        .report
        .note(&format!("client_late_p999_us_{who}"), late.round());
    if late > LATE_US {
        println!(
            "latency: the client itself was {late:.0} us late at p99.9 ({who}): the machine is not quiet"
        );
    }
}

fn micros(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e6
}

/// Messages a second with one in flight on every connection.
fn throughput(driven: &mut Driven, length: Duration) -> io::Result<f64> {
    let began = Instant::now();
    let messages = driven.client.keep_in_flight(1, length)?;
    Ok(number(messages) / began.elapsed().as_secs_f64())
}
