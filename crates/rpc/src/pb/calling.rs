//! Calls to the peer: what they are sent as, who waits for their answers, and the peer's objects. Every call has a
//! deadline; the one timer of a connection stands for the next of them.

use super::{
    banana::{Reader, TooLarge, Writer},
    broker::{Broker, Local, at_most, reference},
    failures,
    jelly::{jelly, unicode},
    login::respond,
    unjelly::unjelly,
};
use crate::{
    arguments::{Arguments, BadCall},
    client::Carrier,
    descriptor::Descriptor,
    distant::TooManyCalls,
    fault::{self, Fault},
    object::{CallContext, Object},
    value::{BadValue, Value},
};
use std::{collections::BTreeMap, fmt, rc::Rc};
use tress_core::{Deferred, DelayedCall, Failure, Reactor, Resolver, Result, Time};

/// Who waits for the answers of a peer.
#[derive(Default)]
pub(super) struct Calling {
    last: i128,
    waiting: BTreeMap<i128, Waiting>,
    /// Ends those whose deadline has come.
    timer: Option<(Time, DelayedCall)>,
}

pub(super) struct Waiting {
    deadline: Time,
    wanted: Wanted,
}

/// What an answer must be.
enum Wanted {
    Value(Resolver<Value>),
    Answer(Resolver<PbAnswer>),
    Challenge(Resolver<(Vec<u8>, PbReference)>),
}

impl Calling {
    /// Those that waited, of which there are none after this.
    pub(super) fn end(&mut self) -> Vec<Waiting> {
        if let Some((_, timer)) = self.timer.take() {
            timer.cancel().ok();
        }
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// How many.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a call of that number was made.
    fn was_made(&self, number: i128) -> bool {
        (1..=self.last).contains(&number)
    }

    /// Takes out those whose deadline has come.
    fn late(&mut self, now: Time) -> Vec<Waiting> {
        let late = self.waiting.extract_if(.., |_, call| call.deadline <= now);
        late.map(|(_, call)| call).collect()
    }
}

impl Waiting {
    #[track_caller]
    pub(super) fn fail(self, failure: Failure) {
        match self.wanted {
            Wanted::Value(resolver) => resolver.fail(failure),
            Wanted::Answer(resolver) => resolver.fail(failure),
            Wanted::Challenge(resolver) => resolver.fail(failure),
        }
    }
}

impl Broker {
    /// Sends a call, and waits for its answer.
    fn ask<T>(
        self: &Rc<Self>,
        target: &Target,
        context: &CallContext,
        method: &str,
        arguments: impl FnOnce(&mut Writer<'_>) -> Result<(), TooLarge>,
        wanted: impl FnOnce(Resolver<T>) -> Wanted,
    ) -> Deferred<T> {
        if let Some(failure) = self.ended() {
            return Deferred::fail(failure);
        }
        let number = {
            let mut calling = self.calling.borrow_mut();
            let limit = self.limits.calls_in_flight;
            if calling.waiting() >= limit {
                return Deferred::fail(TooManyCalls { limit });
            }
            calling.last += 1;
            calling.last
        };
        let most = self.limits.request_bytes;
        let sent = self.send(most, |writer| {
            writer.list(7)?;
            writer.bytes(b"message")?;
            writer.integer(number);
            target.write(writer)?;
            writer.bytes(method.as_bytes())?;
            writer.integer(1);
            arguments(writer)
        });
        if let Err(TooLarge) = sent {
            let message = format!("`{method}`: expected a request {}", at_most(most));
            return Deferred::fail(Fault::new(fault::TOO_LARGE, message));
        }
        let broker = Rc::downgrade(self);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            // Its answer will come, and be ignored: there is no word of this protocol for it.
            let call = broker.upgrade().and_then(|broker| broker.taken(number));
            drop(call);
        });
        let reactor = &context.reactor;
        let deadline = reactor.now() + self.limits.call_deadline;
        let call = Waiting {
            deadline: context.deadline.map_or(deadline, |own| own.min(deadline)),
            wanted: wanted(resolver),
        };
        self.set_timer(reactor, call.deadline);
        self.calling.borrow_mut().waiting.insert(number, call);
        deferred
    }

    fn taken(&self, number: i128) -> Option<Waiting> {
        self.calling.borrow_mut().waiting.remove(&number)
    }

    /// Makes sure that the timer comes at that time, or before.
    fn set_timer(self: &Rc<Self>, reactor: &Reactor, at: Time) {
        let mut calling = self.calling.borrow_mut();
        if calling.timer.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        // Whoever keeps the reactor in a call of its own keeps it for ever.
        let (broker, again) = (Rc::downgrade(self), reactor.downgrade());
        let timer = reactor.call_later(at.since(reactor.now()), move || {
            if let (Some(broker), Some(reactor)) = (broker.upgrade(), again.upgrade()) {
                broker.deadlines(&reactor);
            }
        });
        if let Some((_, before)) = calling.timer.replace((at, timer)) {
            before.cancel().ok();
        }
    }

    fn deadlines(self: &Rc<Self>, reactor: &Reactor) {
        let (late, next) = {
            let mut calling = self.calling.borrow_mut();
            calling.timer = None;
            let late = calling.late(reactor.now());
            let next = calling.waiting.values().map(|call| call.deadline).min();
            (late, next)
        };
        if let Some(next) = next {
            self.set_timer(reactor, next);
        }
        for call in late {
            call.fail(Fault::new(fault::DEADLINE, "no answer in time").into());
        }
    }

    /// The answer to the call of that number; false when no such call was ever made.
    pub(super) fn answered(self: &Rc<Self>, number: i128, mut answer: Reader<'_>) -> bool {
        let Some(call) = self.taken(number) else {
            // Too late: what is passed in it is given back, as it is dropped.
            drop(self.read(&mut answer));
            return self.calling.borrow().was_made(number);
        };
        match call.wanted {
            Wanted::Value(resolver) => {
                resolver.fire(self.read(&mut answer).and_then(PbAnswer::value))
            }
            Wanted::Answer(resolver) => resolver.fire(self.read(&mut answer)),
            Wanted::Challenge(resolver) => resolver.fire(self.read_challenge(answer)),
        }
        true
    }

    /// The same for a failure.
    pub(super) fn failed(self: &Rc<Self>, number: i128, mut failure: Reader<'_>) -> bool {
        let mut remote = Vec::new();
        let fault = failures::fault(&mut failure, &self.allowed, &mut remote);
        for number in remote {
            self.take_back(number);
        }
        let fault = fault.map_or_else(|bad| Failure::from(bad_answer(bad)), Failure::from);
        match self.taken(number) {
            Some(call) => call.fail(fault),
            None => return self.calling.borrow().was_made(number),
        }
        true
    }

    /// A value, or an object of the peer's that stands alone.
    fn read(self: &Rc<Self>, answer: &mut Reader<'_>) -> Result<PbAnswer> {
        if let Some(reference) = self.read_reference(&mut answer.clone()) {
            return Ok(PbAnswer::Reference(reference));
        }
        let mut remote = Vec::new();
        let value = unjelly(answer, &self.allowed, &mut remote);
        for number in &remote {
            self.take_back(*number);
        }
        match value {
            Ok(_) if !remote.is_empty() => {
                let message = "expected values, found an object of the peer's inside of one";
                Err(bad_answer(message).into())
            }
            Ok(value) => Ok(PbAnswer::Value(value)),
            Err(bad) => Err(bad_answer(bad).into()),
        }
    }

    fn read_reference(self: &Rc<Self>, answer: &mut Reader<'_>) -> Option<PbReference> {
        let is = answer.list()? == 2 && answer.bytes()? == b"remote";
        let number = is.then(|| answer.integer())??;
        Some(PbReference::new(self, Target::Number(number)))
    }

    /// `(challenge, challenger)`
    fn read_challenge(self: &Rc<Self>, mut answer: Reader<'_>) -> Result<(Vec<u8>, PbReference)> {
        let mut read = || {
            let is = answer.list()? == 3 && matches!(answer.bytes()?, b"tuple" | b"list");
            let challenge = is.then(|| answer.bytes())??;
            Some((challenge.to_vec(), self.read_reference(&mut answer)?))
        };
        read().ok_or_else(|| bad_answer("expected a challenge and a challenger").into())
    }
}

fn bad_answer(problem: impl fmt::Display) -> BadValue {
    BadValue::new(format_args!("the answer: {problem}"))
}

/// What of the peer's is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Root,
    Number(i128),
}

impl Target {
    fn write(self, writer: &mut Writer<'_>) -> Result<(), TooLarge> {
        match self {
            Self::Root => writer.bytes(b"root"),
            Self::Number(number) => {
                writer.integer(number);
                Ok(())
            }
        }
    }
}

/// An object of the peer's, for as long as the connection lasts. Clones are the same reference; when the last is dropped
/// the peer is told. Twisted's `RemoteReference`.
#[derive(Clone)]
pub struct PbReference(Rc<Remote>);

struct Remote {
    broker: Rc<Broker>,
    target: Target,
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let Target::Number(number) = self.target {
            self.broker.take_back(number);
        }
    }
}

/// What is passed in a call.
#[derive(Debug)]
pub enum PbArgument {
    /// A value.
    Value(Value),
    /// An object of ours, which the peer may call until it drops it.
    Object(Object),
    /// One of the peer's own.
    Reference(PbReference),
}

impl<V: Into<Value>> From<V> for PbArgument {
    fn from(value: V) -> Self {
        Self::Value(value.into())
    }
}

/// What a call is answered with.
#[derive(Debug)]
pub enum PbAnswer {
    /// A value.
    Value(Value),
    /// An object of the peer's.
    Reference(PbReference),
}

impl PbAnswer {
    /// The value.
    ///
    /// # Errors
    /// It is an object.
    pub fn value(self) -> Result<Value> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Reference(_) => Err(bad_answer("expected a value, found an object").into()),
        }
    }

    /// The object.
    ///
    /// # Errors
    /// It is a value.
    pub fn reference(self) -> Result<PbReference> {
        match self {
            Self::Reference(reference) => Ok(reference),
            Self::Value(value) => {
                let found = value.described();
                Err(bad_answer(format_args!("expected an object, found {found}")).into())
            }
        }
    }
}

impl PbReference {
    fn new(broker: &Rc<Broker>, target: Target) -> Self {
        Self(Rc::new(Remote {
            broker: Rc::clone(broker),
            target,
        }))
    }

    /// The root object of that peer, which is there by definition.
    pub(super) fn root(broker: &Rc<Broker>) -> Self {
        Self::new(broker, Target::Root)
    }

    /// Calls `remote_METHOD` there with values, for a value. Fails with the peer's [`Fault`]; with [`TooManyCalls`] or a
    /// fault of our own when the call exceeds a limit; and when the connection ends. A call that is cancelled is only
    /// forgotten: the protocol has no word for it.
    #[must_use]
    pub fn call(
        &self,
        context: &CallContext,
        method: &str,
        arguments: impl Into<Arguments>,
    ) -> Deferred<Value> {
        let Arguments { positional, named } = arguments.into();
        let write = |writer: &mut Writer<'_>| {
            writer.list(1 + positional.len())?;
            writer.bytes(b"tuple")?;
            positional
                .iter()
                .try_for_each(|value| jelly(writer, value))?;
            writer.list(1 + named.len())?;
            writer.bytes(b"dictionary")?;
            named.iter().try_for_each(|(name, value)| {
                writer.list(2)?;
                unicode(writer, name)?;
                jelly(writer, value)
            })
        };
        let Remote { broker, target } = &*self.0;
        broker.ask(target, context, method, write, Wanted::Value)
    }

    /// The same with objects among the arguments and, perhaps, as the answer.
    #[must_use]
    pub fn call_with(
        &self,
        context: &CallContext,
        method: &str,
        arguments: impl IntoIterator<Item = PbArgument>,
    ) -> Deferred<PbAnswer> {
        let mut written: Vec<Written> = Vec::new();
        let passed = arguments.into_iter().try_for_each(|argument| {
            written.push(self.passed(argument)?);
            Ok(())
        });
        let Remote { broker, target } = &*self.0;
        let called = match passed {
            Ok(()) => {
                let write = |writer: &mut Writer<'_>| {
                    writer.list(1 + written.len())?;
                    writer.bytes(b"tuple")?;
                    written
                        .iter()
                        .try_for_each(|argument| argument.write(writer))?;
                    writer.list(1)?;
                    writer.bytes(b"dictionary")
                };
                broker.ask(target, context, method, write, Wanted::Answer)
            }
            Err(failure) => Deferred::done(Err(failure)),
        };
        // One that has failed by now was never sent.
        called.try_result().map_or_else(
            |waiting| waiting,
            |result| {
                for argument in &written {
                    if let Written::Ours(number) = argument {
                        broker.given_back(*number);
                    }
                }
                Deferred::done(result)
            },
        )
    }

    fn passed(&self, argument: PbArgument) -> Result<Written> {
        let Remote { broker, .. } = &*self.0;
        Ok(match argument {
            PbArgument::Value(value) => Written::Value(value),
            PbArgument::Object(object) => {
                Written::Ours(broker.expose(Local::object(&object, broker.limits))?)
            }
            PbArgument::Reference(reference) => {
                if !Rc::ptr_eq(&reference.0.broker, broker) {
                    let message = "expected an object of this peer, found one of another";
                    return Err(BadValue::new(message).into());
                }
                Written::Theirs(reference.0.target)
            }
        })
    }

    /// Logs in by answering a challenge; gives the avatar, which is called as any other object.
    #[must_use]
    pub fn login(&self, context: &CallContext, user: &str, password: &[u8]) -> Deferred<Self> {
        let write = |writer: &mut Writer<'_>| {
            writer.list(2)?;
            writer.bytes(b"tuple")?;
            unicode(writer, user)?;
            writer.list(1)?;
            writer.bytes(b"dictionary")
        };
        let Remote { broker, target } = &*self.0;
        let asked = broker.ask(target, context, "login", write, Wanted::Challenge);
        let (context, password) = (context.clone(), password.to_vec());
        asked.add_callback(move |(challenge, challenger)| {
            let response = respond(&password, &challenge).to_vec();
            let arguments = [
                PbArgument::Value(Value::Bytes(response)),
                PbArgument::Value(Value::Nothing),
            ];
            let called = challenger.call_with(&context, "respond", arguments);
            called.add_callback(PbAnswer::reference)
        })
    }

    /// Logs in as nobody in particular.
    #[must_use]
    pub fn login_anonymous(&self, context: &CallContext) -> Deferred<Self> {
        let mind = [PbArgument::Value(Value::Nothing)];
        let called = self.call_with(context, "loginAnonymous", mind);
        called.add_callback(PbAnswer::reference)
    }

    /// What carries the calls of an interface to it: `<dyn DynX>::TWIN(Client::new(carrier))` is an `X` there.
    #[must_use]
    pub fn carrier(&self, descriptor: &'static Descriptor) -> PbCarrier {
        let reference = self.clone();
        PbCarrier {
            reference,
            descriptor,
        }
    }

    /// Closes the connection it is reached by, with all others.
    pub fn lose_connection(&self) {
        self.0.broker.lose_connection();
    }
}

/// An argument as it is sent.
enum Written {
    Value(Value),
    Ours(i128),
    Theirs(Target),
}

impl Written {
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), TooLarge> {
        match self {
            Self::Value(value) => jelly(writer, value),
            Self::Ours(number) => reference(writer, *number),
            Self::Theirs(target) => {
                writer.list(2)?;
                writer.bytes(b"local")?;
                target.write(writer)
            }
        }
    }
}

/// An interface that an object of the peer's offers.
#[derive(Clone, Debug)]
pub struct PbCarrier {
    reference: PbReference,
    descriptor: &'static Descriptor,
}

impl Carrier for PbCarrier {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn call(&self, context: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        match self.descriptor.method(method) {
            Some(_) => self.reference.call(context, method, arguments),
            None => Deferred::fail(BadCall::unknown(self.descriptor, method)),
        }
    }
}

impl fmt::Debug for PbReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.target {
            Target::Root => f.write_str("PbReference(root)"),
            Target::Number(number) => write!(f, "PbReference({number})"),
        }
    }
}
