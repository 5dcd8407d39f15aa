//! A client of AMP's servers: carries the calls of an interface over one connection. Knows no interface.

use super::{
    ANSWER, ASK, COMMAND, ERROR, ERROR_CODE, ERROR_DESCRIPTION, RESULT, UNHANDLED, UNKNOWN,
    form::Form,
    format::{Boxes, Pairs, put_pair},
    plan::{Command, Plan},
};
use crate::{
    arguments::{Arguments, BadCall},
    calls::ExposureLimits,
    client::Carrier,
    cred::Credentials,
    descriptor::Descriptor,
    fault::{self, Fault},
    object::CallContext,
    pending::{Asked, Held, Pending},
    unsayable::Unsayable,
    value::{BadValue, Value},
};
use std::rc::Rc;
use tress_core::{
    Deferred, Failure, Reactor, Result,
    escape::Escaped,
    framing::{StringOptions, StringReceiver, StringTransport},
};

/// Connects to an AMP server at an endpoint (`tcp:127.0.0.1:1234`), whose commands are the methods of that interface. Of
/// the limits it keeps `response_bytes`, `calls_in_flight` and `call_deadline`. Fails with [`Unsayable`] before it
/// connects when the interface cannot be said in AMP.
#[track_caller]
pub fn connect_amp(
    reactor: &Reactor,
    at: &str,
    descriptor: &'static Descriptor,
    limits: ExposureLimits,
) -> Deferred<AmpClient> {
    match AmpClient::new(descriptor, limits) {
        Ok(client) => {
            let connected = reactor.connect_protocol(at, client.protocol());
            connected.map(move |_| client)
        }
        Err(unsayable) => Deferred::fail(unsayable),
    }
}

/// Carries calls to an AMP server; clones are the same connection, which is closed when the last of them is dropped.
///
/// `<dyn DynQuoter>::TWIN(Client::new(client))` is a `Quoter` at the other end. A fault comes back with the code that it
/// had, also from Twisted's servers: their `UNHANDLED` is [`fault::UNKNOWN_METHOD`], their `UNKNOWN`
/// [`fault::INTERNAL`]. Where a server calls the one key of its answer otherwise than `result` that is understood, and so
/// are the fields of a record as so many keys. Cancelling a call forgets it here: AMP has no way to say so.
#[derive(Clone, Debug)]
pub struct AmpClient {
    plan: Rc<Plan>,
    held: Rc<Held>,
}

impl AmpClient {
    /// One that has no connection yet: [`AmpClient::protocol`] is for that.
    ///
    /// # Errors
    /// The interface cannot be said in AMP.
    pub fn new(descriptor: &'static Descriptor, limits: ExposureLimits) -> Result<Self, Unsayable> {
        Ok(Self {
            plan: Rc::new(Plan::new(descriptor)?),
            held: Rc::new(Held(Pending::new(descriptor.name, limits))),
        })
    }

    /// The same for servers whose kinds of values nobody knows: the descriptor names methods and arguments only. A value is
    /// written as what it is; what comes is text, bytes where it is none, a list where it can be one, and a record of
    /// these where an answer has several keys.
    ///
    /// # Errors
    /// The names cannot be said in AMP.
    pub fn untyped(
        descriptor: &'static Descriptor,
        limits: ExposureLimits,
    ) -> Result<Self, Unsayable> {
        Ok(Self {
            plan: Rc::new(Plan::untyped(descriptor)?),
            held: Rc::new(Held(Pending::new(descriptor.name, limits))),
        })
    }

    /// Says who calls, at a server that asks for that ([`AmpFactory::portal`](super::AmpFactory::portal)): with a password or
    /// a token. Calls that are made meanwhile are made as whoever this is.
    #[must_use]
    pub fn login(&self, context: &CallContext, credentials: Credentials) -> Deferred<()> {
        let arguments = match credentials.into_arguments() {
            Ok(arguments) => arguments,
            Err(fault) => return Deferred::fail(fault),
        };
        let login = &self.plan.login;
        self.send(context, self.plan.commands.len(), login, arguments)
            .map(drop)
    }

    fn send(
        &self,
        context: &CallContext,
        place: usize,
        command: &Command,
        arguments: Arguments,
    ) -> Deferred<Value> {
        self.held.0.call(context, place, |transport, id| {
            let mut out = Vec::with_capacity(128);
            // They are short, but for the name, and that was looked at when the plan was made.
            put_pair(&mut out, ASK, format!("{id:x}").as_bytes()).ok();
            put_pair(&mut out, COMMAND, command.method.name.as_bytes()).ok();
            command.write(arguments, &mut out)?;
            out.extend_from_slice(&[0, 0]);
            transport.write(&out);
            Ok(())
        })
    }

    /// The protocol for its one connection.
    #[must_use]
    pub fn protocol(&self) -> Boxes<AmpCaller> {
        let pending = Rc::clone(&self.held.0);
        let options = StringOptions {
            max_length: Some(pending.limits().response_bytes),
        };
        let plan = Rc::clone(&self.plan);
        Boxes::with(AmpCaller { plan, pending }, options)
    }
}

impl Carrier for AmpClient {
    fn descriptor(&self) -> &'static Descriptor {
        self.plan.descriptor
    }

    fn call(&self, context: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        let Some(place) = self.plan.find(method.as_bytes()) else {
            return Deferred::fail(BadCall::unknown(self.plan.descriptor, method));
        };
        self.send(context, place, self.plan.command(place), arguments)
    }
}

/// The connection of an [`AmpClient`].
#[derive(Debug)]
pub struct AmpCaller {
    plan: Rc<Plan>,
    pending: Rc<Pending>,
}

/// What the server says.
enum Said<'a> {
    Answer(&'a [u8]),
    Error(&'a [u8]),
    /// It calls us, and wants to know what comes of it or not.
    Call(Option<&'a [u8]>),
    Nothing,
}

impl<'a> Said<'a> {
    fn of(string: &'a [u8]) -> Self {
        let (mut said, mut ask) = (Self::Nothing, None);
        for (key, value) in Pairs(string) {
            match key {
                ANSWER => return Self::Answer(value),
                ERROR => return Self::Error(value),
                COMMAND => said = Self::Call(None),
                ASK => ask = Some(value),
                _ => {}
            }
        }
        match said {
            Self::Call(_) => Self::Call(ask),
            said => said,
        }
    }
}

#[diagnostic::do_not_recommend]
impl StringReceiver for AmpCaller {
    fn connection_made(&mut self, transport: &StringTransport) -> Result {
        self.pending.connected(transport);
        Ok(())
    }

    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
        let asked = |id: &[u8]| {
            let id = std::str::from_utf8(id).ok();
            let id = id.and_then(|id| u64::from_str_radix(id, 16).ok());
            id.map_or(Asked::Never, |id| self.pending.answered(id))
        };
        let (asked, is_error) = match Said::of(string) {
            Said::Answer(id) => (asked(id), false),
            Said::Error(id) => (asked(id), true),
            Said::Call(Some(ask)) => {
                let mut out = Vec::new();
                put_pair(&mut out, ERROR, ask).ok();
                put_pair(&mut out, ERROR_CODE, UNHANDLED.as_bytes()).ok();
                put_pair(&mut out, ERROR_DESCRIPTION, b"nothing is served here").ok();
                out.extend_from_slice(&[0, 0]);
                transport.write(&out);
                return Ok(());
            }
            Said::Call(None) => return Ok(()),
            Said::Nothing => (Asked::Never, false),
        };
        match asked {
            Asked::Waits(place, resolver) if is_error => {
                let command = self.plan.command(place);
                resolver.fail(fault_of(self.plan.descriptor, command, string));
            }
            Asked::Waits(place, resolver) => {
                let nesting = self.pending.limits().nesting;
                resolver.fire(result_of(self.plan.command(place), string, nesting));
            }
            Asked::Late => {}
            Asked::Never => {
                let (peer, string) = (transport.peer(), Escaped(string));
                tracing::warn!(target: "tress", "AMP: {peer} is cut off: expected an answer to a call, got {string}");
                transport.lose_connection();
            }
        }
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.pending.lost(&reason);
    }
}

/// The result that an answer holds.
fn result_of(command: &Command, string: &[u8], nesting: usize) -> Result<Value> {
    if command.result == Form::Nothing {
        return Ok(Value::Nothing);
    }
    let keys = || Pairs(string).filter(|(key, _)| *key != ANSWER);
    let only = keys().next().filter(|_| keys().nth(1).is_none());
    let result = keys().find(|(key, _)| *key == RESULT);
    let is_record = !command.fields.is_empty();
    let read = |form: &Form, value: &[u8], name: &str| {
        let value = form.read(value, nesting);
        value.map_err(|why| BadValue::new(format_args!("`{name}` of the answer: {why}")))
    };
    match result.or_else(|| only.filter(|_| !is_record)) {
        Some((_, value)) => Ok(read(&command.result, value, "result")?),
        None if command.result == Form::Unknown && keys().next().is_some() => {
            let fields = keys().map(|(key, value)| {
                let name = String::from_utf8_lossy(key).into_owned();
                let value = read(&command.result, value, &name)?;
                Ok((name, value))
            });
            Ok(Value::Record(fields.collect::<Result<_>>()?))
        }
        None if is_record => {
            let mut record = Vec::new();
            for (name, form) in &command.fields {
                let found = keys().find(|(key, _)| *key == name.as_bytes());
                if let Some((_, value)) = found {
                    record.push((name.clone(), read(form, value, name)?));
                }
            }
            match record.is_empty() {
                // An answer without a key is a result that is nothing.
                true => Ok(Value::Nothing),
                false => Ok(Value::Record(record)),
            }
        }
        None => Ok(Value::Nothing),
    }
}

/// What an error says.
fn fault_of(descriptor: &'static Descriptor, command: &Command, string: &[u8]) -> Failure {
    let text = |wanted: &[u8]| {
        let found = Pairs(string).find(|(key, _)| *key == wanted);
        found.map_or_else(String::new, |(_, value)| {
            String::from_utf8_lossy(value).into_owned()
        })
    };
    let (code, message) = (text(ERROR_CODE), text(ERROR_DESCRIPTION));
    match code.as_str() {
        UNHANDLED => BadCall::unknown(descriptor, command.method.name).into(),
        UNKNOWN => Fault::new(fault::INTERNAL, message).into(),
        _ => Fault::new(code, message).into(),
    }
}
