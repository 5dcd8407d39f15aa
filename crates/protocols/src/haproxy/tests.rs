//! Headers as a table, cut at every byte; connections on a network in memory, with the clock set by hand.

use super::*;
use proptest::prelude::*;
use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tress_core::{
    Address, Failure, Protocol, Transport,
    testing::{logged, memory::Table},
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn v2(kind: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[kind, family], &length, block].concat()
}

/// The addresses of version 2.
fn ips(peer: SocketAddr, host: SocketAddr) -> Vec<u8> {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [peer.port().to_be_bytes(), host.port().to_be_bytes()].concat();
    [octets(peer), octets(host), ports].concat()
}

fn from(peer: &str, host: &str) -> Proxied {
    let address = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
    Proxied::From {
        peer: address(peer),
        host: address(host),
    }
}

/// What comes of `header`, whatever follows it, and that nothing comes of any part of it.
#[track_caller]
fn check(header: &[u8], expected: &Proxied) {
    for length in 0..header.len() {
        assert_eq!(read_header(&header[..length]), Ok(None), "{length} bytes");
    }
    for rest in [&b""[..], b"\0", b"\r\nPROXY TCP4 ", header] {
        let all = [header, rest].concat();
        let read = read_header(&all).unwrap();
        assert_eq!(read, Some((expected.clone(), header.len())));
    }
}

#[track_caller]
fn check_bad(header: &[u8], problem: &str) {
    let bad = read_header(header).expect_err("it is wrong").to_string();
    assert!(bad.contains(problem), "{bad}");
}

#[test]
fn version_1() {
    check(
        b"PROXY TCP4 192.0.2.9 198.51.100.7 4711 80\r\n",
        &from("192.0.2.9:4711", "198.51.100.7:80"),
    );
    check(
        b"PROXY TCP6 2001:db8::9 ::1 0 65535\r\n",
        &from("[2001:db8::9]:0", "[::1]:65535"),
    );
    check(b"PROXY UNKNOWN\r\n", &Proxied::Not);
    check(b"PROXY UNKNOWN a b c d e f g h \xff\r\n", &Proxied::Not);
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let unknown = format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n");
    assert_eq!(unknown.len(), V1_BYTES_MAX);
    check(unknown.as_bytes(), &Proxied::Not);
}

#[test]
fn version_1_is_read_as_it_is_written() {
    for line in [
        "PROXY TCP4 192.0.2.9 198.51.100.7 4711\r\n",
        "PROXY TCP4 192.0.2.9 198.51.100.7 4711 80 \r\n",
        "PROXY TCP4 192.0.2.9 198.51.100.7 4711 80 81\r\n",
        "PROXY TCP4  192.0.2.9 198.51.100.7 4711 80\r\n",
        "PROXY TCP4 192.0.2.9 198.51.100.7 4711 80\n",
        "PROXY TCP4 192.0.2.9 198.51.100.7 4711 80\r\r\n",
        "PROXY TCP4 192.0.2.9 198.51.100.7 4711 080\r\n",
        "PROXY TCP4 192.0.2.9 198.51.100.7 +4711 80\r\n",
        "PROXY TCP4 192.0.2.9 198.51.100.7 -1 80\r\n",
        "PROXY TCP4 192.0.2.9 198.51.100.7 4711 65536\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.7 4711 80\r\n",
        "PROXY TCP4 ::1 ::1 4711 80\r\n",
        "PROXY TCP6 192.0.2.9 198.51.100.7 4711 80\r\n",
        "PROXY TCP5 192.0.2.9 198.51.100.7 4711 80\r\n",
        "PROXY tcp4 192.0.2.9 198.51.100.7 4711 80\r\n",
        "PROXY UDP4 192.0.2.9 198.51.100.7 4711 80\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
    ] {
        check_bad(line.as_bytes(), "its PROXY header is wrong: ");
    }
}

#[test]
fn version_1_has_at_most_107_bytes() {
    let line = format!("PROXY UNKNOWN {}", "x".repeat(200));
    assert_eq!(read_header(&line.as_bytes()[..106]), Ok(None));
    let limit = V1_BYTES_MAX;
    let too_long = Err(BadHeader::TooLong { limit });
    assert_eq!(read_header(&line.as_bytes()[..107]), too_long);
    let ended = format!("{}\r\n", &line[..106]);
    assert_eq!(read_header(ended.as_bytes()), too_long);
}

#[test]
fn version_2() {
    let v4 = ips(
        "192.0.2.9:4711".parse().unwrap(),
        "198.51.100.7:80".parse().unwrap(),
    );
    let v6 = ips(
        "[2001:db8::9]:1".parse().unwrap(),
        "[::1]:2".parse().unwrap(),
    );
    let is_v4 = from("192.0.2.9:4711", "198.51.100.7:80");
    check(&v2(0x21, 0x11, &v4), &is_v4);
    check(&v2(0x21, 0x12, &v4), &is_v4);
    check(&v2(0x21, 0x21, &v6), &from("[2001:db8::9]:1", "[::1]:2"));
    check(&v2(0x21, 0x00, b""), &Proxied::Not);
    check(&v2(0x21, 0x00, b"anything"), &Proxied::Not);
    check(&v2(0x21, 0x10, &v4), &Proxied::Not);
}

#[test]
fn version_2_names_unix_sockets() {
    let block = |peer: &[u8], host: &[u8]| {
        let mut block = [0; 216];
        block[..peer.len()].copy_from_slice(peer);
        block[108..108 + host.len()].copy_from_slice(host);
        v2(0x21, 0x31, &block)
    };
    let shown = |header: Vec<u8>| match read_header(&header) {
        Ok(Some((Proxied::From { peer, host }, _))) => format!("{peer} {host}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(block(b"/run/x", b"\0abstract")), "/run/x @abstract");
    assert_eq!(shown(block(b"", b"/a\0left over")), "unnamed /a");
    let long = [b'/'; 108];
    assert_eq!(
        shown(block(&long, b"\0")),
        format!("{} unnamed", "/".repeat(108))
    );
    check_bad(&v2(0x21, 0x31, &[0; 215]), "wrong");
}

#[test]
fn a_local_header_means_nothing_whatever_it_says() {
    let v4 = ips(
        "192.0.2.9:4711".parse().unwrap(),
        "198.51.100.7:80".parse().unwrap(),
    );
    check(&v2(0x20, 0x00, b""), &Proxied::Not);
    check(&v2(0x20, 0x11, &v4), &Proxied::Not);
    check(&v2(0x20, 0x11, b"short"), &Proxied::Not);
    check(&v2(0x20, 0xff, b"unknown family"), &Proxied::Not);
}

#[test]
fn versions_commands_and_families_that_nobody_knows_are_refused() {
    let v4 = ips(
        "192.0.2.9:4711".parse().unwrap(),
        "198.51.100.7:80".parse().unwrap(),
    );
    for kind in (0..=u8::MAX).filter(|kind| !matches!(kind, 0x20 | 0x21)) {
        check_bad(&v2(kind, 0x11, &v4), "are unknown");
        check_bad(&[SIGNATURE, &[kind]].concat(), "are unknown");
    }
    for family in 0..=u8::MAX {
        let known = matches!(family >> 4, 0..=3) && matches!(family & 15, 0..=2);
        let read = read_header(&v2(0x21, family, &[0; 216]));
        assert_eq!(read.is_ok(), known, "{family:#04x}: {read:?}");
    }
    check_bad(&v2(0x21, 0x11, &v4[..11]), "wrong");
    check_bad(&v2(0x21, 0x21, &v4), "wrong");
}

#[test]
fn px_01_a_length_of_65535_is_refused_before_it_is_sent() {
    let header = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    let limit = HEADER_BYTES_MAX;
    assert_eq!(read_header(&header), Err(BadHeader::TooLong { limit }));
    let local = [SIGNATURE, &[0x20, 0x00, 0xff, 0xff]].concat();
    assert_eq!(read_header(&local), Err(BadHeader::TooLong { limit }));
    let v4 = ips(
        "192.0.2.9:4711".parse().unwrap(),
        "198.51.100.7:80".parse().unwrap(),
    );
    let mut block = v4;
    block.resize(V2_BLOCK_BYTES_MAX, 0);
    check(
        &v2(0x21, 0x11, &block),
        &from("192.0.2.9:4711", "198.51.100.7:80"),
    );
    block.push(0);
    assert_eq!(
        read_header(&v2(0x21, 0x11, &block)),
        Err(BadHeader::TooLong { limit })
    );
}

#[test]
fn px_01_nested_tlvs_are_not_looked_at() {
    let v4 = ips(
        "192.0.2.9:4711".parse().unwrap(),
        "198.51.100.7:80".parse().unwrap(),
    );
    // PP2_TYPE_SSL in PP2_TYPE_SSL in …, as deep as there is room, and lengths that lie.
    let mut nested = v4.clone();
    while nested.len() + 8 <= V2_BLOCK_BYTES_MAX {
        let left = u16::try_from(V2_BLOCK_BYTES_MAX - nested.len() - 3).unwrap();
        nested.push(0x20);
        nested.extend(left.to_be_bytes());
        nested.extend([1, 0, 0, 0, 0]);
    }
    check(
        &v2(0x21, 0x11, &nested),
        &from("192.0.2.9:4711", "198.51.100.7:80"),
    );
    let lies = [&v4[..], &[0x20, 0xff, 0xff]].concat();
    check(
        &v2(0x21, 0x11, &lies),
        &from("192.0.2.9:4711", "198.51.100.7:80"),
    );
}

#[test]
fn what_is_no_header_is_known_by_its_first_wrong_byte() {
    for text in [
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "proxy ",
        "\r\n\r\n\r",
        "\0",
        "PROXY\t",
    ] {
        assert_eq!(
            read_header(text.as_bytes()),
            Err(BadHeader::Absent),
            "{text:?}"
        );
    }
    for start in ["", "P", "PROXY", "PROXY ", "\r", "\r\n\r\n\0\r\nQUIT\n"] {
        assert_eq!(read_header(start.as_bytes()), Ok(None), "{start:?}");
    }
}

proptest! {
    #[test]
    fn headers_of_any_addresses_are_read_however_they_are_cut(
        peer: SocketAddr,
        host: SocketAddr,
        tlvs in proptest::collection::vec(any::<u8>(), 0..300),
        rest: Vec<u8>,
        cut: proptest::sample::Index,
    ) {
        // Without scope and flow, which no header knows.
        let bare = |address: SocketAddr| SocketAddr::new(address.ip(), address.port());
        let (peer, mut host) = (bare(peer), bare(host));
        if peer.is_ipv4() != host.is_ipv4() {
            host = peer;
        }
        let (name, family) = if peer.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
        let (peer_ip, host_ip) = (peer.ip(), host.ip());
        let line = format!("PROXY {name} {peer_ip} {host_ip} {} {}\r\n", peer.port(), host.port());
        let block = [ips(peer, host), tlvs].concat();
        let expected = Proxied::From { peer: peer.into(), host: host.into() };
        for header in [line.into_bytes(), v2(0x21, family, &block)] {
            let cut = cut.index(header.len());
            prop_assert_eq!(read_header(&header[..cut]), Ok(None));
            let all = [&header[..], &rest].concat();
            prop_assert_eq!(read_header(&all), Ok(Some((expected.clone(), header.len()))));
        }
    }

    #[test]
    fn whatever_comes_the_answer_does_not_change_with_more_of_it(
        start in prop_oneof![
            Just(b"".to_vec()), Just(b"PROXY ".to_vec()), Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
            Just(SIGNATURE.to_vec()), Just([SIGNATURE, &[0x21]].concat()),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let all = [start, rest].concat();
        let mut answer = Ok(None);
        for length in 0..=all.len() {
            let next = read_header(&all[..length]);
            if answer != Ok(None) {
                prop_assert_eq!(&next, &answer);
            }
            if let Ok(Some((_, used))) = &next {
                prop_assert!(*used <= length && *used <= HEADER_BYTES_MAX);
            }
            prop_assert!(next != Ok(None) || length < HEADER_BYTES_MAX);
            answer = next;
        }
    }
}

/// What happened to the protocol above, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    #[track_caller]
    fn check(&self, expected: &str) {
        assert_eq!(self.0.take().join(", "), expected);
    }
}

/// The protocol above: echoes, and says what it gets.
struct Echo {
    log: Log,
    made: Rc<RefCell<Vec<Transport>>>,
    pauses: bool,
}

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        self.log
            .note(format!("made {} at {}", transport.peer(), transport.host()));
        self.made.borrow_mut().push(transport.clone());
        if self.pauses {
            transport.pause_producing();
        }
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        self.log.note(String::from_utf8_lossy(data));
        transport.write(data);
        Ok(())
    }

    fn read_closed(&mut self, transport: &Transport) -> Result {
        self.log.note("end");
        transport.lose_connection();
        Ok(())
    }

    fn connection_lost(&mut self, _: Failure) {
        self.log.note("lost");
    }
}

/// The other end.
#[derive(Clone, Default)]
struct Peer(Rc<Seen>);

#[derive(Default)]
struct Seen {
    transport: RefCell<Option<Transport>>,
    received: RefCell<Vec<u8>>,
    ended: Cell<bool>,
    lost: Cell<bool>,
}

impl Protocol for Peer {
    fn read_closed(&mut self, _: &Transport) -> Result {
        self.0.ended.set(true);
        Ok(())
    }

    fn connection_made(&mut self, transport: &Transport) -> Result {
        *self.0.transport.borrow_mut() = Some(transport.clone());
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.0.received.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn connection_lost(&mut self, _: Failure) {
        self.0.lost.set(true);
    }
}

struct World {
    table: Table,
    log: Log,
    /// Peers that `build_protocol` was asked for.
    built: Log,
    made: Rc<RefCell<Vec<Transport>>>,
}

const TRUSTED: &str = "haproxy:tcp:80:trusted=192.0.2.0/24";
const V1: &[u8] = b"PROXY TCP4 203.0.113.5 198.51.100.7 4711 80\r\n";
const MADE: &str = "made 203.0.113.5:4711 at 198.51.100.7:80";

impl World {
    fn new(at: &str, pauses: bool) -> Self {
        let world = Self {
            table: Table::new(),
            log: Log::default(),
            built: Log::default(),
            made: Rc::default(),
        };
        world.table.reactor().endpoint_kind("haproxy", HaProxy);
        let (log, built) = (world.log.clone(), world.built.clone());
        let made = Rc::clone(&world.made);
        let factory = move |peer: &Address| {
            built.note(peer.to_string());
            Some(Echo {
                log: log.clone(),
                made: Rc::clone(&made),
                pauses,
            })
        };
        world.table.reactor().listen(at, factory).unwrap();
        world
    }

    fn connect(&self) -> Peer {
        let peer = Peer::default();
        let connecting = self
            .table
            .reactor()
            .connect_protocol("tcp:192.0.2.2:80", peer.clone());
        let own = peer.clone();
        let refused = move |_: Failure| -> Result<_> {
            own.0.lost.set(true);
            Err(Failure::msg("refused"))
        };
        connecting.add_errback(refused).add_both(|_| ()).detach();
        self.table.settle();
        peer
    }

    fn send(&self, peer: &Peer, data: &[u8]) {
        let transport = peer.0.transport.borrow().clone();
        transport.expect("it is connected").write(data);
        self.table.settle();
    }
}

impl Peer {
    #[track_caller]
    fn check(&self, received: &[u8], is_lost: bool) {
        assert_eq!(self.0.received.take(), received);
        assert_eq!(self.0.lost.get(), is_lost);
    }
}

#[test]
fn after_the_header_the_addresses_are_those_of_the_header() {
    let world = World::new(TRUSTED, false);
    let peer = world.connect();
    world.log.check("");
    world.built.check("");
    world.send(&peer, &[V1, b"hello"].concat());
    world.built.check("203.0.113.5:4711");
    world.log.check(&format!("{MADE}, hello"));
    peer.check(b"hello", false);
    world.send(&peer, b"PROXY again\r\n");
    peer.check(b"PROXY again\r\n", false);
    peer.0
        .transport
        .borrow()
        .as_ref()
        .unwrap()
        .lose_write_connection();
    world.table.settle();
    world.log.check("PROXY again\r\n, end, lost");
    peer.check(b"", true);
}

#[test]
fn px_01_a_header_in_pieces_of_one_byte_is_read() {
    let v4 = ips(
        "203.0.113.5:4711".parse().unwrap(),
        "198.51.100.7:80".parse().unwrap(),
    );
    for header in [V1.to_vec(), v2(0x21, 0x11, &v4)] {
        let world = World::new(TRUSTED, false);
        let peer = world.connect();
        for byte in header.iter().chain(b"hello") {
            world.log.0.take();
            world.send(&peer, &[*byte]);
        }
        world.built.check("203.0.113.5:4711");
        world.log.check("o");
        peer.check(b"hello", false);
    }
}

#[test]
fn a_header_cut_anywhere_gives_the_same() {
    let v4 = ips(
        "203.0.113.5:4711".parse().unwrap(),
        "198.51.100.7:80".parse().unwrap(),
    );
    for header in [V1.to_vec(), v2(0x21, 0x11, &v4)] {
        let all = [&header[..], b"hello"].concat();
        for cut in 1..all.len() {
            let world = World::new(TRUSTED, false);
            let peer = world.connect();
            world.send(&peer, &all[..cut]);
            world.send(&peer, &all[cut..]);
            peer.check(b"hello", false);
            world.built.check("203.0.113.5:4711");
        }
    }
}

#[test]
fn px_01_local_and_unknown_keep_the_real_addresses() {
    let real = "made 192.0.2.1:1 at 192.0.2.2:80";
    let v4 = ips(
        "203.0.113.5:4711".parse().unwrap(),
        "198.51.100.7:80".parse().unwrap(),
    );
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.5 198.51.100.7 4711 80\r\n".to_vec(),
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, &v4),
        v2(0x21, 0x00, b""),
    ] {
        let world = World::new(TRUSTED, false);
        let peer = world.connect();
        world.send(&peer, &header);
        world.log.check(real);
        world.built.check("192.0.2.1:1");
        peer.check(b"", false);
    }
}

#[test]
fn px_01_none_at_all_and_garbage_are_closed() {
    for (bytes, why) in [
        (
            &b"GET / HTTP/1.0\r\n\r\n"[..],
            "it begins with no PROXY header",
        ),
        (b"\0", "it begins with no PROXY header"),
        (&[b'P'; 20_000], "it begins with no PROXY header"),
        (
            &[V1_START, &[b'x'; 200]].concat(),
            "its PROXY header is longer than the limit of 107 bytes",
        ),
        (b"PROXY TCP9 1 2 3 4\r\n", "its PROXY header is wrong: "),
    ] {
        let world = World::new(TRUSTED, false);
        let peer = world.connect();
        let log = logged(|| world.send(&peer, bytes));
        peer.check(b"", true);
        world.log.check("");
        world.built.check("");
        let said = format!("WARN closed the connection of 192.0.2.1:1: {why}");
        assert!(log.len() == 1 && log[0].starts_with(&said), "{log:?}");
    }
}

const V1_START: &[u8] = b"PROXY UNKNOWN ";

#[test]
fn a_peer_that_ends_before_its_header_is_closed() {
    for begun in [&b""[..], b"PROXY TCP4 "] {
        let world = World::new(TRUSTED, false);
        let peer = world.connect();
        world.send(&peer, begun);
        peer.0
            .transport
            .borrow()
            .as_ref()
            .unwrap()
            .lose_write_connection();
        world.table.settle();
        peer.check(b"", true);
        world.built.check("");
    }
}

#[test]
fn px_01_a_header_that_takes_longer_than_the_handshake_may_is_closed() {
    let world = World::new(TRUSTED, false);
    let (slow, silent, done) = (world.connect(), world.connect(), world.connect());
    world.send(&done, V1);
    let limit = world.table.reactor().limits().handshake;
    for byte in V1.iter().take(20) {
        world.send(&slow, &[*byte]);
        world.table.advance(limit / 20);
    }
    world.table.advance(Duration::from_secs(1));
    slow.check(b"", true);
    silent.check(b"", true);
    done.check(b"", false);
    world.built.check("203.0.113.5:4711");
}

#[test]
fn px_01_who_is_not_trusted_is_closed_and_logged_once_a_second() {
    for at in [
        "haproxy:tcp:80",
        "haproxy:tcp:80:trusted=10.0.0.0/8,192.0.2.9",
    ] {
        let world = World::new(at, false);
        let mut peers = Vec::new();
        let log = logged(|| peers.extend((0..5).map(|_| world.connect())));
        let why = "it is not trusted to send a PROXY header";
        let said = format!("WARN closed the connection of 192.0.2.1:1: {why}");
        assert_eq!(log, std::slice::from_ref(&said));
        for peer in peers {
            peer.check(b"", true);
        }
        world.table.advance(Duration::from_secs(1));
        let log = logged(|| drop(world.connect()));
        assert_eq!(log, [format!("{said} (4 more since the last such line)")]);
        world.built.check("");
    }
}

#[test]
fn what_follows_the_header_waits_while_the_protocol_above_is_paused() {
    let world = World::new(TRUSTED, true);
    let peer = world.connect();
    world.send(&peer, &[V1, b"hello"].concat());
    world.send(&peer, b" world");
    peer.0
        .transport
        .borrow()
        .as_ref()
        .unwrap()
        .lose_write_connection();
    world.table.settle();
    world.log.check(MADE);
    peer.check(b"", false);
    world.made.borrow()[0].resume_producing();
    world.table.settle();
    world.log.check("hello, \u{20}world, end, lost");
    peer.check(b"hello world", true);
}

#[test]
fn the_end_that_came_with_the_header_is_told_after_what_was_held() {
    let world = World::new(TRUSTED, true);
    let peer = world.connect();
    world.send(&peer, &[V1, b"hello"].concat());
    world.made.borrow()[0].resume_producing();
    world.table.settle();
    world.log.check(&format!("{MADE}, hello"));
    world.made.borrow()[0].pause_producing();
    world.send(&peer, b"more");
    peer.0
        .transport
        .borrow()
        .as_ref()
        .unwrap()
        .lose_write_connection();
    world.table.settle();
    world.log.check("");
    world.made.borrow()[0].resume_producing();
    world.table.settle();
    world.log.check("more, end, lost");
    peer.check(b"hellomore", true);
}

#[test]
fn a_factory_that_declines_is_asked_after_the_header() {
    let table = Table::new();
    table.reactor().endpoint_kind("haproxy", HaProxy);
    let asked = Log::default();
    let own = asked.clone();
    let factory = move |peer: &Address| -> Option<Peer> {
        own.note(peer.to_string());
        None
    };
    table.reactor().listen(TRUSTED, factory).unwrap();
    let peer = Peer::default();
    table
        .reactor()
        .connect_protocol("tcp:192.0.2.2:80", peer.clone())
        .detach();
    table.settle();
    asked.check("");
    peer.0.transport.borrow().as_ref().unwrap().write(V1);
    table.settle();
    asked.check("203.0.113.5:4711");
    assert!(peer.0.ended.get() || peer.0.lost.get(), "it is closed");
}

#[test]
fn endpoints_are_checked_through_all_kinds() {
    let table = Table::new();
    let reactor = table.reactor();
    reactor.endpoint_kind("haproxy", HaProxy);
    for right in [
        "haproxy:tcp:80",
        "haproxy:tcp:80:interface=127.0.0.1:trusted=10.0.0.0/8",
        r"haproxy:tcp6:80:trusted=2001\:db8\:\:/32",
        "haproxy:unix:/run/x:mode=600",
        "haproxy:haproxy:tcp:80",
    ] {
        let checked = reactor.check_endpoint(right, Side::Server);
        assert!(checked.is_ok(), "{right}: {checked:?}");
    }
    check_wrong(reactor);
    assert!(
        !reactor
            .endpoint_kinds(Side::Client)
            .iter()
            .any(|(kind, _)| kind == "haproxy")
    );
    assert!(
        reactor
            .endpoint_kinds(Side::Server)
            .contains(&("haproxy".to_owned(), USAGE))
    );
}

/// What is wrong with an endpoint is told in the words of the kind whose part it is.
fn check_wrong(reactor: &Reactor) {
    for (at, side, problem) in [
        (
            "haproxy",
            Side::Server,
            "expected another endpoint behind `haproxy:`, as in `haproxy:tcp:8007`",
        ),
        (
            "haproxy:",
            Side::Server,
            "expected another endpoint behind `haproxy:`",
        ),
        (
            "haproxy:8080",
            Side::Server,
            "unknown kind of endpoint `8080`",
        ),
        (
            "haproxy:tpc:80",
            Side::Server,
            "unknown kind of endpoint `tpc`",
        ),
        (
            "haproxy:tcp:65536",
            Side::Server,
            "port `65536` is no number from 0 to 65535",
        ),
        (
            "haproxy:tcp:80:trusted=10.0.0.0/33",
            Side::Server,
            "`10.0.0.0/33` is no address and no network",
        ),
        (
            "haproxy:tcp:80:trsuted=10.0.0.1",
            Side::Server,
            "unknown option `trsuted`; expected `trusted`; did you mean `trusted`?",
        ),
        (
            "haproxy:tcp:80:backlgo=1",
            Side::Server,
            "unknown option `backlgo`; expected one of `port`, `interface`, `backlog`, `reuse`; did you mean `backlog`?",
        ),
        (
            "haproxy:tcp:127.0.0.1:80",
            Side::Client,
            "`haproxy:` is to listen at, and nothing to connect to",
        ),
    ] {
        let checked = reactor.check_endpoint(at, side);
        let said = checked.expect_err(at).to_string();
        assert!(said.contains(problem), "{said}");
    }
}

#[test]
fn each_direction_is_closed_by_itself() {
    let world = World::new(TRUSTED, false);
    let peer = world.connect();
    world.send(&peer, &[V1, b"hello"].concat());
    world.made.borrow()[0].lose_write_connection();
    world.table.settle();
    peer.check(b"hello", false);
    assert!(peer.0.ended.get(), "it is told");
    world.send(&peer, b"more");
    world.log.check(&format!("{MADE}, hello, more"));
}
