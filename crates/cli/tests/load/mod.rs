//! Clients that ask until a number of requests has been answered, each completely, and that count every one that is not.
//! Knows no server.

use crate::running::PATIENCE;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

/// What a request is to be answered with.
const ANSWER: &str = "Happy";

/// A stream that does not wait for ever.
pub(crate) trait Patient: Read + Write {
    fn be_patient(&self) -> io::Result<()>;
}

impl Patient for TcpStream {
    fn be_patient(&self) -> io::Result<()> {
        self.set_nodelay(true)?;
        self.set_read_timeout(Some(PATIENCE))
    }
}

impl Patient for UnixStream {
    fn be_patient(&self) -> io::Result<()> {
        self.set_read_timeout(Some(PATIENCE))
    }
}

/// One finger request over a new connection.
pub(crate) fn ask<S: Patient>(stream: io::Result<S>) -> Result<String, String> {
    let ask = || {
        let mut stream = stream?;
        stream.be_patient()?;
        stream.write_all(b"moshez\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().map_err(|error: io::Error| error.to_string())
}

/// So many requests, which any number of threads make.
pub(crate) struct Load {
    requests: u32,
    begun: AtomicU32,
    /// How many have been answered; whoever waits for so many is told.
    answered: Mutex<u32>,
    changed: Condvar,
    over: AtomicBool,
}

/// Ends the load when the thread that has it fails.
pub(crate) struct End<'l>(&'l Load);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.over.store(true, Ordering::Relaxed);
        }
    }
}

/// Those who wait are told when a client fails.
struct Failing<'l>(&'l Load);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.over.store(true, Ordering::Relaxed);
            self.0.changed.notify_all();
        }
    }
}

impl Load {
    pub(crate) fn new(requests: u32) -> Self {
        Self {
            requests,
            begun: AtomicU32::new(0),
            answered: Mutex::new(0),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
        }
    }

    pub(crate) fn ends_with_this(&self) -> End<'_> {
        End(self)
    }

    pub(crate) fn answered(&self) -> u32 {
        *self.answered.lock().unwrap()
    }

    /// Until so many have been answered.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: u32) {
        let mut answered = self.answered.lock().unwrap();
        while *answered < count {
            assert!(!self.over.load(Ordering::Relaxed), "a client has failed");
            answered = self.changed.wait_timeout(answered, PATIENCE).unwrap().0;
        }
    }

    /// Whether one more is to be made.
    fn begins(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
            && self.begun.fetch_add(1, Ordering::Relaxed) < self.requests
    }

    fn done(&self) {
        let mut answered = self.answered.lock().unwrap();
        *answered += 1;
        if answered.is_multiple_of(100) {
            self.changed.notify_all();
        }
    }

    /// A new connection for each.
    pub(crate) fn finger<S: Patient>(&self, connect: impl Fn() -> io::Result<S>) {
        let _failing = Failing(self);
        while self.begins() {
            assert_eq!(ask(connect()), Ok(format!("{ANSWER}\r\n")));
            self.done();
        }
    }

    /// One connection for as many as it is kept for.
    pub(crate) fn http(&self, at: SocketAddr) {
        let _failing = Failing(self);
        let mut kept = None;
        while self.begins() {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => {
                    let stream = TcpStream::connect(at).unwrap();
                    stream.be_patient().unwrap();
                    stream
                }
            };
            let stays = call(&mut connection).unwrap();
            kept = stays.then_some(connection);
            self.done();
        }
    }
}

/// Whether the connection stays for another.
fn call(stream: &mut TcpStream) -> io::Result<bool> {
    const REQUEST: &str = "POST /Finger/getUser HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                           Content-Length: 17\r\n\r\n{\"name\":\"moshez\"}";
    stream.write_all(REQUEST.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    let body = format!("\"{ANSWER}\"");
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, found)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
            assert!(
                head.contains(&format!("content-length: {}", body.len())),
                "{head}"
            );
            if found.len() >= body.len() {
                assert_eq!(found, body);
                return Ok(!head.contains("connection: close"));
            }
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..count]);
    }
}
