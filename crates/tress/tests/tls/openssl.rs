//! `openssl s_client` and `openssl s_server`.

use crate::{Killed, Repeat, World, number, skip, tcp};
use std::process::{Command, Stdio};
use tress::{
    SharedFactory,
    framing::Lines,
    tls::{ClientConfig, Identity, ServerConfig, SystemFiles, Trust},
};

const VERSIONS: [(&str, &str, &str); 2] = [
    ("-tls1_2", "TLSv1.2", "TLS 1.2"),
    ("-tls1_3", "TLSv1.3", "TLS 1.3"),
];

fn openssl(verb: &str) -> Option<Command> {
    let version = Command::new("openssl").arg("version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        skip("OpenSSL", "no openssl on the PATH");
        return None;
    }
    let mut command = Command::new("openssl");
    command.arg(verb);
    Some(command)
}

fn client(world: &World, port: u16, more: &[&str]) -> Option<Command> {
    let mut command = openssl("s_client")?;
    let connect = format!("127.0.0.1:{port}");
    command.args(["-connect", &connect, "-CAfile", &world.path("ca.pem")]);
    command.args(["-servername", "localhost", "-verify_hostname", "localhost"]);
    command.args(["-verify_return_error", "-brief", "-ign_eof"]);
    command.args(more);
    Some(command)
}

#[test]
fn s_client_is_answered() {
    let world = World::new();
    let (_port, number) = world.listen("");
    for (version, name, ours) in VERSIONS {
        let Some(command) = client(&world, number, &[version]) else {
            return;
        };
        let (ok, said) = world.output(command, "hello\r\ninfo\r\nbye\r\n");
        assert!(ok, "{said}");
        assert!(said.contains("Verification: OK"), "{said}");
        assert!(said.contains(name), "{said}");
        assert!(said.contains("hello\r\n"), "{said}");
        assert!(
            said.contains(&format!("{ours}, none, localhost, nobody")),
            "{said}"
        );
    }
    // What it must not get.
    for wrong in [&["-tls1_1"][..], &["-verify_hostname", "example.org"]] {
        let Some(command) = client(&world, number, wrong) else {
            return;
        };
        let (ok, said) = world.output(command, "");
        assert!(!ok, "{said}");
    }
}

#[test]
fn s_client_shows_a_certificate() {
    let world = World::new();
    let (_port, number) = world.listen(&world.option("caCerts", "ca.pem"));
    for (version, _, ours) in VERSIONS {
        let show = |name: &str| {
            let (cert, key) = (format!("{name}.cert.pem"), format!("{name}.key.pem"));
            let (cert, key) = (world.path(&cert), world.path(&key));
            let command = client(&world, number, &[version, "-cert", &cert, "-key", &key])?;
            Some(world.output(command, "info\r\nbye\r\n"))
        };
        let Some((ok, said)) = show("client") else {
            return;
        };
        assert!(ok, "{said}");
        assert!(
            said.contains(&format!("{ours}, none, localhost, somebody")),
            "{said}"
        );
        let Some((_, said)) = show("stranger") else {
            return;
        };
        assert!(said.contains("unknown ca"), "{said}");
        let Some(command) = client(&world, number, &[version]) else {
            return;
        };
        let (_, said) = world.output(command, "info\r\nbye\r\n");
        let expected = ["certificate required", "handshake failure"];
        assert!(expected.iter().any(|alert| said.contains(alert)), "{said}");
    }
}

#[test]
fn s_client_and_ours_agree_on_a_protocol() {
    let world = World::new();
    let certificate = world.path("localhost.cert.pem");
    let key = world.path("localhost.key.pem");
    let now = world.reactor.wall();
    let identity = Identity::read(&SystemFiles, certificate, key, None, now).unwrap();
    let tls = ServerConfig::new(identity).protocols(["h2", "http/1.1"]);
    let tls = tls.build(now).unwrap();
    let factory = SharedFactory::new(|| Lines::new(Repeat));
    let factory = factory.layered(move |_| Ok(Box::new(tls.layer())));
    let port = world.reactor.listen_spec(&tcp(), &factory).unwrap();
    for (version, _, _) in VERSIONS {
        for (offered, chosen) in [
            ("http/1.1,h2", Some("h2")),
            ("http/1.1", Some("http/1.1")),
            ("x", None),
        ] {
            let more = [version, "-alpn", offered];
            let Some(mut command) = client(&world, number(&port), &more) else {
                return;
            };
            command.stdin(Stdio::piped());
            let (ok, said) = world.output(command, "info\r\nbye\r\n");
            match chosen {
                Some(chosen) => assert!(said.contains(&format!(", {chosen}, localhost")), "{said}"),
                None => assert!(!ok && said.contains("no application protocol"), "{said}"),
            }
        }
    }
}

#[test]
fn s_client_resumes_its_session() {
    let world = World::new();
    let (_port, number) = world.listen("");
    for (version, _, ours) in VERSIONS {
        let session = world.path("session");
        for (verb, resumed) in [("-sess_out", ""), ("-sess_in", ", resumed")] {
            let Some(command) = client(&world, number, &[version, verb, &session]) else {
                return;
            };
            let (ok, said) = world.output(command, "info\r\nbye\r\n");
            let info = format!("{ours}, none, localhost, nobody{resumed}\r\n");
            assert!(ok && said.contains(&info), "{said}");
        }
    }
}

/// An `s_server` that sends lines back reversed, and its port.
fn server(world: &World, more: &[&str]) -> Option<(Killed, u16)> {
    let mut command = openssl("s_server")?;
    let (cert, key) = (
        world.path("localhost.cert.pem"),
        world.path("localhost.key.pem"),
    );
    command.args([
        "-accept",
        "127.0.0.1:0",
        "-rev",
        "-cert",
        &cert,
        "-key",
        &key,
    ]);
    command.args(["-CAfile", &world.path("ca.pem"), "-verify_return_error"]);
    command
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut server = Killed(command.stdin(Stdio::null()).spawn().unwrap());
    let lines = server.lines();
    loop {
        let line = lines.recv_timeout(crate::PATIENCE).expect("it listens");
        if let Some(at) = line.strip_prefix("ACCEPT ") {
            let (_, number) = at.rsplit_once(':').unwrap();
            return Some((server, number.parse().unwrap()));
        }
    }
}

#[test]
fn s_server_answers() {
    let world = World::new();
    let trust = world.option("trustRoots", "ca.pem");
    for (version, _, ours) in VERSIONS {
        let Some((_server, port)) = server(&world, &[version]) else {
            return;
        };
        for resumed in ["", ", resumed"] {
            let said = world.connect(&format!("tls:localhost:{port}{trust}"), b"hello");
            assert_eq!(said[0], "olleh");
            assert_eq!(
                said[1],
                format!("{ours}, none, localhost, somebody{resumed}")
            );
        }
        // Nobody else's name, and nobody else's authority.
        let endpoint = format!(r"endpoint=tcp\:127.0.0.1\:{port}");
        let said = world.connect(&format!("tls:example.org{trust}:{endpoint}"), b"hello");
        assert!(said[0].contains("not valid for name"), "{said:?}");
        let said = world.connect(&format!("tls:localhost:{port}"), b"hello");
        assert!(
            said[0].contains("certificate of `localhost` is not accepted"),
            "{said:?}"
        );
    }
}

#[test]
fn s_server_asks_for_a_certificate() {
    let world = World::new();
    let trust = world.option("trustRoots", "ca.pem");
    for (version, _, _) in VERSIONS {
        let Some((_server, port)) = server(&world, &[version, "-Verify", "1"]) else {
            return;
        };
        let certificate = world.option("certificate", "client.cert.pem");
        let key = world.option("privateKey", "client.key.pem");
        let to = format!("tls:localhost:{port}{trust}");
        let said = world.connect(&format!("{to}{certificate}{key}"), b"hello");
        assert_eq!(said[0], "olleh");
        let said = world.connect(&to, b"hello");
        let last = said.last().unwrap();
        assert!(last.contains("certificate"), "{said:?}");
    }
}

#[test]
fn s_server_chooses_a_protocol() {
    let world = World::new();
    let Some((_server, port)) = server(&world, &["-alpn", "h2"]) else {
        return;
    };
    let trust = Trust::read(&SystemFiles, world.path("ca.pem")).unwrap();
    let tls = ClientConfig::new()
        .trust(trust)
        .protocols(["http/1.1", "h2"]);
    let tls = tls.build().unwrap();
    let said = world.connect_with(tls, port, b"hello");
    assert_eq!(said[1], "TLS 1.3, h2, localhost, somebody");
}
