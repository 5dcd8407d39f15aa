//! The open-loop client: messages leave at a constant rate, whether or not answers come.
//!
//! Latency is counted from the moment a message was *meant* to be sent, so a server that stalls is charged
//! for all that would have arrived meanwhile (no coordinated omission). The client spins on its own core.

use crate::client::Client;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// How long late answers are waited for after the last message was sent.
const GRACE: Duration = Duration::from_secs(10);

/// What one run found, all in nanoseconds.
#[derive(Debug, Default)]
pub struct Timings {
    /// From the intended send time to the answer, of every message.
    pub latencies: Vec<u64>,
    /// By how much the client itself was late to send, of every message: the part that is not the server's doing.
    pub lateness: Vec<u64>,
}

/// Sends `per_second` messages a second over all connections.
///
/// # Errors
/// The server failed or does not answer.
pub fn run(client: &mut Client, per_second: f64, length: Duration) -> io::Result<Timings> {
    let mut waiting: Vec<VecDeque<Duration>> = vec![VecDeque::new(); client.len()];
    let mut timings = Timings::default();
    let mut sent = 0_u32;
    let mut outstanding = 0_usize;
    let start = Instant::now();
    loop {
        let now = start.elapsed();
        let mut due = Duration::from_secs_f64(f64::from(sent) / per_second);
        while due <= now && due < length {
            let index = client.step();
            client.send(index, 1)?;
            waiting[index].push_back(due);
            timings.lateness.push(nanos(now.saturating_sub(due)));
            outstanding += 1;
            sent += 1;
            due = Duration::from_secs_f64(f64::from(sent) / per_second);
        }
        client.pump(Duration::ZERO)?;
        let arrived = start.elapsed();
        for &(index, messages) in client.back() {
            for meant in waiting[index].drain(..messages) {
                timings.latencies.push(nanos(arrived.saturating_sub(meant)));
            }
            outstanding -= messages;
        }
        if due >= length && outstanding == 0 {
            return Ok(timings);
        }
        if arrived > length + GRACE {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{outstanding} answers never came"),
            ));
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
