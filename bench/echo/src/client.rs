//! The load client: many connections, one thread, every answer counted.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Bytes of one message.
pub const MESSAGE: usize = 64;

/// The most messages one connection is sent in one go.
const LONGEST_BURST: usize = 64;

/// How many connections are opened before the server is waited for, well below any accept queue.
const OPENED_AT_ONCE: usize = 32;

/// The step from one connection to the next when walking over all of them: a prime, so it meets every one.
pub const STRIDE: usize = 7_919;

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Bytes of a message that has not come back whole.
    partial: usize,
}

/// Connections to one server.
#[derive(Debug)]
pub struct Client {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// (connection, whole messages) that came back in the last [`Client::pump`].
    back: Vec<(usize, usize)>,
    /// Where the walk over all connections stands.
    at: usize,
    patience: Duration,
}

impl Client {
    /// Opens `count` connections and exchanges one message on each.
    ///
    /// # Errors
    /// The server refuses, answers wrongly or not at all.
    pub fn open(port: u16, count: usize) -> io::Result<Self> {
        Self::open_patiently(port, count, Duration::from_secs(10))
    }

    /// The same, with another limit on how long an answer may take.
    ///
    /// # Errors
    /// As for [`Client::open`].
    pub fn open_patiently(port: u16, count: usize, patience: Duration) -> io::Result<Self> {
        let mut client = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::with_capacity(count),
            outgoing: (b' '..)
                .take(MESSAGE)
                .collect::<Vec<u8>>()
                .repeat(LONGEST_BURST),
            incoming: vec![0; 64 * 1024],
            back: Vec::new(),
            at: 0,
            patience,
        };
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let deadline = Instant::now() + 12 * patience;
        while client.connections.len() < count {
            if Instant::now() > deadline {
                let opened = client.connections.len();
                let reason = format!("only {opened} connections in {:?}", 12 * patience);
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
            let first = client.connections.len();
            let last = count.min(first + OPENED_AT_ONCE);
            for index in first..last {
                client.connect(&server, index)?;
            }
            for index in first..last {
                client.send(index, 1)?;
            }
            client.await_answers(last - first)?;
            if client.incoming[..MESSAGE] != client.outgoing[..MESSAGE] {
                return Err(io::Error::other("the server sent back something else"));
            }
        }
        Ok(client)
    }

    fn connect(&mut self, server: &SocketAddr, index: usize) -> io::Result<()> {
        let stream = std::net::TcpStream::connect_timeout(server, self.patience)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll
            .registry()
            .register(&mut stream, Token(index), Interest::READABLE)?;
        self.connections.push(Connection { stream, partial: 0 });
        Ok(())
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Sends whole messages on one connection, as one write.
    ///
    /// # Errors
    /// The connection failed, or its send buffer is full: then the server does not read.
    pub fn send(&mut self, index: usize, messages: usize) -> io::Result<()> {
        let bytes = &self.outgoing[..messages * MESSAGE];
        let sent = self.connections[index].stream.write(bytes)?;
        if sent < bytes.len() {
            return Err(io::Error::other("the server does not take what it is sent"));
        }
        Ok(())
    }

    /// Waits at most `timeout` and reads what came back; [`Client::back`] tells what.
    ///
    /// # Errors
    /// A connection failed or was closed by the server.
    pub fn pump(&mut self, timeout: Duration) -> io::Result<()> {
        self.back.clear();
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let index = event.token().0;
            let messages = self.connections[index].read(&mut self.incoming)?;
            if messages > 0 {
                self.back.push((index, messages));
            }
        }
        Ok(())
    }

    /// What the last pump brought: (connection, whole messages).
    #[must_use]
    pub fn back(&self) -> &[(usize, usize)] {
        &self.back
    }

    /// Pumps until something comes back.
    fn pump_some(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.patience;
        loop {
            self.pump(deadline.saturating_duration_since(Instant::now()))?;
            if !self.back.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer for {:?}", self.patience),
                ));
            }
        }
    }

    fn await_answers(&mut self, mut outstanding: usize) -> io::Result<()> {
        while outstanding > 0 {
            self.pump_some()?;
            outstanding -= self
                .back
                .iter()
                .map(|&(_, messages)| messages)
                .sum::<usize>()
                .min(outstanding);
        }
        Ok(())
    }

    /// Sends one message on every connection, then waits for all answers; `rounds` times. Returns the messages.
    ///
    /// # Errors
    /// The server failed or does not answer.
    pub fn lockstep(&mut self, rounds: usize) -> io::Result<usize> {
        for _ in 0..rounds {
            for index in 0..self.len() {
                self.send(index, 1)?;
            }
            self.await_answers(self.len())?;
        }
        Ok(rounds * self.len())
    }

    /// Keeps `depth` messages in flight on every connection for a while, then waits for the last. Returns the messages.
    ///
    /// # Errors
    /// The server failed or does not answer.
    pub fn keep_in_flight(&mut self, depth: usize, length: Duration) -> io::Result<usize> {
        for index in 0..self.len() {
            self.send(index, depth)?;
        }
        self.keep_going(self.len() * depth, length, |_, came_from, _| came_from)
    }

    /// Keeps `outstanding` messages in flight over all connections, each sent on the next one of a fixed walk.
    /// Returns the messages.
    ///
    /// # Errors
    /// The server failed or does not answer.
    pub fn walk(&mut self, outstanding: usize, length: Duration) -> io::Result<usize> {
        for _ in 0..outstanding {
            let next = self.step();
            self.send(next, 1)?;
        }
        self.keep_going(outstanding, length, |client, _, _| client.step())
    }

    /// The next connection of the walk.
    pub fn step(&mut self) -> usize {
        self.at = (self.at + STRIDE) % self.len();
        self.at
    }

    /// Replaces every answer by a new message, on the connection that `next` names, until the time is over.
    fn keep_going(
        &mut self,
        mut outstanding: usize,
        length: Duration,
        mut next: impl FnMut(&mut Self, usize, usize) -> usize,
    ) -> io::Result<usize> {
        let end = Instant::now() + length;
        let mut total = 0;
        while outstanding > 0 {
            self.pump_some()?;
            let over = Instant::now() >= end;
            for at in 0..self.back.len() {
                let (came_from, messages) = self.back[at];
                total += messages;
                if over {
                    outstanding -= messages;
                } else {
                    let index = next(self, came_from, messages);
                    self.send(index, messages)?;
                }
            }
        }
        Ok(total)
    }
}

impl Connection {
    /// Reads what is there; returns the whole messages it completes.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut total = self.partial;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(got) => {
                    total += got;
                    // A short read emptied the socket; the next arrival is a new event.
                    if got < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.partial = total % MESSAGE;
        Ok(total / MESSAGE)
    }
}
