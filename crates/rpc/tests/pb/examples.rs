//! Twisted's own `pbsimple`, `pbecho` and `pbinterop`, as its source distribution has them, with tress at the other end,
//! either way. `example.py` runs them. Skips, and says so, without `TRESS_PYTHON` and `TRESS_TWISTED_EXAMPLES`.

use crate::{Running, limits, reactor, result, turn_until};
use std::{
    cell::{Cell, RefCell},
    env,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    rc::Rc,
    sync::mpsc::{Receiver, channel},
    thread,
};
use tress_core::{Address, Deferred, Failure, Reactor, Result};
use tress_rpc::{
    CallContext, ExposureLimits, Fault, Object, Value,
    cred::{Anonymous, Avatar, Checker, Memory, Portal, Realm, Session},
    fault, interface,
    pb::{PbArguments, PbClient, PbFactory, PbKey, PbObject, PbReference, PbValue, Referenceable},
};

/// What `pbsimple.py` serves.
#[interface(crate = "tress_rpc")]
trait Echoer {
    /// The same.
    async fn echo(&self, st: Value) -> Result<Value>;
}

/// What `pbecho.py` serves to each avatar.
#[interface(crate = "tress_rpc")]
trait Perspective {
    /// The same.
    async fn echo(&self, text: String) -> Result<String>;
    /// A failure.
    async fn error(&self) -> Result<()>;
}

struct Simple;

impl Echoer for Simple {
    async fn echo(&self, st: Value) -> Result<Value> {
        Ok(st)
    }
}

impl Perspective for Simple {
    async fn echo(&self, text: String) -> Result<String> {
        Ok(text)
    }

    async fn error(&self) -> Result<()> {
        Err(Fault::new("pbecho.DefinedError", "exception!"))?
    }
}

/// A perspective of its own for each.
#[derive(Default)]
struct SimpleRealm {
    came: RefCell<Vec<Avatar>>,
    gone: Rc<RefCell<Vec<Avatar>>>,
}

impl Realm for SimpleRealm {
    fn request_avatar(
        &self,
        _reactor: &Reactor,
        avatar: Avatar,
        _object: &Object,
    ) -> Deferred<Session> {
        self.came.borrow_mut().push(avatar.clone());
        let perspective = <dyn DynPerspective>::object(Rc::new(Simple));
        let (gone, who) = (Rc::clone(&self.gone), avatar.clone());
        let session = Session::new(avatar, &perspective);
        Deferred::succeed(session.on_logout(move || gone.borrow_mut().push(who)))
    }
}

/// What `pbinterop.py` serves.
struct Interop {
    other: PbObject,
    /// How often an object has said hello.
    hellos: Rc<Cell<usize>>,
}

/// An object without methods.
struct Empty;

fn unknown(method: &str) -> Deferred<PbValue> {
    let message = format!("no such method: remote_{method}");
    Deferred::fail(Fault::new(fault::UNKNOWN_METHOD, message))
}

impl Referenceable for Empty {
    fn remote_message_received(
        self: Rc<Self>,
        _context: &CallContext,
        method: &str,
        _arguments: PbArguments,
    ) -> Deferred<PbValue> {
        unknown(method)
    }
}

impl Interop {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            other: Rc::new(Empty).into(),
            hellos: Rc::default(),
        })
    }

    fn without_arguments(&self, method: &str) -> Option<PbValue> {
        let list = PbValue::List(vec![PbValue::Again(1)]);
        Some(match method {
            "int" => PbValue::Integer(1),
            "string" | "unicode" => "string".into(),
            "float" => PbValue::Float(1.5),
            "list" => PbValue::List((1..=3).map(PbValue::Integer).collect()),
            "recursive" => PbValue::Shared(1, Box::new(list)),
            "dict" => one_is_two(),
            "reference" => self.other.clone().into(),
            _ => return None,
        })
    }

    /// Has the object say hello, and waits for nothing.
    fn local(&self, context: &CallContext, it: PbValue) -> Result<PbValue, Fault> {
        let it = it.reference();
        let it = it.map_err(|bad| Fault::new("builtins.AttributeError", bad))?;
        let hellos = Rc::clone(&self.hellos);
        let said = it.call_with(context, "hello", []).map(move |hello| {
            assert_eq!(hello, "hello, world".into());
            hellos.set(hellos.get() + 1);
        });
        said.detach();
        Ok(PbValue::Nothing)
    }
}

fn one_is_two() -> PbValue {
    PbValue::Dictionary(vec![(PbKey::Integer(1), PbValue::Integer(2))])
}

fn expected() -> PbValue {
    PbValue::List(vec![
        PbValue::Integer(1),
        PbValue::Float(1.5),
        "hi".into(),
        "hi".into(),
        one_is_two(),
    ])
}

const COPYABLE: &str = "twisted.spread.flavors.Copyable";

fn copyable(x: PbValue) -> PbValue {
    PbValue::Instance {
        class: COPYABLE.into(),
        state: Box::new(PbValue::Dictionary(vec![(PbKey::String("x".into()), x)])),
    }
}

/// Nothing, when it is what it should be.
fn is(it: bool) -> Result<PbValue, Fault> {
    match it {
        true => Ok(PbValue::Nothing),
        false => Err(Fault::new("builtins.ValueError", "it is another")),
    }
}

impl Referenceable for Interop {
    fn remote_message_received(
        self: Rc<Self>,
        context: &CallContext,
        method: &str,
        arguments: PbArguments,
    ) -> Deferred<PbValue> {
        if let Some(value) = self.without_arguments(method) {
            return Deferred::done(arguments.take([]).map(|[]| value).map_err(Failure::from));
        }
        if !matches!(method, "local" | "receive" | "self" | "copy") {
            return unknown(method);
        }
        let it = match arguments.take(["obj"]) {
            Ok([it]) => it,
            Err(fault) => return Deferred::fail(fault),
        };
        let done = match method {
            "local" => self.local(context, it),
            "receive" => is(it == expected()),
            "self" => is(it == PbObject::from(self).into()),
            _ => Ok(copyable(it)),
        };
        Deferred::done(done.map_err(Failure::from))
    }
}

/// One of the examples.
fn example(part: &str, name: &str, rest: &[&str]) -> Option<Command> {
    let variables = ["TRESS_PYTHON", "TRESS_TWISTED_EXAMPLES"].map(env::var_os);
    let [Some(python), Some(directory)] = variables else {
        println!("skipped: Twisted's examples: TRESS_PYTHON or TRESS_TWISTED_EXAMPLES is not set");
        return None;
    };
    let mut command = Command::new(python);
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pb/example.py"))
        .arg(part)
        .arg(directory)
        .arg(name)
        .args(rest)
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Some(command)
}

/// What it says, line by line, as it comes.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// One of Twisted's servers, what it says, and what it serves at its port.
struct Server {
    _process: Running,
    said: Receiver<String>,
    port: String,
}

impl Server {
    fn start(reactor: &Reactor, name: &str, rest: &[&str]) -> Option<Self> {
        let mut process = Running(example("server", name, rest)?.spawn().expect("Python runs"));
        let said = lines(process.0.stdout.take().expect("it is a pipe"));
        let port = turn_until(reactor, || said.try_recv().ok());
        Some(Self {
            _process: process,
            said,
            port,
        })
    }

    fn root(&self, reactor: &Reactor) -> PbReference {
        let at = format!("tcp:127.0.0.1:{}", self.port);
        let client = PbClient::connect_with(reactor, &at, limits(), [COPYABLE]);
        result(reactor, client).expect("it is there")
    }
}

/// What one of Twisted's clients says about whoever listens at that port, until it ends.
fn client(reactor: &Reactor, mut command: Command) -> Vec<String> {
    let peer = thread::spawn(move || command.output().expect("Python runs"));
    turn_until(reactor, || peer.is_finished().then_some(()));
    let output = peer.join().expect("it was only waited for");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let said = String::from_utf8(output.stdout).expect("it says texts");
    said.lines().map(str::to_owned).collect()
}

fn listen(reactor: &Reactor, factory: PbFactory) -> String {
    let port = reactor
        .listen("tcp:0:interface=127.0.0.1", factory)
        .expect("there is a free port");
    let Address::Ip(at) = *port.local_address() else {
        panic!("it is a TCP port");
    };
    at.port().to_string()
}

/// The client of `name` at our server and at Twisted's own says the same, which is this.
fn same_of_both(reactor: &Reactor, ours: &str, names: [&str; 2], rest: &[&str], says: &[&str]) {
    let [name, server] = names;
    let Some(theirs) = Server::start(reactor, server, rest) else {
        return;
    };
    for port in [ours, &theirs.port] {
        let command = example("client", name, &[&[port], rest].concat());
        let said = client(reactor, command.expect("there was one before"));
        assert_eq!(said, says, "{name}");
    }
}

#[test]
fn pbsimple_calls_and_is_called() {
    let reactor = reactor();
    let echoer = <dyn DynEchoer>::object(Rc::new(Simple));
    let ours = listen(&reactor, PbFactory::new(&echoer, limits()));
    let names = ["pbsimpleclient.py", "pbsimple.py"];
    same_of_both(
        &reactor,
        &ours,
        names,
        &[],
        &["server echoed: hello network"],
    );

    let Some(theirs) = Server::start(&reactor, "pbsimple.py", &[]) else {
        return;
    };
    let context = CallContext::local(&reactor);
    let root = theirs.root(&reactor);
    let hello = Value::from("hello network");
    let echoed = root.call(&context, "echo", vec![hello.clone()]);
    assert_eq!(result(&reactor, echoed).ok(), Some(hello));
    let said = turn_until(&reactor, || theirs.said.try_recv().ok());
    assert_eq!(said, "echoing: hello network");
}

fn portal(realm: &Rc<SimpleRealm>) -> PbFactory {
    let users = Memory::new([("guest".to_owned(), "guest".to_owned())]);
    let checkers: [Rc<dyn Checker>; 2] = [Rc::new(users), Rc::new(Anonymous)];
    let realm = Rc::clone(realm) as Rc<dyn Realm>;
    let nobodys = <dyn DynPerspective>::object(Rc::new(Simple));
    PbFactory::with_portal(Portal::new(checkers).with_realm(realm), &nobodys, limits())
}

#[test]
fn pbecho_logs_in_and_is_logged_in_to() {
    let reactor = reactor();
    let realm = Rc::<SimpleRealm>::default();
    let ours = listen(&reactor, portal(&realm));
    let names = ["pbechoclient.py", "pbecho.py"];
    let says = [
        "connected.",
        "Message received: hello world",
        "error received: <class 'pbecho.DefinedError'>",
    ];
    same_of_both(&reactor, &ours, names, &["bytes"], &says);
    let Some(theirs) = Server::start(&reactor, "pbecho.py", &["bytes"]) else {
        return;
    };
    let gone = || (realm.gone.borrow().len() == 1).then_some(());
    turn_until(&reactor, gone);
    assert_eq!(realm.came.take(), [Some("guest".into())]);
    assert_eq!(realm.gone.take(), [Some("guest".into())]);

    let context = CallContext::local(&reactor);
    let root = theirs.root(&reactor);
    let avatar = result(&reactor, root.login(&context, "guest", b"guest")).expect("it is right");
    let ask = |method: &str, arguments: Vec<Value>| {
        let called = avatar.call(&context, method, arguments);
        result(&reactor, called).map_err(|failure| failure.to_string())
    };
    let hello = Value::from("hello world");
    assert_eq!(ask("echo", vec![hello.clone()]), Ok(hello));
    let error = Err("pbecho.DefinedError: exception!".to_owned());
    assert_eq!(ask("error", vec![]), error);
    let wrong = result(&reactor, root.login(&context, "guest", b"other"));
    assert_eq!(
        wrong.err().map(|it| it.to_string()),
        Some("unauthorized: ".into())
    );
    drop(avatar);
    let said = || turn_until(&reactor, || theirs.said.try_recv().ok());
    assert_eq!(said(), "echoing hello world");
    let logged_out = said();
    assert!(logged_out.ends_with("logged out"), "{logged_out}");
}

/// As they are, the two examples cannot log in anywhere, at each other neither: their passwords are texts, of which Python 3
/// makes no digest. Nor is a user there whose name is bytes.
#[test]
fn pbecho_as_it_is_logs_in_nowhere() {
    let reactor = reactor();
    let Some(theirs) = Server::start(&reactor, "pbecho.py", &[]) else {
        return;
    };
    let ours = listen(&reactor, portal(&Rc::default()));
    for port in [&ours, &theirs.port] {
        let command = example("client", "pbechoclient.py", &[port]);
        let mut client = command.expect("there was one before");
        let mut client = Running(client.spawn().expect("Python runs"));
        let errors = lines(client.0.stderr.take().expect("it is a pipe"));
        let error = "builtins.TypeError: Strings must be encoded before hashing";
        turn_until(&reactor, || {
            (errors.try_recv().ok()? == error).then_some(())
        });
    }
    let context = CallContext::local(&reactor);
    let login = theirs.root(&reactor).login(&context, "guest", b"guest");
    let refused = result(&reactor, login).err();
    assert_eq!(
        refused.map(|it| it.to_string()),
        Some("unauthorized: ".into())
    );
}

/// Every method of it, asked by Twisted's client; what that says of ours it says of `pbinterop.py`.
#[test]
fn pbinterop_is_served() {
    let reactor = reactor();
    let Some(theirs) = Server::start(&reactor, "pbinterop.py", &[]) else {
        return;
    };
    let interop = Interop::new();
    let factory = PbFactory::new(Rc::clone(&interop), ExposureLimits::default());
    let ours = listen(&reactor, factory);
    let [of_theirs, of_ours] = [&theirs.port, &ours].map(|port| {
        let command = crate::peer(&["interop", port]);
        client(&reactor, command.expect("there is a Python"))
    });
    let says = [
        "int = 1",
        "string = 'string'",
        "unicode = 'string'",
        "float = 1.5",
        "list = [1, 2, 3]",
        "dict = {1: 2}",
        "recursive 1 True",
        "reference RemoteReference True",
        "its method failed as <class 'twisted.spread.flavors.NoSuchMethod'>",
        "hello was called",
        "local = None",
        "receive = None",
        "other numbers failed as <class 'ValueError'>",
        "a text for a number failed as <class 'ValueError'>",
        "bytes for a text failed as <class 'ValueError'>",
        "self = None",
        "another failed as builtins.Exception",
        "copy Copied ['x'] 5",
        "copy Copied ['x'] 'five'",
        "copy Copied ['x'] {1: (2, b'3'), '4': {5}}",
        "unknown failed as <class 'twisted.spread.flavors.NoSuchMethod'>",
    ];
    assert_eq!(of_theirs, says);
    assert_eq!(of_ours, says);
    assert_eq!(interop.hellos.get(), 1);
}

/// What `remote_local` calls.
struct Hello(Cell<usize>);

impl Referenceable for Hello {
    fn remote_message_received(
        self: Rc<Self>,
        _context: &CallContext,
        method: &str,
        _arguments: PbArguments,
    ) -> Deferred<PbValue> {
        if method != "hello" {
            return unknown(method);
        }
        self.0.set(self.0.get() + 1);
        Deferred::succeed("hello, world".into())
    }
}

/// Every method of `pbinterop.py`; and of our own, which says the same.
#[test]
fn pbinterop_is_called() {
    let reactor = reactor();
    let Some(theirs) = Server::start(&reactor, "pbinterop.py", &[]) else {
        return;
    };
    let port = listen(&reactor, PbFactory::new(Interop::new(), limits()));
    let ours = PbClient::connect_with(
        &reactor,
        &format!("tcp:127.0.0.1:{port}"),
        limits(),
        [COPYABLE],
    );
    let ours = result(&reactor, ours).expect("it is there");
    for root in [theirs.root(&reactor), ours] {
        interop_is_whole(&reactor, &root);
    }
}

fn interop_is_whole(reactor: &Reactor, root: &PbReference) {
    let context = CallContext::local(reactor);
    let ask = |method: &str, positional: &[PbValue]| {
        let arguments = PbArguments {
            positional: positional.to_vec(),
            named: vec![],
        };
        let called = root.call_with(&context, method, arguments);
        result(reactor, called).map_err(|failure| match failure.check::<Fault>() {
            Some(fault) => fault.code().to_owned(),
            None => failure.to_string(),
        })
    };
    let recursive = PbValue::Shared(1, Box::new(PbValue::List(vec![PbValue::Again(1)])));
    for (method, value) in [
        ("int", PbValue::Integer(1)),
        ("string", "string".into()),
        ("unicode", "string".into()),
        ("float", PbValue::Float(1.5)),
        (
            "list",
            PbValue::List((1..=3).map(PbValue::Integer).collect()),
        ),
        ("recursive", recursive),
        ("dict", one_is_two()),
    ] {
        assert_eq!(ask(method, &[]), Ok(value), "{method}");
    }
    let reference = || ask("reference", &[]).map(PbValue::reference);
    let (Ok(Ok(one)), Ok(Ok(two))) = (reference(), reference()) else {
        panic!("expected objects");
    };
    assert_eq!(one, two);
    let gone = result(reactor, one.call_with(&context, "gone", []));
    let gone = gone.expect_err("it has no methods");
    assert_eq!(
        gone.check::<Fault>().map(Fault::code),
        Some(fault::UNKNOWN_METHOD)
    );
    let hello = Rc::new(Hello(Cell::new(0)));
    let it = PbValue::from(PbObject::from(Rc::clone(&hello)));
    assert_eq!(
        ask("local", std::slice::from_ref(&it)),
        Ok(PbValue::Nothing)
    );
    turn_until(reactor, || (hello.0.get() == 1).then_some(()));
    assert_eq!(ask("receive", &[expected()]), Ok(PbValue::Nothing));
    let other = Err("builtins.ValueError".to_owned());
    let text = PbValue::Dictionary(vec![(PbKey::String("1".into()), PbValue::Integer(2))]);
    let PbValue::List(mut items) = expected() else {
        return;
    };
    items[4] = text;
    assert_eq!(ask("receive", &[PbValue::List(items)]), other);
    assert_eq!(ask("self", &[root.clone().into()]), Ok(PbValue::Nothing));
    // Twisted fails as it makes the text of its own failure.
    assert!(ask("self", &[one.into()]).is_err());
    assert!(ask("self", &[it]).is_err());
    for x in [PbValue::Integer(5), one_is_two()] {
        assert_eq!(ask("copy", std::slice::from_ref(&x)), Ok(copyable(x)));
    }
}
