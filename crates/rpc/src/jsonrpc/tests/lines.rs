//! Lines in both directions, cut at every byte; a server and a client on a table top.

use super::*;
use crate::{Client, Disconnected, MakeTwin, fault, testing::same_however_cut};
use proptest::prelude::*;
use std::time::Duration;
use tress_core::{Address, Factory, testing::memory::Tester};

type Served = Tester<<JsonRpcLines as Factory>::Protocol>;

fn serve() -> (Rc<All>, Served) {
    let all = Rc::<All>::default();
    let object = <dyn DynSorts>::object(Rc::clone(&all));
    let protocol = JsonRpcLines::new(&object, limits()).build_protocol(&Address::Unknown);
    (all, Tester::new(protocol.unwrap()))
}

/// What is sent for these bytes, however they are cut, and whether the connection is closed then.
#[track_caller]
fn check(bytes: &[u8], expect: &str, closes: bool) {
    let answered = |feed: &dyn Fn(&Served)| {
        let (_, tester) = serve();
        feed(&tester);
        let (sent, bytes) = (tester.sent(), bytes.escape_ascii());
        assert_eq!(String::from_utf8(sent).unwrap(), expect, "{bytes}");
        assert_eq!(tester.is_closed(), closes, "{bytes}");
    };
    answered(&|tester| tester.receive(bytes));
    answered(&|tester| tester.receive_cut(bytes, 1));
    for cut in 1..bytes.len().min(300) {
        answered(&|tester| {
            tester.receive(&bytes[..cut]);
            tester.receive(&bytes[cut..]);
        });
    }
}

const ASK: &str = r#"{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1}"#;

#[test]
fn one_text_a_line() {
    let good = good("19", "1");
    check(format!("{ASK}\n").as_bytes(), &format!("{good}\n"), false);
    let both = format!("{ASK}\r\n[{ASK}]\n");
    check(both.as_bytes(), &format!("{good}\n[{good}]\n"), false);
    let quiet = "{\"jsonrpc\":\"2.0\",\"method\":\"update\"}\n";
    check(quiet.as_bytes(), "", false);
    let refused = bad(-32600, "a request is an object", "", "null");
    check(b"7\n", &format!("{refused}\n"), false);
    let eof = bad(
        -32700,
        "EOF while parsing a value at line 1 column 0",
        "",
        "null",
    );
    let twice = format!("\n{ASK}\n");
    check(twice.as_bytes(), &format!("{eof}\n"), true);
    let longest = format!("{ASK}{}\n", " ".repeat(1000 - ASK.len()));
    check(longest.as_bytes(), &format!("{good}\n"), false);
    let large = bad(
        -32000,
        "a request has 1000 bytes at most",
        "too-large",
        "null",
    );
    let longer = format!(" {longest}{ASK}\n");
    check(longer.as_bytes(), &format!("{large}\n"), true);
}

#[test]
fn answers_come_when_they_are_there() {
    let (all, tester) = serve();
    let later = r#"{"jsonrpc":"2.0","method":"later","id":"late"}"#;
    tester.receive(format!("{later}\n{ASK}\n").as_bytes());
    assert_eq!(tester.sent(), format!("{}\n", good("19", "1")).as_bytes());
    tester.peer_closes_write();
    assert!(!tester.is_closed(), "an answer is owed");
    let resolver = all.waiting.borrow_mut().remove(0);
    resolver.resolve(7);
    tester.settle();
    assert_eq!(
        tester.sent(),
        format!("{}\n", good("7", "\"late\"")).as_bytes()
    );
    assert!(tester.is_closed());
}

#[test]
fn a_call_ends_with_its_deadline_or_its_connection() {
    let (all, tester) = serve();
    let later = "{\"jsonrpc\":\"2.0\",\"method\":\"later\",\"id\":1}\n";
    tester.receive(later.as_bytes());
    tester.advance(Duration::from_secs(30));
    let late = bad(-32000, "no result in time", "deadline", "1");
    assert_eq!(tester.sent(), format!("{late}\n").as_bytes());
    tester.receive(later.as_bytes());
    tester.peer_resets();
    let waiting = all.waiting.take();
    assert!(waiting.iter().all(Resolver::is_cancelled));
}

#[test]
fn bytes_without_an_end_cost_no_memory() {
    for byte in [0, 0xff, b'a', b'\n', b'7', b'['] {
        let (_, tester) = serve();
        for _ in 0..16 {
            tester.receive(&vec![byte; 1 << 20]);
        }
        assert!(tester.is_closed(), "{byte}");
        assert!(tester.sent().len() < 200, "{byte}");
    }
}

#[test]
fn a_connection_does_not_keep_its_reactor() {
    let (all, tester) = serve();
    tester.receive(format!("{ASK}\n").as_bytes());
    drop(tester);
    assert_eq!(Rc::strong_count(&all), 1);
}

proptest! {
    #[test]
    fn any_bytes_do_the_same_however_they_are_cut(bytes: Vec<u8>, cut in 0..100_usize) {
        let bytes = [ASK.as_bytes(), b"\n", &bytes].concat();
        same_however_cut(|| serve().1, &bytes, cut)?;
    }

    #[test]
    fn any_text_is_answered_or_refused(text in r#"[\[\]{}",:0-9a-z "\\]{0,40}"#) {
        let server = Server::new();
        let is_json = server.ask(&text);
        let is_value = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        prop_assert!(is_json || !is_value);
        for answer in server.answers().into_iter().flatten() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&answer).is_ok());
        }
    }
}

/// A client and a server on one table.
struct World {
    table: Table,
    all: Rc<All>,
    client: Client,
}

impl World {
    fn new() -> Self {
        let table = Table::new();
        let all = Rc::<All>::default();
        let object = <dyn DynSorts>::object(Rc::clone(&all));
        let server = JsonRpcLines::new(&object, ExposureLimits::default());
        table.reactor().listen("tcp:8011", server).unwrap();
        let descriptor = object.descriptor();
        let client = connect_json_rpc(table.reactor(), "tcp:192.0.2.2:8011", descriptor, limits());
        table.settle();
        let client = Client::new(client.try_result().unwrap().unwrap());
        Self { table, all, client }
    }

    fn sorts(&self) -> SortsClient {
        let twin: MakeTwin = <dyn DynSorts>::TWIN;
        let twin = twin(self.client.clone()).get::<dyn DynSorts>().unwrap();
        SortsClient::new(twin, CallContext::local(self.table.reactor()))
    }

    #[track_caller]
    fn wait<T>(&self, called: Deferred<T>) -> Result<T> {
        self.table.settle();
        called.try_result().expect("it is answered")
    }
}

#[test]
fn a_client_sends_arguments_of_both_sorts_and_reads_no_longer_line() {
    let world = World::new();
    let sorts = world.sorts();
    let context = CallContext::local(world.table.reactor());
    let arguments = Arguments {
        positional: vec![Value::Integer(42)],
        named: vec![("subtrahend".into(), Value::Integer(23))],
    };
    let called = world.client.call::<i64>(&context, "subtract", arguments);
    assert_eq!(world.wait(called).unwrap(), 19);
    // A line of this client's has 500 bytes at most.
    let long = world.wait(sorts.letters(500)).unwrap_err();
    assert!(long.check::<Disconnected>().is_some(), "{long}");
}

#[test]
fn calls_of_a_client_end_once() {
    let world = World::new();
    let sorts = world.sorts();
    let (first, second, third) = (sorts.later(), sorts.later(), sorts.later());
    let failure = third.try_result().unwrap().unwrap_err();
    assert_eq!(Fault::of(&failure).code(), fault::BUSY);
    world.table.settle();
    first.cancel();
    for resolver in world.all.waiting.take() {
        resolver.resolve(7);
    }
    assert_eq!(world.wait(second).unwrap(), 7);
    let late = sorts.later();
    world.table.advance(Duration::from_secs(30));
    let failure = late.try_result().unwrap().unwrap_err();
    assert_eq!(Fault::of(&failure).code(), fault::DEADLINE);
    let World { table, client, .. } = world;
    drop((sorts, client));
    table.settle();
    assert_eq!(table.reactor().statistics().connections, 0);
}

#[test]
fn a_client_reads_the_errors_of_others() {
    let client = JsonRpcClient::new(<dyn DynSorts>::DESCRIPTOR, limits());
    let tester = Tester::new(client.protocol());
    let context = CallContext::local(tester.reactor());
    let client = Client::new(client);
    for (id, error, expect) in [
        (1, r#"{"code":-32601,"message":"m"}"#, "unknown-method: m"),
        (
            2,
            r#"{"code":-32602,"message":"m","data":7}"#,
            "bad-arguments: m",
        ),
        (3, r#"{"code":-32603}"#, "internal: "),
        (
            4,
            r#"{"code":-32050,"message":"m","data":{"more":1}}"#,
            "-32050: m",
        ),
        (
            5,
            r#"{"code":-32050,"message":"m","data":{"code":"own"}}"#,
            "own: m",
        ),
        (6, r#""no""#, "internal: an error that is no object"),
    ] {
        let called = client.call::<()>(&context, "refuse", Arguments::default());
        tester.settle();
        let sent = format!(r#"{{"jsonrpc":"2.0","method":"refuse","params":[],"id":{id}}}"#);
        assert_eq!(String::from_utf8(tester.sent()).unwrap(), sent + "\n");
        let answer = format!("{{\"error\":{error},\"id\":{id}}}\n");
        tester.receive_cut(answer.as_bytes(), 1);
        let failure = called.try_result().unwrap().unwrap_err();
        assert_eq!(failure.to_string(), expect, "{error}");
    }
    tester.receive(b"{\"result\":1,\"id\":1}\n");
    assert!(!tester.is_closed(), "it may be late");
    for odd in [
        "{\"result\":1,\"id\":7}",
        "{\"id\":1}",
        "{\"result\":1}",
        "[]",
        "",
        "[[[[[]]]]]",
    ] {
        let client = JsonRpcClient::new(<dyn DynSorts>::DESCRIPTOR, limits());
        let tester = Tester::new(client.protocol());
        tester.receive(format!("{odd}\n").as_bytes());
        assert!(tester.is_closed(), "{odd}");
    }
}
