//! XML-RPC by hand: calls, and the answers of a server that writes as Python does.

use tress_rpc::{Fault, Value, fault};

/// A call.
pub(crate) fn call(method: &str, arguments: &[Value]) -> String {
    let mut text = format!("<methodCall><methodName>{method}</methodName><params>");
    for value in arguments {
        text += "<param>";
        write(&mut text, value);
        text += "</param>";
    }
    text + "</params></methodCall>"
}

fn write(out: &mut String, value: &Value) {
    *out += "<value>";
    match value {
        Value::Nothing => *out += "<nil/>",
        Value::Boolean(yes) => *out += &format!("<boolean>{}</boolean>", u8::from(*yes)),
        Value::Integer(number) => *out += &format!("<i8>{number}</i8>"),
        Value::Float(number) => *out += &format!("<double>{number}</double>"),
        Value::String(text) => {
            let text = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            *out += &format!("<string>{text}</string>");
        }
        Value::Bytes(_) => {
            let text = serde_json::to_string(value).expect("it is base64");
            *out += &format!("<base64>{}</base64>", text.trim_matches('"'));
        }
        Value::List(items) => {
            *out += "<array><data>";
            items.iter().for_each(|item| write(out, item));
            *out += "</data></array>";
        }
        Value::Record(fields) => {
            *out += "<struct>";
            for (name, value) in fields {
                *out += &format!("<member><name>{name}</name>");
                write(out, value);
                *out += "</member>";
            }
            *out += "</struct>";
        }
    }
    *out += "</value>";
}

/// What an answer says.
pub(crate) fn answer(body: &str) -> Result<Value, Fault> {
    let is_fault = body.contains("\n<fault>\n");
    let mut rest = &body[body.find("<value>").expect("it has a value")..];
    let value = read(&mut rest);
    if !is_fault {
        return Ok(value);
    }
    let Value::Record(fields) = value else {
        panic!("a fault is a struct: {body}");
    };
    let Some((_, Value::Integer(code))) = fields.first() else {
        panic!("a fault has a code: {body}");
    };
    let Some((_, Value::String(text))) = fields.get(1) else {
        panic!("a fault has a text: {body}");
    };
    Err(match (code, text.split_once(": ")) {
        (8001, _) => Fault::new(fault::UNKNOWN_METHOD, text),
        (8002, None) => Fault::new(fault::INTERNAL, text),
        (8002, Some((code, message))) => Fault::new(code.to_owned(), message),
        _ => Fault::new(code.to_string(), text),
    })
}

/// Takes what stands before `end`, and it.
fn until<'a>(rest: &mut &'a str, end: &str) -> &'a str {
    let (before, after) = rest
        .split_once(end)
        .unwrap_or_else(|| panic!("no {end} in {rest}"));
    *rest = after;
    before
}

fn take(rest: &mut &str, start: &str) -> bool {
    let trimmed = rest.trim_start_matches('\n');
    match trimmed.strip_prefix(start) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

fn read(rest: &mut &str) -> Value {
    assert!(take(rest, "<value>"), "a value: {rest}");
    let value = if take(rest, "<nil/>") {
        Value::Nothing
    } else if take(rest, "<boolean>") {
        Value::Boolean(until(rest, "</boolean>") == "1")
    } else if take(rest, "<int>") {
        integer(until(rest, "</int>"))
    } else if take(rest, "<i8>") {
        integer(until(rest, "</i8>"))
    } else if take(rest, "<biginteger>") {
        integer(until(rest, "</biginteger>"))
    } else if take(rest, "<double>") {
        Value::Float(until(rest, "</double>").parse().expect("it is a number"))
    } else if take(rest, "<string>") {
        unescaped(until(rest, "</string>"))
    } else if take(rest, "<base64>") {
        let text: String = until(rest, "</base64>").split_whitespace().collect();
        Value::String(text)
    } else if take(rest, "<array><data>") {
        let mut items = Vec::new();
        while !take(rest, "</data></array>") {
            items.push(read(rest));
        }
        Value::List(items)
    } else if take(rest, "<struct>") {
        let mut fields = Vec::new();
        while !take(rest, "</struct>") {
            assert!(
                take(rest, "<member>") && take(rest, "<name>"),
                "a member: {rest}"
            );
            let name = unescaped(until(rest, "</name>"));
            let Value::String(name) = name else {
                unreachable!("it is one");
            };
            fields.push((name, read(rest)));
            assert!(take(rest, "</member>"), "its end: {rest}");
        }
        Value::Record(fields)
    } else {
        panic!("a type: {rest}");
    };
    assert!(take(rest, "</value>"), "its end: {rest}");
    value
}

fn integer(text: &str) -> Value {
    Value::Integer(text.parse().expect("it is a number"))
}

fn unescaped(text: &str) -> Value {
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"");
    Value::String(
        text.replace("&apos;", "'")
            .replace("&#13;", "\r")
            .replace("&amp;", "&"),
    )
}
