//! Benches: tress beside its peers, every figure measured in one run on one machine.
//!
//! [`report`] holds rows, table, JSON and SVG and knows nothing of what is measured; [`run`] is what all benches do
//! around their measuring.
//! [`echo`] is the bench behind `cargo xtask bench echo`: the servers in [`peers`], driven by the
//! load clients ([`client`], [`open_loop`], [`churn`]), measured by the modules of [`measure`].
//! [`deferred`] is the bench behind `cargo xtask bench deferred`: Deferreds and timed calls, beside others' of the kind.
//! [`rpc`] is the bench behind `cargo xtask bench rpc`: calls through the protocols of objects, beside others' servers.
//! [`tls`] is the bench behind `cargo xtask bench tls`: TLS as a layer, beside tokio-rustls.
//!
//! How the figures are kept honest: all peers of a measurement live at the same time and are driven in short
//! alternating slices whose order rotates, so that a change of the machine's speed hits all of them;
//! a ratio is the median of the ratios within each round; peers are pinned to one core and the
//! harness, with its clients, to another, so that its work is not in the way of theirs.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a load client has sockets of its own, measures real time and waits for processes"
)]

pub mod args;
pub mod churn;
pub mod client;
pub mod compile;
pub mod deferred;
pub mod echo;
pub mod lines;
pub mod machine;
pub mod measure;
pub mod open_loop;
pub mod peer_hosted;
pub mod peer_tokio;
pub mod peers;
pub mod proc;
pub mod report;
pub mod rpc;
pub mod run;
pub mod server;
pub mod slices;
pub mod stats;
pub mod tls;
pub mod walker;
