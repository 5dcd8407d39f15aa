//! System calls per message, counted by strace while 1 and 20 connections go in lockstep.

use super::{Bench, drive, has_tool, number};
use crate::peers::Peer;
use crate::proc::is_traced;
use crate::server::Helper;
use std::fs::File;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// Fills `syscalls_per_message` and `syscalls_per_message_20`.
pub fn measure(bench: &mut Bench) {
    if !has_tool("strace") {
        bench
            .report
            .skip("all", "syscalls", "strace is not installed");
        return;
    }
    let (one, twenty) = bench.sizes.syscall_messages;
    for peer in bench.peers.clone() {
        for (metric, connections, messages) in [
            ("syscalls_per_message", 1, one),
            ("syscalls_per_message_20", 20, twenty),
        ] {
            match count(bench, &peer, connections, messages) {
                Ok(value) => bench.report.set(peer.name, metric, value),
                Err(error) => bench.report.skip(peer.name, metric, &error.to_string()),
            }
        }
    }
}

fn count(bench: &Bench, peer: &Peer, connections: usize, messages: usize) -> io::Result<f64> {
    let mut driven = drive(&bench.starter, peer, connections)?;
    let pid = driven.server.pid();
    let counts = bench.starter.scratch.join("strace.counts");
    let said = bench.starter.scratch.join("strace.stderr");
    let mut command = Command::new("strace");
    command
        .args(["-c", "-f", "-p", &pid.to_string(), "-o"])
        .arg(&counts);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said)?);
    let mut strace = Helper(bench.starter.cores.on_server_core(|| command.spawn())?);
    let deadline = Instant::now() + PATIENCE;
    while !is_traced(pid)? {
        if strace.0.try_wait()?.is_some() || Instant::now() > deadline {
            let text = std::fs::read_to_string(&said).unwrap_or_default();
            return Err(io::Error::other(format!(
                "strace may not attach: {}",
                text.trim_end()
            )));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // Seized is not yet running again.
    std::thread::sleep(Duration::from_millis(50));
    let done = driven.client.lockstep(messages / connections)?;
    let _ = strace.interrupt(PATIENCE)?;
    let calls = total_calls(&std::fs::read_to_string(&counts)?)
        .ok_or_else(|| io::Error::other("strace counted nothing"))?;
    Ok(f64::from(calls) / number(done))
}

/// The sum of the `calls` column of `strace -c`.
fn total_calls(text: &str) -> Option<u32> {
    let calls = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // % time, seconds, usecs/call, calls, errors if any, name
        let is_row =
            words.len() >= 5 && words[0].parse::<f64>().is_ok() && words.last() != Some(&"total");
        if is_row {
            words[3].parse::<u32>().ok()
        } else {
            None
        }
    });
    calls.reduce(|sum, calls| sum + calls)
}

#[cfg(test)]
mod tests {
    use super::total_calls;

    #[test]
    fn the_calls_column_is_summed() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.000600           6       100           epoll_wait\n \
            40.00    0.000400           4       101         1 read\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.001000           5       201         1 total\n";
        assert_eq!(total_calls(text), Some(201));
        assert_eq!(total_calls("nothing here\n"), None);
    }
}
