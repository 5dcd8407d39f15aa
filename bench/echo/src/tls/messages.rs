//! Small messages a second of the server's CPU: 64 bytes and their echo. Knows no server but by name.

use super::Bench;
use super::certificate::Sessions;
use super::client::{lockstep, open_all};
use super::servers::Service;
use crate::measure::{cpu_during, number};
use crate::slices::alternate;

const METRIC: &str = "messages_per_cpu_second";

/// Connections that messages are sent on.
const CONNECTIONS: usize = 50;

/// Fills `messages_per_cpu_second`.
pub fn measure(bench: &mut Bench) {
    let mut both = bench.start_both(METRIC, Service::Echo, |bench, server| {
        let config = bench.certificate.client(Sessions::Forgotten)?;
        let connections = open_all(server.port, &config, CONNECTIONS)?;
        Ok((server, connections))
    });
    let (rounds, count) = (bench.sizes.slices, bench.sizes.messages);
    let samples = alternate(
        &mut bench.report,
        METRIC,
        rounds,
        &mut both,
        |(server, connections), _| {
            let (nanos, messages) = cpu_during(server.pid(), || lockstep(connections, count))?;
            Ok(number(messages) / (nanos / 1e9))
        },
    );
    samples.into_report(&mut bench.report, METRIC);
}
