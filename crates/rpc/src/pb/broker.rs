//! What both ends of a connection share: the objects that the peer may call, those that wait for the peer's answers, and
//! the words that are sent. Reads no bytes; `protocol.rs` does. Source: Twisted's `spread/pb.py`.

use super::{
    banana::{Item, Reader, SIZE_LIMIT, TooLarge, Writer},
    calling::Calling,
    failures,
    jelly::{jelly, jelly_pb},
    login::{Challenger, Login},
    referenceable::{Referenceable, Waits},
    unjelly::{Allowed, BadJelly, PbValues, unjelly, unjelly_with},
    value::{PbArguments, PbKey, PbObject, PbValue},
};
use crate::{
    arguments::Arguments,
    calls::{Calls, ExposureLimits},
    cred::Session,
    fault::{self, Fault},
    object::CallContext,
    value::Value,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
    rc::Rc,
};
use tress_core::{Bytes, Failure, Transport, error::TimedOut};

/// The objects of one end that the other may hold at a time; either way.
pub const MAX_REFERENCES: usize = 1024;

/// A buffer for what is sent that is larger than this is not kept.
const KEPT_BYTES: usize = 64 * 1024;

/// One connection.
pub(super) struct Broker {
    pub(super) limits: ExposureLimits,
    pub(super) allowed: Allowed,
    /// Whether the dialect has a vocabulary.
    pub(super) vocabulary: Cell<bool>,
    /// While it lasts.
    transport: RefCell<Option<Transport>>,
    /// Why it does not.
    ended: RefCell<Option<Failure>>,
    root: RefCell<Option<Rc<Local>>>,
    objects: RefCell<Objects>,
    /// The peer's objects that are held here.
    pub(super) theirs: Cell<usize>,
    pub(super) calling: RefCell<Calling>,
    pub(super) login: Option<Login>,
    /// What is sent next; empty but for its memory.
    scratch: RefCell<Vec<u8>>,
}

/// The objects that the peer holds, by their numbers.
#[derive(Default)]
struct Objects {
    last: i128,
    held: BTreeMap<i128, Held>,
    /// The numbers of those that everybody gets by the same one, by where they are.
    numbers: BTreeMap<*const (), i128>,
}

struct Held {
    object: Rc<Local>,
    /// Where it is, if it has the same number whenever it is passed.
    address: Option<*const ()>,
    /// How often its number was sent and not taken back.
    references: usize,
}

/// What a peer may call.
pub(super) enum Local {
    /// An object: all of its methods.
    Object {
        calls: Rc<Calls>,
        /// Whoever has logged in to it; ends with it.
        session: Option<Session>,
    },
    /// One that is called with everything that PB can say.
    Referenceable {
        object: Rc<dyn Referenceable>,
        waits: Rc<Waits>,
    },
    /// Where peers log in.
    Portal,
    /// What waits for the answer to a challenge.
    Challenger(Challenger),
}

impl Local {
    /// One for everybody who has its number.
    pub(super) fn object(object: PbObject, limits: ExposureLimits) -> Self {
        match object {
            PbObject::Object(object) => Self::Object {
                calls: Rc::new(Calls::new(&object, limits)),
                session: None,
            },
            PbObject::Referenceable(object) => Self::Referenceable {
                object,
                waits: Rc::default(),
            },
        }
    }
}

/// What a call is answered with.
pub(super) enum Reply {
    Value(Value),
    /// A value with objects in it.
    Pb(PbValue),
    /// An object of ours.
    Object(i128),
    /// A challenge, and what waits for the answer to it.
    Challenge([u8; 16], i128),
}

/// A call as the peer made it.
pub(super) struct Message<'a> {
    /// What the answer is for; nothing if none is wanted.
    pub(super) number: Option<i128>,
    pub(super) target: Item<'a>,
    pub(super) method: &'a [u8],
    /// Its arguments, by place and by name.
    pub(super) arguments: Reader<'a>,
}

impl Broker {
    pub(super) fn new(
        limits: ExposureLimits,
        classes: &Rc<BTreeSet<String>>,
        root: Option<Local>,
        login: Option<Login>,
    ) -> Rc<Self> {
        let allowed = Allowed {
            nesting: limits.nesting + 1, // the arguments are a list themselves
            copies: limits.request_bytes,
            classes: Rc::clone(classes),
        };
        Rc::new(Self {
            limits,
            allowed,
            vocabulary: Cell::new(false),
            transport: RefCell::default(),
            ended: RefCell::default(),
            root: RefCell::new(root.map(Rc::new)),
            objects: RefCell::default(),
            theirs: Cell::new(0),
            calling: RefCell::default(),
            login,
            scratch: RefCell::default(),
        })
    }

    pub(super) fn begin(&self, transport: &Transport) {
        self.transport.replace(Some(transport.clone()));
    }

    /// Nothing is called or answered any more; who waits fails with this, which may be the second end.
    pub(super) fn end(self: &Rc<Self>, reason: &Failure) {
        self.ended
            .borrow_mut()
            .get_or_insert_with(|| reason.clone());
        // Each is out of its cell before it is dropped or told: that may come back here.
        drop(self.transport.take());
        let objects = self.objects.take();
        let waiting = self.calling.borrow_mut().end();
        drop(self.root.take()); // its calls end with it
        if let Some(login) = &self.login {
            login.end();
        }
        drop(objects);
        for waiting in waiting {
            waiting.fail(reason.clone());
        }
    }

    /// Lets go of what may hold a reference to the peer, and so this, when a connection goes without an end: with its reactor.
    pub(super) fn abandon(&self) {
        let (root, objects) = (self.root.take(), self.objects.take());
        drop((root, objects));
    }

    /// Why nothing can be sent.
    pub(super) fn ended(&self) -> Option<Failure> {
        self.ended.borrow().clone()
    }

    pub(super) fn is_closing(&self) -> bool {
        let transport = self.transport.borrow();
        transport.as_ref().is_none_or(Transport::is_closing)
    }

    pub(super) fn lose_connection(&self) {
        if let Some(transport) = &*self.transport.borrow() {
            transport.lose_connection();
        }
    }

    /// The context of a call that the peer makes; none when the connection has ended. Made anew each time: whoever keeps one
    /// keeps the reactor, which keeps us.
    pub(super) fn context(&self) -> Option<CallContext> {
        let transport = self.transport.borrow();
        transport
            .as_ref()
            .and_then(|transport| CallContext::of(transport).ok())
    }

    /// Makes the call, and answers it when it is done.
    pub(super) fn message(self: &Rc<Self>, message: Message<'_>) {
        let number = message.number;
        let (Some(object), Some(context)) = (self.find(message.target), self.context()) else {
            let fault = Fault::new(fault::UNKNOWN_METHOD, "there is no object of that number");
            return self.answer(number, Err(fault));
        };
        let method = std::str::from_utf8(message.method).unwrap_or_default();
        let mut reader = message.arguments;
        if let Local::Object { calls, session } = &*object {
            let avatar = session
                .as_ref()
                .and_then(|session| session.avatar().clone());
            let context = CallContext { avatar, ..context };
            return self.object_called(&context, number, calls, method, &mut reader);
        }
        let arguments = match self.pb_arguments(&mut reader) {
            Ok(arguments) => arguments,
            Err(bad) => {
                let fault = Fault::new(fault::BAD_ARGUMENTS, bad);
                return self.answer(number, Err(fault));
            }
        };
        match &*object {
            Local::Object { .. } | Local::Portal => self.portal_called(number, method, arguments),
            Local::Challenger(challenger) => {
                self.challenger_called(challenger, number, method, arguments);
            }
            Local::Referenceable { object, waits } => {
                self.referenceable_called(&context, number, (object, waits), method, arguments);
            }
        }
    }

    fn object_called(
        self: &Rc<Self>,
        context: &CallContext,
        number: Option<i128>,
        calls: &Calls,
        method: &str,
        reader: &mut Reader<'_>,
    ) {
        let mut remote = Vec::new();
        let arguments = self.arguments(reader, &mut remote);
        for number in &remote {
            self.take_back(*number); // nobody here keeps it
        }
        let arguments = match arguments {
            Ok(arguments) if remote.is_empty() => arguments,
            Ok(_) => {
                let message = "objects cannot be passed to this method, values can";
                return self.answer(number, Err(Fault::new(fault::BAD_ARGUMENTS, message)));
            }
            Err(bad) => {
                let fault = Fault::new(fault::BAD_ARGUMENTS, bad);
                return self.answer(number, Err(fault));
            }
        };
        let broker = Rc::downgrade(self);
        calls.call(context, method, arguments, move |result| {
            if let Some(broker) = broker.upgrade() {
                broker.answer(number, result.map(Reply::Value));
            }
        });
    }

    fn referenceable_called(
        self: &Rc<Self>,
        context: &CallContext,
        number: Option<i128>,
        (object, waits): (&Rc<dyn Referenceable>, &Rc<Waits>),
        method: &str,
        arguments: PbArguments,
    ) {
        let limit = self.limits.calls_in_flight;
        if waits.count() >= limit {
            let message = format!("{limit} calls wait for their results, and no more may");
            return self.answer(number, Err(Fault::new(fault::BUSY, message)));
        }
        let after = self.limits.call_deadline;
        let deadline = Some(context.reactor.now() + after);
        let context = CallContext {
            deadline,
            ..context.clone()
        };
        let called = Rc::clone(object).remote_message_received(&context, method, arguments);
        let called = called.add_timeout(&context.reactor, after);
        let (broker, method) = (Rc::downgrade(self), method.to_owned());
        waits.on(called, move |result| {
            if let Some(broker) = broker.upgrade() {
                let reply = result.map(Reply::Pb).map_err(|failure| {
                    if failure.check::<TimedOut>().is_some() {
                        return Fault::new(fault::DEADLINE, "no result in time");
                    }
                    Fault::told(&failure, format_args!("pb: `{method}`"))
                });
                broker.answer(number, reply);
            }
        });
    }

    fn arguments(
        &self,
        reader: &mut Reader<'_>,
        remote: &mut Vec<i128>,
    ) -> Result<Arguments, BadJelly> {
        let Value::List(positional) = unjelly(reader, &self.allowed, remote)? else {
            return Err(BadJelly::new("expected a tuple of arguments"));
        };
        let Value::Record(named) = unjelly(reader, &self.allowed, remote)? else {
            return Err(BadJelly::new("expected a dictionary of arguments"));
        };
        Ok(Arguments { positional, named })
    }

    fn pb_arguments(self: &Rc<Self>, reader: &mut Reader<'_>) -> Result<PbArguments, BadJelly> {
        let mut read = || unjelly_with(reader, &self.allowed, &mut PbValues::new(self));
        let (PbValue::Tuple(positional) | PbValue::List(positional)) = read()? else {
            return Err(BadJelly::new("expected a tuple of arguments"));
        };
        let PbValue::Dictionary(named) = read()? else {
            return Err(BadJelly::new("expected a dictionary of arguments"));
        };
        let named = named.into_iter().map(|(key, value)| match key {
            PbKey::String(name) => Ok((name, value)),
            PbKey::Bytes(name) => match String::from_utf8(name) {
                Ok(name) => Ok((name, value)),
                Err(_) => Err(BadJelly::new("expected arguments with names in UTF-8")),
            },
            PbKey::Integer(_) => Err(BadJelly::new("expected arguments with names")),
        });
        let named = named.collect::<Result<_, _>>()?;
        Ok(PbArguments { positional, named })
    }

    /// An object of ours that the peer passes.
    pub(super) fn ours(&self, target: Item<'_>) -> Option<PbObject> {
        match &*self.find(target)? {
            Local::Object { calls, .. } => Some(calls.object().into()),
            Local::Referenceable { object, .. } => Some(PbObject::Referenceable(Rc::clone(object))),
            Local::Portal | Local::Challenger(_) => None,
        }
    }

    fn find(&self, target: Item<'_>) -> Option<Rc<Local>> {
        match target {
            Item::Bytes(b"root") => self.root.borrow().clone(),
            Item::Integer(number) => {
                let objects = self.objects.borrow();
                let held = objects.held.get(&number)?;
                Some(Rc::clone(&held.object))
            }
            _ => None,
        }
    }

    /// A number by which the peer may call an object, until it gives it back.
    pub(super) fn expose(&self, object: Local) -> Result<i128, Fault> {
        self.hold(object, None)
    }

    /// The same for one that has the same number each time.
    pub(super) fn pass(&self, object: &PbObject) -> Result<i128, Fault> {
        let address = object.address();
        let mut objects = self.objects.borrow_mut();
        let known = objects.numbers.get(&address).copied();
        if let Some(number) = known
            && let Some(held) = objects.held.get_mut(&number)
        {
            held.references += 1;
            return Ok(number);
        }
        drop(objects);
        self.hold(Local::object(object.clone(), self.limits), Some(address))
    }

    fn hold(&self, object: Local, address: Option<*const ()>) -> Result<i128, Fault> {
        let mut objects = self.objects.borrow_mut();
        if objects.held.len() >= MAX_REFERENCES {
            let message = format!("the peer holds {MAX_REFERENCES} objects, and no more may be");
            return Err(Fault::new(fault::BUSY, message));
        }
        objects.last += 1;
        let (number, object) = (objects.last, Rc::new(object));
        let held = Held {
            object,
            address,
            references: 1,
        };
        objects.held.insert(number, held);
        objects
            .numbers
            .extend(address.map(|address| (address, number)));
        Ok(number)
    }

    /// The peer gives back a number that it was sent; false if it holds none.
    pub(super) fn given_back(&self, number: i128) -> bool {
        let mut objects = self.objects.borrow_mut();
        let Some(held) = objects.held.get_mut(&number) else {
            return false;
        };
        held.references -= 1;
        let gone = match held.references {
            0 => objects.held.remove(&number),
            _ => None,
        };
        if let Some(address) = gone.as_ref().and_then(|held| held.address) {
            objects.numbers.remove(&address);
        }
        drop(objects);
        drop(gone); // which may cancel calls, and log somebody out
        true
    }

    /// How many of our objects the peer holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.objects.borrow().held.len()
    }

    /// Tells the peer that one of its objects is needed no longer.
    pub(super) fn take_back(&self, number: i128) {
        // It is small.
        self.send(usize::MAX, |writer| {
            writer.list(2)?;
            writer.bytes(b"decref")?;
            writer.integer(number);
            Ok(())
        })
        .ok();
    }

    /// Answers a call, if an answer is wanted.
    pub(super) fn answer(&self, number: Option<i128>, reply: Result<Reply, Fault>) {
        let Some(number) = number.filter(|_| self.ended.borrow().is_none()) else {
            return;
        };
        let head = |writer: &mut Writer<'_>, word: &[u8]| {
            writer.list(3)?;
            writer.bytes(word)?;
            writer.integer(number);
            Ok(())
        };
        let most = self.limits.response_bytes;
        let fail = |fault: &Fault| {
            self.send(most, |writer| {
                head(writer, b"error")?;
                failures::failure(writer, fault)
            })
        };
        let mut passing = Passing::new(self);
        let sent = match &reply {
            Ok(reply) => self.send(most, |writer| {
                head(writer, b"answer")?;
                reply.write(writer, &mut passing)
            }),
            Err(fault) => fail(fault),
        };
        if sent.is_err() {
            let refused = passing.undo();
            let message = || format!("expected an answer {}", at_most(most));
            // If not even that has room, the limit is a mistake, and the peer's deadline says so.
            fail(&refused.unwrap_or_else(|| Fault::new(fault::TOO_LARGE, message()))).ok();
        }
    }

    /// Sends one expression, or nothing of it.
    pub(super) fn send(
        &self,
        most: usize,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), TooLarge>,
    ) -> Result<(), TooLarge> {
        let mut out = self.scratch.take();
        let vocabulary = self.vocabulary.get();
        let mut sent = write(&mut Writer::new(&mut out, vocabulary, most));
        if out.len() > most {
            sent = Err(TooLarge);
        }
        if sent.is_ok()
            && let Some(transport) = &*self.transport.borrow()
        {
            if out.len() > KEPT_BYTES {
                transport.write_bytes(Bytes::from(mem::take(&mut out)));
            } else {
                transport.write(&out);
            }
        }
        out.clear();
        if out.capacity() <= KEPT_BYTES {
            self.scratch.replace(out);
        }
        sent
    }
}

/// In words.
pub(super) fn at_most(most: usize) -> String {
    format!("of at most {most} bytes, and strings and lists of at most {SIZE_LIMIT}")
}

/// The objects that go with one expression.
pub(super) struct Passing<'b> {
    broker: &'b Broker,
    /// Those of ours.
    passed: Vec<i128>,
    /// Why one cannot go.
    refused: Option<Fault>,
}

impl<'b> Passing<'b> {
    pub(super) fn new(broker: &'b Broker) -> Self {
        Self {
            broker,
            passed: Vec::new(),
            refused: None,
        }
    }

    /// Writes an object of ours or of the peer's. An error that is no size has been kept.
    pub(super) fn write(
        &mut self,
        writer: &mut Writer<'_>,
        value: &PbValue,
    ) -> Result<(), TooLarge> {
        let refused = match value {
            PbValue::Object(object) => match self.broker.pass(object) {
                Ok(number) => {
                    self.passed.push(number);
                    return reference(writer, number);
                }
                Err(fault) => fault,
            },
            PbValue::Reference(theirs) if theirs.is_of(self.broker) => {
                return theirs.write(writer);
            }
            other => {
                let message = format!(
                    "expected an object of this peer, found {} of another",
                    other.described(),
                );
                Fault::new(fault::BAD_ARGUMENTS, message)
            }
        };
        self.refused = Some(refused);
        Err(TooLarge)
    }

    /// Nothing was sent: takes back what the peer would have got, and says why if it was not the size.
    pub(super) fn undo(self) -> Option<Fault> {
        for number in self.passed {
            self.broker.given_back(number);
        }
        self.refused
    }
}

impl Reply {
    fn write(&self, writer: &mut Writer<'_>, passing: &mut Passing<'_>) -> Result<(), TooLarge> {
        match self {
            Self::Value(value) => jelly(writer, value),
            Self::Pb(value) => jelly_pb(writer, value, &mut |writer, object| {
                passing.write(writer, object)
            }),
            Self::Object(number) => reference(writer, *number),
            Self::Challenge(challenge, number) => {
                writer.list(3)?;
                writer.bytes(b"tuple")?;
                writer.bytes(challenge)?;
                reference(writer, *number)
            }
        }
    }
}

/// Writes an object of ours.
pub(super) fn reference(writer: &mut Writer<'_>, number: i128) -> Result<(), TooLarge> {
    writer.list(2)?;
    writer.bytes(b"remote")?;
    writer.integer(number);
    Ok(())
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.objects.borrow().held.len();
        let waiting = self.calling.borrow().waiting();
        write!(f, "Broker({held} objects held, {waiting} calls wait)")
    }
}
