//! An object served to people. Knows no interface.

use super::{
    HELP, LOGIN,
    answer::Answer,
    help::{help, help_with_login},
    words::words,
};
use crate::{
    arguments::BadCall,
    calls::ExposureLimits,
    cred::{Gate, Portal},
    descriptor::{Descriptor, Method},
    fault::{BAD_ARGUMENTS, Fault, TOO_LARGE},
    kind::Kind,
    object::{CallContext, Object},
    unsayable::Unsayable,
    value::Value,
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};
use tress_core::{
    Address, Factory, Result, Transport,
    framing::{Delimiter, LineOptions, LineReceiver, LineTransport, Lines},
};

/// Serves an object whose methods take words: texts, numbers and booleans, and these when they may be left out.
///
/// Lines end in LF or CR LF. One that cannot be understood is answered with a fault, for people mistype; one longer than
/// `request_bytes` is, too, and closes the connection. Calls begin at once, also while others wait; when as many answers as
/// `calls_in_flight`, or more bytes of them than `response_bytes`, wait for one before them, no more lines are read.
#[derive(Debug)]
pub struct LineFactory {
    object: Object,
    limits: ExposureLimits,
    plan: Rc<[Planned]>,
    portal: Option<Portal>,
}

/// A method, with the kinds of its arguments and of its result.
#[derive(Debug)]
struct Planned {
    method: &'static Method,
    arguments: Vec<Kind>,
    result: Kind,
}

impl LineFactory {
    /// Serves this object within these limits; `nesting` and `batch` have no meaning here.
    ///
    /// # Errors
    /// A method takes what is no word, or is called `help`.
    pub fn new(object: &Object, limits: ExposureLimits) -> Result<Self, Unsayable> {
        let plan = plan(object.descriptor())?;
        Ok(Self {
            object: object.clone(),
            limits,
            plan,
            portal: None,
        })
    }

    /// Lets those call whom this portal knows: `login NAME PASSWORD`, or `login TOKEN`, is answered `ok`. The avatar becomes
    /// that of the calls. A call before that is the fault `unauthorized`, and so is a login that is wrong;
    /// [`login_attempts`](ExposureLimits::login_attempts) of them close the connection. What comes after a login is read
    /// when that has been answered. No log is told what came.
    ///
    /// # Errors
    /// A method is called `login`.
    pub fn portal(mut self, portal: Portal) -> Result<Self, Unsayable> {
        let descriptor = self.object.descriptor();
        if let Some((_, method)) = descriptor.method(LOGIN) {
            return Err(Unsayable {
                protocol: "lines",
                interface: descriptor.name,
                method: method.name,
                why: "where callers log in, `login` is how they do".to_owned(),
            });
        }
        self.portal = Some(portal);
        Ok(self)
    }

    /// Whether an interface can be said in words.
    ///
    /// # Errors
    /// Why not, as of [`LineFactory::new`].
    pub fn check(descriptor: &'static Descriptor) -> Result<(), Unsayable> {
        plan(descriptor).map(drop)
    }
}

/// The methods of an interface.
fn plan(descriptor: &'static Descriptor) -> Result<Rc<[Planned]>, Unsayable> {
    Unsayable::of_each("lines", descriptor, Planned::new).map(Rc::from)
}

impl Planned {
    fn new(method: &'static Method) -> Result<Self, String> {
        if method.name == HELP {
            return Err("`help` is a word of the protocol's own".to_owned());
        }
        let mut arguments = Vec::new();
        for argument in method.arguments {
            let (name, kind) = (argument.name, argument.ty.kind());
            if !kind.is_scalar() {
                let why = format!(
                    "its argument `{name}` is {kind}, expected a string, a number or a boolean"
                );
                return Err(why);
            }
            arguments.push(kind);
        }
        Ok(Self {
            method,
            arguments,
            result: method.result.kind(),
        })
    }

    /// The words after the name, as values.
    fn values(&self, words: impl Iterator<Item = String>) -> Result<Vec<Value>, Fault> {
        let expected = self.arguments.len();
        let mut values = Vec::with_capacity(expected);
        for word in words {
            let Some(kind) = self.arguments.get(values.len()) else {
                let name = self.method.name;
                let message = format!("`{name}` takes no more than {expected}; try `help {name}`");
                return Err(Fault::new(BAD_ARGUMENTS, message));
            };
            let argument = self.method.arguments[values.len()].name;
            values.push(value(kind, word).map_err(|expected| {
                Fault::new(
                    BAD_ARGUMENTS,
                    format_args!("`{argument}`: expected {expected}"),
                )
            })?);
        }
        Ok(values)
    }
}

/// A word, as that kind has it, or what was expected.
fn value(kind: &Kind, word: String) -> Result<Value, &'static str> {
    match kind {
        Kind::Optional(inner) => value(inner, word),
        Kind::Boolean => match word.as_str() {
            "yes" | "true" => Ok(Value::Boolean(true)),
            "no" | "false" => Ok(Value::Boolean(false)),
            _ => Err("`yes` or `no`"),
        },
        Kind::Integer => match word.parse() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err("an integer"),
        },
        Kind::Float => match word.parse() {
            Ok(number) => Ok(Value::Float(number)),
            Err(_) => Err("a number"),
        },
        _ => Ok(Value::String(word)),
    }
}

#[diagnostic::do_not_recommend]
impl Factory for LineFactory {
    type Protocol = Lines<LineProtocol>;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Lines<LineProtocol>> {
        let protocol = LineProtocol {
            gate: Rc::new(Gate::new(&self.object, self.limits, self.portal.as_ref())),
            descriptor: self.object.descriptor(),
            plan: Rc::clone(&self.plan),
            answers: None,
        };
        let options = LineOptions {
            delimiter: Delimiter::Either,
            max_length: Some(self.limits.request_bytes),
        };
        Some(Lines::with(protocol, options))
    }
}

/// One person, or a program that is content with text.
#[derive(Debug)]
pub struct LineProtocol {
    gate: Rc<Gate>,
    descriptor: &'static Descriptor,
    plan: Rc<[Planned]>,
    /// Once the connection is there.
    answers: Option<Rc<Answers>>,
}

/// Answers, in the order of the lines.
#[derive(Debug)]
struct Answers {
    transport: Transport,
    /// While a login waits, nothing is read. The connection's own.
    gate: Weak<Gate>,
    limits: ExposureLimits,
    /// From the first that has not been sent; those that are not there yet are `None`.
    waiting: RefCell<VecDeque<Option<String>>>,
    /// The number of the first of them.
    first: Cell<u64>,
    /// Bytes of those that are there.
    bytes: Cell<usize>,
    /// Reading waits for them.
    paused: Cell<bool>,
    /// The peer sends no more.
    ended: Cell<bool>,
}

impl Answers {
    /// The number of an answer that will come.
    fn expect(&self) -> u64 {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(None);
        self.first.get() + waiting.len() as u64 - 1
    }

    /// It is there; sends what can be sent.
    fn give(&self, number: u64, text: String) {
        let place = usize::try_from(number - self.first.get()).unwrap_or(usize::MAX);
        let mut waiting = self.waiting.borrow_mut();
        self.bytes.set(self.bytes.get() + text.len());
        if let Some(slot) = waiting.get_mut(place) {
            *slot = Some(text);
        }
        while let Some(text) = waiting.pop_front_if(|answer| answer.is_some()).flatten() {
            self.first.set(self.first.get() + 1);
            self.bytes.set(self.bytes.get() - text.len());
            self.transport.write_bytes(text.into());
        }
        let count = waiting.len();
        drop(waiting);
        self.settle(count);
    }

    /// Reads on or not, and closes with the last answer.
    fn settle(&self, waiting: usize) {
        let full = waiting >= self.limits.calls_in_flight.max(1)
            || self.bytes.get() > self.limits.response_bytes
            || self.gate.upgrade().is_some_and(|gate| gate.is_asking());
        if full != self.paused.replace(full) {
            if full {
                self.transport.pause_producing();
            } else {
                self.transport.resume_producing();
            }
        }
        if waiting == 0 && self.ended.get() {
            self.transport.lose_connection();
        }
    }
}

impl LineProtocol {
    /// What a line asks for: done now, or begun.
    fn asked(&self, context: CallContext, answers: &Rc<Answers>, line: &[u8]) -> Result<(), Fault> {
        let words = words(line).map_err(|bad| Fault::new(BAD_ARGUMENTS, bad))?;
        let mut words = words.into_iter();
        let Some(name) = words.next() else {
            return Ok(());
        };
        let descriptor = self.descriptor;
        let limits = self.gate.limits();
        let entered = self.gate.enter();
        if name == HELP {
            let (about, room) = (words.next(), limits.response_bytes);
            let text = match self.gate.has_logins() {
                false => help(descriptor, about.as_deref(), room)?,
                true => {
                    let known = entered.is_ok().then_some(descriptor);
                    help_with_login(known, about.as_deref(), room)?
                }
            };
            answers.give(answers.expect(), text);
            return Ok(());
        }
        if name == LOGIN && self.gate.has_logins() {
            self.log_in(answers, words.map(Value::String).collect());
            return Ok(());
        }
        let entered = entered?;
        let Some((place, method)) = descriptor.method(&name) else {
            let unknown = BadCall::unknown(descriptor, &name);
            let message = format!("{unknown}; try `help`");
            return Err(Fault::new(unknown.code(), message));
        };
        let values = self.plan[place].values(words)?;
        let (number, answers) = (answers.expect(), Rc::clone(answers));
        let (plan, room) = (Rc::clone(&self.plan), limits.response_bytes);
        let context = &entered.context(context);
        let calls = entered.calls();
        calls.call(context, method.name, values, move |result| {
            let text = result.and_then(|value| Answer::of(&plan[place].result, &value, room));
            let text = text.unwrap_or_else(|fault| Answer::refused(&fault));
            answers.give(number, text);
        });
        Ok(())
    }

    /// Asks the portal; the answer has its place among the others.
    fn log_in(&self, answers: &Rc<Answers>, words: Vec<Value>) {
        let (number, answers) = (answers.expect(), Rc::clone(answers));
        let transport = answers.transport.clone();
        let room = self.gate.limits().response_bytes;
        self.gate.login(&transport, words.into(), move |result| {
            let text = result.and_then(|()| Answer::of(&Kind::Nothing, &Value::Nothing, room));
            let text = text.unwrap_or_else(|fault| Answer::refused(&fault));
            answers.give(number, text);
        });
    }

    /// Answers with a fault.
    fn refuse(&self, fault: &Fault) {
        if let Some(answers) = &self.answers {
            answers.give(answers.expect(), Answer::refused(fault));
        }
    }
}

/// Whether a line is the first of an HTTP request.
fn is_http(line: &[u8]) -> bool {
    let version = line.rsplit(|byte| *byte == b' ').next();
    version.is_some_and(|word| word.len() < line.len() && word.starts_with(b"HTTP/"))
}

#[diagnostic::do_not_recommend]
impl LineReceiver for LineProtocol {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        let answers = Answers {
            transport: Transport::clone(transport),
            gate: Rc::downgrade(&self.gate),
            limits: *self.gate.limits(),
            waiting: RefCell::default(),
            first: Cell::new(0),
            bytes: Cell::new(0),
            paused: Cell::new(false),
            ended: Cell::new(false),
        };
        self.answers = Some(Rc::new(answers));
        self.gate.connection_made(transport)
    }

    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        let Some(answers) = &self.answers else {
            return Ok(());
        };
        // Made anew each time: whoever keeps one keeps the reactor, which keeps us.
        let context = CallContext::of(transport)?;
        if is_http(line) {
            // A web page can make a browser send this, with lines of the page's own after it.
            let message = "these are lines for people, and this is an HTTP request";
            self.refuse(&Fault::new(BAD_ARGUMENTS, message));
            transport.lose_connection();
            return Ok(());
        }
        if let Err(fault) = self.asked(context, answers, line) {
            self.refuse(&fault);
        }
        let waiting = answers.waiting.borrow().len();
        answers.settle(waiting);
        Ok(())
    }

    fn line_length_exceeded(&mut self, transport: &LineTransport, _line: &[u8]) -> Result {
        let longest = self.gate.limits().request_bytes;
        let message = format!("a line has {longest} bytes at most");
        self.refuse(&Fault::new(TOO_LARGE, message));
        transport.lose_connection();
        Ok(())
    }

    fn read_closed(&mut self, transport: &LineTransport) -> Result {
        match &self.answers {
            Some(answers) => {
                answers.ended.set(true);
                let waiting = answers.waiting.borrow().len();
                answers.settle(waiting);
            }
            None => transport.lose_connection(),
        }
        Ok(())
    }
}
