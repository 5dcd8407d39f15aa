//! A client of JSON-RPC servers that speak lines: carries the calls of an interface over one connection. Knows no interface.

use super::{
    BAD_PARAMETERS, INTERNAL_ERROR, LOGIN, NO_METHOD,
    lines::{options, send},
};
use crate::{
    arguments::{Arguments, BadCall},
    calls::ExposureLimits,
    client::Carrier,
    cred::Credentials,
    descriptor::{Descriptor, Method},
    fault::{BAD_ARGUMENTS, Fault, INTERNAL, UNKNOWN_METHOD},
    nesting::is_deeper,
    object::CallContext,
    pending::{Asked, Held, Pending},
    value::Value,
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::rc::Rc;
use tress_core::{
    Deferred, Failure, Reactor, Result,
    escape::Escaped,
    framing::{LineReceiver, LineTransport, Lines},
};

/// Connects to a server at an endpoint (`tcp:127.0.0.1:8011`) that speaks JSON-RPC 2.0, one text a line, and has the
/// methods of that interface. Of the limits it keeps `response_bytes`, `nesting`, `calls_in_flight` and `call_deadline`.
#[track_caller]
pub fn connect_json_rpc(
    reactor: &Reactor,
    at: &str,
    descriptor: &'static Descriptor,
    limits: ExposureLimits,
) -> Deferred<JsonRpcClient> {
    let client = JsonRpcClient::new(descriptor, limits);
    let connected = reactor.connect_protocol(at, client.protocol());
    connected.map(move |_| client)
}

/// Carries calls to a server that speaks JSON-RPC 2.0, one text a line; clones are the same connection, which is closed
/// when the last of them is dropped.
///
/// Arguments go by place; when some are given by name, all do. An error comes back as the [`Fault`] that its `data.code`
/// names; without that, by its number as the table of the [module](super) has it, and any other number is a code such as
/// `-32050`. Cancelling a call forgets it here: JSON-RPC has no way to say so.
#[derive(Clone, Debug)]
pub struct JsonRpcClient {
    descriptor: &'static Descriptor,
    held: Rc<Held>,
}

impl JsonRpcClient {
    /// One that has no connection yet: [`JsonRpcClient::protocol`] is for that.
    #[must_use]
    pub fn new(descriptor: &'static Descriptor, limits: ExposureLimits) -> Self {
        Self {
            descriptor,
            held: Rc::new(Held(Pending::new(descriptor.name, limits))),
        }
    }

    /// Says who calls, at a server that asks for that ([`JsonRpcLines::portal`](super::JsonRpcLines::portal)): with a
    /// password or a token. Calls that are made meanwhile are made as whoever this is.
    #[must_use]
    pub fn login(&self, context: &CallContext, credentials: Credentials) -> Deferred<()> {
        let parameters = match credentials.into_arguments() {
            Ok(arguments) => Parameters(Value::Record(arguments.named)),
            Err(fault) => return Deferred::fail(fault),
        };
        self.send(context, 0, LOGIN, parameters).map(drop)
    }

    fn send(
        &self,
        context: &CallContext,
        place: usize,
        method: &'static str,
        parameters: Parameters,
    ) -> Deferred<Value> {
        self.held.0.call(context, place, |transport, id| {
            let request = Request {
                method,
                parameters,
                id,
            };
            send(transport, serde_json::to_vec(&request)?);
            Ok(())
        })
    }

    /// The protocol for its one connection.
    #[must_use]
    pub fn protocol(&self) -> Lines<JsonRpcCaller> {
        let pending = Rc::clone(&self.held.0);
        let options = options(pending.limits().response_bytes);
        Lines::with(JsonRpcCaller { pending }, options)
    }
}

impl Carrier for JsonRpcClient {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn call(&self, context: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        let Some((place, method)) = self.descriptor.method(method) else {
            return Deferred::fail(BadCall::unknown(self.descriptor, method));
        };
        let parameters = match Parameters::new(method, arguments) {
            Ok(parameters) => parameters,
            Err(fault) => return Deferred::fail(fault),
        };
        self.send(context, place, method.name, parameters)
    }
}

pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) parameters: Parameters,
    pub(crate) id: u64,
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("jsonrpc", "2.0")?;
        members.serialize_entry("method", self.method)?;
        members.serialize_entry("params", &self.parameters.0)?;
        members.serialize_entry("id", &self.id)?;
        members.end()
    }
}

/// A list or a record.
pub(crate) struct Parameters(pub(crate) Value);

impl Parameters {
    pub(crate) fn new(method: &'static Method, arguments: Arguments) -> Result<Self, Fault> {
        let Arguments { positional, named } = arguments;
        if positional.len() > method.arguments.len() {
            let (name, most) = (method.name, method.arguments.len());
            let message = format!("`{name}`: expected {most} arguments at most");
            return Err(Fault::new(BAD_ARGUMENTS, message));
        }
        if named.is_empty() {
            return Ok(Self(Value::List(positional)));
        }
        let placed = method.arguments.iter().zip(positional);
        let placed = placed.map(|(argument, value)| (argument.name.to_owned(), value));
        Ok(Self(Value::Record(placed.chain(named).collect())))
    }
}

/// The connection of a [`JsonRpcClient`].
#[derive(Debug)]
pub struct JsonRpcCaller {
    pending: Rc<Pending>,
}

#[diagnostic::do_not_recommend]
impl LineReceiver for JsonRpcCaller {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        self.pending.connected(transport);
        Ok(())
    }

    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        // Around the result stands the response.
        let nesting = self.pending.limits().nesting.saturating_add(1);
        let answer = match is_deeper(line, nesting) {
            true => None,
            false => Answer::read(line),
        };
        let asked = answer.as_ref().map(|answer| answer.id);
        let asked = asked.map_or(Asked::Never, |id| self.pending.answered(id));
        match (asked, answer) {
            (Asked::Waits(_, resolver), Some(answer)) => resolver.fire(answer.result),
            (Asked::Late, _) => {}
            _ => {
                let (peer, line) = (transport.peer(), Escaped(line));
                tracing::warn!(target: "tress", "JSON-RPC: {peer} is cut off: expected an answer to a call, got {line}");
                transport.lose_connection();
            }
        }
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.pending.lost(&reason);
    }
}

/// An answer to one call.
pub(crate) struct Answer {
    pub(crate) id: u64,
    pub(crate) result: Result<Value>,
}

impl Answer {
    /// `None` when the line is none.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let Ok(Value::Record(members)) = serde_json::from_slice(line) else {
            return None;
        };
        let (mut id, mut result, mut error) = (None, None, None);
        for (name, value) in members {
            match (name.as_str(), value) {
                ("id", Value::Integer(number)) => id = u64::try_from(number).ok(),
                ("result", value) => result = Some(value),
                // Servers before version 2 have both.
                ("error", Value::Nothing) => {}
                ("error", value) => error = Some(value),
                _ => {}
            }
        }
        let result = match (result, error) {
            (_, Some(error)) => Err(fault(error).into()),
            (Some(result), None) => Ok(result),
            (None, None) => return None,
        };
        Some(Self { id: id?, result })
    }
}

/// What an error says.
fn fault(error: Value) -> Fault {
    let Value::Record(mut members) = error else {
        return Fault::new(INTERNAL, "an error that is no object");
    };
    let mut take = |wanted: &str| {
        let place = members.iter().position(|(name, _)| name == wanted)?;
        Some(members.swap_remove(place).1)
    };
    let message = match take("message") {
        Some(Value::String(message)) => message,
        _ => String::new(),
    };
    let own = match take("data") {
        Some(Value::Record(data)) => data.into_iter().find_map(|member| match member {
            (name, Value::String(code)) if name == "code" => Some(code),
            _ => None,
        }),
        _ => None,
    };
    let code = own.unwrap_or_else(|| match take("code") {
        Some(Value::Integer(number)) => match i32::try_from(number) {
            Ok(NO_METHOD) => UNKNOWN_METHOD.to_owned(),
            Ok(BAD_PARAMETERS) => BAD_ARGUMENTS.to_owned(),
            Ok(INTERNAL_ERROR) => INTERNAL.to_owned(),
            _ => number.to_string(),
        },
        _ => INTERNAL.to_owned(),
    });
    Fault::new(code, message)
}
