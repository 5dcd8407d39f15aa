//! The behaviour suite on the simulated driver: two hosts, no latency, so that time moves only by hand.

use std::{any::Any, net::IpAddr, rc::Rc, time::Duration};
use tress_core::{
    DatagramTransport, Descriptor, Port, Reactor,
    process::Command,
    signal::Signal,
    testing::suite::{
        self,
        jobs::{Gate, JobsRun},
        processes::Does,
    },
};
use tress_sim::{ProgramEvent as Event, ProgramHandle, SimProcess, World};

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
        policy.job = Duration::ZERO;
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

    fn jobs_run(&self) -> JobsRun {
        JobsRun::OnTheLoop
    }

    /// No thread waits at it: the jobs take their time.
    fn gate(&self, time: Duration) -> Gate {
        let world = self.world.clone();
        let set_job = move |job| {
            let mut policy = world.policy();
            policy.job = job;
            world.set_policy(policy);
        };
        set_job(time);
        let world = self.world.clone();
        Gate::new(
            || (),
            move || {
                set_job(Duration::ZERO);
                world.advance(time);
            },
        )
    }

    fn silent(&self) -> Option<String> {
        Some("tcp:10.0.0.77:9".to_owned())
    }

    fn connect_from_elsewhere(&self, port: &Port) -> Option<String> {
        Some(format!("{}:bindAddress=10.0.0.99", self.connect_to(port)))
    }

    fn command(&self, does: Does) -> Option<Command> {
        let name = format!("{does:?}");
        self.world.add_program(&name, move || {
            let mut lines = Vec::new();
            move |child: &mut ProgramHandle, event: Event<'_>| run(does, &mut lines, child, event)
        });
        Some(Command::new(name))
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

/// What a child that does this does next. `lines` is what it keeps.
fn run(does: Does, lines: &mut Vec<u8>, child: &mut ProgramHandle, event: Event<'_>) {
    match (does, event) {
        (
            Does::Copies | Does::CopiesAndGoesOn | Does::CopiesInItsTerminal,
            Event::Data(0, data),
        ) => {
            child.write(1, data);
        }
        (Does::Copies | Does::CopiesInItsTerminal, Event::Closed(0))
        | (Does::SaysGoodbye, Event::Closed(0)) => child.exit(0),
        (Does::CopiesAndGoesOn, Event::Started) => child.catch_signal(Signal::Pipe),
        (Does::WritesToBoth, Event::Started) => {
            child.write(1, b"one\n");
            child.write(2, b"two\n");
            child.exit(3);
        }
        (Does::Exits(code), Event::Started) => child.exit(code),
        (Does::Raises(signal), Event::Started) => child.raise(signal),
        (Does::LeavesItsPipes, Event::Started) => child.exit_and_go_on(0),
        (Does::LeavesItsPipes, Event::Closed(0)) => child.exit(0),
        (Does::ClosesItsPipes, Event::Started) => {
            (0..3).for_each(|descriptor| child.close(descriptor));
            child.raise(Signal::Stop);
            child.exit(4);
        }
        (Does::IgnoresTerm, Event::Started) => {
            child.catch_signal(Signal::Term);
            child.write(1, b"ready\n");
        }
        (Does::IgnoresTermInSilence, Event::Started) => {
            child.catch_signal(Signal::Term);
            child.close(1);
            child.close(2);
        }
        (Does::SaysGoodbye, Event::Started) => {
            child.catch_signal(Signal::Term);
            child.write(1, b"up\n");
        }
        (Does::SaysGoodbye, Event::Signal(Signal::Term)) => {
            child.write(1, b"bye\n");
            child.exit(0);
        }
        (Does::Waits, Event::Started) => child.set_reading(0, false),
        (Does::Complains, Event::Started) => child.write(2, b"bad\n"),
        (Does::Floods, Event::Started | Event::Written(1)) => child.write(1, &[b'y'; 4096]),
        (Does::TellsArguments, Event::Started) => {
            for argument in child.arguments().to_vec() {
                child.write(1, format!("{}\n", argument.display()).as_bytes());
            }
            child.exit(0);
        }
        (Does::TellsEnvironment, Event::Started) => {
            for (name, value) in child.environment().clone() {
                let line = format!("{}={}\n", name.display(), value.display());
                child.write(1, line.as_bytes());
            }
            child.exit(0);
        }
        (Does::Crosses, Event::Data(from, data)) => cross(lines, child, from, data),
        (Does::AnswersAtItsSocket, Event::Data(3, data)) => {
            lines.extend_from_slice(data);
            if data.ends_with(b"\n") {
                child.write(3, &[b"got ", &lines[..]].concat());
                child.exit(0);
            }
        }
        _ => {}
    }
}

/// Both lines come in any order and in any pieces; they are told apart by what they are.
fn cross(lines: &mut Vec<u8>, child: &mut ProgramHandle, from: u32, data: &[u8]) {
    // Bytes from 7 have their highest bit set.
    let mark = if from == 7 { 0x80 } else { 0 };
    lines.extend(data.iter().map(|byte| byte | mark));
    let of = |mark: u8| -> Vec<u8> {
        let of = lines.iter().filter(|byte| *byte & 0x80 == mark);
        of.map(|byte| byte & 0x7f).collect()
    };
    let (three, seven) = (of(0), of(0x80));
    if three.ends_with(b"\n") && seven.ends_with(b"\n") {
        child.write(5, &[&seven[..seven.len() - 1], &three].concat());
        child.write(4, &[&three[..three.len() - 1], &seven].concat());
        child.exit(0);
    }
}

tress_core::check_driver!(sim, SimWorld::new);
