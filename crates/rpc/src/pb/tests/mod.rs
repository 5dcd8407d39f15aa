//! A server and a client of PB, each alone with a peer that a test plays: the bytes of Twisted, cut everywhere; what no
//! peer may send; what has an end.

mod objects;

use super::{banana::Writer, *};
use crate::{
    self as tress_rpc, CallContext, ExposureLimits, Fault, Value, cred::Session, fault, interface,
};
use proptest::prelude::*;
use std::{cell::RefCell, rc::Rc, time::Duration};
use tress_core::{
    Deferred, Factory, Limits, Resolver, Result,
    testing::memory::{Table, Tester},
};

/// What is asked of a peer.
#[interface(crate = "tress_rpc")]
trait Desk {
    /// The same.
    async fn echo(&self, value: Value) -> Result<Value>;
    /// When it is told to.
    async fn never(&self) -> Result<Value>;
    /// So many bytes.
    async fn big(&self, value: Value) -> Result<Value>;
    /// Who asks.
    async fn who(&self, context: &CallContext) -> Result<Value>;
}

/// What waits, and how often something was cancelled.
#[derive(Default)]
struct Clerk {
    waiting: RefCell<Vec<Resolver<Value>>>,
    cancelled: Rc<RefCell<usize>>,
}

#[expect(
    refining_impl_trait,
    reason = "a Deferred is as good as an async function"
)]
impl Desk for Clerk {
    async fn echo(&self, value: Value) -> Result<Value> {
        Ok(value)
    }

    fn never(&self) -> Deferred<Value> {
        let cancelled = Rc::clone(&self.cancelled);
        let (resolver, deferred) = Deferred::with_canceller(move || *cancelled.borrow_mut() += 1);
        self.waiting.borrow_mut().push(resolver);
        deferred
    }

    async fn big(&self, value: Value) -> Result<Value> {
        let Value::Integer(bytes) = value else {
            return Err(Fault::new("no-number", "expected a number").into());
        };
        let bytes = usize::try_from(bytes).unwrap_or_default();
        Ok(Value::Bytes(vec![b'x'; bytes]))
    }

    async fn who(&self, context: &CallContext) -> Result<Value> {
        let avatar = context.avatar.as_deref();
        Ok(avatar.map_or(Value::Nothing, Value::from))
    }
}

struct World {
    table: Table,
    tester: Tester<PbProtocol>,
    clerk: Rc<Clerk>,
}

/// What both sides say first.
const DIALECTS: &[u8] = b"\x02\x80\x02\x82pb\x04\x82none";
const PB: &[u8] = b"\x02\x82pb";
const SIX: &[u8] = b"\x02\x80\x13\x87\x06\x81";

impl World {
    fn new() -> Self {
        Self::with(|factory| factory, ExposureLimits::default())
    }

    fn with(change: impl FnOnce(PbFactory) -> PbFactory, limits: ExposureLimits) -> Self {
        let clerk = Rc::<Clerk>::default();
        let object = <dyn DynDesk>::object(Rc::clone(&clerk));
        Self::serving(change(PbFactory::new(&object, limits)), clerk)
    }

    fn serving(mut factory: PbFactory, clerk: Rc<Clerk>) -> Self {
        let table = Table::new();
        let protocol = factory.build_protocol(&tress_core::Address::Unknown);
        let tester = Tester::on(&table, protocol.expect("it builds for everybody"));
        Self {
            table,
            tester,
            clerk,
        }
    }

    /// After both handshakes.
    fn open() -> Self {
        Self::new().opened()
    }

    fn opened(self) -> Self {
        self.tester.receive(&[PB, SIX].concat());
        assert_eq!(self.tester.sent(), [DIALECTS, SIX].concat());
        self
    }

    /// What is answered to this.
    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        self.tester.receive(bytes);
        self.tester.sent()
    }
}

/// `(message 1 "root" NAME 1 (tuple …) (dictionary))`; the arguments are banana.
fn message(name: &str, arguments: &[&[u8]]) -> Vec<u8> {
    message_to(b"\x04\x82root", name, arguments)
}

fn message_to(target: &[u8], name: &str, arguments: &[&[u8]]) -> Vec<u8> {
    let count = u8::try_from(1 + arguments.len()).expect("there are few");
    let length = u8::try_from(name.len()).expect("it is short");
    let mut bytes = b"\x07\x80\x1a\x87\x01\x81".to_vec();
    bytes.extend_from_slice(target);
    bytes.extend([length, 0x82]);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend(b"\x01\x81");
    bytes.extend([count, 0x80, 11, 0x87]);
    bytes.extend(arguments.concat());
    bytes.extend(b"\x01\x80\x05\x87");
    bytes
}

/// The answer to the call 1.
fn answer(value: &[u8]) -> Vec<u8> {
    [b"\x03\x80\x1b\x87\x01\x81", value].concat()
}

/// Whether it is the failure of the call 1 with this code.
#[track_caller]
fn is_error(sent: &[u8], code: &str, message: &str) {
    let start = b"\x03\x80\x1c\x87\x01\x81\x02\x80!\x82twisted.spread.pb.CopyableFailure";
    assert!(
        sent.starts_with(start),
        "{:?}",
        String::from_utf8_lossy(sent)
    );
    for part in [code, message] {
        let found = sent.windows(part.len()).any(|it| it == part.as_bytes());
        assert!(found, "{part}: {:?}", String::from_utf8_lossy(sent));
    }
}

#[test]
fn the_bytes_of_twisted_are_answered_however_they_are_cut() {
    // callRemote("echo", 3), callRemote("echo", value="x"), callRemote("who", pbanswer=False), then ("echo", [(), ()]).
    let calls = [
        PB,
        SIX,
        &message("echo", &[b"\x03\x81"]),
        b"\x07\x80\x1a\x87\x02\x81\x04\x82root\x04\x82echo\x01\x81\x01\x80\x0b\x87\
          \x02\x80\x05\x87\x02\x80\x02\x80\x07\x82unicode\x05\x82value\x02\x80\x07\x82unicode\x01\x82x",
        b"\x07\x80\x1a\x87\x03\x81\x04\x82root\x03\x82who\x00\x81\x01\x80\x0b\x87\x01\x80\x05\x87",
        &message("echo", &[b"\x03\x80\x08\x87\x03\x80\x04\x87\x01\x81\x01\x80\x0b\x87\x02\x80\x03\x87\x01\x81"]),
    ]
    .concat();
    let answers = [
        DIALECTS,
        SIX,
        &answer(b"\x03\x81"),
        b"\x03\x80\x1b\x87\x02\x81\x02\x80\x07\x82unicode\x01\x82x",
        &answer(b"\x03\x80\x08\x87\x01\x80\x08\x87\x01\x80\x08\x87"),
    ]
    .concat();
    for every in 1..=calls.len() {
        let world = World::new();
        world.tester.receive_cut(&calls, every);
        assert_eq!(world.tester.sent(), answers, "pieces of {every}");
    }
    for cut in 0..calls.len() {
        let world = World::new();
        world.tester.receive(&calls[..cut]);
        world.tester.receive(&calls[cut..]);
        assert_eq!(world.tester.sent(), answers, "cut at {cut}");
        world.tester.peer_closes_write();
        assert!(world.tester.has_ended());
    }
}

#[test]
fn the_dialect_without_words_has_none() {
    let world = World::new();
    world
        .tester
        .receive(b"\x04\x82none\x02\x80\x07\x82version\x06\x81");
    world.tester.receive(
        b"\x07\x80\x07\x82message\x01\x81\x04\x82root\x04\x82echo\x01\x81\
          \x02\x80\x05\x82tuple\x05\x82cache\x01\x80\x0a\x82dictionary",
    );
    let expected = b"\x02\x80\x07\x82version\x06\x81\x03\x80\x06\x82answer\x01\x81\x05\x82cache";
    assert_eq!(world.tester.sent(), [DIALECTS, expected].concat());
    world.tester.receive(SIX);
    assert!(world.tester.is_closed(), "a word");
}

#[test]
fn what_is_no_message_closes() {
    for (before, bytes) in [
        (&b""[..], &b"\x02\x82px"[..]),
        (b"", b"\x01\x81"),
        (b"", b"\x01\x80\x02\x82pb"),
        (b"", b"\x01\x87"),
        (PB, b"\x02\x80\x13\x87\x05\x81"),
        (PB, b"\x02\x80\x13\x87\x02\x82pb"),
        (PB, b"\x01\x80\x13\x87"),
        (PB, b"\x02\x80\x1d\x87\x01\x81"),
    ] {
        let world = World::new();
        world
            .tester
            .receive(&[before, bytes, &message("who", &[])].concat());
        assert!(world.tester.is_closed(), "{bytes:?}");
        assert!(!world.tester.sent().contains(&0x1b), "nothing is answered");
    }
    for bytes in [
        &b"\x01\x81"[..],
        b"\x00\x80",
        b"\x01\x80\x01\x81",
        b"\x01\x80\x1a\x87",
        SIX,
        b"\x07\x80\x1a\x87\x01\x82x\x04\x82root\x04\x82echo\x01\x81\x01\x80\x0b\x87\x01\x80\x05\x87",
        b"\x03\x80\x1b\x87\x01\x81\x01\x81",
        b"\x03\x80\x1c\x87\x01\x81\x01\x81",
        b"\x02\x80\x1d\x87\x01\x81",
        b"\x02\x80\x1d\x87\x04\x82root",
        b"\x02\x80\x1e\x87\x01\x81",
        b"\x02\x80\x1f\x87\x01\x81",
        b"\x02\x80\x05\x82hello\x01\x81",
    ] {
        let world = World::open();
        let sent = world.answer(&[bytes, &message("who", &[])].concat());
        assert!(world.tester.is_closed(), "{bytes:?}");
        assert_eq!(sent, b"", "{bytes:?}");
    }
}

#[test]
fn what_is_no_value_fails_its_call() {
    let world = World::open();
    for (arguments, code, message_part) in [
        (
            &b"\x02\x80\x02\x87\x09\x82os.system"[..],
            "bad-arguments",
            "\"class\" of 1 items",
        ),
        (
            b"\x02\x80\x03\x82a.B\x01\x80\x05\x87",
            "bad-arguments",
            "\"a.B\" of 1 items",
        ),
        (
            b"\x02\x80\x11\x87\x04\x82root",
            "bad-arguments",
            "an object of ours",
        ),
        (b"\x00\x80", "bad-arguments", "an empty list"),
    ] {
        is_error(
            &world.answer(&message("echo", &[arguments])),
            code,
            message_part,
        );
    }
    is_error(
        &world.answer(&message("gone", &[])),
        "unknown-method",
        "`gone`",
    );
    is_error(
        &world.answer(&message_to(b"\x07\x81", "who", &[])),
        "unknown-method",
        "no object",
    );
    is_error(
        &world.answer(&message_to(b"\x04\x82ruth", "who", &[])),
        "unknown-method",
        "no object",
    );
    let cached = [b"\x07\x80\x19\x87", &message("who", &[])[4..]].concat();
    assert_eq!(
        world.answer(&cached),
        answer(b"\x01\x80\x01\x87"),
        "Twisted's `root` is none of them, either way"
    );
    is_error(
        &world.answer(&message("big", &[b"\x01\x80\x01\x87"])),
        "no-number",
        "expected a number",
    );
    // An object of the peer's is given back, in the order in which it came.
    let sent = world.answer(&message("echo", &[b"\x02\x80\x10\x87\x07\x81"]));
    let decref = b"\x02\x80\x1d\x87\x07\x81";
    assert!(sent.starts_with(decref));
    is_error(
        &sent[decref.len()..],
        "bad-arguments",
        "objects cannot be passed",
    );
    assert_eq!(
        world.answer(&message("who", &[])),
        answer(b"\x01\x80\x01\x87")
    );
    assert_eq!(
        world.answer(b"\x02\x80\x10\x82didNotUnderstand\x01\x82x"),
        b""
    );
    assert!(!world.tester.is_closed());
}

#[test]
fn rpc_01_nesting_sizes_and_numbers() {
    let nested = |depth: usize| b"\x02\x80\x08\x87".repeat(depth);
    let world = World::open();
    // 32 lists are allowed, and more are told, as long as the scanner bears them.
    let allowed = [nested(31), b"\x01\x80\x08\x87".to_vec()].concat();
    assert_eq!(
        world.answer(&message("echo", &[&allowed])),
        answer(&allowed)
    );
    let sent = world.answer(&message("echo", &[&[nested(1), allowed].concat()]));
    is_error(&sent, "bad-arguments", "lists and records in each other");
    let head = &message("echo", &[b""])[..];
    let head = &head[..head.len() - 4];
    for hostile in [
        nested(100_000),
        b"\x03\x80\x04\x87\x01\x81".repeat(100_000),
        vec![0; 10 << 20],
        vec![0x7f; 10 << 20],
        [&[0x7f; 64][..], b"\x80"].concat(),
        [&[0x7f; 64][..], b"\x82"].concat(),
        b"\x01\x00\x28\x82".to_vec(),
        b"\x00\x00\x28\x82".to_vec(),
        [b"\x00\x00\x20\x82", &vec![b'x'; 512 << 10][..]]
            .concat()
            .repeat(2),
    ] {
        let world = World::open();
        world.tester.receive(head);
        world.tester.receive(&hostile);
        let fits = hostile.starts_with(b"\0\0\x28\x82");
        assert_eq!(world.tester.is_closed(), !fits, "{:?}", &hostile[..4]);
        assert_eq!(world.tester.sent(), b"");
    }
}

/// What a connection keeps of bytes that never end anything.
#[test]
fn streams_without_an_end_cost_nothing() {
    const PIECE: usize = 64 << 10;
    let kept = |protocol: &PbProtocol| protocol.kept();
    let bytes = |byte: u8| vec![byte; PIECE];
    for piece in [0, 0xff, b'a', b'\n', b'7'].map(bytes) {
        for opened in [false, true] {
            let world = if opened { World::open() } else { World::new() };
            for _ in 0..(100 << 20) / PIECE {
                world.tester.receive(&piece);
                if world.tester.has_ended() {
                    break;
                }
                assert!(world.tester.with(move |protocol, _| kept(protocol)) <= PIECE);
            }
            assert!(world.tester.is_closed());
        }
    }
    // A string that is allowed is kept as far as it came, and let go with its message.
    let world = World::open();
    let value = vec![b'x'; 640 << 10];
    let mut call = message("echo", &[&[b"\x00\x00\x28\x82", &value[..]].concat()]);
    call.truncate(call.len() - 1);
    for piece in call.chunks(1000) {
        world.tester.receive(piece);
    }
    let most = world.tester.with(move |protocol, _| kept(protocol));
    assert!((640 << 10..2 << 20).contains(&most), "{most}");
    world.tester.receive(b"\x87");
    assert!(world.tester.sent().len() > 640 << 10);
    assert!(world.tester.with(move |protocol, _| kept(protocol)) <= 4096);
}

#[test]
fn nobody_makes_us_write_what_nobody_reads() {
    let table = Table::new();
    let mut limits = Limits::default();
    limits.output_high_water = 10_000;
    table.reactor().set_limits(limits);
    let object = <dyn DynDesk>::object(Rc::<Clerk>::default());
    let mut factory = PbFactory::new(&object, ExposureLimits::default());
    let protocol = factory.build_protocol(&tress_core::Address::Unknown);
    let tester = Tester::on(&table, protocol.expect("it builds for everybody"));
    tester.receive(&[PB, SIX].concat());
    drop(tester.sent());
    tester.peer_stops_reading();
    let calls = message("big", &[b"\x00\x4e\x81"]).repeat(100); // 9984 bytes each
    tester.receive(&calls);
    let queued = tester.transport().queued();
    assert!(queued < 40_000, "{queued} bytes wait");
    tester.peer_closes_write();
    tester.peer_reads_on();
    assert_eq!(tester.sent().len(), 100 * answer(&[0; 9984 + 3]).len());
    assert!(tester.has_ended(), "after the last answer");
}

#[test]
fn a_connection_does_not_keep_its_reactor() {
    let world = World::open();
    let asked = message("echo", &[&[1, 0x81]]);
    assert!(!world.answer(&asked).is_empty());
    let clerk = Rc::downgrade(&world.clerk);
    drop(world);
    assert_eq!(clerk.strong_count(), 0);
}

#[test]
fn what_takes_long_is_answered_once_or_ends_with_the_connection() {
    let limits = ExposureLimits {
        calls_in_flight: 1,
        call_deadline: Duration::from_secs(3),
        response_bytes: 1000,
        ..ExposureLimits::default()
    };
    let world = World::with(|factory| factory, limits).opened();
    assert_eq!(world.answer(&message("never", &[])), b"");
    is_error(
        &world.answer(&message("never", &[])),
        fault::BUSY,
        "1 calls wait",
    );
    let first = world.clerk.waiting.borrow_mut().remove(0);
    first.resolve(Value::Integer(5));
    world.table.settle();
    assert_eq!(world.tester.sent(), answer(b"\x05\x81"));
    world.tester.receive(&message("never", &[]));
    world.table.advance(Duration::from_secs(4));
    is_error(&world.tester.sent(), fault::DEADLINE, "no result in time");
    assert_eq!(*world.clerk.cancelled.borrow(), 1);
    is_error(
        &world.answer(&message("big", &[b"\x00\x4e\x81"])),
        fault::TOO_LARGE,
        "at most 1000 bytes",
    );
    world.tester.receive(&message("never", &[]));
    world.tester.peer_resets();
    assert_eq!(*world.clerk.cancelled.borrow(), 2);
    world.clerk.waiting.take();
    world.table.settle();
}

/// Asks the portal about `guest`, and gives the challenge and the number of the challenger.
fn challenged(world: &World) -> (Vec<u8>, u8) {
    let sent = world.answer(&message(
        "login",
        &[b"\x02\x80\x07\x82unicode\x05\x82guest"],
    ));
    let head = answer(b"\x03\x80\x0b\x87\x10\x82");
    assert!(sent.starts_with(&head), "{sent:?}");
    let (challenge, reference) = sent[head.len()..].split_at(16);
    assert_eq!(reference[..4], *b"\x02\x80\x10\x87");
    (challenge.to_vec(), reference[4])
}

fn respond(world: &World, number: u8, response: &[u8]) -> Vec<u8> {
    let response = [b"\x10\x82", response].concat();
    world.answer(&message_to(
        &[number, 0x81],
        "respond",
        &[&response, b"\x01\x80\x01\x87"],
    ))
}

fn portal(limits: ExposureLimits) -> World {
    let clerk = Rc::<Clerk>::default();
    let object = <dyn DynDesk>::object(Rc::clone(&clerk));
    let undecided = RefCell::new(Vec::new());
    let decide = move |context: &CallContext, credentials| match credentials {
        PbCredentials::Response(response) if response.is(b"secret") => {
            Deferred::succeed(Session::new(Some(response.user().into()), &object))
        }
        PbCredentials::Response(_) => Deferred::fail(Fault::new(fault::UNAUTHORIZED, "no")),
        PbCredentials::Anonymous => {
            assert!(context.deadline.is_some());
            let (resolver, deferred) = Deferred::with_canceller(|| ());
            undecided.borrow_mut().push(resolver);
            deferred
        }
    };
    World::serving(PbFactory::with_login(decide, limits), clerk).opened()
}

#[test]
fn a_challenge_is_answered_once() {
    let world = portal(ExposureLimits::default());
    is_error(
        &world.answer(&message("who", &[])),
        "unknown-method",
        "expected a login",
    );
    let (challenge, number) = challenged(&world);
    let right = login::respond(b"secret", &challenge);
    assert_eq!(
        respond(&world, number, &right),
        answer(b"\x02\x80\x10\x87\x02\x81")
    );
    is_error(
        &respond(&world, number, &right),
        "unauthorized",
        "answered before",
    );
    let who = world.answer(&message_to(b"\x02\x81", "who", &[]));
    assert_eq!(who, answer(b"\x02\x80\x07\x82unicode\x05\x82guest"));
    // The avatar is gone when the peer gives it back.
    assert_eq!(world.answer(b"\x02\x80\x1d\x87\x02\x81"), b"");
    is_error(
        &world.answer(&message_to(b"\x02\x81", "who", &[])),
        "unknown-method",
        "no object",
    );

    let (other, number) = challenged(&world);
    assert_ne!(challenge, other);
    assert_eq!(respond(&world, number, &right), b"");
    world.table.advance(ExposureLimits::default().login_delay);
    is_error(&world.tester.sent(), "unauthorized", "no");
    is_error(
        &respond(&world, number, &login::respond(b"secret", &other)),
        "unauthorized",
        "before",
    );
    is_error(
        &respond(&world, number, b"0123456789abcdef"),
        "unauthorized",
        "before",
    );
    let wrong = world.answer(&message("login", &[b"\x01\x81"]));
    is_error(&wrong, "bad-arguments", "expected the name of a user");
    is_error(
        &world.answer(&message("login", &[])),
        "bad-arguments",
        "expected 1 arguments",
    );
}

#[test]
fn wrong_logins_are_counted_and_late() {
    let world = portal(ExposureLimits::default());
    let delay = ExposureLimits::default().login_delay;
    let wrong = |world: &World| {
        let (_, number) = challenged(world);
        assert_eq!(respond(world, number, b"0123456789abcdef"), b"");
    };
    for _ in 0..2 {
        wrong(&world);
        world.table.advance(delay - Duration::from_millis(1));
        assert_eq!(world.tester.sent(), b"");
        world.table.advance(Duration::from_millis(1));
        is_error(&world.tester.sent(), "unauthorized", "no");
        assert!(!world.tester.is_closed());
    }
    // Several at once are no more guesses.
    wrong(&world);
    let (_, number) = challenged(&world);
    let more = respond(&world, number, b"0123456789abcdef");
    is_error(&more, "busy", "1 logins wait");
    world.table.advance(delay);
    let sent = world.tester.sent();
    is_error(&sent, "unauthorized", "no");
    let told = sent.windows(15).filter(|part| *part == b"CopyableFailure");
    assert_eq!(told.count(), 1);
    assert!(world.tester.is_closed());
    // With the connection what waits is gone.
    let gone = portal(ExposureLimits::default());
    wrong(&gone);
    gone.tester.peer_resets();
    gone.table.advance(delay);
}

#[test]
fn logins_and_objects_have_an_end() {
    let limits = ExposureLimits {
        call_deadline: Duration::from_secs(3),
        login_attempts: 9,
        login_delay: Duration::ZERO,
        ..ExposureLimits::default()
    };
    let world = portal(limits);
    let anonymous = message("loginAnonymous", &[b"\x01\x80\x01\x87"]);
    assert_eq!(world.answer(&anonymous.repeat(8)), b"");
    is_error(&world.answer(&anonymous), "busy", "8 logins wait");
    world.table.advance(Duration::from_secs(4));
    is_error(&world.tester.sent(), "deadline", "nobody decided in time");
    let ask = message("login", &[b"\x05\x82guest"]);
    world.tester.receive(&ask.repeat(MAX_REFERENCES));
    drop(world.tester.sent());
    is_error(&world.answer(&ask), "busy", "1024 objects");
    assert_eq!(
        world.tester.with(|protocol, _| protocol.held()),
        MAX_REFERENCES
    );
    assert_eq!(world.answer(&anonymous), b"");
    world.tester.peer_resets();
    world.table.settle();
}

/// A client that a test answers.
struct Caller {
    table: Table,
    tester: Tester<PbProtocol>,
    client: PbClient,
    context: CallContext,
}

impl Caller {
    fn new() -> Self {
        let limits = ExposureLimits {
            calls_in_flight: 3,
            call_deadline: Duration::from_secs(3),
            ..ExposureLimits::default()
        };
        let table = Table::new();
        let (protocol, client) = PbProtocol::client(limits, ["a.B"]);
        Self {
            tester: Tester::on(&table, protocol),
            client,
            context: CallContext::local(table.reactor()),
            table,
        }
    }

    fn open() -> (Self, PbReference) {
        let caller = Self::new();
        let root = caller.client.root();
        caller.tester.receive(&[DIALECTS, SIX].concat());
        assert_eq!(caller.tester.sent(), [PB, SIX].concat());
        let root = root
            .try_result()
            .expect("it is ready")
            .expect("it is there");
        (caller, root)
    }
}

fn text<T: std::fmt::Debug>(deferred: Deferred<T>) -> String {
    match deferred.try_result() {
        Ok(Ok(value)) => format!("{value:?}"),
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => "waits".to_owned(),
    }
}

#[test]
fn a_client_sends_what_twisted_would() {
    let (caller, root) = Caller::open();
    let mut arguments = crate::Arguments::from(vec![Value::Integer(3)]);
    arguments.named.push(("name".into(), "x".into()));
    let called = root.call(&caller.context, "quotes", arguments);
    caller.table.settle();
    // As captured from Twisted 26.10.
    let expected = b"\x07\x80\x1a\x87\x01\x81\x04\x82root\x06\x82quotes\x01\x81\x02\x80\x0b\x87\x03\x81\
        \x02\x80\x05\x87\x02\x80\x02\x80\x07\x82unicode\x04\x82name\x02\x80\x07\x82unicode\x01\x82x";
    assert_eq!(caller.tester.sent(), expected);
    for piece in answer(b"\x02\x80\x08\x87\x01\x81").chunks(1) {
        caller.tester.receive(piece);
    }
    assert_eq!(text(called), "List([Integer(1)])");
}

#[test]
fn a_client_waits_for_each_answer_once() {
    let (caller, root) = Caller::open();
    let call = || root.call(&caller.context, "echo", vec![Value::Nothing]);
    let (one, two, three) = (call(), call(), call());
    assert_eq!(text(call()), "3 calls wait for answers, and no more may");
    caller.tester.receive(b"\x03\x80\x1b\x87\x02\x81\x05\x81");
    assert_eq!(text(two), "Integer(5)");
    one.cancel();
    assert_eq!(text(one), "cancelled");
    caller.table.advance(Duration::from_secs(4));
    assert_eq!(text(three), "deadline: no answer in time");
    drop(caller.tester.sent());
    // Late answers are nobody's; what they bring is given back.
    caller.tester.receive(&answer(b"\x02\x80\x10\x87\x09\x81"));
    assert_eq!(caller.tester.sent(), b"\x02\x80\x1d\x87\x09\x81");
    let four = call();
    caller
        .tester
        .receive(b"\x03\x80\x1b\x87\x04\x81\x02\x80\x02\x87\x01\x82x");
    let class = "the answer: \"class\" of 1 items is no type that is accepted";
    assert_eq!(text(four), class);
    let five = call();
    caller.tester.receive(b"\x03\x80\x1b\x87\x06\x81\x05\x81");
    assert!(
        caller.tester.is_closed(),
        "an answer to what was never asked"
    );
    assert!(text(five).starts_with("expected a message of PB, found \"answer\""));
    assert!(text(call()).starts_with("expected a message of PB"));
    assert!(text(caller.client.root()).starts_with("expected a message of PB"));
}

#[test]
fn a_client_gives_back_what_it_drops_and_serves_what_it_passes() {
    let (caller, root) = Caller::open();
    let clerk = Rc::<Clerk>::default();
    let object = <dyn DynDesk>::object(Rc::clone(&clerk));
    let called = root.call_with(&caller.context, "keep", [PbObject::from(&object).into()]);
    caller.table.settle();
    let sent = caller.tester.sent();
    assert!(
        sent.ends_with(b"\x02\x80\x0b\x87\x02\x80\x10\x87\x01\x81\x01\x80\x05\x87"),
        "{sent:?}"
    );
    caller
        .tester
        .receive(&message_to(b"\x01\x81", "echo", &[b"\x07\x81"]));
    assert_eq!(caller.tester.sent(), answer(b"\x07\x81"));
    caller
        .tester
        .receive(&message_to(b"\x01\x81", "never", &[]));
    caller.tester.receive(b"\x02\x80\x1d\x87\x01\x81");
    assert_eq!(*clerk.cancelled.borrow(), 1, "it was given back");
    caller.tester.receive(&answer(b"\x02\x80\x10\x87\x09\x81"));
    let answer = called
        .try_result()
        .expect("it is there")
        .expect("it is well");
    let reference = answer.reference().expect("it is one");
    let again = reference.clone();
    drop(reference);
    caller.table.settle();
    assert_eq!(caller.tester.sent(), b"");
    drop(again);
    caller.table.settle();
    assert_eq!(caller.tester.sent(), b"\x02\x80\x1d\x87\x09\x81");
    let (_, other) = Caller::open();
    let called = root.call_with(&caller.context, "x", [other.into()]);
    let of_another =
        "bad-arguments: expected an object of this peer, found an object of the peer's of another";
    assert_eq!(text(called), of_another);
}

#[test]
fn a_client_that_finds_no_pb_says_so() {
    for bytes in [
        &b"220 mail.example\r\n\xff"[..],
        b"\x01\x80\x02\x82px",
        b"\x02\x82pb",
        b"\x01\x80\x01\x81",
    ] {
        let caller = Caller::new();
        let root = caller.client.root();
        caller.tester.receive(bytes);
        assert!(caller.tester.is_closed());
        assert!(text(root).starts_with("expected "));
    }
    let caller = Caller::new();
    let root = caller.client.root();
    caller.tester.peer_resets();
    assert_ne!(text(root), "waits");
}

/// Any value that arrives is sent back as it came.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nothing),
        any::<bool>().prop_map(Value::Boolean),
        any::<i128>().prop_map(Value::Integer),
        (-200_i128..200).prop_map(Value::Integer),
        any::<f64>()
            .prop_filter("equal to itself", |it| !it.is_nan())
            .prop_map(Value::Float),
        ".{0,9}".prop_map(Value::String),
        "cache|list|None|remote".prop_map(Value::String),
        any::<Vec<u8>>().prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let record = prop::collection::btree_map(".{0,5}", inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::List),
            record.prop_map(|fields| Value::Record(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_value_comes_back(value in values(), every in 1_usize..50) {
        let mut bytes = Vec::new();
        jelly::jelly(&mut Writer::new(&mut bytes, true, 1 << 20), &value).expect("it is small");
        let world = World::open();
        world.tester.receive_cut(&message("echo", &[&bytes]), every);
        prop_assert_eq!(world.tester.sent(), answer(&bytes));
    }

    #[test]
    fn any_bytes_are_answered_or_close(bytes: Vec<u8>, opened: bool, call: bool, every in 1_usize..20) {
        let world = if opened { World::open() } else { World::new() };
        if call {
            world.tester.receive(&message("echo", &[b""])[..20]);
        }
        world.tester.receive_cut(&bytes, every);
    }
}
