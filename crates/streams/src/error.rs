//! What ended a connection, as the `io::Error` that readers and writers are told. Decides nothing about when.

use std::io;
use tress_core::{
    Failure,
    error::{ConnectionAborted, ConnectionDone, ConnectionLost, TimedOut},
};

/// A new error for each who is told, since an `io::Error` cannot be cloned.
pub(crate) fn to_io(reason: &Failure) -> io::Error {
    let kind = if let Some(ConnectionLost(error)) = reason.check() {
        match error.raw_os_error() {
            Some(code) => return io::Error::from_raw_os_error(code),
            None => error.kind(),
        }
    } else if reason.check::<TimedOut>().is_some() {
        io::ErrorKind::TimedOut
    } else if reason.check::<ConnectionAborted>().is_some()
        || reason.check::<ConnectionDone>().is_some()
    {
        // A clean end is an error only for somebody who was not done: this end closed the connection under him.
        io::ErrorKind::ConnectionAborted
    } else {
        io::ErrorKind::Other
    };
    io::Error::new(kind, reason.to_string())
}

/// Whether a failure only says that the connection did not last, as happens every day.
pub(crate) fn tells_of_the_connection(failure: &Failure) -> bool {
    let kinds = failure
        .chain()
        .filter_map(|error| error.downcast_ref::<io::Error>());
    kinds.map(io::Error::kind).any(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::TimedOut
                | io::ErrorKind::UnexpectedEof
        )
    })
}
