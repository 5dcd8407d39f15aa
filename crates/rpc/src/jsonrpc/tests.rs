//! The messages alone: a case table that begins with the specification's own examples.

use super::*;
use crate::{
    self as tress_rpc, Arguments, CallContext, Calls, ExposureLimits, Fault, Value, interface,
};
use std::{cell::RefCell, rc::Rc};
use tress_core::{Deferred, Failure, Resolver, Result, testing::memory::Table};

/// One method of each sort.
#[interface(crate = "tress_rpc")]
trait Sorts {
    /// The specification's example.
    async fn subtract(&self, minuend: i64, subtrahend: i64) -> Result<i64>;
    /// Nothing.
    async fn update(&self, numbers: Option<Vec<u8>>) -> Result<()>;
    /// A text of that many letters.
    async fn letters(&self, count: usize) -> Result<String>;
    /// Whatever it is given.
    async fn same(&self, it: Value) -> Result<Value>;
    /// A fault of its own.
    async fn refuse(&self) -> Result<()>;
    /// An error that nobody is told about.
    async fn fail(&self) -> Result<()>;
    /// When it is told to.
    async fn later(&self) -> Result<u8>;
}

#[derive(Default)]
struct All {
    waiting: RefCell<Vec<Resolver<u8>>>,
    updated: RefCell<usize>,
}

#[expect(
    refining_impl_trait,
    reason = "a Deferred is as good as an async function"
)]
impl Sorts for All {
    async fn subtract(&self, minuend: i64, subtrahend: i64) -> Result<i64> {
        Ok(minuend - subtrahend)
    }

    async fn update(&self, _numbers: Option<Vec<u8>>) -> Result<()> {
        *self.updated.borrow_mut() += 1;
        Ok(())
    }

    async fn letters(&self, count: usize) -> Result<String> {
        Ok("x".repeat(count))
    }

    async fn same(&self, it: Value) -> Result<Value> {
        Ok(it)
    }

    async fn refuse(&self) -> Result<()> {
        Err(Fault::new("closed", "come \"back\" tomorrow"))?
    }

    async fn fail(&self) -> Result<()> {
        Err(Failure::msg("the key is under the mat"))
    }

    fn later(&self) -> Deferred<u8> {
        let (resolver, deferred) = Deferred::pair();
        self.waiting.borrow_mut().push(resolver);
        deferred
    }
}

struct Server {
    table: Table,
    all: Rc<All>,
    calls: Calls,
    answers: Rc<RefCell<Vec<Option<String>>>>,
}

impl Server {
    fn new() -> Self {
        let all = Rc::<All>::default();
        let limits = ExposureLimits {
            request_bytes: 1000,
            response_bytes: 500,
            nesting: 3,
            batch: 9,
            calls_in_flight: 2,
            ..ExposureLimits::default()
        };
        Self {
            table: Table::new(),
            calls: Calls::new(&<dyn DynSorts>::object(Rc::clone(&all)), limits),
            all,
            answers: Rc::default(),
        }
    }

    /// Whether it is JSON.
    fn ask(&self, request: &str) -> bool {
        let context = CallContext::local(self.table.reactor());
        let answers = Rc::clone(&self.answers);
        respond(&self.calls, &context, request.as_bytes(), move |answer| {
            let text = answer.map(|answer| String::from_utf8(answer).unwrap());
            answers.borrow_mut().push(text);
        })
    }

    /// What has been answered since.
    fn answers(&self) -> Vec<Option<String>> {
        self.answers.take()
    }
}

/// The answer to a request; empty for none.
#[track_caller]
fn check(request: &str, expect: &str) {
    let server = Server::new();
    server.ask(request);
    let answers = server.answers();
    let [answer] = answers.as_slice() else {
        panic!("{request}: {} answers", answers.len());
    };
    assert_eq!(answer.as_deref().unwrap_or_default(), expect, "{request}");
}

fn good(result: &str, id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","result":{result},"id":{id}}}"#)
}

fn bad(number: i32, message: &str, code: &str, id: &str) -> String {
    let data = match code {
        "" => String::new(),
        code => format!(r#","data":{{"code":"{code}"}}"#),
    };
    format!(
        r#"{{"jsonrpc":"2.0","error":{{"code":{number},"message":"{message}"{data}}},"id":{id}}}"#
    )
}

#[test]
fn the_examples_of_the_specification() {
    let request =
        |method: &str, rest: &str| format!(r#"{{"jsonrpc": "2.0", "method": "{method}"{rest}}}"#);
    check(
        &request("subtract", r#", "params": [42, 23], "id": 1"#),
        &good("19", "1"),
    );
    check(
        &request("subtract", r#", "params": [23, 42], "id": 2"#),
        &good("-19", "2"),
    );
    let named = r#", "params": {"subtrahend": 23, "minuend": 42}, "id": 3"#;
    check(&request("subtract", named), &good("19", "3"));
    check(&request("update", r#", "params": [[1,2,3,4,5]]"#), "");
    check(&request("foobar", ""), "");
    let unknown = "`Sorts` has no method `foobar`";
    let unknown = bad(-32601, unknown, "unknown-method", "\"1\"");
    check(&request("foobar", r#", "id": "1""#), &unknown);
    let cut = r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#;
    check(
        cut,
        &bad(
            -32700,
            "expected `,` or `}` at line 1 column 40",
            "",
            "null",
        ),
    );
    let wrong = r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#;
    check(wrong, &bad(-32600, "`method` is no string", "", "null"));
    let no_object = bad(-32600, "a request is an object", "", "null");
    check(
        "[]",
        &bad(-32600, "a batch has one request at least", "", "null"),
    );
    check("[1]", &format!("[{no_object}]"));
    check("[1,2,3]", &format!("[{no_object},{no_object},{no_object}]"));
    let batch = format!(
        "[{}, {}, {}, {}]",
        request("subtract", r#", "params": [42,23], "id": "2""#),
        request("update", r#", "params": [[7]]"#),
        r#"{"foo": "boo"}"#,
        request("foobar", r#", "id": "1""#),
    );
    let version = bad(-32600, "`jsonrpc` is not \\\"2.0\\\"", "", "null");
    check(
        &batch,
        &format!("[{},{version},{unknown}]", good("19", "\"2\"")),
    );
    let quiet = format!("[{},{}]", request("update", ""), request("nothing", ""));
    check(&quiet, "");
}

#[test]
fn requests_of_every_sort() {
    let call = |method: &str, parameters: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{parameters}}}"#)
    };
    check(&call("Sorts.subtract", "[3,2]"), &good("1", "7"));
    check(&call("update", "[]"), &good("null", "7"));
    check(&call("update", "{}"), &good("null", "7"));
    check(&call("same", r#"["a\n\u00e4"]"#), &good(r#""a\nä""#, "7"));
    let closed = r#"come \"back\" tomorrow"#;
    check(&call("refuse", "[]"), &bad(-32000, closed, "closed", "7"));
    check(
        &call("fail", "[]"),
        &bad(-32603, "internal error", "internal", "7"),
    );
    let missing = "`Sorts.subtract`: `subtrahend` is missing";
    check(
        &call("subtract", "[3]"),
        &bad(-32602, missing, "bad-arguments", "7"),
    );
    let other = "`Sorts` has no method `Others.subtract`";
    check(
        &call("Others.subtract", "[3]"),
        &bad(-32601, other, "unknown-method", "7"),
    );
    check(
        &call("update", "7"),
        &bad(-32600, "`params` is no array or object", "", "7"),
    );
    for id in [
        "-1",
        "1.50",
        "null",
        r#""a\"\u0041""#,
        "12345678901234567890123",
    ] {
        let request = format!(r#"{{"jsonrpc":"2.0","method":"update","id":{id},"more":[{{}}]}}"#);
        check(&request, &good("null", id));
    }
    let no_id = bad(-32600, "`id` is no string, number or null", "", "null");
    for id in ["true", "[1]", "{}"] {
        check(
            &format!(r#"{{"jsonrpc":"2.0","method":"update","id":{id}}}"#),
            &no_id,
        );
    }
    for twice in [
        r#""id":1,"id":2"#,
        r#""id":1,"method":"a","method":"update""#,
    ] {
        let server = Server::new();
        server.ask(&format!(r#"{{"jsonrpc":"2.0",{twice}}}"#));
        let answer = server.answers().pop().flatten().unwrap();
        assert!(
            answer.contains("-32600") && answer.contains("twice"),
            "{answer}"
        );
    }
    let twice = call("same", r#"[{"a":1,"a":2}]"#);
    let why = "`a` comes twice at line 1 column 60";
    check(&twice, &bad(-32600, why, "", "null"));
}

#[test]
fn what_is_no_json_is_told_apart() {
    let server = Server::new();
    for broken in [
        "",
        " ",
        "{",
        "[{}",
        "\u{0}",
        "{}}",
        "[] []",
        "nul",
        r#""a"#,
        "\u{feff}{}",
    ] {
        assert!(!server.ask(broken), "{broken:?}");
        let answer = server.answers().pop().flatten().unwrap();
        assert!(answer.contains("-32700"), "{broken:?}: {answer}");
    }
    for odd in ["1", "null", "\"a\"", "[[]]", "{}", "[[[[[[[[[[[[["] {
        assert!(server.ask(odd), "{odd:?}");
        let answer = server.answers().pop().flatten().unwrap();
        assert!(answer.contains("-32600"), "{odd:?}: {answer}");
    }
}

#[test]
fn the_limits_of_a_request() {
    let same = |argument: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"same","params":[{argument}]}}"#)
    };
    check(&same("[[[]]]"), &good("[[[]]]", "1"));
    let brackets = r#""[[[[[[[[[\"[[[[""#;
    check(&same(brackets), &good(brackets, "1"));
    let deep = bad(-32600, "it is nested deeper than 3", "", "null");
    check(&same("[[[[]]]]"), &deep);
    check(
        &format!("[{}]", same("[{\"a\":[]}]")),
        &format!("[{}]", good("[{\"a\":[]}]", "1")),
    );
    check(&format!("[{}]", same("[[[[]]]]")), &deep);
    let notification = r#"{"jsonrpc":"2.0","method":"update"}"#;
    let batch = |count: usize| format!("[{}]", vec![notification; count].join(","));
    check(&batch(9), "");
    check(
        &batch(10),
        &bad(-32600, "a batch has 9 requests at most", "", "null"),
    );
    let large = bad(
        -32000,
        "a request has 1000 bytes at most",
        "too-large",
        "null",
    );
    check(&" ".repeat(1001), &large);
}

#[test]
fn a_batch_beyond_the_limit_calls_nothing() {
    let server = Server::new();
    let notification = r#"{"jsonrpc":"2.0","method":"update"}"#;
    server.ask(&format!("[{}]", [notification; 10].join(",")));
    assert_eq!(*server.all.updated.borrow(), 0);
    server.ask(&format!("[{}", [notification; 9].join(",")));
    assert_eq!(*server.all.updated.borrow(), 0, "it was cut");
    server.ask(&format!("[{}]", [notification; 9].join(",")));
    assert_eq!(*server.all.updated.borrow(), 9);
}

#[test]
fn the_limit_of_an_answer_holds_for_a_batch_as_a_whole() {
    let letters = |count: usize, id: u8| {
        format!(r#"{{"jsonrpc":"2.0","method":"letters","params":[{count}],"id":{id}}}"#)
    };
    let fits = |count: usize, id: u8| good(&format!("\"{}\"", "x".repeat(count)), &id.to_string());
    let around = fits(0, 1).len();
    let large = |id: &str| {
        let message = "the answer is larger than is allowed here";
        bad(-32000, message, "too-large", id)
    };
    check(&letters(500 - around, 1), &fits(500 - around, 1));
    check(&letters(501 - around, 1), &large("1"));
    check(&letters(usize::from(u16::MAX), 1), &large("1"));
    let batch = format!(
        "[{},{},{}]",
        letters(200, 1),
        letters(300, 2),
        letters(9, 3)
    );
    let expect = format!("[{},{},{}]", fits(200, 1), large("2"), fits(9, 3));
    check(&batch, &expect);
}

#[test]
fn a_batch_is_answered_when_its_last_call_is() {
    let server = Server::new();
    let later = |id: u8| format!(r#"{{"jsonrpc":"2.0","method":"later","id":{id}}}"#);
    server.ask(&format!("[{},{},{}]", later(1), later(2), later(3)));
    assert_eq!(server.answers(), []);
    let waiting = server.all.waiting.take();
    assert_eq!(waiting.len(), 2, "the third was one too many");
    for (number, resolver) in (1..).zip(waiting).collect::<Vec<_>>().into_iter().rev() {
        assert_eq!(server.answers(), []);
        resolver.resolve(number);
        server.table.settle();
    }
    let busy = "2 calls wait for their results, and no more may";
    let busy = bad(-32000, busy, "busy", "3");
    let expect = format!("[{},{},{busy}]", good("1", "1"), good("2", "2"));
    assert_eq!(server.answers(), [Some(expect)]);
}

#[test]
fn with_the_calls_goes_every_answer() {
    let Server {
        table,
        all,
        calls,
        answers,
    } = Server::new();
    let context = CallContext::local(table.reactor());
    let request = br#"[{"jsonrpc":"2.0","method":"later","id":1}]"#;
    let held = Rc::clone(&answers);
    respond(&calls, &context, request, move |_| {
        held.borrow_mut().push(None)
    });
    drop(calls);
    drop(all.waiting.take());
    assert_eq!(Rc::strong_count(&answers), 1, "nothing keeps the answer");
    assert_eq!(answers.take(), []);
}

#[test]
fn a_refusal_is_an_error_like_others() {
    let text = refusal(&Fault::new(tress_rpc::fault::UNAUTHORIZED, "no"));
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text, bad(-32000, "no", "unauthorized", "null"));
}

#[test]
fn arguments_come_by_place_or_by_name() {
    let read = |parameters: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{parameters}}}"#);
        match request::read(text.as_bytes(), 9, 9) {
            Ok(request::Message::One(request)) => request.call,
            other => panic!("{other:?}"),
        }
    };
    let made = |arguments: Arguments| Ok(("m".to_owned(), arguments));
    assert_eq!(read("[1]"), made(vec![Value::Integer(1)].into()));
    let named = vec![("a".to_owned(), Value::Nothing)];
    assert_eq!(read(r#"{"a":null}"#), made(named.into()));
}
