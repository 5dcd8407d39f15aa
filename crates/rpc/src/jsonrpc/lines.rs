//! JSON-RPC over lines: one text a line, in both directions. Knows no interface.

use super::{Callee, LOGIN, refusal, respond};
use crate::{
    arguments::Arguments,
    calls::ExposureLimits,
    cred::{Gate, Portal},
    fault::{self, Fault},
    object::{CallContext, Object},
    owed::Owed,
    value::Value,
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
    portal: Option<Portal>,
}

impl JsonRpcLines {
    /// Serves this object within these limits.
    #[must_use]
    pub fn new(object: &Object, limits: ExposureLimits) -> Self {
        Self {
            object: object.clone(),
            limits,
            portal: None,
        }
    }

    /// Lets those call whom this portal knows: they call `rpc.login` with a name and a password, or with a token, by place
    /// or as `username` and `password`, or `token`; it gives `null`. The avatar becomes that of the calls. A call before
    /// that fails with the code `unauthorized`, and so does a login that is wrong;
    /// [`login_attempts`](ExposureLimits::login_attempts) of them close the connection. What comes after a login is read
    /// when that has been answered; in one batch with it nobody has logged in yet.
    #[must_use]
    pub fn portal(mut self, portal: Portal) -> Self {
        self.portal = Some(portal);
        self
    }
}

#[diagnostic::do_not_recommend]
impl Factory for JsonRpcLines {
    type Protocol = Lines<JsonRpcProtocol>;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Lines<JsonRpcProtocol>> {
        let protocol = JsonRpcProtocol {
            gate: Gate::new(&self.object, self.limits, self.portal.as_ref()),
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
    gate: Gate,
    owed: Rc<Owed>,
}

/// The calls of a connection, and the logins before them.
struct Desk<'a> {
    gate: &'a Gate,
    transport: &'a Transport,
}

impl Callee for Desk<'_> {
    fn limits(&self) -> &ExposureLimits {
        self.gate.limits()
    }

    fn call(
        &self,
        context: &CallContext,
        method: &str,
        arguments: Arguments,
        answer: impl FnOnce(Result<Value, Fault>) + 'static,
    ) {
        if method == LOGIN && self.gate.has_logins() {
            let client = self.transport.clone();
            self.gate.login(self.transport, arguments, move |result| {
                answer(result.map(|()| Value::Nothing));
                client.resume_producing();
            });
            if self.gate.is_asking() {
                self.transport.pause_producing();
            }
            return;
        }
        match self.gate.enter() {
            Ok(entered) => {
                let context = entered.context(context.clone());
                Callee::call(entered.calls(), &context, method, arguments, answer);
            }
            Err(fault) => answer(Err(fault)),
        }
    }
}

#[diagnostic::do_not_recommend]
impl LineReceiver for JsonRpcProtocol {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        self.gate.connection_made(transport)
    }

    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        // Made anew each time: whoever keeps one keeps the reactor, which keeps us.
        let context = &CallContext::of(transport)?;
        self.owed.asked();
        let (client, owed) = (transport.clone(), Rc::clone(&self.owed));
        let desk = Desk {
            gate: &self.gate,
            transport,
        };
        let is_json = respond(&desk, context, line, move |answer| {
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
        let longest = self.gate.limits().request_bytes;
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
