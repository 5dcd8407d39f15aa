//! STARTTLS: in mid-stream, at both ends, and what may not pass for encrypted.

use super::world::{World, encrypted, peer, said};
use crate::{ClientTls, ServerTls, StartTls, TlsInfo, session::Session, testing::ends};
use std::{cell::RefCell, rc::Rc};
use tress_core::{
    Failure, Result, Transport,
    framing::{LineReceiver, LineTransport, Lines},
    testing::memory::{Tester, linked_pair},
};

type Log = Rc<RefCell<Vec<String>>>;

/// Repeats lines; `STARTTLS` is answered with `go ahead`, and TLS.
struct Server {
    tls: ServerTls,
    log: Log,
}

impl LineReceiver for Server {
    fn connection_made(&mut self, _: &LineTransport) -> Result {
        self.log.borrow_mut().push("server made".to_owned());
        Ok(())
    }
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        let encrypted = transport.info::<TlsInfo>().is_some();
        if line == b"STARTTLS" {
            transport.send_line(b"go ahead");
            transport.start_tls(&self.tls);
        } else {
            let line = String::from_utf8_lossy(line);
            transport.send_line(format!("{line}, encrypted: {encrypted}").as_bytes());
        }
        Ok(())
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.log.borrow_mut().push(format!("server lost: {reason}"));
    }
}

struct Client {
    tls: ClientTls,
    log: Log,
}

impl LineReceiver for Client {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        self.log.borrow_mut().push("client made".to_owned());
        transport.send_line(b"hello");
        transport.send_line(b"STARTTLS");
        Ok(())
    }
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        let text = String::from_utf8_lossy(line).into_owned();
        self.log.borrow_mut().push(text);
        match line {
            b"go ahead" => {
                transport.start_tls(self.tls.layer("localhost")?);
                transport.send_line(b"again");
            }
            b"again, encrypted: true" => transport.lose_connection(),
            _ => {}
        }
        Ok(())
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.log.borrow_mut().push(format!("client lost: {reason}"));
    }
}

#[test]
fn a_conversation_goes_on_encrypted() {
    let log = Log::default();
    let (server, client) = ends();
    let server = Server {
        tls: server,
        log: Rc::clone(&log),
    };
    let client = Client {
        tls: client,
        log: Rc::clone(&log),
    };
    linked_pair(Lines::new(server), Lines::new(client));
    let done = "lost: connection was closed cleanly";
    let mut events = log.take();
    events.sort_by_key(|event| event.contains("lost")); // whoever hears of it first
    let expected = [
        "server made",
        "client made",
        "hello, encrypted: false",
        "go ahead",
        "again, encrypted: true",
    ];
    assert_eq!(events[..5], expected);
    assert_eq!(events.len(), 7);
    assert!(
        events[5..].iter().all(|event| event.ends_with(done)),
        "{events:?}"
    );
}

fn begun() -> (Tester<Lines<Server>>, Box<dyn Session>, Log) {
    let log = Log::default();
    let (server, client) = ends();
    let server = Server {
        tls: server,
        log: Rc::clone(&log),
    };
    (Tester::new(Lines::new(server)), peer(&client), log)
}

/// TLS-05.
#[test]
fn lines_pipelined_behind_starttls_are_refused() {
    let (tester, _, log) = begun();
    tester.receive(b"STARTTLS\r\nRCPT TO:<a@b>\r\n");
    let events = log.take();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(
        events[1].contains("15 bytes that came before a layer"),
        "{events:?}"
    );
    assert!(tester.was_aborted());
}

/// TLS-05: what comes in the clear after the command is no handshake.
#[test]
fn lines_in_the_clear_after_starttls_are_refused() {
    let (tester, mut peer, log) = begun();
    tester.receive(b"STARTTLS\r\n");
    assert_eq!(tester.sent(), b"go ahead\r\n");
    tester.receive(b"RCPT TO:<a@b>\r\n");
    assert_eq!(
        log.take(),
        ["server made", "server lost: the peer does not speak TLS"]
    );
    let mut alert = &tester.sent()[..];
    assert!(peer.read(&mut alert).is_err(), "it is told why");
    assert!(tester.is_closed() && !tester.was_aborted());
}

/// TLS-05, the other way: a server's bytes behind its answer.
#[test]
fn lines_pipelined_behind_the_answer_are_refused_by_the_client() {
    let log = Log::default();
    let (_, client) = ends();
    let tester = Tester::new(Lines::new(Client {
        tls: client,
        log: Rc::clone(&log),
    }));
    tester.receive(b"go ahead\r\nagain, encrypted: true\r\n");
    let events = log.take();
    assert_eq!(events[..2], ["client made", "go ahead"]);
    assert!(
        events[2].contains("24 bytes that came before a layer"),
        "{events:?}"
    );
}

#[test]
fn what_is_written_before_goes_out_in_the_clear_and_after_it_waits() {
    let (tester, mut peer, _) = begun();
    tester.receive(b"STARTTLS\r\n");
    assert_eq!(tester.sent(), b"go ahead\r\n");
    let transport: &Transport = tester.transport();
    transport.write(b"secret");
    tester.settle();
    assert!(tester.sent().is_empty());
    tester.receive(&said(&mut *peer));
    let flight = tester.sent();
    assert!(!flight.windows(6).any(|window| window == b"secret"));
    let mut flight = &flight[..];
    while !flight.is_empty() {
        peer.read(&mut flight).unwrap();
    }
    let finished = said(&mut *peer);
    tester.receive(&finished);
    let sent = tester.sent();
    let mut rest = &sent[..];
    while !rest.is_empty() {
        peer.read(&mut rest).unwrap();
    }
    assert_eq!(peer.plaintext(), b"secret");
    tester.receive(&encrypted(&mut *peer, b"line\r\n"));
    assert!(!tester.sent().is_empty());
}

#[test]
fn tls_over_tls() {
    let world = World::new();
    let (server, client) = world.pair();
    let (inner_server, inner_client) = ends();
    server.start_tls(&inner_server);
    client.start_tls(inner_client.layer("localhost").unwrap());
    world.table.settle();
    world.echoes(&client);
    client.lose_connection();
    world.table.settle();
    let done = "lost: connection was closed cleanly";
    assert_eq!(world.client.take(), [done]);
    assert_eq!(world.server.take().last().unwrap(), done);
}

#[test]
fn starting_on_an_ended_connection_does_nothing() {
    let (server, _) = ends();
    let world = World::new();
    let (transport, client) = world.pair();
    client.abort_connection();
    world.table.settle();
    transport.start_tls(&server);
    client.start_tls(&server);
    world.table.settle();
}
