//! `haproxy:` over real sockets: what must be refused, and headers that others write: curl (version 1), HAProxy (both
//! versions, with fields and health checks). And Twisted, which must read every header as we do. Skips what is not
//! installed, and says so.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this whole file is a test with peers from outside, which says what it skips"
)]

use std::{
    cell::RefCell,
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};
use tress_core::{Address, Limits, Protocol, Reactor, Result, Transport, testing::pattern};
use tress_os::Mio;
use tress_protocols::haproxy::HaProxy;

const PATIENCE: Duration = Duration::from_secs(30);

/// Says who is there and where they connected to, then everything it gets up to a full stop, and closes.
struct Named(Rc<RefCell<Vec<String>>>);

impl Protocol for Named {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        let line = format!("{} {}\n", transport.peer(), transport.host());
        transport.write(line.as_bytes());
        self.0.borrow_mut().push(line);
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        if data.contains(&b'.') {
            transport.lose_connection();
        }
        Ok(())
    }
}

struct World {
    reactor: Reactor,
    at: SocketAddr,
    /// What the protocols said when they were made.
    made: Rc<RefCell<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        Self::with("", Limits::default())
    }

    fn with(options: &str, limits: Limits) -> Self {
        let reactor = Reactor::with(Mio::new().expect("epoll works"));
        reactor.set_limits(limits);
        reactor.endpoint_kind("haproxy", HaProxy);
        let made = Rc::<RefCell<Vec<_>>>::default();
        let log = Rc::clone(&made);
        let at = format!("haproxy:tcp:0:interface=127.0.0.1{options}");
        let port = reactor.listen(&at, move || Named(Rc::clone(&log))).unwrap();
        let Address::Ip(at) = *port.local_address() else {
            panic!("it is a TCP port");
        };
        Self { reactor, at, made }
    }

    /// Turns the reactor while a peer does something in a thread of its own.
    #[track_caller]
    fn while_peer<T: Send + 'static>(&self, peer: impl FnOnce() -> T + Send + 'static) -> T {
        let peer = thread::spawn(peer);
        let start = Instant::now();
        while !peer.is_finished() {
            assert!(start.elapsed() < PATIENCE, "the peer has no end");
            let turned = self.reactor.turn(Some(Duration::from_millis(1)));
            turned.expect("the driver works");
        }
        peer.join().unwrap()
    }

    /// What our server answers to these bytes.
    #[track_caller]
    fn answer(&self, bytes: &[u8]) -> String {
        let (at, bytes) = (self.at, bytes.to_vec());
        self.while_peer(move || ask(at, &bytes))
    }
}

/// What a server answers to these bytes, with the peer's own address as `me`.
fn ask(at: SocketAddr, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(at).unwrap();
    let me = stream.local_addr().unwrap().to_string();
    (&stream).write_all(bytes).ok();
    read_all(stream)
        .replace(&me, "me")
        .replace(&at.to_string(), "there")
}

/// Everything to the end, which may be a reset.
fn read_all(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no end: {error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

const V1: &str = "PROXY TCP4 203.0.113.5 198.51.100.7 4711 80\r\n";
const V1_SAYS: &str = "203.0.113.5:4711 198.51.100.7:80\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 for the same addresses, with so many bytes of fields behind them.
fn v2(fields: &[u8]) -> Vec<u8> {
    let addresses = [203, 0, 113, 5, 198, 51, 100, 7, 18, 103, 0, 80];
    let length = u16::try_from(addresses.len() + fields.len()).unwrap();
    [
        SIGNATURE,
        &[0x21, 0x11],
        &length.to_be_bytes(),
        &addresses,
        fields,
    ]
    .concat()
}

#[test]
fn px_01_headers_whole_and_in_pieces_of_one_byte() {
    let world = World::new();
    for header in [
        V1.as_bytes().to_vec(),
        v2(b""),
        v2(&[0x20, 0xff, 0xff, 0x20, 0xff, 0xff]),
    ] {
        let all = [&header[..], b"hello."].concat();
        assert_eq!(world.answer(&all), format!("{V1_SAYS}hello."));
        let at = world.at;
        let answer = world.while_peer(move || {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.set_nodelay(true).unwrap();
            for byte in all {
                stream.write_all(&[byte]).unwrap();
                thread::yield_now();
            }
            read_all(stream)
        });
        assert_eq!(answer, format!("{V1_SAYS}hello."));
    }
}

#[test]
fn px_01_local_and_unknown_keep_the_real_addresses() {
    let world = World::new();
    let local = [SIGNATURE, &[0x20, 0x00, 0x00, 0x00]].concat();
    for header in [&b"PROXY UNKNOWN\r\n"[..], &local] {
        let all = [header, b"hello."].concat();
        assert_eq!(world.answer(&all), "me there\nhello.");
    }
}

#[test]
fn px_01_what_is_no_header_is_closed_without_a_word() {
    let world = World::new();
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let huge = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    let family = [SIGNATURE, &[0x21, 0x41, 0x00, 0x00]].concat();
    let noise = pattern(100_000);
    for bytes in [
        b"GET / HTTP/1.0\r\n\r\n",
        long.as_bytes(),
        &huge,
        &family,
        b"PROXY TCP4 203.0.113.5 198.51.100.7 4711 65536\r\n",
        &noise,
    ] {
        assert_eq!(world.answer(bytes), "");
    }
    assert!(world.made.borrow().is_empty(), "no protocol was built");
    assert_eq!(world.reactor.statistics().connections, 0);
}

#[test]
fn px_01_none_at_all_is_closed_after_the_handshakes_time() {
    let mut limits = Limits::default();
    limits.handshake = Duration::from_millis(50);
    let world = World::with("", limits);
    assert_eq!(world.answer(b""), "");
    assert_eq!(world.answer(b"PROXY TCP4 203.0"), "");
    assert!(world.made.borrow().is_empty(), "no protocol was built");
}

#[test]
fn px_01_a_header_of_a_peer_that_is_not_listed_is_not_read() {
    let world = World::with(":trusted=10.0.0.0/8", Limits::default());
    assert_eq!(world.answer(V1.as_bytes()), "");
    assert!(world.made.borrow().is_empty(), "no protocol was built");
}

#[test]
fn it_lies_on_unix_sockets_too() {
    let directory = std::env::temp_dir().join(format!("tress-haproxy-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let world = World::new();
    let socket = directory.join("socket");
    let at = format!(
        "haproxy:unix:{}:mode=600:trusted=10.0.0.0/8",
        socket.display()
    );
    let made = Rc::clone(&world.made);
    let port = world.reactor.listen(&at, move || Named(Rc::clone(&made)));
    let port = port.unwrap();
    let answer = world.while_peer(move || {
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream
            .write_all(&[V1.as_bytes(), b"hello."].concat())
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    assert_eq!(answer, format!("{V1_SAYS}hello."));
    port.stop_listening();
    fs::remove_dir(&directory).unwrap();
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn is_installed(program: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let installed = command.status().is_ok_and(|status| status.success());
    if !installed {
        println!("skipped: {program} is not installed");
    }
    installed
}

#[test]
fn curl_speaks_version_1() {
    if !is_installed("curl", "--version") {
        return;
    }
    let world = World::new();
    let url = format!("http://{}/hello.", world.at);
    let answer = world.while_peer(move || {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--http0.9",
            "--haproxy-protocol",
            "--noproxy",
            "*",
            &url,
        ]);
        curl.output().unwrap()
    });
    let said = String::from_utf8(answer.stdout).unwrap();
    let (addresses, request) = said.split_once('\n').unwrap();
    assert!(addresses.starts_with("127.0.0.1:"), "{said}");
    assert!(addresses.ends_with(&format!(" {}", world.at)), "{said}");
    assert!(request.starts_with("GET /hello. HTTP/1.1\r\n"), "{said}");
}

/// HAProxy in front of our server, with these words in its `server` line.
fn check_haproxy(words: &str) {
    if !is_installed("haproxy", "-v") {
        return;
    }
    let world = World::new();
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = front.local_addr().unwrap();
    drop(front);
    let name = format!("tress-haproxy-{}-{}", std::process::id(), at.port());
    let file = std::env::temp_dir().join(name);
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 20s\n  timeout server 20s\n\
         listen front\n  bind {at}\n  unique-id-format %{{+X}}o%ci%cp\n  server tress {} {words}\n",
        world.at
    );
    fs::write(&file, config).unwrap();
    let mut haproxy = Command::new("haproxy");
    haproxy.arg("-db").arg("-f").arg(&file);
    haproxy.stdout(Stdio::null()).stderr(Stdio::null());
    let _haproxy = Killed(haproxy.spawn().unwrap());
    let answer = world.while_peer(move || {
        let start = Instant::now();
        let stream = loop {
            match TcpStream::connect(at) {
                Ok(stream) => break stream,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            thread::yield_now();
        };
        let me = stream.local_addr().unwrap().to_string();
        (&stream).write_all(b"hello.").unwrap();
        let answer = read_all(stream);
        answer.replace(&me, "me").replace(&at.to_string(), "front")
    });
    fs::remove_file(PathBuf::from(&file)).unwrap();
    assert_eq!(answer, "me front\nhello.", "{words}");
}

#[test]
fn haproxy_speaks_version_1() {
    check_haproxy("send-proxy");
}

#[test]
fn haproxy_speaks_version_2() {
    check_haproxy("send-proxy-v2");
}

#[test]
fn haproxy_sends_fields() {
    check_haproxy("send-proxy-v2 proxy-v2-options unique-id,crc32c");
}

#[test]
fn haproxy_checks_our_health_with_a_local_header() {
    check_haproxy("send-proxy-v2 check check-send-proxy inter 20ms");
}

/// Twisted's own `haproxy:` with the same protocol; prints where it listens.
const TWISTED: &str = r#"
from twisted.internet import endpoints, protocol, reactor

def shown(address):
    if hasattr(address, "name"):
        return (address.name or b"unnamed").decode()
    form = "[%s]:%d" if ":" in address.host else "%s:%d"
    return form % (address.host, address.port)

class Named(protocol.Protocol):
    def dataReceived(self, data):
        peer, host = self.transport.getPeer(), self.transport.getHost()
        self.transport.write(b"%s %s\n" % (shown(peer).encode(), shown(host).encode()))
        self.transport.write(data)
        self.transport.loseConnection()

factory = protocol.Factory.forProtocol(Named)
listening = endpoints.serverFromString(reactor, "haproxy:tcp:0:interface=127.0.0.1").listen(factory)
listening.addCallback(lambda port: print(port.getHost().port, flush=True))
reactor.run()
"#;

#[test]
fn twisted_reads_every_header_as_we_do() {
    let Some(python) = std::env::var_os("TRESS_PYTHON") else {
        return println!("skipped: Twisted: TRESS_PYTHON names no Python that has it");
    };
    let mut twisted = Command::new(python);
    twisted.args(["-c", TWISTED]).stdout(Stdio::piped());
    let mut twisted = Killed(twisted.spawn().unwrap());
    let mut line = String::new();
    let mut said = BufReader::new(twisted.0.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    let theirs = SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()));
    let world = World::new();
    let mut names = [0; 216];
    names[..6].copy_from_slice(b"/run/x");
    names[108..114].copy_from_slice(b"/run/y");
    let v6 = [[0x20; 16], [0x11; 16]].concat();
    let block = |kind: u8, family: u8, block: &[u8]| {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[kind, family], &length, block].concat()
    };
    for header in [
        V1.as_bytes().to_vec(),
        b"PROXY TCP6 2001:db8::9 2001:db8::7 4711 65535\r\n".to_vec(),
        // Without the blank, as its specification has it, Twisted refuses it.
        b"PROXY UNKNOWN \r\n".to_vec(),
        b"PROXY UNKNOWN whatever follows\r\n".to_vec(),
        v2(b""),
        v2(&[4, 0, 1, 0]),
        block(0x21, 0x12, &v2(b"")[16..]),
        block(0x21, 0x21, &[&v6[..], &[1, 2, 3, 4]].concat()),
        block(0x21, 0x31, &names),
        block(0x21, 0x10, &v2(b"")[16..]),
        block(0x20, 0x00, b""),
        block(0x20, 0x11, &v2(b"")[16..]),
        block(0x21, 0x41, &[0; 12]),
        block(0x11, 0x11, &[0; 12]),
        b"PROXY TCP4 203.0.113.5 198.51.100.7 4711\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_vec(),
    ] {
        let all = [&header[..], b"hello."].concat();
        let ours = world.answer(&all);
        assert_eq!(ours, ask(theirs, &all), "{}", header.escape_ascii());
    }
}
