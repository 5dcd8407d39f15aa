//! Memory per idle connection: each has sent one message, got it back, and is silent since.

use super::{Bench, number};
use crate::client::Client;
use crate::peers::Peer;
use crate::proc::{resident_bytes, slab_bytes};
use std::io;
use std::time::Duration;

/// Opened and closed first, so that what is allocated once is not counted.
const WARM: usize = 100;

/// Fills `resident_bytes_per_idle_connection` and `kernel_bytes_per_idle_connection`.
pub fn measure(bench: &mut Bench) {
    for peer in bench.peers.clone() {
        match one(bench, &peer) {
            Ok((resident, kernel)) => {
                bench
                    .report
                    .set(peer.name, "resident_bytes_per_idle_connection", resident);
                bench
                    .report
                    .set(peer.name, "kernel_bytes_per_idle_connection", kernel);
            }
            Err(error) => bench.report.skip(peer.name, "memory", &error.to_string()),
        }
    }
}

fn one(bench: &Bench, peer: &Peer) -> io::Result<(f64, f64)> {
    let idle = bench.sizes.idle;
    let server = bench.starter.start(peer)?;
    drop(Client::open(server.port, WARM)?);
    // Long enough for the kernel to give back what the peer before this one held.
    std::thread::sleep(Duration::from_millis(1500));
    let before = (resident_bytes(server.pid())?, slab_bytes()?);
    let client = Client::open(server.port, idle)?;
    std::thread::sleep(Duration::from_millis(200));
    let after = (resident_bytes(server.pid())?, slab_bytes()?);
    drop(client);
    Ok((
        growth(before.0, after.0) / number(idle),
        growth(before.1, after.1) / number(idle),
    ))
}

fn growth(before: u64, after: u64) -> f64 {
    let (before, after) = (before as f64, after as f64);
    after - before
}
