//! JSON-RPC 2.0 in the bodies of requests and answers. Every answer has the status 200, and 204 when there is nothing to
//! say: after notifications. Knows no message: they are of [`crate::jsonrpc`].

use super::{
    answer::{self, Answer, JSON},
    connection::Session,
    mounts::Table,
};
use crate::{
    arguments::Arguments,
    calls::ExposureLimits,
    fault::{self, Fault},
    jsonrpc::{Callee, respond},
    object::CallContext,
    value::Value,
};
use hyper::StatusCode;
use tress_core::{Deferred, wording::quoted};

/// Answers one request.
pub(super) async fn serve(
    session: &Session,
    context: &CallContext,
    table: &Table,
    body: &[u8],
) -> Answer {
    let (resolver, answered) = Deferred::pair();
    let desk = Desk { session, table };
    respond(&desk, context, body, move |text| resolver.resolve(text));
    match answered.await {
        Ok(Some(text)) => answer::answer(StatusCode::OK, JSON, text.into()),
        Ok(None) => answer::nothing(StatusCode::NO_CONTENT),
        Err(failure) => answer::of_fault(&Fault::of(&failure)),
    }
}

/// The methods of a path.
struct Desk<'a> {
    session: &'a Session,
    table: &'a Table,
}

impl Callee for Desk<'_> {
    fn limits(&self) -> &ExposureLimits {
        &self.table.limits
    }

    fn call(
        &self,
        context: &CallContext,
        method: &str,
        arguments: Arguments,
        answer: impl FnOnce(Result<Value, Fault>) + 'static,
    ) {
        match self.table.find(method) {
            Some(target) => self.session.call_with(context, target, arguments, answer),
            None => {
                let message = format!("there is no method {}", quoted(method));
                answer(Err(Fault::new(fault::UNKNOWN_METHOD, message)));
            }
        }
    }
}
