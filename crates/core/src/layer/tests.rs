//! What the suite cannot see: what is logged, layers that are careless, ends without a turn of the loop, and memory.

use super::{Inner, Layer, Next};
use crate::{
    Failure, Protocol, Reactor, Result, Transport,
    error::{BytesBeforeLayer, ConnectionDone, ReactorGone},
    factory::SharedFactory,
    framing::{LineReceiver, LineTransport, Lines, Netstrings, StringReceiver, StringTransport},
    testing::{
        logged,
        memory::{Table, Tester},
    },
    transport::Link,
};
use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    time::Duration,
};

/// What a layer leaves undone.
#[derive(Clone, Copy, PartialEq)]
enum Careless {
    No,
    /// Forgets to pass on the end.
    ForgetsTheEnd,
    /// Takes errors from above for its own business.
    SwallowsErrors,
    PanicsWhenMade,
    PanicsAtTheEnd,
    TakesTooMuch,
    TakesNothing,
    DeliversTooEarly,
    DeliversTwice,
    /// Ends what lies above when it gets `alert`, and says so.
    EndsIt,
}

/// Passes bytes on as they are.
struct Plain(Careless);

struct PlainProtocol(Careless, Inner);

impl Layer for Plain {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        assert!(self.0 != Careless::PanicsWhenMade, "as told");
        Box::new(PlainProtocol(self.0, inner))
    }
}

impl PlainProtocol {
    fn unless_swallowed(&self, result: Result) -> Result {
        match self.0 {
            Careless::SwallowsErrors => Ok(()),
            _ => result,
        }
    }
}

impl Protocol for PlainProtocol {
    fn connection_made(&mut self, _: &Transport) -> Result {
        if self.0 == Careless::DeliversTooEarly {
            return self.1.data_received(b"early");
        }
        let made = self.1.connection_made();
        self.unless_swallowed(made)
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        if self.0 == Careless::EndsIt && data == b"alert" {
            self.1.connection_lost(Failure::msg("alerted"));
            transport.write(b"alert");
            transport.lose_connection();
        }
        if self.0 == Careless::DeliversTwice {
            self.1.data_received(data)?;
        }
        let received = self.1.data_received(data);
        self.unless_swallowed(received)
    }

    fn read_closed(&mut self, _: &Transport) -> Result {
        self.1.read_closed()
    }

    fn inner_requests(&mut self, transport: &Transport) -> Result {
        let careless = self.0;
        let extra = usize::from(careless == Careless::TakesTooMuch);
        let settled = self.1.settle(Some(&mut |plain| {
            if careless == Careless::TakesNothing {
                return Ok(0);
            }
            transport.write(plain);
            Ok(plain.len() + extra)
        }));
        match settled {
            Ok(Next::Close) => transport.lose_connection(),
            Ok(Next::ShutDown) => transport.lose_write_connection(),
            Ok(Next::GoOn) => {}
            Err(failure) => return self.unless_swallowed(Err(failure)),
        }
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        assert!(self.0 != Careless::PanicsAtTheEnd, "as told");
        if self.0 != Careless::ForgetsTheEnd {
            self.1.connection_lost(reason);
        }
    }

    fn name(&self) -> &'static str {
        "plain"
    }
}

/// Writes down what it is told, and does as it is told.
#[derive(Clone, Default)]
struct Obedient {
    log: Rc<RefCell<Vec<String>>>,
    transport: Rc<RefCell<Option<Transport>>>,
    when_made: Option<Failure>,
    wants_no_layer: bool,
}

impl Obedient {
    fn note(&self, event: impl Into<String>) {
        self.log.borrow_mut().push(event.into());
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(*self.log.borrow(), expected, "the log");
    }

    fn transport(&self) -> Transport {
        let transport = self.transport.borrow().clone();
        transport.expect("connection_made has come")
    }
}

impl Protocol for Obedient {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.note("made");
        self.transport.replace(Some(transport.clone()));
        self.when_made.take().map_or(Ok(()), Err)
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.note(String::from_utf8_lossy(data));
        match data {
            b"fail" => Err(Failure::msg("as told")),
            b"panic" => panic!("as told"),
            b"fail otherwise" => {
                transport.fail(Failure::msg("as told"));
                Ok(())
            }
            b"call" => {
                transport.push_call(Box::new(|_| panic!("as told")));
                Ok(())
            }
            b"abort" => {
                transport.abort_connection();
                Ok(())
            }
            b"write" => {
                transport.write(b"written");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn layer_pushed(&mut self, transport: &Transport) -> Result {
        if self.wants_no_layer {
            self.note("no layer");
            transport.abort_connection();
        }
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.note(format!("lost: {}", reason.error()));
    }

    fn name(&self) -> &'static str {
        "obedient"
    }
}

/// A protocol under a careless layer, and the peer's end.
fn under(careless: Careless) -> (Obedient, Tester<Obedient>) {
    let obedient = Obedient::default();
    let tester = Tester::new(obedient.clone());
    tester.transport().push_layer(Plain(careless));
    tester.settle();
    (obedient, tester)
}

/// What fails above a layer costs the connection, once, and is logged with the name of what failed: whatever the layer
/// does with the error.
#[test]
fn what_fails_above_a_layer_is_named_whatever_the_layer_does() {
    for careless in [Careless::No, Careless::SwallowsErrors] {
        for (word, reason) in [
            ("fail", "as told"),
            ("panic", "a callback panicked: as told"),
            ("fail otherwise", "as told"),
            ("call", "a callback panicked: as told"),
        ] {
            let (obedient, tester) = under(careless);
            let lines = logged(|| tester.receive(word.as_bytes()));
            assert_eq!(lines.len(), 1, "{lines:?}");
            let expected =
                format!("ERROR obedient with 192.0.2.1:1 failed and is closed: {reason} (at ");
            assert!(lines[0].starts_with(&expected), "{word}: {lines:?}");
            assert!(tester.was_aborted());
            obedient.check(&["made", word, &format!("lost: {reason}")]);
            assert_eq!(tester.reactor().statistics().failures, 1);
        }
    }
}

/// A layer's own failures are its own.
#[test]
fn what_fails_in_a_layer_is_named_as_the_layer() {
    let (obedient, tester) = under(Careless::TakesTooMuch);
    let lines = logged(|| tester.receive(b"write"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    let expected = "ERROR plain with 192.0.2.1:1 failed and is closed: a callback panicked: a layer took more than";
    assert!(lines[0].starts_with(expected), "{lines:?}");
    let lost = obedient.log.borrow().last().cloned().unwrap_or_default();
    assert!(lost.starts_with("lost: a callback panicked"), "{lost}");
}

/// A layer that does not pass the end on, or panics instead, is no reason for the protocol above not to hear of it.
#[test]
fn the_end_comes_once_whatever_the_layer_does() {
    for careless in [
        Careless::No,
        Careless::ForgetsTheEnd,
        Careless::PanicsAtTheEnd,
    ] {
        let (obedient, tester) = under(careless);
        tester.peer_closes_write();
        assert!(tester.is_closed());
        obedient.check(&["made", &format!("lost: {ConnectionDone}")]);
    }
}

#[test]
fn a_layer_that_panics_when_it_is_made_ends_the_connection() {
    let (obedient, tester) = under(Careless::PanicsWhenMade);
    assert!(tester.was_aborted());
    assert_eq!(obedient.log.borrow().len(), 2, "{:?}", obedient.log);
    assert_eq!(tester.reactor().statistics().failures, 1);
    assert_eq!(tester.reactor().statistics().connections, 0);
}

/// The same below a new connection, where the protocol was never made.
#[test]
fn careless_layers_below_a_new_connection() {
    for careless in [Careless::PanicsWhenMade, Careless::DeliversTooEarly] {
        let table = Table::new();
        let reactor = table.reactor();
        let factory =
            SharedFactory::new(Obedient::default).layered(move |_| Ok(Box::new(Plain(careless))));
        let port = reactor.listen_shared("tcp:80", &factory);
        port.expect("nobody else listens");
        let client = Obedient::default();
        let to = "tcp:192.0.2.2:80";
        reactor.connect_protocol(to, client.clone()).detach();
        table.settle();
        assert_eq!(reactor.statistics().failures, 1);
        assert_eq!(reactor.statistics().connections, 0);
    }
}

/// A protocol fails in `connection_made`, under a layer that was there before it.
#[test]
fn a_protocol_that_fails_when_it_is_made_under_a_layer() {
    let table = Table::new();
    let obedient = Obedient {
        when_made: Some(Failure::msg("not today")),
        ..Obedient::default()
    };
    let mut server = Some(obedient.clone());
    let factory = SharedFactory::new(move |_: &crate::Address| server.take())
        .layered(|_| Ok(Box::new(Plain(Careless::SwallowsErrors))));
    let port = table.reactor().listen_shared("tcp:80", &factory);
    port.expect("nobody else listens");
    let connecting = table
        .reactor()
        .connect_protocol("tcp:192.0.2.2:80", Obedient::default());
    connecting.detach();
    table.settle();
    obedient.check(&["made", "lost: not today"]);
    assert_eq!(table.reactor().statistics().connections, 0);
}

/// Under two layers that know nothing of it, the peer is who the system says.
#[test]
fn a_protocol_under_layers_knows_its_peer() {
    let table = Table::new();
    let (server, peer) = (Obedient::default(), Rc::<RefCell<String>>::default());
    let (built, told) = (server.clone(), Rc::clone(&peer));
    let factory = SharedFactory::new(move |peer: &crate::Address| {
        told.replace(peer.to_string());
        Some(built.clone())
    })
    .layered(|_| Ok(Box::new(Plain(Careless::No))))
    .layered(|_| Ok(Box::new(Plain(Careless::No))));
    let port = table.reactor().listen_shared("tcp:80", &factory);
    port.expect("nobody else listens");
    let connecting = table
        .reactor()
        .connect_protocol("tcp:192.0.2.2:80", Obedient::default());
    connecting.detach();
    table.settle();
    assert_eq!(*peer.borrow(), "192.0.2.1:1");
    assert_eq!(server.transport().peer().to_string(), "192.0.2.1:1");
    assert_eq!(server.transport().host().to_string(), "192.0.2.2:80");
}

/// A reactor that is dropped takes layers and what lies above them with it, and they hear of it.
#[test]
fn a_dropped_reactor_tells_what_lies_above_layers_and_leaves_nothing() {
    let (obedient, tester) = under(Careless::No);
    tester
        .transport()
        .push_layer(Plain(Careless::ForgetsTheEnd));
    tester.settle();
    let links = chain(&obedient.transport());
    assert_eq!(links.len(), 3);
    drop(tester);
    obedient.check(&["made", &format!("lost: {ReactorGone}")]);
    obedient.transport.take();
    assert!(links.iter().all(|link| link.upgrade().is_none()));
}

/// Nothing is delivered after the end was asked for, even by a layer that does not look.
#[test]
fn a_layer_that_does_not_look_delivers_nothing_after_an_abort() {
    let (obedient, tester) = under(Careless::DeliversTwice);
    tester.receive(b"x");
    tester.receive(b"abort");
    let lost = format!("lost: {}", crate::error::ConnectionAborted);
    obedient.check(&["made", "x", "x", "abort", &lost]);
}

/// A protocol may abort when it hears of a layer, which then never begins: on the driver and above another layer.
#[test]
fn a_protocol_may_abort_when_a_layer_is_pushed() {
    for pushes in [1, 2] {
        let obedient = Obedient {
            wants_no_layer: true,
            ..Obedient::default()
        };
        let tester = Tester::new(obedient.clone());
        for _ in 0..pushes {
            tester
                .transport()
                .push_layer(Plain(Careless::PanicsWhenMade));
        }
        tester.settle();
        let lost = format!("lost: {}", crate::error::ConnectionAborted);
        obedient.check(&["made", "no layer", &lost]);
        assert_eq!(tester.reactor().statistics().failures, 0);
    }
}

/// A layer may end what lies above with its own reason, and then say its last words.
#[test]
fn a_layer_may_have_last_words() {
    let (obedient, tester) = under(Careless::EndsIt);
    tester.receive(b"alert");
    assert_eq!(tester.sent(), b"alert");
    assert!(tester.is_closed() && !tester.was_aborted());
    obedient.check(&["made", "lost: alerted"]);
    assert_eq!(tester.reactor().statistics().failures, 0);
}

/// Closing has its limit from when it was asked for above, not from when the layer closes.
#[test]
fn a_layer_that_closes_does_not_put_off_the_deadline() {
    let (_, tester) = under(Careless::No);
    let transport = tester.transport();
    tester.peer_stops_reading();
    transport.write(&[0; 100_000]);
    transport.lose_connection();
    tester.settle();
    tester.advance(Duration::from_secs(3));
    assert!(!transport.below().is_some_and(|below| below.is_closing()));
    tester.peer_takes(70_000);
    assert!(transport.below().is_some_and(|below| below.is_closing()));
    tester.advance(Duration::from_millis(1_800));
    assert!(!tester.has_ended());
    tester.advance(Duration::from_millis(900));
    assert!(tester.was_aborted());
}

/// What a layer sees of its own transport: everything that went over it, from the beginning.
#[test]
fn statistics_go_on_below_a_pushed_layer() {
    let (obedient, tester) = under(Careless::No);
    let transport = obedient.transport();
    transport.write(b"before");
    transport.push_layer(Plain(Careless::No));
    transport.write(b"after");
    tester.settle();
    tester.receive(b"come");
    let below = transport.below().expect("it was pushed");
    for link in [
        transport,
        below.clone(),
        below.below().expect("this as well"),
    ] {
        let statistics = link.statistics();
        let counts = (statistics.received, statistics.sent, statistics.queued);
        assert_eq!(counts, (4, 11, 0));
    }
    assert_eq!(tester.sent(), b"beforeafter");
}

/// A layer that knows something.
struct Knowing(Rc<dyn std::any::Any>);

impl Layer for Knowing {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        inner.set_info(self.0);
        Box::new(PlainProtocol(Careless::No, inner))
    }
}

/// Each layer is asked for what it knows, and the upper one first.
#[test]
fn what_a_layer_knows_is_not_lost_when_another_is_pushed() {
    let (obedient, tester) = under(Careless::No);
    let transport = obedient.transport();
    transport.push_layer(Knowing(Rc::new(1_u8)));
    transport.push_layer(Knowing(Rc::new(2_u16)));
    tester.settle();
    assert_eq!(transport.info::<u8>(), Some(Rc::new(1)));
    assert_eq!(transport.info::<u16>(), Some(Rc::new(2)));
    assert_eq!(transport.info::<u32>(), None);
    transport.push_layer(Knowing(Rc::new(3_u8)));
    tester.settle();
    assert_eq!(transport.info::<u8>(), Some(Rc::new(3)));
}

/// What has ended keeps nothing, although transports of the user live on.
#[test]
fn a_connection_that_has_ended_leaves_no_link_but_the_users() {
    let (obedient, tester) = under(Careless::No);
    let links = chain(&obedient.transport());
    tester.peer_resets();
    assert!(links[0].upgrade().is_some());
    assert!(links[1].upgrade().is_none());
    let transport = obedient.transport();
    transport.write(b"late");
    transport.push_layer(Plain(Careless::No));
    transport.abort_connection();
    transport.start_handshake();
    assert_eq!(transport.host(), crate::Address::Unknown);
    assert_eq!(transport.peer().to_string(), "192.0.2.1:1");
}

/// A link and all below it.
fn chain(transport: &Transport) -> Vec<Weak<Link>> {
    let links = std::iter::successors(Some(transport.clone()), Transport::below);
    links.map(|link| Rc::downgrade(&link.0)).collect()
}

/// A connection costs no more for the layers that it might have.
#[test]
fn a_link_is_as_small_as_before() {
    assert!(size_of::<Link>() <= 184, "{}", size_of::<Link>());
}

/// Pushes a layer below another connection as soon as it gets something.
struct Pusher(Rc<RefCell<Option<Transport>>>);

impl Protocol for Pusher {
    fn data_received(&mut self, _: &Transport, _: &[u8]) -> Result {
        if let Some(other) = self.0.take() {
            other.push_layer(Turned);
        }
        Ok(())
    }
}

/// Turns bytes around, so that nobody takes them for those that came before it.
struct Turned;

struct TurnedProtocol(Inner);

impl Layer for Turned {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        Box::new(TurnedProtocol(inner))
    }
}

impl Protocol for TurnedProtocol {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        let turned: Vec<u8> = data.iter().map(|byte| byte ^ 1).collect();
        self.0.data_received(&turned)
    }

    fn inner_requests(&mut self, transport: &Transport) -> Result {
        if self.0.settle(None)? == Next::Close {
            transport.lose_connection();
        }
        Ok(())
    }

    fn read_closed(&mut self, _: &Transport) -> Result {
        self.0.read_closed()
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.0.connection_lost(reason);
    }
}

/// What arrives after another connection's callback has pushed a layer comes through it, in the same turn already.
#[test]
fn bytes_and_ends_that_arrive_right_after_a_push_go_to_the_layer() {
    let table = Table::new();
    let reactor = table.reactor();
    let other = Rc::default();
    let pusher = Rc::clone(&other);
    let obedient = Obedient::default();
    let mut second = Some(obedient.clone());
    let _first = reactor
        .listen("tcp:80", move || Pusher(Rc::clone(&pusher)))
        .expect("nobody else listens");
    let _second = reactor
        .listen("tcp:81", move |_: &crate::Address| second.take())
        .expect("nobody else listens");
    let clients = [80, 81].map(|port| {
        let client = Obedient::default();
        let to = format!("tcp:192.0.2.2:{port}");
        reactor.connect_protocol(&to, client.clone()).detach();
        table.settle();
        client
    });
    other.replace(Some(obedient.transport()));
    clients[0].transport().write(b"push");
    clients[1].transport().write(b"`bc");
    clients[1].transport().lose_connection();
    table.settle();
    obedient.check(&["made", "acb", &format!("lost: {ConnectionDone}")]);
}

/// Pushes a layer when it is told to.
struct StartTls(Rc<RefCell<Vec<String>>>);

impl StartTls {
    fn received(&self, transport: &Transport, received: &[u8]) {
        let received = String::from_utf8_lossy(received).into_owned();
        if received.starts_with("STARTTLS") {
            transport.push_layer(Turned);
        }
        self.0.borrow_mut().push(received);
    }

    fn lost(&self, reason: &Failure) {
        let before = reason.check::<BytesBeforeLayer>().copied();
        self.0.borrow_mut().push(format!("{before:?}"));
    }
}

impl LineReceiver for StartTls {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        self.received(transport, line);
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.lost(&reason);
    }
}

impl StringReceiver for StartTls {
    fn string_received(&mut self, transport: &StringTransport, string: &[u8]) -> Result {
        self.received(transport, string);
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.lost(&reason);
    }
}

/// What a framing does when these bytes arrive, one piece a turn; it is told to push a layer by `STARTTLS`.
#[track_caller]
fn check_framing(pieces: &[&[u8]], lines: &[&str]) {
    let log = Rc::<RefCell<Vec<String>>>::default();
    let tester = Tester::new(Lines::new(StartTls(Rc::clone(&log))));
    pieces.iter().for_each(|piece| tester.receive(piece));
    assert_eq!(*log.borrow(), lines);
    let refused = lines.last().is_some_and(|last| last.starts_with("Some"));
    assert_eq!(tester.was_aborted(), refused);
}

/// STARTTLS injection: CVE-2011-0411.
#[test]
fn a_framing_refuses_bytes_that_came_before_a_layer() {
    check_framing(&[b"STARTTLS\r\n", b"xdr\x0c\x0b"], &["STARTTLS", "yes"]);
    let refused = |bytes| format!("Some(BytesBeforeLayer {{ bytes: {bytes} }})");
    check_framing(
        &[b"STARTTLS\r\nRSET\r\nQUIT\r\n"],
        &["STARTTLS", &refused(12)],
    );
    check_framing(&[b"STARTTLS\r\nRS"], &["STARTTLS", &refused(2)]);
    check_framing(
        &[b"START", b"TLS\r\n", b"xdr\x0c\x0b"],
        &["STARTTLS", "yes"],
    );
    check_framing(
        &[b"HI\r\nSTA", b"RTTLS\r\nRSET\r\n"],
        &["HI", "STARTTLS", &refused(6)],
    );
}

/// The same when the layer is pushed from outside any callback, on bytes that wait for the rest of their line, and on
/// bytes that were put back.
#[test]
fn a_framing_refuses_a_layer_on_bytes_that_wait() {
    let push = |arrived: &'static [u8], put_back: &'static [u8]| {
        let log = Rc::<RefCell<Vec<String>>>::default();
        let tester = Tester::new(Lines::new(StartTls(Rc::clone(&log))));
        tester.receive(arrived);
        tester.with(|lines, transport| {
            if let (Some(own), false) = (lines.transport(), put_back.is_empty()) {
                own.set_line_mode_with(put_back);
            }
            transport.push_layer(Turned);
        });
        tester.receive(b"xdr\x0c\x0b");
        log.take()
    };
    let refused = |bytes| vec![format!("Some(BytesBeforeLayer {{ bytes: {bytes} }})")];
    assert_eq!(push(b"MAI", b""), refused(3));
    assert_eq!(push(b"MAI", b"XY"), refused(5));
    assert_eq!(push(b"", b""), ["yes"]);
}

/// Bytes that wait while reading is paused are refused as well.
#[test]
fn a_framing_refuses_a_layer_while_reading_is_paused() {
    let log = Rc::<RefCell<Vec<String>>>::default();
    let tester = Tester::new(Lines::new(StartTls(Rc::clone(&log))));
    tester.with(|_, transport| transport.pause_producing());
    tester.receive(b"A\r\nB\r\n");
    tester.transport().resume_producing();
    tester.settle();
    tester.transport().push_layer(Turned);
    tester.settle();
    assert_eq!(*log.borrow(), ["A", "B"]);
}

#[test]
fn strings_refuse_bytes_that_came_before_a_layer() {
    let log = Rc::<RefCell<Vec<String>>>::default();
    let tester = Tester::new(Netstrings::new(StartTls(Rc::clone(&log))));
    tester.receive(b"8:STARTTLS,1:x");
    let refused = "Some(BytesBeforeLayer { bytes: 3 })";
    assert_eq!(*log.borrow(), ["STARTTLS", refused]);

    let log = Rc::<RefCell<Vec<String>>>::default();
    let tester = Tester::new(Netstrings::new(StartTls(Rc::clone(&log))));
    tester.receive(b"8:START");
    tester.transport().push_layer(Turned);
    tester.settle();
    assert_eq!(*log.borrow(), ["Some(BytesBeforeLayer { bytes: 7 })"]);
}

/// `turn` inside a callback above a layer is refused as anywhere.
#[test]
fn a_layer_needs_its_reactor() {
    let (obedient, tester) = under(Careless::No);
    let reactor: Reactor = tester.reactor().clone();
    let transport = obedient.transport();
    assert!(transport.reactor().is_ok());
    drop((tester, reactor));
    assert!(transport.reactor().is_err());
    assert!(transport.set_nodelay(true).is_err());
}

/// Takes as much as fits into a record of TLS, and adds what such a record needs.
struct Records(Rc<RefCell<Vec<usize>>>);

struct RecordsProtocol(Records, Inner);

impl Layer for Records {
    fn wrap(self: Box<Self>, inner: Inner) -> Box<dyn Protocol> {
        Box::new(RecordsProtocol(*self, inner))
    }
}

impl Protocol for RecordsProtocol {
    fn connection_made(&mut self, _: &Transport) -> Result {
        self.1.connection_made()
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.1.data_received(data)
    }

    fn inner_requests(&mut self, transport: &Transport) -> Result {
        let taken = Rc::clone(&self.0.0);
        self.1.settle(Some(&mut |plain| {
            let count = plain.len().min(16_384);
            taken.borrow_mut().push(count);
            transport.write(&[0; 22]);
            transport.write(&plain[..count]);
            Ok(count)
        }))?;
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.1.connection_lost(reason);
    }
}

/// A protocol on records, and how much each of them held.
fn on_records() -> (Rc<RefCell<Vec<usize>>>, Obedient, Tester<Obedient>) {
    let taken = Rc::new(RefCell::new(Vec::new()));
    let obedient = Obedient::default();
    let tester = Tester::new(obedient.clone());
    tester.transport().push_layer(Records(Rc::clone(&taken)));
    tester.settle();
    (taken, obedient, tester)
}

#[test]
fn what_a_layer_adds_leaves_no_tail_of_a_full_queue() {
    let (taken, obedient, tester) = on_records();
    obedient.transport().write(&[1; 65_536]);
    tester.settle();
    assert_eq!(*taken.borrow(), [16_384; 4]);
    assert_eq!(tester.sent().len(), 4 * (16_384 + 22));
}

/// What a layer does not take, although there is room below, is too much like any other output that stays.
#[test]
fn output_that_a_layer_does_not_take_stops_reading() {
    let (obedient, tester) = under(Careless::TakesNothing);
    obedient.transport().write(&[1; 65_536]);
    tester.settle();
    tester.receive(b"heard");
    obedient.transport().write(b"1");
    tester.settle();
    tester.receive(b"not now");
    obedient.check(&["made", "heard"]);
    assert_eq!(tester.sent(), b"");
}

/// The layer's own link is full then, and whoever reads on when full does so all the same, until told otherwise.
#[test]
fn what_a_layer_adds_does_not_stop_who_reads_when_full() {
    let (_, obedient, tester) = on_records();
    let transport = obedient.transport();
    tester.peer_stops_reading();
    transport.read_when_full(true);
    transport.write(&[1; 65_536]);
    tester.settle();
    assert!(transport.room() == 0, "it is not full");
    tester.receive(b"heard");
    obedient.check(&["made", "heard"]);
    transport.read_when_full(false);
    tester.settle();
    tester.receive(b"not now");
    obedient.check(&["made", "heard"]);
}
