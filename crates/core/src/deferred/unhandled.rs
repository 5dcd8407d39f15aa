//! A failure at rest: if it is dropped before anybody takes it out, it is logged. So each is logged once at most, at
//! the moment at which it is lost. Knows no chain.

use crate::failure::{Failure, Result};
use std::panic::Location;

/// A failure that waits for its errback, and where the Deferred was made that it is in.
pub(super) struct Unhandled(Option<(Failure, &'static Location<'static>)>);

impl Unhandled {
    pub(super) fn new(failure: Failure, created: &'static Location<'static>) -> Self {
        Self(Some((failure, created)))
    }

    /// Somebody takes care of it.
    pub(super) fn take(mut self) -> Failure {
        let (failure, _) = self.0.take().expect("it is taken once: this consumes it");
        failure
    }

    /// Where the Deferred was made.
    pub(super) fn created(&self) -> &'static Location<'static> {
        let (_, created) = self.0.as_ref().expect("it is taken once: that consumes it");
        created
    }

    /// Lets a result rest.
    pub(super) fn rest<T>(
        result: Result<T>,
        created: &'static Location<'static>,
    ) -> Result<T, Self> {
        result.map_err(|failure| Self::new(failure, created))
    }
}

impl Drop for Unhandled {
    fn drop(&mut self) {
        if let Some((failure, created)) = self.0.take() {
            log(&failure, created);
        }
    }
}

/// Logs a failure that nobody handled.
#[cold]
pub(super) fn log(failure: &Failure, created: &'static Location<'static>) {
    tracing::error!(target: "tress", "unhandled failure in a Deferred created at {created}: {failure:?}");
}
