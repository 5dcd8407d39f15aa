//! Floods: every protocol is sent each class of bytes without an end. It closes the connection within one request, and
//! the memory of the process does not move.

use std::{fs, rc::Rc};
use tress_core::{
    Address, Factory, Failure, Protocol, Result, Transport,
    received::Received,
    testing::{
        memory::{Table, Tester},
        pattern,
    },
};
use tress_rpc::{
    ExposureLimits, Object,
    amp::AmpFactory,
    http::{Dialect, HttpFactory, Mount},
    jsonrpc::JsonRpcLines,
    line::LineFactory,
    pb::PbFactory,
    testing::{DynSamples, Fixture},
};

const MIB: usize = 1 << 20;
const PIECE: usize = 65_536;

/// Of each class to each protocol, over as many connections as that takes; 100 MiB, as operators are promised, with
/// `TRESS_FLOOD_MIB=100 cargo test --profile sim -p tress-rpc --all-features --test floods`, which takes two seconds once it is
/// compiled.
const SENT_MIB: usize = 4;

/// How much the process may grow over all of it, MiB: a request as it is read, twice, and what an allocator keeps.
const GROWTH_MIB: usize = 16;

/// Whatever protocol a factory makes.
struct Any(Box<dyn Protocol>);

impl Protocol for Any {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.0.connection_made(transport)
    }
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.0.data_received(transport, data)
    }
    fn buffer_received(&mut self, transport: &Transport, received: Received<'_>) -> Result {
        self.0.buffer_received(transport, received)
    }
    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.0.read_closed(transport)
    }
    fn write_paused(&mut self, transport: &Transport) -> Result {
        self.0.write_paused(transport)
    }
    fn write_resumed(&mut self, transport: &Transport) -> Result {
        self.0.write_resumed(transport)
    }
    fn reading_resumed(&mut self, transport: &Transport) -> Result {
        self.0.reading_resumed(transport)
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.0.connection_lost(reason);
    }
}

fn any(mut factory: impl Factory) -> Any {
    let protocol = factory.build_protocol(&Address::Unknown);
    Any(Box::new(protocol.expect("it takes everybody")))
}

fn samples() -> Object {
    <dyn DynSamples>::object(Rc::new(Fixture::default()))
}

fn http(dialect: Dialect, limits: ExposureLimits) -> Any {
    let mount = Mount::new(&samples(), limits).speaking(dialect);
    any(HttpFactory::new([mount]).expect("it is alone"))
}

/// A protocol, and what a peer says before the flood.
type Exposed = (&'static str, fn(ExposureLimits) -> Any, &'static str);

const CHUNKED: &str = "Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n";

fn exposures() -> Vec<Exposed> {
    vec![
        (
            "amp",
            |limits| any(AmpFactory::new(&samples(), limits).expect("it can be said")),
            "",
        ),
        (
            "amp, in a value",
            |limits| any(AmpFactory::new(&samples(), limits).expect("it can be said")),
            "\0\u{1}a",
        ),
        (
            "jsonrpc-lines",
            |limits| any(JsonRpcLines::new(&samples(), limits)),
            "",
        ),
        (
            "jsonrpc-lines, in a text",
            |limits| any(JsonRpcLines::new(&samples(), limits)),
            "{\"params\":[\"",
        ),
        (
            "lines",
            |limits| any(LineFactory::new(&samples(), limits).expect("it can be said")),
            "",
        ),
        (
            "lines, in quotes",
            |limits| any(LineFactory::new(&samples(), limits).expect("it can be said")),
            "text \"",
        ),
        ("pb", |limits| any(PbFactory::new(&samples(), limits)), ""),
        (
            "pb, after its handshake",
            |limits| any(PbFactory::new(&samples(), limits)),
            "\u{2}",
        ),
        ("http", |limits| http(Dialect::Json, limits), ""),
        (
            "http, in a header",
            |limits| http(Dialect::Json, limits),
            "POST / HTTP/1.1\r\na: ",
        ),
        (
            "http, in a body",
            |limits| http(Dialect::Json, limits),
            "POST /Samples/text HTTP/1.1\r\nContent-Type: application/json\r\n",
        ),
        (
            "jsonrpc, in a body",
            |limits| http(Dialect::JsonRpc, limits),
            "POST /jsonrpc HTTP/1.1\r\nContent-Type: application/json\r\n",
        ),
        (
            "xmlrpc, in a body",
            |limits| http(Dialect::XmlRpc, limits),
            "POST /RPC2 HTTP/1.1\r\nContent-Type: text/xml\r\n",
        ),
    ]
}

fn classes() -> Vec<(&'static str, Vec<u8>)> {
    let of = |byte: u8| vec![byte; PIECE];
    // No line ends in it.
    let random = pattern(PIECE).into_iter().map(|byte| match byte {
        b'\n' | b'\r' => b'x',
        byte => byte,
    });
    vec![
        ("zeros", of(0)),
        ("0xff", of(0xff)),
        ("brackets", of(b'[')),
        ("angle brackets", of(b'<')),
        ("quotes", of(b'"')),
        ("backslashes", of(b'\\')),
        ("digits", of(b'7')),
        ("letters", of(b'a')),
        ("lists of banana", b"\x01\x80".repeat(PIECE / 2)),
        ("random", random.collect()),
    ]
}

/// Sends so many bytes, over new connections whenever one has been closed.
fn flood((name, make, before): Exposed, (class, piece): &(&str, Vec<u8>), bytes: usize) {
    let limits = ExposureLimits::default();
    let is_body = before.contains("Content-Type");
    let (mut sent, mut connections) = (0, 0);
    while sent < bytes {
        connections += 1;
        let tester = Tester::on(&Table::new(), make(limits));
        tester.receive(before.as_bytes());
        if is_body {
            tester.receive(CHUNKED.as_bytes());
        }
        let mut taken = 0;
        while !tester.is_closed() && taken < 4 * limits.request_bytes {
            tester.receive(piece);
            taken += piece.len();
        }
        assert!(
            tester.is_closed() && taken <= limits.request_bytes + 2 * PIECE,
            "{name}: {class} are read for ever: {taken} bytes"
        );
        sent += taken.max(PIECE);
    }
    assert!(connections > 0);
}

/// The memory of this process, MiB; 0 where the system does not tell.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: usize| pages * 4096 / MIB)
}

/// One test, for they share the memory that is measured.
#[test]
fn floods_and_long_batches() {
    no_flood_moves_the_memory();
    a_batch_of_a_million_is_one_error();
}

fn no_flood_moves_the_memory() {
    let mib = std::env::var("TRESS_FLOOD_MIB").ok();
    let mib = mib.and_then(|mib| mib.parse().ok()).unwrap_or(SENT_MIB);
    let classes = classes();
    for exposed in exposures() {
        for class in &classes {
            flood(exposed, class, PIECE);
        }
    }
    let before = resident();
    for exposed in exposures() {
        for class in &classes {
            flood(exposed, class, mib * MIB);
            // What has been seen of it: nothing is kept for the next.
            let grown = resident().saturating_sub(before);
            let (name, class) = (exposed.0, class.0);
            assert!(grown <= GROWTH_MIB, "{name}: {class}: {grown} MiB more");
        }
    }
}

/// However much a request may be, a batch that is too long makes no calls and costs no list of them.
fn a_batch_of_a_million_is_one_error() {
    let limits = ExposureLimits {
        request_bytes: 64 * MIB,
        ..ExposureLimits::default()
    };
    for item in ["1", "[]", r#"{"jsonrpc":"2.0","method":"nothing","id":1}"#] {
        let batch = format!("[{}]\n", vec![item; 1_000_000].join(","));
        let tester = Tester::on(&Table::new(), any(JsonRpcLines::new(&samples(), limits)));
        tester.receive(batch.as_bytes());
        let said = String::from_utf8(tester.sent()).expect("it is JSON");
        assert!(
            said.contains("a batch has 100 requests at most") && said.len() < 200,
            "{said}"
        );
    }
}
