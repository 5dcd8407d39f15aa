//! Calls to the peer: what they are sent as, who waits for their answers, and the peer's objects. Every call has a
//! deadline; the one timer of a connection stands for the next of them.

use super::{
    banana::{Reader, TooLarge, Writer},
    broker::{Broker, MAX_REFERENCES, Passing, at_most},
    failures,
    jelly::{jelly, jelly_arguments, unicode},
    login::respond,
    unjelly::{PbValues, unjelly, unjelly_with},
    value::{PbArguments, PbValue},
};
use crate::{
    arguments::{Arguments, BadCall},
    client::Carrier,
    descriptor::Descriptor,
    distant::TooManyCalls,
    fault::{self, Fault},
    object::CallContext,
    value::{BadValue, Value},
};
use std::{collections::BTreeMap, fmt, ptr, rc::Rc};
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
    Pb(Resolver<PbValue>),
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
            Wanted::Pb(resolver) => resolver.fail(failure),
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
            drop(self.read_pb(&mut answer));
            return self.calling.borrow().was_made(number);
        };
        match call.wanted {
            Wanted::Value(resolver) => resolver.fire(self.read(&mut answer)),
            Wanted::Pb(resolver) => resolver.fire(self.read_pb(&mut answer)),
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

    /// A plain value.
    fn read(&self, answer: &mut Reader<'_>) -> Result<Value> {
        let mut remote = Vec::new();
        let value = unjelly(answer, &self.allowed, &mut remote);
        for number in &remote {
            self.take_back(*number);
        }
        match value {
            Ok(_) if !remote.is_empty() => {
                Err(bad_answer("expected values, found an object of the peer's").into())
            }
            Ok(value) => Ok(value),
            Err(bad) => Err(bad_answer(bad).into()),
        }
    }

    fn read_pb(self: &Rc<Self>, answer: &mut Reader<'_>) -> Result<PbValue> {
        let value = unjelly_with(answer, &self.allowed, &mut PbValues::new(self));
        value.map_err(|bad| bad_answer(bad).into())
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
            let theirs = &self.broker.theirs;
            theirs.set(theirs.get().saturating_sub(1));
            self.broker.take_back(number);
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

    /// An object that the peer passes with this number; for each time the peer waits for a `decref`.
    pub(super) fn passed(broker: &Rc<Broker>, number: i128) -> Result<Self, String> {
        broker.theirs.set(broker.theirs.get() + 1);
        let reference = Self::new(broker, Target::Number(number));
        match broker.theirs.get() > MAX_REFERENCES {
            true => Err(format!(
                "expected at most {MAX_REFERENCES} objects of one peer that are held"
            )),
            false => Ok(reference),
        }
    }

    /// Whether it is an object of that peer's.
    pub(super) fn is_of(&self, broker: &Broker) -> bool {
        ptr::eq(&*self.0.broker, broker)
    }

    /// Writes it for that peer.
    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), TooLarge> {
        writer.list(2)?;
        writer.bytes(b"local")?;
        self.0.target.write(writer)
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

    /// The same with everything that PB can say, objects among it; see [`PbValue`]. What is passed of ours the peer may call
    /// until it gives it back.
    #[must_use]
    pub fn call_with(
        &self,
        context: &CallContext,
        method: &str,
        arguments: impl Into<PbArguments>,
    ) -> Deferred<PbValue> {
        let arguments = arguments.into();
        let Remote { broker, target } = &*self.0;
        let mut passing = Passing::new(broker);
        let write = |writer: &mut Writer<'_>| {
            jelly_arguments(writer, &arguments, &mut |writer, object| {
                passing.write(writer, object)
            })
        };
        let called = broker.ask(target, context, method, write, Wanted::Pb);
        // One that has failed by now was never sent.
        match called.try_result() {
            Err(waiting) => waiting,
            Ok(result) => match passing.undo() {
                Some(refused) => Deferred::fail(refused),
                None => Deferred::done(result),
            },
        }
    }

    /// Logs in by answering a challenge; gives the avatar, which is called as any other object. The name is sent in bytes,
    /// which is what names are to Twisted's portals.
    #[must_use]
    pub fn login(&self, context: &CallContext, user: &str, password: &[u8]) -> Deferred<Self> {
        let asked = self.call_with(context, "login", [PbValue::Bytes(user.into())]);
        let (context, password) = (context.clone(), password.to_vec());
        asked.add_callback(move |answer| {
            let (PbValue::Tuple(pair) | PbValue::List(pair)) = answer else {
                return Deferred::fail(no_challenge());
            };
            let Ok([PbValue::Bytes(challenge), PbValue::Reference(challenger)]) =
                <[PbValue; 2]>::try_from(pair)
            else {
                return Deferred::fail(no_challenge());
            };
            let response = PbValue::Bytes(respond(&password, &challenge).into());
            let called = challenger.call_with(&context, "respond", [response, PbValue::Nothing]);
            called.add_callback(avatar)
        })
    }

    /// Logs in as nobody in particular.
    #[must_use]
    pub fn login_anonymous(&self, context: &CallContext) -> Deferred<Self> {
        let called = self.call_with(context, "loginAnonymous", [PbValue::Nothing]);
        called.add_callback(avatar)
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

fn no_challenge() -> BadValue {
    bad_answer("expected a challenge and a challenger")
}

/// What somebody has logged in to.
fn avatar(answer: PbValue) -> Result<PbReference> {
    Ok(answer.reference().map_err(bad_answer)?)
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

/// The same object of the same peer.
impl PartialEq for PbReference {
    fn eq(&self, other: &Self) -> bool {
        self.0.target == other.0.target && self.is_of(&other.0.broker)
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
