//! A protocol that writes down what happens to it, and what tests build on it. Decides nothing.

pub(super) use crate::testing::pattern;

use super::World;
use crate::{
    address::Address,
    deferred::Deferred,
    error::{ConnectionAborted, ConnectionDone, ConnectionLost, TimedOut},
    factory::{Factory, SharedFactory},
    failure::{Failure, Result},
    protocol::Protocol,
    reactor::{Port, Reactor},
    transport::Transport,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// A list of events that clones share.
#[derive(Clone, Default)]
pub(super) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(super) fn note(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    pub(super) fn events(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub(super) fn count(&self, event: &str) -> usize {
        self.0.borrow().iter().filter(|e| *e == event).count()
    }

    /// Compares the whole log.
    #[track_caller]
    pub(super) fn check(&self, expected: &[&str]) {
        assert_eq!(*self.0.borrow(), expected, "the log");
    }
}

/// What a [`Recorder`] saw, for whoever looks from outside.
#[derive(Clone, Default)]
pub(super) struct Seen {
    log: Log,
    received: Rc<RefCell<Vec<u8>>>,
    transport: Rc<RefCell<Option<Transport>>>,
}

impl Seen {
    pub(super) fn note(&self, event: impl Into<String>) {
        self.log.note(event);
    }

    pub(super) fn has(&self, event: &str) -> bool {
        self.log.count(event) > 0
    }

    pub(super) fn count(&self, event: &str) -> usize {
        self.log.count(event)
    }

    #[track_caller]
    pub(super) fn check(&self, expected: &[&str]) {
        self.log.check(expected);
    }

    /// It was made, and then the peer reset it.
    #[track_caller]
    pub(super) fn check_reset(&self, world: &dyn World) {
        if world.shows_resets() {
            self.check(&["made", "lost: broken"]);
        } else {
            self.check(&["made", "read closed", "lost: done"]);
        }
    }

    pub(super) fn events(&self) -> Vec<String> {
        self.log.events()
    }

    /// Compares the log without what tells of the pace of the output.
    #[track_caller]
    pub(super) fn check_life(&self, expected: &[&str]) {
        let mut events = self.events();
        events.retain(|event| event != "write paused" && event != "write resumed");
        assert_eq!(events, expected, "the log");
    }

    pub(super) fn is_made(&self) -> bool {
        self.has("made")
    }

    pub(super) fn is_lost(&self) -> bool {
        let events = self.log.0.borrow();
        events.iter().any(|event| event.starts_with("lost"))
    }

    /// How many bytes arrived.
    pub(super) fn received(&self) -> usize {
        self.received.borrow().len()
    }

    /// The bytes that arrived.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.received.borrow().clone()
    }

    #[track_caller]
    pub(super) fn transport(&self) -> Transport {
        let transport = self.transport.borrow().clone();
        transport.expect("connection_made has come")
    }
}

/// How a test says what to do in a callback.
type On = Option<Box<dyn FnMut(&Transport) -> Result>>;
type OnData = Option<Box<dyn FnMut(&Transport, &[u8]) -> Result>>;

/// Writes down every callback, and does what it was told to do in it. `data` events that follow each other are one,
/// because how bytes are cut means nothing.
#[derive(Default)]
pub(super) struct Recorder {
    seen: Seen,
    made: On,
    data: OnData,
    read_closed: On,
    write_paused: On,
    write_resumed: On,
    lost: Option<Box<dyn FnMut()>>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    pub(super) fn on_made(mut self, f: impl FnMut(&Transport) -> Result + 'static) -> Self {
        self.made = Some(Box::new(f));
        self
    }

    pub(super) fn on_data(mut self, f: impl FnMut(&Transport, &[u8]) -> Result + 'static) -> Self {
        self.data = Some(Box::new(f));
        self
    }

    /// Instead of closing, which is the default.
    pub(super) fn on_read_closed(mut self, f: impl FnMut(&Transport) -> Result + 'static) -> Self {
        self.read_closed = Some(Box::new(f));
        self
    }

    pub(super) fn on_write_paused(mut self, f: impl FnMut(&Transport) -> Result + 'static) -> Self {
        self.write_paused = Some(Box::new(f));
        self
    }

    pub(super) fn on_write_resumed(
        mut self,
        f: impl FnMut(&Transport) -> Result + 'static,
    ) -> Self {
        self.write_resumed = Some(Box::new(f));
        self
    }

    pub(super) fn on_lost(mut self, f: impl FnMut() + 'static) -> Self {
        self.lost = Some(Box::new(f));
        self
    }

    /// Sends back what arrives.
    pub(super) fn echo() -> Self {
        Self::new().on_data(|transport, data| {
            transport.write(data);
            Ok(())
        })
    }

    fn call(hook: &mut On, transport: &Transport) -> Result {
        match hook {
            Some(hook) => hook(transport),
            None => Ok(()),
        }
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.seen.note("made");
        self.seen.transport.replace(Some(transport.clone()));
        Self::call(&mut self.made, transport)
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        assert!(!data.is_empty(), "data_received without data");
        self.seen.received.borrow_mut().extend_from_slice(data);
        if self.seen.events().last().is_none_or(|last| last != "data") {
            self.seen.note("data");
        }
        match &mut self.data {
            Some(data_received) => data_received(transport, data),
            None => Ok(()),
        }
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.seen.note("read closed");
        if self.read_closed.is_none() {
            transport.lose_connection();
        }
        Self::call(&mut self.read_closed, transport)
    }

    fn write_paused(&mut self, transport: &Transport) -> Result {
        self.seen.note("write paused");
        Self::call(&mut self.write_paused, transport)
    }

    fn write_resumed(&mut self, transport: &Transport) -> Result {
        self.seen.note("write resumed");
        Self::call(&mut self.write_resumed, transport)
    }

    fn reading_resumed(&mut self, _transport: &Transport) -> Result {
        self.seen.note("reading resumed");
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.seen.note(format!("lost: {}", short(&reason)));
        if let Some(lost) = &mut self.lost {
            lost();
        }
    }
}

/// A failure in a word or two.
pub(super) fn short(failure: &Failure) -> String {
    if failure.check::<ConnectionDone>().is_some() {
        "done".to_owned()
    } else if failure.check::<ConnectionAborted>().is_some() {
        "aborted".to_owned()
    } else if failure.check::<ConnectionLost>().is_some() {
        "broken".to_owned()
    } else if let Some(late) = failure.check::<TimedOut>() {
        format!("{:?} deadline", late.deadline)
    } else {
        failure.error().to_string()
    }
}

/// Notes how a Deferred ends: `ok`, or what it fails with.
pub(super) fn watch<T: 'static>(deferred: Deferred<T>) -> Log {
    let log = Log::default();
    let end = log.clone();
    deferred
        .add_both(move |result| {
            end.note(match result {
                Ok(_) => "ok".to_owned(),
                Err(failure) => short(&failure),
            });
        })
        .detach();
    log
}

/// Two ends of one connection.
pub(super) struct Pair {
    pub(super) port: Port,
    pub(super) server: Seen,
    pub(super) client: Seen,
}

/// Connects the two, and waits until both know.
#[track_caller]
pub(super) fn pair(world: &dyn World, server: Recorder, client: Recorder) -> Pair {
    let seen = (server.seen(), client.seen());
    let port = listen_once(world, server);
    connect(world, &port, client);
    let (server, client) = seen;
    world.until(&mut || server.is_made() && client.is_made());
    Pair {
        port,
        server,
        client,
    }
}

/// A port that gives this protocol to the first who comes and turns all others away.
pub(super) fn listen_once(world: &dyn World, server: Recorder) -> Port {
    let mut server = Some(server);
    listen(world, move |_: &Address| server.take())
}

/// A port with a protocol of this factory for each.
pub(super) fn listen<M>(world: &dyn World, factory: impl crate::factory::IntoFactory<M>) -> Port {
    let port = world.reactor().listen(&world.listen_at(), factory);
    port.expect("the world can listen")
}

/// Starts to connect.
pub(super) fn connect(world: &dyn World, port: &Port, client: Recorder) -> Seen {
    let seen = client.seen();
    world
        .client()
        .connect_protocol(&world.connect_to(port), client)
        .detach();
    seen
}

/// Connects to somebody who resets at once, and waits until that is known: before the connection was made, or after.
#[track_caller]
pub(super) fn turned_away(world: &dyn World, port: &Port, client: Recorder) -> Seen {
    let seen = client.seen();
    let to = world.connect_to(port);
    let end = watch(world.client().connect_protocol(&to, client));
    let failed = |end: &Log| end.events().first().is_some_and(|end| end != "ok");
    world.until(&mut || seen.is_lost() || failed(&end));
    seen
}

/// Connects and waits until the client's side is there.
#[track_caller]
pub(super) fn connected(world: &dyn World, port: &Port, client: Recorder) -> Seen {
    let seen = connect(world, port, client);
    world.until(&mut || seen.is_made());
    seen
}

/// Shows that the port still serves: what is sent to it comes back.
#[track_caller]
pub(super) fn check_echo(world: &dyn World, port: &Port) {
    let client = Recorder::new().on_made(|transport| {
        transport.write(b"still there");
        Ok(())
    });
    let client = connected(world, port, client);
    world.until(&mut || client.received() == 11);
    client.transport().abort_connection();
    world.until(&mut || client.is_lost());
}

/// A factory that writes down what is asked of it and builds echoes.
pub(super) struct Echoes(pub(super) Log);

impl Factory for Echoes {
    type Protocol = Recorder;

    fn build_protocol(&mut self, _peer: &Address) -> Option<Recorder> {
        self.0.note("build");
        Some(Recorder::echo())
    }

    fn start_factory(&mut self) -> Result {
        self.0.note("start");
        Ok(())
    }

    fn stop_factory(&mut self) {
        self.0.note("stop");
    }
}

/// One that others share.
pub(super) fn echoes() -> (Log, SharedFactory) {
    let log = Log::default();
    (log.clone(), SharedFactory::new(Echoes(log)))
}

/// More than any socket's buffers take up before their reader reads.
pub(super) const FLOOD: usize = 12 * 1024 * 1024;

/// Changes the limits of the servers' reactor for what is made from now on.
pub(super) fn set_limits(reactor: &Reactor, change: impl FnOnce(&mut crate::limits::Limits)) {
    let mut limits = (*reactor.limits()).clone();
    change(&mut limits);
    reactor.set_limits(limits);
}

/// A flag that closures share.
pub(super) fn flag() -> Rc<Cell<bool>> {
    Rc::default()
}
