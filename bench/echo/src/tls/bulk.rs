//! Megabytes a second of the server's CPU, over one connection, in each direction. Knows no server but by name.

use super::Bench;
use super::certificate::Sessions;
use super::client::Connection;
use super::servers::{PIECE, Service, UNIT};
use crate::measure::{cpu_during, number};
use crate::slices::alternate;
use std::io;

/// Fills `received_megabytes_per_cpu_second`.
pub fn measure_received(bench: &mut Bench) {
    fill(
        bench,
        "received_megabytes_per_cpu_second",
        Service::Sink,
        push,
    );
}

/// Fills `sent_megabytes_per_cpu_second`.
pub fn measure_sent(bench: &mut Bench) {
    fill(
        bench,
        "sent_megabytes_per_cpu_second",
        Service::Source,
        pull,
    );
}

fn fill(
    bench: &mut Bench,
    metric: &str,
    service: Service,
    transfer: fn(&mut Connection, usize) -> io::Result<()>,
) {
    let mut both = bench.start_both(metric, service, |bench, server| {
        let config = bench.certificate.client(Sessions::Forgotten)?;
        let mut connection = Connection::open(server.port, &config)?;
        transfer(&mut connection, 1)?;
        Ok((server, connection))
    });
    let (rounds, units) = (bench.sizes.slices, bench.sizes.units);
    let samples = alternate(
        &mut bench.report,
        metric,
        rounds,
        &mut both,
        |(server, connection), _| {
            let (nanos, ()) = cpu_during(server.pid(), || transfer(connection, units))?;
            Ok(number(units * UNIT) / 1e6 / (nanos / 1e9))
        },
    );
    samples.into_report(&mut bench.report, metric);
}

/// Sends so many units to a sink, and waits until it has them.
///
/// # Errors
/// It does not take them.
pub fn push(connection: &mut Connection, units: usize) -> io::Result<()> {
    let piece = vec![b'x'; PIECE];
    for _ in 0..units * UNIT / PIECE {
        connection.send(&piece)?;
    }
    connection.receive(&mut vec![0; units])
}

/// Asks a source for so many units, and takes them.
///
/// # Errors
/// They do not come.
pub fn pull(connection: &mut Connection, units: usize) -> io::Result<()> {
    let wanted = units * UNIT;
    connection.send(&(wanted as u64).to_be_bytes())?;
    let mut piece = vec![0; PIECE];
    for _ in 0..wanted / PIECE {
        connection.receive(&mut piece)?;
    }
    Ok(())
}
