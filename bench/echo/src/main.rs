//! `tress-bench echo [FLAGS]` runs the echo bench; `peer-tokio` and `walk` are processes that it starts of itself.
#![expect(clippy::print_stderr, reason = "usage and errors go to standard error")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let result = match words.next().as_deref() {
        Some("echo") => {
            tress_bench::args::parse(words).and_then(|args| tress_bench::echo::run(&args))
        }
        Some("peer-tokio") => tress_bench::peer_tokio::run(words.next().as_deref()),
        Some("walk") => {
            tress_bench::walker::serve(words.next().as_deref(), words.next().as_deref())
        }
        _ => Err(std::io::Error::other(tress_bench::args::USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tress-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
