//! The way of a failure: which callbacks, awaits and tasks it passed. Recorded only when somebody switched that on.

use super::Failure;
use std::{
    cell::RefCell,
    fmt,
    panic::Location,
    sync::atomic::{AtomicBool, Ordering},
};

/// Steps that a failure remembers; of those that follow only the number is known.
pub(super) const STEPS: usize = 32;

static RECORDING: AtomicBool = AtomicBool::new(false);

/// What a failure passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// A callback that was added there, or an errback that failed again.
    Callback,
    /// An `await` there.
    Await,
    /// A task that was spawned there.
    Task,
}

#[derive(Clone, Default)]
pub(super) struct Trail(RefCell<Way>);

#[derive(Clone, Default)]
struct Way {
    steps: Vec<(Passed, &'static Location<'static>)>,
    more: usize,
}

pub(super) fn switch(yes: bool) {
    RECORDING.store(yes, Ordering::Relaxed);
}

/// `failure` passes this on its way.
pub(crate) fn passes(failure: &Failure, what: Passed, at: &'static Location<'static>) {
    if RECORDING.load(Ordering::Relaxed) {
        failure.0.trail.push(what, at);
    }
}

impl Trail {
    #[cold]
    fn push(&self, what: Passed, at: &'static Location<'static>) {
        let mut way = self.0.borrow_mut();
        if way.steps.len() < STEPS {
            way.steps.push((what, at));
        } else {
            way.more += 1;
        }
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = self.0.borrow();
        for (what, at) in &way.steps {
            let what = match what {
                Passed::Callback => "passed the callback added",
                Passed::Await => "passed the await",
                Passed::Task => "left the task spawned",
            };
            write!(f, "\n  {what} at {}:{}", at.file(), at.line())?;
        }
        if way.more > 0 {
            write!(f, "\n  and passed {} more", way.more)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much is shown of a way of so many steps.
    #[track_caller]
    fn check(steps: usize, lines: usize, rest: &str) {
        let trail = Trail::default();
        (0..steps).for_each(|_| trail.push(Passed::Await, Location::caller()));
        let shown = trail.to_string();
        let count = shown.matches("passed the await at").count();
        assert_eq!((count, shown.ends_with(rest)), (lines, true), "{shown}");
        assert_eq!(shown.contains("more"), !rest.is_empty());
    }

    #[test]
    fn the_first_steps_are_kept_and_the_others_counted() {
        check(0, 0, "");
        check(STEPS, STEPS, "");
        check(STEPS + 2, STEPS, "and passed 2 more");
    }
}
