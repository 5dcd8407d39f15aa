//! Instructions per message in user space, counted by callgrind: the difference of a long and a short run.
//!
//! In lockstep the server should find all the messages of a round at once. So it shares a core with the client and is
//! scheduled as a batch job, which does not interrupt the client that wakes it: the count repeats.

use super::{Bench, has_tool, number};
use crate::client::Client;
use crate::peers::Peer;
use std::io;
use std::time::Duration;

/// Valgrind is some fifty times slower than the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fills `instructions_per_message_20` and `instructions_per_message_1`.
pub fn measure(bench: &mut Bench) {
    if !has_tool("valgrind") {
        bench
            .report
            .skip("all", "instructions", "valgrind is not installed");
        return;
    }
    if !has_tool("chrt") {
        let why = "chrt (util-linux) is not installed";
        bench.report.skip("all", "instructions", why);
        return;
    }
    let (short, long) = bench.sizes.instruction_messages;
    for peer in bench.peers.clone().iter().filter(|peer| peer.is_native()) {
        for connections in [20, 1] {
            let metric = format!("instructions_per_message_{connections}");
            let difference = count(bench, peer, connections, short).and_then(|(less, few)| {
                count(bench, peer, connections, long).map(|(more, many)| (more - less, many - few))
            });
            match difference {
                Ok((instructions, messages)) => {
                    bench
                        .report
                        .set(peer.name, &metric, instructions / messages)
                }
                Err(error) => bench.report.skip(peer.name, &metric, &error.to_string()),
            }
        }
    }
}

/// Instructions of a whole run, and its messages.
fn count(
    bench: &Bench,
    peer: &Peer,
    connections: usize,
    messages: usize,
) -> io::Result<(f64, f64)> {
    let out = bench.starter.scratch.join("callgrind.out");
    drop(std::fs::remove_file(&out));
    let wrapper: Vec<String> = vec![
        "chrt".into(),
        "--batch".into(),
        "0".into(),
        "valgrind".into(),
        "--tool=callgrind".into(),
        format!("--callgrind-out-file={}", out.display()),
    ];
    let server = bench.starter.start_under(peer, &wrapper, PATIENCE)?;
    let mut client = Client::open_patiently(server.port, connections, PATIENCE)?;
    let lockstep = || client.lockstep(messages / connections);
    let done = bench.starter.cores.on_server_core(lockstep)?;
    server.terminate(PATIENCE)?;
    let text = std::fs::read_to_string(&out)
        .map_err(|error| io::Error::other(format!("callgrind left nothing: {error}")))?;
    let total =
        total_instructions(&text).ok_or_else(|| io::Error::other("callgrind counted nothing"))?;
    Ok((total, number(done)))
}

/// The `summary:` of a callgrind file, or its `totals:`; several parts are added up.
fn total_instructions(text: &str) -> Option<f64> {
    let sum = |key: &str| {
        let parts = text.lines().filter_map(|line| {
            line.strip_prefix(key)?
                .split_whitespace()
                .next()?
                .parse::<f64>()
                .ok()
        });
        parts.reduce(|sum, part| sum + part)
    };
    sum("summary:").or_else(|| sum("totals:"))
}

#[cfg(test)]
mod tests {
    use super::total_instructions;

    #[test]
    fn summary_wins_over_totals() {
        assert_eq!(
            total_instructions("events: Ir\nsummary: 123456\n\nfn=(1) x\n1 2\ntotals: 7\n"),
            Some(123_456.0)
        );
        assert_eq!(total_instructions("events: Ir\ntotals: 99\n"), Some(99.0));
        assert_eq!(total_instructions("events: Ir\n"), None);
    }
}
