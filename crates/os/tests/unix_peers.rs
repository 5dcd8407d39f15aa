//! UNIX sockets with programs that others wrote: netcat, Python's sockets, and Twisted as client and as server. Skips
//! what is not installed, and says so.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this whole file is a test, which says what it skips"
)]

mod peers;

use peers::{Killed, World, skip, twisted};
use std::{
    cell::RefCell,
    ffi::OsStr,
    io::{BufRead, BufReader, Lines, Write},
    path::PathBuf,
    process::{ChildStderr, ChildStdin, Command, Stdio},
    rc::Rc,
};
use tress_core::{Failure, Port, Protocol, Result, Transport, error::CannotListen};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

/// Sends `hello` and writes down what happens.
struct Client(Rc<RefCell<Vec<String>>>);

impl Protocol for Client {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write(b"hello");
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        let text = String::from_utf8_lossy(data).into_owned();
        self.0.borrow_mut().push(text);
        Ok(())
    }

    fn connection_lost(&mut self, reason: Failure) {
        self.0.borrow_mut().push(reason.to_string());
    }
}

fn at(world: &World, options: &str) -> String {
    format!("unix:{}{options}", socket(world).display())
}

fn socket(world: &World) -> PathBuf {
    world.directory.join("socket")
}

fn listen(world: &World, options: &str) -> Result<Port> {
    world.reactor.listen(&at(world, options), || Echo)
}

#[test]
fn netcat_is_answered() {
    let help = Command::new("nc").arg("-h").output();
    let help = help.map(|output| [output.stdout, output.stderr].concat());
    if !help.is_ok_and(|text| String::from_utf8_lossy(&text).contains("OpenBSD")) {
        return skip("netcat", "no nc of OpenBSD on the PATH");
    }
    let world = World::new();
    listen(&world, ":mode=600").expect("it can listen");
    let mut command = Command::new("nc");
    // -N closes its end after its input.
    command.args(["-U", "-N", "-w", "5"]).arg(socket(&world));
    assert_eq!(world.output(command, b"hello\nworld\n"), "hello\nworld\n");
}

const PYTHON_CLIENT: &str = "\
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
if len(sys.argv) > 2:
    s.bind(sys.argv[2])
s.connect(sys.argv[1])
s.sendall(b'x' * 100000)
s.shutdown(socket.SHUT_WR)
count = 0
while data := s.recv(65536):
    count += len(data)
print(count)
";

#[test]
fn pythons_sockets_are_answered() {
    if Command::new("python3").arg("-V").output().is_err() {
        return skip("Python", "no python3 on the PATH");
    }
    let world = World::new();
    listen(&world, "").expect("it can listen");
    let python = |own: &[&OsStr]| {
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON_CLIENT]).arg(socket(&world));
        command.args(own);
        command
    };
    assert_eq!(world.output(python(&[]), b""), "100000\n");
    // One that has a name.
    let own = world.directory.join("own");
    assert_eq!(world.output(python(&[own.as_ref()]), b""), "100000\n");
}

const TWISTED_CLIENT: &str = "\
import sys
from twisted.internet import defer, endpoints, protocol, task

class Client(protocol.Protocol):
    def connectionMade(self):
        self.done = defer.Deferred()
        self.transport.write(b'hello')
    def dataReceived(self, data):
        if data == b'hello':
            self.transport.loseConnection()
    def connectionLost(self, reason):
        self.done.callback(reason.getErrorMessage())

async def main(reactor, at):
    point = endpoints.clientFromString(reactor, at)
    client = await endpoints.connectProtocol(point, Client())
    print(await client.done)

task.react(main, sys.argv[1:])
";

#[test]
fn twisted_connects_to_ours() {
    let Some(python) = twisted() else { return };
    let world = World::new();
    listen(&world, "").expect("it can listen");
    for options in ["", ":lockfile=1"] {
        let mut command = Command::new(&python);
        command.args(["-c", TWISTED_CLIENT, &at(&world, options)]);
        let said = world.output(command, b"");
        assert_eq!(said, "Connection was closed cleanly.\n");
    }
    // An abstract name: for Twisted it has a NUL byte in front, which no argument can have.
    let name = format!("tress-peers-{}", std::process::id());
    let at = format!("unix:@{name}");
    world.reactor.listen(&at, || Echo).expect("it can listen");
    let mut command = Command::new(&python);
    let script = TWISTED_CLIENT.replace(
        "(reactor, at)\n    client",
        "(reactor, 'unix:\\0' + at)\n    client",
    );
    command.args(["-c", &script, &name]);
    let said = world.output(command, b"");
    assert_eq!(said, "Connection was closed cleanly.\n");
}

/// Listens with a line for each line it reads; says what came of it.
const TWISTED_SERVER: &str = "\
import sys
from twisted.internet import endpoints, protocol, reactor, stdio
from twisted.protocols import basic

class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
        self.transport.loseConnection()

class Control(basic.LineReceiver):
    delimiter = b'\\n'
    def lineReceived(self, line):
        factory = protocol.Factory.forProtocol(Echo)
        point = endpoints.serverFromString(reactor, sys.argv[1])
        point.listen(factory).addCallbacks(lambda _: 'listens', lambda f: f.type.__name__).addCallback(self.say)
    def say(self, what):
        print(what, file=sys.stderr, flush=True)

stdio.StandardIO(Control())
reactor.run()
";

/// A Twisted that listens when it is told to; killed when the test ends.
struct TwistedServer {
    child: Killed,
    input: ChildStdin,
    output: Lines<BufReader<ChildStderr>>,
}

impl TwistedServer {
    fn new(python: &OsStr, at: &str) -> Self {
        let mut command = Command::new(python);
        command.args(["-c", TWISTED_SERVER, at]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stderr.take().unwrap()).lines(),
            child: Killed(child),
        }
    }

    #[track_caller]
    fn listen(&mut self) -> String {
        self.input.write_all(b"listen\n").unwrap();
        self.output.next().expect("it answers").unwrap()
    }
}

#[test]
fn ours_connects_to_twisted() {
    let Some(python) = twisted() else { return };
    let world = World::new();
    let mut server = TwistedServer::new(&python, &at(&world, ""));
    assert_eq!(server.listen(), "listens");
    for options in ["", ":lockfile=1"] {
        let log = Rc::default();
        let client = Client(Rc::clone(&log));
        let connecting = world.reactor.connect_protocol(&at(&world, options), client);
        connecting.detach();
        world.until(|| log.borrow().len() == 2);
        assert_eq!(*log.borrow(), ["hello", "connection was closed cleanly"]);
    }
}

#[test]
fn twisted_and_ours_keep_each_other_out_and_replace_what_the_other_left() {
    let Some(python) = twisted() else { return };
    for lock in ["", ":lockfile=0"] {
        let world = World::new();
        let mut server = TwistedServer::new(&python, &at(&world, lock));
        assert_eq!(server.listen(), "listens");
        for own in ["", ":lockfile=0"] {
            let failure = listen(&world, own).expect_err("Twisted listens there");
            assert!(failure.check::<CannotListen>().is_some());
        }
        server.child.0.kill().unwrap();
        server.child.0.wait().unwrap();
        let port = listen(&world, "").expect("Twisted is gone");

        let mut server = TwistedServer::new(&python, &at(&world, lock));
        assert_eq!(server.listen(), "CannotListenError");
        port.stop_listening();
        assert_eq!(world.names(), 0);
        assert_eq!(server.listen(), "listens");
    }
}
