//! What is a value and what is not, one line for each.

use super::*;
use crate::pb::banana::{Scanner, Writer};
use crate::pb::jelly::jelly;

/// Items of banana as they are written here: `(list "a" 1)`.
fn banana(text: &str) -> Vec<u8> {
    let text = text.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut out = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let mut writer = Writer::new(&mut out, true, 1 << 20);
        match *word {
            "(" => {
                let mut depth = 0;
                let count = words[at + 1..].iter().scan((), |(), word| {
                    let here = depth;
                    depth += i32::from(*word == "(");
                    depth -= i32::from(*word == ")");
                    (depth >= 0).then_some(here)
                });
                let count = words[at + 1..].iter().zip(count);
                let count = count
                    .filter(|(word, depth)| *depth == 0 && **word != ")")
                    .count();
                writer.list(count).expect("it is small");
            }
            ")" => {}
            word => match (word.parse(), word.parse()) {
                (Ok(number), _) => writer.integer(number),
                (_, Ok(number)) => writer.float(number),
                _ => writer
                    .bytes(word.replace('_', " ").as_bytes())
                    .expect("it is small"),
            },
        }
    }
    out
}

fn read(bytes: &[u8]) -> Result<(Value, Vec<i128>), String> {
    let mut scanner = Scanner::new(1 << 20, 1000);
    scanner.vocabulary = true;
    assert_eq!(scanner.feed(bytes), Ok(Some(bytes.len())), "one expression");
    let allowed = Allowed {
        nesting: 4,
        copies: 1000,
        classes: Rc::new(["quotes.Quote".to_owned()].into()),
    };
    let mut remote = Vec::new();
    let value = unjelly(&mut Reader::new(bytes), &allowed, &mut remote);
    Ok((value.map_err(|bad| bad.to_string())?, remote))
}

#[track_caller]
fn is(text: &str, json: &str) {
    let (value, remote) = read(&banana(text)).expect("it is a value");
    let value = serde_json::to_string(&value).expect("it is JSON");
    assert_eq!(value, json, "{text}");
    assert_eq!(remote, []);
}

#[track_caller]
fn is_not(text: &str, reason: &str) {
    assert_eq!(
        read(&banana(text)).map(drop),
        Err(reason.to_owned()),
        "{text}"
    );
}

#[test]
fn each_type_is_read() {
    is("(None)", "null");
    is("(boolean true)", "true");
    is("(boolean false)", "false");
    is("-3", "-3");
    is("1.5", "1.5");
    is("(unicode hallo)", "\"hallo\"");
    is("(unicode cache)", "\"cache\"");
    assert_eq!(
        read(&banana("cache")).map(|it| it.0),
        Ok(Value::Bytes(b"cache".to_vec()))
    );
    is("(list)", "[]");
    is("(list 1 (tuple 2 (set 3)) (frozenset))", "[1,[2,[3]],[]]");
    is("(dictionary)", "{}");
    is(
        "(dictionary (a 1) ((unicode b) (list)) (3 (None)))",
        r#"{"a":1,"b":[],"3":null}"#,
    );
    is("(decimal 5 0)", "5");
    is("(decimal -1234 -2)", "\"-1234E-2\"");
    is(
        "(datetime 2024_1_2_3_4_5_6)",
        "\"2024-01-02T03:04:05.000006\"",
    );
    is("(datetime 2024_1_2_3_4_5_0)", "\"2024-01-02T03:04:05\"");
    is("(date 2024_1_2)", "\"2024-01-02\"");
    is("(time 3_4_5_0)", "\"03:04:05\"");
    is("(list (reference 1 (tuple)) (dereference 1))", "[[],[]]");
    is(
        "(quotes.Quote (dictionary (text hi)))",
        r#"{"text":"aGk="}"#,
    );
}

const REFUSED: &[(&str, &str)] = &[
    ("()", "expected a type, found an empty list"),
    ("(1 2)", "expected the name of a type"),
    ("((list) 2)", "expected the name of a type"),
    ("(boolean yes)", "expected true or false, found \"yes\""),
    (
        "(boolean)",
        "\"boolean\" of 0 items is no type that is accepted",
    ),
    (
        "(None 1)",
        "\"None\" of 1 items is no type that is accepted",
    ),
    (
        "(class os.system)",
        "\"class\" of 1 items is no type that is accepted",
    ),
    (
        "(module os)",
        "\"module\" of 1 items is no type that is accepted",
    ),
    (
        "(function os.system)",
        "\"function\" of 1 items is no type that is accepted",
    ),
    (
        "(method a b c)",
        "\"method\" of 3 items is no type that is accepted",
    ),
    (
        "(persistent 1)",
        "\"persistent\" of 1 items is no type that is accepted",
    ),
    (
        "(unpersistable x)",
        "\"unpersistable\" of 1 items is no type that is accepted",
    ),
    (
        "(instance (class a.B) (dictionary))",
        "\"instance\" of 2 items is no type that is accepted",
    ),
    (
        "(a.B (dictionary))",
        "\"a.B\" of 1 items is no type that is accepted",
    ),
    (
        "(quotes.Quote 1 (dictionary))",
        "\"quotes.Quote\" of 2 items is no type that is accepted",
    ),
    (
        "(timedelta 1_2_3)",
        "\"timedelta\" of 1 items is no type that is accepted",
    ),
    ("(local 1)", "a reference to an object of ours is no value"),
    ("(dictionary 1)", "expected a key and its value"),
    ("(dictionary (1))", "expected a key and its value"),
    (
        "(dictionary ((tuple) 1))",
        "expected a key that is a text or a whole number",
    ),
    (
        "(dictionary (a 1) ((unicode a) 2))",
        "the key \"a\" comes twice",
    ),
    (
        "(list (dereference 1) (reference 1 (list)))",
        "`dereference` of 1, which is not whole yet: values have no cycles",
    ),
    (
        "(reference 1 (list (dereference 1)))",
        "`dereference` of 1, which is not whole yet: values have no cycles",
    ),
    (
        "(list (reference 1 2) (reference 1 2))",
        "`reference` 1 comes twice",
    ),
    (
        "(date 2024_13_1)",
        "expected a date or time in numbers, found \"2024 13 1\"",
    ),
    (
        "(date 2024_1)",
        "expected a date or time in numbers, found \"2024 1\"",
    ),
    (
        "(time 3_4_5_0_1)",
        "expected a date or time in numbers, found \"3 4 5 0 1\"",
    ),
    (
        "(list (list (list (list (list)))))",
        "expected at most 4 lists and records in each other",
    ),
    (
        "(list (reference 1 (list (list (list)))) (list (dereference 1)))",
        "expected at most 4 lists and records in each other",
    ),
];

#[test]
fn everything_else_is_refused() {
    for (text, reason) in REFUSED {
        is_not(text, reason);
    }
    let text = [
        b"\x02\x80\x07\x82unicode\x01\x82\xff".to_vec(),
        vec![0; 18],
        vec![4, 0x85],
    ];
    let found = read(&text[0]).map(drop);
    assert_eq!(
        found,
        Err("expected a text in UTF-8, found \"\\xff\"".to_owned())
    );
    let found = read(&text[1..].concat()).map(drop);
    assert_eq!(
        found,
        Err("expected a whole number of at most 128 bits".to_owned())
    );
}

#[test]
fn objects_of_the_peer_are_counted() {
    let found = read(&banana(
        "(list (remote 3) (dictionary (remote (remote 4))))",
    ));
    let (value, remote) = found.expect("it is a value");
    assert_eq!(
        serde_json::to_string(&value).ok().as_deref(),
        Some(r#"[null,{"remote":null}]"#)
    );
    assert_eq!(remote, [3, 4]);
    let allowed = Allowed {
        nesting: 4,
        copies: 0,
        classes: Rc::default(),
    };
    let (bytes, mut remote) = (banana("(list (remote 3) (class a))"), Vec::new());
    let bad = unjelly(&mut Reader::new(&bytes), &allowed, &mut remote);
    assert!(bad.is_err() && remote == [3], "also before an error");
}

/// Lists of two of the last one each: 2^40 of them.
#[test]
fn copies_of_copies_have_an_end() {
    let mut text = "(list (reference 0 (list))".to_owned();
    for level in 1..40 {
        let last = level - 1;
        text += &format!("(reference {level} (set (dereference {last}) (dereference {last})))");
    }
    text += ")";
    let reason = "expected at most 4 lists and records in each other";
    is_not(&text, reason);
    let wide = "(reference 1 (list 1 2 3 4 5 6))".to_owned() + &"(dereference 1)".repeat(9);
    is_not(
        &format!("(list {wide})"),
        "expected shared values of at most 1000 bytes in all",
    );
}

#[test]
fn what_is_written_is_read() {
    let value = Value::Record(vec![
        (
            "list".into(),
            Value::List(vec![Value::Integer(i128::MAX), Value::Nothing]),
        ),
        ("it".into(), Value::Bytes(b"message".to_vec())),
        ("yes".into(), Value::Boolean(true)),
        ("".into(), "ä".into()),
        ("half".into(), Value::Float(0.5)),
    ]);
    for vocabulary in [false, true] {
        let mut out = Vec::new();
        jelly(&mut Writer::new(&mut out, vocabulary, 1 << 20), &value).expect("it is small");
        assert_eq!(read(&out), Ok((value.clone(), vec![])));
    }
}
