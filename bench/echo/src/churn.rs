//! The client that only comes and goes: connect, one message, its echo, close; many at a time.

use crate::client::MESSAGE;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections under way at any moment.
const AT_ONCE: usize = 64;

/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(10);

struct Visit {
    stream: TcpStream,
    greeted: bool,
    got: usize,
}

/// Comes and goes `count` times.
///
/// `source` picks the client's loopback address, so that ports which wait out their TIME_WAIT are not in the way.
///
/// # Errors
/// The server refuses, fails or does not answer.
pub fn run(port: u16, count: usize, source: u8) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(AT_ONCE);
    let mut visits: Vec<Option<Visit>> = Vec::new();
    let mut left = count;
    for slot in 0..AT_ONCE.min(count) {
        visits.push(Some(begin(&poll, port, source, slot)?));
        left -= 1;
    }
    let mut under_way = visits.len();
    let mut deadline = Instant::now() + PATIENCE;
    while under_way > 0 {
        poll.poll(
            &mut events,
            Some(deadline.saturating_duration_since(Instant::now())),
        )?;
        if events.is_empty() && Instant::now() >= deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{under_way} connections hang"),
            ));
        }
        for event in &events {
            let slot = event.token().0;
            let Some(visit) = visits[slot].as_mut() else {
                continue;
            };
            if !visit.advance()? {
                continue;
            }
            deadline = Instant::now() + PATIENCE;
            // Dropping the old stream closes it.
            visits[slot] = None;
            if left > 0 {
                left -= 1;
                visits[slot] = Some(begin(&poll, port, source, slot)?);
            } else {
                under_way -= 1;
            }
        }
    }
    Ok(())
}

fn begin(poll: &Poll, port: u16, source: u8, slot: usize) -> io::Result<Visit> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, source], 0)).into())?;
    match socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            return Err(error);
        }
        _ => {}
    }
    let mut stream = TcpStream::from_std(socket.into());
    poll.registry().register(
        &mut stream,
        Token(slot),
        Interest::READABLE | Interest::WRITABLE,
    )?;
    Ok(Visit {
        stream,
        greeted: false,
        got: 0,
    })
}

impl Visit {
    /// Goes on as far as it can; true when the whole echo is there.
    fn advance(&mut self) -> io::Result<bool> {
        if !self.greeted {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            match self.stream.write(&[b'x'; MESSAGE]) {
                Ok(MESSAGE) => self.greeted = true,
                Ok(_) => {
                    return Err(io::Error::other(
                        "a new connection does not take one message",
                    ));
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        let mut buffer = [0; 2 * MESSAGE];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(got) => self.got += got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(self.got >= MESSAGE);
                }
                Err(error) => return Err(error),
            }
            if self.got >= MESSAGE {
                return Ok(true);
            }
        }
    }
}
