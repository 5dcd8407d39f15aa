//! Handshakes through the endpoint kinds: what is agreed on, and who is refused.

use super::world::World;
use crate::{
    ClientConfig, ServerConfig, TlsVersion,
    testing::{Authority, Issued, now},
};
use rcgen::date_time_ymd;
use std::time::{Duration, SystemTime};
use tress_core::{endpoint::Side, layer::Layer};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[test]
fn an_echo_over_both_versions() {
    for (method, version) in [
        ("TLSv1_2_METHOD", TlsVersion::V1_2),
        ("TLSv1_3", TlsVersion::V1_3),
        ("TLS_METHOD", TlsVersion::V1_3),
        ("SSLv23_METHOD", TlsVersion::V1_3),
    ] {
        let world = World::new();
        world.listen(&format!("ssl:443:certKey=server.pem:sslmethod={method}"));
        let client = world
            .connect("tls:localhost:443:trustRoots=ca.pem")
            .unwrap();
        world.echoes(&client);
        for transport in [client, world.server.transport()] {
            let info = world.info(&transport);
            assert_eq!(info.version, version);
            assert!(info.cipher_suite.starts_with("TLS"), "{info:?}");
            assert_eq!(info.server_name.as_deref(), Some("localhost"));
            assert_eq!(info.negotiated_protocol, None);
            assert!(!info.resumed);
        }
    }
}

#[test]
fn all_words_of_twisted() {
    let world = World::new();
    let issued = world.authority.issue(&["localhost", "other.example"]);
    world.files.write("cert.pem", issued.certificate);
    world.files.write("key.pem", issued.key);
    world.listen(
        r"ssl:port=443:certKey=cert.pem:privateKey=key.pem:extraCertChain=ca.pem:interface=127.0.0.1:backlog=7",
    );
    for to in [
        "tls:localhost:443:trustRoots=ca.pem",
        "tls:host=localhost:port=443:trustRoots=ca.pem:timeout=5",
        "tls:localhost:443:trustRoots=ca.pem:certificate=cert.pem:privateKey=key.pem",
        r"tls:localhost:443:trustRoots=ca.pem:endpoint=tcp\:127.0.0.1\:443",
        r"tls:other.example:trustRoots=ca.pem:endpoint=tcp\:127.0.0.1\:443",
        "ssl:localhost:443:caCertsDir=ca.pem",
        "ssl:127.0.0.1:443:hostname=other.example:caCertsDir=ca.pem:certKey=cert.pem:privateKey=key.pem",
    ] {
        let client = world
            .connect(to)
            .unwrap_or_else(|why| panic!("{to}: {why}"));
        world.echoes(&client);
    }
}

#[test]
fn wrong_words_are_refused_with_the_right_ones() {
    let world = World::new();
    #[track_caller]
    fn check(world: &World, side: Side, at: &str, expected: &str) {
        let reactor = world.table.reactor();
        let error = reactor.check_endpoint(at, side).unwrap_err().to_string();
        assert!(error.contains(expected), "{at}: {error}");
        let done = match side {
            Side::Server => world.try_listen(at).map(drop).map_err(|f| f.to_string()),
            Side::Client => world.connect(at).map(drop),
        };
        assert_eq!(done.unwrap_err(), error);
    }
    let server = |at, expected| check(&world, Side::Server, at, expected);
    server("ssl:443", "expected `certKey` and `privateKey`");
    server("ssl:certKey=server.pem", "expected a port number");
    server("ssl:x:certKey=server.pem", "port `x` is no number");
    server(
        "ssl:443:certKey=server.pem:certkey=a",
        "unknown option `certkey`; expected one of",
    );
    server(
        "ssl:443:certKey=server.pem:sslmethod=SSLv3_METHOD",
        "older versions are not spoken",
    );
    server(
        "ssl:443:certKey=server.pem:dhParameters=dh.pem",
        "`dhParameters` means nothing here",
    );
    server("ssl:443:certKey=no.pem", "`no.pem`: cannot be read");
    server("ssl:443:certKey=ca.pem", "`ca.pem`: no private key in it");
    server(
        "ssl:443:certKey=server.pem:caCerts=no.pem",
        "`no.pem`: cannot be read",
    );
    server(
        "ssl:443:certKey=server.pem:interface=host",
        "`host` is no IP address",
    );
    server("tls:", "expected a directory of certificates and keys");
    server("tls:/certs:port=443", "`/certs`: cannot be read");
    server("tls:/certs:443:x", "one part too many");
    let client = |to, expected| check(&world, Side::Client, to, expected);
    client("tls:localhost", "expected a port number");
    client(
        "tls:localhost:443:trust=ca.pem",
        "unknown option `trust`; expected one of",
    );
    client(
        "tls:localhost:443:trustRoots=no.pem",
        "`no.pem`: cannot be read",
    );
    client(
        "tls:localhost:443:certificate=ca.pem:trustRoots=ca.pem",
        "no private key in it",
    );
    client("tls:a b:443:trustRoots=ca.pem", "`a b` is no host name");
    client(
        "ssl:localhost:443:trustRoots=ca.pem",
        "unknown option `trustRoots`",
    );
}

#[test]
fn a_second_connection_resumes_the_session() {
    for method in ["TLSv1_2", "TLSv1_3"] {
        let world = World::new();
        world.listen(&format!("ssl:443:certKey=server.pem:sslmethod={method}"));
        for resumed in [false, true, true] {
            let client = world
                .connect("tls:localhost:443:trustRoots=ca.pem")
                .unwrap();
            world.echoes(&client);
            for transport in [&client, &world.server.transport()] {
                assert_eq!(world.info(transport).resumed, resumed, "{method}");
            }
            assert_eq!(world.info(&client).peer_certificates.len(), 1);
            client.lose_connection();
            world.table.settle();
        }
    }
}

/// In TLS 1.3; in 1.2 a session ends when the server forgets it.
#[test]
fn an_old_session_is_not_resumed() {
    let world = World::new();
    world.listen("ssl:443:certKey=server.pem:sslmethod=TLSv1_3");
    for (pause, resumed) in [
        (Duration::ZERO, false),
        (Duration::ZERO, true),
        (YEAR, false),
    ] {
        world.table.advance(pause);
        let client = world
            .connect("tls:localhost:443:trustRoots=ca.pem")
            .unwrap();
        assert_eq!(world.info(&client).resumed, resumed);
        client.lose_connection();
        world.table.settle();
    }
}

#[test]
fn the_first_protocol_of_the_server_that_both_speak() {
    #[track_caller]
    fn check(server: &[&str], client: &[&str], expected: Result<Option<&str>, &str>) {
        let world = World::new();
        let identity = Issued::new("localhost");
        let trust =
            crate::Trust::from_pem(&[crate::Pem::new("s.pem", identity.certificate.clone())]);
        let tls = ServerConfig::new(identity.identity())
            .protocols(server.iter().copied())
            .build(now())
            .unwrap();
        let config = ClientConfig::new().trust(trust.unwrap());
        let client_tls = config.protocols(client.iter().copied()).build().unwrap();
        world.listen_with(tls);
        let connected = world.connect_with(client_tls);
        match expected {
            Ok(expected) => {
                let client = connected.unwrap();
                for transport in [&client, &world.server.transport()] {
                    let protocol = world.info(transport).negotiated_protocol.clone();
                    assert_eq!(protocol.as_deref(), expected.map(str::as_bytes));
                }
            }
            Err(expected) => {
                assert_eq!(connected.unwrap_err(), expected);
                assert!(world.server.take().is_empty());
            }
        }
    }
    check(&["h2", "http/1.1"], &["http/1.1", "h2"], Ok(Some("h2")));
    check(&["h2"], &["http/1.1", "h2"], Ok(Some("h2")));
    check(&["h2"], &[], Ok(None));
    check(&[], &["h2"], Ok(None));
    check(
        &["h2"],
        &["xmpp"],
        Err("no application protocol (ALPN) in common"),
    );
}

/// TLS-04.
#[test]
fn a_client_refuses_every_wrong_server() {
    #[track_caller]
    fn check(pair: impl FnOnce(&World) -> Issued, valid: SystemTime, expected: &str) {
        let world = World::new();
        world.table.advance(10 * YEAR);
        // The server does not know that its certificate is wrong: that was given to it at another time.
        let identity = pair(&world).identity_at(valid);
        world.listen_with(ServerConfig::new(identity).build(valid).unwrap());
        let why = world
            .connect("tls:localhost:443:trustRoots=ca.pem")
            .unwrap_err();
        assert!(
            why.starts_with("the certificate of `localhost` is not accepted: "),
            "{why}"
        );
        assert!(why.contains(expected), "{why}");
        assert!(
            world.server.take().is_empty(),
            "no protocol before the handshake"
        );
        assert!(world.client.take().is_empty());
    }
    let always = now() + 10 * YEAR;
    check(
        |w| w.authority.issue(&["other.example"]),
        always,
        "not valid for name",
    );
    check(
        |w| w.authority.issue(&["*.localhost"]),
        always,
        "not valid for name",
    );
    check(
        |w| w.authority.issue(&["127.0.0.1"]),
        always,
        "not valid for name",
    );
    check(|w| w.authority.issue(&[]), always, "not valid for");
    check(
        |w| {
            w.authority
                .issue_with(&["localhost"], |p| p.not_after = date_time_ymd(1978, 1, 1))
        },
        now(),
        "expired",
    );
    check(
        |w| {
            w.authority
                .issue_with(&["localhost"], |p| p.not_before = date_time_ymd(1990, 1, 1))
        },
        now() + 25 * YEAR,
        "not valid yet",
    );
    let unknown = "it was not issued by an authority that we trust";
    check(|_| Issued::new("localhost"), always, unknown);
    check(
        |_| Authority::new("authority").issue(&["localhost"]),
        always,
        "its signature is wrong",
    );
    check(
        |_| Authority::new("other").issue(&["localhost"]),
        always,
        unknown,
    );
}

#[test]
fn an_address_is_a_name_too() {
    let world = World::new();
    let issued = world.authority.issue(&["127.0.0.1"]);
    world.files.write("address.pem", issued.pair());
    world.listen("ssl:443:certKey=address.pem");
    let client = world
        .connect("tls:127.0.0.1:443:trustRoots=ca.pem")
        .unwrap();
    world.echoes(&client);
}

#[test]
fn client_certificates() {
    let world = World::new();
    let client = world.authority.issue(&["client.example"]);
    world.files.write("client.pem", client.pair());
    world.files.write(
        "stranger.pem",
        Authority::new("x").issue(&["client.example"]).pair(),
    );
    for method in ["TLSv1_2", "TLSv1_3"] {
        let at = format!("ssl:443:certKey=server.pem:caCerts=ca.pem:sslmethod={method}");
        let port = world.listen(&at);
        let to = "tls:localhost:443:trustRoots=ca.pem";
        let connected = world
            .connect(&format!("{to}:certificate=client.pem"))
            .unwrap();
        world.echoes(&connected);
        let info = world.info(&world.server.transport());
        assert_eq!(*info.peer_certificates[0], *client.certificate_der());
        connected.lose_connection();
        world.table.settle();
        world.server.take();
        world.client.take();

        for (to, expected) in [
            (to.to_owned(), "a certificate is required"),
            (
                format!("{to}:certificate=stranger.pem"),
                "unknown certificate authority",
            ),
        ] {
            // In TLS 1.3 a client is done before the server has looked at its certificate.
            let why = match world.connect(&to) {
                Err(why) => why,
                Ok(_) => {
                    let events = world.client.take();
                    assert_eq!(events[0], "made");
                    events[1].strip_prefix("lost: ").unwrap().to_owned()
                }
            };
            let alert = why == "the peer ended TLS: nothing in common, or a certificate is missing";
            let refused = why == format!("the peer refused our certificate: {expected}");
            assert!(refused || (method == "TLSv1_2" && alert), "{method}: {why}");
            assert!(world.server.take().is_empty());
        }
        port.stop_listening();
        world.table.settle();
    }
}

#[test]
fn revoked_certificates_are_refused() {
    let world = World::new();
    let serial =
        |number: u64| move |p: &mut rcgen::CertificateParams| p.serial_number = Some(number.into());
    let trust = |revoked: &[u64]| {
        let list = crate::Pem::new("list.crl", world.authority.revoke(revoked));
        world.authority.trust().revocation_lists(&[list]).unwrap()
    };
    let issued = world.authority.issue_with(&["localhost"], serial(7));
    let server = ServerConfig::new(issued.identity()).build(now()).unwrap();
    world.listen_with(server);
    let connect = |trust| world.connect_with(ClientConfig::new().trust(trust).build().unwrap());
    assert!(connect(trust(&[8])).is_ok());
    let why = connect(trust(&[7, 8])).unwrap_err();
    assert_eq!(
        why,
        "the certificate of `localhost` is not accepted: it is revoked"
    );
}

#[test]
fn no_version_in_common() {
    let world = World::new();
    world.listen("ssl:443:certKey=server.pem:sslmethod=TLSv1_2");
    let config = ClientConfig::new().trust(world.authority.trust());
    let tls = config
        .versions(TlsVersion::V1_3, TlsVersion::V1_3)
        .build()
        .unwrap();
    let why = world.connect_with(tls).unwrap_err();
    assert_eq!(why, "the peer ended TLS: no TLS version in common");
}

#[test]
fn a_directory_of_certificates_serves_names_and_changes() {
    let world = World::new();
    for name in ["a.example", "b.example"] {
        let pair = world.authority.issue(&[name]).pair();
        world.files.write(format!("/certs/{name}.pem"), pair);
    }
    world.listen("tls:/certs:port=443");
    let to = |name: &str| {
        world.connect(&format!(
            r"tls:{name}:443:trustRoots=ca.pem:endpoint=tcp\:127.0.0.1\:443"
        ))
    };
    for name in ["a.example", "b.example"] {
        world.echoes(&to(name).unwrap());
        let info = world.info(&world.server.transport());
        assert_eq!(info.server_name.as_deref(), Some(name));
    }
    assert!(to("c.example").unwrap_err().contains("not valid for name"));
    world
        .files
        .write("/certs/c.pem", world.authority.issue(&["c.example"]).pair());
    world.table.advance(crate::DIRECTORY_LOOK);
    world.echoes(&to("c.example").unwrap());
    // Sessions of before can still be resumed.
    let again = to("a.example").unwrap();
    assert!(world.info(&again).resumed);
}

#[test]
fn the_handshake_has_a_deadline() {
    let world = World::new();
    world.listen("ssl:443:certKey=server.pem");
    world.connect("tcp:127.0.0.1:443").unwrap();
    assert_eq!(world.client.take(), ["made"]);
    world.table.advance(Duration::from_secs(9));
    assert!(world.client.take().is_empty());
    world.table.advance(Duration::from_secs(2));
    assert_eq!(world.client.take().len(), 1, "it is lost");
    assert!(world.server.take().is_empty());
    // And the other way: a server that says nothing.
    let log = world.server.clone();
    let silent = move || log.recorder();
    world.table.reactor().listen("tcp:444", silent).unwrap();
    let log = world.client.clone();
    let connecting = world
        .table
        .reactor()
        .connect("tls:localhost:444:trustRoots=ca.pem", move || {
            log.recorder()
        });
    world.table.advance(Duration::from_secs(11));
    let why = connecting.try_result().unwrap().map(drop).unwrap_err();
    assert_eq!(why.to_string(), "the handshake timed out after 10s");
}

#[test]
fn the_deadline_ends_with_the_handshake() {
    let world = World::new();
    let (_, client) = world.pair();
    world.table.advance(Duration::from_secs(40));
    world.echoes(&client);
    world.table.advance(Duration::from_secs(61));
    let idle = world.server.take().pop().unwrap();
    assert_eq!(idle, "lost: an idle connection timed out after 60s");
}

#[test]
fn a_connection_of_its_own_type_is_reached_through_tls() {
    let world = World::new();
    world.listen("ssl:443:certKey=server.pem");
    let log = world.client.clone();
    let reached = world
        .table
        .reactor()
        .connect("tls:localhost:443:trustRoots=ca.pem", move || {
            log.recorder()
        })
        .add_callback(|connection| connection.call(|recorder, _| Ok(recorder.echo)));
    let seen = std::rc::Rc::new(std::cell::Cell::new(None));
    let result = std::rc::Rc::clone(&seen);
    reached.map(move |echo| result.set(Some(echo))).detach();
    world.table.settle();
    assert_eq!(seen.get(), Some(false));
}

#[test]
fn layers_say_what_they_are() {
    let (server, client) = crate::testing::ends();
    let layer: &dyn std::fmt::Debug = &server.layer();
    assert_eq!(format!("{layer:?}"), "TlsLayer(server)");
    let layer = client.layer("localhost").unwrap();
    assert_eq!(format!("{layer:?}"), "TlsLayer(localhost)");
    fn is_layer(_: impl Layer) {}
    is_layer(layer);
}
