//! What a peer may tell of its interface, and what becomes of calls by what it told.

use super::*;
use crate::{
    Carrier, Client, Object, Value, arguments::Arguments, fitting::Fitting, object::CallContext,
};
use serde_json::json;
use std::{cell::RefCell, rc::Rc};
use tress_core::{Deferred, testing::memory::Table};

fn quoter() -> Json {
    json!({
        "name": "Quoter",
        "doc": "Says\n  something.",
        "methods": [
            {"name": "quotes", "doc": "So many.",
             "arguments": [
                {"name": "count", "schema": {"type": "integer", "minimum": 1, "maximum": 9}},
                {"name": "of", "schema": {"type": ["string", "null"], "maxLength": 3}},
             ],
             "result": {"type": "array", "items": {"type": "string"}}},
            {"name": "forget"},
            {"name": "mean", "arguments": [{"name": "of", "schema": {
                "type": "object", "properties": {"raw": {"type": "string", "contentEncoding": "base64"}, "weight": {"type": "number"}},
                "required": ["raw", "weight"]}}],
             "result": true},
        ],
    })
}

#[test]
fn an_interface_is_what_was_told() {
    let told = Descriptor::told(&quoter()).expect("it is right");
    assert_eq!((told.name, told.doc), ("Quoter", "Says something."));
    let shown: Vec<String> = told.methods.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "quotes(count: integer, of: string?) -> [string]",
            "forget()",
            "mean(of: {raw: bytes, weight: number}) -> any",
        ]
    );
    let limit = told.methods[0].arguments[0].limit.expect("it has one");
    assert_eq!(limit.to_string(), "1 to 9");
    let schema = told.methods[0].arguments_schema(&mut schemars::SchemaGenerator::default());
    assert_eq!(schema["properties"]["count"]["maximum"], 9);
    assert_eq!(schema["required"], json!(["count"]));
    assert!(told.missing_in(told).is_none());
    let mut other = quoter();
    other["methods"][0]["result"] = json!({"type": "string"});
    let other = Descriptor::told(&other).expect("it is right");
    assert_eq!(
        told.missing_in(other).map(|method| method.name),
        Some("quotes")
    );
}

/// Changes the interface, and says what is wrong with it then.
#[track_caller]
fn check(change: impl FnOnce(&mut Json), expected: &str) {
    let mut told = quoter();
    change(&mut told);
    let error = Descriptor::told(&told).expect_err("it is wrong");
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    check(|it| *it = json!([]), "the interface is no JSON object");
    check(
        |it| it["name"] = json!("a b"),
        "the interface is called `a b`; expected at most 64 letters",
    );
    check(|it| it["name"] = json!(7), "the interface has no `name`");
    check(
        |it| it["doc"] = json!("a\u{1b}[2J"),
        "`doc` of `Quoter`: it has control characters in it",
    );
    check(
        |it| it["doc"] = json!("a".repeat(1001)),
        "more than 1000 characters",
    );
    check(
        |it| it["methods"] = json!({}),
        "`methods` of `Quoter` is no list",
    );
    check(|it| it["methods"] = json!([]), "`Quoter` has no methods");
    check(
        |it| it["methods"][1]["name"] = json!("quotes"),
        "`Quoter.quotes` comes twice",
    );
    check(
        |it| it["methods"] = json!(vec![json!({"name": "a"}); 257]),
        "has 257 methods; expected at most 256",
    );
    check(
        |it| it["methods"][0]["arguments"][1]["name"] = json!("count"),
        "argument `count` of method `quotes` of `Quoter` comes twice",
    );
    check(
        |it| it["methods"][0]["arguments"][0] = json!({"name": "count"}),
        "argument `count` of method `quotes` of `Quoter` has no `schema`",
    );
    check(
        |it| it["methods"][0]["result"] = json!("string"),
        "`result` of method `quotes` of `Quoter` is no JSON Schema",
    );
    check(
        |it| it["methods"][0]["result"] = json!({"items": {"$ref": "#"}}),
        "has a `$ref` in it",
    );
    let deep = (0..20).fold(json!({}), |inner, _| json!({"items": inner}));
    check(
        |it| it["methods"][0]["result"] = deep,
        "is nested deeper than 16",
    );
}

/// Keeps what it is asked, and answers with it.
struct Echo(&'static Descriptor, RefCell<Vec<Arguments>>);

impl Carrier for Rc<Echo> {
    fn descriptor(&self) -> &'static Descriptor {
        self.0
    }

    fn call(&self, _: &CallContext, _: &str, arguments: Arguments) -> Deferred<Value> {
        self.1.borrow_mut().push(arguments);
        Deferred::succeed(Value::Boolean(true))
    }
}

#[test]
fn a_call_is_held_against_what_was_told() {
    let told = Descriptor::told(&quoter()).expect("it is right");
    let fitting = Fitting::new(told);
    let check = |method: &str, given: Json, expected: Result<Json, &str>| {
        let given: Value = serde_json::from_value(given).expect("a value");
        let arguments = match given {
            Value::Record(named) => Arguments::from(named),
            Value::List(positional) => Arguments::from(positional),
            other => panic!("{other:?}"),
        };
        let found = fitting.arguments(method, arguments);
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(serde_json::to_value(&found).expect("JSON"), expected);
            }
            (found, expected) => {
                let found = found.map_err(|bad| bad.to_string());
                let matches = matches!((&found, &expected), (Err(found), Err(expected)) if found.contains(expected));
                assert!(matches, "{found:?}, expected {expected:?}");
            }
        }
    };
    check("quotes", json!([2]), Ok(json!({"count": 2})));
    check(
        "quotes",
        json!({"of": "a", "count": 2}),
        Ok(json!({"count": 2, "of": "a"})),
    );
    check(
        "quotes",
        json!({}),
        Err("`Quoter.quotes`: `count` is missing"),
    );
    check(
        "quotes",
        json!([0]),
        Err("`count`: expected 1 to 9, found the integer 0"),
    );
    check(
        "quotes",
        json!(["2"]),
        Err("`count`: expected integer, found a string"),
    );
    check(
        "quotes",
        json!([2, "long"]),
        Err("expected at most 3, found 4 characters"),
    );
    check("quotes", json!({"n": 2}), Err("no argument is called `n`"));
    check("quoets", json!([2]), Err("has no method `quoets`"));
    let record = json!([{"raw": "aGk=", "weight": 2, "more": 1}]);
    check(
        "mean",
        record,
        Ok(json!({"of": {"raw": "aGk=", "weight": 2.0}})),
    );
    check(
        "mean",
        json!([{"raw": "aGk=", "weight": "2"}]),
        Err("`weight`: expected number, found a string"),
    );
    check(
        "mean",
        json!([{"raw": "!", "weight": 2}]),
        Err("`raw`: expected base64"),
    );
    check("mean", json!([{"weight": 2}]), Err("`raw` is missing"));
}

#[test]
fn a_result_is_held_against_what_was_told() {
    let told = Descriptor::told(&quoter()).expect("it is right");
    let fitting = Fitting::new(told);
    let list = Value::List(vec!["a".into(), Value::Nothing]);
    let bad = fitting
        .result("quotes", list)
        .expect_err("no list of strings");
    assert_eq!(bad.to_string(), "`[1]`: expected string, found nothing");
    assert_eq!(fitting.result("forget", Value::Nothing), Ok(Value::Nothing));
}

#[test]
fn an_object_that_is_only_told_passes_calls_on_by_name() {
    let told = Descriptor::told(&quoter()).expect("it is right");
    let echo = Rc::new(Echo(told, RefCell::default()));
    let object = Object::carried(Client::new(Rc::clone(&echo)));
    let table = Table::new();
    let context = CallContext::local(table.reactor());
    let called = object.call(&context, "quotes", vec![Value::Integer(2)]);
    assert_eq!(
        called.try_result().expect("at once").expect("it works"),
        Value::Boolean(true)
    );
    let named = Arguments::from(vec![("count".to_owned(), Value::Integer(2))]);
    assert_eq!(*echo.1.borrow(), [named]);
    let wrong = object.call(&context, "quotes", vec![Value::Integer(10)]);
    assert!(wrong.try_result().expect("at once").is_err());
    assert_eq!(echo.1.borrow().len(), 1);
}
