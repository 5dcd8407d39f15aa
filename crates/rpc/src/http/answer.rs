//! Answers: the table of statuses, bodies that keep to a limit, the headers that all of them have. Knows no request.
//!
#![doc = include_str!("statuses.md")]

use crate::fault::{self, Fault};
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::json;
use std::{
    fmt,
    io::{self, Write},
};

/// What a connection is given to write.
pub(super) type Answer = Response<Full<Bytes>>;

pub(super) const JSON: &str = "application/json";

/// The status of a call that failed so, from the table above.
pub(super) fn status(fault: &Fault) -> StatusCode {
    match fault.code() {
        fault::UNKNOWN_METHOD => StatusCode::NOT_FOUND,
        fault::BAD_ARGUMENTS => StatusCode::BAD_REQUEST,
        fault::TOO_LARGE | fault::INTERNAL => StatusCode::INTERNAL_SERVER_ERROR,
        fault::BUSY | fault::CANCELLED => StatusCode::SERVICE_UNAVAILABLE,
        fault::DEADLINE => StatusCode::GATEWAY_TIMEOUT,
        fault::UNAUTHORIZED => StatusCode::FORBIDDEN,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// The code of a fault as those have it that become no call.
pub(super) fn code(fault: &Fault) -> &'static str {
    match fault.code() {
        fault::BUSY => fault::BUSY,
        fault::DEADLINE => fault::DEADLINE,
        fault::CANCELLED => fault::CANCELLED,
        _ => fault::INTERNAL,
    }
}

/// An answer with a body. It is for whoever asked and nobody else, now and not later.
pub(super) fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// An answer without one.
pub(super) fn nothing(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// What a call failed with, for a caller that reads JSON.
pub(super) fn of_fault(fault: &Fault) -> Answer {
    failed(status(fault), fault.code(), fault.message())
}

fn failed(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = json!({ "code": code, "message": message }).to_string();
    answer(status, JSON, body.into())
}

/// A request that no method sees.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl fmt::Display) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
            headers: Vec::new(),
        }
    }

    pub(super) fn bad_request(message: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    pub(super) fn too_large(most: usize) -> Self {
        let message = format!("a request has at most {most} bytes (`request_bytes`)");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, fault::TOO_LARGE, message)
    }

    /// The same with this header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same, and the connection ends.
    pub(super) fn closing(self) -> Self {
        self.with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// As it is answered.
    pub(super) fn into_answer(self) -> Answer {
        let mut answer = failed(self.status, self.code, &self.message);
        for (name, value) in self.headers {
            answer.headers_mut().append(name, value);
        }
        answer
    }
}

/// Bytes that become no more than a limit allows.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Bounded {
    pub(super) fn new(most: usize) -> Self {
        let bytes = Vec::new();
        Self { bytes, most }
    }

    /// What was written.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }

    /// What to say of an answer that did not fit.
    pub(super) fn too_large(most: usize) -> Fault {
        let message = format!("an answer has at most {most} bytes (`response_bytes`)");
        Fault::new(fault::TOO_LARGE, message)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
