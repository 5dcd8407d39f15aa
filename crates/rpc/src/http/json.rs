//! HTTP+JSON: the body of a request is the arguments, by name or by place, and that of the answer the result. Knows no
//! connection.

use super::{
    answer::{self, Answer, Bounded, JSON, Refusal},
    connection::{Session, done},
    mounts::Target,
};
use crate::{
    arguments::Arguments, calls::ExposureLimits, fault::Fault, nesting::is_deeper,
    object::CallContext, value::Value,
};
use hyper::{StatusCode, body::Bytes};

/// What may be in the body of a request.
pub(super) const TYPES: &[&str] = &[JSON];

/// Answers one request.
pub(super) async fn serve(
    session: &Session,
    context: &CallContext,
    target: Target,
    limits: &ExposureLimits,
    body: &[u8],
) -> Result<Answer, Refusal> {
    let arguments = read(body, limits.nesting)?;
    let result = done(session.call(context, target, arguments)).await;
    let written = result.and_then(|value| write(&value, limits.response_bytes));
    Ok(match written {
        Ok(body) => answer::answer(StatusCode::OK, JSON, body),
        Err(fault) => answer::of_fault(&fault),
    })
}

fn read(body: &[u8], nesting: usize) -> Result<Arguments, Refusal> {
    if body.trim_ascii().is_empty() {
        return Ok(Arguments::default());
    }
    if is_deeper(body, nesting) {
        let message = format!("lists and objects are at most {nesting} deep (`nesting`)");
        return Err(Refusal::bad_request(message));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Record(named)) => Ok(named.into()),
        Ok(Value::List(positional)) => Ok(positional.into()),
        Ok(other) => Err(Refusal::bad_request(format!(
            "expected the arguments as an object or as a list, found {}",
            other.described()
        ))),
        Err(bad) => Err(Refusal::bad_request(format!("no JSON: {bad}"))),
    }
}

fn write(value: &Value, most: usize) -> Result<Bytes, Fault> {
    let mut out = Bounded::new(most);
    match serde_json::to_writer(&mut out, value) {
        Ok(()) => Ok(out.into_bytes()),
        Err(error) if error.is_io() => Err(Bounded::too_large(most)),
        Err(error) => {
            tracing::warn!(target: "tress", "a result is no JSON: {error}");
            Err(Fault::internal())
        }
    }
}
