//! The bytes of a connection: the two handshakes, one message after the other, and when to take none. Knows messages by
//! their names only; what they mean is the broker's.

use super::{
    banana::{BananaError, Item, Reader, SIZE_LIMIT, Scanner},
    broker::{Broker, Message},
    calling::PbReference,
};
use crate::calls::ExposureLimits;
use std::{cell::RefCell, error::Error, fmt, mem, rc::Rc};
use tress_core::{
    Deferred, Failure, Protocol, Reactor, Resolver, Result, Transport, error::BytesBeforeLayer,
    escape::Escaped,
};

/// Of the protocol.
const VERSION: i128 = 6;

/// A buffer that is larger than this is not kept when it is empty.
const KEPT_BYTES: usize = 4096;

/// A peer that does not speak this protocol, or does not keep to it. Closes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PbError {
    /// Its bytes are wrong.
    Banana(BananaError),
    /// Its bytes are right, but say something else than this.
    Expected(&'static str),
    /// A message of this name, or in this form, does not exist.
    Message(Vec<u8>),
}

impl fmt::Display for PbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banana(error) => error.fmt(f),
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::Message(name) => {
                write!(
                    f,
                    "expected a message of PB, found {} in that form",
                    Escaped(name)
                )
            }
        }
    }
}

impl Error for PbError {}

/// One end of a connection: the server's, which [`PbFactory`](super::PbFactory) builds, or a [client's](PbProtocol::client).
pub struct PbProtocol {
    broker: Rc<Broker>,
    side: Side,
    state: State,
    scanner: Scanner,
    /// The beginning of a message: no more than a message may have.
    begun: Vec<u8>,
    /// What came after a message when no more were taken: no more than one piece.
    rest: Vec<u8>,
    /// The peer sends no more, which counts when `rest` has been taken.
    half_closed: bool,
}

#[derive(Debug)]
enum Side {
    Server,
    /// Who waits for the root object.
    Client(Rc<RefCell<Ready>>),
}

#[derive(Debug)]
enum Ready {
    NotYet(Vec<Resolver<PbReference>>),
    Yes,
    Never(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the list of dialects, or for the one that was chosen.
    Dialect,
    /// Waits for the peer's version, which is its first message.
    Version,
    /// Takes messages.
    Open,
    /// Takes nothing any more.
    Closed,
}

/// The client's side of a connection. Clones are the same.
#[derive(Clone, Debug)]
pub struct PbClient {
    broker: Rc<Broker>,
    ready: Rc<RefCell<Ready>>,
}

impl PbClient {
    /// Connects to an endpoint (`tcp:127.0.0.1:8787`) for the root object there. These limits are those of calls that
    /// are made, and of objects that are passed in them.
    #[track_caller]
    pub fn connect(reactor: &Reactor, to: &str, limits: ExposureLimits) -> Deferred<PbReference> {
        Self::connect_with(reactor, to, limits, [] as [&str; 0])
    }

    /// The same, and takes instances of these classes in answers and arguments, as
    /// [`PbFactory::classes`](super::PbFactory::classes) says. Twisted's `setUnjellyableForClass`.
    #[track_caller]
    pub fn connect_with<N: Into<String>>(
        reactor: &Reactor,
        to: &str,
        limits: ExposureLimits,
        classes: impl IntoIterator<Item = N>,
    ) -> Deferred<PbReference> {
        let (protocol, client) = PbProtocol::client(limits, classes);
        let connected = reactor.connect_protocol(to, protocol);
        connected.add_callback(move |_| client.root())
    }

    /// The root object, when the connection is ready. Twisted's `getRootObject`.
    #[must_use]
    pub fn root(&self) -> Deferred<PbReference> {
        match &mut *self.ready.borrow_mut() {
            Ready::Yes => Deferred::succeed(PbReference::root(&self.broker)),
            Ready::Never(failure) => Deferred::fail(failure.clone()),
            Ready::NotYet(waiting) => {
                let (resolver, deferred) = Deferred::pair();
                waiting.push(resolver);
                deferred
            }
        }
    }

    /// Closes the connection once everything has been sent.
    pub fn lose_connection(&self) {
        self.broker.lose_connection();
    }
}

impl PbProtocol {
    pub(super) fn server(broker: Rc<Broker>) -> Self {
        let most = broker.limits.request_bytes;
        Self::new(broker, Side::Server, most)
    }

    /// A client's end, which takes instances of these classes, and its handle.
    #[must_use]
    pub fn client<N: Into<String>>(
        limits: ExposureLimits,
        classes: impl IntoIterator<Item = N>,
    ) -> (Self, PbClient) {
        let classes = classes.into_iter().map(Into::into).collect();
        let broker = Broker::new(limits, &Rc::new(classes), None, None);
        let ready = Rc::new(RefCell::new(Ready::NotYet(Vec::new())));
        let side = Side::Client(Rc::clone(&ready));
        let protocol = Self::new(Rc::clone(&broker), side, limits.response_bytes);
        (protocol, PbClient { broker, ready })
    }

    fn new(broker: Rc<Broker>, side: Side, most: usize) -> Self {
        // A list is one list of banana, a record two of them, and each may be shared, which is one more; a message holds
        // arguments, and what is in them may be a text.
        let nesting = 3 * broker.limits.nesting + 8;
        Self {
            broker,
            side,
            state: State::Dialect,
            scanner: Scanner::new(most, nesting),
            begun: Vec::new(),
            rest: Vec::new(),
            half_closed: false,
        }
    }

    /// Bytes that wait, and the memory they take.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.begun.capacity() + self.rest.capacity()
    }

    /// How many of our objects the peer holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.broker.held()
    }

    /// Takes as many messages as may be taken now.
    fn take(&mut self, transport: &Transport, mut piece: &[u8]) -> Result<(), PbError> {
        while !piece.is_empty() && self.state != State::Closed {
            if self.waits(transport) {
                self.rest.extend_from_slice(piece);
                return Ok(());
            }
            let end = self.scanner.feed(piece).map_err(PbError::Banana)?;
            let Some(end) = end else {
                self.begun.extend_from_slice(piece);
                return Ok(());
            };
            let (last, after) = piece.split_at(end);
            piece = after;
            if self.begun.is_empty() {
                self.expression(transport, last)?;
                continue;
            }
            let mut whole = mem::take(&mut self.begun);
            whole.extend_from_slice(last);
            self.expression(transport, &whole)?;
            if whole.capacity() <= KEPT_BYTES {
                whole.clear();
                self.begun = whole;
            }
        }
        Ok(())
    }

    /// Whether what has come is to be taken later: while reading is paused, and while a client of ours does not read.
    #[inline]
    fn waits(&self, transport: &Transport) -> bool {
        if transport.is_paused() {
            return true;
        }
        // A client would wait for a server that waits for it.
        let full = matches!(self.side, Side::Server) && transport.room() == 0;
        if full {
            transport.watch_flush();
        }
        full
    }

    /// Takes what had to wait.
    fn go_on(&mut self, transport: &Transport) {
        let rest = mem::take(&mut self.rest);
        self.received(transport, &rest);
        if self.half_closed && self.rest.is_empty() {
            transport.lose_connection();
        }
    }

    fn received(&mut self, transport: &Transport, piece: &[u8]) {
        if transport.is_closing() {
            self.state = State::Closed;
            return;
        }
        if let Err(error) = self.take(transport, piece) {
            tracing::info!(target: "tress", "pb: {}: {error}", transport.peer());
            self.state = State::Closed;
            (self.begun, self.rest) = (Vec::new(), Vec::new());
            transport.lose_connection();
            self.end(&error.into());
        }
    }

    fn end(&self, reason: &Failure) {
        self.broker.end(reason);
        let Side::Client(ready) = &self.side else {
            return;
        };
        let before = match &mut *ready.borrow_mut() {
            Ready::Never(_) => return, // for the reason that came first
            ready => mem::replace(ready, Ready::Never(reason.clone())),
        };
        if let Ready::NotYet(waiting) = before {
            for resolver in waiting {
                resolver.fail(reason.clone());
            }
        }
    }

    fn expression(&mut self, transport: &Transport, bytes: &[u8]) -> Result<(), PbError> {
        let mut reader = Reader::new(bytes);
        match self.state {
            State::Dialect => {
                let vocabulary = match self.side {
                    Side::Server => chosen(&mut reader),
                    Side::Client(_) => offered(&mut reader),
                };
                let expected = PbError::Expected("a dialect of banana: `pb` or `none`");
                self.agreed(vocabulary.ok_or(expected)?);
            }
            State::Version => {
                let is = reader.list() == Some(2)
                    && reader.bytes() == Some(b"version")
                    && reader.integer() == Some(VERSION);
                if !is {
                    return Err(PbError::Expected("version 6 of PB"));
                }
                self.state = State::Open;
                transport.handshake_done();
            }
            State::Open => self.message(&mut reader)?,
            State::Closed => {}
        }
        if self.broker.is_closing() {
            self.state = State::Closed;
        }
        Ok(())
    }

    /// A dialect was chosen, by whoever does.
    fn agreed(&mut self, vocabulary: bool) {
        self.scanner.vocabulary = vocabulary;
        let broker = &self.broker;
        if let Side::Client(_) = self.side {
            let dialect: &[u8] = if vocabulary { b"pb" } else { b"none" };
            broker.send(usize::MAX, |writer| writer.bytes(dialect)).ok();
        }
        broker.vocabulary.set(vocabulary);
        let version = broker.send(usize::MAX, |writer| {
            writer.list(2)?;
            writer.bytes(b"version")?;
            writer.integer(VERSION);
            Ok(())
        });
        version.ok(); // it is small
        self.state = State::Version;
        if let Side::Client(ready) = &self.side {
            let before = mem::replace(&mut *ready.borrow_mut(), Ready::Yes);
            if let Ready::NotYet(waiting) = before {
                for resolver in waiting {
                    resolver.resolve(PbReference::root(broker));
                }
            }
        }
    }

    fn message(&self, reader: &mut Reader<'_>) -> Result<(), PbError> {
        let Some(count) = reader.list() else {
            return Err(PbError::Expected("a message of PB"));
        };
        let name = reader.bytes().filter(|_| count > 0);
        let name = name.ok_or(PbError::Expected("a message of PB"))?;
        let done = match (name, count) {
            // Nothing is cached here: a message to what is cached finds nothing, and says so.
            (b"message" | b"cachemessage", 7) => match message(reader) {
                Some(message) => {
                    self.broker.message(message);
                    true
                }
                None => false,
            },
            (b"answer", 3) => {
                let number = reader.integer();
                number.is_some_and(|number| self.broker.answered(number, *reader))
            }
            (b"error", 3) => {
                let number = reader.integer();
                number.is_some_and(|number| self.broker.failed(number, *reader))
            }
            (b"decref", 2) => {
                let number = reader.integer();
                number.is_some_and(|number| self.broker.given_back(number))
            }
            (b"didNotUnderstand", 2) => {
                tracing::info!(target: "tress", "pb: the peer did not understand a message");
                true
            }
            _ => false,
        };
        match done {
            true => Ok(()),
            false => Err(PbError::Message(name.to_vec())),
        }
    }
}

/// A call, up to its arguments.
fn message<'a>(reader: &mut Reader<'a>) -> Option<Message<'a>> {
    let number = reader.integer()?;
    let target = reader.next()?;
    let method = reader.bytes()?;
    let answered = reader.integer()? != 0;
    Some(Message {
        number: answered.then_some(number),
        target,
        method,
        arguments: *reader,
    })
}

/// Whether the dialect that a client chose has a vocabulary.
fn chosen(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.bytes()? {
        b"pb" => Some(true),
        b"none" => Some(false),
        _ => None,
    }
}

/// The same of the first that a server offers and that is known here.
fn offered(reader: &mut Reader<'_>) -> Option<bool> {
    let mut known = None;
    for _ in 0..reader.list()? {
        match reader.next()? {
            Item::Bytes(b"pb") => known = known.or(Some(true)),
            Item::Bytes(b"none") => known = known.or(Some(false)),
            Item::Bytes(_) => {}
            _ => return None,
        }
    }
    known
}

#[diagnostic::do_not_recommend]
impl Protocol for PbProtocol {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.broker.begin(transport);
        transport.start_handshake();
        if let Side::Server = self.side {
            let dialects = self.broker.send(SIZE_LIMIT, |writer| {
                writer.list(2)?;
                writer.bytes(b"pb")?;
                writer.bytes(b"none")
            });
            dialects.ok(); // they are small
        }
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        if self.rest.is_empty() {
            self.received(transport, data);
        } else {
            self.rest.extend_from_slice(data);
        }
        Ok(())
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        if self.rest.is_empty() {
            transport.lose_connection();
        } else {
            self.half_closed = true;
        }
        Ok(())
    }

    fn write_resumed(&mut self, transport: &Transport) -> Result {
        self.go_on(transport);
        Ok(())
    }

    fn reading_resumed(&mut self, transport: &Transport) -> Result {
        self.go_on(transport);
        Ok(())
    }

    fn layer_pushed(&mut self, _transport: &Transport) -> Result {
        match self.begun.len() + self.rest.len() {
            0 => Ok(()),
            bytes => Err(BytesBeforeLayer { bytes }.into()),
        }
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.state = State::Closed;
        self.end(&reason);
    }
}

impl Drop for PbProtocol {
    fn drop(&mut self) {
        self.broker.abandon();
    }
}

impl fmt::Debug for PbProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, broker) = (self.state, &self.broker);
        write!(f, "PbProtocol({state:?}, {broker:?})")
    }
}
