//! CPU per message: 64-byte messages on 50 connections, 1 and 16 in flight on each, and on 500 connections, 1 on each.

use super::{Bench, cpu_during, number};
use crate::peers::MIO;
use crate::slices::alternate;

/// Connections, messages in flight on each, and how the figures of that load end.
pub const LOADS: [(usize, usize, &str); 3] =
    [(50, 1, "1"), (50, 16, "16"), (500, 1, "500_connections")];

/// Fills `cpu_us_per_message_1`, `cpu_us_per_message_16` and `cpu_us_per_message_500_connections`; and for whatever else
/// is tress, what each is to tress on its own loop, on mio: `ratio_to_tress_1` and so on.
pub fn measure(bench: &mut Bench) {
    let mut open = 0;
    let mut all = Vec::new();
    for (connections, depth, load) in LOADS {
        if connections != open {
            all.clear();
            all = bench.start_all("cpu_us_per_message", connections);
            open = connections;
        }
        let metric = format!("cpu_us_per_message_{load}");
        let length = bench.sizes.slice;
        let rounds = bench.sizes.slices;
        let samples = alternate(&mut bench.report, &metric, rounds, &mut all, |driven, _| {
            let pid = driven.server.pid();
            let (nanos, messages) =
                cpu_during(pid, || driven.client.keep_in_flight(depth, length))?;
            Ok(nanos / 1000.0 / number(messages))
        });
        let of_tress = |who: &&str| who.starts_with(MIO) && *who != MIO;
        for who in all.iter().map(|(who, _)| who.as_str()).filter(of_tress) {
            if let Some(ratio) = samples.ratio(who, MIO) {
                bench.report.set(who, &to_tress(load), ratio);
            }
        }
        samples.into_report(&mut bench.report, &metric);
    }
}

/// The metric of what a peer's message costs to one of tress on mio, at this load.
#[must_use]
pub fn to_tress(load: &str) -> String {
    format!("ratio_to_tress_{load}")
}

#[cfg(test)]
mod tests {
    use super::{LOADS, to_tress};
    use crate::echo::HELD_TO_MIO;

    #[test]
    fn what_is_held_is_measured() {
        for (name, peer, load, _) in HELD_TO_MIO {
            assert!(
                LOADS.iter().any(|(.., measured)| *measured == load),
                "{name}"
            );
            assert!(crate::peers::NAMES.contains(&peer), "{name}");
        }
        assert_eq!(to_tress("16"), "ratio_to_tress_16");
    }
}
