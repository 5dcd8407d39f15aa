//! The layer itself: pumps bytes between a transport, rustls and the protocol above. Knows no certificate and no file.
//!
//! ```text
//! New --connection_made--> Handshake --done--> Open
//!                              |                 |
//!                              +----> Failed <---+   an alert leaves, then the connection ends with this reason
//! ```
//! What bounds it: output of the protocol above is encrypted only as far as the transport below has room. Input that
//! nobody wants now stays encrypted in `held`, and reading below is paused meanwhile, so it is what one callback
//! delivered at most. rustls keeps no more than one record, or 64 KiB of one handshake message.

use crate::{
    client::ClientTls,
    error::{TlsError, Truncated},
    server::ServerTls,
    session::{PIECE, PIECES, Session},
};
use rustls::pki_types::ServerName;
use std::{fmt, mem, rc::Rc};
use tress_core::{
    Failure, Protocol, Reactor, Result, Transport,
    layer::{Inner, Layer, Next},
};

/// TLS for one connection: from [`ServerTls::layer`] or [`ClientTls::layer`].
pub struct TlsLayer(End);

enum End {
    Server(ServerTls),
    Client(ClientTls, ServerName<'static>),
}

impl TlsLayer {
    pub(crate) fn server(tls: &ServerTls) -> Self {
        Self(End::Server(tls.clone()))
    }

    pub(crate) fn client(tls: &ClientTls, name: ServerName<'static>) -> Self {
        Self(End::Client(tls.clone(), name))
    }
}

impl Layer for TlsLayer {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        let stage = Stage::New(self.0);
        Box::new(Tls { inner, stage })
    }
}

impl fmt::Debug for TlsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            End::Server(_) => f.write_str("TlsLayer(server)"),
            End::Client(_, name) => write!(f, "TlsLayer({})", name.to_str()),
        }
    }
}

impl End {
    fn session(&self, reactor: &Reactor) -> Result<Box<dyn Session>> {
        match self {
            Self::Server(tls) => tls.session(reactor),
            Self::Client(tls, name) => tls.session(name.clone()),
        }
    }

    fn set_clock(&self, reactor: &Reactor) {
        match self {
            Self::Server(tls) => tls.set_clock(reactor),
            Self::Client(tls, _) => tls.set_clock(reactor),
        }
    }

    /// What failed, in words.
    fn error(&self, error: &rustls::Error) -> TlsError {
        match self {
            Self::Server(_) => TlsError::from_rustls(error, None),
            Self::Client(_, name) => TlsError::from_rustls(error, Some(&name.to_str())),
        }
    }
}

/// The layer's protocol.
struct Tls {
    inner: Inner,
    stage: Stage,
}

enum Stage {
    New(End),
    Handshake(End, Box<dyn Session>),
    Open(Open),
    /// Why; nothing goes up or down any more.
    Failed(Failure),
}

/// A connection after its handshake.
struct Open {
    session: Box<dyn Session>,
    held: Held,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// Encrypted bytes that wait until the protocol above wants data.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    /// How many of them rustls has taken.
    start: usize,
}

/// What the peer will still send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Incoming {
    More,
    /// Nothing, as it said.
    Ended,
    /// Nothing, without a word.
    CutOff,
    /// Nothing, and the protocol above knows it.
    Told,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outgoing {
    More,
    /// The peer has been told that no more follows.
    Closed,
}

impl Protocol for Tls {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let Stage::New(end) = &self.stage else {
            return Ok(());
        };
        let reactor = transport.reactor()?;
        transport.start_handshake();
        end.set_clock(&reactor);
        let mut session = end.session(&reactor)?;
        flush(&mut *session, transport);
        let new = mem::replace(
            &mut self.stage,
            Stage::Failed(Failure::msg("TLS: half made")),
        );
        if let Stage::New(end) = new {
            self.stage = Stage::Handshake(end, session);
        }
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        match &mut self.stage {
            Stage::Handshake(..) => self.shake(transport, data),
            Stage::Open(open) => {
                let done = open.receive(&mut self.inner, data)?;
                self.after_receiving(transport, done)
            }
            Stage::New(_) | Stage::Failed(_) => Ok(()),
        }
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        match &mut self.stage {
            Stage::New(_) | Stage::Handshake(..) => {
                let what = "the peer ended the connection in the handshake";
                self.fail(transport, TlsError::Peer(what.to_owned()));
                Ok(())
            }
            Stage::Open(open) => {
                if open.incoming == Incoming::More {
                    open.incoming = Incoming::CutOff;
                }
                let done = open.receive(&mut self.inner, &[])?;
                self.after_receiving(transport, done)
            }
            Stage::Failed(_) => Ok(()),
        }
    }

    fn inner_requests(&mut self, transport: &Transport) -> Result {
        let Stage::Open(open) = &mut self.stage else {
            if self.inner.settle(None)? == Next::Close {
                transport.lose_connection();
            }
            return Ok(());
        };
        let next = open.send(&mut self.inner, transport)?;
        if next == Next::Close {
            transport.lose_connection();
            return Ok(());
        }
        if self.inner.is_paused() {
            return Ok(());
        }
        let done = open.receive(&mut self.inner, &[])?;
        self.after_receiving(transport, done)
    }

    fn connection_lost(&mut self, reason: Failure) {
        let stage = mem::replace(&mut self.stage, Stage::Failed(reason.clone()));
        self.inner.connection_lost(match stage {
            Stage::Failed(own) => own,
            Stage::New(_) | Stage::Handshake(..) | Stage::Open(_) => reason,
        });
    }
}

impl Tls {
    /// Goes on with the handshake.
    fn shake(&mut self, transport: &Transport, mut input: &[u8]) -> Result {
        let Stage::Handshake(end, session) = &mut self.stage else {
            return Ok(());
        };
        end.set_clock(&transport.reactor()?);
        while !input.is_empty() {
            match session.read(&mut input) {
                Ok(progress) if !progress.is_handshaking => {
                    let incoming = match progress.peer_has_closed {
                        true => Incoming::Ended,
                        false => Incoming::More,
                    };
                    return self.up(transport, incoming, input);
                }
                Ok(progress) if progress.peer_has_closed => {
                    let what = "the peer closed TLS in the handshake";
                    self.fail(transport, TlsError::Peer(what.to_owned()));
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => {
                    let error = end.error(&error);
                    self.fail(transport, error);
                    return Ok(());
                }
            }
        }
        flush(&mut **session, transport);
        Ok(())
    }

    /// The handshake is done; more may have come with its end.
    fn up(&mut self, transport: &Transport, incoming: Incoming, input: &[u8]) -> Result {
        let failed = Stage::Failed(Failure::msg("TLS: half open"));
        let Stage::Handshake(_, mut session) = mem::replace(&mut self.stage, failed) else {
            return Ok(());
        };
        flush(&mut *session, transport);
        transport.handshake_done();
        self.inner.set_info(Rc::new(session.info()));
        self.stage = Stage::Open(Open {
            session,
            held: Held::default(),
            incoming,
            outgoing: Outgoing::More,
        });
        self.inner.connection_made()?;
        self.data_received(transport, input)
    }

    /// Sends what receiving has led to: answers, or the alert of a failure.
    fn after_receiving(&mut self, transport: &Transport, done: Received) -> Result {
        if let Stage::Open(open) = &mut self.stage {
            flush(&mut *open.session, transport);
        }
        match done {
            Received::All => {}
            Received::Broken(error) => self.fail(transport, TlsError::from_rustls(&error, None)),
            Received::CutOff => self.fail(transport, Truncated),
        }
        Ok(())
    }

    /// TLS is over. What rustls wants to say of it, an alert, leaves first.
    #[cold]
    fn fail(&mut self, transport: &Transport, error: impl std::error::Error + 'static) {
        if let Stage::Handshake(_, session) | Stage::Open(Open { session, .. }) = &mut self.stage {
            flush(&mut **session, transport);
        }
        tracing::debug!(target: "tress::tls", peer = %transport.peer(), "{error}");
        self.stage = Stage::Failed(error.into());
        transport.lose_connection();
    }
}

/// How receiving ended.
enum Received {
    /// Everything is delivered, or nobody wants it now.
    All,
    /// The peer broke the protocol.
    Broken(rustls::Error),
    /// The peer is gone, and all that came of it is delivered.
    CutOff,
}

impl Open {
    /// Delivers what came, as long as the protocol above wants it; the rest is held.
    fn receive(&mut self, inner: &mut Inner, data: &[u8]) -> Result<Received> {
        if self.held.bytes.is_empty() {
            let mut input = data;
            let received = self.decrypt(inner, &mut input)?;
            self.held.bytes.extend_from_slice(input);
            return self.end(inner, received);
        }
        let mut held = mem::take(&mut self.held);
        held.bytes.extend_from_slice(data);
        let mut input = &held.bytes[held.start..];
        let received = self.decrypt(inner, &mut input)?;
        held.start = held.bytes.len() - input.len();
        if held.start < held.bytes.len() {
            self.held = held;
        }
        self.end(inner, received)
    }

    fn decrypt(&mut self, inner: &mut Inner, input: &mut &[u8]) -> Result<Received> {
        while self.deliver(inner)? && !input.is_empty() {
            match self.session.read(input) {
                Ok(progress) if progress.peer_has_closed && self.incoming == Incoming::More => {
                    self.incoming = Incoming::Ended;
                }
                Ok(_) => {}
                Err(error) => {
                    // What came before it is whole.
                    self.deliver(inner)?;
                    return Ok(Received::Broken(error));
                }
            }
        }
        Ok(Received::All)
    }

    /// Delivers what is decrypted; false when it is not wanted now.
    fn deliver(&mut self, inner: &mut Inner) -> Result<bool> {
        loop {
            let plaintext = self.session.plaintext();
            let count = plaintext.len();
            if count == 0 {
                return Ok(true);
            }
            if inner.is_paused() {
                return Ok(false);
            }
            inner.data_received(plaintext)?;
            self.session.consume(count);
        }
    }

    /// Tells of the end, once everything before it is delivered, to who wants to hear something.
    fn end(&mut self, inner: &mut Inner, received: Received) -> Result<Received> {
        // Nothing waits for delivery when it is not paused.
        if inner.is_paused() || !matches!(received, Received::All) {
            return Ok(received);
        }
        match self.incoming {
            Incoming::More | Incoming::Told => Ok(received),
            Incoming::CutOff => Ok(Received::CutOff),
            Incoming::Ended => {
                self.incoming = Incoming::Told;
                inner.read_closed()?;
                Ok(received)
            }
        }
    }

    /// Encrypts what the protocol above wrote, and says what it has come to.
    fn send(&mut self, inner: &mut Inner, transport: &Transport) -> Result<Next> {
        let session = &mut *self.session;
        let mut kept = 0;
        let next = inner.settle(Some(&mut |plaintext: &[u8]| {
            let mut taken = 0;
            for piece in plaintext.chunks(PIECE).take(PIECES - kept) {
                let more = session.write(piece);
                taken += more.map_err(|error| TlsError::from_rustls(&error, None))?;
                kept += 1;
            }
            // While the peer keeps up, a producer is asked for more before they leave.
            if kept == PIECES || transport.queued() > 0 {
                flush(session, transport);
                kept = 0;
            }
            Ok(taken)
        }));
        // Even if the protocol above has failed since.
        flush(session, transport);
        let next = next?;
        if next != Next::GoOn && self.outgoing == Outgoing::More {
            self.outgoing = Outgoing::Closed;
            session.close();
            flush(session, transport);
        }
        Ok(next)
    }
}

fn flush(session: &mut dyn Session, transport: &Transport) {
    let mut output = transport;
    session.flush(&mut output);
}
