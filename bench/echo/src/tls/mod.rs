//! The bench of TLS: tress beside tokio-rustls, the same rustls below both. Knows no handshake and no record.

pub mod bulk;
pub mod certificate;
pub mod client;
pub mod handshakes;
pub mod memory;
pub mod messages;
mod of_tokio;
mod of_tress;
pub mod servers;

use crate::args;
use crate::compile;
use crate::machine;
use crate::peers::Peer;
use crate::report::Report;
use crate::run::{self, Bound, Held, Metric};
use crate::server::{Server, Starter};
use certificate::Certificate;
use servers::Service;
use std::io;

/// The row of tress.
pub const TRESS: &str = "tress";
/// The row that tress is compared with.
pub const TOKIO: &str = "tokio-rustls";

/// Enough for the idle connections, on either side.
const DESCRIPTORS: u64 = 8_192;

/// What can be measured, in this order.
pub const METRICS: [Metric<Bench>; 6] = [
    ("handshakes", handshakes::measure),
    ("resumed", handshakes::measure_resumed),
    ("messages", messages::measure),
    ("received", bulk::measure_received),
    ("sent", bulk::measure_sent),
    ("memory", memory::measure),
];

/// What tress does at least as fast as tokio-rustls. The aim is 1; most of each is the cryptography that both share, and
/// what is left to repeated runs on a machine that does other work too are three hundredths.
const RATES: [&str; 5] = [
    "handshakes_per_cpu_second",
    "resumed_handshakes_per_cpu_second",
    "messages_per_cpu_second",
    "received_megabytes_per_cpu_second",
    "sent_megabytes_per_cpu_second",
];
const RATE_LEAST: f64 = 0.97;

/// The share of their memory that a connection of tress may take.
const MEMORY: &str = "resident_bytes_per_idle_tls_connection";
const MEMORY_MOST: f64 = 0.7;

/// What every measurement gets.
#[derive(Debug)]
pub struct Bench {
    /// How servers are started.
    pub starter: Starter,
    /// What both servers show, and the client trusts.
    pub certificate: Certificate,
    /// How much is measured.
    pub sizes: Sizes,
    /// Where the figures go.
    pub report: Report,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Rounds of alternating slices.
    pub slices: usize,
    /// Handshakes of one slice.
    pub handshakes: usize,
    /// Messages of one slice.
    pub messages: usize,
    /// Units of bulk data ([`servers::UNIT`]) of one slice.
    pub units: usize,
    /// Idle connections held open.
    pub idle: usize,
    /// Processes whose memory is measured, of each server.
    pub processes: usize,
}

impl Sizes {
    fn new(quick: bool) -> Self {
        if quick {
            return Self {
                slices: 5,
                handshakes: 80,
                messages: 2_000,
                units: 1,
                idle: 500,
                processes: 1,
            };
        }
        Self {
            slices: 40,
            handshakes: 240,
            messages: 5_000,
            units: 4,
            idle: 2_000,
            processes: 3,
        }
    }
}

impl Bench {
    /// Starts a server.
    ///
    /// # Errors
    /// It cannot be started.
    fn start(&self, who: &'static str, service: Service) -> io::Result<Server> {
        let program = std::env::current_exe()?.to_string_lossy().into_owned();
        let mut words = vec![program, "tls-server".into(), who.into()];
        words.extend([service.name().into(), "{port}".into()]);
        words.extend(self.certificate.files());
        self.starter.start(&Peer::new(who, words))
    }

    /// Starts both, and prepares each for its slices; who fails is left out with a reason.
    fn start_both<T>(
        &mut self,
        metric: &str,
        service: Service,
        prepare: impl Fn(&Self, Server) -> io::Result<T>,
    ) -> Vec<(String, T)> {
        let mut both = Vec::new();
        for who in [TRESS, TOKIO] {
            let server = self.start(who, service);
            match server.and_then(|server| prepare(self, server)) {
                Ok(prepared) => both.push((who.to_owned(), prepared)),
                Err(error) => self.report.skip(who, metric, &error.to_string()),
            }
        }
        both
    }
}

/// Runs the bench with the words that follow its name.
///
/// # Errors
/// The words make no sense, nothing can be prepared, the results cannot be written, or a figure does not hold.
pub fn run(words: impl Iterator<Item = String>) -> io::Result<()> {
    let args = args::parse(words, &METRICS.map(|(name, _)| name), &[])?;
    let mut report = Report::new("TLS, one core", TOKIO);
    report.row(TRESS);
    report.row(TOKIO);
    let descriptors = machine::raise_descriptor_limit(DESCRIPTORS);
    let scratch = compile::scratch_directory(&compile::target_directory()?)?;
    let certificate = Certificate::make(&scratch)?;
    let cores = run::take_cores(&mut report);
    run::note(&mut report, "tls", &args, &cores);
    report.note("descriptor_limit", descriptors);
    let sizes = Sizes::new(args.quick);
    note_method(&mut report, &sizes);
    let mut bench = Bench {
        starter: Starter { cores, scratch },
        certificate,
        sizes,
        report,
    };
    run::measure(&args, &METRICS, &mut bench);
    run::write(&bench.report, "tls", &args)?;
    held(&bench.report)
}

/// Fails when a figure does not hold.
fn held(report: &Report) -> io::Result<()> {
    let figures = RATES.map(|rate| (rate, Bound::AtLeast(RATE_LEAST)));
    let memory = [(MEMORY, Bound::AtMost(MEMORY_MOST))];
    let figures: Vec<Held> = figures
        .into_iter()
        .chain(memory)
        .map(|(metric, bound)| {
            let name = format!("{metric} of {TRESS} to that of {TOKIO}");
            (name, report.ratio(TRESS, metric), bound)
        })
        .collect();
    run::held(&figures)
}

fn note_method(report: &mut Report, sizes: &Sizes) {
    report.note("slices", sizes.slices);
    report.note("handshakes_per_slice", sizes.handshakes);
    report.note("messages_per_slice", sizes.messages);
    report.note("bytes_per_slice", sizes.units * servers::UNIT);
    report.note("idle_connections", sizes.idle);
    report.note("idle_processes", sizes.processes);
    report.note(
        "method",
        "the servers run at the same time and are driven in alternating slices of rotating order by one client; values \
         are medians, *_to_tokio-rustls the median of the ratios within each round; CPU is the server's time on its core",
    );
    report.note(
        "tls",
        "both: the same rustls with aws-lc-rs and its default suites and groups (X25519MLKEM768 first), TLS 1.2 and 1.3 \
         allowed and 1.3 spoken, one self-signed ECDSA P-256 certificate, two stateful tickets a handshake in a store of \
         1,024, no early data, no ALPN, no client certificates; the client checks that it is TLS 1.3 and whether it is a \
         resumption",
    );
    report.note(
        "tokio-rustls",
        "a current-thread runtime, a task per connection, a buffer of 8 KiB on the heap per connection, made after the \
         handshake; read, write_all, flush; shutdown at the end, so that both say close_notify; to send, write_all of \
         64 KiB again and again",
    );
    report.note(
        "tress",
        "the endpoint `ssl:`, whose layer lies below the same echo protocol that `cargo xtask bench echo` measures; to \
         send, a pulled producer that writes 64 KiB when all has left",
    );
    report.note(
        "handshakes",
        "connect, handshake, one message of 64 bytes and its echo, close_notify from both, close; eight connections at a \
         time",
    );
    report.note(
        "messages",
        "64 bytes and their echo on each of 50 connections, all sent before the first answer is awaited",
    );
    report.note(
        "memory",
        "after a handshake and one message of 64 bytes, its echo, and silence; a hundred connections came and went before",
    );
}

#[cfg(test)]
mod tests;
