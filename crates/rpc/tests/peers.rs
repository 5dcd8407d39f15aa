//! Served over real sockets to programs from outside: Twisted's AMP both ways, aiorpcX for JSON-RPC, `nc` for lines. Skips
//! what is not installed, and says so.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this whole file is a test with peers from outside, which says what it skips"
)]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};
use tress_core::{Address, Deferred, Failure, IntoFactory, Reactor, Result};
use tress_os::Mio;
use tress_rpc::{
    Blob, CallContext, Client, ExposureLimits, Fault, MakeTwin, Object,
    amp::{AmpFactory, connect_amp},
    interface,
    jsonrpc::JsonRpcLines,
    line::LineFactory,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Person {
    name: String,
    age: Option<u8>,
    nice: bool,
    scores: Vec<f64>,
}

/// One method of each sort.
#[interface(crate = "tress_rpc")]
trait Quoter {
    /// The sum.
    #[name = "Sum"]
    async fn sum(&self, a: i64, b: i64) -> Result<i64>;
    /// The quotient.
    #[name = "Divide"]
    async fn divide(&self, numerator: i32, denominator: i32) -> Result<f64>;
    /// That many quotes.
    async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
    /// Perhaps the same text.
    async fn find(&self, name: String) -> Result<Option<String>>;
    /// The same bytes.
    async fn keep(&self, data: Blob) -> Result<Blob>;
    /// Everybody is a year older.
    async fn older(&self, people: Vec<Person>) -> Result<Vec<Person>>;
    /// Nothing.
    async fn forget(&self) -> Result<()>;
    /// An error that nobody is told about.
    async fn fail(&self) -> Result<()>;
}

/// What lines can ask of it.
#[interface(crate = "tress_rpc")]
trait Teller {
    /// That many quotes.
    async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
    /// Perhaps the same text.
    async fn find(&self, name: String) -> Result<Option<String>>;
}

struct All;

impl Quoter for All {
    async fn sum(&self, a: i64, b: i64) -> Result<i64> {
        Ok(a + b)
    }

    async fn divide(&self, numerator: i32, denominator: i32) -> Result<f64> {
        if denominator == 0 {
            Err(Fault::new("ZERO_DIVISION", "by zero"))?;
        }
        Ok(f64::from(numerator) / f64::from(denominator))
    }

    async fn quotes(&self, count: u32) -> Result<Vec<String>> {
        Ok((0..count).map(|number| format!("quote {number}")).collect())
    }

    async fn find(&self, name: String) -> Result<Option<String>> {
        Ok((name == "ä").then_some(name))
    }

    async fn keep(&self, data: Blob) -> Result<Blob> {
        Ok(data)
    }

    async fn older(&self, mut people: Vec<Person>) -> Result<Vec<Person>> {
        for person in &mut people {
            person.age = person.age.map(|age| age + 1);
        }
        Ok(people)
    }

    async fn forget(&self) -> Result<()> {
        Ok(())
    }

    async fn fail(&self) -> Result<()> {
        Err(Failure::msg("the key is under the mat"))
    }
}

impl Teller for All {
    async fn quotes(&self, count: u32) -> Result<Vec<String>> {
        Quoter::quotes(self, count).await
    }

    async fn find(&self, name: String) -> Result<Option<String>> {
        Ok(name.contains(' ').then_some(name))
    }
}

fn quoter() -> Object {
    <dyn DynQuoter>::object(Rc::new(All))
}

fn python() -> Option<Command> {
    let Some(python) = env::var_os("TRESS_PYTHON") else {
        println!("skipped: TRESS_PYTHON says which Python has Twisted and aiorpcX");
        return None;
    };
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers.py"));
    Some(command)
}

fn serve<M>(reactor: &Reactor, factory: impl IntoFactory<M>) -> String {
    let port = reactor
        .listen("tcp:0:interface=127.0.0.1", factory)
        .unwrap();
    match port.local_address() {
        Address::Ip(at) => at.port().to_string(),
        other => panic!("{other}"),
    }
}

/// What a program says that talks to our server meanwhile.
#[track_caller]
fn output(reactor: &Reactor, mut command: Command, input: &'static str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = child.stdout.take().unwrap();
    let said = thread::spawn(move || {
        to.write_all(input.as_bytes()).unwrap();
        drop(to);
        let mut said = String::new();
        from.read_to_string(&mut said).unwrap();
        said
    });
    let start = Instant::now();
    while !said.is_finished() {
        if start.elapsed() > PATIENCE {
            child.kill().ok();
        }
        let turned = reactor.turn(Some(Duration::from_millis(1)));
        turned.expect("the driver works");
    }
    assert!(child.wait().unwrap().success(), "it failed");
    said.join().unwrap()
}

#[test]
fn twisted_calls_us_over_amp() {
    let Some(mut command) = python() else { return };
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    let factory = AmpFactory::new(&quoter(), ExposureLimits::default()).unwrap();
    let port = serve(&reactor, factory);
    command.args(["amp-client", &port]);
    let expect = "{'result': 94}
{'result': 0.25}
ZeroDivisionError
{'result': ['quote 0', 'quote 1']}
UnknownRemoteError
{'result': 'ä'} {'result': None}
{'result': b'\\x00\\xff'}
{'result': [{'name': 'Moshe', 'age': 42, 'nice': True, 'scores': [1.5, inf]}, {'name': '', 'age': None, 'nice': False, 'scores': []}]}
{}
UnhandledCommand
249500
UnknownRemoteError ConnectionDone
";
    assert_eq!(output(&reactor, command, ""), expect);
}

#[test]
fn aiorpcx_calls_us_over_lines() {
    let Some(mut command) = python() else { return };
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    let port = serve(
        &reactor,
        JsonRpcLines::new(&quoter(), ExposureLimits::default()),
    );
    command.args(["json-client", &port]);
    let expect = "94
94
['quote 0', 'quote 1']
None
-32601 `Quoter` has no method `gone`
-32602 `Quoter.quotes`: `count`: expected 1 to 1000, found the integer 1001
-32000 by zero
-32603 internal error
(3, 'ä')
";
    assert_eq!(output(&reactor, command, ""), expect);
}

#[test]
fn nc_calls_us_over_lines_for_people() {
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    let object = <dyn DynTeller>::object(Rc::new(All));
    let factory = LineFactory::new(&object, ExposureLimits::default()).unwrap();
    let port = serve(&reactor, factory);
    let mut command = Command::new("nc");
    command.args(["-N", "127.0.0.1", &port]);
    if Command::new("nc").arg("-h").output().is_err() {
        println!("skipped: no nc");
        return;
    }
    let said = output(
        &reactor,
        command,
        "quotes 2\nfind \"a name\"\nfind nobody\nquotes 0\nhelp\n",
    );
    let expect = "quote 0\nquote 1\n\na name\n\n\n\
        ! bad-arguments: `Teller.quotes`: `count`: expected 1 to 1000, found the integer 0\n\n\
        What lines can ask of it.\nquotes COUNT: That many quotes.\nfind NAME: Perhaps the same text.\n\n";
    assert_eq!(said, expect.replace('\n', "\r\n"));
}

/// A Twisted server, which ends with its standard input.
struct Twisted {
    child: Child,
    port: String,
}

impl Drop for Twisted {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

fn twisted() -> Option<Twisted> {
    let mut command = python()?;
    command.args(["amp-server", "0"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut port = String::new();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut port).unwrap();
    let port = port.trim().to_owned();
    Some(Twisted { child, port })
}

#[track_caller]
fn wait<T>(reactor: &Reactor, mut deferred: Deferred<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        deferred = match deferred.try_result() {
            Ok(result) => return result,
            Err(deferred) => deferred,
        };
        assert!(start.elapsed() < PATIENCE, "no answer");
        let turned = reactor.turn(Some(Duration::from_millis(1)));
        turned.expect("the driver works");
    }
}

#[test]
fn we_call_twisted_over_amp() {
    let Some(server) = twisted() else { return };
    let reactor = Reactor::with(Mio::new().expect("epoll works"));
    let at = format!("tcp:127.0.0.1:{}", server.port);
    let descriptor = quoter().descriptor();
    let client = connect_amp(&reactor, &at, descriptor, ExposureLimits::default());
    let client = Client::new(wait(&reactor, client).unwrap());
    let twin: MakeTwin = <dyn DynQuoter>::TWIN;
    let twin = twin(client).get::<dyn DynQuoter>().unwrap();
    let quoter = QuoterClient::new(twin, CallContext::local(&reactor));
    let code = |failure: Failure| Fault::of(&failure).to_string();
    // Its one key is `total`.
    assert_eq!(wait(&reactor, quoter.sum(13, 81)).unwrap(), 94);
    let quotient = wait(&reactor, quoter.divide(1, 4)).unwrap();
    assert!((quotient - 0.25).abs() < f64::EPSILON);
    let by_zero = wait(&reactor, quoter.divide(1, 0)).unwrap_err();
    assert_eq!(code(by_zero), "ZERO_DIVISION: division by zero");
    assert_eq!(
        wait(&reactor, quoter.quotes(2)).unwrap(),
        ["quote 0", "quote 1"]
    );
    let found = wait(&reactor, quoter.find("ä".into())).unwrap();
    assert_eq!(found.as_deref(), Some("ä"));
    assert_eq!(wait(&reactor, quoter.find("b".into())).unwrap(), None);
    let blob = Blob(vec![0, 255]);
    assert_eq!(wait(&reactor, quoter.keep(blob.clone())).unwrap(), blob);
    let person = |age| Person {
        name: "Moshe".into(),
        age,
        nice: true,
        scores: vec![0.5, f64::INFINITY],
    };
    let older = wait(&reactor, quoter.older(vec![person(Some(41)), person(None)]));
    assert_eq!(older.unwrap(), [person(Some(42)), person(None)]);
    wait(&reactor, quoter.forget()).unwrap();
    let failed = wait(&reactor, quoter.fail()).unwrap_err();
    assert_eq!(code(failed), "internal: Unknown Error");
}
