//! Makes the calls that a request asks for, and writes what is answered. Sends nothing.

use super::{
    BAD_PARAMETERS, INTERNAL_ERROR, NO_JSON, NO_METHOD, NO_REQUEST, SERVER_ERROR,
    request::{Message, Refused, Request, read},
};
use crate::{
    arguments::Arguments,
    calls::{Calls, ExposureLimits},
    fault::{self, Fault},
    object::CallContext,
    value::Value,
};
use serde_json::{Value as Json, json};
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
};

/// Whoever makes the calls that requests ask for: an object's [`Calls`], or those of several objects with names for all
/// their methods.
pub trait Callee {
    /// What it allows.
    fn limits(&self) -> &ExposureLimits;

    /// Makes a call, as [`Calls::call`] does.
    fn call(
        &self,
        context: &CallContext,
        method: &str,
        arguments: Arguments,
        answer: impl FnOnce(Result<Value, Fault>) + 'static,
    );
}

/// `Quoter.quote` is `quote` of `Quoter`.
impl Callee for Calls {
    fn limits(&self) -> &ExposureLimits {
        Self::limits(self)
    }

    fn call(
        &self,
        context: &CallContext,
        method: &str,
        arguments: Arguments,
        answer: impl FnOnce(Result<Value, Fault>) + 'static,
    ) {
        let method = match method.strip_prefix(self.object().descriptor().name) {
            Some(rest) if rest.starts_with('.') => &rest[1..],
            _ => method,
        };
        Self::call(self, context, method, arguments, answer);
    }
}

/// Makes the calls of a request or a batch, and hands the text of the answer over: once, at once or later, and never
/// after `calls` has been dropped. It is `None` when nobody asked for an answer: for notifications.
///
/// Keeps the limits of `calls`: beyond `request_bytes`, `nesting` and `batch` nothing is called, and the answer as a whole
/// has `response_bytes` at most, where it holds no more than an error for each call. Calls of a batch begin in its order
/// and are answered in it.
///
/// Returns whether the request was JSON. It has been answered if not; but whoever cuts a stream into requests closes it
/// then, for what follows may be out of step.
pub fn respond(
    calls: &impl Callee,
    context: &CallContext,
    request: &[u8],
    answer: impl FnOnce(Option<Vec<u8>>) + 'static,
) -> bool {
    let limits = calls.limits();
    if request.len() > limits.request_bytes {
        let message = format!("a request has {} bytes at most", limits.request_bytes);
        answer(Some(refusal(&Fault::new(fault::TOO_LARGE, message))));
        return true;
    }
    match read(request, limits.nesting, limits.batch) {
        Ok(Message::One(request)) => {
            let room = limits.response_bytes;
            call(calls, context, request, move || room, answer);
        }
        Ok(Message::Batch(requests)) => call_all(calls, context, requests, answer),
        Err(Refused::NoRequest(why)) => {
            answer(Some(error(NO_REQUEST, &why, &Json::Null, "null")));
        }
        Err(Refused::NoJson(why)) => {
            answer(Some(error(NO_JSON, &why, &Json::Null, "null")));
            return false;
        }
    }
    true
}

/// The answer to a request that is not looked at, for this reason: it is too large, say, or whoever sent it may not.
#[must_use]
pub fn refusal(fault: &Fault) -> Vec<u8> {
    failed(fault, "null")
}

/// Makes one call. `room` says how many bytes its result may have with what is around it.
fn call(
    calls: &impl Callee,
    context: &CallContext,
    request: Request,
    room: impl FnOnce() -> usize + 'static,
    answer: impl FnOnce(Option<Vec<u8>>) + 'static,
) {
    let Request { id, call } = request;
    let (method, arguments) = match call {
        Ok(call) => call,
        Err(why) => {
            let id = id.as_deref().unwrap_or("null");
            return answer(Some(error(NO_REQUEST, why, &Json::Null, id)));
        }
    };
    let Some(id) = id else {
        calls.call(context, &method, arguments, |_| ());
        return answer(None);
    };
    calls.call(context, &method, arguments, move |result| {
        let written = match result {
            Ok(value) => succeeded(&value, &id, room()),
            Err(fault) => failed(&fault, &id),
        };
        answer(Some(written));
    });
}

/// The answers of a batch, until the last is there.
struct Batch<A> {
    /// In the order of the requests; nothing for a notification, and for what is not there yet.
    answers: RefCell<Vec<Option<Vec<u8>>>>,
    missing: Cell<usize>,
    /// Bytes that the others may still have.
    room: Cell<usize>,
    answer: Cell<Option<A>>,
}

fn call_all<A: FnOnce(Option<Vec<u8>>) + 'static>(
    calls: &impl Callee,
    context: &CallContext,
    requests: Vec<Request>,
    answer: A,
) {
    let batch = Rc::new(Batch {
        answers: RefCell::new(vec![None; requests.len()]),
        missing: Cell::new(requests.len()),
        room: Cell::new(calls.limits().response_bytes),
        answer: Cell::new(Some(answer)),
    });
    for (place, request) in requests.into_iter().enumerate() {
        let (batch, room) = (Rc::clone(&batch), Rc::clone(&batch));
        let room = move || room.room.get();
        call(calls, context, request, room, move |answer| {
            batch.answered(place, answer);
        });
    }
}

impl<A: FnOnce(Option<Vec<u8>>)> Batch<A> {
    fn answered(&self, place: usize, answer: Option<Vec<u8>>) {
        if let Some(answer) = answer {
            self.room
                .set(self.room.get().saturating_sub(answer.len() + 1));
            self.answers.borrow_mut()[place] = Some(answer);
        }
        self.missing.set(self.missing.get() - 1);
        if self.missing.get() == 0
            && let Some(answer) = self.answer.take()
        {
            answer(joined(self.answers.take()));
        }
    }
}

/// Answers as one batch, or nothing when there is none.
fn joined(answers: Vec<Option<Vec<u8>>>) -> Option<Vec<u8>> {
    let answers: Vec<Vec<u8>> = answers.into_iter().flatten().collect();
    if answers.is_empty() {
        return None;
    }
    let mut text = b"[".to_vec();
    text.extend(answers.join(&b','));
    text.push(b']');
    Some(text)
}

/// A result, or that it is too large.
fn succeeded(value: &Value, id: &str, room: usize) -> Vec<u8> {
    let mut text = Bounded {
        bytes: br#"{"jsonrpc":"2.0","result":"#.to_vec(),
        room,
    };
    match serde_json::to_writer(&mut text, value) {
        Ok(()) if text.has_room_for(br#","id":}"#.len() + id.len()) => {
            let mut text = text.bytes;
            for piece in [r#","id":"#, id, "}"] {
                text.extend_from_slice(piece.as_bytes());
            }
            text
        }
        _ => {
            let message = "the answer is larger than is allowed here";
            failed(&Fault::new(fault::TOO_LARGE, message), id)
        }
    }
}

/// A fault, as the table of the module has it.
fn failed(fault: &Fault, id: &str) -> Vec<u8> {
    let number = match fault.code() {
        fault::UNKNOWN_METHOD => NO_METHOD,
        fault::BAD_ARGUMENTS => BAD_PARAMETERS,
        fault::INTERNAL => INTERNAL_ERROR,
        _ => SERVER_ERROR,
    };
    let data = json!({ "code": fault.code() });
    error(number, fault.message(), &data, id)
}

/// An error; `id` is JSON already, and so is left as it is.
fn error(number: i32, message: &str, data: &Json, id: &str) -> Vec<u8> {
    let message = Json::from(message);
    let data = match data {
        Json::Null => String::new(),
        data => format!(r#","data":{data}"#),
    };
    let text = format!(
        r#"{{"jsonrpc":"2.0","error":{{"code":{number},"message":{message}{data}}},"id":{id}}}"#
    );
    text.into_bytes()
}

/// A text that takes no more than it has room for.
struct Bounded {
    bytes: Vec<u8>,
    room: usize,
}

impl Bounded {
    fn has_room_for(&self, more: usize) -> bool {
        self.bytes.len().saturating_add(more) <= self.room
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.has_room_for(bytes.len()) {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
