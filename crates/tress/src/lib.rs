//! An event-driven networking engine in the spirit of Twisted: protocols are callbacks over bytes, and run on any
//! transport and any loop.
//!
//! ```no_run
//! use tress::prelude::*;
//!
//! struct Echo;
//!
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
//!         transport.write(data);
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> tress::Result {
//!     let reactor = tress::reactor()?;
//!     reactor.listen("tcp:8007", || Echo)?;
//!     reactor.run()
//! }
//! ```
//!
//! The [`guide`] goes on from here. This crate holds no logic: it gathers the engine (`tress-core`) and its drivers
//! under one name. Features: `mio` (on by default) is the driver that [`reactor`] makes, `uring` the experimental one
//! over io_uring (Linux), `sim` the simulator, `streams` transports as `AsyncRead` and `AsyncWrite` and `hyper` the same
//! for hyper, `tls` TLS and its endpoint kinds, `protocols` the wire protocols and the endpoint kind `haproxy`, `rpc`
//! objects that every protocol can call, `tokio`
//! tokio as a host and beside, `app` the applications that a TOML file describes.

#![forbid(unsafe_code)]

pub mod guide;
pub mod prelude;

#[cfg(feature = "mio")]
mod driver;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "mio")]
mod react;

#[cfg(feature = "mio")]
pub use driver::{reactor, workers};

#[cfg(feature = "mio")]
pub use react::{Reacted, react};

#[cfg(all(feature = "uring", target_os = "linux"))]
pub use driver::uring_reactor;

#[cfg(feature = "mio")]
pub use tress_os::{SystemResolver, Worker, Workers, lock_file, serial, stdio::stdio};

#[cfg(all(feature = "mio", target_os = "linux"))]
pub use tress_os::watch;

/// A virtual network and a virtual clock, for tests (feature `sim`).
#[cfg(feature = "sim")]
pub use tress_sim as sim;

/// Any transport as a byte stream for async code (feature `streams`), and for hyper (feature `hyper`).
#[cfg(feature = "streams")]
pub use tress_streams as streams;

/// A database behind Deferreds: a pool of SQLite connections (feature `data`).
#[cfg(feature = "data")]
pub use tress_data as data;

/// Wire protocols (feature `protocols`). With it, [`reactor`] knows the endpoint kind `haproxy`.
#[cfg(feature = "protocols")]
pub use tress_protocols as protocols;

/// Objects that every protocol can call (feature `rpc`): what `#[interface]` stands on, and the protocols.
#[cfg(feature = "rpc")]
pub use tress_rpc as rpc;

#[cfg(feature = "rpc")]
pub use tress_rpc::interface;

/// TLS below any protocol (feature `tls`). Its endpoint kinds are known to [`reactor`], with the system's files.
#[cfg(feature = "tls")]
pub mod tls {
    pub use crate::files::SystemFiles;
    pub use tress_tls::*;
}

/// A reactor inside a tokio runtime, and tokio beside a reactor (feature `tokio`).
#[cfg(feature = "tokio")]
pub use tress_tokio as tokio;

/// Applications put together by a TOML file: providers, protocols, services (feature `app`).
#[cfg(feature = "app")]
pub use tress_app as app;

pub use tress_core::{
    Address, Bytes, Canceller, Connection, CooperativeTask, Cooperator, DatagramError,
    DatagramProtocol, DatagramTransport, Deferred, DeferredList, DelayedCall, Descriptor,
    EventType, Factory, Failure, FailureGroup, FirstError, IntoFactory, Limits, LoopingCall,
    Outcome, Pace, Pauser, Phase, Port, Process, ProcessProtocol, Producer, Protocol, Reactor,
    Remote, Resolver, Result, SharedFactory, Signal, SignalHandle, ThreadFailure, Time, Transport,
    UnixName, WeakReactor,
    client::{
        ClientCallbacks, ClientCreator, ClientFactory, ClientService, Connector, Jitter,
        ReconnectPolicy, Reconnecting, Retries,
    },
    context,
    driver::Interface,
    endpoint, error,
    factory::Sharing,
    framing, gather_results, layer,
    layer::{Inner, Layer},
    names, process, race, restart, sync, testing,
};

/// The README's program compiles.
#[cfg(all(doctest, feature = "rpc"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
