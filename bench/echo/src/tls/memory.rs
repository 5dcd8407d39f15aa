//! Resident bytes per idle connection: each has shaken hands, sent one message and got it back. Knows no server but by name.

use super::certificate::Sessions;
use super::client::{Batch, open_all};
use super::servers::Service;
use super::{Bench, MEMORY, TOKIO, TRESS};
use crate::measure::number;
use crate::proc::resident_bytes;
use crate::slices::Samples;
use std::io;
use std::time::Duration;

/// Connections that come and go first, so that what is allocated once is not counted.
const WARM: usize = 100;

/// Fills `resident_bytes_per_idle_tls_connection`.
pub fn measure(bench: &mut Bench) {
    let mut samples = Samples::default();
    for round in 0..bench.sizes.processes {
        for who in [TRESS, TOKIO] {
            match one(bench, who) {
                Ok(bytes) => samples.note(who, round, Some(bytes)),
                Err(error) => bench.report.skip(who, MEMORY, &error.to_string()),
            }
        }
    }
    samples.into_report(&mut bench.report, MEMORY);
}

fn one(bench: &Bench, who: &'static str) -> io::Result<f64> {
    let idle = bench.sizes.idle;
    let server = bench.start(who, Service::Echo)?;
    let config = bench.certificate.client(Sessions::Forgotten)?;
    Batch::new(server.port, config.clone(), false).come_and_go(WARM, 2)?;
    std::thread::sleep(Duration::from_millis(200));
    let before = resident_bytes(server.pid())?;
    let connections = open_all(server.port, &config, idle)?;
    std::thread::sleep(Duration::from_millis(200));
    let after = resident_bytes(server.pid())?;
    drop(connections);
    Ok((after as f64 - before as f64) / number(idle))
}
