//! Scale: many virtual connections through one reactor, and what they cost. Measures time and memory, which the workload
//! does not.

use std::{
    cell::Cell,
    fmt, fs,
    rc::Rc,
    time::{Duration, Instant},
};
use tress_core::{Protocol, Reactor, Result, Transport};
use tress_sim::World;

/// Connections from one client host: it has no more ports.
const PER_HOST: usize = 16_000;
/// Messages on each connection.
const ROUNDS: usize = 5;

/// What many connections cost.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// How many there were at once.
    pub connections: usize,
    /// Reports that drivers made.
    pub events: u64,
    /// How long that took.
    pub took: Duration,
    /// Resident memory of the process for each, both ends and the network between, bytes; where the system tells.
    pub bytes_each: Option<usize>,
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            events,
            took,
            bytes_each,
        } = self;
        let rate = *events as f64 / took.as_secs_f64();
        write!(
            f,
            "connections={connections} events={events} events_per_second={rate:.0}"
        )?;
        match bytes_each {
            Some(bytes) => write!(f, " bytes_each={bytes}"),
            None => Ok(()),
        }
    }
}

struct Echo(Rc<Cell<usize>>);

impl Protocol for Echo {
    fn connection_made(&mut self, _: &Transport) -> Result {
        self.0.set(self.0.get() + 1);
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

struct Client {
    left: usize,
    done: Rc<Cell<usize>>,
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &Transport) -> Result {
        transport.set_idle_timeout(None);
        transport.write(b".");
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, _: &[u8]) -> Result {
        self.left -= 1;
        if self.left == 0 {
            self.done.set(self.done.get() + 1);
        } else {
            transport.write(b".");
        }
        Ok(())
    }
}

/// Holds so many connections to one reactor at once, and lets each exchange some messages.
///
/// # Errors
/// Not all of them were made or served.
pub fn scale(connections: usize) -> Result<Scale> {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long it took is what it measures"
    )]
    let start = Instant::now();
    let before = resident();
    let world = World::new(1);
    let server = Reactor::with(world.host("10.0.0.1"));
    let mut limits = (*server.limits()).clone();
    limits.connections = connections;
    limits.connections_per_peer = connections;
    server.set_limits(limits);
    let (made, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let counter = Rc::clone(&made);
    server.listen("tcp:7", move || Echo(Rc::clone(&counter)))?;
    let hosts = connections.div_ceil(PER_HOST);
    let mut reactors = vec![server];
    for number in 0..hosts {
        let client = Reactor::with(world.host(&format!("10.0.1.{}", number + 1)));
        for _ in 0..PER_HOST.min(connections - number * PER_HOST) {
            let done = Rc::clone(&done);
            let protocol = Client { left: ROUNDS, done };
            client.connect_protocol("tcp:10.0.0.1:7", protocol).detach();
        }
        reactors.push(client);
        // The backlog holds a thousand at a time.
        let reactors: Vec<&Reactor> = reactors.iter().collect();
        world.run_for(Duration::from_secs(1), &reactors)?;
    }
    let all: Vec<&Reactor> = reactors.iter().collect();
    world.run_for(Duration::from_secs(5), &all)?;
    let (made, done) = (made.get(), done.get());
    if (made, done) != (connections, connections) {
        let text = format!("{made} connections were made and {done} served, of {connections}");
        return Err(tress_core::Failure::msg(text));
    }
    let bytes = before
        .zip(resident())
        .map(|(before, now)| now.saturating_sub(before));
    Ok(Scale {
        connections,
        events: world.statistics().reports,
        took: start.elapsed(),
        bytes_each: bytes.map(|bytes| bytes / connections),
    })
}

/// The memory of this process that is in use now, bytes.
fn resident() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
