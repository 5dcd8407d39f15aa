//! The load client: one connection on which a number of calls is always in flight. Knows no protocol.

use super::wire::Wire;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Calls that wait for their answers at any time.
pub const IN_FLIGHT: usize = 64;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// After this nothing more belongs to an answer.
const SILENCE: Duration = Duration::from_millis(200);

/// A connection to one server.
#[derive(Debug)]
pub struct Load {
    stream: TcpStream,
    /// All requests one after the other, twice.
    requests: Vec<u8>,
    request_bytes: usize,
    different: usize,
    /// Which is the next.
    next: usize,
    answer_bytes: usize,
    incoming: Vec<u8>,
}

impl Load {
    /// Connects, says what comes first, and learns how long an answer is.
    ///
    /// # Errors
    /// The server refuses, answers wrongly, or not all answers are of one length.
    pub fn open(port: u16, wire: Wire) -> io::Result<Self> {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&at, PATIENCE)?;
        stream.set_nodelay(true)?;
        let different = wire.requests().max(IN_FLIGHT);
        let one_by_one = (0..2 * different).map(|number| wire.request(number));
        let mut load = Self {
            stream,
            requests: one_by_one.flatten().collect(),
            request_bytes: wire.request(0).len(),
            different,
            next: 0,
            answer_bytes: 0,
            incoming: vec![0; 64 * 1024],
        };
        load.stream.write_all(wire.opening())?;
        load.hear()?; // greetings, if there are any
        load.send(1)?;
        let (first, good) = load.answer(wire)?;
        load.send(1)?;
        let (second, still_good) = load.answer(wire)?;
        if !good || !still_good {
            return Err(io::Error::other("the server answers something else"));
        }
        if first != second {
            let reason = format!("answers of {first} and of {second} bytes");
            return Err(io::Error::other(reason));
        }
        load.answer_bytes = first;
        load.stream.set_read_timeout(Some(PATIENCE))?;
        Ok(load)
    }

    /// Makes calls for a while, and waits for the last answer; how many, and how long it took.
    ///
    /// # Errors
    /// The server failed, or does not answer.
    pub fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)> {
        let began = Instant::now();
        let (mut sent, mut answered, mut got) = (IN_FLIGHT, 0, 0);
        self.send(IN_FLIGHT)?;
        while answered < sent {
            got += self.read()?;
            let more = got / self.answer_bytes - answered;
            answered += more;
            if more > 0 && began.elapsed() < length {
                self.send(more)?;
                sent += more;
            }
        }
        if got != sent * self.answer_bytes {
            return Err(io::Error::other("the server sent more than it was asked"));
        }
        Ok((sent, began.elapsed()))
    }

    /// Sends the next requests, as one write.
    fn send(&mut self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            let now = count.min(self.different);
            let from = self.next * self.request_bytes;
            let bytes = &self.requests[from..from + now * self.request_bytes];
            self.stream.write_all(bytes)?;
            self.next = (self.next + now) % self.different;
            count -= now;
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<usize> {
        match self.stream.read(&mut self.incoming)? {
            0 => Err(io::Error::other("the server closed the connection")),
            got => Ok(got),
        }
    }

    /// The length of an answer, and whether it is good.
    fn answer(&mut self, wire: Wire) -> io::Result<(usize, bool)> {
        let heard = self.hear()?;
        let good = wire.answer();
        Ok((
            heard.len(),
            heard.windows(good.len()).any(|some| some == good),
        ))
    }

    /// Everything until the server is silent.
    fn hear(&mut self) -> io::Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(SILENCE))?;
        let mut heard = Vec::new();
        loop {
            match self.read() {
                Ok(got) => heard.extend_from_slice(&self.incoming[..got]),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Ok(heard);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
