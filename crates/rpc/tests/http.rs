//! Objects over HTTP: every dialect, every refusal, limits, and peers that others wrote: curl, Python's `xmlrpc.client`,
//! Twisted's `xmlrpc.Proxy`, and `jsonrpcclient`. Skips what is not installed, and says so.
#![expect(clippy::print_stderr, reason = "what was skipped")]

use std::{
    cell::RefCell,
    env,
    process::{Command, Stdio},
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Deferred, Factory, Failure, Limits, Reactor, Resolver, Result,
    testing::{
        logged,
        memory::{Table, Tester},
    },
};
use tress_os::Mio;
use tress_rpc::{
    Blob, CallContext, ExposureLimits, Fault, Object, Value,
    cred::{Anonymous, Avatar, Checker, Memory, Portal, Realm, Session, Tokens},
    http::{Dialect, HttpConnection, HttpFactory, Mount},
    interface,
};

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Person {
    name: String,
    age: Option<u8>,
}

/// Says something worth remembering.
#[interface(crate = "tress_rpc")]
trait Quoter {
    /// A quote.
    async fn quote(&self) -> Result<String>;
    /// That many quotes.
    async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
    /// Both together.
    async fn sum(&self, a: i64, b: i64) -> Result<i64>;
    /// Who said it.
    async fn find(&self, name: String) -> Result<Option<String>>;
    /// The same bytes.
    async fn keep(&self, data: Blob) -> Result<Blob>;
    /// A year later.
    async fn older(&self, person: Person) -> Result<Person>;
    /// The same.
    async fn same(&self, it: Value) -> Result<Value>;
    /// Not now.
    async fn refuse(&self) -> Result<()>;
    /// Not ever.
    async fn fail(&self) -> Result<()>;
    /// When it is told to.
    async fn wait(&self) -> Result<String>;
    /// Who asks.
    async fn who(&self, context: CallContext) -> Result<Option<String>>;
}

#[derive(Default)]
struct Same {
    waiting: RefCell<Vec<Resolver<String>>>,
    cancelled: Rc<RefCell<usize>>,
}

const APPLE: &str = "An apple a day keeps the doctor away.";

#[expect(
    refining_impl_trait,
    reason = "a Deferred is as good as an async function"
)]
impl Quoter for Same {
    async fn quote(&self) -> Result<String> {
        Ok(APPLE.to_owned())
    }

    async fn quotes(&self, count: u32) -> Result<Vec<String>> {
        Ok((0..count).map(|_| APPLE.to_owned()).collect())
    }

    async fn sum(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn find(&self, name: String) -> Result<Option<String>> {
        Ok((name == "moshez").then(|| "Happy and well".to_owned()))
    }

    async fn keep(&self, data: Blob) -> Result<Blob> {
        Ok(data)
    }

    async fn older(&self, person: Person) -> Result<Person> {
        let age = person.age.map(|age| age + 1);
        Ok(Person { age, ..person })
    }

    async fn same(&self, it: Value) -> Result<Value> {
        Ok(it)
    }

    async fn refuse(&self) -> Result<()> {
        Err(Fault::new("closed", "come back tomorrow"))?;
        Ok(())
    }

    async fn fail(&self) -> Result<()> {
        Err(Failure::msg("the key is under the mat"))
    }

    fn wait(&self) -> Deferred<String> {
        let cancelled = Rc::clone(&self.cancelled);
        let (resolver, deferred) = Deferred::with_canceller(move || *cancelled.borrow_mut() += 1);
        self.waiting.borrow_mut().push(resolver);
        deferred
    }

    async fn who(&self, context: CallContext) -> Result<Option<String>> {
        Ok(context.avatar.map(|avatar| avatar.to_string()))
    }
}

fn limits() -> ExposureLimits {
    ExposureLimits {
        request_bytes: 4096,
        response_bytes: 4096,
        nesting: 4,
        batch: 3,
        call_deadline: Duration::from_secs(3),
        ..ExposureLimits::default()
    }
}

fn factory(same: &Rc<Same>) -> HttpFactory {
    let object = <dyn DynQuoter>::object(Rc::clone(same));
    let mount = Mount::new(&object, limits());
    let all = [Dialect::Json, Dialect::JsonRpc, Dialect::XmlRpc];
    let mount = all.into_iter().fold(mount, Mount::speaking);
    HttpFactory::new([mount]).expect("it is alone")
}

/// A server and a peer whom a test plays.
struct Site {
    same: Rc<Same>,
    tester: Tester<HttpConnection>,
}

impl Site {
    fn new() -> Self {
        Self::with(|factory| factory)
    }

    fn with(change: impl FnOnce(HttpFactory) -> HttpFactory) -> Self {
        let same = Rc::<Same>::default();
        let table = Table::new();
        let mut factory = change(factory(&same));
        let protocol = factory.build_protocol(&tress_core::Address::Unknown);
        let tester = Tester::on(&table, protocol.expect("it takes everybody"));
        Self { same, tester }
    }

    /// What is answered to these bytes, without the date.
    fn ask(&self, bytes: &str) -> String {
        self.tester.receive(bytes.as_bytes());
        self.sent()
    }

    fn sent(&self) -> String {
        let sent = String::from_utf8(self.tester.sent()).expect("it is a text");
        let lines = sent.split_inclusive("\r\n");
        lines.filter(|line| !line.starts_with("date: ")).collect()
    }

    /// The status and the body of an answer to a call.
    fn call(&self, path: &str, content_type: &str, body: &str) -> (u16, String) {
        split(&self.ask(&post(path, content_type, body)))
    }
}

fn post(path: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost:8008\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn split(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}

const JSON: &str = "application/json";

#[test]
fn an_answer_has_a_type_and_is_not_kept() {
    let site = Site::new();
    let answer = site.ask(&post("/Quoter/sum", JSON, r#"{"a":1,"b":2}"#));
    let expect = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\ncontent-length: 1\r\n\r\n3";
    assert_eq!(answer, expect);
}

#[test]
fn json_calls_are_answered_with_a_status_and_json() {
    for (method, body, status, expect) in [
        (
            "quote",
            "",
            200,
            "\"An apple a day keeps the doctor away.\"",
        ),
        ("sum", "[1,2]", 200, "3"),
        ("find", r#"{"name":"nobody"}"#, 200, "null"),
        ("keep", r#"["AP8="]"#, 200, "\"AP8=\""),
        (
            "older",
            r#"[{"name":"a","age":3}]"#,
            200,
            r#"{"name":"a","age":4}"#,
        ),
        (
            "refuse",
            "{}",
            422,
            r#"{"code":"closed","message":"come back tomorrow"}"#,
        ),
        (
            "fail",
            "{}",
            500,
            r#"{"code":"internal","message":"internal error"}"#,
        ),
        (
            "gone",
            "{}",
            404,
            r#"{"code":"unknown-method","message":"`Quoter` has no method `gone`"}"#,
        ),
        (
            "quotes",
            "[4294967295]",
            400,
            r#"{"code":"bad-arguments","message":"`Quoter.quotes`: `count`: expected 1 to 1000, found the integer 4294967295"}"#,
        ),
        (
            "quotes",
            "[1000]",
            500,
            r#"{"code":"too-large","message":"an answer has at most 4096 bytes (`response_bytes`)"}"#,
        ),
        (
            "quote",
            "7",
            400,
            r#"{"code":"bad-request","message":"expected the arguments as an object or as a list, found the integer 7"}"#,
        ),
        (
            "quote",
            "{\"a\":",
            400,
            r#"{"code":"bad-request","message":"no JSON: EOF while parsing a value at line 1 column 5"}"#,
        ),
        (
            "same",
            "[[[[[]]]]]",
            400,
            r#"{"code":"bad-request","message":"lists and objects are at most 4 deep (`nesting`)"}"#,
        ),
    ] {
        let site = Site::new();
        let found = site.call(&format!("/Quoter/{method}"), JSON, body);
        assert_eq!(found, (status, expect.to_owned()), "{method}({body})");
        // What has not been read of a body is no request.
        assert_eq!(site.tester.is_closed(), status == 404 && !body.is_empty());
    }
}

#[test]
fn a_connection_does_not_keep_its_reactor() {
    let site = Site::new();
    site.ask(&post("/Quoter/quote", JSON, ""));
    let Site { tester, same, .. } = site;
    drop(tester);
    assert_eq!(Rc::strong_count(&same), 1);
}

#[test]
fn an_answer_may_be_as_long_as_the_limit() {
    let long = format!("[\"{}\"]", "a".repeat(4000));
    let found = Site::new().call("/Quoter/same", JSON, &long);
    assert_eq!(found, (200, long.trim_matches(['[', ']']).to_owned()));
}

#[test]
fn what_a_page_could_send_is_refused() {
    let request =
        |more: &str| format!("POST /Quoter/quote HTTP/1.1\r\n{more}Content-Length: 2\r\n\r\n{{}}");
    let json = "Content-Type: application/json\r\n";
    for (headers, status) in [
        (format!("Host: localhost\r\n{json}"), 200),
        (format!("Host: LOCALHOST:80\r\n{json}"), 200),
        (format!("Host: 127.0.0.1:1\r\n{json}"), 200),
        (format!("Host: [::1]:1\r\n{json}"), 200),
        (format!("Host: quotes.example\r\n{json}"), 200),
        (format!("Host: quotes.example:99\r\n{json}"), 200),
        (format!("Host: other.example:8\r\n{json}"), 200),
        (
            format!("Host: localhost\r\nOrigin: http://localhost\r\n{json}"),
            200,
        ),
        (
            format!("Host: localhost\r\nOrigin: https://front.example\r\n{json}"),
            200,
        ),
        (
            "Host: localhost\r\nContent-Type: Application/JSON; charset=UTF-8\r\n".into(),
            200,
        ),
        (json.into(), 400),
        (format!("Host: localhost\r\nHost: localhost\r\n{json}"), 400),
        (format!("Host: evil.example\r\n{json}"), 421),
        (format!("Host: localhost.evil.example\r\n{json}"), 421),
        (format!("Host: evil@localhost\r\n{json}"), 421),
        (format!("Host: 192.0.2.77\r\n{json}"), 421),
        (format!("Host: other.example:9\r\n{json}"), 421),
        (format!("Host:\r\n{json}"), 421),
        (format!("Host: localhost\r\nOrigin: null\r\n{json}"), 403),
        (
            format!("Host: localhost\r\nOrigin: http://localhost:9999\r\n{json}"),
            403,
        ),
        (
            format!("Host: localhost\r\nOrigin: http://evil.example\r\n{json}"),
            403,
        ),
        ("Host: localhost\r\n".into(), 415),
        (
            "Host: localhost\r\nContent-Type: text/plain\r\n".into(),
            415,
        ),
        (
            "Host: localhost\r\nContent-Type: text/plain; application/json\r\n".into(),
            415,
        ),
        (
            "Host: localhost\r\nContent-Type: application/json; charset=utf-7\r\n".into(),
            415,
        ),
        (
            format!("Host: localhost\r\nContent-Encoding: gzip\r\n{json}"),
            415,
        ),
    ] {
        let site = Site::with(|factory| {
            let factory = factory
                .allow_host("quotes.example")
                .allow_host("Other.example:8");
            factory.allow_origin("https://front.example")
        });
        let answer = site.ask(&request(&headers));
        assert_eq!(split(&answer).0, status, "{headers}{answer}");
        assert!(!answer.to_lowercase().contains("access-control"));
        assert_eq!(site.tester.is_closed(), status != 200, "{headers}");
    }
}

#[test]
fn the_host_in_the_target_counts_as_well() {
    let site = Site::new();
    let target = "POST http://evil.example/Quoter/quote HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(split(&site.ask(target)).0, 421);
}

#[test]
fn paths_and_methods_are_told_apart() {
    let site = Site::new();
    for (request, status, allow) in [
        ("GET /Quoter/quote", 405, "POST"),
        ("OPTIONS /jsonrpc", 405, "POST"),
        ("GET /RPC2", 405, "POST"),
        ("POST /openapi.json", 405, "GET, HEAD"),
        ("DELETE /", 405, "GET, HEAD"),
        ("GET /nothing", 404, ""),
        ("GET /openapi.json?a=b", 200, ""),
        ("GET /", 200, ""),
        ("HEAD /", 200, ""),
    ] {
        let answer = site.ask(&format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(split(&answer).0, status, "{request}: {answer}");
        let allowed = answer.contains(&format!("\r\nallow: {allow}\r\n"));
        assert_eq!(allowed, !allow.is_empty(), "{request}: {answer}");
    }
}

#[test]
fn a_text_is_read_and_not_called() {
    let same = Rc::<Same>::default();
    let object = <dyn DynQuoter>::object(Rc::clone(&same));
    let mount = |path: &str| {
        let mount = Mount::new(&object, limits()).speaking(Dialect::Json);
        HttpFactory::new([mount.speaking_at(Dialect::Metrics, path)])
    };
    let table = Table::new();
    let mut factory = mount("/metrics").expect("nothing else is there");
    let protocol = factory.build_protocol(&tress_core::Address::Unknown);
    let tester = Tester::on(&table, protocol.expect("it takes everybody"));
    let ask = |request: &str| {
        tester.receive(format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        String::from_utf8(tester.sent()).expect("it is a text")
    };
    let answer = ask("GET /metrics?a=b");
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(answer.contains(kind), "{answer}");
    let (status, text) = split(&answer);
    assert_eq!((status, text.as_str()), (200, APPLE));
    assert_eq!(split(&ask("HEAD /metrics")), (200, String::new()));
    let post = ask("POST /metrics");
    assert_eq!(split(&post).0, 405, "{post}");
    assert!(post.contains("\r\nallow: GET, HEAD\r\n"), "{post}");
    assert_eq!(split(&ask("GET /metrics/")).0, 404);
    for (path, other) in [
        ("/Quoter/quote", "http"),
        ("/", "http"),
        ("/openapi.json", "http"),
    ] {
        let taken = mount(path)
            .map(drop)
            .expect_err("something is there")
            .to_string();
        assert!(
            taken.starts_with(&format!("`{other}` and `metrics` are both at `{path}`")),
            "{taken}"
        );
    }
    let counted = object.statistics();
    assert_eq!(
        (counted.calls, counted.faults, counted.deadlines),
        (2, 0, 0)
    );
}

#[test]
fn the_description_is_openapi_and_holds_the_limits() {
    let site = Site::new();
    let get = |path: &str| site.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let (status, body) = split(&get("/openapi.json"));
    assert_eq!(status, 200);
    let document: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
    assert_eq!(document["openapi"], "3.1.1");
    assert_eq!(document["info"]["title"], "Quoter");
    let post = &document["paths"]["/Quoter/quotes"]["post"];
    assert_eq!(post["description"], "That many quotes.");
    let count = &post["requestBody"]["content"][JSON]["schema"]["properties"]["count"];
    assert_eq!(
        (&count["minimum"], &count["maximum"]),
        (&1.into(), &1000.into())
    );
    let result = &post["responses"]["200"]["content"][JSON]["schema"]["type"];
    assert_eq!(result, "array");
    let older = &document["paths"]["/Quoter/older"]["post"]["requestBody"];
    let person = &older["content"][JSON]["schema"]["properties"]["person"]["$ref"];
    assert_eq!(person, "#/components/schemas/Person");
    assert!(document["components"]["schemas"]["Person"].is_object());
    assert!(document.get("security").is_none());
    let page = get("/");
    assert!(page.contains("content-security-policy: default-src 'none'; script-src 'sha256-"));
    assert!(page.contains("<!doctype html>"));
}

#[test]
fn a_request_cut_anywhere_is_the_same() {
    let request = post("/Quoter/sum", JSON, r#"{"a":1,"b":2}"#);
    let twice = format!("{request}{request}");
    let whole = Site::new().ask(&twice);
    assert_eq!(whole.matches("200 OK").count(), 2);
    for every in 1..=request.len() {
        let site = Site::new();
        site.tester.receive_cut(twice.as_bytes(), every);
        assert_eq!(site.sent(), whole, "cut every {every}");
    }
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let site = Site::new();
    let wait = post("/Quoter/wait", JSON, "");
    let quote = post("/Quoter/quote", JSON, "");
    assert_eq!(site.ask(&format!("{wait}{quote}")), "");
    let resolver = site.same.waiting.borrow_mut().remove(0);
    resolver.resolve("at last".into());
    site.tester.settle();
    let sent = site.sent();
    let (first, second) = (sent.find("at last"), sent.find("apple"));
    assert!(first.is_some() && first < second, "{sent}");
}

#[test]
fn a_call_has_a_deadline_and_ends_with_its_connection() {
    let site = Site::new();
    assert_eq!(site.ask(&post("/Quoter/wait", JSON, "")), "");
    site.tester.advance(Duration::from_secs(4));
    let late = r#"{"code":"deadline","message":"no result in time"}"#;
    assert_eq!(split(&site.sent()), (504, late.into()));
    assert_eq!(*site.same.cancelled.borrow(), 1);
    let log = logged(|| {
        for (path, content_type, body) in [
            ("/Quoter/wait", JSON, ""),
            (
                "/jsonrpc",
                JSON,
                r#"{"jsonrpc":"2.0","method":"wait","id":1}"#,
            ),
            (
                "/RPC2",
                "text/xml",
                "<methodCall><methodName>wait</methodName></methodCall>",
            ),
        ] {
            for ends in [Tester::peer_resets, Tester::peer_closes_write] {
                let site = Site::new();
                site.ask(&post(path, content_type, body));
                assert_eq!(site.same.waiting.borrow().len(), 1, "{path}");
                ends(&site.tester);
                assert_eq!(*site.same.cancelled.borrow(), 1, "{path}");
                site.tester.advance(Duration::from_secs(9));
                assert_eq!(site.sent(), "");
            }
        }
    });
    let early = "DEBUG an HTTP connection ended early: connection closed before message completed";
    assert!(log.iter().all(|line| line == early), "{log:?}");
}

#[test]
fn too_much_is_refused_before_it_is_kept() {
    let head =
        "POST /Quoter/same HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let site = Site::new();
    let answer = site.ask(&format!("{head}Content-Length: 99999999999\r\n\r\n"));
    assert_eq!(split(&answer).0, 413, "{answer}");
    assert!(site.tester.is_closed());
    let site = Site::new();
    let chunk = format!("400\r\n{}\r\n", "1".repeat(1024));
    let answer = site.ask(&format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(5)
    ));
    assert_eq!(split(&answer).0, 413, "{answer}");
    assert!(site.tester.is_closed());
    let site = Site::new();
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "a: b\r\n".repeat(200)
    );
    assert_eq!(split(&site.ask(&many)).0, 431);
    let site = Site::new();
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\na: {}\r\n\r\n",
        "b".repeat(20_000)
    );
    assert_eq!(split(&site.ask(&long)).0, 431);
    for head in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: +1",
        "a : b",
        "a\0: b",
    ] {
        let site = Site::new();
        let request = format!("POST /Quoter/quote HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n");
        assert_eq!(split(&site.ask(&request)).0, 400, "{head}");
        assert!(site.tester.is_closed(), "{head}");
    }
}

#[test]
fn a_flood_of_any_byte_ends_the_connection_within_a_mebibyte() {
    let head =
        "POST /Quoter/same HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let starts = [
        String::new(),
        head.to_owned(),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
    ];
    for start in starts {
        for byte in [0, 0xFF, b'a', b'\n', b'7'] {
            let site = Site::new();
            site.tester.receive(start.as_bytes());
            let piece = vec![byte; 65_536];
            let mut taken = 0;
            while !site.tester.is_closed() && taken < 16 {
                site.tester.receive(&piece);
                taken += 1;
            }
            assert!(taken < 16, "{byte} after {start:?} is read for ever");
        }
    }
}

#[test]
fn slow_heads_slow_bodies_and_silence_have_deadlines() {
    let head = "POST /Quoter/quote HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
    let handshake = Limits::default().handshake;
    for (start, drip) in [("", "G"), ("GET / HTTP/1.1\r\n", "a"), (head, " ")] {
        let first = post("/Quoter/quote", JSON, "");
        for before in ["", &first] {
            let site = Site::new();
            site.ask(before);
            site.tester.receive(start.as_bytes());
            for _ in 0..6 {
                site.tester.advance(handshake / 5);
                if !site.tester.has_ended() {
                    site.tester.receive(drip.as_bytes());
                }
            }
            site.tester.advance(handshake / 5);
            assert!(site.tester.has_ended(), "{start:?} after {before:?}");
        }
    }
    let site = Site::new();
    site.ask(&post("/Quoter/quote", JSON, ""));
    site.tester.advance(handshake * 3);
    assert!(!site.tester.has_ended(), "it may be kept alive");
    site.tester.advance(Limits::default().idle);
    assert!(site.tester.has_ended());
}

#[test]
fn who_asks_is_known_or_refused() {
    let checkers: [Rc<dyn Checker>; 2] = [
        Rc::new(Memory::new([("moshez".to_owned(), "a:b".to_owned())])),
        Rc::new(Tokens::new([("t".to_owned(), "robot".to_owned())])),
    ];
    let portal = Portal::new(checkers);
    let site = Site::with(|factory| factory.portal(portal));
    let ask = |header: &str| {
        let request = post("/Quoter/who", JSON, "");
        site.ask(&request.replace("Content-Type", &format!("{header}Content-Type")))
    };
    // moshez:a:b
    let known = ask("Authorization: basic bW9zaGV6OmE6Yg==\r\n");
    assert_eq!(split(&known), (200, "\"moshez\"".into()));
    let robot = ask("Authorization: Bearer t\r\n");
    assert_eq!(split(&robot), (200, "\"robot\"".into()));
    for header in ["", "Authorization: Basic =\r\n", "Authorization: Odd\r\n"] {
        let answer = ask(header);
        assert_eq!(split(&answer).0, 401, "{header}");
        assert!(answer.contains("www-authenticate: Basic realm=\"tress\", charset=\"UTF-8\"\r\n"));
        assert!(answer.contains("www-authenticate: Bearer realm=\"tress\"\r\n"));
    }
    let page = site.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(split(&page).0, 401);
    // What is wrong is said later, and the third ends the connection.
    for attempt in 1..=3 {
        assert_eq!(ask("Authorization: Bearer x\r\n"), "");
        site.tester.advance(Duration::from_millis(999));
        assert_eq!(site.sent(), "");
        site.tester.advance(Duration::from_millis(1));
        assert_eq!(split(&site.sent()).0, 401);
        assert_eq!(site.tester.is_closed(), attempt == 3);
    }
}

/// Gives each an object of its own, under a title, and remembers who came and went; none to `eve`.
#[derive(Default)]
struct House(Rc<RefCell<Vec<String>>>);

impl Realm for House {
    fn request_avatar(
        &self,
        _reactor: &Reactor,
        avatar: Avatar,
        _object: &Object,
    ) -> Deferred<Session> {
        let name = avatar.as_deref().unwrap_or("nobody").to_owned();
        if name == "eve" {
            return Deferred::fail(Failure::msg("the key is under the mat"));
        }
        self.0.borrow_mut().push(format!("{name} came"));
        let own = <dyn DynQuoter>::object(Rc::<Same>::default());
        let title = format!("Mx. {name}");
        let told = Rc::clone(&self.0);
        let session = Session::new(Some(title.into()), &own);
        let gone = move || told.borrow_mut().push(format!("{name} went"));
        Deferred::succeed(session.on_logout(gone))
    }
}

#[test]
fn each_has_what_the_realm_gives() {
    let house = Rc::<House>::default();
    let users = ["ann", "bob", "eve"].map(|name| (name.to_owned(), name.to_owned()));
    let checkers: [Rc<dyn Checker>; 2] = [Rc::new(Tokens::new(users)), Rc::new(Anonymous)];
    let portal = Portal::new(checkers).with_realm(Rc::clone(&house) as Rc<dyn Realm>);
    let site = Site::with(|factory| factory.portal(portal));
    let ask = |token: &str, path: &str, body: &str| {
        let header = format!("Authorization: Bearer {token}\r\nContent-Type");
        let request = post(path, JSON, body).replace("Content-Type", &header);
        split(&site.ask(&request))
    };
    let happened = || house.0.take().join(", ");
    let who = ("/Quoter/who", "");
    assert_eq!(ask("ann", who.0, who.1), (200, "\"Mx. ann\"".into()));
    let call = r#"{"jsonrpc":"2.0","method":"who","id":1}"#;
    let called = r#"{"jsonrpc":"2.0","result":"Mx. ann","id":1}"#;
    assert_eq!(ask("ann", "/jsonrpc", call), (200, called.into()));
    assert_eq!(happened(), "ann came", "once for this connection");
    assert_eq!(ask("bob", who.0, who.1), (200, "\"Mx. bob\"".into()));
    assert_eq!(happened(), "ann went, bob came");
    let nobody = site.call(who.0, JSON, who.1);
    assert_eq!(nobody, (200, "\"Mx. nobody\"".into()));
    assert_eq!(happened(), "bob went, nobody came");
    let refused = r#"{"code":"internal","message":"internal error"}"#;
    assert_eq!(ask("eve", who.0, who.1), (500, refused.into()));
    assert_eq!(happened(), "nobody went");
    assert_eq!(ask("ann", "/Quoter/wait", ""), (0, String::new()));
    assert!(
        site.same.waiting.borrow().is_empty(),
        "it is not everybody's"
    );
    site.tester.peer_resets();
    assert_eq!(happened(), "ann came, ann went");
    drop(site);
    assert_eq!(happened(), "");
}

#[test]
fn calls_are_counted_also_of_what_a_realm_gives() {
    let same = Rc::<Same>::default();
    let object = <dyn DynQuoter>::object(Rc::clone(&same));
    let house = Rc::<House>::default();
    let portal = Portal::new([Rc::new(Anonymous) as Rc<dyn Checker>]);
    let portal = portal.with_realm(house as Rc<dyn Realm>);
    let factory = || {
        let mount = Mount::new(&object, limits()).speaking(Dialect::Json);
        HttpFactory::new([mount]).expect("it is alone")
    };
    for mut factory in [factory(), factory().portal(portal)] {
        let table = Table::new();
        let before = object.statistics();
        let protocol = factory.build_protocol(&tress_core::Address::Unknown);
        let tester = Tester::on(&table, protocol.expect("it takes everybody"));
        for path in ["/Quoter/quote", "/Quoter/fail", "/Quoter/wait"] {
            tester.receive(post(path, JSON, "").as_bytes());
        }
        table.advance(limits().call_deadline);
        let now = object.statistics();
        let counted = [
            now.calls - before.calls,
            now.faults - before.faults,
            now.deadlines - before.deadlines,
        ];
        assert_eq!(counted, [3, 2, 1]);
        tester.peer_resets();
    }
}

#[test]
fn json_rpc_and_xml_rpc_are_spoken_beside() {
    let site = Site::new();
    for (body, status, expect) in [
        (
            r#"{"jsonrpc":"2.0","method":"sum","params":{"a":1,"b":2},"id":1}"#,
            200,
            r#"{"jsonrpc":"2.0","result":3,"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"Quoter.sum","params":[1,2],"id":1}"#,
            200,
            r#"{"jsonrpc":"2.0","result":3,"id":1}"#,
        ),
        (r#"{"jsonrpc":"2.0","method":"quote"}"#, 204, ""),
        (
            r#"{"jsonrpc":"2.0","method":"gone","id":1}"#,
            200,
            r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"there is no method `gone`","data":{"code":"unknown-method"}},"id":1}"#,
        ),
    ] {
        let found = site.call("/jsonrpc", JSON, body);
        assert_eq!(found, (status, expect.to_owned()), "{body}");
    }
    let call = |method: &str, parameters: &str| {
        let body = format!(
            "<methodCall><methodName>{method}</methodName><params>{parameters}</params></methodCall>"
        );
        let (status, body) = site.call("/RPC2", "text/xml", &body);
        assert_eq!(status, 200);
        body
    };
    let golden = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>Happy and well</string></value>\n</param>\n</params>\n</methodResponse>\n";
    assert_eq!(call("find", "<param><value>moshez</value></param>"), golden);
    for (method, code, text) in [
        ("gone", 8001, "procedure gone not found"),
        ("system.gone", 8001, "procedure system.gone not found"),
        ("fail", 8002, "error"),
        ("refuse", 8002, "closed: come back tomorrow"),
        ("sum", 8002, "bad-arguments: `Quoter.sum`: `a` is missing"),
        (
            "<a/>",
            8002,
            "Can't deserialize input: the element `a` is not expected in `methodName`",
        ),
    ] {
        let answer = call(method, "");
        assert!(answer.contains(&format!("<int>{code}</int>")), "{answer}");
        assert!(
            answer.contains(&format!("<string>{text}</string>")),
            "{answer}"
        );
    }
    assert_eq!(site.call("/RPC2", JSON, "").0, 415);
    assert_eq!(site.call("/jsonrpc", "text/xml", "").0, 415);
}

/// Serves on a real socket while a program of somebody else's runs; skips when there is none.
fn while_program(program: &str, arguments: impl FnOnce(u16) -> Vec<String>) -> Option<String> {
    let reactor = Reactor::with(Mio::new().expect("there is a poll"));
    let port = reactor.listen("tcp:0:interface=127.0.0.1", factory(&Rc::default()));
    let port = port.expect("a port is free");
    let number = port.local_address().port().expect("it has a number");
    let mut command = Command::new(program);
    command.args(arguments(number)).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("skipped: this machine has no {program}");
        return None;
    };
    let start = reactor.now();
    while child.try_wait().expect("it is ours").is_none() {
        assert!(
            reactor.now().since(start) < Duration::from_secs(50),
            "it hangs"
        );
        let turned = reactor.turn(Some(Duration::from_millis(2)));
        turned.expect("the driver works");
    }
    let output = child.wait_with_output().expect("it has ended");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_calls() {
    let output = while_program("curl", |port| {
        let url = format!("http://127.0.0.1:{port}/Quoter/quotes");
        let arguments = [
            "-sS",
            "--noproxy",
            "*",
            "--max-time",
            "40",
            "--json",
            "{\"count\":2}",
            &url,
        ];
        arguments.map(str::to_owned).to_vec()
    });
    if let Some(output) = output {
        assert_eq!(output, format!("[\"{APPLE}\",\"{APPLE}\"]"));
    }
}

const PYTHON: &str = r#"
import sys, json, urllib.request, urllib.error, xmlrpc.client
port = sys.argv[1]
url = "http://127.0.0.1:%s" % port
server = xmlrpc.client.ServerProxy(url + "/RPC2", allow_none=True, use_builtin_types=True)
assert server.find("moshez") == "Happy and well"
assert server.find("nobody") is None
assert server.sum(2**31 - 1, 1) == 2**31
assert server.keep(b"\0\xff") == b"\0\xff"
assert server.older({"name": "<é&>", "age": 3}) == {"name": "<é&>", "age": 4}
same = server.same([1, [2.5, "a\r\nb"], {"k": True}])
assert same == [1, [2.5, "a\nb"], {"k": True}], same # XML 1.0, 2.11: the ends of lines are one character
names = server.system.listMethods()
assert "quote" in names and "system.methodHelp" in names, names
assert server.system.methodHelp("quotes") == "That many quotes."
assert server.system.methodSignature("sum") == [["int", "int", "int"]]
def fault(call):
    try: call()
    except xmlrpc.client.Fault as it: return it.faultCode, it.faultString
assert fault(lambda: server.gone()) == (8001, "procedure gone not found")
assert fault(lambda: server.refuse()) == (8002, "closed: come back tomorrow")
assert fault(lambda: server.fail()) == (8002, "error")
many = xmlrpc.client.MultiCall(server)
many.sum(1, 2); many.quote(); many.gone()
results = many()
assert (results[0], results[1][:8]) == (3, "An apple")
assert fault(lambda: results[2]) == (8001, "procedure gone not found")
for _ in range(2): many.quote()
assert fault(many)[0] == 8002
try:
    urllib.request.urlopen(url + "/RPC2")
    raise SystemExit("GET was taken")
except urllib.error.HTTPError as it:
    assert it.code == 405
print("python")

try:
    from jsonrpcclient import request, parse, Ok, Error
except ImportError:
    print("no jsonrpcclient")
else:
    def ask(method, params=None):
        body = json.dumps(request(method, params=params)).encode()
        asked = urllib.request.Request(url + "/jsonrpc", body, {"Content-Type": "application/json"})
        return parse(json.load(urllib.request.urlopen(asked)))
    assert ask("sum", [1, 2]).result == 3
    assert ask("Quoter.find", {"name": "moshez"}).result == "Happy and well"
    assert ask("gone").code == -32601
    assert ask("quotes", [4294967295]).code == -32602
    assert ask("refuse").data == {"code": "closed"}
    print("jsonrpcclient")

try:
    from twisted.internet import task
    from twisted.web import xmlrpc as txmlrpc
except ImportError:
    print("no twisted")
else:
    async def main(reactor):
        proxy = txmlrpc.Proxy((url + "/RPC2").encode(), allowNone=True)
        assert await proxy.callRemote("find", "moshez") == "Happy and well"
        assert await proxy.callRemote("quotes", 2) == ["An apple a day keeps the doctor away."] * 2
        try:
            await proxy.callRemote("gone")
            raise SystemExit("gone was called")
        except txmlrpc.Fault as it:
            assert (it.faultCode, it.faultString) == (8001, "procedure gone not found")
        print("twisted")
    task.react(lambda reactor: __import__("twisted.internet.defer").internet.defer.ensureDeferred(main(reactor)))
"#;

#[test]
fn pythons_clients_call() {
    let python = env::var("TRESS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = while_program(&python, |port| {
        vec!["-c".to_owned(), PYTHON.to_owned(), port.to_string()]
    });
    let Some(output) = output else { return };
    for peer in ["python", "jsonrpcclient", "twisted"] {
        if output.lines().any(|line| line == format!("no {peer}")) {
            eprintln!("skipped: this Python has no {peer}");
        } else {
            assert!(output.lines().any(|line| line == peer), "{peer}: {output}");
        }
    }
}
