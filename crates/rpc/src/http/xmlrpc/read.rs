//! XML-RPC calls and answers from XML: what is open is a list, not a stack of functions, so that depth costs nothing but its limit.
//! Knows no object. Source: xmlrpc.com/spec.md; types beyond it as Python and Apache write them (`nil`, `i8`).
//!
//! No declaration of a type or an entity is read: a `DOCTYPE` is refused, and so is every entity but the five of XML.

use crate::value::Value;
use base64::{Engine, engine::general_purpose::STANDARD};
use quick_xml::{Reader, events::Event};
use std::{collections::BTreeSet, error::Error, fmt, mem};
use tress_core::wording::quoted;

/// A call as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodCall {
    /// What is called.
    pub method: String,
    /// In their order.
    pub arguments: Vec<Value>,
}

impl MethodCall {
    /// The call in this document, with arrays and structures at most so deep in each other.
    ///
    /// # Errors
    /// It is none; the error says what was found.
    pub fn read(text: &str, nesting: usize) -> Result<Self, BadXml> {
        match Building::read(text, nesting, Wanted::Call)? {
            Done::Call(call) => Ok(call),
            Done::Answer(_) => Err(missing_document(Wanted::Call)),
        }
    }
}

/// The answer in this document, with arrays and structures at most so deep in each other: a result, or the value that a
/// fault has.
pub(in crate::http) fn answer(text: &str, nesting: usize) -> Result<Result<Value, Value>, BadXml> {
    match Building::read(text, nesting, Wanted::Answer)? {
        Done::Answer(answer) => Ok(answer),
        Done::Call(_) => Err(missing_document(Wanted::Answer)),
    }
}

impl Building {
    fn read(text: &str, nesting: usize, wanted: Wanted) -> Result<Done, BadXml> {
        let mut reader = Reader::from_str(text);
        let mut building = Self::new(nesting, wanted);
        loop {
            match reader.read_event().map_err(BadXml::new)? {
                Event::Start(tag) => building.open(tag.local_name().into_inner())?,
                Event::End(_) => building.close()?,
                Event::Empty(tag) => {
                    building.open(tag.local_name().into_inner())?;
                    building.close()?;
                }
                Event::Text(text) => building.text(&text.xml10_content())?,
                Event::CData(text) => building.text(&text.xml10_content())?,
                Event::GeneralRef(name) => {
                    let resolved = name.resolve_char_ref().map_err(BadXml::new)?;
                    let character = match resolved {
                        Some(character) => character,
                        None => entity(&name.into_inner())?,
                    };
                    building.text(character.encode_utf8(&mut [0; 4]))?;
                }
                Event::Decl(declaration) => {
                    if let Some(encoding) = declaration.encoding() {
                        let encoding = encoding.map_err(BadXml::new)?;
                        let known = ["utf-8", "us-ascii"];
                        if !known.iter().any(|it| encoding.eq_ignore_ascii_case(it)) {
                            let found = quoted(&encoding);
                            return Err(BadXml::new(format!("expected UTF-8, found {found}")));
                        }
                    }
                }
                Event::DocType(_) => return Err(BadXml::new("a document type is not allowed")),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => return building.whole(),
            }
        }
    }
}

/// The entities that XML itself has.
fn entity(name: &str) -> Result<char, BadXml> {
    Ok(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        other => {
            let other = quoted(other);
            return Err(BadXml::new(format!("the entity {other} is not allowed")));
        }
    })
}

/// A document that is no call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadXml(String);

impl BadXml {
    fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for BadXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for BadXml {}

/// An element whose end has not come.
#[derive(Debug)]
enum Open {
    Call {
        method: Option<String>,
        arguments: Option<Vec<Value>>,
    },
    Answer(Option<Result<Value, Value>>),
    Fault(Option<Value>),
    Method(String),
    Parameters(Vec<Value>),
    Parameter(Option<Value>),
    Value {
        /// A text without an element around it is a string.
        text: String,
        value: Option<Value>,
    },
    Scalar(Scalar, String),
    Array(Option<Vec<Value>>),
    Data(Vec<Value>),
    Struct {
        fields: Vec<(String, Value)>,
        names: BTreeSet<String>,
    },
    Member {
        name: Option<String>,
        value: Option<Value>,
    },
    Name(String),
}

/// What the text of an element is.
#[derive(Clone, Copy, Debug)]
enum Scalar {
    Nil,
    Boolean,
    Integer,
    Double,
    String,
    Base64,
}

impl Scalar {
    fn named(tag: &str) -> Option<Self> {
        Some(match tag {
            "nil" => Self::Nil,
            "boolean" => Self::Boolean,
            "int" | "i1" | "i2" | "i4" | "i8" | "biginteger" => Self::Integer,
            "double" | "float" => Self::Double,
            "string" | "dateTime.iso8601" => Self::String,
            "base64" => Self::Base64,
            _ => return None,
        })
    }

    fn read(self, text: String) -> Result<Value, BadXml> {
        let plain = text.trim();
        let bad =
            |expected: &str| BadXml::new(format!("expected {expected}, found {}", quoted(plain)));
        match self {
            Self::Nil if plain.is_empty() => Ok(Value::Nothing),
            Self::Nil => Err(bad("nothing")),
            Self::Boolean => match plain {
                "0" => Ok(Value::Boolean(false)),
                "1" => Ok(Value::Boolean(true)),
                _ => Err(bad("0 or 1")),
            },
            Self::Integer => plain
                .parse()
                .map(Value::Integer)
                .map_err(|_| bad("an integer")),
            Self::Double => match plain.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Float(number)),
                _ => Err(bad("a number")),
            },
            Self::String => Ok(Value::String(text)),
            Self::Base64 => {
                let packed: String = plain.split_ascii_whitespace().collect();
                let bytes = STANDARD.decode(packed);
                bytes.map(Value::Bytes).map_err(|_| bad("base64"))
            }
        }
    }
}

/// What a document is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Call,
    Answer,
}

impl Wanted {
    fn tag(self) -> &'static str {
        match self {
            Self::Call => "methodCall",
            Self::Answer => "methodResponse",
        }
    }
}

/// A document that has ended.
enum Done {
    Call(MethodCall),
    Answer(Result<Value, Value>),
}

fn missing_document(wanted: Wanted) -> BadXml {
    BadXml::new(format!("there is no `{}`", wanted.tag()))
}

struct Building {
    wanted: Wanted,
    open: Vec<Open>,
    /// Arrays and structures among them.
    depth: usize,
    nesting: usize,
    done: Option<Done>,
}

impl Building {
    fn new(nesting: usize, wanted: Wanted) -> Self {
        Self {
            wanted,
            open: Vec::new(),
            depth: 0,
            nesting,
            done: None,
        }
    }

    fn open(&mut self, tag: &str) -> Result<(), BadXml> {
        let open = match (self.open.last(), tag) {
            (None, tag) if self.done.is_none() && tag == self.wanted.tag() => match self.wanted {
                Wanted::Call => Open::Call {
                    method: None,
                    arguments: None,
                },
                Wanted::Answer => Open::Answer(None),
            },
            (Some(Open::Call { method: None, .. }), "methodName") => Open::Method(String::new()),
            (
                Some(Open::Call {
                    method: Some(_),
                    arguments: None,
                }),
                "params",
            )
            | (Some(Open::Answer(None)), "params") => Open::Parameters(Vec::new()),
            (Some(Open::Answer(None)), "fault") => Open::Fault(None),
            (Some(Open::Parameters(_)), "param") => Open::Parameter(None),
            (
                Some(
                    Open::Parameter(None)
                    | Open::Fault(None)
                    | Open::Data(_)
                    | Open::Member {
                        name: Some(_),
                        value: None,
                    },
                ),
                "value",
            ) => Open::Value {
                text: String::new(),
                value: None,
            },
            (Some(Open::Value { text, value: None }), _) if is_blank(text) => self.typed(tag)?,
            (Some(Open::Array(None)), "data") => Open::Data(Vec::new()),
            (Some(Open::Struct { .. }), "member") => Open::Member {
                name: None,
                value: None,
            },
            (Some(Open::Member { name: None, .. }), "name") => Open::Name(String::new()),
            _ => return Err(self.unexpected(tag)),
        };
        self.open.push(open);
        Ok(())
    }

    /// The element in a `value` that says its type.
    fn typed(&mut self, tag: &str) -> Result<Open, BadXml> {
        let open = match tag {
            "array" => Open::Array(None),
            "struct" => Open::Struct {
                fields: Vec::new(),
                names: BTreeSet::new(),
            },
            _ => {
                let scalar = Scalar::named(tag).ok_or_else(|| self.unexpected(tag))?;
                return Ok(Open::Scalar(scalar, String::new()));
            }
        };
        self.depth += 1;
        if self.depth > self.nesting {
            let most = self.nesting;
            let message = format!("arrays and structures are at most {most} deep (`nesting`)");
            return Err(BadXml::new(message));
        }
        Ok(open)
    }

    fn unexpected(&self, tag: &str) -> BadXml {
        let tag = quoted(tag);
        BadXml::new(match self.open.last() {
            None => format!(
                "the element {tag} where `{}` was expected",
                self.wanted.tag()
            ),
            Some(open) => format!("the element {tag} is not expected in `{}`", open.tag()),
        })
    }

    fn text(&mut self, more: &str) -> Result<(), BadXml> {
        match self.open.last_mut() {
            Some(
                Open::Method(text)
                | Open::Scalar(_, text)
                | Open::Name(text)
                | Open::Value { text, value: None },
            ) => text.push_str(more),
            _ if is_blank(more) => {}
            open => {
                let place = open.map_or("the document", |open| open.tag());
                let more = quoted(more);
                return Err(BadXml::new(format!("the text {more} in `{place}`")));
            }
        }
        Ok(())
    }

    /// The end of the last element that is open: that it is of the same name, the reader has seen.
    fn close(&mut self) -> Result<(), BadXml> {
        let Some(open) = self.open.pop() else {
            return Err(BadXml::new("an end without a beginning"));
        };
        let missing = |what: &str, open: &str| Err(BadXml::new(format!("no `{what}` in `{open}`")));
        match (open, self.open.last_mut()) {
            (Open::Call { method, arguments }, _) => {
                let Some(method) = method else {
                    return missing("methodName", "methodCall");
                };
                let arguments = arguments.unwrap_or_default();
                self.done = Some(Done::Call(MethodCall { method, arguments }));
            }
            (Open::Method(text), Some(Open::Call { method, .. })) => {
                *method = Some(text.trim().to_owned());
            }
            (Open::Parameters(values), Some(Open::Call { arguments, .. })) => {
                *arguments = Some(values);
            }
            (Open::Answer(Some(answer)), _) => self.done = Some(Done::Answer(answer)),
            (Open::Answer(None), _) => return missing("params", "methodResponse"),
            (Open::Parameters(values), Some(Open::Answer(answer))) => {
                let Ok([value]) = <[Value; 1]>::try_from(values) else {
                    return Err(BadXml::new("a `methodResponse` has one `param`"));
                };
                *answer = Some(Ok(value));
            }
            (Open::Fault(Some(value)), Some(Open::Answer(answer))) => *answer = Some(Err(value)),
            (Open::Fault(None), _) => return missing("value", "fault"),
            (Open::Parameter(Some(value)), Some(Open::Parameters(values))) => values.push(value),
            (Open::Value { text, value }, Some(parent)) => {
                parent.take(value.unwrap_or(Value::String(text)));
            }
            (Open::Scalar(scalar, text), Some(parent)) => parent.take(scalar.read(text)?),
            (Open::Array(Some(items)), Some(parent)) => {
                self.depth -= 1;
                parent.take(Value::List(items));
            }
            (Open::Data(values), Some(Open::Array(items))) => *items = Some(values),
            (Open::Struct { fields, .. }, Some(parent)) => {
                self.depth -= 1;
                parent.take(Value::Record(fields));
            }
            (Open::Member { name, value }, Some(Open::Struct { fields, names })) => {
                let (Some(name), Some(value)) = (name, value) else {
                    return missing("name` and `value", "member");
                };
                if !names.insert(name.clone()) {
                    let name = quoted(&name);
                    return Err(BadXml::new(format!("{name} comes twice in a structure")));
                }
                fields.push((name, value));
            }
            (Open::Name(text), Some(Open::Member { name, .. })) => *name = Some(text),
            (Open::Parameter(None), _) => return missing("value", "param"),
            (Open::Array(None), _) => return missing("data", "array"),
            (open, _) => return missing("methodCall", open.tag()),
        }
        Ok(())
    }

    fn whole(mut self) -> Result<Done, BadXml> {
        match (self.open.last(), mem::take(&mut self.done)) {
            (None, Some(done)) => Ok(done),
            (Some(open), _) => Err(BadXml::new(format!("`{}` has no end", open.tag()))),
            (None, None) => Err(missing_document(self.wanted)),
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.trim_ascii().is_empty()
}

impl Open {
    /// Takes the value that stands in it.
    fn take(&mut self, it: Value) {
        match self {
            Self::Parameter(value)
            | Self::Fault(value)
            | Self::Value { value, .. }
            | Self::Member { value, .. } => {
                *value = Some(it);
            }
            Self::Data(values) => values.push(it),
            // No value is opened in any other.
            Self::Call { .. }
            | Self::Answer(_)
            | Self::Method(_)
            | Self::Parameters(_)
            | Self::Scalar(..)
            | Self::Array(_)
            | Self::Struct { .. }
            | Self::Name(_) => {}
        }
    }

    fn tag(&self) -> &'static str {
        match self {
            Self::Call { .. } => "methodCall",
            Self::Answer(_) => "methodResponse",
            Self::Fault(_) => "fault",
            Self::Method(_) => "methodName",
            Self::Parameters(_) => "params",
            Self::Parameter(_) => "param",
            Self::Value { .. } => "value",
            Self::Scalar(scalar, _) => match scalar {
                Scalar::Nil => "nil",
                Scalar::Boolean => "boolean",
                Scalar::Integer => "int",
                Scalar::Double => "double",
                Scalar::String => "string",
                Scalar::Base64 => "base64",
            },
            Self::Array(_) => "array",
            Self::Data(_) => "data",
            Self::Struct { .. } => "struct",
            Self::Member { .. } => "member",
            Self::Name(_) => "name",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<MethodCall, String> {
        MethodCall::read(text, 4).map_err(|bad| bad.to_string())
    }

    fn call(value: &str) -> String {
        format!(
            "<methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>"
        )
    }

    #[test]
    fn calls_are_read_as_others_write_them() {
        let text = "<?xml version='1.0' encoding=\"UTF-8\"?>\n<!-- hello -->\n<methodCall>\n<methodName>a.b</methodName>\n</methodCall>\n";
        let expect = MethodCall {
            method: "a.b".into(),
            arguments: vec![],
        };
        assert_eq!(read(text), Ok(expect));
        for (value, expect) in [
            ("<value><int>-7</int></value>", Value::Integer(-7)),
            ("<value><i4> 7 </i4></value>", Value::Integer(7)),
            (
                "<value><ex:i8 xmlns:ex='e'>4294967295</ex:i8></value>",
                Value::Integer(4_294_967_295),
            ),
            ("<value><boolean>1</boolean></value>", Value::Boolean(true)),
            (
                "<value><double>-0.5e3</double></value>",
                Value::Float(-500.0),
            ),
            ("<value><string></string></value>", "".into()),
            ("<value/>", "".into()),
            (
                "<value> a &lt;&#x26;<![CDATA[ <b> ]]></value>",
                " a <& <b> ".into(),
            ),
            ("<value>a\r\nb&#13;</value>", "a\nb\r".into()),
            (
                "<value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value>",
                "19980717T14:08:55".into(),
            ),
            (
                "<value><base64>\nAQ\nID\n</base64></value>",
                Value::Bytes(vec![1, 2, 3]),
            ),
            ("<value> <nil/> </value>", Value::Nothing),
            (
                "<value><array><data><value><int>1</int></value><value>a</value></data></array></value>",
                Value::List(vec![Value::Integer(1), "a".into()]),
            ),
            (
                "<value><struct><member><name> n</name><value>a</value></member></struct></value>",
                Value::Record(vec![(" n".into(), "a".into())]),
            ),
            ("<value><struct/></value>", Value::Record(vec![])),
        ] {
            let read = read(&call(value)).map(|call| call.arguments);
            assert_eq!(read, Ok(vec![expect]), "{value}");
        }
    }

    #[test]
    fn what_is_no_call_is_refused_and_never_repaired() {
        for (text, expect) in [
            ("", "there is no `methodCall`"),
            ("hello", "the text `hello` in `the document`"),
            ("<methodCall>", "`methodCall` has no end"),
            (
                "<methodCall></methodCall>",
                "no `methodName` in `methodCall`",
            ),
            (
                "<methodResponse/>",
                "the element `methodResponse` where `methodCall` was expected",
            ),
            (
                "<?xml version='1.0' encoding='latin1'?>",
                "expected UTF-8, found `latin1`",
            ),
            (
                "<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall/>",
                "a document type is not allowed",
            ),
            (&call("<value>&b;</value>"), "the entity `b` is not allowed"),
            (
                &format!("{0}{0}", call("<value/>")),
                "the element `methodCall` where `methodCall` was expected",
            ),
        ] {
            let error = read(text).expect_err(text);
            assert!(error == expect || expect.is_empty(), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused_and_never_repaired() {
        for (value, expect) in [
            (&call("<value><int>&#0;</int></value>"), ""),
            (&call("<value><int>1</string></value>"), ""),
            (
                &call("<value><int>0x1</int></value>"),
                "expected an integer, found `0x1`",
            ),
            (
                &call("<value><int></int></value>"),
                "expected an integer, found ``",
            ),
            (
                &call("<value><boolean>true</boolean></value>"),
                "expected 0 or 1, found `true`",
            ),
            (
                &call("<value><double>nan</double></value>"),
                "expected a number, found `nan`",
            ),
            (
                &call("<value><base64>=</base64></value>"),
                "expected base64, found `=`",
            ),
            (
                &call("<value><odd/></value>"),
                "the element `odd` is not expected in `value`",
            ),
            (
                &call("<value>a<int>1</int></value>"),
                "the element `int` is not expected in `value`",
            ),
            (
                &call("<value><int>1</int>a</value>"),
                "the text `a` in `value`",
            ),
            (
                &call("<value><int>1</int><int>1</int></value>"),
                "the element `int` is not expected in `value`",
            ),
            (
                &call("<value/><value/>"),
                "the element `value` is not expected in `param`",
            ),
            (&call(""), "no `value` in `param`"),
            (&call("<value><array/></value>"), "no `data` in `array`"),
            (
                &call("<value><struct><member><value/></member></struct></value>"),
                "the element `value` is not expected in `member`",
            ),
            (
                &call(&format!(
                    "<value><struct>{0}{0}</struct></value>",
                    "<member><name>a</name><value/></member>"
                )),
                "`a` comes twice in a structure",
            ),
        ] {
            let error = read(value).expect_err(value);
            assert!(error == expect || expect.is_empty(), "{value}: {error}");
        }
    }

    #[test]
    fn depth_has_a_limit_and_costs_no_stack() {
        let nested = |depth: usize| {
            let (open, close) = ("<value><array><data>", "</data></array></value>");
            call(&format!("{}{}", open.repeat(depth), close.repeat(depth)))
        };
        assert!(read(&nested(4)).is_ok());
        let expect = "arrays and structures are at most 4 deep (`nesting`)";
        assert_eq!(read(&nested(5)), Err(expect.to_owned()));
        assert_eq!(read(&nested(100_000)), Err(expect.to_owned()));
        let wide = format!(
            "<value><array><data>{}</data></array></value>",
            "<value><struct/></value>".repeat(9)
        );
        assert!(read(&call(&wide)).is_ok());
        let elements = "<a>".repeat(100_000);
        assert!(read(&elements).is_err());
    }

    #[test]
    fn answers_are_results_or_faults_and_nothing_else() {
        let read = |text: &str| answer(text, 4).map_err(|bad| bad.to_string());
        let result = |value: &str| {
            format!("<methodResponse><params><param>{value}</param></params></methodResponse>")
        };
        assert_eq!(
            read(&result("<value><int>7</int></value>")),
            Ok(Ok(Value::Integer(7)))
        );
        let fault = "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value>no</value>\n</fault>\n</methodResponse>\n";
        assert_eq!(read(fault), Ok(Err("no".into())));
        for (text, expect) in [
            ("", "there is no `methodResponse`"),
            ("<methodResponse/>", "no `params` in `methodResponse`"),
            (
                "<methodResponse><fault/></methodResponse>",
                "no `value` in `fault`",
            ),
            (
                "<methodResponse><params/></methodResponse>",
                "a `methodResponse` has one `param`",
            ),
            (
                &result("<value/></param><param><value/>"),
                "a `methodResponse` has one `param`",
            ),
            (
                &call("<value/>"),
                "the element `methodCall` where `methodResponse` was expected",
            ),
            (
                "<methodResponse><methodName/>",
                "the element `methodName` is not expected in `methodResponse`",
            ),
            (
                &result("<value/>").replace("</params>", "</params><fault><value/></fault>"),
                "the element `fault` is not expected in `methodResponse`",
            ),
        ] {
            assert_eq!(read(text), Err(expect.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_document_cut_anywhere_is_no_call() {
        let text = call(
            "<value><struct><member><name>a</name><value>&lt;<!-- -->b</value></member></struct></value>",
        );
        assert!(read(&text).is_ok());
        for end in 0..text.len() {
            assert!(read(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "<methodCall>", "</methodCall>", "<methodName>", "</methodName>", "<params>", "</params>", "<param>",
                "</param>", "<value>", "</value>", "<int>", "</int>", "<array>", "</array>", "<data>", "</data>",
                "<struct>", "</struct>", "<member>", "</member>", "<name>", "</name>", "<nil/>", "7", " ", "&lt;", "&",
                "<", ">", "<!--", "-->", "<![CDATA[", "]]>", "<?xml", "?>", "é", "\0",
            ]), 0..40)) {
            drop(read(&pieces.concat()));
        }
    }
}
