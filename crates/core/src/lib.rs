//! The loop's logic: [`Reactor`], [`Deferred`], [`Protocol`], [`Transport`], endpoints, timers and framings.
//!
//! No socket, thread, clock or file is touched here and no unsafe code exists: everything the loop needs of an
//! operating system it asks of a [`driver::Driver`]. Programs usually depend on the facade crate `tress`, which adds
//! the drivers; see its guide.

#![forbid(unsafe_code)]

pub mod address;
pub mod client;
pub mod clock;
pub mod context;
pub mod datagram;
pub mod deferred;
pub mod descriptor;
pub mod driver;
pub mod endpoint;
mod endpoint_datagram;
mod endpoint_unix;
pub mod error;
pub mod escape;
pub mod factory;
pub mod failure;
pub mod framing;
pub mod jobs;
pub mod layer;
pub mod limits;
pub mod names;
pub mod outgoing;
pub mod process;
pub mod producer;
pub mod protocol;
pub mod reactor;
pub mod received;
pub mod restart;
pub mod signal;
pub mod sync;
pub mod task;
pub mod testing;
pub mod time;
pub mod transport;
pub mod wording;

pub use address::{Address, UnixName};
pub use bytes::Bytes;
pub use datagram::{DatagramError, DatagramProtocol, DatagramTransport};
pub use deferred::{
    Canceller, Deferred, DeferredList, FailureGroup, FirstError, Outcome, Pauser, Resolver,
    gather_results, race,
};
pub use descriptor::Descriptor;
pub use factory::{Factory, IntoFactory, SharedFactory, Sharing};
pub use failure::{Failure, Result, ThreadFailure};
pub use layer::{Inner, Layer};
pub use limits::Limits;
pub use process::{Process, ProcessProtocol};
pub use producer::{Pace, Producer};
pub use protocol::Protocol;
pub use reactor::{
    Connection, DelayedCall, EventType, Phase, Port, Reactor, Remote, SignalHandle, WeakReactor,
};
pub use signal::Signal;
pub use task::{CooperativeTask, Cooperator, LoopingCall};
pub use time::Time;
pub use transport::Transport;
