//! The names of a virtual network, and clients that connect to them. No test waits for real time.

use crate::peer::Peer;
use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};
use tress_core::{Reactor, Time, error::DnsLookupError};
use tress_sim::World;

/// A world where a segment takes exactly a millisecond, with a server that has both families and a client that does.
fn pair() -> (World, Reactor, Reactor) {
    let world = World::new(1);
    let mut policy = world.policy();
    policy.latency = Duration::from_millis(1);
    policy.jitter = Duration::ZERO;
    world.set_policy(policy);
    let (server, client) = (world.host("10.0.0.1"), world.host("10.0.0.2"));
    world.add_address("10.0.0.1", "2001:db8::1");
    world.add_address("10.0.0.2", "2001:db8::2");
    let client = Reactor::with(client);
    client.set_name_resolver(world.clone());
    (world, Reactor::with(server), client)
}

/// The address that was connected to, and when; or what connecting failed with.
#[track_caller]
fn check(addresses: &[&str], expected: Result<(&str, u64), &str>) {
    let (world, server, client) = pair();
    server
        .listen("tcp6:7", Peer::silent)
        .expect("nobody else listens, in either family");
    world.add_name("Web.Example", addresses);
    let end = Rc::new(RefCell::new(None));
    let (place, clock) = (Rc::clone(&end), world.clone());
    client
        .connect("tcp:web.example.:7:timeout=5", Peer::silent)
        .add_both(move |result| {
            let at = clock.now().since(Time(0)).as_millis();
            let made = result.map(|connection| (connection.transport().peer(), at));
            place.replace(Some(made));
        })
        .detach();
    world
        .run_until_idle(&[&server, &client])
        .expect("it comes to an end");
    match (end.take().expect("it has an end"), expected) {
        (Ok((peer, at)), Ok((ip, expected_at))) => {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(
                (peer, at),
                (SocketAddr::new(ip, 7).into(), expected_at.into())
            );
        }
        (Err(failure), Err(text)) => assert_eq!(failure.to_string(), text),
        (got, expected) => panic!("got {got:?}, expected {expected:?}"),
    }
    assert_eq!(client.statistics().timers, 0);
}

#[test]
fn a_client_connects_to_the_first_address_that_answers() {
    // A round trip for the name, another for the connection.
    check(&["10.0.0.1"], Ok(("10.0.0.1", 4)));
    check(&["2001:db8::1", "10.0.0.1"], Ok(("2001:db8::1", 4)));
    // Nobody is there: the next begins after its time.
    check(&["2001:db8::9", "10.0.0.1"], Ok(("10.0.0.1", 254)));
    check(
        &["10.0.0.9", "10.0.0.8", "2001:db8::1"],
        Ok(("2001:db8::1", 254)),
    );
    // Refused: at once. (Nobody listens on the client's own host.)
    check(&["10.0.0.2", "2001:db8::1"], Ok(("2001:db8::1", 6)));
}

#[test]
fn all_failures_are_told() {
    check(
        &["10.0.0.2", "2001:db8::2"],
        Err("no address of web.example.:7 worked: \
             10.0.0.2:7: could not connect: connection refused; \
             [2001:db8::2]:7: could not connect: connection refused"),
    );
    check(
        &["10.0.0.9"],
        Err("connecting to web.example.:7: 10.0.0.9:7: no answer: connecting timed out after 5s"),
    );
    check(
        &[],
        Err("connecting to web.example.:7: cannot look up `web.example.`: it has no address"),
    );
}

#[test]
fn a_name_that_is_not_in_the_table_is_an_error() {
    let (world, _server, client) = pair();
    let connecting = client.connect("tcp:other.example:7", Peer::silent);
    world
        .run_until_idle(&[&client])
        .expect("it comes to an end");
    let failure = connecting.try_result().expect("it has an end").unwrap_err();
    let error = failure.check::<DnsLookupError>().expect("a lookup failed");
    assert_eq!(error.name, "other.example");
    assert_eq!(world.now().since(Time(0)), Duration::from_millis(2));
}
