//! Texts that are read by `GET`: what a method gives is the body. Knows no connection.
//!
//! Source: Prometheus' text-based exposition format, version 0.0.4.

use super::answer::Bounded;
use crate::{fault::Fault, value::Value};
use hyper::body::Bytes;

/// The one type there is: what Prometheus reads.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The body, of at most so many bytes.
pub(super) fn of(called: Result<Value, Fault>, most: usize) -> Result<Bytes, Fault> {
    match called? {
        Value::String(text) if text.len() <= most => Ok(text.into()),
        Value::String(_) => Err(Bounded::too_large(most)),
        other => {
            let found = other.described();
            tracing::warn!(target: "tress", "a method that is read as text gave {found}");
            Err(Fault::internal())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault;

    #[test]
    fn a_text_has_a_limit_and_nothing_else_is_one() {
        let text = |text: &str| Ok(Value::String(text.to_owned()));
        assert_eq!(of(text("12345"), 5).as_deref(), Ok(&b"12345"[..]));
        let code = |called| of(called, 5).map_err(|fault| fault.code().to_owned());
        assert_eq!(code(text("123456")), Err(fault::TOO_LARGE.to_owned()));
        assert_eq!(code(Ok(Value::Integer(1))), Err(fault::INTERNAL.to_owned()));
        let busy = Fault::new(fault::BUSY, "later");
        assert_eq!(code(Err(busy)), Err(fault::BUSY.to_owned()));
    }
}
