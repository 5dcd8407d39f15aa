//! Echo and discard over every kind of endpoint that the program knows: a kind without a case here fails.

use crate::{
    peer::connect,
    testee::{PATIENCE, Testee, skip},
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::CertificateDer,
};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};
use tress::endpoint::Side;

const WORDS: &[u8] = b"hello";

/// Sends `before` and words, and gets the words back.
fn echo(mut stream: impl Read + Write, before: &[u8]) {
    stream.write_all(before).unwrap();
    stream.write_all(WORDS).unwrap();
    let mut answer = [0; WORDS.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, WORDS);
}

/// Echo at that endpoint, after discard has shown that it can listen there, too.
fn serve(endpoint: &str) -> Testee {
    drop(Testee::start_at("discard", endpoint));
    Testee::start_at("echo", endpoint)
}

fn check(kind: &str) {
    match kind {
        "tcp" => {
            let testee = serve("tcp:0:interface=127.0.0.1");
            echo(connect(testee.at), b"");
        }
        "tcp6" => {
            if !fs::exists("/proc/net/if_inet6").unwrap_or(false) {
                return skip("tcp6", "no IPv6 here");
            }
            let testee = serve(r"tcp6:0:interface=\:\:1");
            echo(connect(testee.at), b"");
        }
        "unix" => {
            if std::env::var("TRESS_TESTEE_DRIVER").is_ok_and(|driver| driver != "mio") {
                return skip("UNIX sockets", "only the driver mio has them");
            }
            let path = std::env::temp_dir().join(format!("tress-kinds-{}", std::process::id()));
            let testee = serve(&format!("unix:{}", path.display()));
            let stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            echo(stream, b"");
            testee.terminate();
        }
        "haproxy" => {
            let testee = serve("haproxy:tcp:0:interface=127.0.0.1");
            echo(
                connect(testee.at),
                b"PROXY TCP4 203.0.113.5 198.51.100.7 4711 7\r\n",
            );
        }
        "ssl" => {
            let certificates = Certificates::new("ssl");
            let file = certificates.directory.join("cert.pem");
            let file = file.display();
            let at = format!("ssl:0:certKey={file}:privateKey={file}:interface=127.0.0.1");
            let testee = serve(&at);
            echo(certificates.connect(&testee), b"");
        }
        "tls" => {
            let certificates = Certificates::new("tls");
            let directory = certificates.directory.display();
            let at = format!("tls:{directory}:port=0:interface=127.0.0.1");
            let testee = serve(&at);
            echo(certificates.connect(&testee), b"");
        }
        "systemd" => {
            if !adopts("systemd") {
                return;
            }
            let inherited = |protocol| {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                Testee::at_inherited(protocol, OwnedFd::from(socket))
            };
            drop(inherited("discard"));
            let testee = inherited("echo");
            echo(connect(testee.at), b"");
        }
        "stdio" => {
            if adopts("stdio") {
                check_stdio();
            }
        }
        _ => panic!("`{kind}:` has no case here"),
    }
}

/// Whether the driver takes over what was opened elsewhere.
fn adopts(kind: &str) -> bool {
    let is_other = std::env::var("TRESS_TESTEE_DRIVER").is_ok_and(|driver| driver != "mio");
    if is_other {
        skip(
            kind,
            "only the driver mio takes over what was opened elsewhere",
        );
    }
    !is_other
}

/// Its standard input and output are the connection. Discard reads to the end and writes nothing.
fn check_stdio() {
    for (protocol, expected) in [("discard", &b""[..]), ("echo", WORDS)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tress-testee"))
            .args([protocol, "--at", "stdio:"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(WORDS).unwrap();
        // It closes its end when there is nothing more to answer.
        let mut answer = Vec::new();
        let mut output = child.stdout.take().unwrap();
        output.read_to_end(&mut answer).unwrap();
        child.kill().ok();
        child.wait().unwrap();
        assert_eq!(answer, expected, "{protocol}");
    }
}

/// A certificate for `localhost` and its key, in one file of a directory of its own.
struct Certificates {
    directory: PathBuf,
    certificate: CertificateDer<'static>,
}

impl Certificates {
    fn new(name: &str) -> Self {
        let directory = format!("tress-kinds-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        fs::create_dir_all(&directory).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = made.signing_key.serialize_pem() + &made.cert.pem();
        fs::write(directory.join("cert.pem"), pem).unwrap();
        let certificate = made.cert.der().clone();
        Self {
            directory,
            certificate,
        }
    }

    fn connect(&self, testee: &Testee) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let trusting = versions.unwrap().with_root_certificates(roots);
        let config = Arc::new(trusting.with_no_client_auth());
        let session = ClientConnection::new(config, "localhost".try_into().unwrap());
        StreamOwned::new(session.unwrap(), connect(testee.at))
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// As in Twisted the header lies inside the encryption: whoever decrypts for the proxy is not this program.
#[test]
fn a_proxy_header_is_read_above_tls() {
    let certificates = Certificates::new("haproxy");
    let directory = certificates.directory.display();
    let at = format!("haproxy:tls:{directory}:port=0:interface=127.0.0.1");
    let testee = serve(&at);
    echo(
        certificates.connect(&testee),
        b"PROXY TCP4 203.0.113.5 198.51.100.7 4711 7\r\n",
    );
}

#[test]
fn echo_and_discard_are_served_at_every_kind_of_endpoint() {
    let reactor = tress::reactor().unwrap();
    for (kind, usage) in reactor.endpoint_kinds(Side::Server) {
        println!("{usage}");
        check(&kind);
    }
}
