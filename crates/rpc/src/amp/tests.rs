//! Boxes cut at every byte, values of every kind, a server and a client on a table top.

use super::{
    form::{Bad, Form},
    *,
};
use crate::{
    self as tress_rpc, Blob, CallContext, Client, Disconnected, ExposureLimits, Fault, MakeTwin,
    Value, fault, interface, testing::same_however_cut,
};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, rc::Rc, time::Duration};
use tress_core::{
    Address, Deferred, Factory, Failure, Resolver, Result,
    testing::memory::{Table, Tester},
};

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Person {
    name: String,
    age: Option<u8>,
    scores: Vec<f64>,
}

/// One method of each sort.
#[interface(crate = "tress_rpc")]
trait Sorts {
    /// The sum.
    #[name = "S"]
    async fn sum(&self, a: i64, b: i64) -> Result<i64>;
    /// Texts.
    async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
    /// Perhaps a text.
    async fn find(&self, name: Option<String>) -> Result<Option<String>>;
    /// The same bytes.
    async fn keep(&self, data: Blob) -> Result<Blob>;
    /// Everybody is a year older.
    async fn older(&self, people: Vec<Person>) -> Result<Vec<Person>>;
    /// One of them.
    async fn first(&self, people: Vec<Person>) -> Result<Person>;
    /// A text of that many letters.
    async fn letters(&self, count: usize) -> Result<String>;
    /// Whatever it is.
    async fn same(&self, it: Value) -> Result<Value>;
    /// A fault of its own.
    async fn divide(&self) -> Result<f64>;
    /// An error that nobody is told about.
    async fn fail(&self) -> Result<()>;
    /// Nothing.
    async fn nothing(&self, yes: bool) -> Result<()>;
    /// When it is told to.
    async fn later(&self) -> Result<u8>;
}

#[derive(Default)]
struct All {
    waiting: RefCell<Vec<Resolver<u8>>>,
    cancelled: Rc<RefCell<usize>>,
    nothings: RefCell<usize>,
}

#[expect(
    refining_impl_trait,
    reason = "a Deferred is as good as an async function"
)]
impl Sorts for All {
    async fn sum(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn quotes(&self, count: u32) -> Result<Vec<String>> {
        Ok((0..count).map(|number| format!("quote {number}")).collect())
    }

    async fn find(&self, name: Option<String>) -> Result<Option<String>> {
        Ok(name.filter(|name| name == "ä"))
    }

    async fn keep(&self, data: Blob) -> Result<Blob> {
        Ok(data)
    }

    async fn older(&self, mut people: Vec<Person>) -> Result<Vec<Person>> {
        for person in &mut people {
            person.age = person.age.map(|age| age + 1);
        }
        Ok(people)
    }

    async fn first(&self, people: Vec<Person>) -> Result<Person> {
        let first = people.into_iter().next();
        first.ok_or_else(|| Fault::new("nobody", "").into())
    }

    async fn letters(&self, count: usize) -> Result<String> {
        Ok("x".repeat(count))
    }

    async fn same(&self, it: Value) -> Result<Value> {
        Ok(it)
    }

    async fn divide(&self) -> Result<f64> {
        Err(Fault::new("ZERO_DIVISION", "by zero"))?
    }

    async fn fail(&self) -> Result<()> {
        Err(Failure::msg("the key is under the mat"))
    }

    async fn nothing(&self, _yes: bool) -> Result<()> {
        *self.nothings.borrow_mut() += 1;
        Ok(())
    }

    fn later(&self) -> Deferred<u8> {
        let cancelled = Rc::clone(&self.cancelled);
        let (resolver, deferred) = Deferred::with_canceller(move || *cancelled.borrow_mut() += 1);
        self.waiting.borrow_mut().push(resolver);
        deferred
    }
}

fn limits() -> ExposureLimits {
    ExposureLimits {
        request_bytes: 100_000,
        response_bytes: 80_000,
        nesting: 3,
        calls_in_flight: 2,
        ..ExposureLimits::default()
    }
}

type Served = Tester<<AmpFactory as Factory>::Protocol>;

fn serve() -> (Rc<All>, Served) {
    let all = Rc::<All>::default();
    let object = <dyn DynSorts>::object(Rc::clone(&all));
    let mut factory = AmpFactory::new(&object, limits()).unwrap();
    let protocol = factory.build_protocol(&Address::Unknown).unwrap();
    (all, Tester::new(protocol))
}

/// A box of these keys and values.
fn boxed(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        format::put_pair(&mut out, key.as_bytes(), value).unwrap();
    }
    out.extend([0, 0]);
    out
}

fn call(command: &str, arguments: &[(&str, &[u8])]) -> Vec<u8> {
    let head: [(&str, &[u8]); 2] = [("_ask", b"1"), ("_command", command.as_bytes())];
    boxed(&[&head, arguments].concat())
}

fn answer(result: &[u8]) -> Vec<u8> {
    boxed(&[("_answer", b"1"), ("result", result)])
}

fn error(code: &str, description: &str) -> Vec<u8> {
    boxed(&[
        ("_error", b"1"),
        ("_error_code", code.as_bytes()),
        ("_error_description", description.as_bytes()),
    ])
}

fn listed(items: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        format::put(&mut out, |out| {
            out.extend_from_slice(item);
            Ok::<_, format::TooLong>(())
        })
        .unwrap();
    }
    out
}

/// What is sent for these bytes, however they are cut, and whether the connection is closed then.
#[track_caller]
fn check(bytes: &[u8], expect: &[u8], closes: bool) {
    let answered = |feed: &dyn Fn(&Served)| {
        let (_, tester) = serve();
        feed(&tester);
        let (sent, bytes) = (tester.sent(), bytes.escape_ascii());
        assert_eq!(
            sent.escape_ascii().to_string(),
            expect.escape_ascii().to_string(),
            "{bytes}"
        );
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

#[test]
fn the_golden_bytes_of_twisted() {
    let sum = b"\x00\x04_ask\x00\x011\x00\x08_command\x00\x01S\x00\x01a\x00\x0213\x00\x01b\x00\x0281\x00\x00";
    let answer = b"\x00\x07_answer\x00\x011\x00\x06result\x00\x0294\x00\x00";
    check(sum, answer, false);
    check(
        &[&sum[..], sum].concat(),
        &[&answer[..], answer].concat(),
        false,
    );
}

#[test]
fn calls_of_every_sort() {
    let good = |command: &str, arguments: &[(&str, &[u8])], result: &[u8]| {
        check(&call(command, arguments), &answer(result), false);
    };
    good("S", &[("b", b"-3"), ("a", b"1")], b"-2");
    good(
        "quotes",
        &[("count", b"2")],
        &listed(&[b"quote 0", b"quote 1"]),
    );
    good("find", &[("name", "ä".as_bytes())], "ä".as_bytes());
    good("keep", &[("data", b"\x00\xff")], b"\x00\xff");
    good("letters", &[("count", b"0")], b"");
    good(
        "same",
        &[("it", br#"{"a":[1,null]}"#)],
        br#"{"a":[1,null]}"#,
    );
    let none = boxed(&[("_answer", b"1")]);
    check(&call("find", &[]), &none, false);
    check(&call("find", &[("name", b"b")]), &none, false);
    check(&call("nothing", &[("yes", b"True")]), &none, false);
    let moshe: &[(&str, &[u8])] = &[
        ("name", b"Moshe"),
        ("age", b"41"),
        ("scores", &listed(&[b"1.5", b"inf"])),
        ("unknown", b"?"),
    ];
    let people = [boxed(moshe), boxed(&[("scores", b""), ("name", b"")])].concat();
    let older = [
        boxed(&[
            ("name", b"Moshe"),
            ("age", b"42"),
            ("scores", &listed(&[b"1.5", b"inf"])),
        ]),
        boxed(&[("name", b""), ("scores", b"")]),
    ];
    good("older", &[("people", &people)], &older.concat());
    let first = br#"{"name":"","age":null,"scores":[]}"#;
    good(
        "first",
        &[("people", &boxed(&[("scores", b""), ("name", b"")]))],
        first,
    );
    let ask = [b'f'; 300];
    let long = [
        ("_ask", &ask[..]),
        ("_command", b"S"),
        ("a", b"1"),
        ("b", b"2"),
    ];
    check(
        &boxed(&long),
        &boxed(&[("_answer", &ask), ("result", b"3")]),
        false,
    );
}

#[test]
fn what_goes_wrong_is_an_error() {
    let bad = |command: &str, arguments: &[(&str, &[u8])], why: &str| {
        check(
            &call(command, arguments),
            &error("bad-arguments", why),
            false,
        );
    };
    bad("S", &[("a", b"1")], "`Sorts.S`: `b` is missing");
    bad("S", &[("a", b"1"), ("a", b"1")], "`S`: `a` is given twice");
    bad(
        "S",
        &[("a", b"1"), ("c", b"1")],
        "`S`: no argument is called `c`",
    );
    bad(
        "S",
        &[("a", b"1.5"), ("b", b"1")],
        "`S`: `a`: expected an integer",
    );
    let (_, tester) = serve();
    tester.receive(&call("S", &[("a", b"9223372036854775808"), ("b", b"1")]));
    let said = String::from_utf8(tester.sent()).unwrap();
    assert!(
        said.contains("bad-arguments") && said.contains("expected i64"),
        "{said}"
    );
    bad(
        "nothing",
        &[("yes", b"true")],
        "`nothing`: `yes`: expected `True` or `False`",
    );
    bad(
        "find",
        &[("name", b"\xff")],
        "`find`: `name`: expected UTF-8",
    );
    let limit = "`Sorts.quotes`: `count`: expected 1 to 1000, found the integer 4294967295";
    bad("quotes", &[("count", b"4294967295")], limit);
    bad(
        "same",
        &[("it", b"[[[[]]]]")],
        "`same`: `it`: it is nested deeper than 3",
    );
    let cut = "`older`: `people`: box 0: it is cut off";
    bad("older", &[("people", b"\x00\x01a")], cut);
    bad("older", &[("people", b"\x01\x00")], cut);
    let twice = boxed(&[("name", b""), ("name", b"")]);
    bad(
        "older",
        &[("people", &twice)],
        "`older`: `people`: box 0: `name` comes twice",
    );
    check(
        &call("gone", &[]),
        &error("UNHANDLED", "Unhandled Command: 'gone'"),
        false,
    );
    check(
        &call("divide", &[]),
        &error("ZERO_DIVISION", "by zero"),
        false,
    );
}

#[test]
fn an_unknown_error_closes_and_a_long_answer_does_not() {
    // As Twisted's server: what follows is not answered any more.
    let both = [call("fail", &[]), call("divide", &[])].concat();
    check(&both, &error("UNKNOWN", "Unknown Error"), true);
    let longest = call("letters", &[("count", b"65535")]);
    check(&longest, &answer(&[b'x'; 65535]), false);
    let too_long = "`result` has more than the 65535 bytes that a value of AMP may have";
    check(
        &call("letters", &[("count", b"65536")]),
        &error("too-large", too_long),
        false,
    );
}

#[test]
fn nobody_is_answered_who_does_not_ask() {
    let (all, tester) = serve();
    tester.receive(&boxed(&[("_command", b"nothing"), ("yes", b"True")]));
    tester.receive(&boxed(&[("_command", b"nothing"), ("yes", b"true")]));
    tester.receive(&boxed(&[("_command", b"gone")]));
    tester.receive(&boxed(&[("_command", b"fail")]));
    assert_eq!((tester.sent(), tester.is_closed()), (vec![], false));
    assert_eq!(*all.nothings.borrow(), 1);
}

#[test]
fn what_is_no_call_is_closed() {
    check(b"\x00\x00", b"", true);
    check(b"\x01", b"", true);
    check(b"\x00\x04_ask\x00\x011\x00\x00", b"", true);
    check(b"GET / HTTP/1.0\r\n\r\n", b"", true);
    check(&boxed(&[("_answer", b"1"), ("result", b"1")]), b"", true);
    check(&boxed(&[("_command", b"S"), ("_command", b"S")]), b"", true);
    check(
        &boxed(&[("_ask", b"1"), ("_ask", b"1"), ("_command", b"S")]),
        b"",
        true,
    );
    let first = [&call("divide", &[])[..], b"\x00\x04_ask\x01\x00"].concat();
    let (_, tester) = serve();
    tester.receive(&first);
    assert_eq!(tester.sent(), error("ZERO_DIVISION", "by zero"));
    assert!(!tester.is_closed(), "the value may still come");
    tester.receive(&[b'x'; 100_000]);
    assert!(tester.is_closed(), "a key cannot begin with `x`");
}

#[test]
fn no_box_is_longer_than_the_limit() {
    let (_, tester) = serve();
    // Two values of the longest fit into no box of 100,000 bytes: the second is refused when its length is there.
    let value = [b'x'; 65535];
    let longest = boxed(&[("a", &value), ("b", &value)]);
    tester.receive(&longest[..4 + 65536]);
    assert!(!tester.is_closed());
    tester.receive(&longest[4 + 65536..][..5]);
    assert!(tester.is_closed());
    for byte in [0, 0xff, b'a', b'\n', b'7'] {
        let (_, tester) = serve();
        for _ in 0..16 {
            tester.receive(&vec![byte; 1 << 20]);
        }
        assert!(tester.is_closed(), "{byte}");
    }
}

#[test]
fn calls_that_wait_are_counted_and_end_with_the_connection() {
    let (all, tester) = serve();
    for _ in 0..3 {
        tester.receive(&call("later", &[]));
    }
    let busy = error("busy", "2 calls wait for their results, and no more may");
    assert_eq!(tester.sent(), busy);
    let resolver = all.waiting.borrow_mut().remove(0);
    resolver.resolve(7);
    tester.settle();
    assert_eq!(tester.sent(), answer(b"7"));
    tester.advance(Duration::from_secs(30));
    assert_eq!(tester.sent(), error("deadline", "no result in time"));
    assert_eq!(*all.cancelled.borrow(), 1);
    tester.receive(&call("later", &[]));
    tester.peer_resets();
    assert_eq!(*all.cancelled.borrow(), 2);
}

#[test]
fn a_peer_that_sends_no_more_gets_what_it_asked_for() {
    let (all, tester) = serve();
    tester.receive(&call("later", &[]));
    tester.peer_closes_write();
    assert!(!tester.is_closed());
    let resolver = all.waiting.borrow_mut().remove(0);
    resolver.resolve(7);
    tester.settle();
    assert_eq!(tester.sent(), answer(b"7"));
    assert!(tester.is_closed());
}

#[test]
fn an_interface_that_cannot_be_said_is_refused() {
    /// Keys of AMP's own.
    #[interface(crate = "tress_rpc")]
    trait Asks {
        /// Cannot be asked.
        async fn ask(&self, _ask: String) -> Result<()>;
    }
    struct Asker;
    impl Asks for Asker {
        async fn ask(&self, _ask: String) -> Result<()> {
            Ok(())
        }
    }
    let object = <dyn DynAsks>::object(Rc::new(Asker));
    let refused = AmpFactory::new(&object, limits()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`Asks.ask` cannot be served over AMP: a key `_ask` means something else"
    );
}

/// A client and a server on one table.
struct World {
    table: Table,
    all: Rc<All>,
    sorts: SortsClient,
}

impl World {
    fn new() -> Self {
        let table = Table::new();
        let all = Rc::<All>::default();
        let object = <dyn DynSorts>::object(Rc::clone(&all));
        let factory = AmpFactory::new(&object, ExposureLimits::default()).unwrap();
        table.reactor().listen("tcp:1234", factory).unwrap();
        let descriptor = object.descriptor();
        let client = connect_amp(table.reactor(), "tcp:192.0.2.2:1234", descriptor, limits());
        table.settle();
        let client = client.try_result().unwrap().unwrap();
        let twin: MakeTwin = <dyn DynSorts>::TWIN;
        let twin = twin(Client::new(client)).get::<dyn DynSorts>().unwrap();
        let sorts = SortsClient::new(twin, CallContext::local(table.reactor()));
        Self { table, all, sorts }
    }

    #[track_caller]
    fn wait<T>(&self, called: Deferred<T>) -> Result<T> {
        self.table.settle();
        called.try_result().expect("it is answered")
    }
}

#[test]
fn what_does_not_fit_is_told_and_an_unknown_error_ends_the_connection() {
    let world = World::new();
    let sorts = &world.sorts;
    let fault = |failure: &Failure| Fault::of(failure).code().to_owned();
    let long = Blob(vec![0; 65536]);
    assert_eq!(
        fault(&world.wait(sorts.keep(long)).unwrap_err()),
        fault::TOO_LARGE
    );
    assert_eq!(
        fault(&world.wait(sorts.fail()).unwrap_err()),
        fault::INTERNAL
    );
    // That closed the connection, as in Twisted.
    let gone = world.wait(sorts.sum(1, 2)).unwrap_err();
    assert!(gone.check::<Disconnected>().is_some(), "{gone}");
    assert_eq!(fault(&gone), fault::BUSY);
}

#[test]
fn calls_of_a_client_end_once() {
    let world = World::new();
    let sorts = &world.sorts;
    let (first, second, third) = (sorts.later(), sorts.later(), sorts.later());
    let failure = third.try_result().unwrap().unwrap_err();
    assert_eq!(Fault::of(&failure).code(), fault::BUSY);
    world.table.settle();
    first.cancel();
    assert!(first.try_result().unwrap().is_err());
    // What is answered to it comes too late, and hurts nobody.
    for resolver in world.all.waiting.take() {
        resolver.resolve(7);
    }
    assert_eq!(world.wait(second).unwrap(), 7);
    let late = sorts.later();
    world.table.advance(Duration::from_secs(29));
    let late = late.try_result().unwrap_err();
    world.table.advance(Duration::from_secs(1));
    let failure = late.try_result().unwrap().unwrap_err();
    assert_eq!(Fault::of(&failure).code(), fault::DEADLINE);
    let lost = sorts.later();
    world.table.settle();
    world.wait(sorts.fail()).unwrap_err();
    let failure = world.wait(lost).unwrap_err();
    assert!(failure.check::<Disconnected>().is_some(), "{failure}");
}

#[test]
fn the_last_client_closes_the_connection() {
    let world = World::new();
    assert_eq!(world.table.reactor().statistics().connections, 2);
    let World { table, sorts, .. } = world;
    drop(sorts);
    table.settle();
    assert_eq!(table.reactor().statistics().connections, 0);
}

fn client() -> (AmpClient, Tester<format::Boxes<AmpCaller>>) {
    let descriptor = <dyn DynSorts>::DESCRIPTOR;
    let client = AmpClient::new(descriptor, limits()).unwrap();
    let tester = Tester::new(client.protocol());
    (client, tester)
}

#[test]
fn a_client_reads_the_answers_of_others() {
    let (client, tester) = client();
    let context = CallContext::local(tester.reactor());
    let made = Client::new(client);
    let sum = || vec![Value::Integer(13), Value::Integer(81)];
    let called = made.call::<i64>(&context, "S", sum());
    let expect = b"\x00\x04_ask\x00\x011\x00\x08_command\x00\x01S\x00\x01a\x00\x0213\x00\x01b\x00\x0281\x00\x00";
    tester.settle();
    assert_eq!(tester.sent(), expect);
    // Twisted's example calls it `total`.
    tester.receive_cut(&boxed(&[("_answer", b"1"), ("total", b"94")]), 1);
    assert_eq!(called.try_result().unwrap().unwrap(), 94);
    let people = vec![Value::List(vec![])];
    let called = made.call::<Person>(&context, "first", people);
    let answer: [(&str, &[u8]); 3] = [("_answer", b"2"), ("name", b"M"), ("scores", b"")];
    tester.receive(&boxed(&answer));
    let person = called.try_result().unwrap().unwrap();
    assert_eq!((person.name.as_str(), person.age), ("M", None));
    let called = made.call::<i64>(&context, "S", sum());
    tester.receive(&boxed(&[("_answer", b"3"), ("result", b"x")]));
    let failure = called.try_result().unwrap().unwrap_err();
    assert_eq!(
        failure.to_string(),
        "`result` of the answer: expected an integer"
    );
    let unhandled = boxed(&[("_error", b"4"), ("_error_code", b"UNHANDLED")]);
    let called = made.call::<i64>(&context, "S", sum());
    tester.receive(&unhandled);
    let failure = called.try_result().unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "`Sorts` has no method `S`");
    // It calls us.
    drop(tester.sent());
    tester.receive(&call("gone", &[]));
    assert_eq!(tester.sent(), error("UNHANDLED", "nothing is served here"));
    tester.receive(&boxed(&[("_command", b"gone")]));
    assert!(!tester.is_closed());
    tester.receive(&unhandled);
    assert!(!tester.is_closed(), "an answer may come late");
    tester.receive(&boxed(&[("_answer", b"6")]));
    assert!(tester.is_closed(), "nobody has asked that");
}

fn any_form() -> impl Strategy<Value = (Form, Value)> {
    let text = ".{0,9}";
    prop_oneof![
        any::<bool>().prop_map(|value| (Form::Boolean, Value::Boolean(value))),
        any::<i128>().prop_map(|number| (Form::Integer, Value::Integer(number))),
        any::<f64>().prop_map(|number| (Form::Float, Value::Float(number))),
        text.prop_map(|text| (Form::Text, Value::String(text))),
        any::<Vec<u8>>().prop_map(|bytes| (Form::Bytes, Value::Bytes(bytes))),
        proptest::collection::vec(text, 0..5).prop_map(|items| {
            let items = items.into_iter().map(Value::String);
            (
                Form::List(Box::new(Form::Text)),
                Value::List(items.collect()),
            )
        }),
        proptest::collection::vec((any::<i64>(), text), 0..5).prop_map(|records| {
            let fields = vec![
                ("a".to_owned(), Form::Integer),
                ("b".to_owned(), Form::Json),
            ];
            let record = |(number, text): (i64, String)| {
                let items = Value::List(vec![Value::String(text)]);
                Value::Record(vec![
                    ("a".into(), Value::Integer(number.into())),
                    ("b".into(), items),
                ])
            };
            let records = records.into_iter().map(record).collect();
            (Form::Boxes(fields), Value::List(records))
        }),
    ]
}

#[test]
fn a_connection_does_not_keep_its_reactor() {
    let (all, tester) = serve();
    tester.receive(&call("nothing", &[("yes", b"True")]));
    drop(tester);
    assert_eq!(Rc::strong_count(&all), 1);
}

proptest! {
    #[test]
    fn values_come_back_as_they_went((form, value) in any_form()) {
        let mut out = Vec::new();
        prop_assert_eq!(form.write(&value, &mut out), Ok(()));
        prop_assert_eq!(form.read(&out, 9), Ok(value));
    }

    #[test]
    fn any_bytes_are_read_or_refused((form, _) in any_form(), bytes: Vec<u8>) {
        if let Ok(value) = form.read(&bytes, 9) {
            let mut out = Vec::new();
            prop_assert_eq!(form.write(&value, &mut out), Ok(()));
            let again = form.read(&out, 9);
            prop_assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, ()>(value)));
        }
    }

    #[test]
    fn any_bytes_do_the_same_however_they_are_cut(bytes: Vec<u8>, cut in 0..100_usize) {
        let bytes = [call("divide", &[]), bytes].concat();
        same_however_cut(|| serve().1, &bytes, cut)?;
    }
}

#[test]
fn a_value_that_is_none_of_its_kind_is_not_written() {
    let mut out = Vec::new();
    let bad = Form::Integer.write(&"x".into(), &mut out);
    assert_eq!(
        bad,
        Err(Bad::Other("expected Integer, found a string".into()))
    );
    let long = Value::List(vec!["x".into(); 40_000]);
    let form = Form::List(Box::new(Form::Text));
    assert_eq!(form.write(&long, &mut out), Err(Bad::TooLong));
    assert!(out.len() < 70_000, "it stops when it is too long");
}
