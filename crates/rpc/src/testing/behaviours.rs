//! The behaviours, each once. Knows no protocol.

use super::{
    DynSamples, DynValues, Exposure, Person, Stage, Turn, ended,
    fixture::stranger::DynSamples as DynStranger, limits,
};
use crate::{
    Arguments, Blob, Descriptor, ExposureLimits, Fault, Value, fault, from_value, to_value,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Something that every protocol does.
pub struct Behaviour {
    /// What it is called in lists of exceptions.
    pub name: &'static str,
    pub(super) check: fn(&dyn Exposure) -> Outcome,
}

/// Right, or what is wrong.
type Outcome = Result<(), String>;

const SAMPLES: &Descriptor = <dyn DynSamples>::DESCRIPTOR;
const VALUES: &Descriptor = <dyn DynValues>::DESCRIPTOR;
const STRANGER: &Descriptor = <dyn DynStranger>::DESCRIPTOR;

/// All of them.
#[rustfmt::skip] // one row a line
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour { name: "nothing", check: |it| samples(it, "nothing", &[], &()) },
    Behaviour { name: "booleans", check: |it| { samples(it, "negate", &[value(&true)], &false)?; samples(it, "negate", &[value(&false)], &true) } },
    Behaviour { name: "integers at their ends", check: integers },
    Behaviour { name: "floats", check: |it| floats(it, &[0.5, -0.25, 1e300, 5e-324, 0.1, 3.0]) },
    Behaviour { name: "floats that are no numbers", check: |it| floats(it, &[f64::INFINITY, f64::NEG_INFINITY]) },
    Behaviour { name: "text of all of Unicode", check: |it| texts(it, &["", "a", " a  b ", "ä語\u{1f600}e\u{301}\u{10ffff}\u{200f}", "<&>\"'\\]]>{}[]%", "1", "true", "null"]) },
    Behaviour { name: "text with control characters", check: |it| texts(it, &["a\nb", "a\r\nb", "\0\u{1}\u{7f}\t"]) },
    Behaviour { name: "long text", check: |it| texts(it, &[&"x".repeat(60_000)]) },
    Behaviour { name: "bytes", check: |it| samples(it, "bytes", &[], &Blob((0..=255).collect())) },
    Behaviour { name: "options", check: options },
    Behaviour { name: "lists", check: |it| { let quotes = |count: u32| (0..count).map(|n| format!("quote {n}")).collect::<Vec<_>>(); samples(it, "quotes", &[value(&1)], &quotes(1))?; samples(it, "quotes", &[value(&1000)], &quotes(1000)) } },
    Behaviour { name: "structs", check: |it| { for age in [Some(7), None] { let person = Person { name: "Zoe".into(), age }; samples(it, "person", &[value("Zoe"), value(&age)], &person)?; } Ok(()) } },
    Behaviour { name: "lists of structs", check: |it| samples(it, "people", &[], &vec![person("Moshe", Some(41)), person("Zoe", None)]) },
    Behaviour { name: "bytes as arguments", check: |it| { let blob = Blob((0..=255).collect()); values(it, "keep", &[value(&blob)], &blob) } },
    Behaviour { name: "structs as arguments", check: |it| values(it, "older", &[value(&[person("Moshe", Some(41)), person("", None)])], &vec![person("Moshe", Some(42)), person("", None)]) },
    Behaviour { name: "maps", check: |it| { let map = BTreeMap::from([("a b".to_owned(), 1), ("ä".to_owned(), i64::MIN)]); values(it, "map", &[value(&map)], &map) } },
    Behaviour { name: "lists in lists", check: |it| { let lists = vec![vec![1, -1], vec![], vec![i32::MAX]]; values(it, "lists", &[value(&lists)], &lists) } },
    Behaviour { name: "options in lists", check: |it| { let options = vec![Some(1), None, Some(-1)]; values(it, "options", &[value(&options)], &options) } },
    Behaviour { name: "enums", check: |it| { for turn in [Turn::Back, Turn::By(-1), Turn::To { x: 1, y: 2 }] { values(it, "turn", &[value(&turn)], &turn)?; } Ok(()) } },
    Behaviour { name: "values as deep as the limit", check: |it| { let deep = deep(limits().nesting - 1); values(it, "same", std::slice::from_ref(&deep), &deep) } },
    Behaviour { name: "values that are deeper", check: too_deep },
    Behaviour { name: "faults", check: faults },
    Behaviour { name: "errors that nobody is told about", check: |it| internal(it, "crash") },
    Behaviour { name: "an object that panics", check: |it| internal(it, "panic") },
    Behaviour { name: "an unknown method", check: |it| bad(it, fault::UNKNOWN_METHOD, "gone", Arguments::default()) },
    Behaviour { name: "too few arguments", check: |it| bad(it, fault::BAD_ARGUMENTS, "add", vec![value(&1)]) },
    Behaviour { name: "too many arguments", check: |it| bad(it, fault::BAD_ARGUMENTS, "add", vec![value(&1), value(&2), value(&3)]) },
    Behaviour { name: "arguments by name", check: by_name },
    Behaviour { name: "misnamed arguments", check: |it| bad(it, fault::BAD_ARGUMENTS, "add", vec![("a".to_owned(), value(&1)), ("c".to_owned(), value(&2))]) },
    Behaviour { name: "mistyped arguments", check: |it| bad(it, fault::BAD_ARGUMENTS, "integer", vec![value("seven")]) },
    Behaviour { name: "arguments beyond their limits", check: |it| { for count in [0, 1001, -1, i64::from(u32::MAX)] { bad(it, fault::BAD_ARGUMENTS, "quotes", vec![value(&count)])?; } Ok(()) } },
    Behaviour { name: "a request that is too large", check: large_request },
    Behaviour { name: "an answer that is too large", check: large_answer },
    Behaviour { name: "a batch", check: batch },
    Behaviour { name: "calls one after the other", check: one_after_the_other },
    Behaviour { name: "calls at once", check: at_once },
    Behaviour { name: "too many calls in flight", check: in_flight },
    Behaviour { name: "a deadline", check: deadline },
    Behaviour { name: "a caller that goes away", check: goes_away },
    Behaviour { name: "malformed bytes", check: malformed },
];

/// As a value; the fixture's are.
fn value<T: Serialize + ?Sized>(it: &T) -> Value {
    to_value(it).unwrap_or(Value::Nothing)
}

fn person(name: &str, age: Option<u8>) -> Person {
    let name = name.to_owned();
    Person { name, age }
}

/// So many lists in each other.
fn deep(lists: usize) -> Value {
    (0..lists).fold(Value::Integer(1), |inner, _| Value::List(vec![inner]))
}

fn expect<T: PartialEq + fmt::Debug>(found: &T, expected: &T, of: &str) -> Outcome {
    if found == expected {
        return Ok(());
    }
    let cut = |it: &T| format!("{it:?}").chars().take(300).collect::<String>();
    Err(format!(
        "{of}: expected {}, found {}",
        cut(expected),
        cut(found)
    ))
}

fn samples<T: DeserializeOwned + PartialEq + fmt::Debug>(
    it: &dyn Exposure,
    method: &str,
    arguments: &[Value],
    result: &T,
) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    same(
        stage.ask(SAMPLES, method, arguments.to_vec()),
        result,
        method,
    )
}

fn values<T: DeserializeOwned + PartialEq + fmt::Debug>(
    it: &dyn Exposure,
    method: &str,
    arguments: &[Value],
    result: &T,
) -> Outcome {
    let stage = Stage::values(it, limits())?;
    same(
        stage.ask(VALUES, method, arguments.to_vec()),
        result,
        method,
    )
}

/// As that type: a protocol may have other values for the same.
fn same<T: DeserializeOwned + PartialEq + fmt::Debug>(
    found: Result<Value, Fault>,
    expected: &T,
    of: &str,
) -> Outcome {
    let found = found.map_err(|fault| format!("{of}: {fault}"))?;
    let words = format!("{found:?}");
    let found: T = from_value(found).map_err(|bad| format!("{of}: {bad}: {words}"))?;
    expect(&found, expected, of)
}

fn integers(it: &dyn Exposure) -> Outcome {
    for number in [
        0,
        -1,
        i64::MIN,
        i64::MAX,
        i64::from(i32::MAX) + 1,
        i64::from(i32::MIN) - 1,
    ] {
        samples(it, "integer", &[value(&number)], &number)?;
    }
    samples(it, "large", &[value(&u64::MAX)], &u64::MAX)
}

fn floats(it: &dyn Exposure, numbers: &[f64]) -> Outcome {
    for number in numbers {
        let stage = Stage::samples(it, limits())?;
        let found = stage.ask(SAMPLES, "number", vec![value(number)]);
        // A whole one may come back as an integer: JSON does not tell them apart.
        let is_same = match &found {
            Ok(Value::Float(found)) => found.to_bits() == number.to_bits(),
            #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
            Ok(Value::Integer(found)) => (*found as f64).to_bits() == number.to_bits(),
            _ => false,
        };
        if !is_same {
            return Err(format!("{number}: found {found:?}"));
        }
    }
    Ok(())
}

fn texts(it: &dyn Exposure, texts: &[&str]) -> Outcome {
    for text in texts {
        samples(it, "text", &[value(text)], &(*text).to_owned())?;
    }
    Ok(())
}

fn options(it: &dyn Exposure) -> Outcome {
    samples(
        it,
        "find",
        &[value("moshez")],
        &Some("Happy and well".to_owned()),
    )?;
    samples(it, "find", &[value("nobody")], &None::<String>)?;
    samples(it, "find", &[], &None::<String>)
}

fn faults(it: &dyn Exposure) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    for (code, message) in [("no-such-user", "nobody: ä <b>"), ("E7", "x")] {
        let found = stage.ask(SAMPLES, "fail", vec![value(code), value(message)]);
        expect(&found, &Err(Fault::new(code, message)), code)?;
    }
    Ok(())
}

/// That it fails with this code, whatever the message; the object is called or not.
fn failed(found: &Result<Value, Fault>, code: &str) -> Outcome {
    let found = found.as_ref().map_err(|fault| fault.code().to_owned());
    expect(&found, &Err(code.to_owned()), "the code")
}

/// That it does not get through, in whatever words.
fn refused(stage: &Stage<'_>, found: &Result<Value, Fault>, called: usize) -> Outcome {
    match found {
        Ok(value) => return Err(format!("it was answered with {value:?}")),
        Err(fault) if fault.code() == "nothing" => return Err("it was not answered".to_owned()),
        Err(_) => {}
    }
    expect(&stage.fixture.called.get(), &called, "calls of the object")?;
    alive(stage)
}

/// That the next caller is served.
fn alive(stage: &Stage<'_>) -> Outcome {
    let found = stage.ask(SAMPLES, "negate", vec![value(&true)]);
    expect(&found, &Ok(value(&false)), "the next call")
}

fn internal(it: &dyn Exposure, method: &str) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    let found = stage.ask(SAMPLES, method, Arguments::default());
    failed(&found, fault::INTERNAL)?;
    if let Err(fault) = &found
        && fault.message().contains("mat")
    {
        return Err(format!("callers are told {fault}"));
    }
    alive(&stage)
}

fn bad(it: &dyn Exposure, code: &str, method: &str, arguments: impl Into<Arguments>) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    let found = stage.ask(STRANGER, method, arguments);
    failed(&found, code)?;
    refused(&stage, &found, 0)
}

fn by_name(it: &dyn Exposure) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    let named = vec![("b".to_owned(), value(&1)), ("a".to_owned(), value(&2))];
    let found = stage.ask(SAMPLES, "add", named);
    expect(&found, &Ok(value(&3)), "add")
}

fn too_deep(it: &dyn Exposure) -> Outcome {
    let stage = Stage::values(it, limits())?;
    for lists in [limits().nesting + 8, 200] {
        let found = stage.ask(VALUES, "same", vec![deep(lists)]);
        match found {
            Err(fault) if fault.code() != "nothing" => {}
            found => return Err(format!("{found:?}")),
        }
        expect(&stage.fixture.called.get(), &0, "calls of the object")?;
    }
    let found = stage.ask(VALUES, "same", vec![value(&1)]);
    expect(&found, &Ok(value(&1)), "the next call")
}

fn large_request(it: &dyn Exposure) -> Outcome {
    let request_bytes = 4096;
    let limits = ExposureLimits {
        request_bytes,
        ..limits()
    };
    let stage = Stage::samples(it, limits)?;
    let found = stage.ask(SAMPLES, "text", vec![value(&"x".repeat(request_bytes))]);
    refused(&stage, &found, 0)
}

fn large_answer(it: &dyn Exposure) -> Outcome {
    let response_bytes = 4096;
    let limits = ExposureLimits {
        response_bytes,
        ..limits()
    };
    let stage = Stage::samples(it, limits)?;
    let found = stage.ask(SAMPLES, "letters", vec![value(&response_bytes)]);
    failed(&found, fault::TOO_LARGE)?;
    let found = stage.ask(SAMPLES, "letters", vec![value(&2000)]);
    expect(&found, &Ok(value(&"x".repeat(2000))), "less than that")
}

fn batch(it: &dyn Exposure) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    let most = limits().batch;
    for (calls, called) in [(most, most), (most + 1, most), (10_000, most)] {
        if !stage.batch(calls)? {
            return Err(format!("a batch of {calls} was not answered"));
        }
        let found = stage.fixture.called.get();
        expect(&found, &called, &format!("calls after a batch of {calls}"))?;
    }
    alive(&stage)
}

fn one_after_the_other(it: &dyn Exposure) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    let client = stage.client(SAMPLES)?;
    for number in 0..20 {
        let found = ended(stage.begin(&client, "integer", vec![value(&number)]));
        expect(&found, &Ok(value(&number)), "integer")?;
        if number % 5 == 0 {
            let found = ended(stage.begin(&client, "quotes", vec![value(&0)]));
            failed(&found, fault::BAD_ARGUMENTS)?;
        }
    }
    Ok(())
}

fn at_once(it: &dyn Exposure) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    let client = stage.client(SAMPLES)?;
    let waits = stage.begin(&client, "wait", Arguments::default());
    let calls: Vec<_> = (0..10)
        .map(|number| stage.begin(&client, "integer", vec![value(&number)]))
        .collect();
    for resolver in stage.fixture.waiting.take() {
        resolver.resolve("at last".to_owned());
    }
    stage.table.settle();
    expect(&ended(waits), &Ok(value("at last")), "wait")?;
    for (number, call) in calls.into_iter().enumerate() {
        expect(&ended(call), &Ok(value(&number)), "integer")?;
    }
    Ok(())
}

fn in_flight(it: &dyn Exposure) -> Outcome {
    let limits = ExposureLimits {
        calls_in_flight: 2,
        ..limits()
    };
    let stage = Stage::samples(it, limits)?;
    let client = stage.client(SAMPLES)?;
    let waits: Vec<_> = (0..2)
        .map(|_| stage.begin(&client, "wait", Arguments::default()))
        .collect();
    let found = ended(stage.begin(&client, "wait", Arguments::default()));
    failed(&found, fault::BUSY)?;
    expect(&stage.fixture.waiting.borrow().len(), &2, "calls that wait")?;
    for resolver in stage.fixture.waiting.take() {
        resolver.resolve(String::new());
    }
    stage.table.settle();
    for call in waits {
        expect(&ended(call), &Ok(value("")), "wait")?;
    }
    let found = ended(stage.begin(&client, "negate", vec![value(&true)]));
    expect(&found, &Ok(value(&false)), "the next call")
}

fn deadline(it: &dyn Exposure) -> Outcome {
    let limits = ExposureLimits {
        call_deadline: Duration::from_secs(3),
        ..limits()
    };
    let stage = Stage::samples(it, limits)?;
    let client = stage.client(SAMPLES)?;
    let waits = stage.begin(&client, "wait", Arguments::default());
    stage.table.advance(Duration::from_millis(2999));
    expect(&stage.fixture.cancelled.get(), &0, "cancelled too early")?;
    stage.table.advance(Duration::from_millis(1));
    failed(&ended(waits), fault::DEADLINE)?;
    expect(&stage.fixture.cancelled.get(), &1, "cancelled")?;
    alive(&stage)
}

fn goes_away(it: &dyn Exposure) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    let client = stage.client(SAMPLES)?;
    let waits = stage.begin(&client, "wait", Arguments::default());
    expect(&stage.fixture.waiting.borrow().len(), &1, "calls that wait")?;
    drop(client);
    drop(waits);
    // Who ends a connection politely still gets what they asked for, until the deadline.
    let until = limits().call_deadline + Duration::from_secs(1);
    stage.table.advance(until);
    expect(&stage.fixture.cancelled.get(), &1, "cancelled")?;
    for resolver in stage.fixture.waiting.take() {
        resolver.resolve(String::new());
    }
    stage.table.settle();
    alive(&stage)
}

fn malformed(it: &dyn Exposure) -> Outcome {
    let stage = Stage::samples(it, limits())?;
    let all = stage.malformed();
    if all.is_empty() {
        return Err("it knows none".to_owned());
    }
    for bytes in all {
        let words = bytes.escape_ascii().to_string();
        if !stage.send(bytes) {
            return Err(format!("{words}: it is neither answered nor closed"));
        }
        expect(&stage.fixture.called.get(), &0, &words)?;
    }
    alive(&stage)
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Behaviour({})", self.name)
    }
}
