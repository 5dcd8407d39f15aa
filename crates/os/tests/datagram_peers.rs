//! Datagrams with programs that others wrote: socat, Python's sockets, and Twisted as client and as server; multicast and
//! broadcast between two processes. Skips what is not there, and says so.
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
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixDatagram,
    },
    process::{ChildStdout, Command, Stdio},
    rc::Rc,
};
use tress_core::{
    Address, DatagramProtocol, DatagramTransport, Result, UnixName, driver::Interface,
    error::CannotListen,
};

type Log = Rc<RefCell<Vec<String>>>;

/// Sends back what it gets, where that is possible, and writes down from where.
#[derive(Default)]
struct Echo(Log);

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        from: &Address,
    ) -> Result {
        self.0.borrow_mut().push(from.to_string());
        Ok(transport.write_to(data, from)?)
    }
}

/// Sends `hello` and writes down what comes.
struct Client(Log);

impl DatagramProtocol for Client {
    fn start_protocol(&mut self, transport: &DatagramTransport) -> Result {
        Ok(transport.write(b"hello")?)
    }

    fn datagram_received(&mut self, _: &DatagramTransport, data: &[u8], _: &Address) -> Result {
        let text = String::from_utf8_lossy(data).into_owned();
        self.0.borrow_mut().push(text);
        Ok(())
    }

    fn connection_refused(&mut self, _: &DatagramTransport) -> Result {
        self.0.borrow_mut().push("refused".to_owned());
        Ok(())
    }
}

#[track_caller]
fn open(world: &World, at: &str) -> (DatagramTransport, Log) {
    let log = Log::default();
    let port = world.reactor.listen_datagrams(at, Echo(Rc::clone(&log)));
    (port.expect("it can listen"), log)
}

#[track_caller]
fn number(port: &DatagramTransport) -> String {
    port.local_address().port().unwrap().to_string()
}

fn socket(world: &World) -> String {
    world.directory.join("socket").display().to_string()
}

#[track_caller]
fn has_socat() -> bool {
    let has = Command::new("socat").arg("-V").output().is_ok();
    if !has {
        skip("socat", "it is not on the PATH");
    }
    has
}

fn python(script: &str, arguments: &[&str]) -> Option<Command> {
    if Command::new("python3").arg("-V").output().is_err() {
        skip("Python", "no python3 on the PATH");
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", script]).args(arguments);
    Some(command)
}

/// A program and the lines that it prints.
struct Talker {
    _child: Killed,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Talker {
    fn new(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn();
        let mut child = child.expect("the program starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            _child: Killed(child),
            lines,
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        self.lines.next().expect("it says more").unwrap()
    }
}

#[test]
fn socat_is_answered_over_udp() {
    if !has_socat() {
        return;
    }
    for (at, to) in [
        ("udp:0:interface=127.0.0.1", "UDP4:127.0.0.1:"),
        (r"udp:0:interface=\:\:1", "UDP6:[::1]:"),
        (r"udp:0:interface=\:\:", "UDP6:[::1]:"),
    ] {
        let world = World::new();
        let (port, _) = open(&world, at);
        let mut command = Command::new("socat");
        // -t: so long it waits for answers after its input.
        command.args(["-t", "0.3", "-", &format!("{to}{}", number(&port))]);
        assert_eq!(world.output(command, b"hello"), "hello", "{at}");
    }
}

#[test]
fn socat_is_answered_over_unix() {
    if !has_socat() {
        return;
    }
    let world = World::new();
    let (_port, log) = open(&world, &format!("unixgram:{}:mode=600", socket(&world)));
    let own = world.directory.join("own");
    let mut command = Command::new("socat");
    let to = format!("UNIX-SENDTO:{},bind={}", socket(&world), own.display());
    command.args(["-t", "0.3", "-", &to]);
    assert_eq!(world.output(command, b"hello"), "hello");
    assert_eq!(*log.borrow(), [own.display().to_string()]);
}

#[test]
fn ours_sends_to_socat() {
    if !has_socat() {
        return;
    }
    let world = World::new();
    let mut command = Command::new("socat");
    command.args(["-u", &format!("UNIX-RECV:{}", socket(&world)), "-"]);
    let mut peer = Talker::new(command);
    world.until(|| fs::metadata(socket(&world)).is_ok());
    let log = Log::default();
    let connected = world
        .reactor
        .connect_datagrams(&format!("unixgram:{}", socket(&world)), Client(log));
    connected.unwrap().write(b" world\n").unwrap();
    for _ in 0..3 {
        world.reactor.turn(Some(std::time::Duration::ZERO)).unwrap();
    }
    assert_eq!(peer.line(), "hello world");
}

const PYTHON_CLIENT: &str = "\
import socket, sys
if sys.argv[1] == 'unix':
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(sys.argv[3])
    s.connect(sys.argv[2])
else:
    s = socket.socket(socket.AF_INET6 if ':' in sys.argv[2] else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((sys.argv[2], int(sys.argv[3])))
s.settimeout(20)
for size in (0, 1, 1400, 65507):
    data = bytes(i % 251 for i in range(size))
    s.send(data)
    print(s.recv(70000) == data)
";

#[test]
fn pythons_sockets_are_answered() {
    let expected = "True\n".repeat(4);
    for (interface, ip) in [("127.0.0.1", "127.0.0.1"), (r"\:\:1", "::1")] {
        let world = World::new();
        let (port, _) = open(&world, &format!("udp:0:interface={interface}"));
        let Some(command) = python(PYTHON_CLIENT, &["udp", ip, &number(&port)]) else {
            return;
        };
        assert_eq!(world.output(command, b""), expected);
    }
    let world = World::new();
    let (_port, _) = open(&world, &format!("unixgram:{}", socket(&world)));
    let own = world.directory.join("own").display().to_string();
    let command = python(PYTHON_CLIENT, &["unix", &socket(&world), &own]);
    assert_eq!(world.output(command.unwrap(), b""), expected);
}

const PYTHON_REFUSED: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.connect(('127.0.0.1', int(sys.argv[1])))
s.send(b'x')
print(s.recv(10))
sys.stdin.read()
s.send(b'x')
try:
    s.recv(10)
except ConnectionRefusedError:
    print('refused')
";

/// A port that is closed refuses others, and others refuse ours.
#[test]
fn a_closed_port_refuses_both_ways() {
    let world = World::new();
    let (port, log) = open(&world, "udp:0:interface=127.0.0.1");
    let at = number(&port);
    let Some(mut command) = python(PYTHON_REFUSED, &[&at]) else {
        return;
    };
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = Killed(child.unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    world.until(|| log.borrow().len() == 1);
    assert_eq!(lines.next().unwrap().unwrap(), "b'x'");
    port.stop_listening().detach();
    world.until(|| !port.is_listening());
    world.reactor.turn(Some(std::time::Duration::ZERO)).unwrap();
    drop(child.0.stdin.take());
    assert_eq!(lines.next().unwrap().unwrap(), "refused");

    let log = Log::default();
    let to = format!("udp:127.0.0.1:{at}");
    let client = world
        .reactor
        .connect_datagrams(&to, Client(Rc::clone(&log)));
    client.expect("nothing has been sent yet");
    world.until(|| log.borrow().len() == 1);
    assert_eq!(*log.borrow(), ["refused"]);
}

const PYTHON_BROADCAST: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.bind(('', 0))
s.settimeout(20)
s.sendto(b'all', ('127.255.255.255', int(sys.argv[1])))
print(s.recv(10), flush=True)
print(s.recv(10))
";

/// The loopback's broadcast, from another process and to it.
#[test]
fn broadcasts_go_both_ways() {
    let world = World::new();
    let (port, log) = open(&world, "udp:0:broadcast=1");
    let Some(command) = python(PYTHON_BROADCAST, &[&number(&port)]) else {
        return;
    };
    let mut peer = Talker::new(command);
    world.until(|| log.borrow().len() == 1);
    assert_eq!(peer.line(), "b'all'");
    let from: SocketAddr = log.borrow()[0].parse().unwrap();
    let everybody = SocketAddr::from(([127, 255, 255, 255], from.port()));
    port.write_to(b"back", &everybody.into()).unwrap();
    world.reactor.turn(Some(std::time::Duration::ZERO)).unwrap();
    assert_eq!(peer.line(), "b'back'");
    assert_eq!(port.statistics().send_dropped, 0);
}

/// Joins a group, says where it is, sends to it when it hears something, and says what that was.
const PYTHON_MEMBER: &str = "\
import socket, struct, sys
group, to = sys.argv[1], int(sys.argv[2])
if ':' in group:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(('::', 0))
    for index, name in socket.if_nameindex():
        try:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            s.sendto(b'', (group, 9))
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + struct.pack('@I', index))
        except OSError:
            continue
        print(index, flush=True)
        break
    else:
        print('no interface has multicast for IPv6')
        sys.exit()
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', 0))
    lo = socket.inet_aton('127.0.0.1')
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + lo)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, lo)
    print(0, flush=True)
s.settimeout(20)
print(s.getsockname()[1], flush=True)
print(s.recv(10), flush=True)
s.sendto(b'back', (group, to))
";

/// Between two processes, both members of the group.
#[test]
fn multicast_goes_both_ways() {
    for (group, everywhere) in [
        ("239.9.8.7", "udp:0"),
        ("ff02::987", r"udp:0:interface=\:\:"),
    ] {
        let world = World::new();
        let (port, log) = open(&world, everywhere);
        let Some(command) = python(PYTHON_MEMBER, &[group, &number(&port)]) else {
            return;
        };
        let mut peer = Talker::new(command);
        let first = peer.line();
        let interface = match first.parse() {
            Ok(0) => Interface::Address([127, 0, 0, 1].into()),
            Ok(index) => Interface::Index(index),
            Err(_) => {
                skip(group, &first);
                continue;
            }
        };
        let to = peer.line().parse().unwrap();
        let group: IpAddr = group.parse().unwrap();
        port.join_group(group, interface).unwrap();
        port.set_multicast_interface(interface).unwrap();
        port.write_to(b"all", &SocketAddr::new(group, to).into())
            .unwrap();
        world.until(|| log.borrow().len() == 1);
        assert_eq!(peer.line(), "b'all'");
        let from: SocketAddr = log.borrow()[0].parse().unwrap();
        assert_eq!(from.port(), to);
        port.leave_group(group, interface).unwrap();
    }
}

const TWISTED_CLIENT: &str = "\
import sys
from twisted.internet import protocol, reactor

class Client(protocol.DatagramProtocol):
    def startProtocol(self):
        self.transport.connect('127.0.0.1', int(sys.argv[2]))
        self.transport.write(b'hello')
    def datagramReceived(self, data, addr):
        print(data, flush=True)
        reactor.stop()

class UnixClient(protocol.ConnectedDatagramProtocol):
    def startProtocol(self):
        self.transport.write(b'hello')
    def datagramReceived(self, data):
        print(data, flush=True)
        reactor.stop()

if sys.argv[1] == 'udp':
    reactor.listenUDP(0, Client())
else:
    reactor.connectUNIXDatagram(sys.argv[2], UnixClient(), bindAddress=sys.argv[3])
reactor.run()
";

const TWISTED_SERVER: &str = "\
import sys
from twisted.internet import protocol, reactor

class Echo(protocol.DatagramProtocol):
    def datagramReceived(self, data, addr):
        self.transport.write(data, addr)

if sys.argv[1] == 'udp':
    print(reactor.listenUDP(0, Echo(), interface='127.0.0.1').getHost().port, flush=True)
else:
    reactor.listenUNIXDatagram(sys.argv[2], Echo())
    print('listens', flush=True)
reactor.run()
";

fn with_script(python: &OsStr, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.args(["-c", script]).args(arguments);
    command
}

#[test]
fn twisted_is_answered() {
    let Some(python) = twisted() else { return };
    let world = World::new();
    let (port, _) = open(&world, "udp:0:interface=127.0.0.1");
    let command = with_script(&python, TWISTED_CLIENT, &["udp", &number(&port)]);
    assert_eq!(world.output(command, b""), "b'hello'\n");
    let (_port, _) = open(&world, &format!("unixgram:{}", socket(&world)));
    let own = world.directory.join("own").display().to_string();
    let arguments = ["unix", &socket(&world), &own];
    let command = with_script(&python, TWISTED_CLIENT, &arguments);
    assert_eq!(world.output(command, b""), "b'hello'\n");
}

#[test]
fn ours_is_answered_by_twisted() {
    let Some(python) = twisted() else { return };
    let world = World::new();
    for kind in ["udp", "unix"] {
        let at = socket(&world);
        let mut server = Talker::new(with_script(&python, TWISTED_SERVER, &[kind, &at]));
        let first = server.line();
        let to = match kind {
            "udp" => format!("udp:127.0.0.1:{first}"),
            _ => format!("unixgram:{at}:bindAddress={at}-own"),
        };
        let log = Log::default();
        let client = world
            .reactor
            .connect_datagrams(&to, Client(Rc::clone(&log)));
        client.expect("Twisted listens");
        world.until(|| log.borrow().len() == 1);
        assert_eq!(*log.borrow(), ["hello"]);
    }
}

/// Nobody can answer a socket without a name: whoever tries is told, and the others are served.
#[test]
fn a_socket_without_a_name_is_heard_and_not_answered() {
    let world = World::new();
    let (port, log) = open(&world, &format!("unixgram:{}", socket(&world)));
    let unbound = UnixDatagram::unbound().unwrap();
    unbound.send_to(b"x", socket(&world)).unwrap();
    world.until(|| log.borrow().len() == 1);
    assert_eq!(*log.borrow(), ["unnamed"]);
    assert_eq!(port.statistics().failures, 1);
    let named = UnixDatagram::bind(world.directory.join("own")).unwrap();
    named.send_to(b"y", socket(&world)).unwrap();
    world.until(|| port.statistics().sent == 1);
    assert_eq!(named.recv(&mut [0; 9]).unwrap(), 1);
    let unnamed = Address::Unix(UnixName::Unnamed);
    assert!(port.write_to(b"x", &unnamed).is_err());
}

/// A client that does not read loses what has no room; the port serves others.
#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let world = World::new();
    let (port, _) = open(&world, &format!("unixgram:{}", socket(&world)));
    let slow = UnixDatagram::bind(world.directory.join("slow")).unwrap();
    let other = UnixDatagram::bind(world.directory.join("other")).unwrap();
    slow.set_nonblocking(true).unwrap();
    while port.statistics().send_dropped == 0 {
        slow.send_to(b"x", socket(&world)).ok();
        world.reactor.turn(Some(std::time::Duration::ZERO)).unwrap();
    }
    other.send_to(b"y", socket(&world)).unwrap();
    let before = port.statistics().received;
    world.until(|| port.statistics().received > before);
    assert_eq!(other.recv(&mut [0; 9]).unwrap(), 1);
}

/// The file has its mode whatever the umask is, and goes with the port.
#[test]
fn the_file_of_a_unix_port() {
    let world = World::new();
    for (options, mode) in [("", 0o666), (":mode=600", 0o600)] {
        let at = format!("unixgram:{}{options}", socket(&world));
        let (port, _) = open(&world, &at);
        let metadata = fs::symlink_metadata(socket(&world)).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
        assert_eq!(world.names(), 1, "the lock file is gone");
        let second = world.reactor.listen_datagrams(&at, Echo::default());
        let failure = second.expect_err("a port is there");
        assert!(failure.check::<CannotListen>().is_some(), "{failure}");
        port.stop_listening().detach();
        world.until(|| world.names() == 0);
    }
}

/// A socket that nobody has is replaced, of either type; one in use and what is no socket never are.
#[test]
fn a_stale_socket_is_replaced() {
    let world = World::new();
    let at = format!("unixgram:{}", socket(&world));
    let listen = || world.reactor.listen_datagrams(&at, Echo::default());
    drop(UnixDatagram::bind(socket(&world)).unwrap());
    let port = listen().expect("nobody has it");
    port.stop_listening().detach();
    world.until(|| world.names() == 0);

    drop(std::os::unix::net::UnixListener::bind(socket(&world)).unwrap());
    let port = listen().expect("nobody has it");
    port.stop_listening().detach();
    world.until(|| world.names() == 0);

    let living = std::os::unix::net::UnixListener::bind(socket(&world)).unwrap();
    listen().expect_err("somebody has it");
    drop(living);
    fs::remove_file(socket(&world)).unwrap();
    fs::write(socket(&world), "precious").unwrap();
    listen().expect_err("it is no socket");
    assert_eq!(fs::read(socket(&world)).unwrap(), b"precious");
}

/// A name without a file.
#[test]
fn an_abstract_name() {
    let world = World::new();
    let name = format!("@tress-datagrams-{}", std::process::id());
    let (_port, server) = open(&world, &format!("unixgram:{name}"));
    let log = Log::default();
    let to = format!("unixgram:{name}:bindAddress={name}-own");
    let client = world
        .reactor
        .connect_datagrams(&to, Client(Rc::clone(&log)));
    client.expect("it is there");
    world.until(|| log.borrow().len() == 1);
    assert_eq!(*server.borrow(), [format!("{name}-own")]);
}

/// To a peer that is connected to, what has no room waits, and leaves in order once there is room again.
#[test]
fn what_has_no_room_waits() {
    let world = World::new();
    let slow = UnixDatagram::bind(socket(&world)).unwrap();
    slow.set_nonblocking(true).unwrap();
    let to = format!("unixgram:{}", socket(&world));
    let client = world.reactor.connect_datagrams(&to, Echo::default());
    let client = client.expect("it is there");
    for number in 0..2000_u32 {
        client.write(&number.to_be_bytes()).expect("there is room");
    }
    for _ in 0..3 {
        world.reactor.turn(Some(std::time::Duration::ZERO)).unwrap();
    }
    assert!(
        client.statistics().queued > 0,
        "the system has no such room"
    );
    let mut read = 0_u32;
    world.until(|| {
        let mut buffer = [0; 9];
        while let Ok(4) = slow.recv(&mut buffer) {
            assert_eq!(buffer[..4], read.to_be_bytes());
            read += 1;
        }
        read == 2000
    });
    let statistics = client.statistics();
    assert_eq!((statistics.sent, statistics.send_dropped), (2000, 0));
}
