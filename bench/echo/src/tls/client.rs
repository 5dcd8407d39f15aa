//! The one client of both servers: rustls over blocking sockets, some connections at a time. Knows no server.

use super::certificate::NAME;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, Stream};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one message.
pub const MESSAGE: usize = 64;

/// Connections that come and go together: no more than the tickets that rustls keeps for one server, as each takes one.
pub const TOGETHER: usize = 8;

/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection.
#[derive(Debug)]
pub struct Connection {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Connection {
    /// Connects from 127.0.0.`source`, and says hello.
    fn begin(port: u16, config: &Arc<ClientConfig>, source: u8) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.bind(&SocketAddr::from(([127, 0, 0, source], 0)).into())?;
        socket.connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)).into(), PATIENCE)?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut connection = Self {
            tls,
            socket: socket.into(),
        };
        connection.leave()?;
        Ok(connection)
    }

    /// A connection after its handshake.
    ///
    /// # Errors
    /// The server refuses, fails or does not answer.
    pub fn open(port: u16, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut connection = Self::begin(port, config, 1)?;
        connection.shake_hands()?;
        Ok(connection)
    }

    fn shake_hands(&mut self) -> io::Result<HandshakeKind> {
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.socket)?;
        }
        self.leave()?;
        if self.tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(io::Error::other("the server speaks no TLS 1.3"));
        }
        let kind = self.tls.handshake_kind();
        kind.ok_or_else(|| io::Error::other("a handshake of no kind"))
    }

    /// Writes what rustls has to say.
    fn leave(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Encrypts and sends.
    ///
    /// # Errors
    /// The server is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)?;
        self.stream().flush()
    }

    /// Waits for as many bytes as there is room for.
    ///
    /// # Errors
    /// They do not come.
    pub fn receive(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.stream().read_exact(bytes)
    }

    fn stream(&mut self) -> Stream<'_, ClientConnection, TcpStream> {
        Stream::new(&mut self.tls, &mut self.socket)
    }

    /// Says that no more follows.
    fn say_end(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.leave()?;
        self.socket.shutdown(std::net::Shutdown::Write)
    }

    /// Waits for the server's close_notify and its end.
    fn await_end(&mut self) -> io::Result<()> {
        match self.stream().read(&mut [0; MESSAGE])? {
            0 => {}
            _ => return Err(io::Error::other("the server says more than it was told")),
        }
        match self.socket.read(&mut [0; MESSAGE])? {
            0 => Ok(()),
            _ => Err(io::Error::other("the server says more than goodbye")),
        }
    }
}

/// Connections that come, say one thing and go.
#[derive(Debug)]
pub struct Batch {
    port: u16,
    config: Arc<ClientConfig>,
    kind: HandshakeKind,
}

impl Batch {
    /// For the server at this port, which must do full handshakes or resumed ones.
    #[must_use]
    pub fn new(port: u16, config: Arc<ClientConfig>, resumed: bool) -> Self {
        let kind = if resumed {
            HandshakeKind::Resumed
        } else {
            HandshakeKind::Full
        };
        Self { port, config, kind }
    }

    /// Full handshakes, whatever is counted later: for the tickets, and for what is allocated once.
    ///
    /// # Errors
    /// As for [`Batch::come_and_go`].
    pub fn warm(&self, source: u8) -> io::Result<()> {
        self.together(TOGETHER, source, HandshakeKind::Full)
    }

    /// Comes and goes `count` times from 127.0.0.`source`.
    ///
    /// # Errors
    /// The server refuses, fails, does not answer, or does handshakes of another kind.
    pub fn come_and_go(&self, count: usize, source: u8) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let now = left.min(TOGETHER);
            self.together(now, source, self.kind)?;
            left -= now;
        }
        Ok(())
    }

    fn together(&self, count: usize, source: u8, wanted: HandshakeKind) -> io::Result<()> {
        let began = (0..count).map(|_| Connection::begin(self.port, &self.config, source));
        let mut all = began.collect::<io::Result<Vec<_>>>()?;
        for connection in &mut all {
            let kind = connection.shake_hands()?;
            if kind != wanted {
                let reason = format!("a handshake is {kind:?} and should be {wanted:?}");
                return Err(io::Error::other(reason));
            }
            connection.send(&[b'x'; MESSAGE])?;
        }
        for connection in &mut all {
            connection.receive(&mut [0; MESSAGE])?;
            connection.say_end()?;
        }
        all.iter_mut().try_for_each(Connection::await_end)
    }
}

/// Opens `count` connections, and exchanges one message on each.
///
/// # Errors
/// The server refuses, fails or does not answer.
pub fn open_all(
    port: u16,
    config: &Arc<ClientConfig>,
    count: usize,
) -> io::Result<Vec<Connection>> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Connection::open(port, config)?;
        connection.send(&[b'x'; MESSAGE])?;
        connection.receive(&mut [0; MESSAGE])?;
        all.push(connection);
    }
    Ok(all)
}

/// Sends one message on every connection, then waits for all answers, until there were `count`. Returns how many.
///
/// # Errors
/// The server is gone, or sends back something else.
pub fn lockstep(all: &mut [Connection], count: usize) -> io::Result<usize> {
    let message = [b'x'; MESSAGE];
    let mut done = 0;
    while done < count {
        for connection in &mut *all {
            connection.send(&message)?;
        }
        for connection in &mut *all {
            let mut answer = [0; MESSAGE];
            connection.receive(&mut answer)?;
            if answer != message {
                return Err(io::Error::other("the server sent back something else"));
            }
        }
        done += all.len();
    }
    Ok(done)
}
