//! JSON-RPC over lines: one text a line, in both directions. Knows no interface.

use super::{refusal, respond};
use crate::{
    calls::{Calls, ExposureLimits},
    fault::{self, Fault},
    object::{CallContext, Object},
    owed::Owed,
};
use std::rc::Rc;
use tress_core::{
    Address, Factory, Result, Transport,
    framing::{Delimiter, LineOptions, LineReceiver, LineTransport, Lines},
};

/// Serves an object as JSON-RPC 2.0, one text a line. Answers end in a line feed; requests do, or in CR LF.
///
/// Answers come when they are there, so not always in the order of the requests. A line that is no JSON is answered, and
/// then the connection is closed; so is one that is longer than `request_bytes`, for its rest is not read.
#[derive(Debug)]
pub struct JsonRpcLines {
    object: Object,
    limits: ExposureLimits,
}

impl JsonRpcLines {
    /// Serves this object within these limits.
    #[must_use]
    pub fn new(object: &Object, limits: ExposureLimits) -> Self {
        Self {
            object: object.clone(),
            limits,
        }
    }
}

#[diagnostic::do_not_recommend]
impl Factory for JsonRpcLines {
    type Protocol = Lines<JsonRpcProtocol>;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Lines<JsonRpcProtocol>> {
        let protocol = JsonRpcProtocol {
            calls: Calls::new(&self.object, self.limits),
            owed: Rc::default(),
        };
        Some(Lines::with(protocol, options(self.limits.request_bytes)))
    }
}

/// Lines of so many bytes.
pub(super) fn options(longest: usize) -> LineOptions {
    LineOptions {
        delimiter: Delimiter::Either,
        max_length: Some(longest),
    }
}

/// Sends one text.
pub(super) fn send(transport: &Transport, mut text: Vec<u8>) {
    text.push(b'\n');
    transport.write_bytes(text.into());
}

/// One client of [`JsonRpcLines`].
#[derive(Debug)]
pub struct JsonRpcProtocol {
    calls: Calls,
    owed: Rc<Owed>,
}

#[diagnostic::do_not_recommend]
impl LineReceiver for JsonRpcProtocol {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        // Made anew each time: whoever keeps one keeps the reactor, which keeps us.
        let context = &CallContext::of(transport)?;
        self.owed.asked();
        let (client, owed) = (transport.clone(), Rc::clone(&self.owed));
        let is_json = respond(&self.calls, context, line, move |answer| {
            if let Some(answer) = answer {
                send(&client, answer);
            }
            owed.answered(&client);
        });
        if !is_json {
            transport.lose_connection();
        }
        Ok(())
    }

    fn line_length_exceeded(&mut self, transport: &LineTransport, _line: &[u8]) -> Result {
        let longest = self.calls.limits().request_bytes;
        let message = format!("a request has {longest} bytes at most");
        send(transport, refusal(&Fault::new(fault::TOO_LARGE, message)));
        transport.lose_connection();
        Ok(())
    }

    fn read_closed(&mut self, transport: &LineTransport) -> Result {
        self.owed.ended(transport);
        Ok(())
    }
}
