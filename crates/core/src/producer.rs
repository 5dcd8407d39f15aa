//! `Producer`: a source of output that goes at the pace of the peer. Knows nothing of where the bytes come from.

use crate::{failure::Result, transport::Transport};

/// Something that writes to a transport for as long as it has something to write.
///
/// Source: Twisted's `docs/core/howto/producers.rst`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no producer",
    label = "`Producer` is not implemented for it",
    note = "implement `Producer` for it: its `resume_producing` writes what comes next"
)]
pub trait Producer: 'static {
    /// Write more. A streaming producer goes on until it is paused; a pulled one writes once for each call.
    ///
    /// # Errors
    /// Closes the connection.
    fn resume_producing(&mut self, transport: &Transport) -> Result;

    /// More output waits than the high-water mark: write no more for now. Never called on a pulled producer.
    fn pause_producing(&mut self) {}

    /// The connection has gone: write no more at all.
    fn stop_producing(&mut self) {}
}

/// Who sets the pace of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It writes by itself until it is paused.
    Streaming,
    /// It writes once each time it is asked: at registration, and whenever everything has left.
    Pulled,
}
