//! `Session`: what the layer asks of rustls, and its two implementations. All that knows rustls' connections is here,
//! so that a later rustls changes this file.

use crate::info::{TlsInfo, TlsVersion};
use rustls::{
    ClientConfig, ClientConnection, CommonState, ConnectionCommon, Error, HandshakeKind,
    ProtocolVersion, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, ServerName},
};
use std::{
    io::{self, BufRead, Write},
    ops::DerefMut,
    sync::Arc,
};

/// One end of a TLS connection, without I/O.
pub(crate) trait Session {
    /// Takes records from the front of `input`, and leaves what it does not want before its plaintext is taken.
    fn read(&mut self, input: &mut &[u8]) -> Result<Progress, Error>;

    /// What has been decrypted and waits, or a part of it; empty when nothing does.
    fn plaintext(&mut self) -> &[u8];

    /// The first `count` bytes of it have been delivered.
    fn consume(&mut self, count: usize);

    /// Encrypts a piece of at most [`PIECE`] bytes as one record, and says how much of it. No more than [`PIECES`] may
    /// wait to be sent. Fails when the keys have encrypted all they may, which takes some hundred gigabytes in TLS 1.2; in TLS 1.3 they
    /// are changed before that.
    fn write(&mut self, plaintext: &[u8]) -> Result<usize, Error>;

    /// Says that no more follows.
    fn close(&mut self);

    /// Hands what is to be sent to `output`, which takes everything.
    fn flush(&mut self, output: &mut dyn Write);

    /// What was agreed on.
    fn info(&self) -> TlsInfo;
}

/// Plaintext of one record, bytes.
pub(crate) const PIECE: usize = 16_384;

/// Pieces that are encrypted before their records leave together, as each system call costs. More would be slower again:
/// rustls allocates each record, and from 128 KiB on glibc gives the memory back to the system each time.
pub(crate) const PIECES: usize = 7;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Nothing of ours may be sent yet.
    pub(crate) is_handshaking: bool,
    /// The peer has said that no more follows.
    pub(crate) peer_has_closed: bool,
}

/// A client's session remembers the name, which rustls does not tell again.
pub(crate) struct ClientSession {
    connection: ClientConnection,
    name: Box<str>,
}

impl ClientSession {
    pub(crate) fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        Ok(Self {
            name: name.to_str().into(),
            connection: with_limit(ClientConnection::new(config, name)?),
        })
    }
}

pub(crate) fn server_session(config: Arc<ServerConfig>) -> Result<ServerConnection, Error> {
    ServerConnection::new(config).map(with_limit)
}

/// Has room for [`PIECES`], and what encryption adds to each.
fn with_limit<D, C: DerefMut<Target = ConnectionCommon<D>>>(mut connection: C) -> C {
    connection.set_buffer_limit(Some(PIECES * (PIECE + 512)));
    connection
}

impl Session for ServerConnection {
    fn read(&mut self, input: &mut &[u8]) -> Result<Progress, Error> {
        read(self, input)
    }
    fn plaintext(&mut self) -> &[u8] {
        plaintext(self)
    }
    fn consume(&mut self, count: usize) {
        self.reader().consume(count);
    }
    fn write(&mut self, piece: &[u8]) -> Result<usize, Error> {
        write(self, piece)
    }
    fn close(&mut self) {
        self.send_close_notify();
    }
    fn flush(&mut self, output: &mut dyn Write) {
        flush(self, output);
    }
    fn info(&self) -> TlsInfo {
        info(self, self.server_name())
    }
}

impl Session for ClientSession {
    fn read(&mut self, input: &mut &[u8]) -> Result<Progress, Error> {
        read(&mut self.connection, input)
    }
    fn plaintext(&mut self) -> &[u8] {
        plaintext(&mut self.connection)
    }
    fn consume(&mut self, count: usize) {
        self.connection.reader().consume(count);
    }
    fn write(&mut self, piece: &[u8]) -> Result<usize, Error> {
        write(&mut self.connection, piece)
    }
    fn close(&mut self) {
        self.connection.send_close_notify();
    }
    fn flush(&mut self, output: &mut dyn Write) {
        flush(&mut self.connection, output);
    }
    fn info(&self) -> TlsInfo {
        info(&self.connection, Some(&self.name))
    }
}

fn read<D>(connection: &mut ConnectionCommon<D>, input: &mut &[u8]) -> Result<Progress, Error> {
    match connection.read_tls(input) {
        // After close_notify: what follows means nothing.
        Ok(0) => *input = &[],
        Ok(_) => {}
        // Its plaintext must be taken first.
        Err(error) if error.kind() == io::ErrorKind::Other => {}
        // Its one buffer is full of a message that does not end.
        Err(_) => return Err(Error::PeerSentOversizedRecord),
    }
    let state = connection.process_new_packets()?;
    Ok(Progress {
        is_handshaking: connection.is_handshaking(),
        peer_has_closed: state.peer_has_closed(),
    })
}

fn plaintext<D>(connection: &mut ConnectionCommon<D>) -> &[u8] {
    // An error says that nothing is there: for now, or ever.
    connection.reader().into_first_chunk().unwrap_or_default()
}

fn write<D>(connection: &mut ConnectionCommon<D>, piece: &[u8]) -> Result<usize, Error> {
    match connection.writer().write(piece) {
        Ok(taken) if taken == piece.len() && connection.wants_write() => Ok(taken),
        _ => Err(Error::EncryptError),
    }
}

fn flush<D>(connection: &mut ConnectionCommon<D>, mut output: &mut dyn Write) {
    while connection.wants_write() {
        connection
            .write_tls(&mut output)
            .expect("the output takes everything");
    }
}

fn info(state: &CommonState, name: Option<&str>) -> TlsInfo {
    let suite = state.negotiated_cipher_suite();
    let certificates = state.peer_certificates().unwrap_or_default();
    let resumed = state.handshake_kind() == Some(HandshakeKind::Resumed);
    TlsInfo {
        negotiated_protocol: state.alpn_protocol().map(Into::into),
        version: match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
            _ => TlsVersion::V1_3,
        },
        cipher_suite: suite
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown"),
        server_name: name.map(Into::into),
        peer_certificates: certificates.iter().map(copied).collect(),
        resumed,
    }
}

fn copied(certificate: &CertificateDer<'_>) -> Box<[u8]> {
    certificate.as_ref().into()
}
