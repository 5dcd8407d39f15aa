//! `react`: a program that ends by itself, from its main function to its exit code. Holds no logic of the loop.

use std::{
    future::Future,
    io::{self, Write},
    process::{ExitCode, Termination},
};
use tress_core::{Reactor, Result, error::Exit};

/// Makes a reactor and runs it until what `main` returns (a Deferred, or an `async` block) is done. The result is for
/// the program to end with:
///
/// ```
/// use tress::prelude::*;
///
/// fn main() -> tress::Reacted {
///     tress::react(|reactor| async move {
///         reactor.after(Duration::from_millis(1)).await?;
///         Ok(())
///     })
/// }
/// ```
///
/// * Done: 0.
/// * A failure: 1. It is logged as `main function encountered error`, and stands on stderr once.
/// * [`Exit`]: its code, and nothing is said.
/// * Stopped first, by [`Reactor::stop`], Ctrl-C or SIGTERM: 0. What `main` waits for is cancelled.
///
/// For a reactor that is there already, or a simulated one, there is [`Reactor::react`]. Source: Twisted's `task.react`.
pub fn react<F>(main: impl FnOnce(Reactor) -> F) -> Reacted
where
    F: Future<Output = Result> + 'static,
{
    Reacted(run(main))
}

fn run<F>(main: impl FnOnce(Reactor) -> F) -> Result
where
    F: Future<Output = Result> + 'static,
{
    let reactor = crate::reactor()?;
    let _caught = reactor.stop_on_signals()?;
    reactor.react(main)
}

/// What came of [`react`]: what a `main` function returns.
#[derive(Debug)]
#[must_use = "it is the program's exit code"]
pub struct Reacted(Result);

impl Reacted {
    /// What came of the main function, for a program that ends in its own way.
    ///
    /// # Errors
    /// What it failed with.
    pub fn result(self) -> Result {
        self.0
    }
}

impl Termination for Reacted {
    /// As for a `Result`, but for [`Exit`].
    fn report(self) -> ExitCode {
        let Err(failure) = self.0 else {
            return ExitCode::SUCCESS;
        };
        if let Some(Exit(code)) = failure.check() {
            return ExitCode::from(*code);
        }
        // Nobody is left to be told that stderr is closed.
        writeln!(io::stderr(), "Error: {failure:?}").ok();
        ExitCode::FAILURE
    }
}
