//! A world that remembers what a behaviour asked of it in vain, and the line that a run reports for the README's table.
//! Does not know the behaviours.

use super::{
    World,
    jobs::{Gate, JobsRun},
    processes::Does,
};
use crate::{
    datagram::DatagramTransport,
    descriptor::Descriptor,
    driver::Interface,
    failure::Result,
    process::Command,
    reactor::{Port, Reactor},
    signal::Signal,
};
use std::{
    any::Any, cell::RefCell, collections::BTreeSet, fs::OpenOptions, io::Write, net::IpAddr,
    path::Path, rc::Rc, time::Duration,
};

/// The directory where every behaviour that held leaves a line, when this variable is set: a file for each name that was
/// given to `check_driver!`, with `theme::behaviour`, a tab, and what the world lacks of what the behaviour asked for,
/// parted by `; `.
pub const REPORT: &str = "TRESS_BEHAVIOURS";

/// Plays the behaviour of this name in the world of this loop, and reports it.
///
/// # Panics
/// When the behaviour does not hold, or cannot be reported where that is asked for.
pub fn play(of: &str, name: &str, behaviour: fn(&dyn World), world: &dyn World) {
    let witness = Witness {
        world,
        lacks: RefCell::default(),
    };
    behaviour(&witness);
    if let Some(directory) = std::env::var_os(REPORT) {
        let lacks: Vec<_> = witness.lacks.take().into_iter().collect();
        let line = format!("{name}\t{}\n", lacks.join("; "));
        let path = Path::new(&directory).join(of);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The world behind it, with an ear for every no.
struct Witness<'a> {
    world: &'a dyn World,
    lacks: RefCell<BTreeSet<&'static str>>,
}

impl Witness<'_> {
    fn has(&self, has: bool, lacks: &'static str) -> bool {
        if !has {
            self.lacks.borrow_mut().insert(lacks);
        }
        has
    }

    fn gives<T>(&self, given: Option<T>, lacks: &'static str) -> Option<T> {
        self.has(given.is_some(), lacks);
        given
    }
}

impl World for Witness<'_> {
    fn reactor(&self) -> Reactor {
        self.world.reactor()
    }

    fn client(&self) -> Reactor {
        self.world.client()
    }

    fn listen_at(&self) -> String {
        self.world.listen_at()
    }

    fn connect_to(&self, port: &Port) -> String {
        self.world.connect_to(port)
    }

    fn until(&self, condition: &mut dyn FnMut() -> bool) {
        self.world.until(condition);
    }

    fn settle(&self) {
        self.world.settle();
    }

    fn turn(&self, reactor: &Reactor) {
        self.world.turn(reactor);
    }

    fn run(&self, reactor: &Reactor) -> Result {
        self.world.run(reactor)
    }

    fn is_hosted(&self) -> bool {
        self.world.is_hosted()
    }

    fn advance(&self, by: Duration) {
        self.world.advance(by);
    }

    fn pass(&self) -> Rc<dyn Fn(Duration)> {
        self.world.pass()
    }

    fn waits_for_threads(&self) -> bool {
        self.has(self.world.waits_for_threads(), "its time is virtual")
    }

    fn tells_peers_apart(&self) -> bool {
        self.has(self.world.tells_peers_apart(), "peers have no addresses")
    }

    fn shows_resets(&self) -> bool {
        self.has(self.world.shows_resets(), "a reset looks like any end")
    }

    fn gives_buffers(&self) -> bool {
        self.has(self.world.gives_buffers(), "buffers stay with the driver")
    }

    fn silent(&self) -> Option<String> {
        self.gives(self.world.silent(), "every attempt is answered")
    }

    fn connect_from_elsewhere(&self, port: &Port) -> Option<String> {
        let from = self.world.connect_from_elsewhere(port);
        self.gives(from, "there are no foreign addresses")
    }

    fn datagrams_at(&self) -> Option<String> {
        self.gives(self.world.datagrams_at(), "there are no datagrams")
    }

    fn datagrams_to(&self, port: &DatagramTransport) -> String {
        self.world.datagrams_to(port)
    }

    fn multicast_interface(&self) -> Interface {
        self.world.multicast_interface()
    }

    fn broadcast(&self) -> Option<IpAddr> {
        self.gives(self.world.broadcast(), "no address reaches all")
    }

    fn passes_descriptors(&self) -> bool {
        let passes = self.world.passes_descriptors();
        self.has(passes, "connections carry no open files")
    }

    fn descriptor(&self) -> Option<(Descriptor, Box<dyn Fn() -> bool>)> {
        self.gives(self.world.descriptor(), "there are no open files")
    }

    fn jobs_run(&self) -> JobsRun {
        let run = self.world.jobs_run();
        self.has(run != JobsRun::Nowhere, "there are no threads for jobs");
        run
    }

    fn gate(&self, time: Duration) -> Gate {
        self.world.gate(time)
    }

    fn command(&self, does: Does) -> Option<Command> {
        self.gives(self.world.command(does), "there are no processes")
    }

    fn signals(&self) -> Option<Box<dyn Fn(Signal)>> {
        self.gives(self.world.signals(), "there are no signals")
    }

    fn adopts(&self) -> bool {
        self.has(self.world.adopts(), "there is nothing to adopt")
    }

    fn open_port(&self) -> Option<(Descriptor, String)> {
        self.gives(self.world.open_port(), "there is nothing to adopt")
    }

    fn open_pair(&self) -> Option<[Descriptor; 2]> {
        self.gives(self.world.open_pair(), "there is nothing to adopt")
    }

    fn exhaust(&self) -> Option<Box<dyn Any>> {
        let held = self.world.exhaust();
        self.gives(held, "its descriptors cannot be used up here")
    }
}
