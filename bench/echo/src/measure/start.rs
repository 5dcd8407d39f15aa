//! How long from starting the process to the first connection, and what it occupies then.

use super::{Bench, application};
use crate::proc::resident_bytes;
use crate::slices::{Samples, alternate};
use std::time::Duration;

/// Fills `start_to_listening_ms` and `idle_resident_bytes`.
pub fn measure(bench: &mut Bench) {
    let mut all: Vec<_> = bench
        .peers
        .iter()
        .map(|peer| (peer.name.to_owned(), peer.clone()))
        .collect();
    let mut resident = Samples::default();
    let starter = &bench.starter;
    let samples = alternate(
        &mut bench.report,
        "start",
        bench.sizes.starts,
        &mut all,
        |peer, round| {
            // Starting it made one connection, which is closed by now.
            let server = starter.start(peer)?;
            std::thread::sleep(Duration::from_millis(50));
            let bytes = resident_bytes(server.pid())? as f64;
            resident.note(peer.name, round, Some(bytes));
            Ok(server.start.as_secs_f64() * 1e3)
        },
    );
    samples.into_report(&mut bench.report, "start_to_listening_ms");
    resident.into_report(&mut bench.report, "idle_resident_bytes");
    application::measure(bench);
}
