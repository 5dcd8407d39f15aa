//! The other end of a connection: blocking sockets on which every wait is bounded.

use crate::testee::{PATIENCE, Testee};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// How many bytes are written at once.
const PIECE_BYTES: usize = 64 * 1024;

pub(crate) fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&at, PATIENCE).expect("the testee listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends this and reads that many bytes back, which must be the same.
#[track_caller]
pub(crate) fn echoes(mut stream: &TcpStream, bytes: &[u8]) {
    let mut back = vec![0; bytes.len()];
    let done = stream.write_all(bytes);
    let done = done.and_then(|()| stream.read_exact(&mut back));
    assert!(done.is_ok(), "no echo: {done:?}");
    assert_eq!(back, bytes);
}

/// A connection that is served within `patience`, unless it was closed or left waiting.
pub(crate) fn served(at: SocketAddr, patience: Duration) -> Option<TcpStream> {
    let mut stream = connect(at);
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut byte = [0];
    let got = stream
        .write_all(b"?")
        .and_then(|()| stream.read_exact(&mut byte));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    got.is_ok().then_some(stream)
}

/// Ends a connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// One message of a protocol and what comes back for it.
fn message(protocol: &str) -> (&'static [u8], &'static [u8]) {
    match protocol {
        "discard" => (b"?", b""),
        "lines" => (b"?\r\n", b"?\r\n"),
        "netstrings" => (b"1:?,", b"1:?,"),
        "int32" => (b"\0\0\0\x01?", b"\0\0\0\x01?"),
        _ => (b"?", b"?"),
    }
}

/// A new connection, one message, everything that comes back to the end: how long that took.
#[track_caller]
pub(crate) fn probe(testee: &Testee) -> Duration {
    let (request, expected) = message(testee.protocol);
    let begun = Instant::now();
    let mut stream = connect(testee.at);
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end of answers");
    assert_eq!(answer, expected, "{}", testee.protocol);
    begun.elapsed()
}

/// What became of a flood.
#[derive(Debug)]
pub(crate) struct Flood {
    /// How many bytes the other end, or the kernel, took.
    pub(crate) sent: usize,
    /// The other end closed before it had everything.
    pub(crate) cut_off: bool,
    /// How many bytes came back.
    pub(crate) received: usize,
}

/// Sends `total` bytes, which `fill` makes piece by piece, and reads meanwhile whatever comes, to the end.
#[track_caller]
pub(crate) fn flood(at: SocketAddr, total: usize, mut fill: impl FnMut(&mut [u8])) -> Flood {
    let stream = connect(at);
    let mut piece = vec![0; PIECE_BYTES.min(total)];
    let mut sent = 0;
    let mut cut_off = false;
    let received = thread::scope(|scope| {
        let reader = scope.spawn(|| drain(&stream));
        while sent < total && !cut_off {
            let count = piece.len().min(total - sent);
            fill(&mut piece[..count]);
            match (&stream).write_all(&piece[..count]) {
                Ok(()) => sent += count,
                Err(error) if is_end(&error) => cut_off = true,
                Err(error) => panic!("the flood stands still: {error}"),
            }
        }
        // The reader sees the same end, whoever made it.
        stream.shutdown(Shutdown::Write).ok();
        reader.join().expect("bytes to the end")
    });
    Flood {
        sent,
        cut_off,
        received,
    }
}

/// Reads to the end, which may be a reset.
fn drain(mut stream: &TcpStream) -> usize {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut received = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return received,
            Ok(count) => received += count,
            Err(error) if is_end(&error) => return received,
            Err(error) => panic!("no end after {received} bytes: {error}"),
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
    )
}

/// Whether the other end closes without a byte, although this end neither closes nor sends anything after `bytes`.
pub(crate) fn is_cut_off(at: SocketAddr, bytes: &[u8]) -> bool {
    let stream = connect(at);
    match (&stream).write_all(bytes) {
        Ok(()) => {}
        Err(error) if is_end(&error) => return true,
        Err(error) => panic!("it neither reads nor closes: {error}"),
    }
    drain(&stream) == 0
}
