//! XML-RPC calls and answers, as Python's `xmlrpc.client.dumps` spells them. Knows no object.

use super::super::answer::Bounded;
use crate::value::Value;
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::body::Bytes;
use std::{
    fmt::Display,
    io::{self, Write},
};

/// What can go wrong with a value.
pub(in crate::http) enum Unwritable {
    /// It has more bytes than there may be.
    TooLarge,
    /// XML-RPC cannot say it; why, as what is told of it: `is NaN, …`.
    NoXml(String),
}

impl From<io::Error> for Unwritable {
    fn from(_: io::Error) -> Self {
        Self::TooLarge
    }
}

/// A call of this method.
pub(in crate::http) fn call(
    method: &str,
    arguments: &[Value],
    most: usize,
) -> Result<Bytes, Unwritable> {
    let mut out = Bounded::new(most);
    out.write_all(b"<?xml version='1.0'?>\n<methodCall>\n<methodName>")?;
    write_text(&mut out, method)?;
    out.write_all(b"</methodName>\n<params>\n")?;
    for value in arguments {
        out.write_all(b"<param>\n")?;
        write_value(&mut out, value)?;
        out.write_all(b"\n</param>\n")?;
    }
    out.write_all(b"</params>\n</methodCall>\n")?;
    Ok(out.into_bytes())
}

/// The answer with this result.
pub(super) fn result(value: &Value, most: usize) -> Result<Bytes, Unwritable> {
    let mut out = Bounded::new(most);
    out.write_all(b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n")?;
    write_value(&mut out, value)?;
    out.write_all(b"\n</param>\n</params>\n</methodResponse>\n")?;
    Ok(out.into_bytes())
}

/// The answer that the call failed; its text is cut where XML cannot go on.
pub(super) fn fault(code: i32, message: &str) -> Bytes {
    let mut out = Bounded::new(usize::MAX);
    let fault = fault_value(code, message);
    let written = out
        .write_all(b"<?xml version='1.0'?>\n<methodResponse>\n<fault>\n")
        .map_err(Unwritable::from)
        .and_then(|()| write_value(&mut out, &fault))
        .and_then(|()| Ok(out.write_all(b"\n</fault>\n</methodResponse>\n")?));
    debug_assert!(written.is_ok(), "a fault is small, and plain");
    out.into_bytes()
}

/// A fault as a value.
pub(super) fn fault_value(code: i32, message: &str) -> Value {
    let plain = |c: char| if is_xml(c) { c } else { '\u{fffd}' };
    let message: String = message.chars().map(plain).collect();
    Value::Record(vec![
        ("faultCode".to_owned(), Value::Integer(code.into())),
        ("faultString".to_owned(), Value::String(message)),
    ])
}

fn write_value(out: &mut Bounded, value: &Value) -> Result<(), Unwritable> {
    out.write_all(b"<value>")?;
    match value {
        Value::Nothing => out.write_all(b"<nil/>")?,
        Value::Boolean(value) => element(out, "boolean", u8::from(*value))?,
        Value::Integer(number) => match (i32::try_from(*number), i64::try_from(*number)) {
            (Ok(number), _) => element(out, "int", number)?,
            (_, Ok(number)) => element(out, "i8", number)?,
            _ => element(out, "biginteger", number)?,
        },
        Value::Float(number) if number.is_finite() => element(out, "double", number)?,
        Value::Float(number) => {
            let message = format!("is {number}, which XML-RPC cannot say");
            return Err(Unwritable::NoXml(message));
        }
        Value::String(text) => {
            out.write_all(b"<string>")?;
            write_text(out, text)?;
            out.write_all(b"</string>")?;
        }
        Value::Bytes(bytes) => element(out, "base64", STANDARD.encode(bytes))?,
        Value::List(items) => {
            out.write_all(b"<array><data>\n")?;
            for item in items {
                write_value(out, item)?;
                out.write_all(b"\n")?;
            }
            out.write_all(b"</data></array>")?;
        }
        Value::Record(fields) => {
            out.write_all(b"<struct>\n")?;
            for (name, value) in fields {
                out.write_all(b"<member>\n<name>")?;
                write_text(out, name)?;
                out.write_all(b"</name>\n")?;
                write_value(out, value)?;
                out.write_all(b"\n</member>\n")?;
            }
            out.write_all(b"</struct>")?;
        }
    }
    Ok(out.write_all(b"</value>")?)
}

fn element(out: &mut Bounded, tag: &str, content: impl Display) -> io::Result<()> {
    write!(out, "<{tag}>{content}</{tag}>")
}

fn write_text(out: &mut Bounded, text: &str) -> Result<(), Unwritable> {
    let mut rest = text;
    while let Some(place) = rest.find(|c| matches!(c, '&' | '<' | '>' | '\r') || !is_xml(c)) {
        let (plain, odd) = rest.split_at(place);
        out.write_all(plain.as_bytes())?;
        let mut characters = odd.chars();
        let character = characters.next().unwrap_or_default();
        out.write_all(match character {
            '&' => b"&amp;",
            '<' => b"&lt;",
            '>' => b"&gt;",
            // A reader would take it for the end of a line.
            '\r' => b"&#13;",
            other => {
                let message = format!("holds the character {other:?}, which XML cannot say");
                return Err(Unwritable::NoXml(message));
            }
        })?;
        rest = characters.as_str();
    }
    Ok(out.write_all(rest.as_bytes())?)
}

/// Whether XML 1.0 has such a character at all.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value) -> String {
        match result(value, 1000) {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Err(Unwritable::TooLarge) => "too large".into(),
            Err(Unwritable::NoXml(why)) => why,
        }
    }

    #[test]
    fn answers_are_those_of_python() {
        let expect = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>Happy and well</string></value>\n</param>\n</params>\n</methodResponse>\n";
        assert_eq!(written(&"Happy and well".into()), expect);
        let fault = fault(8001, "procedure \0 not found");
        let expect = "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>8001</int></value>\n</member>\n<member>\n<name>faultString</name>\n<value><string>procedure \u{fffd} not found</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n";
        assert_eq!(fault, expect);
    }

    #[test]
    fn values_are_spelt_out() {
        for (value, expect) in [
            (Value::Nothing, "<nil/>"),
            (Value::Boolean(true), "<boolean>1</boolean>"),
            (Value::Integer(-7), "<int>-7</int>"),
            (Value::Integer(1 << 31), "<i8>2147483648</i8>"),
            (Value::Float(0.5), "<double>0.5</double>"),
            (Value::Bytes(vec![1, 2, 3]), "<base64>AQID</base64>"),
            ("a<&>\r\n".into(), "<string>a&lt;&amp;&gt;&#13;\n</string>"),
            (Value::List(vec![]), "<array><data>\n</data></array>"),
            (Value::Record(vec![]), "<struct>\n</struct>"),
        ] {
            let text = written(&value);
            assert!(text.contains(&format!("<value>{expect}</value>")), "{text}");
        }
        assert_eq!(
            written(&Value::Float(f64::NAN)),
            "is NaN, which XML-RPC cannot say"
        );
        assert_eq!(
            written(&"a\0".into()),
            "holds the character '\\0', which XML cannot say"
        );
        assert_eq!(written(&"a".repeat(1000).as_str().into()), "too large");
    }
}
