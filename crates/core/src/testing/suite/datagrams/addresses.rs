//! Whom a port reaches and hears: peers, refusals, groups, broadcasts.

use super::{Grams, open, place, reachable, refused, two, udp_place};
use crate::{
    address::Address,
    datagram::{DatagramError, DatagramTransport},
    driver::Interface,
    error::ConnectError,
    testing::suite::{
        World,
        recorder::{Log, Recorder, watch},
    },
};
use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
};

/// What others send to it is not delivered.
pub fn a_connected_port_hears_only_its_peer(world: &dyn World) {
    let Some(two) = two(world, Grams::echo(&Log::default())) else {
        return;
    };
    assert_eq!(
        two.client.peer().map(|peer| peer.port()),
        Some(two.server.local_address().port())
    );
    // From the same host as the client, so that all worlds have the way.
    let at = world.datagrams_at().expect("it had one before");
    let stranger = open(&world.client(), &at, Grams::default());
    let to = reachable(&two.client.local_address());
    // Nobody may send to a connected UNIX socket; then it is the sender who notices.
    stranger.write_to(b"strange", &to).expect("there is room");
    two.send(b"mine");
    world.until(&mut || two.log.count("mine") == 1);
    world.settle();
    two.log.check(&["start", "mine"]);
}

/// What others sent before the port was connected is not its peer's.
pub fn what_came_before_the_connect_is_not_delivered(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    let peer = two.another(world);
    two.send(b"early");
    for _ in 0..3 {
        world.turn(&world.client());
    }
    assert_eq!(two.client.statistics().sent, 1);
    let connected = two.server.connect(&peer.local_address());
    connected.expect("it is there");
    peer.write(b"mine").expect("there is room");
    world.until(&mut || log.count("mine") == 1);
    log.check(&["start", "mine"]);
}

/// And then sends to its peer only.
pub fn a_port_is_connected_once(world: &dyn World) {
    let log = Log::default();
    let Some(two) = two(world, Grams::new(&log)) else {
        return;
    };
    let peer = two.client.peer().expect("it is connected");
    let other = two.client.local_address();
    let again = two.client.connect(&peer);
    let failure = again.expect_err("it is connected");
    let expected = DatagramError::OtherPeer(peer.clone());
    assert_eq!(failure.check::<DatagramError>(), Some(&expected));
    assert_eq!(two.client.write_to(b"x", &other), Err(expected));
    // Its peer may be named.
    two.client.write_to(b"named", &peer).expect("there is room");
    world.until(&mut || log.count("named") == 1);
    // One that is not connected can be, once.
    assert_eq!(two.server.write(b"x"), Err(DatagramError::NotConnected));
}

/// Nobody is there: `connection_refused` comes, outside of all that is called, and nothing ends.
pub fn a_closed_port_refuses(world: &dyn World) {
    let Some((client, log)) = refused(world, |_| Ok(())) else {
        return;
    };
    client.write(b"x").expect("there is room");
    log.check(&["start"]);
    world.until(&mut || log.count("refused") == 1);
    log.check(&["start", "refused"]);
    assert!(client.is_listening());
    if world
        .datagrams_at()
        .is_some_and(|at| at.starts_with("unixgram"))
    {
        // There one need not send to know.
        let to = format!("unixgram:{}", client.peer().expect("it is connected"));
        let late = world.client().connect_datagrams(&to, Grams::default());
        let failure = late.expect_err("nobody is there");
        assert!(failure.check::<ConnectError>().is_some(), "{failure}");
    }
}

/// Two ports, of which the first that is refused stops both: the other hears no more of it.
pub fn a_port_that_was_stopped_is_not_refused(world: &dyn World) {
    let Some(at) = place(world) else { return };
    let server = open(&world.reactor(), &at, Grams::default());
    let (log, ports) = (Log::default(), Rc::new(RefCell::new(Vec::new())));
    for _ in 0..2 {
        // Each has an address of its own.
        let to = world.datagrams_to(&server);
        let both: Rc<RefCell<Vec<DatagramTransport>>> = Rc::clone(&ports);
        let protocol = Grams::new(&log).on_refused(move |_| {
            let both = both.borrow();
            both.iter().for_each(|port| port.stop_listening().detach());
            Ok(())
        });
        let client = world.client().connect_datagrams(&to, protocol);
        ports.borrow_mut().push(client.expect("it is there"));
    }
    let end = watch(server.stop_listening());
    world.until(&mut || end.count("ok") == 1);
    for port in &*ports.borrow() {
        port.write(b"x").expect("there is room");
    }
    world.until(&mut || log.count("stop") == 2);
    assert_eq!(log.count("refused"), 1);
}

/// Another family, or no address at all: whoever writes is told.
pub fn addresses_that_no_port_reaches(world: &dyn World) {
    let Some(at) = place(world) else { return };
    let port = open(&world.reactor(), &at, Grams::default());
    let strange = [
        Address::Ip("[::1]:1".parse().expect("an address")),
        Address::Unix(crate::UnixName::Unnamed),
        Address::Name("nobody".into()),
        Address::Unknown,
    ];
    for to in strange {
        let expected = DatagramError::Unreachable(to.clone());
        assert_eq!(port.write_to(b"x", &to), Err(expected.clone()));
        let failure = port.connect(&to).expect_err("nothing goes there");
        assert_eq!(failure.check(), Some(&expected));
    }
    assert_eq!(port.statistics().queued, 0);
}

/// Names, and connections at an endpoint for datagrams, are errors that say so.
pub fn names_are_not_looked_up(world: &dyn World) {
    if place(world).is_none() {
        return;
    }
    let asked = world
        .client()
        .connect_datagrams("udp:example.org:9", Grams::default());
    let failure = asked.expect_err("it is a name").to_string();
    assert!(failure.contains("names are not looked up"), "{failure}");
    let stream = world.reactor().listen("udp:0", Recorder::echo);
    let failure = stream.expect_err("it is no stream").to_string();
    assert!(failure.contains("carries datagrams"), "{failure}");
}

/// Only when both ask for it.
pub fn two_ports_at_one_address(world: &dyn World) {
    let Some(at) = udp_place(world) else { return };
    let reactor = world.reactor();
    let first = open(&reactor, &format!("{at}:reuse=1"), Grams::default());
    let port = first.local_address().port().expect("it has one");
    let same = at.replacen(":0", &format!(":{port}"), 1);
    open(&reactor, &format!("{same}:reuse=1"), Grams::default());
    let alone = reactor.listen_datagrams(&same, Grams::default());
    assert!(alone.is_err());
}

const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 7, 7, 7));

/// All members at that port number hear it, whoever else is at it does not, and nobody does after he has left.
pub fn multicast_goes_to_the_members(world: &dyn World) {
    let Some(at) = udp_place(world) else { return };
    let everywhere = at.split(":interface").next().expect("it has a kind");
    let reactor = world.reactor();
    let logs: [Log; 3] = Default::default();
    let first = open(
        &reactor,
        &format!("{everywhere}:reuse=1"),
        Grams::new(&logs[0]),
    );
    let port = first.local_address().port().expect("it has one");
    let same = format!("udp:{port}:reuse=1");
    let second = open(&reactor, &same, Grams::new(&logs[1]));
    open(&reactor, &same, Grams::new(&logs[2]));
    for member in [&first, &second] {
        member
            .join_group(GROUP, world.multicast_interface())
            .expect("it can join");
    }
    let again = first.join_group(GROUP, world.multicast_interface());
    let problem = again.expect_err("it is a member").to_string();
    assert!(
        problem.starts_with("joining the group 239.7.7.7: "),
        "{problem}"
    );

    let sender = open(&world.client(), &at, Grams::default());
    sender
        .set_multicast_interface(world.multicast_interface())
        .expect("it is there");
    sender.set_multicast_ttl(1).expect("it is UDP");
    let to = Address::from(std::net::SocketAddr::new(GROUP, port));
    sender.write_to(b"all", &to).expect("there is room");
    world.until(&mut || logs[..2].iter().all(|log| log.count("all") == 1));
    first
        .leave_group(GROUP, world.multicast_interface())
        .expect("it is a member");
    assert!(
        first
            .leave_group(GROUP, world.multicast_interface())
            .is_err()
    );
    sender.write_to(b"rest", &to).expect("there is room");
    world.until(&mut || logs[1].count("rest") == 1);
    world.settle();
    logs[0].check(&["start", "all"]);
    logs[1].check(&["start", "all", "rest"]);
    logs[2].check(&["start"]);
    let group = IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 0x77]);
    assert!(
        first.join_group(group, Interface::Any).is_err(),
        "another family"
    );
    let single = first.join_group([127, 0, 0, 1].into(), Interface::Any);
    assert!(single.is_err(), "no group");
}

/// A broadcast is refused, and counted, until it is allowed.
pub fn broadcast_must_be_allowed(world: &dyn World) {
    let Some(at) = udp_place(world) else { return };
    let Some(broadcast) = world.broadcast() else {
        return;
    };
    let log = Log::default();
    let everywhere = at.split(":interface").next().expect("it has a kind");
    let server = open(&world.reactor(), everywhere, Grams::new(&log));
    let port = server.local_address().port().expect("it has one");
    let to = Address::from(std::net::SocketAddr::new(broadcast, port));
    let sender = open(&world.client(), everywhere, Grams::default());
    sender.write_to(b"no", &to).expect("there is room");
    world.until(&mut || sender.statistics().send_dropped == 1);
    sender.set_broadcast(true).expect("it is UDP");
    sender.write_to(b"yes", &to).expect("there is room");
    world.until(&mut || log.count("yes") == 1);
    let from_start = open(
        &world.client(),
        &format!("{everywhere}:broadcast=1"),
        Grams::default(),
    );
    from_start.write_to(b"again", &to).expect("there is room");
    world.until(&mut || log.count("again") == 1);
    log.check(&["start", "yes", "again"]);
}

/// And of UNIX sockets, which have none: errors.
pub fn options_of_a_port_that_is_closed(world: &dyn World) {
    let Some(at) = place(world) else { return };
    let port = open(&world.reactor(), &at, Grams::default());
    let is_udp = at.starts_with("udp:");
    assert_eq!(port.set_broadcast(true).is_ok(), is_udp);
    assert_eq!(port.set_multicast_loopback(false).is_ok(), is_udp);
    let end = watch(port.stop_listening());
    world.until(&mut || end.count("ok") == 1);
    let results = [
        port.set_broadcast(true),
        port.set_multicast_ttl(7),
        port.connect(&reachable(&port.local_address())),
        port.join_group(GROUP, Interface::Any),
    ];
    for result in results {
        let failure = result.expect_err("it is closed");
        assert_eq!(failure.check(), Some(&DatagramError::Stopped), "{failure}");
    }
}
