//! What a callback may return. Three types and no more, so that `Ok(..)` and `?` need no annotation.

use super::Deferred;
use crate::failure::{Failure, Result};

/// What a callback may return: `()`, a `Result<T, Failure>`, or another `Deferred<T>` to wait for.
#[diagnostic::on_unimplemented(
    message = "a callback returns `()`, `Result<T, Failure>` or `Deferred<T>`, not `{Self}`",
    label = "its callback returns `{Self}`",
    note = "for a plain value use `.map(..)`, or return `Ok(value)`",
    note = "for a `Result` with another error return `Ok(result?)`, or `result.map_err(Failure::from)`"
)]
pub trait Outcome: sealed::Sealed {
    /// What the next callback gets.
    type Value: 'static;

    /// The same as a Deferred.
    fn into_deferred(self) -> Deferred<Self::Value>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T> Sealed for super::Result<T, super::Failure> {}
    impl<T: 'static> Sealed for super::Deferred<T> {}
}

impl Outcome for () {
    type Value = ();

    #[inline]
    #[track_caller]
    fn into_deferred(self) -> Deferred<()> {
        Deferred::succeed(())
    }
}

impl<T: 'static> Outcome for Result<T, Failure> {
    type Value = T;

    #[inline]
    #[track_caller]
    fn into_deferred(self) -> Deferred<T> {
        Deferred::done(self)
    }
}

impl<T: 'static> Outcome for Deferred<T> {
    type Value = T;

    fn into_deferred(self) -> Self {
        self
    }
}
