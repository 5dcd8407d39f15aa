//! `Failure`: any error, with the place where it became one, what caused it, and, when switched on, the callbacks and
//! awaits that it passed. Knows nothing of who handles it.

mod thread;
mod trail;

pub use thread::ThreadFailure;

pub(crate) use trail::{Passed, passes};

use crate::error::Panicked;
use std::{error::Error, fmt, marker::PhantomData, ops::Deref, panic::Location, rc::Rc, sync::Arc};
use trail::Trail;

/// What fails, fails with a [`Failure`].
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// An error of any type and where it happened; eight bytes, so a `Result` of it stays small.
///
/// `?` turns every `std::error::Error` into one. It is deliberately no `Error` itself. A clone is the same failure.
#[derive(Clone)]
pub struct Failure(Rc<Inner>);

struct Inner {
    error: Held,
    at: &'static Location<'static>,
    trail: Trail,
}

/// The error itself.
enum Held {
    /// It belongs to this thread, for all one knows.
    Here(Box<dyn Error>),
    /// It came from another thread, and may go to yet another.
    Anywhere(Arc<dyn Error + Send + Sync>),
}

impl Held {
    fn get(&self) -> &(dyn Error + 'static) {
        match self {
            Self::Here(error) => &**error,
            Self::Anywhere(error) => &**error,
        }
    }
}

impl Failure {
    /// From now on, in all threads, each failure remembers the callbacks, awaits and tasks that it passes (the first
    /// [`Failure::TRAIL`] of them) and shows them with `{:?}`. Off at first: it costs memory for each failure.
    pub fn record_trails(yes: bool) {
        trail::switch(yes);
    }

    /// How many steps of its way a failure remembers.
    pub const TRAIL: usize = trail::STEPS;

    /// The same failure as the cause of this one, which says what was being done: `reading users: no such file`.
    /// [`Failure::check`] and [`Failure::trap`] still find the first error.
    /// It keeps the place and the way of the first one.
    #[must_use]
    #[cold]
    pub fn context(self, doing: impl Into<String>) -> Self {
        Self(Rc::new(Inner {
            at: self.0.at,
            trail: self.0.trail.clone(),
            error: Held::Here(Box::new(Doing(doing.into(), self))),
        }))
    }

    /// A failure that is only a sentence.
    #[track_caller]
    #[cold]
    pub fn msg(text: impl Into<String>) -> Self {
        Self::from(Message(text.into()))
    }

    /// The error, if it is an `E`.
    #[must_use]
    pub fn check<E: Error + 'static>(&self) -> Option<&E> {
        match self.error().downcast_ref() {
            Some(Doing(_, cause)) => cause.check(),
            None => self.error().downcast_ref(),
        }
    }

    /// Goes on with the error if it is an `E`, and gives the failure back if it is not.
    ///
    /// # Errors
    /// The failure itself, unchanged, when it holds another type.
    pub fn trap<E: Error + 'static>(self) -> Result<Trapped<E>> {
        match self.check::<E>() {
            Some(_) => Ok(Trapped(self, PhantomData)),
            None => Err(self),
        }
    }

    /// The error itself.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + 'static) {
        self.0.error.get()
    }

    /// The error and its causes, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        std::iter::successors(Some(self.error()), |error: &&(dyn Error + 'static)| {
            (*error).source()
        })
    }

    /// Where the error became a failure.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.0.at
    }

    /// An error that happened there: for what only later turns out to be one.
    pub(crate) fn happened(error: impl Error + 'static, at: &'static Location<'static>) -> Self {
        Self(Rc::new(Inner {
            error: Held::Here(Box::new(error)),
            at,
            trail: Trail::default(),
        }))
    }

    /// What a panic's payload says, as a failure.
    #[track_caller]
    #[cold]
    #[must_use]
    pub fn from_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        Self::from(panicked(payload))
    }
}

fn panicked(payload: &(dyn std::any::Any + Send)) -> Panicked {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    Panicked(text.unwrap_or_else(|| "something that is no text".to_owned()))
}

impl<E: Error + 'static> From<E> for Failure {
    #[track_caller]
    #[cold]
    fn from(error: E) -> Self {
        Self::happened(error, Location::caller())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_chain(self.error(), f)
    }
}

/// An error and its causes in one line.
fn write_chain(error: &(dyn Error + 'static), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (at {}:{})", self.0.at.file(), self.0.at.line())?;
        write!(f, "{}", self.0.trail)
    }
}

/// A failure known to hold an `E`: what [`Failure::trap`] gives.
#[derive(Debug)]
pub struct Trapped<E>(Failure, PhantomData<E>);

impl<E> Trapped<E> {
    /// The failure again.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        self.0
    }
}

impl<E: Error + 'static> Deref for Trapped<E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.0.check().expect("trap looked at the type")
    }
}

#[derive(Clone, Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Message {}

/// What was being done, and why it failed.
#[derive(Debug)]
struct Doing(String, Failure);

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Doing {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.1.error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::ParseIntError;

    fn parse(text: &str) -> Result<u32> {
        Ok(text.parse()?)
    }

    #[test]
    fn it_remembers_type_and_place() {
        let failure = parse("x").unwrap_err();
        assert!(failure.check::<ParseIntError>().is_some());
        assert!(failure.check::<std::io::Error>().is_none());
        assert!(failure.location().file().ends_with("failure/mod.rs"));
        assert!(failure.trap::<ParseIntError>().is_ok());
    }

    #[test]
    fn a_trap_for_another_type_gives_the_failure_back() {
        let line = line!() + 1;
        let failure = Failure::msg("no").trap::<ParseIntError>().unwrap_err();
        assert_eq!(failure.location().line(), line);
        assert_eq!(failure.to_string(), "no");
    }
}
