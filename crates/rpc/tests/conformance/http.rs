//! What is spoken over HTTP, by a raw client and by ours.

use crate::{fifo::Fifo, xml};
use serde_json::{Value as Json, json};
use tress_core::{Deferred, Port, Reactor, Result};
use tress_rpc::{
    Arguments, CallContext, Carrier, Client, Descriptor, ExposureLimits, Fault, Object, Value,
    fault,
    http::{Dialect, HttpClient, HttpFactory, Mount},
    testing::Exposure,
};

/// What calls can be made in.
#[derive(Clone, Copy)]
pub(crate) enum Spoken {
    Json,
    JsonRpc,
    XmlRpc,
}

impl Spoken {
    fn dialect(self) -> Dialect {
        match self {
            Self::Json => Dialect::Json,
            Self::JsonRpc => Dialect::JsonRpc,
            Self::XmlRpc => Dialect::XmlRpc,
        }
    }
}

pub(crate) struct Http(pub(crate) Spoken);

impl Exposure for Http {
    fn name(&self) -> &'static str {
        match self.0 {
            Spoken::Json => "HTTP and JSON",
            Spoken::JsonRpc => "JSON-RPC over HTTP",
            Spoken::XmlRpc => "XML-RPC",
        }
    }

    fn listen(&self, on: &Reactor, at: &str, of: &Object, limits: ExposureLimits) -> Result<Port> {
        let mount = Mount::new(of, limits).speaking(self.0.dialect());
        on.listen(at, HttpFactory::new([mount])?)
    }

    fn connect(&self, on: &Reactor, to: &str, of: &'static Descriptor) -> Deferred<Client> {
        let dialect = self.0;
        let fifo = Fifo::connect(on, to, whole);
        fifo.map(move |fifo| Client::new(Caller { fifo, of, dialect }))
    }

    fn exceptions(&self) -> crate::Exceptions {
        match self.0 {
            Spoken::Json => &[crate::NO_BATCH, crate::NO_NUMBERS, crate::ONE_CALL],
            Spoken::JsonRpc => &[crate::NO_NUMBERS, crate::ONE_CALL],
            Spoken::XmlRpc => &[
                ("floats that are no numbers", "XML-RPC has none of them"),
                ("text with control characters", "XML has none of them"),
                ("arguments by name", "XML-RPC has no names"),
                ("misnamed arguments", "XML-RPC has no names"),
                crate::ONE_CALL,
            ],
        }
    }

    fn batch(&self, calls: usize) -> Option<Vec<u8>> {
        match self.0 {
            Spoken::Json => None,
            Spoken::JsonRpc => Some(self.post("/jsonrpc", &crate::json_batch(calls))),
            Spoken::XmlRpc => {
                let call = Value::Record(vec![
                    ("methodName".into(), "nothing".into()),
                    ("params".into(), Value::List(vec![])),
                ]);
                let calls = Value::List(vec![call; calls]);
                let body = xml::call("system.multicall", &[calls]);
                Some(self.post("/RPC2", body.as_bytes()))
            }
        }
    }

    fn malformed(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = ["\0\0\0\0", "nothing\r\n\r\n", "GET / HTTP/9\r\n\r\n"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec();
        let path = match self.0 {
            Spoken::Json => "/Samples/integer",
            Spoken::JsonRpc => "/jsonrpc",
            Spoken::XmlRpc => "/RPC2",
        };
        let bodies: &[&[u8]] = match self.0 {
            Spoken::Json => &[b"{", b"7", b"\xff", br#"{"it":1,"it":2}"#],
            Spoken::JsonRpc => &crate::MALFORMED_JSON,
            Spoken::XmlRpc => &[
                b"",
                b"\xff",
                b"<methodCall>",
                b"<!DOCTYPE a [<!ENTITY b \"c\">]><methodCall><methodName>&b;</methodName></methodCall>",
                b"<methodCall><methodName>nothing</methodName><params><param><value><int>x</int></value></param></params></methodCall>",
            ],
        };
        all.extend(bodies.iter().map(|body| self.post(path, body)));
        // RPC-01 and XML-01: deeper than any stack.
        let deep = match self.0 {
            Spoken::Json => b"[".repeat(100_000),
            Spoken::JsonRpc => crate::deep_json(),
            Spoken::XmlRpc => {
                let call = b"<methodCall><methodName>nothing</methodName><params><param>";
                let deep = b"<value><array><data>".repeat(6000);
                [&call[..], &deep].concat()
            }
        };
        all.push(self.post(path, &deep));
        all
    }
}

/// The same servers, called by our own client.
pub(crate) struct Ours(pub(crate) Spoken);

impl Exposure for Ours {
    fn name(&self) -> &'static str {
        Http(self.0).name()
    }

    fn listen(&self, on: &Reactor, at: &str, of: &Object, limits: ExposureLimits) -> Result<Port> {
        Http(self.0).listen(on, at, of, limits)
    }

    fn connect(&self, _: &Reactor, to: &str, of: &'static Descriptor) -> Deferred<Client> {
        Deferred::done(HttpClient::new(to, self.0.dialect(), of, crate::wide()).map(Client::new))
    }

    fn exceptions(&self) -> crate::Exceptions {
        match self.0 {
            Spoken::XmlRpc => &[
                ("floats that are no numbers", "XML-RPC has none of them"),
                ("text with control characters", "XML has none of them"),
                crate::ONE_CALL,
            ],
            other => Http(other).exceptions(),
        }
    }

    fn batch(&self, calls: usize) -> Option<Vec<u8>> {
        Http(self.0).batch(calls)
    }

    fn malformed(&self) -> Vec<Vec<u8>> {
        Http(self.0).malformed()
    }
}

impl Http {
    fn post(&self, path: &str, body: &[u8]) -> Vec<u8> {
        post(self.0, path, body)
    }
}

fn post(dialect: Spoken, path: &str, body: &[u8]) -> Vec<u8> {
    let content = match dialect {
        Spoken::Json | Spoken::JsonRpc => "application/json",
        Spoken::XmlRpc => "text/xml",
    };
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// How long the first answer is, when it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().expect("it is a number"));
    (bytes.len() >= end + length).then_some(end + length)
}

struct Caller {
    fifo: Fifo,
    of: &'static Descriptor,
    dialect: Spoken,
}

impl Carrier for Caller {
    fn descriptor(&self) -> &'static Descriptor {
        self.of
    }

    fn call(&self, _: &CallContext, method: &str, arguments: Arguments) -> Deferred<Value> {
        let Arguments { positional, named } = arguments;
        let is_named = !named.is_empty();
        let parameters = match is_named {
            true => Value::Record(named),
            false => Value::List(positional.clone()),
        };
        let parameters = serde_json::to_value(parameters).expect("it is JSON");
        let (path, body) = match self.dialect {
            Spoken::Json => (
                format!("/{}/{method}", self.of.name),
                parameters.to_string(),
            ),
            Spoken::JsonRpc => {
                let call =
                    json!({"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1});
                ("/jsonrpc".to_owned(), call.to_string())
            }
            Spoken::XmlRpc if is_named => {
                return Deferred::fail(Fault::new("unsayable", "XML-RPC has no names"));
            }
            Spoken::XmlRpc => ("/RPC2".to_owned(), xml::call(method, &positional)),
        };
        let dialect = self.dialect;
        let answer = self.fifo.ask(&post(dialect, &path, body.as_bytes()));
        answer.add_callback(move |answer| Ok(read(dialect, &answer)?))
    }
}

fn read(dialect: Spoken, answer: &[u8]) -> Result<Value, Fault> {
    let answer = std::str::from_utf8(answer).expect("it is a text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("it is whole");
    let is_good = head.starts_with("HTTP/1.1 200");
    if let (Spoken::XmlRpc, true) = (dialect, is_good) {
        return xml::answer(body);
    }
    let json: Json = serde_json::from_str(body).expect("it is JSON");
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    if !is_good {
        return Err(Fault::new(text(&json["code"]), text(&json["message"])));
    }
    let result = match (dialect, json.get("error")) {
        (Spoken::JsonRpc, Some(error)) => {
            let code = match &error["data"]["code"] {
                Json::String(code) => code.clone(),
                _ => error["code"].to_string(),
            };
            return Err(Fault::new(code, text(&error["message"])));
        }
        (Spoken::JsonRpc, None) => json.get("result").cloned().expect("it has one"),
        _ => json,
    };
    serde_json::from_value(result).map_err(|bad| Fault::new(fault::INTERNAL, bad))
}
