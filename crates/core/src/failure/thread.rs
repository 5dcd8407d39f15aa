//! `ThreadFailure`: a failure that may go from one thread to another, which a [`Failure`] may not. Knows no thread.

use super::{Doing, Failure, Held, Inner, Trail, panicked, write_chain};
use crate::error::{
    Abandoned, AlreadyRunning, Cancelled, ConnectError, ConnectingCancelled, ConnectionAborted,
    ConnectionDone, ConnectionLost, DnsLookupError, Exit, InboxFull, JobLeftBehind, JobsFull,
    NotRunning, OwnThread, Panicked, ReactorGone, TimedOut,
};
use std::{any::Any, error::Error, fmt, io, panic::Location, rc::Rc, sync::Arc};

/// What work on another thread fails with. `?` turns every `std::error::Error` that may go to another thread into one,
/// and it turns into a [`Failure`] of the same text, type, place and way.
///
/// `?` also takes a `Failure`, whose error may belong to its thread. Then text, place and way go along; so does the type
/// if the error came from another thread before, or is an `io::Error`, one of the common errors in [`crate::error`], or
/// one of the standard library's parsers. [`ThreadFailure::check`] finds none of other types.
pub struct ThreadFailure(Box<Sent>);

struct Sent {
    error: Arc<dyn Error + Send + Sync>,
    /// What was being done, from the inside out.
    doing: Vec<String>,
    at: &'static Location<'static>,
    trail: Trail,
}

impl ThreadFailure {
    /// A failure that is only a sentence.
    #[track_caller]
    #[cold]
    pub fn msg(text: impl Into<String>) -> Self {
        Self::from(super::Message(text.into()))
    }

    /// The error, if it is an `E`.
    #[must_use]
    pub fn check<E: Error + 'static>(&self) -> Option<&E> {
        let error: &(dyn Error + 'static) = &*self.0.error;
        error.downcast_ref()
    }

    /// Where the error became a failure.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.0.at
    }

    /// What a panic's payload says.
    #[track_caller]
    #[cold]
    pub(crate) fn from_panic(payload: &(dyn Any + Send)) -> Self {
        Self::from(panicked(payload))
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ThreadFailure {
    #[track_caller]
    #[cold]
    fn from(error: E) -> Self {
        Self(Box::new(Sent {
            error: Arc::new(error),
            doing: Vec::new(),
            at: Location::caller(),
            trail: Trail::default(),
        }))
    }
}

impl From<Failure> for ThreadFailure {
    #[cold]
    fn from(failure: Failure) -> Self {
        let (at, trail) = (failure.0.at, failure.0.trail.clone());
        let mut doing = Vec::new();
        let mut inner: &Failure = &failure;
        while let Some(Doing(text, cause)) = inner.error().downcast_ref() {
            doing.insert(0, text.clone());
            inner = cause;
        }
        let error = match &inner.0.error {
            Held::Anywhere(error) => Arc::clone(error),
            Held::Here(error) => sendable(&**error),
        };
        Self(Box::new(Sent {
            error,
            doing,
            at,
            trail,
        }))
    }
}

impl From<ThreadFailure> for Failure {
    #[cold]
    fn from(failure: ThreadFailure) -> Self {
        let Sent {
            error,
            doing,
            at,
            trail,
        } = *failure.0;
        let error = Held::Anywhere(error);
        let failure = Self(Rc::new(Inner { error, at, trail }));
        doing.into_iter().fold(failure, Self::context)
    }
}

impl fmt::Display for ThreadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for doing in self.0.doing.iter().rev() {
            write!(f, "{doing}: ")?;
        }
        write_chain(&*self.0.error, f)
    }
}

impl fmt::Debug for ThreadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.at;
        write!(f, "{self} (at {}:{})", at.file(), at.line())?;
        write!(f, "{}", self.0.trail)
    }
}

type Sendable = Arc<dyn Error + Send + Sync>;

/// The same error where it can be made again, otherwise its text and those of its causes.
fn sendable(error: &(dyn Error + 'static)) -> Sendable {
    let known = KNOWN.iter().find_map(|same| same(error));
    known.unwrap_or_else(|| Arc::new(Told::of(error)))
}

/// What makes the same error again, for the types that `?` in the code of a loop meets most.
const KNOWN: &[fn(&(dyn Error + 'static)) -> Option<Sendable>] = &[
    |error| again(error, same_io),
    |error| {
        again(error, |lost: &ConnectionLost| {
            ConnectionLost(same_io(&lost.0))
        })
    },
    |error| {
        again(error, |failed: &ConnectError| {
            ConnectError(same_io(&failed.0))
        })
    },
    cloned::<Cancelled>,
    cloned::<Abandoned>,
    cloned::<Panicked>,
    cloned::<TimedOut>,
    cloned::<NotRunning>,
    cloned::<AlreadyRunning>,
    cloned::<ReactorGone>,
    cloned::<InboxFull>,
    cloned::<OwnThread>,
    cloned::<JobsFull>,
    cloned::<JobLeftBehind>,
    cloned::<ConnectionDone>,
    cloned::<ConnectionAborted>,
    cloned::<ConnectingCancelled>,
    cloned::<DnsLookupError>,
    cloned::<Exit>,
    cloned::<super::Message>,
    cloned::<fmt::Error>,
    cloned::<std::num::ParseIntError>,
    cloned::<std::num::ParseFloatError>,
    cloned::<std::num::TryFromIntError>,
    cloned::<std::str::Utf8Error>,
    cloned::<std::string::FromUtf8Error>,
    cloned::<std::net::AddrParseError>,
];

fn cloned<E: Error + Clone + Send + Sync + 'static>(
    error: &(dyn Error + 'static),
) -> Option<Sendable> {
    again(error, E::clone)
}

fn again<E: Error + Send + Sync + 'static>(
    error: &(dyn Error + 'static),
    same: impl Fn(&E) -> E,
) -> Option<Sendable> {
    let error = error.downcast_ref()?;
    Some(Arc::new(same(error)))
}

fn same_io(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// What is left of an error that must stay on its thread.
#[derive(Debug)]
struct Told {
    text: String,
    cause: Option<Box<Self>>,
}

impl Told {
    fn of(error: &(dyn Error + 'static)) -> Self {
        Self {
            text: error.to_string(),
            cause: error.source().map(|cause| Box::new(Self::of(cause))),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause = self.cause.as_ref()?;
        Some(&**cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::ParseIntError;

    /// An error that belongs to its thread.
    #[derive(Debug)]
    struct Local(
        #[expect(dead_code, reason = "it keeps the type from being sent")] Rc<()>,
        ParseIntError,
    );

    impl fmt::Display for Local {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("local")
        }
    }

    impl Error for Local {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    /// One that may go anywhere, and that nobody here knows.
    #[derive(Debug)]
    struct Own;

    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("own")
        }
    }

    impl Error for Own {}

    fn bad_number() -> ParseIntError {
        "x".parse::<u32>().expect_err("it is no number")
    }

    /// There and back: the text, the place and whether the type is the same.
    #[track_caller]
    fn check<E: Error + 'static>(failure: Failure, kept: bool) {
        let (text, at) = (failure.to_string(), failure.location());
        let sent = ThreadFailure::from(failure);
        assert_eq!(sent.to_string(), text);
        assert_eq!(sent.check::<E>().is_some(), kept, "{text}");
        let back = Failure::from(sent);
        assert_eq!(back.to_string(), text);
        assert_eq!(back.location(), at);
        assert_eq!(back.check::<E>().is_some(), kept, "{text}");
    }

    #[test]
    fn a_failure_keeps_its_text_and_its_place_and_a_known_type() {
        check::<io::Error>(io::Error::from_raw_os_error(2).into(), true);
        check::<io::Error>(io::Error::other("odd").into(), true);
        check::<ConnectionLost>(
            ConnectionLost(io::ErrorKind::BrokenPipe.into()).into(),
            true,
        );
        check::<ParseIntError>(bad_number().into(), true);
        check::<Cancelled>(Failure::from(Cancelled).context("one").context("two"), true);
        check::<Own>(Own.into(), false);
        check::<Local>(Local(Rc::new(()), bad_number()).into(), false);
        let both = Failure::from(Local(Rc::new(()), bad_number())).context("reading");
        assert_eq!(
            both.to_string(),
            "reading: local: invalid digit found in string"
        );
        check::<Local>(both, false);
    }

    #[test]
    fn what_may_go_anywhere_keeps_its_type_however_often_it_goes() {
        let line = line!() + 1;
        let sent = ThreadFailure::from(Own);
        assert!(sent.check::<Own>().is_some());
        assert_eq!(sent.location().line(), line);
        let failure = Failure::from(sent).context("there");
        assert_eq!(failure.location().line(), line);
        check::<Own>(failure.clone(), true);
        check::<Own>(failure, true);
    }

    #[test]
    fn it_may_go_to_another_thread() {
        fn may<T: Send>() {}
        may::<ThreadFailure>();
        assert_eq!(size_of::<Result<(), ThreadFailure>>(), 8);
    }
}
