//! What a driver reports, seen without a reactor above it. The other side of a connection is a reactor.

use crate::peer::{Peer, Seen};
use std::{io, net::SocketAddr, time::Duration};
use tress_core::{
    Address, Reactor, UnixName,
    driver::{ConnectOptions, Driver, Lease, ListenOptions, Report, SocketOption, Token},
    received::Received,
};
use tress_sim::{SimDriver, World};

fn address(text: &str) -> Address {
    Address::Ip(text.parse::<SocketAddr>().expect("an address"))
}

fn listen(driver: &mut SimDriver, at: &str, backlog: u32) -> io::Result<(Token, Address)> {
    driver.listen(
        &address(at),
        &ListenOptions {
            backlog,
            ..ListenOptions::default()
        },
    )
}

#[test]
fn a_port_has_one_socket() {
    let world = World::new(0);
    let mut driver = world.host("10.0.0.1");
    let options = ListenOptions {
        reuse_port: true,
        ..ListenOptions::default()
    };
    let refused = driver.listen(&address("10.0.0.1:7"), &options);
    let text = refused.expect_err("it would be the second").to_string();
    assert_eq!(
        text,
        "the simulator has one socket for each port: `reuse` is not for it"
    );
}

/// Connects to port 7 of 10.0.0.1.
fn connect(driver: &mut SimDriver) -> Token {
    let to = address("10.0.0.1:7");
    driver
        .connect(&to, &ConnectOptions::default())
        .expect("it starts")
}

/// All reports of one turn, data as text.
fn reports(driver: &mut SimDriver) -> Vec<(String, Token)> {
    driver.wait(Some(Duration::ZERO)).expect("it goes on");
    let mut reports = Vec::new();
    let mut lease = Lease::default();
    while let Some(report) = driver.next(&mut lease) {
        reports.push(match report {
            Report::Accepted { conn, .. } => ("accepted".to_owned(), conn),
            Report::AcceptFailed { port, error } => (format!("{error}"), port),
            Report::Connected { conn } => ("connected".to_owned(), conn),
            Report::ReadClosed { conn } => ("end".to_owned(), conn),
            Report::Sent { conn, .. } => ("room".to_owned(), conn),
            Report::Closed { token, error } => (format!("{:?}", error.kind()), token),
            Report::Data { conn } => {
                let text = String::from_utf8_lossy(lease.bytes()).into_owned();
                (text, conn)
            }
            other => panic!("{other:?}"),
        });
    }
    reports
}

/// What is reported once everything that is on its way has arrived.
fn later(world: &World, driver: &mut SimDriver) -> Vec<(String, Token)> {
    let mut all = Vec::new();
    for _ in 0..5 {
        world.advance(Duration::from_millis(2));
        all.extend(reports(driver));
    }
    all
}

fn kinds(reports: &[(String, Token)]) -> Vec<&str> {
    reports.iter().map(|(kind, _)| &**kind).collect()
}

/// A driver that listens at 10.0.0.1:7 and a reactor with one connection to it; the token is the accepted one.
fn accepted(world: &World) -> (SimDriver, Token, Reactor, Seen) {
    let mut driver = world.host("10.0.0.1");
    listen(&mut driver, "10.0.0.1:7", 8).expect("it is free");
    let client = Reactor::with(world.host("10.0.0.2"));
    let peer = Peer::silent();
    let seen = peer.seen.clone();
    client.connect_protocol("tcp:10.0.0.1:7", peer).detach();
    world.run_until_idle(&[&client]).expect("it ends");
    let reports = reports(&mut driver);
    assert_eq!(kinds(&reports), ["accepted"]);
    (driver, reports[0].1, client, seen)
}

#[test]
fn unix_sockets_are_refused() {
    let world = World::new(1);
    let mut host = world.host("10.0.0.1");
    let unix = Address::Unix(UnixName::parse("/run/x").unwrap());
    let listening = host.listen(&unix, &ListenOptions::default()).map(drop);
    let connecting = host.connect(&unix, &ConnectOptions::default()).map(drop);
    for refused in [listening, connecting] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            "the virtual network has IP addresses only"
        );
    }
}

#[test]
fn a_full_backlog_leaves_attempts_unanswered_until_there_is_room() {
    let world = World::new(1);
    let mut server = world.host("10.0.0.1");
    let mut client = world.host("10.0.0.2");
    let (port, _) = listen(&mut server, "0.0.0.0:7", 2).unwrap();
    server.stop_reading(port);
    let mut tokens = [(); 4].map(|()| connect(&mut client));
    let made = later(&world, &mut client);
    assert_eq!(kinds(&made), ["connected", "connected"]);
    assert_eq!(kinds(&later(&world, &mut server)), [] as [&str; 0]);
    server.start_reading(port);
    assert_eq!(kinds(&later(&world, &mut server)), ["accepted"; 4]);
    let mut all = made;
    all.extend(later(&world, &mut client));
    assert_eq!(kinds(&all), ["connected"; 4]);
    let mut connected: Vec<Token> = all.iter().map(|(_, token)| *token).collect();
    connected.sort();
    tokens.sort();
    assert_eq!(connected, tokens);
}

#[test]
fn a_port_that_closes_refuses_its_backlog_and_is_free_again() {
    let world = World::new(1);
    let mut server = world.host("10.0.0.1");
    let mut client = world.host("10.0.0.2");
    let (port, _) = listen(&mut server, "0.0.0.0:7", 1).unwrap();
    server.stop_reading(port);
    connect(&mut client);
    connect(&mut client);
    assert_eq!(kinds(&later(&world, &mut client)), ["connected"]);
    let taken = listen(&mut server, "10.0.0.1:7", 1).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    server.close(port, false);
    let ended = later(&world, &mut client);
    let mut ended = kinds(&ended);
    ended.sort_unstable();
    assert_eq!(ended, ["ConnectionRefused", "ConnectionReset"]);
    let (again, at) = listen(&mut server, "10.0.0.1:7", 1).unwrap();
    assert_eq!(at, address("10.0.0.1:7"));
    assert_eq!(
        (again.slot, again.generation),
        (port.slot, port.generation + 1)
    );
    assert_eq!(server.local_address(port), Address::Unknown);
}

#[test]
fn no_data_comes_after_stop_reading_even_within_one_turn() {
    let world = World::new(1);
    let (mut driver, conn, client, seen) = accepted(&world);
    assert_eq!(driver.local_address(conn), address("10.0.0.1:7"));
    driver.start_reading(conn);
    seen.transport().write(b"hello");
    client.turn(Some(Duration::ZERO)).unwrap();
    world.advance(Duration::from_millis(2));
    driver.wait(Some(Duration::ZERO)).unwrap();
    driver.stop_reading(conn);
    assert!(driver.next(&mut Lease::default()).is_none());
    driver.start_reading(conn);
    assert!(driver.backlog());
    assert_eq!(reports(&mut driver), [("hello".to_owned(), conn)]);
}

#[test]
fn a_turn_reads_no_more_than_its_share() {
    let world = World::new(1);
    let (mut driver, conn, client, seen) = accepted(&world);
    driver.set_bytes_per_turn(4);
    seen.transport().write(b"abcdefghij");
    seen.transport().lose_write_connection();
    client.turn(Some(Duration::ZERO)).unwrap();
    world.advance(Duration::from_millis(2));
    driver.start_reading(conn);
    for (turn, more) in [
        (&["abcd"][..], true),
        (&["efgh"], true),
        (&["ij", "end"], false),
    ] {
        assert_eq!(kinds(&reports(&mut driver)), turn);
        assert_eq!(driver.backlog(), more);
    }
}

#[test]
fn a_dead_token_reaches_nobody() {
    let world = World::new(1);
    let (mut driver, conn, client, seen) = accepted(&world);
    driver.close(conn, false);
    let again = connect(&mut driver);
    let from = driver.local_address(again);
    driver.close(again, false);
    let bind = Some(from.clone());
    let again = driver.connect(
        &address("10.0.0.1:7"),
        &ConnectOptions {
            bind,
            ..ConnectOptions::default()
        },
    );
    let again = again.expect("the port is free again");
    assert_eq!(driver.local_address(again), from);
    assert_eq!(
        (again.slot, again.generation),
        (conn.slot, conn.generation + 2)
    );
    driver.start_reading(conn);
    driver.shutdown_write(conn);
    driver.close(conn, true);
    assert!(
        driver
            .set_option(conn, SocketOption::NoDelay(true))
            .is_err()
    );
    assert!(
        driver
            .set_option(again, SocketOption::NoDelay(true))
            .is_ok()
    );
    world.run_until_idle(&[&client]).unwrap();
    assert_eq!((seen.read_closed.get(), seen.is_lost()), (1, false));
    let all = later(&world, &mut driver);
    assert!(all.contains(&("connected".to_owned(), again)));
}

#[test]
fn closing_with_unread_bytes_does_not_leave_the_peer_waiting_for_room() {
    let world = World::new(1);
    let (mut driver, conn, client, seen) = accepted(&world);
    seen.transport().write(&[7; 100_000]);
    world.run_until_idle(&[&client]).unwrap();
    assert!(client.statistics().queued_bytes > 0);
    driver.close(conn, false);
    world.run_until_idle(&[&client]).unwrap();
    assert_eq!(seen.broken_by(), Some(io::ErrorKind::ConnectionReset));
}

#[test]
fn a_buffer_that_was_taken_is_replaced() {
    let world = World::new(1);
    let (mut driver, conn, client, seen) = accepted(&world);
    driver.start_reading(conn);
    seen.transport().write(b"hello");
    world.run_until_idle(&[&client]).unwrap();
    driver.wait(Some(Duration::ZERO)).unwrap();
    let mut lease = Lease::default();
    let report = driver.next(&mut lease);
    assert!(matches!(report, Some(Report::Data { .. })), "{report:?}");
    let length = lease.buffer.len();
    let chunk = Received::new(&mut lease).take();
    assert_eq!((&*chunk, lease.buffer.len()), (&b"hello"[..], length));
}

#[test]
fn a_dropped_driver_closes_what_it_had() {
    let world = World::new(1);
    let (driver, _, client, seen) = accepted(&world);
    drop(driver);
    world.run_until_idle(&[&client]).unwrap();
    assert_eq!((seen.read_closed.get(), seen.is_lost()), (1, false));
    let mut another = world.host("10.0.0.1");
    assert!(listen(&mut another, "10.0.0.1:7", 1).is_ok());
}

#[test]
fn giving_up_an_attempt_is_silent_here_and_a_reset_there() {
    let world = World::new(1);
    let mut server = world.host("10.0.0.1");
    let mut client = world.host("10.0.0.2");
    listen(&mut server, "10.0.0.1:7", 1).unwrap();
    let token = connect(&mut client);
    world.advance(Duration::from_micros(1600));
    client.close(token, true);
    assert_eq!(kinds(&later(&world, &mut client)), [] as [&str; 0]);
    let there = later(&world, &mut server);
    assert_eq!(kinds(&there), ["accepted", "ConnectionReset"]);
}

#[test]
fn addresses_are_checked_and_bound() {
    let world = World::new(1);
    let mut driver = world.host("10.0.0.1");
    world.add_address("10.0.0.1", "fd00::1");
    let mut try_from = |to: &str, bind: Option<&str>| {
        let bind = bind.map(address);
        let options = ConnectOptions {
            bind,
            ..ConnectOptions::default()
        };
        let token = driver.connect(&address(to), &options)?;
        Ok(driver.local_address(token).to_string())
    };
    let mut check = |to: &str, bind: Option<&str>, expected: Result<&str, io::ErrorKind>| {
        let got = try_from(to, bind).map_err(|error: io::Error| error.kind());
        assert_eq!(got, expected.map(str::to_owned), "{bind:?} to {to}");
    };
    check("10.0.0.9:1", None, Ok("10.0.0.1:49152"));
    check("[fd00::9]:1", None, Ok("[fd00::1]:49153"));
    check("[::ffff:10.0.0.9]:1", None, Ok("10.0.0.1:49154"));
    check("0.0.0.0:1", None, Ok("127.0.0.1:49155"));
    check("10.0.0.9:1", Some("10.0.0.1:0"), Ok("10.0.0.1:49156"));
    check("10.0.0.9:1", Some("10.0.0.1:99"), Ok("10.0.0.1:99"));
    check(
        "10.0.0.9:1",
        Some("10.0.0.1:99"),
        Err(io::ErrorKind::AddrInUse),
    );
    check(
        "10.0.0.9:1",
        Some("10.0.0.8:0"),
        Err(io::ErrorKind::AddrNotAvailable),
    );
    check(
        "10.0.0.9:1",
        Some("[::1]:0"),
        Err(io::ErrorKind::InvalidInput),
    );
}

#[test]
fn descriptors_run_out_for_every_use() {
    let world = World::new(1);
    let mut driver = world.host("10.0.0.1");
    world.set_descriptor_limit("10.0.0.1", Some(1));
    let (port, _) = listen(&mut driver, "10.0.0.1:7", 1).unwrap();
    let to = address("10.0.0.1:7");
    let error = driver.connect(&to, &ConnectOptions::default()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(24));
    let error = listen(&mut driver, "10.0.0.1:8", 1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(24));
    let mut client = world.host("10.0.0.2");
    connect(&mut client);
    let failed = later(&world, &mut driver);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].1, port);
    world.set_descriptor_limit("10.0.0.1", Some(2));
    assert_eq!(kinds(&later(&world, &mut driver)), ["accepted"]);
}

#[test]
fn a_waker_ends_a_wait_before_the_clock_jumps() {
    let world = World::new(1);
    let mut driver = world.host("10.0.0.1");
    driver.waker().wake_by_ref();
    driver.wait(None).unwrap();
    assert_eq!(world.now().0, 0);
    assert!(driver.wait(None).is_err());
    driver.wait(Some(Duration::from_secs(9))).unwrap();
    assert_eq!(world.now().0, 9_000_000_000);
}

#[test]
fn random_bits_are_the_seeds_and_do_not_disturb_the_network() {
    let bits = |seed| World::new(seed).host("10.0.0.1").entropy();
    assert_eq!(bits(1), bits(1));
    assert_ne!(bits(1), bits(2));
    let made_at = |draws: usize| {
        let world = World::new(1);
        let mut driver = world.host("10.0.0.1");
        listen(&mut driver, "10.0.0.1:7", 1).unwrap();
        for _ in 0..draws {
            driver.entropy();
        }
        connect(&mut driver);
        driver.wait(None).unwrap();
        world.now()
    };
    assert_eq!(made_at(0), made_at(5));
}
