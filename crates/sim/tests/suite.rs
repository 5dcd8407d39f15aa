//! The behaviour suite on the simulated driver: two hosts, no latency, so that time moves only by hand.

use std::{any::Any, net::IpAddr, rc::Rc, time::Duration};
use tress_core::{DatagramTransport, Descriptor, Port, Reactor, Signal, testing::suite};
use tress_sim::{SimProcess, World};

const SERVER: &str = "10.0.0.1";
const CLIENT: &str = "10.0.0.2";
/// Turns after which a condition is given up.
const PATIENCE: usize = 3_000_000;

struct SimWorld {
    world: World,
    server: Reactor,
    client: Reactor,
    process: SimProcess,
}

impl SimWorld {
    fn new() -> Self {
        let world = World::new(1);
        let mut policy = world.policy();
        policy.latency = Duration::ZERO;
        policy.jitter = Duration::ZERO;
        world.set_policy(policy);
        let server = world.host(SERVER);
        Self {
            process: server.process(),
            server: Reactor::with(server),
            client: Reactor::with(world.host(CLIENT)),
            world,
        }
    }
}

impl suite::World for SimWorld {
    fn reactor(&self) -> Reactor {
        self.server.clone()
    }

    fn client(&self) -> Reactor {
        self.client.clone()
    }

    fn listen_at(&self) -> String {
        "tcp:0".to_owned()
    }

    fn connect_to(&self, port: &Port) -> String {
        let port = port.local_address().port().expect("it is an IP address");
        format!("tcp:{SERVER}:{port}")
    }

    fn datagrams_at(&self) -> Option<String> {
        Some("udp:0".to_owned())
    }

    fn datagrams_to(&self, port: &DatagramTransport) -> String {
        let port = port.local_address().port().expect("it is an IP address");
        format!("udp:{SERVER}:{port}")
    }

    fn broadcast(&self) -> Option<IpAddr> {
        Some([255, 255, 255, 255].into())
    }

    fn signals(&self) -> Option<Box<dyn Fn(Signal)>> {
        let process = self.process.clone();
        Some(Box::new(move |signal| {
            process.raise(signal);
        }))
    }

    /// It is never sent, as this network carries none.
    fn descriptor(&self) -> Option<(Descriptor, Box<dyn Fn() -> bool>)> {
        let (_, writer) = std::io::pipe().expect("there is a pipe");
        let file = std::os::fd::OwnedFd::from(writer);
        Some((file.into(), Box::new(|| false)))
    }

    fn until(&self, condition: &mut dyn FnMut() -> bool) {
        for _ in 0..PATIENCE {
            if condition() {
                return;
            }
            for reactor in [&self.server, &self.client] {
                let turned = reactor.turn(Some(Duration::ZERO));
                turned.expect("the simulation goes on");
            }
        }
        panic!("the condition does not hold after {PATIENCE} turns");
    }

    fn settle(&self) {
        let settled = self.world.settle(&[&self.server, &self.client]);
        settled.expect("it comes to rest");
    }

    fn advance(&self, by: Duration) {
        self.world.advance(by);
        self.settle();
    }

    fn pass(&self) -> Rc<dyn Fn(Duration)> {
        let world = self.world.clone();
        Rc::new(move |by| world.advance(by))
    }

    fn waits_for_threads(&self) -> bool {
        false
    }

    fn silent(&self) -> Option<String> {
        Some("tcp:10.0.0.77:9".to_owned())
    }

    fn connect_from_elsewhere(&self, port: &Port) -> Option<String> {
        Some(format!("{}:bindAddress=10.0.0.99", self.connect_to(port)))
    }

    fn exhaust(&self) -> Option<Box<dyn Any>> {
        self.world.set_descriptor_limit(SERVER, Some(0));
        Some(Box::new(Exhausted(self.world.clone())))
    }
}

/// While it lives, the server's host has no descriptor left.
struct Exhausted(World);

impl Drop for Exhausted {
    fn drop(&mut self) {
        self.0.set_descriptor_limit(SERVER, None);
    }
}

tress_core::check_driver!(sim, SimWorld::new);
