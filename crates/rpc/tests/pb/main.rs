//! PB with Twisted over real sockets, both ways. `peer.py` is the other end, written after Twisted's examples `pbsimple`,
//! `pbecho` and `pbinterop`, which `examples.rs` runs themselves. Skips, and says so, without `TRESS_PYTHON`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "this whole file is a test with peers from outside, which says what it skips"
)]

mod examples;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};
use tress_core::{Address, Deferred, Failure, Reactor, Resolver, Result};
use tress_os::Mio;
use tress_rpc::{
    Arguments, Blob, CallContext, Client, ExposureLimits, Fault, Object, Value,
    cred::Session,
    fault, interface,
    pb::{PbArguments, PbClient, PbCredentials, PbFactory, PbObject, PbReference, PbValue},
    to_value,
};

const PATIENCE: Duration = Duration::from_secs(60);
const APPLE: &str = "An apple a day keeps the doctor away.";

#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
struct Point {
    x: i64,
    y: f64,
}

/// One method of each sort.
#[interface(crate = "tress_rpc")]
trait Everything {
    /// A text.
    async fn quote(&self) -> Result<String>;
    /// A list of them.
    async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
    /// A number.
    async fn sum(&self, a: i64, b: i64) -> Result<i64>;
    /// Something or nothing.
    async fn find(&self, name: String) -> Result<Option<String>>;
    /// The same bytes.
    async fn keep(&self, data: Blob) -> Result<Blob>;
    /// The point to the right of that.
    async fn moved(&self, by: Point) -> Result<Point>;
    /// Anything.
    async fn echo(&self, value: Value) -> Result<Value>;
    /// A fault of that code.
    async fn fail(&self, code: String) -> Result<()>;
    /// An error that is none of the caller's business.
    async fn crash(&self) -> Result<()>;
    /// More than goes into one answer.
    async fn large(&self) -> Result<String>;
    /// Nothing, ever.
    async fn never(&self) -> Result<()>;
    /// Who calls.
    async fn who(&self, context: &CallContext) -> Result<Option<String>>;
}

#[derive(Default)]
struct All(std::cell::RefCell<Vec<Resolver<()>>>);

#[expect(
    refining_impl_trait,
    reason = "a Deferred is as good as an async function"
)]
impl Everything for All {
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

    async fn moved(&self, by: Point) -> Result<Point> {
        Ok(Point { x: by.x + 1, ..by })
    }

    async fn echo(&self, value: Value) -> Result<Value> {
        Ok(value)
    }

    async fn fail(&self, code: String) -> Result<()> {
        Err(Fault::new(code, "nobody of that name"))?
    }

    async fn crash(&self) -> Result<()> {
        Err(Failure::msg("the key is under the mat"))
    }

    async fn large(&self) -> Result<String> {
        Ok("x".repeat(640 * 1024 + 1))
    }

    fn never(&self) -> Deferred<()> {
        let (resolver, deferred) = Deferred::with_canceller(|| ());
        self.0.borrow_mut().push(resolver);
        deferred
    }

    async fn who(&self, context: &CallContext) -> Result<Option<String>> {
        Ok(context.avatar.as_deref().map(str::to_owned))
    }
}

fn object() -> Object {
    <dyn DynEverything>::object(Rc::new(All::default()))
}

fn reactor() -> Reactor {
    Reactor::with(Mio::new().expect("epoll works"))
}

/// Turns until something is there.
#[track_caller]
fn turn_until<T>(reactor: &Reactor, mut there: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(it) = there() {
            return it;
        }
        assert!(start.elapsed() < PATIENCE, "it never comes");
        let turned = reactor.turn(Some(Duration::from_millis(1)));
        turned.expect("the driver works");
    }
}

#[track_caller]
fn result<T: 'static>(reactor: &Reactor, deferred: Deferred<T>) -> Result<T> {
    let mut deferred = Some(deferred);
    turn_until(reactor, || match deferred.take()?.try_result() {
        Ok(result) => Some(result),
        Err(waiting) => {
            deferred = Some(waiting);
            None
        }
    })
}

/// Twisted playing that part.
fn peer(arguments: &[&str]) -> Option<Command> {
    let Some(python) = env::var_os("TRESS_PYTHON") else {
        println!("skipped: Twisted: TRESS_PYTHON is not set");
        return None;
    };
    let mut command = Command::new(python);
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pb/peer.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Some(command)
}

/// What a client of Twisted's says about our server.
#[track_caller]
fn client_of(factory: PbFactory, part: &str) -> Option<Vec<String>> {
    let reactor = reactor();
    let port = reactor
        .listen("tcp:0:interface=127.0.0.1", factory)
        .expect("there is a free port");
    let Address::Ip(at) = *port.local_address() else {
        panic!("it is a TCP port");
    };
    let mut command = peer(&[part, &at.port().to_string()])?;
    let peer = thread::spawn(move || command.output().expect("Python runs"));
    turn_until(&reactor, || peer.is_finished().then_some(()));
    let output = peer.join().expect("it was only waited for");
    let said = String::from_utf8(output.stdout).expect("it says texts");
    print!("{said}");
    assert!(output.status.success(), "{part} of peer.py failed");
    Some(said.lines().map(str::to_owned).collect())
}

fn limits() -> ExposureLimits {
    ExposureLimits {
        call_deadline: Duration::from_secs(2),
        ..ExposureLimits::default()
    }
}

#[test]
fn twisted_calls_our_object() {
    let Some(said) = client_of(PbFactory::new(&object(), limits()), "client") else {
        return;
    };
    let apple = format!("'{APPLE}'");
    let expected = [
        format!("quote = {apple}"),
        format!("quotes = [{apple}, {apple}]"),
        format!("by name = [{apple}, {apple}]"),
        "sum = 1099511627775".to_owned(),
        "both ways = 3".to_owned(),
        "python 2 = 'Happy and well'".to_owned(),
        "find = 'Happy and well'".to_owned(),
        "nobody = None".to_owned(),
        "keep = b'message \\x00\\xff'".to_owned(),
        "a word = b'cache'".to_owned(),
        "move = {'x': 2, 'y': 2.5}".to_owned(),
        "a list = {'x': 2, 'y': 2.5}".to_owned(),
        format!("echo = [['a'], ['a'], [], [], {{}}, None, True, 1.5, {}]", 1_i128 << 100),
        "cycle failed b'bad-arguments' | `dereference` of 1, which is not whole yet: values have no cycles | <class 'TypeError'>".to_owned(),
        "fault failed b'no-such-user' | nobody of that name | no-such-user <class 'twisted.spread.pb.Error'> builtins.Exception".to_owned(),
        "internal failed b'internal' | internal error | internal builtins.Exception".to_owned(),
        "unknown failed b'unknown-method' | `Everything` has no method `gone` | unknown-method <class 'twisted.spread.flavors.NoSuchMethod'> <class 'twisted.spread.pb.Error'> <class 'AttributeError'>".to_owned(),
        "arguments failed b'bad-arguments' | `Everything.quotes`: `count`: invalid type: string \"many\", expected u32 | bad-arguments <class 'TypeError'> <class 'twisted.spread.pb.Error'>".to_owned(),
        "limit failed b'bad-arguments' | `Everything.quotes`: `count`: expected 1 to 1000, found the integer 4294967295 | <class 'TypeError'>".to_owned(),
        "large failed b'too-large' | expected an answer of at most 16777216 bytes, and strings and lists of at most 655360 | too-large".to_owned(),
        "never failed b'deadline' | no result in time | deadline <class 'twisted.internet.defer.TimeoutError'>".to_owned(),
        "object failed b'bad-arguments' | objects cannot be passed to this method, values can | <class 'TypeError'>".to_owned(),
        "ourselves failed b'bad-arguments' | a reference to an object of ours is no value | <class 'TypeError'>".to_owned(),
        "held 0".to_owned(),
        "huge failed b'bad-arguments' | expected a whole number of at most 128 bits | <class 'TypeError'>".to_owned(),
        "no answer = None".to_owned(),
        "many 249500".to_owned(),
    ];
    assert_eq!(said, expected);
}

/// The portal of the tests: `guest` has the password `guest`, and anybody may be `visitor`.
fn portal() -> PbFactory {
    let object = object();
    let decide = move |_: &CallContext, credentials| match credentials {
        PbCredentials::Anonymous => {
            Deferred::succeed(Session::new(Some("visitor".into()), &object))
        }
        PbCredentials::Response(response)
            if response.user() == "guest" && response.is(b"guest") =>
        {
            Deferred::succeed(Session::new(Some(response.user().into()), &object))
        }
        PbCredentials::Response(_) => Deferred::fail(Fault::new(fault::UNAUTHORIZED, "no")),
    };
    PbFactory::with_login(decide, limits())
}

#[test]
fn twisted_logs_in_at_our_portal() {
    let Some(said) = client_of(portal(), "login") else {
        return;
    };
    let avatar = |name: &str, avatar: &str| {
        [
            format!("{name} = '{avatar}'"),
            format!("{name} = 'hello world'"),
            format!(
                "{name} failed b'pbecho.DefinedError' | nobody of that name | pbecho.DefinedError"
            ),
        ]
    };
    let root = |name: &str| {
        let message = "expected a login, found `who`";
        format!(
            "{name} failed b'unknown-method' | {message} | <class 'twisted.spread.flavors.NoSuchMethod'>"
        )
    };
    let mut expected = avatar("guest", "guest").to_vec();
    expected.push(root("guest"));
    for refused in ["bad", "nobody"] {
        expected.push(format!("{refused} refused b'unauthorized'"));
        expected.push(root(refused));
    }
    expected.extend(avatar("anonymous", "visitor"));
    expected.push(root("anonymous"));
    assert_eq!(said, expected);
}

/// Twisted's servers: an object, and a portal.
struct Servers {
    _process: Running,
    root: PbReference,
    portal: PbReference,
    context: CallContext,
}

impl Servers {
    fn start(reactor: &Reactor) -> Option<Self> {
        let mut command = peer(&["serve"])?;
        let process = command.stderr(Stdio::null()).spawn();
        let mut process = Running(process.expect("Python runs"));
        let mut ports = String::new();
        let output = process.0.stdout.take().expect("it is a pipe");
        BufReader::new(output)
            .read_line(&mut ports)
            .expect("it says its ports");
        let mut clients = ports.split_whitespace().map(|port| {
            let at = format!("tcp:127.0.0.1:{port}");
            let client = PbClient::connect(reactor, &at, limits());
            result(reactor, client).expect("it is there")
        });
        let (root, portal) = (clients.next()?, clients.next()?);
        let context = CallContext::local(reactor);
        Some(Self {
            _process: process,
            root,
            portal,
            context,
        })
    }
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A result in words.
fn words<T: Serialize>(result: Result<T>) -> String {
    match result {
        Ok(value) => serde_json::to_string(&value).expect("it is JSON"),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn an_object_of_twisteds_is_one_of_ours() {
    let reactor = reactor();
    let Some(servers) = Servers::start(&reactor) else {
        return;
    };
    let context = &servers.context;
    let carrier = servers.root.carrier(object().descriptor());
    let theirs = EverythingClient::new(
        <dyn DynEverything>::TWIN(Client::new(carrier))
            .get::<dyn DynEverything>()
            .expect("it is one"),
        context.clone(),
    );
    macro_rules! said {
        ($call:expr) => {
            words(result(&reactor, $call))
        };
    }
    assert_eq!(said!(theirs.quote()), format!("\"{APPLE}\""));
    assert_eq!(said!(theirs.quotes(1)), format!("[\"{APPLE}\"]"));
    assert_eq!(said!(theirs.sum(1 << 40, -1)), "1099511627775");
    assert_eq!(said!(theirs.find("moshez".into())), "\"Happy and well\"");
    assert_eq!(said!(theirs.find("nobody".into())), "null");
    let bytes = Blob(b"\x00\xffcache".to_vec());
    assert_eq!(
        result(&reactor, theirs.keep(bytes.clone())).ok(),
        Some(bytes)
    );
    let point = Point { x: 1, y: 2.5 };
    assert_eq!(said!(theirs.moved(point)), r#"{"x":2,"y":2.5}"#);
    assert_eq!(
        said!(theirs.fail("full".into())),
        "twisted.spread.pb.Error: full"
    );
    assert_eq!(
        said!(theirs.crash()),
        "builtins.ValueError: the key is under the mat"
    );
    assert_eq!(said!(theirs.large()).len(), 640_002);
    assert_eq!(said!(theirs.never()), "deadline: no answer in time");
    let unknown = "unknown-method: No such method: remote_who";
    assert_eq!(said!(theirs.who(context)), unknown);
    let text = "x".repeat(640 * 1024 + 1);
    let large = "too-large: `find`: expected a request of at most 1048576 bytes, and strings and lists of at most 655360";
    assert_eq!(said!(theirs.find(text)), large);
    let values = "[[],{\"a\":[1,null]},true,1.5,\"x\",170141183460469231731687303715884105727]";
    let value: Value =
        serde_json::from_str(&values.replace("170141183460469231731687303715884105727", "7"))
            .expect("it is JSON");
    let echoed = result(&reactor, theirs.echo(value.clone()));
    assert_eq!(echoed.ok(), Some(value));
    assert_eq!(
        said!(theirs.echo(Value::Integer(i128::MAX))),
        i128::MAX.to_string()
    );
}

#[test]
fn twisteds_interop_example_is_called() {
    let reactor = reactor();
    let Some(servers) = Servers::start(&reactor) else {
        return;
    };
    let (context, root) = (&servers.context, &servers.root);
    let value = |method: &str, arguments: Vec<Value>| {
        words(result(&reactor, root.call(context, method, arguments)))
    };
    assert_eq!(value("int", vec![]), "1");
    assert_eq!(value("float", vec![]), "1.5");
    assert_eq!(value("bytes", vec![]), "\"c3RyaW5n\"");
    assert_eq!(value("list", vec![]), "[1,[2,3],[4]]");
    assert_eq!(value("dict", vec![]), r#"{"1":2}"#);
    let cycle = "the answer: `dereference` of 1, which is not whole yet: values have no cycles";
    assert_eq!(value("recursive", vec![]), cycle);
    let class =
        "the answer: \"twisted.spread.flavors.Copyable\" of 1 items is no type that is accepted";
    assert_eq!(value("copy", vec![Value::Integer(1)]), class);
    let object_found = "the answer: expected values, found an object of the peer's";
    assert_eq!(value("reference", vec![]), object_found);
    assert_eq!(value("references", vec![]), object_found);
    assert_eq!(value("held", vec![]), "1", "only the root");

    let with = |method: &str, positional: Vec<PbValue>| {
        let arguments = PbArguments {
            positional,
            named: vec![],
        };
        result(&reactor, root.call_with(context, method, arguments))
    };
    let other = with("reference", vec![]).expect("it is there");
    let other = other.reference().expect("it is one");
    let hello = result(&reactor, other.call(context, "hello", Arguments::default()));
    assert_eq!(words(hello), "\"hello, world\"");
    assert_eq!(value("held", vec![]), "2");
    let is_it = |it: &PbReference| {
        let answer = with("self", vec![it.clone().into()]);
        words(answer.and_then(|answer| Ok(answer.value()?)))
    };
    assert_eq!(
        (is_it(root), is_it(&other)),
        ("true".into(), "false".into())
    );
    drop(other);
    assert_eq!(value("held", vec![]), "1", "it was given back");
    let ours = with("local", vec![PbObject::from(&object()).into()]);
    assert_eq!(
        words(ours.and_then(|answer| Ok(answer.value()?))),
        "\"3 from you\""
    );
}

#[test]
fn we_log_in_at_twisteds_portal() {
    let reactor = reactor();
    let Some(servers) = Servers::start(&reactor) else {
        return;
    };
    let (context, portal) = (&servers.context, &servers.portal);
    let ask = |avatar: Deferred<PbReference>| {
        let avatar = match result(&reactor, avatar) {
            Ok(avatar) => avatar,
            Err(failure) => return failure.to_string(),
        };
        let named = vec![(
            "name".to_owned(),
            to_value("moshez").expect("it is a value"),
        )];
        words(result(&reactor, avatar.call(context, "find", named)))
    };
    let guest = ask(portal.login(context, "guest", b"guest"));
    assert_eq!(guest, "\"b'guest' asks for 'moshez'\"");
    let refused = "unauthorized: ";
    assert_eq!(ask(portal.login(context, "guest", b"other")), refused);
    assert_eq!(ask(portal.login(context, "nobody", b"guest")), refused);
    let anonymous = ask(portal.login_anonymous(context));
    assert_eq!(anonymous, "\"() asks for 'moshez'\"");
}

/// The same without Twisted: our client at our server.
#[test]
fn our_client_calls_our_server() {
    let reactor = reactor();
    let port = reactor
        .listen("tcp:0:interface=127.0.0.1", portal())
        .expect("there is a free port");
    let at = format!("tcp:{}", port.local_address());
    let root = result(&reactor, PbClient::connect(&reactor, &at, limits())).expect("it is there");
    let context = CallContext::local(&reactor);
    let avatar = result(&reactor, root.login(&context, "guest", b"guest")).expect("it is right");
    let ask = |method: &str, arguments: Vec<Value>| {
        words(result(&reactor, avatar.call(&context, method, arguments)))
    };
    assert_eq!(ask("who", vec![]), "\"guest\"");
    assert_eq!(ask("sum", vec![Value::Integer(1), Value::Integer(2)]), "3");
    assert_eq!(
        ask("fail", vec!["no-such-user".into()]),
        "no-such-user: nobody of that name"
    );
    assert_eq!(ask("crash", vec![]), "internal: internal error");
    assert_eq!(
        ask("gone", vec![]),
        "unknown-method: `Everything` has no method `gone`"
    );
    let calls: Vec<_> = (0..200)
        .map(|n| avatar.call(&context, "echo", vec![Value::Integer(n)]))
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(words(result(&reactor, call)), n.to_string());
    }
    root.lose_connection();
    let waiting = avatar.call(&context, "never", Arguments::default());
    assert!(
        result(&reactor, waiting).is_err(),
        "it ends with the connection"
    );
    assert!(
        avatar
            .call(&context, "who", Arguments::default())
            .try_result()
            .is_ok_and(|result| result.is_err())
    );
}
