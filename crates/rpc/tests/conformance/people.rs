//! Lines for people, as a person reads them.

use crate::fifo::Fifo;
use tress_core::{Deferred, Port, Reactor, Result};
use tress_rpc::{
    Arguments, CallContext, Carrier, Client, Descriptor, ExposureLimits, Fault, Kind, Object,
    Value, line::LineFactory, testing::Exposure,
};

pub(crate) struct People;

const WORDS: &str = "arguments are words: its interface is refused";

impl Exposure for People {
    fn name(&self) -> &'static str {
        "lines for people"
    }

    fn listen(&self, on: &Reactor, at: &str, of: &Object, limits: ExposureLimits) -> Result<Port> {
        on.listen(at, LineFactory::new(of, limits)?)
    }

    fn connect(&self, on: &Reactor, to: &str, of: &'static Descriptor) -> Deferred<Client> {
        let fifo = Fifo::connect(on, to, |bytes| {
            let end = |end: &[u8]| bytes.windows(end.len()).position(|found| found == end);
            match bytes {
                [b'\r', b'\n', ..] => Some(2),
                _ => end(b"\r\n\r\n").map(|at| at + 4),
            }
        });
        fifo.map(move |fifo| Client::new(Reader { fifo, of }))
    }

    fn exceptions(&self) -> crate::Exceptions {
        &[
            crate::NO_BATCH,
            ("text with control characters", "they steer terminals"),
            ("bytes as arguments", WORDS),
            ("structs as arguments", WORDS),
            ("maps", WORDS),
            ("lists in lists", WORDS),
            ("options in lists", WORDS),
            ("enums", WORDS),
            ("values as deep as the limit", WORDS),
            ("values that are deeper", WORDS),
            ("arguments by name", "words have no names"),
            ("misnamed arguments", "words have no names"),
            (
                "too many calls in flight",
                "no more lines are read until one has been answered",
            ),
        ]
    }

    fn malformed(&self) -> Vec<Vec<u8>> {
        let all: [&[u8]; 5] = [b"\"\n", b"\xff\n", b"\0\n", b"a\"b\"\n", b"\"a\"b\n"];
        all.map(<[u8]>::to_vec).to_vec()
    }
}

struct Reader {
    fifo: Fifo,
    of: &'static Descriptor,
}

impl Carrier for Reader {
    fn descriptor(&self) -> &'static Descriptor {
        self.of
    }

    fn call(&self, _: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        if !arguments.named.is_empty() {
            return Deferred::fail(Fault::new("unsayable", "words have no names"));
        }
        let (_, known) = self.of.method(method).expect("it is one");
        let kind = known.result.kind();
        let mut line = method.to_owned();
        for value in &arguments.positional {
            match value {
                Value::Nothing => {}
                Value::String(text) => {
                    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                    line += &format!(" \"{text}\"");
                }
                Value::Float(number) => line += &format!(" {number}"),
                other => line += &format!(" {}", serde_json::to_string(other).expect("it is JSON")),
            }
        }
        let answer = self.fifo.ask((line + "\r\n").as_bytes());
        answer.add_callback(move |answer| Ok(read(&kind, &answer)?))
    }
}

/// An answer, as the table in the docs has it.
fn read(kind: &Kind, answer: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(answer).expect("it is a text");
    let lines: Vec<&str> = text.split("\r\n").collect();
    let lines = &lines[..lines.len() - 2];
    if let Some(fault) = lines.first().and_then(|line| line.strip_prefix("! ")) {
        let (code, message) = fault.split_once(": ").unwrap_or((fault, ""));
        return Err(Fault::new(code.to_owned(), message));
    }
    let lines: Vec<&str> = lines.iter().map(|line| plain(line)).collect();
    Ok(match kind {
        Kind::Nothing => Value::Nothing,
        Kind::Optional(_) if lines.is_empty() => Value::Nothing,
        Kind::Optional(kind) => one(kind, lines[0]),
        Kind::List(kind) => Value::List(lines.iter().map(|line| one(kind, line)).collect()),
        Kind::Record(fields) => {
            let fields = lines.iter().map(|line| {
                let (name, value) = line.split_once(": ").expect("it has a name");
                let known = fields.iter().find(|(known, _)| known == name);
                let (name, kind) = known.expect("it is known");
                (name.clone(), one(kind, value))
            });
            Value::Record(fields.collect())
        }
        kind => one(kind, &lines.join("\n")),
    })
}

/// Without the blank before an empty line and before what looks like a fault.
fn plain(line: &str) -> &str {
    match line.strip_prefix(' ') {
        Some(rest) if rest.is_empty() || rest.starts_with('!') => rest,
        _ => line,
    }
}

fn one(kind: &Kind, line: &str) -> Value {
    match kind {
        Kind::Optional(_) if line.is_empty() => Value::Nothing,
        Kind::Optional(kind) => one(kind, line),
        Kind::Boolean => Value::Boolean(line == "true"),
        Kind::Integer => Value::Integer(line.parse().expect("it is a number")),
        Kind::Float => Value::Float(line.parse().expect("it is a number")),
        // As JSON has them.
        Kind::Bytes => line.into(),
        Kind::Record(_) | Kind::List(_) | Kind::Any => {
            serde_json::from_str(line).expect("it is JSON")
        }
        _ => line.into(),
    }
}
