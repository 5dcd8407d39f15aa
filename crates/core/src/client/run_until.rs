//! `run_until`: a program that ends by itself. Knows no connection. Source: Twisted's `task.react`.

use crate::{error::NotRunning, failure::Result, reactor::Reactor};
use std::{cell::Cell, future::Future, rc::Rc};

impl Reactor {
    /// Runs the loop until `future` (a Deferred, or an `async` block) is done, then stops it in order and returns what
    /// came of it. When the reactor is stopped first, `future` is cancelled.
    ///
    /// # Errors
    /// What `future` fails with, or the reactor cannot run.
    #[track_caller]
    pub fn run_until<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Result<T> {
        let place = Rc::new(Cell::new(None));
        let (reactor, end) = (self.clone(), Rc::clone(&place));
        let task = self.spawn(future).add_both(move |result| {
            end.set(Some(result));
            let own = reactor.clone();
            // It may be done before the reactor runs, or while it stops already.
            reactor.call_when_running(move || drop(own.stop()));
        });
        let ran = self.run();
        task.cancel();
        ran?;
        place.take().unwrap_or_else(|| Err(NotRunning.into()))
    }
}
