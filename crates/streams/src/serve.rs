//! Streams from endpoints: one to connect, and a task for each that is accepted. Knows no bytes.

use crate::{
    error::tells_of_the_connection,
    protocol::{StreamProtocol, stream},
    shared::Shared,
    stream::Stream,
};
use std::{cell::Cell, fmt, future::Future, rc::Rc};
use tress_core::{
    Address, Deferred, Factory, Failure, Limits, Port, Protocol, Reactor, Result, Transport,
    error::Abandoned, received::Received,
};

/// Connects to an endpoint (`tcp:127.0.0.1:8007`). Cancelling it gives the attempt up.
#[track_caller]
pub fn connect_stream(reactor: &Reactor, to: &str) -> Deferred<Stream> {
    let (protocol, stream) = stream();
    reactor.connect_protocol(to, protocol).map(|_| stream)
}

/// Listens at an endpoint (`tcp:8007`) and runs a task for each connection, as a [`StreamFactory`] does. There are at
/// most [`Limits::connections`] tasks at once, those included whose connection has ended.
///
/// # Errors
/// The endpoint is not one, or nothing can listen there.
pub fn listen_streams<F, T>(reactor: &Reactor, at: &str, serve: F) -> Result<Port>
where
    F: Fn(Stream) -> T + 'static,
    T: Future<Output = Result> + 'static,
{
    let tasks = reactor.limits().connections;
    reactor.listen(at, StreamFactory::new(serve).with_tasks(tasks))
}

/// A factory that starts a task for each connection, with its stream.
///
/// The task goes on after its connection has ended, until it finds out. A task that fails resets its connection and is
/// logged once; one that fails because its connection did, is not (an `io::Error` such as `ConnectionReset`,
/// `BrokenPipe` or `UnexpectedEof` in the failure or below it says so).
pub struct StreamFactory<F> {
    serve: Rc<F>,
    most: usize,
    tasks: Rc<Cell<usize>>,
    refusing: bool,
}

impl<F> StreamFactory<F> {
    /// Runs what `serve` returns for each connection, on the reactor of that connection.
    pub fn new<T>(serve: F) -> Self
    where
        F: Fn(Stream) -> T + 'static,
        T: Future<Output = Result> + 'static,
    {
        Self {
            serve: Rc::new(serve),
            most: Limits::default().connections,
            tasks: Rc::default(),
            refusing: false,
        }
    }

    /// At most so many tasks at once; more connections are closed at once. The default is that of
    /// [`Limits::connections`].
    #[must_use]
    pub fn with_tasks(mut self, most: usize) -> Self {
        self.most = most;
        self
    }
}

#[diagnostic::do_not_recommend]
impl<F, T> Factory for StreamFactory<F>
where
    F: Fn(Stream) -> T + 'static,
    T: Future<Output = Result> + 'static,
{
    type Protocol = Served<F>;

    fn build_protocol(&mut self, peer: &Address) -> Option<Served<F>> {
        let refused = self.tasks.get() >= self.most;
        if refused && !self.refusing {
            let most = self.most;
            tracing::warn!(target: "tress", "{peer} and those after it are refused: {most} tasks run already");
        }
        self.refusing = refused;
        if refused {
            return None;
        }
        let (protocol, stream) = stream();
        let running = Running::new(&self.tasks);
        Some(Served {
            protocol,
            start: Some((stream, running)),
            serve: Rc::clone(&self.serve),
        })
    }
}

/// The protocol of a connection that a task serves.
pub struct Served<F> {
    protocol: StreamProtocol,
    start: Option<(Stream, Running)>,
    serve: Rc<F>,
}

#[diagnostic::do_not_recommend]
impl<F, T> Protocol for Served<F>
where
    F: Fn(Stream) -> T + 'static,
    T: Future<Output = Result> + 'static,
{
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.protocol.connection_made(transport)?;
        if let Some((stream, running)) = self.start.take() {
            let shared = Rc::clone(stream.shared());
            let task = (self.serve)(stream);
            let task = async move {
                let _running = running;
                task.await
            };
            let transport = transport.clone();
            let name = self.name();
            let task = transport.reactor()?.spawn(task);
            task.add_errback(move |failure| {
                failed(name, &transport, &shared, failure);
                Ok(())
            })
            .detach();
        }
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.protocol.data_received(transport, data)
    }

    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        self.protocol.buffer_received(transport, received)
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.protocol.read_closed(transport)
    }

    fn write_resumed(&mut self, transport: &Transport) -> Result {
        self.protocol.write_resumed(transport)
    }

    fn layer_pushed(&mut self, transport: &Transport) -> Result {
        self.protocol.layer_pushed(transport)
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.protocol.connection_lost(reason);
    }

    fn name(&self) -> &'static str {
        std::any::type_name::<F>()
    }
}

/// A task has failed: its connection is reset, and its failure logged by whoever does that.
fn failed(name: &str, transport: &Transport, shared: &Shared, failure: Failure) {
    // Abandoned: the reactor was dropped, and the task with it.
    if failure.check::<Abandoned>().is_some() || tells_of_the_connection(&failure) {
        transport.abort_connection();
    } else if shared.has_ended() {
        let peer = transport.peer();
        tracing::error!(target: "tress", "{name} with {peer} failed after the connection had ended: {failure:?}");
    } else {
        transport.fail(failure);
    }
}

/// One of the tasks of a factory, as long as it lives.
struct Running(Rc<Cell<usize>>);

impl Running {
    fn new(tasks: &Rc<Cell<usize>>) -> Self {
        tasks.set(tasks.get() + 1);
        Self(Rc::clone(tasks))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<F> fmt::Debug for StreamFactory<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamFactory({} tasks)", self.tasks.get())
    }
}

impl<F> fmt::Debug for Served<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}
