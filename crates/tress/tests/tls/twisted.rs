//! Twisted at the other end, with TLS from the beginning and from the middle on.

use crate::{Killed, Log, Repeat, World, number, skip};
use std::{
    process::{Command, Stdio},
    rc::Rc,
};
use tress::{
    Result,
    framing::{LineReceiver, LineTransport, Lines},
    tls::{
        ClientConfig, ClientTls, Identity, ServerConfig, ServerTls, StartTls, SystemFiles, Trust,
    },
};

fn twisted(script: &str, arguments: &[&str]) -> Option<Command> {
    let Some(python) = std::env::var_os("TRESS_PYTHON") else {
        skip("Twisted", "TRESS_PYTHON names no Python that has it");
        return None;
    };
    let has = Command::new(&python)
        .args(["-c", "import twisted.internet.ssl, service_identity"])
        .output();
    if !has.is_ok_and(|output| output.status.success()) {
        skip("Twisted", "the Python of TRESS_PYTHON has no pyOpenSSL");
        return None;
    }
    let mut command = Command::new(python);
    command.args(["-c", script]).args(arguments);
    Some(command)
}

const CLIENT: &str = "\
import sys
from twisted.internet import defer, endpoints, protocol, task
from twisted.protocols import basic

class Client(basic.LineReceiver):
    def connectionMade(self):
        self.done = defer.Deferred()
        self.sendLine(b'x' * 10000)
        self.sendLine(b'info')
    def lineReceived(self, line):
        print(len(line) if len(line) > 100 else line.decode())
        if len(line) < 100:
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
    let world = World::new();
    let roots = world.directory.join("roots");
    std::fs::create_dir_all(&roots).unwrap();
    std::fs::copy(world.path("ca.pem"), roots.join("ca.pem")).unwrap();
    let roots = world.option("trustRoots", "roots");
    let certificate = world.option("certificate", "client.cert.pem");
    let key = world.option("privateKey", "client.key.pem");
    let (_port, open) = world.listen("");
    let (_port2, closed) = world.listen(&world.option("caCerts", "ca.pem"));
    for (at, who) in [
        (format!("tls:localhost:{open}{roots}"), "nobody"),
        (
            format!("tls:localhost:{closed}{roots}{certificate}{key}"),
            "somebody",
        ),
    ] {
        let Some(command) = twisted(CLIENT, &[&at]) else {
            return;
        };
        let (ok, said) = world.output(command, "");
        let info = format!("TLS 1.3, none, localhost, {who}");
        assert_eq!(
            said,
            format!("10000\n{info}\nConnection was closed cleanly.\n")
        );
        assert!(ok);
    }
    // Twisted does not accept what it must not, and ours says why its client has gone.
    let Some(command) = twisted(CLIENT, &[&format!("tls:localhost:{open}")]) else {
        return;
    };
    let (ok, said) = world.output(command, "");
    assert!(
        !said.contains("10000") && said.contains("certificate verify failed"),
        "{ok} {said}"
    );
}

const SERVER: &str = "\
import sys
from twisted.internet import endpoints, protocol, reactor
from twisted.protocols import basic

class Echo(basic.LineReceiver):
    def lineReceived(self, line):
        self.sendLine(line)

def listens(port):
    print(port.getHost().port, flush=True)

point = endpoints.serverFromString(reactor, sys.argv[1])
point.listen(protocol.Factory.forProtocol(Echo)).addCallback(listens)
reactor.run()
";

fn server(script: &str, arguments: &[&str]) -> Option<(Killed, String)> {
    let mut command = twisted(script, arguments)?;
    let mut server = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let port = server.lines().recv_timeout(crate::PATIENCE).unwrap();
    Some((server, port))
}

#[test]
fn ours_connects_to_twisted() {
    let world = World::new();
    let certs = world.directory.join("certs");
    std::fs::create_dir_all(&certs).unwrap();
    for name in ["localhost.cert.pem", "localhost.key.pem"] {
        std::fs::copy(world.path(name), certs.join(name)).unwrap();
    }
    let certificate = world.option("certKey", "localhost.cert.pem");
    let key = world.option("privateKey", "localhost.key.pem");
    let trust = world.option("trustRoots", "ca.pem");
    for at in [
        format!("ssl:0:interface=127.0.0.1{certificate}{key}"),
        format!(r"tls:{}:port=0:interface=\:\:1", world.path("certs")),
    ] {
        let Some((_server, port)) = server(SERVER, &[&at]) else {
            return;
        };
        let host = if at.starts_with("ssl") {
            "127.0.0.1"
        } else {
            r"\\\:\\\:1"
        };
        let to = format!(r"tls:localhost{trust}:endpoint=tcp\:{host}\:{port}");
        let said = world.connect(&to, b"hello");
        assert_eq!(
            said,
            [
                "hello",
                "TLS 1.3, none, localhost, somebody",
                "connection was closed cleanly"
            ]
        );
    }
}

/// `STARTTLS` is answered with `go ahead`, and TLS.
struct Server(ServerTls);

impl LineReceiver for Server {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        if line == b"STARTTLS" {
            transport.send_line(b"go ahead");
            transport.start_tls(&self.0);
            return Ok(());
        }
        Repeat.line_received(transport, line)
    }
}

const STARTING_CLIENT: &str = "\
import sys
from twisted.internet import defer, endpoints, protocol, ssl, task
from twisted.protocols import basic

class Client(basic.LineReceiver):
    def connectionMade(self):
        self.done = defer.Deferred()
        self.sendLine(b'info')
        self.sendLine(b'STARTTLS')
    def lineReceived(self, line):
        print(line.decode())
        if line == b'go ahead':
            with open(sys.argv[2]) as f:
                ca = ssl.Certificate.loadPEM(f.read())
            options = ssl.optionsForClientTLS('localhost', trustRoot=ssl.trustRootFromCertificates([ca]))
            self.transport.startTLS(options)
            self.sendLine(b'info')
        elif line.startswith(b'TLS'):
            self.transport.loseConnection()
    def connectionLost(self, reason):
        self.done.callback(reason.getErrorMessage())

async def main(reactor, at, ca):
    point = endpoints.clientFromString(reactor, at)
    client = await endpoints.connectProtocol(point, Client())
    print(await client.done)

task.react(main, sys.argv[1:])
";

#[test]
fn twisted_starts_tls_with_ours() {
    let world = World::new();
    let now = world.reactor.wall();
    let (certificate, key) = (
        world.path("localhost.cert.pem"),
        world.path("localhost.key.pem"),
    );
    let identity = Identity::read(&SystemFiles, certificate, key, None, now).unwrap();
    let tls = ServerConfig::new(identity).build(now).unwrap();
    let at = "tcp:0:interface=127.0.0.1";
    let port = world
        .reactor
        .listen(at, move || Lines::new(Server(tls.clone())))
        .unwrap();
    let to = format!("tcp:127.0.0.1:{}", number(&port));
    let Some(command) = twisted(STARTING_CLIENT, &[&to, &world.path("ca.pem")]) else {
        return;
    };
    let (ok, said) = world.output(command, "");
    let info = "TLS 1.3, none, localhost, nobody";
    let expected = format!("in the clear\ngo ahead\n{info}\nConnection was closed cleanly.\n");
    assert_eq!(said, expected);
    assert!(ok);
}

const STARTING_SERVER: &str = "\
import sys
from twisted.internet import endpoints, protocol, reactor, ssl
from twisted.protocols import basic

class Server(basic.LineReceiver):
    def lineReceived(self, line):
        if line == b'STARTTLS':
            self.sendLine(b'go ahead')
            with open(sys.argv[1]) as cert, open(sys.argv[2]) as key:
                pair = ssl.PrivateCertificate.loadPEM(cert.read() + key.read())
            self.transport.startTLS(pair.options())
        else:
            self.sendLine(line)

def listens(port):
    print(port.getHost().port, flush=True)

point = endpoints.serverFromString(reactor, 'tcp:0:interface=127.0.0.1')
point.listen(protocol.Factory.forProtocol(Server)).addCallback(listens)
reactor.run()
";

struct Client {
    tls: ClientTls,
    log: Log,
}

impl LineReceiver for Client {
    fn connection_made(&mut self, transport: &LineTransport) -> Result {
        transport.send_line(b"STARTTLS");
        Ok(())
    }
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        let line = String::from_utf8_lossy(line).into_owned();
        if line == "go ahead" {
            transport.start_tls(self.tls.layer("localhost")?);
            transport.send_line(b"secret");
        } else {
            transport.lose_connection();
        }
        self.log.borrow_mut().push(line);
        Ok(())
    }
    fn connection_lost(&mut self, reason: tress::Failure) {
        self.log.borrow_mut().push(reason.to_string());
    }
}

#[test]
fn ours_starts_tls_with_twisted() {
    let world = World::new();
    let (certificate, key) = (
        world.path("localhost.cert.pem"),
        world.path("localhost.key.pem"),
    );
    let Some((_server, port)) = server(STARTING_SERVER, &[&certificate, &key]) else {
        return;
    };
    let trust = Trust::read(&SystemFiles, world.path("ca.pem")).unwrap();
    let tls = ClientConfig::new().trust(trust).build().unwrap();
    let log = Log::default();
    let client = Client {
        tls,
        log: Rc::clone(&log),
    };
    let to = format!("tcp:127.0.0.1:{port}");
    world
        .reactor
        .connect_protocol(&to, Lines::new(client))
        .detach();
    world.until(|| log.borrow().len() == 3);
    assert_eq!(
        *log.borrow(),
        ["go ahead", "secret", "connection was closed cleanly"]
    );
}
