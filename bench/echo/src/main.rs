//! `tress-bench BENCH [FLAGS]` runs a bench. The other words start what a bench runs in a process of its own.
#![expect(clippy::print_stderr, reason = "usage and errors go to standard error")]

use std::process::ExitCode;
use tress_bench::{args, deferred, echo, peer_hosted, peer_tokio, rpc, tls, walker};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let result = match words.next().as_deref() {
        Some("echo") => echo::run(words),
        Some("deferred") => deferred::run(words),
        Some("rpc") => rpc::run(words),
        Some("rpc-server") => rpc::servers::serve(words),
        Some("tls") => tls::run(words),
        Some("tls-server") => tls::servers::serve(words),
        Some("peer-tokio") => peer_tokio::run(words.next().as_deref()),
        Some("peer-hosted") => peer_hosted::run(words.next().as_deref()),
        Some("walk") => walker::serve(words.next().as_deref(), words.next().as_deref()),
        Some("steps") => deferred::steps::serve(words.next().as_deref()),
        Some("timers") => deferred::timers::serve(words.next().as_deref(), words.next().as_deref()),
        _ => Err(std::io::Error::other(args::USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tress-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
