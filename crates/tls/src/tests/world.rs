//! A table with an authority, a server and clients: the endpoint kinds over the network in memory.

use crate::{
    ClientTls, MemoryFiles, ServerTls, StartTls, TlsInfo,
    session::Session,
    testing::{Authority, ends},
};
use std::{cell::RefCell, rc::Rc};
use tress_core::{
    Failure, Port, Protocol, Reactor, Result, SharedFactory, Transport,
    endpoint::{EndpointKind, EndpointSpec, Side},
    layer::{Layer, MakeLayer},
    reactor::Target,
    testing::memory::{Table, Tester},
};

/// What happened to the protocols, in order, and their transports.
#[derive(Clone, Default)]
pub(super) struct Log {
    events: Rc<RefCell<Vec<String>>>,
    transports: Rc<RefCell<Vec<Transport>>>,
}

impl Log {
    pub(super) fn say(&self, event: impl Into<String>) {
        self.events.borrow_mut().push(event.into());
    }

    /// What happened since the last time.
    pub(super) fn take(&self) -> Vec<String> {
        self.events.take()
    }

    /// The latest transport.
    pub(super) fn transport(&self) -> Transport {
        self.transports
            .borrow()
            .last()
            .cloned()
            .expect("it was made")
    }

    pub(super) fn recorder(&self) -> Recorder {
        Recorder {
            log: self.clone(),
            echo: false,
            stays: false,
        }
    }
}

/// Writes down what happens to it.
pub(super) struct Recorder {
    pub(super) log: Log,
    /// Sends back what it gets.
    pub(super) echo: bool,
    /// Goes on when the peer sends no more.
    pub(super) stays: bool,
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.log.say("made");
        self.log.transports.borrow_mut().push(transport.clone());
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        if self.echo {
            transport.write(data);
        }
        let mut events = self.log.events.borrow_mut();
        // How many at a time means nothing.
        let data = String::from_utf8_lossy(data);
        match events.last_mut() {
            Some(last) if last.starts_with('+') => last.push_str(&data),
            _ => events.push(format!("+{data}")),
        }
        Ok(())
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.log.say("read closed");
        if !self.stays {
            transport.lose_connection();
        }
        Ok(())
    }

    fn write_paused(&mut self, _: &Transport) -> Result {
        self.log.say("write paused");
        Ok(())
    }

    fn write_resumed(&mut self, _: &Transport) -> Result {
        self.log.say("write resumed");
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.log.say(format!("lost: {reason}"));
    }
}

/// `ca.pem` is the authority's certificate, `server.pem` a pair for `localhost`.
pub(super) struct World {
    pub(super) table: Table,
    pub(super) files: MemoryFiles,
    pub(super) authority: Authority,
    pub(super) server: Log,
    pub(super) client: Log,
}

impl World {
    pub(super) fn new() -> Self {
        let table = Table::new();
        let files = MemoryFiles::new();
        let authority = Authority::new("authority");
        files.write("ca.pem", authority.pem());
        files.write("server.pem", authority.issue(&["localhost"]).pair());
        crate::register(table.reactor(), files.clone());
        Self {
            table,
            files,
            authority,
            server: Log::default(),
            client: Log::default(),
        }
    }

    /// An echo at this endpoint.
    pub(super) fn listen(&self, at: &str) -> Port {
        self.try_listen(at).unwrap()
    }

    pub(super) fn try_listen(&self, at: &str) -> Result<Port> {
        let log = self.server.clone();
        self.table.reactor().listen(at, move || Recorder {
            echo: true,
            ..log.recorder()
        })
    }

    /// The same with a configuration of the test's own.
    pub(super) fn listen_with(&self, tls: ServerTls) -> Port {
        let log = self.server.clone();
        let factory = SharedFactory::new(move || Recorder {
            echo: true,
            ..log.recorder()
        });
        let factory = factory.layered(move |_| Ok(Box::new(tls.layer())));
        let at = EndpointSpec::parse("tcp:443").unwrap();
        self.table.reactor().listen_spec(&at, &factory).unwrap()
    }

    /// Connects to `localhost` at 443 with a configuration of the test's own.
    pub(super) fn connect_with(&self, tls: ClientTls) -> Result<Transport, String> {
        self.table.reactor().endpoint_kind("own", Own(tls));
        self.connect("own")
    }

    /// Connects, and says why if that fails.
    pub(super) fn connect(&self, to: &str) -> Result<Transport, String> {
        let result = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&result);
        let log = self.client.clone();
        let connecting = self.table.reactor().connect(to, move || log.recorder());
        connecting
            .map(|_| ())
            .add_both(move |result| {
                seen.replace(Some(result.map_err(|failure| failure.to_string())));
                Ok(())
            })
            .detach();
        self.table.settle();
        let fired = result.take().expect("it fired");
        fired.map(|()| self.client.transport())
    }

    /// The usual pair: an echo at `ssl:443`, and a client that trusts it.
    pub(super) fn pair(&self) -> (Transport, Transport) {
        self.listen("ssl:443:certKey=server.pem");
        let client = self.connect("tls:localhost:443:trustRoots=ca.pem").unwrap();
        (self.server.transport(), client)
    }

    /// The client says something and gets it back.
    #[track_caller]
    pub(super) fn echoes(&self, client: &Transport) {
        self.client.take();
        client.write(b"hello");
        self.table.settle();
        assert_eq!(self.client.take(), ["+hello"]);
    }

    pub(super) fn info(&self, transport: &Transport) -> Rc<TlsInfo> {
        transport.info().expect("TLS lies below")
    }
}

/// One of our servers, and a peer whom the test plays record by record.
pub(super) struct Played {
    pub(super) tester: Tester<Starts>,
    pub(super) log: Log,
}

/// Begins TLS as soon as it is there, and records what comes through.
pub(super) struct Starts {
    begin: Begin,
    recorder: Recorder,
}

type Begin = Option<Box<dyn FnOnce(&Transport)>>;

impl Played {
    pub(super) fn new(tls: &ServerTls) -> Self {
        let tls = tls.clone();
        Self::beginning(move |transport| transport.start_tls(&tls))
    }

    /// On top of another layer.
    pub(super) fn on(tls: &ServerTls, below: impl Layer) -> Self {
        let tls = tls.clone();
        Self::beginning(move |transport| {
            transport.push_layer(below);
            transport.start_tls(&tls);
        })
    }

    pub(super) fn beginning(begin: impl FnOnce(&Transport) + 'static) -> Self {
        let log = Log::default();
        let starts = Starts {
            begin: Some(Box::new(begin)),
            recorder: log.recorder(),
        };
        let tester = Tester::new(starts);
        Self { tester, log }
    }

    pub(super) fn talk(&self, peer: &mut dyn Session) {
        talk(&self.tester, peer);
    }
}

/// A server, and a client that it has met.
pub(super) fn met() -> (Played, Box<dyn Session>) {
    let (server, client) = ends();
    let played = Played::new(&server);
    let mut peer = peer(&client);
    played.talk(&mut *peer);
    (played, peer)
}

/// Lets both ends talk until neither has anything to say.
pub(super) fn talk<P: Protocol>(tester: &Tester<P>, peer: &mut dyn Session) {
    loop {
        let said = said(peer);
        let heard = tester.sent();
        if said.is_empty() && heard.is_empty() {
            return;
        }
        tester.receive(&said);
        let mut heard = &heard[..];
        while !heard.is_empty() {
            peer.read(&mut heard).expect("the server behaves");
        }
    }
}

/// The alphabet, again and again.
pub(super) fn letters(count: usize) -> String {
    ('a'..='z').cycle().take(count).collect()
}

/// What a session wants to send.
pub(super) fn said(peer: &mut dyn Session) -> Vec<u8> {
    let mut said = Vec::new();
    peer.flush(&mut said);
    said
}

/// What a session sends when it says this.
pub(super) fn encrypted(peer: &mut dyn Session, text: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    for piece in text.chunks(crate::session::PIECE) {
        assert_eq!(peer.write(piece), Ok(piece.len()));
        peer.flush(&mut said);
    }
    said
}

/// A client's end, to be played with.
pub(super) fn peer(client: &crate::ClientTls) -> Box<dyn Session> {
    let name = "localhost".try_into().unwrap();
    client.session(name).unwrap()
}

impl Protocol for Starts {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        if let Some(begin) = self.begin.take() {
            begin(transport);
        }
        self.recorder.connection_made(transport)
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.recorder.data_received(transport, data)
    }
    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.recorder.read_closed(transport)
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.recorder.connection_lost(reason);
    }
}

/// `own:` connects to the server with a configuration of the test's own.
struct Own(ClientTls);

impl EndpointKind for Own {
    fn listen(&self, _: &Reactor, spec: &EndpointSpec, _: &SharedFactory) -> Result<Port> {
        Err(spec.problem("only for clients"))
    }

    fn target(&self, reactor: &Reactor, _: &EndpointSpec) -> Result<Target> {
        let mut target = reactor.target(&EndpointSpec::parse("tcp:127.0.0.1:443")?)?;
        let tls = self.0.clone();
        let layer: MakeLayer = Rc::new(move |_| Ok(Box::new(tls.layer("localhost")?)));
        target.layers.push(layer);
        Ok(target)
    }

    fn check(&self, _: &Reactor, _: &EndpointSpec, _: Side) -> Result {
        Ok(())
    }

    fn usage(&self, _: Side) -> &'static str {
        "own"
    }
}
