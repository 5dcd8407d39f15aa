//! The conformance suite, run against every protocol of ours: each says here how it is served, how it is called, and what it
//! cannot say.

mod fifo;
mod http;
mod people;
mod xml;

use tress_core::{Deferred, Port, Reactor, Result};
use tress_rpc::{
    Client, Descriptor, ExposureLimits, Object,
    amp::{AmpFactory, connect_amp},
    jsonrpc::{JsonRpcLines, connect_json_rpc},
    pb::{PbClient, PbFactory},
    testing::{Exposure, check},
};

type Exceptions = &'static [(&'static str, &'static str)];

const NO_BATCH: (&str, &str) = ("a batch", "a request is one call");
const NO_NUMBERS: (&str, &str) = ("floats that are no numbers", "JSON has none of them");
const ONE_CALL: (&str, &str) = (
    "too many calls in flight",
    "a connection has one request after the other",
);

struct Amp;

impl Exposure for Amp {
    fn name(&self) -> &'static str {
        "AMP"
    }

    fn listen(&self, on: &Reactor, at: &str, of: &Object, limits: ExposureLimits) -> Result<Port> {
        on.listen(at, AmpFactory::new(of, limits)?)
    }

    fn connect(&self, on: &Reactor, to: &str, of: &'static Descriptor) -> Deferred<Client> {
        connect_amp(on, to, of, wide()).map(Client::new)
    }

    fn exceptions(&self) -> Exceptions {
        &[NO_BATCH]
    }

    fn malformed(&self) -> Vec<Vec<u8>> {
        let all: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x01\x00",
            b"\x00\x00",
            b"\x00\x04_ask\x00\x011\x00\x00",
            b"\x00\x08_command\x00\x03add",
            b"\xff\xff\xff\xff",
        ];
        all.map(<[u8]>::to_vec).to_vec()
    }
}

/// No limits of a client's own that matter.
pub(crate) fn wide() -> ExposureLimits {
    ExposureLimits {
        calls_in_flight: 10_000,
        call_deadline: std::time::Duration::from_secs(3600),
        ..ExposureLimits::default()
    }
}

struct JsonLines;

impl Exposure for JsonLines {
    fn name(&self) -> &'static str {
        "JSON-RPC lines"
    }

    fn listen(&self, on: &Reactor, at: &str, of: &Object, limits: ExposureLimits) -> Result<Port> {
        on.listen(at, JsonRpcLines::new(of, limits))
    }

    fn connect(&self, on: &Reactor, to: &str, of: &'static Descriptor) -> Deferred<Client> {
        connect_json_rpc(on, to, of, wide()).map(Client::new)
    }

    fn exceptions(&self) -> Exceptions {
        &[NO_NUMBERS]
    }

    fn batch(&self, calls: usize) -> Option<Vec<u8>> {
        let mut batch = json_batch(calls);
        batch.push(b'\n');
        Some(batch)
    }

    fn malformed(&self) -> Vec<Vec<u8>> {
        let all = MALFORMED_JSON
            .iter()
            .map(|text| [text, &b"\n"[..]].concat());
        all.collect()
    }
}

/// So many calls of `nothing`.
pub(crate) fn json_batch(calls: usize) -> Vec<u8> {
    let call = r#"{"jsonrpc":"2.0","method":"nothing","id":1}"#;
    format!("[{}]", vec![call; calls].join(",")).into_bytes()
}

/// RPC-01: deeper than any stack.
pub(crate) fn deep_json() -> Vec<u8> {
    let call = r#"{"jsonrpc":"2.0","method":"nothing","id":1,"params":"#;
    [call.as_bytes(), &[b'['; 100_000]].concat()
}

pub(crate) const MALFORMED_JSON: [&[u8]; 7] = [
    b"{",
    b"\xff",
    b"nothing",
    b"[]",
    b"7",
    br#"{"jsonrpc":"1.0","method":"nothing","id":1}"#,
    br#"{"jsonrpc":"2.0","method":"nothing","method":"nothing","id":1}"#,
];

struct Pb;

impl Exposure for Pb {
    fn name(&self) -> &'static str {
        "PB"
    }

    fn listen(&self, on: &Reactor, at: &str, of: &Object, limits: ExposureLimits) -> Result<Port> {
        on.listen(at, PbFactory::new(of, limits))
    }

    fn connect(&self, on: &Reactor, to: &str, of: &'static Descriptor) -> Deferred<Client> {
        let root = PbClient::connect(on, to, wide());
        root.map(move |root| Client::new(root.carrier(of)))
    }

    fn exceptions(&self) -> Exceptions {
        &[NO_BATCH]
    }

    fn malformed(&self) -> Vec<Vec<u8>> {
        let all: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x02\x82pq",
            b"\x02\x82pb\x01\x80\x01\x81",
            b"\xff\xff",
        ];
        let mut all = all.map(<[u8]>::to_vec).to_vec();
        // RPC-01: deeper than any stack.
        all.push([&b"\x02\x82pb"[..], &b"\x01\x80".repeat(50_000)].concat());
        all
    }
}

#[test]
fn amp() {
    check(&Amp);
}

#[test]
fn json_rpc_lines() {
    check(&JsonLines);
}

#[test]
fn pb() {
    check(&Pb);
}

#[test]
fn lines_for_people() {
    check(&people::People);
}

#[test]
fn http_and_json() {
    check(&http::Http(http::Spoken::Json));
}

#[test]
fn json_rpc_over_http() {
    check(&http::Http(http::Spoken::JsonRpc));
}

#[test]
fn xml_rpc() {
    check(&http::Http(http::Spoken::XmlRpc));
}

#[test]
fn http_and_json_with_our_client() {
    check(&http::Ours(http::Spoken::Json));
}

#[test]
fn json_rpc_over_http_with_our_client() {
    check(&http::Ours(http::Spoken::JsonRpc));
}

#[test]
fn xml_rpc_with_our_client() {
    check(&http::Ours(http::Spoken::XmlRpc));
}
