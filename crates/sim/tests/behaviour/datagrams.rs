//! What reactors see of datagrams in the virtual network: when they arrive, who gets them, and what is lost.

use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};
use tress_core::{
    Address, DatagramProtocol, DatagramTransport, Reactor, Result, Time, driver::Interface,
    error::CannotListen,
};
use tress_sim::World;

type Heard = Rc<RefCell<Vec<String>>>;

/// Writes down what it hears, with a cross for a refusal.
struct Ear(Heard);

impl DatagramProtocol for Ear {
    fn datagram_received(
        &mut self,
        _transport: &DatagramTransport,
        data: &[u8],
        from: &Address,
    ) -> Result {
        let text = String::from_utf8_lossy(data);
        self.0.borrow_mut().push(format!("{text} of {from}"));
        Ok(())
    }

    fn connection_refused(&mut self, _transport: &DatagramTransport) -> Result {
        self.0.borrow_mut().push("refused".to_owned());
        Ok(())
    }
}

/// Hosts 10.0.0.1, 10.0.0.2, 10.0.0.3, with what the port 7 of each hears.
struct Three {
    world: World,
    reactors: Vec<Reactor>,
    ports: Vec<DatagramTransport>,
    heard: Vec<Heard>,
}

impl Three {
    fn new() -> Self {
        let world = World::new(1);
        let mut three = Self {
            reactors: Vec::new(),
            ports: Vec::new(),
            heard: Vec::new(),
            world,
        };
        for number in 1..=3 {
            let host = three.world.host(&format!("10.0.0.{number}"));
            let (reactor, heard) = (Reactor::with(host), Heard::default());
            let port = reactor.listen_datagrams("udp:7", Ear(Rc::clone(&heard)));
            three.ports.push(port.expect("nobody else is there"));
            three.reactors.push(reactor);
            three.heard.push(heard);
        }
        three
    }

    fn run(&self) {
        let reactors: Vec<&Reactor> = self.reactors.iter().collect();
        let rest = self.world.run_until_idle(&reactors);
        rest.expect("it comes to rest");
    }

    #[track_caller]
    fn check(&self, expected: [&[&str]; 3]) {
        self.run();
        for (heard, expected) in self.heard.iter().zip(expected) {
            assert_eq!(*heard.borrow(), expected);
        }
    }
}

fn to(ip: [u8; 4]) -> Address {
    SocketAddr::from((ip, 7)).into()
}

const GROUP: [u8; 4] = [224, 0, 0, 7];

#[test]
fn a_datagram_travels_for_as_long_as_a_segment() {
    let three = Three::new();
    three.ports[0].write_to(b"x", &to([10, 0, 0, 2])).unwrap();
    three.check([&[], &["x of 10.0.0.1:7"], &[]]);
    let took = three.world.now().since(Time(0));
    assert!(took >= Duration::from_micros(500) && took <= Duration::from_micros(1500));
    assert_eq!(three.world.statistics().datagrams, 1);
}

/// The order is not kept, as the policy's jitter is for each by itself.
#[test]
fn jitter_changes_the_order() {
    let three = Three::new();
    for number in 0..20 {
        let data = [b'a' + number];
        three.ports[0].write_to(&data, &to([10, 0, 0, 2])).unwrap();
    }
    three.run();
    let heard = three.heard[1].borrow().clone();
    assert_eq!(heard.len(), 20);
    let mut sorted = heard.clone();
    sorted.sort();
    assert_ne!(heard, sorted);
}

#[test]
fn only_a_connected_port_hears_that_nobody_is_there() {
    let three = Three::new();
    let heard = Heard::default();
    let connected = three.reactors[0].connect_datagrams("udp:10.0.0.2:9", Ear(Rc::clone(&heard)));
    connected.unwrap().write(b"x").unwrap();
    let nobody = SocketAddr::from(([10, 0, 0, 2], 9));
    three.ports[0].write_to(b"x", &nobody.into()).unwrap();
    three.check([&[], &[], &[]]);
    assert_eq!(*heard.borrow(), ["refused"]);
    assert_eq!(three.world.statistics().datagrams_lost, 2);
}

#[test]
fn a_host_that_is_not_there_says_nothing() {
    let three = Three::new();
    let heard = Heard::default();
    let connected = three.reactors[0].connect_datagrams("udp:10.0.0.99:7", Ear(Rc::clone(&heard)));
    connected.unwrap().write(b"x").unwrap();
    three.check([&[], &[], &[]]);
    assert!(heard.borrow().is_empty());
    assert_eq!(three.world.statistics().datagrams_lost, 1);
}

#[test]
fn a_group_reaches_its_members_on_all_hosts() {
    let three = Three::new();
    for port in &three.ports[..2] {
        port.join_group(IpAddr::from(GROUP), Interface::Any)
            .unwrap();
    }
    three.ports[0].write_to(b"x", &to(GROUP)).unwrap();
    let x = "x of 10.0.0.1:7";
    three.check([&[x], &[x], &[]]);
    three.ports[0].set_multicast_loopback(false).unwrap();
    three.ports[0].write_to(b"y", &to(GROUP)).unwrap();
    three.check([&[x], &[x, "y of 10.0.0.1:7"], &[]]);
    three.ports[1].set_multicast_ttl(0).unwrap();
    three.ports[1].write_to(b"z", &to(GROUP)).unwrap();
    let at_home = "z of 10.0.0.2:7";
    three.check([&[x], &[x, "y of 10.0.0.1:7", at_home], &[]]);
}

#[test]
fn a_broadcast_reaches_all_hosts() {
    let three = Three::new();
    three.ports[1].set_broadcast(true).unwrap();
    three.ports[1].write_to(b"x", &to([255; 4])).unwrap();
    let x: &[&str] = &["x of 10.0.0.2:7"];
    three.check([x, x, x]);
}

/// Whoever does not read loses what does not fit, as with any system.
#[test]
fn a_full_buffer_loses_what_comes() {
    let three = Three::new();
    for _ in 0..10 {
        let data = vec![b'x'; 30_000];
        three.ports[0].write_to(&data, &to([10, 0, 0, 2])).unwrap();
    }
    three.reactors[0].turn(Some(Duration::ZERO)).unwrap();
    three.world.advance(Duration::from_secs(1));
    three.run();
    assert_eq!(three.heard[1].borrow().len(), 7);
    let statistics = three.world.statistics();
    assert_eq!((statistics.datagrams, statistics.datagrams_lost), (7, 3));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let hash = || {
        let three = Three::new();
        for number in 0..20 {
            three.ports[0]
                .write_to(&[number], &to([10, 0, 0, 3]))
                .unwrap();
        }
        three.run();
        three.world.trace_hash()
    };
    assert_eq!(hash(), hash());
}

#[test]
fn there_are_no_unix_sockets() {
    let three = Three::new();
    let opened = three.reactors[0].listen_datagrams("unixgram:/x", Ear(Heard::default()));
    let failure = opened.unwrap_err();
    let error = &failure.check::<CannotListen>().unwrap().error;
    assert_eq!(
        error.to_string(),
        "the virtual network has IP addresses only"
    );
}

#[test]
fn a_port_takes_a_descriptor_until_it_is_closed() {
    let three = Three::new();
    three.world.set_descriptor_limit("10.0.0.1", Some(1));
    let open = || three.reactors[0].listen_datagrams("udp:8", Ear(Heard::default()));
    assert!(open().is_err());
    three.ports[0].stop_listening().detach();
    three.run();
    open().unwrap();
}
