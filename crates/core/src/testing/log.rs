//! What is logged while a test runs something: a line an event, its level first. Prints nothing.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// What is logged on this thread while `run` runs, as `WARN some text`.
///
/// ```
/// # use tress_core::testing::logged;
/// let lines = logged(|| tress_core::Deferred::<()>::fail(tress_core::Failure::msg("lost")).detach());
/// assert!(lines[0].starts_with("ERROR unhandled failure in a Deferred created at"));
/// ```
#[must_use]
pub fn logged(run: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    SECOND.get_or_init(|| Dispatch::new(Log::default()));
    tracing::subscriber::with_default(log.clone(), run);
    let lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines.clone()
}

/// A subscriber that nobody logs to. While there is only one, tracing asks the thread on which an event comes up first
/// whether anybody wants it, and if that thread is another test's, nobody ever gets it.
static SECOND: OnceLock<Dispatch> = OnceLock::new();

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string() + " ");
        event.record(&mut line);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The text of one event.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").expect("a string takes everything");
        }
    }
}
