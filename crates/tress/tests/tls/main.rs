//! TLS with programs that others wrote, over real sockets: OpenSSL's, Python's ssl, and Twisted. Skips what is not
//! installed, and says so.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "real programs take real time, and this whole file is a test, which says what it skips"
)]

mod files;
mod openssl;
mod python;
mod twisted;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::{
    cell::RefCell,
    fs,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    rc::Rc,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};
use tress::{
    Failure, Port, Protocol, Reactor, Result, SharedFactory, Transport,
    endpoint::{EndpointKind, EndpointSpec, Side, quote},
    framing::{LineReceiver, LineTransport, Lines},
    tls::{ClientTls, TlsInfo},
};
use tress_core::{layer::MakeLayer, reactor::Target};

const PATIENCE: Duration = Duration::from_secs(30);

/// Repeats lines; what TLS knows is the answer to `info`, and `bye` closes.
struct Repeat;

impl LineReceiver for Repeat {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        match line {
            b"bye" => transport.lose_connection(),
            b"info" => {
                let info = transport.info::<TlsInfo>().map(|info| told(&info));
                let info = info.unwrap_or_else(|| "in the clear".to_owned());
                transport.send_line(info.as_bytes());
            }
            line => transport.send_line(line),
        }
        Ok(())
    }
}

/// Version, protocol, name and whether the peer has shown a certificate.
fn told(info: &TlsInfo) -> String {
    let protocol = info.negotiated_protocol.as_deref().unwrap_or(b"none");
    let protocol = String::from_utf8_lossy(protocol);
    let name = info.server_name.as_deref().unwrap_or("none");
    let certificate = match info.peer_certificates.is_empty() {
        true => "nobody",
        false => "somebody",
    };
    let resumed = if info.resumed { ", resumed" } else { "" };
    format!(
        "{}, {protocol}, {name}, {certificate}{resumed}",
        info.version
    )
}

/// Sends a line and writes down what happens.
struct Client {
    says: &'static [u8],
    came: Vec<u8>,
    log: Log,
}

type Log = Rc<RefCell<Vec<String>>>;

impl Protocol for Client {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.write_sequence([self.says, b"\r\n"]);
        Ok(())
    }
    /// A line ends in `\r\n` or in `\n`.
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.came.extend_from_slice(data);
        if let Some(line) = self.came.strip_suffix(b"\n") {
            let line = String::from_utf8_lossy(line).trim_end().to_owned();
            let info = transport.info::<TlsInfo>().expect("TLS lies below");
            self.log.borrow_mut().extend([line, told(&info)]);
            transport.lose_connection();
        }
        Ok(())
    }
    fn connection_lost(&mut self, reason: Failure) {
        self.log.borrow_mut().push(reason.to_string());
    }
}

/// A real reactor, and a directory with `ca.pem`, pairs for `localhost` and for a client, and a pair of nobody's.
struct World {
    reactor: Reactor,
    directory: PathBuf,
}

impl World {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tress-tls-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let world = Self {
            reactor: tress::reactor().unwrap(),
            directory,
        };
        let authority = authority("tress test authority");
        world.write("ca.pem", &authority.pem());
        world.issue("localhost", &authority);
        world.issue("client", &authority);
        world.issue("stranger", &self::authority("somebody else"));
        world
    }

    fn issue(&self, name: &str, authority: &Authority) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2049, 1, 1);
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issued = params.signed_by(&key, authority).unwrap();
        self.write(&format!("{name}.cert.pem"), &issued.pem());
        self.write(&format!("{name}.key.pem"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// An option with a file.
    fn option(&self, option: &str, name: &str) -> String {
        format!(":{option}={}", quote(&self.path(name)))
    }

    /// A repeater at a port of its own, with these more options.
    fn listen(&self, options: &str) -> (Port, u16) {
        let certificate = self.option("certKey", "localhost.cert.pem");
        let key = self.option("privateKey", "localhost.key.pem");
        let at = format!(r"ssl:0:interface=127.0.0.1{certificate}{key}{options}");
        let port = self.reactor.listen(&at, || Lines::new(Repeat)).unwrap();
        let number = number(&port);
        (port, number)
    }

    /// Turns the reactor until the condition holds.
    #[track_caller]
    fn until(&self, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE, "it does not hold");
            let turned = self.reactor.turn(Some(Duration::from_millis(1)));
            turned.expect("the driver works");
        }
    }

    /// What a program prints, and whether it went well, that gets this input and talks to us.
    fn output(&self, mut command: Command, input: &str) -> (bool, String) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut peer = Killed(command.stderr(Stdio::piped()).spawn().unwrap());
        let mut stdin = peer.0.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        let mut status = None;
        self.until(|| {
            status = peer.0.try_wait().unwrap();
            status.is_some()
        });
        drop(stdin);
        let mut said = io::read_to_string(peer.0.stdout.take().unwrap()).unwrap();
        said += &io::read_to_string(peer.0.stderr.take().unwrap()).unwrap();
        (status.is_some_and(|status| status.success()), said)
    }

    /// The same with a configuration of the test's own.
    fn connect_with(&self, tls: ClientTls, port: u16, says: &'static [u8]) -> Vec<String> {
        self.reactor.endpoint_kind("own", Own(tls));
        self.connect(&format!("own:{port}"), says)
    }

    /// What a client of ours gets that connects there, and how that ends; or why it does not connect.
    fn connect(&self, to: &str, says: &'static [u8]) -> Vec<String> {
        let log = Log::default();
        let client = Client {
            says,
            came: Vec::new(),
            log: Rc::clone(&log),
        };
        let failed = Rc::clone(&log);
        let connecting = self.reactor.connect_protocol(to, client);
        let noted = connecting.map(drop).add_errback(move |failure: Failure| {
            failed.borrow_mut().push(failure.to_string());
        });
        noted.detach();
        let is_over = |event: &String| event.contains("onnection") || event.contains("certificate");
        self.until(|| log.borrow().iter().any(is_over));
        log.take()
    }
}

/// `own:PORT` connects to `localhost` with a configuration of the test's own.
struct Own(ClientTls);

impl EndpointKind for Own {
    fn listen(&self, _: &Reactor, spec: &EndpointSpec, _: &SharedFactory) -> Result<Port> {
        Err(spec.problem("only for clients"))
    }

    fn target(&self, reactor: &Reactor, spec: &EndpointSpec) -> Result<Target> {
        let to = format!("tcp:127.0.0.1:{}", spec.arguments[0]);
        let mut target = reactor.target(&EndpointSpec::parse(&to)?)?;
        let tls = self.0.clone();
        let make: MakeLayer = Rc::new(move |_| Ok(Box::new(tls.layer("localhost")?)));
        target.layers.push(make);
        Ok(target)
    }

    fn check(&self, _: &Reactor, _: &EndpointSpec, _: Side) -> Result {
        Ok(())
    }

    fn usage(&self, _: Side) -> &'static str {
        "own:PORT"
    }
}

fn number(port: &Port) -> u16 {
    let address = port.local_address().to_string();
    let (_, number) = address.rsplit_once(':').unwrap();
    number.parse().unwrap()
}

impl Drop for World {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Killed {
    /// What it prints from now on, a line at a time.
    fn lines(&mut self) -> Receiver<String> {
        let (send, lines) = channel();
        let output = BufReader::new(self.0.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(io::Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        lines
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn skip(what: &str, why: &str) {
    println!("skipped: {what}: {why}");
}

/// The parts of `tcp:`, for what lies on it.
fn tcp() -> EndpointSpec {
    EndpointSpec::parse("tcp:0:interface=127.0.0.1").unwrap()
}
