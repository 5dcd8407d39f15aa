//! Why a call failed, as a caller is told: a code that programs compare and a message that people read. Each protocol
//! has its own words for the codes below; every other code is an application's, and travels as it is.

use crate::{
    arguments::BadCall,
    cred::Unauthorized,
    distant::{HomeStopped, NoAnswer, TooManyCalls},
    pending::Disconnected,
};
use std::{borrow::Cow, error::Error, fmt};
use tress_core::{Failure, error::Cancelled};

/// The interface has no such method.
pub const UNKNOWN_METHOD: &str = "unknown-method";
/// The arguments are not what the method takes, or beyond a limit.
pub const BAD_ARGUMENTS: &str = "bad-arguments";
/// The request or the answer is larger than this exposure allows.
pub const TOO_LARGE: &str = "too-large";
/// Too many calls wait already, or the object cannot be reached now.
pub const BUSY: &str = "busy";
/// No answer came in time.
pub const DEADLINE: &str = "deadline";
/// Who calls may not.
pub const UNAUTHORIZED: &str = "unauthorized";
/// The call was cancelled.
pub const CANCELLED: &str = "cancelled";
/// Something failed that callers are not told about; the log is.
pub const INTERNAL: &str = "internal";

/// Why a call failed, as callers are told.
///
/// A method that fails with one, `Err(Fault::new("no-such-user", "…"))?`, tells its callers; every other error becomes
/// [`INTERNAL`], and its text goes to the log only: it may name what is none of the caller's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: Cow<'static, str>,
    message: String,
}

impl Fault {
    /// With this code and this message.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Self {
            code: code.into(),
            message: message.to_string(),
        }
    }

    /// What programs compare.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What people read.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What callers are told of this failure.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        if let Some(fault) = failure.check::<Self>() {
            return fault.clone();
        }
        if let Some(bad) = failure.check::<BadCall>() {
            return bad.into();
        }
        if failure.check::<TooManyCalls>().is_some() || failure.check::<HomeStopped>().is_some() {
            return Self::new(BUSY, failure);
        }
        if failure.check::<Disconnected>().is_some() {
            return Self::new(BUSY, "the object cannot be reached");
        }
        if failure.check::<NoAnswer>().is_some() {
            return Self::new(DEADLINE, "no answer in time");
        }
        if failure.check::<Unauthorized>().is_some() {
            return Self::new(UNAUTHORIZED, failure);
        }
        if failure.check::<Cancelled>().is_some() {
            return Self::new(CANCELLED, "the call was cancelled");
        }
        Self::internal()
    }

    /// The same, and the log is told what callers are not: that this, `pb: a login`, has failed so.
    #[must_use]
    pub(crate) fn told(failure: &Failure, what: fmt::Arguments<'_>) -> Self {
        let fault = Self::of(failure);
        if fault.code() == INTERNAL {
            tracing::warn!(target: "tress", "{what} failed: {failure}");
        }
        fault
    }

    /// That something has failed which callers are not told about.
    pub(crate) fn internal() -> Self {
        Self::new(INTERNAL, "internal error")
    }
}

impl From<&BadCall> for Fault {
    fn from(bad: &BadCall) -> Self {
        Self::new(bad.code(), bad)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_tell_what_happened() {
        let told = Fault::new("no-such-user", "nobody");
        assert_eq!(Fault::of(&Failure::from(told.clone())), told);
        let secret = Fault::of(&Failure::msg("/etc/secret: permission denied"));
        assert_eq!(secret.to_string(), "internal: internal error");
        let late = NoAnswer {
            object: "users".into(),
            after: std::time::Duration::from_secs(1),
        };
        assert_eq!(Fault::of(&late.into()).code(), DEADLINE);
        assert_eq!(Fault::of(&TooManyCalls { limit: 3 }.into()).code(), BUSY);
    }
}
