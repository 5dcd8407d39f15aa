//! Where a scenario is played once: one reactor at both ends, on a clock set by hand, and the watch over it. Counts
//! turns and not time, and says what went wrong. Knows no scenario.

use crate::{
    actor::{Actor, Life, short},
    gram::{Gram, GramLife},
};
use rustix::{
    io::Errno,
    process::{WaitId, WaitIdOptions, waitid},
};
use std::{
    cell::{Cell, RefCell},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};
use tress_core::{
    Address, DatagramTransport, Deferred, Port, Reactor, Result, reactor::Connection,
    testing::ManualClock,
};
#[cfg(all(feature = "uring", target_os = "linux"))]
use tress_os::UringOptions;
use tress_os::{
    Mio,
    seam::{
        Call,
        faults::{self, Calls, Plan},
    },
};

/// The system gets this long to bring what is on its way, in a turn in which nothing has come.
const PATIENCE: Duration = Duration::from_millis(1);
/// The same before it is called a hang, and while there is a child, whose pace is its own: only a hang takes as long.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// Turns in a row in which nothing happened and nothing will, unless time goes by.
const QUIET_TURNS: u32 = 4;
/// How far the clock is set on then, and how often in one run: further than any rest or wait of the drivers.
const STEP: Duration = Duration::from_millis(500);
const STEPS: u32 = 8;
/// Turns in a row that did not wait although nothing happened: more are a spin.
const BUSY_TURNS: u32 = 100;
/// Turns of one run, whatever happens.
const TURNS: u32 = 20_000;

/// Which driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mio,
    #[cfg(all(feature = "uring", target_os = "linux"))]
    Uring,
    /// With every knob off, as on an old kernel.
    #[cfg(all(feature = "uring", target_os = "linux"))]
    PlainUring,
}

/// What a scenario leaves to be looked at when all is over: it panics when the bytes are not as they should be.
pub(crate) type Check = Box<dyn FnOnce()>;

/// A story, and on which drivers it works.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) kinds: &'static [Kind],
    /// The making of the reactor is part of it.
    pub(crate) makes_reactor: bool,
    /// Begins it, and says what must hold in the end if no fault got in the way.
    pub(crate) play: fn(&Rc<Stage>) -> Result<Check>,
}

/// What came of one run.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) calls: Calls,
    /// What it was, if it was not what was promised.
    pub(crate) wrong: Vec<String>,
    /// How each connection and attempt ended.
    pub(crate) ends: Vec<String>,
    /// Connections and attempts that ended otherwise than they would have without a fault.
    pub(crate) disturbed: usize,
    /// The scenario could begin.
    has_played: bool,
}

/// One run.
pub(crate) struct Stage {
    pub(crate) kind: Kind,
    pub(crate) reactor: Reactor,
    pub(crate) clock: ManualClock,
    pub(crate) directory: PathBuf,
    lives: RefCell<Vec<Rc<Life>>>,
    grams: RefCell<Vec<(DatagramTransport, Rc<GramLife>)>>,
    ports: RefCell<Vec<Port>>,
    /// Attempts to connect, or whatever else is still to come, and how many of them failed.
    open: Rc<Cell<usize>>,
    failed: Rc<RefCell<Vec<String>>>,
    /// Connections that end otherwise than cleanly, as the scenario wants it.
    pub(crate) is_rough: Cell<bool>,
    /// What the scenario itself has found wrong, whatever the fault was.
    pub(crate) complaint: Rc<Cell<Option<String>>>,
    pub(crate) progress: Rc<Cell<u64>>,
    steps: Cell<u32>,
    turns: Cell<u32>,
}

impl Stage {
    fn new(kind: Kind, directory: &Path) -> std::io::Result<Self> {
        let clock = ManualClock::new();
        let reactor = match kind {
            Kind::Mio => Reactor::with(Mio::with_clock(clock.clone())?),
            #[cfg(all(feature = "uring", target_os = "linux"))]
            Kind::Uring => Reactor::with(uring(clock.clone(), &UringOptions::default())?),
            #[cfg(all(feature = "uring", target_os = "linux"))]
            Kind::PlainUring => Reactor::with(uring(clock.clone(), &UringOptions::plain())?),
        };
        let mut limits = (*reactor.limits()).clone();
        // Nothing but what the scenario does ends anything: a connection that waits for these hangs.
        for limit in [
            &mut limits.idle,
            &mut limits.connect,
            &mut limits.handshake,
            &mut limits.shutdown,
        ] {
            *limit = Duration::from_secs(3600);
        }
        reactor.set_limits(limits);
        Ok(Self {
            kind,
            reactor,
            clock,
            directory: directory.to_owned(),
            lives: RefCell::default(),
            grams: RefCell::default(),
            ports: RefCell::default(),
            open: Rc::default(),
            failed: Rc::default(),
            is_rough: Cell::new(false),
            complaint: Rc::default(),
            progress: Rc::default(),
            steps: Cell::new(0),
            turns: Cell::new(0),
        })
    }

    /// The protocol, of which the run must see the end.
    fn watch(&self, mut actor: Actor) -> Actor {
        let life = Rc::new(Life {
            progress: Rc::clone(&self.progress),
            ..Life::default()
        });
        actor.life = Rc::clone(&life);
        self.lives.borrow_mut().push(life);
        actor
    }

    pub(crate) fn listen(
        self: &Rc<Self>,
        at: &str,
        mut make: impl FnMut() -> Actor + 'static,
    ) -> Result<Port> {
        let stage = Rc::downgrade(self);
        let port = self
            .reactor
            .listen(at, move |_: &Address| Some(stage.upgrade()?.watch(make())))?;
        self.ports.borrow_mut().push(port.clone());
        Ok(port)
    }

    /// A port on the loopback interface.
    pub(crate) fn listen_tcp(
        self: &Rc<Self>,
        make: impl FnMut() -> Actor + 'static,
    ) -> Result<Port> {
        self.listen("tcp:0:interface=127.0.0.1", make)
    }

    /// Begins to connect to the port; gives the life of what is to be connected.
    pub(crate) fn connect(&self, port: &Port, actor: Actor) -> Rc<Life> {
        self.connect_to(&to(port), actor)
    }

    pub(crate) fn connect_to(&self, to: &str, actor: Actor) -> Rc<Life> {
        let (life, connecting) = self.connecting(to, actor);
        connecting.detach();
        life
    }

    /// The same with the attempt, which can be cancelled.
    pub(crate) fn connecting(&self, to: &str, actor: Actor) -> (Rc<Life>, Deferred<()>) {
        let actor = self.watch(actor);
        let life = Rc::clone(&actor.life);
        let connecting = self.reactor.connect_protocol(to, actor);
        let connecting = self.await_end(connecting.add_callback(|_: Connection<Actor>| Ok(())));
        (life, connecting)
    }

    /// Opens a datagram port: one that is connected to where it says, or else one that is there.
    pub(crate) fn open_grams(
        &self,
        endpoint: &str,
        connects: bool,
        echoes: bool,
    ) -> Result<(DatagramTransport, Rc<GramLife>)> {
        let life = Rc::new(GramLife {
            progress: Rc::clone(&self.progress),
            ..GramLife::default()
        });
        let gram = Gram {
            life: Rc::clone(&life),
            echoes,
        };
        let port = if connects {
            self.reactor.connect_datagrams(endpoint, gram)?
        } else {
            self.reactor.listen_datagrams(endpoint, gram)?
        };
        let opened = (port, life);
        self.grams.borrow_mut().push(opened.clone());
        Ok(opened)
    }

    /// Calls this after so much time; the run is not over before.
    pub(crate) fn after(&self, time: Duration, call: impl FnOnce() + 'static) {
        let (resolver, over) = Deferred::pair();
        self.reactor.call_later(time, move || {
            call();
            resolver.resolve(());
        });
        self.await_end(over).detach();
    }

    /// The run is not over before this has fired.
    pub(crate) fn await_end(&self, deferred: Deferred<()>) -> Deferred<()> {
        self.open.set(self.open.get() + 1);
        let (open, failed) = (Rc::clone(&self.open), Rc::clone(&self.failed));
        let progress = Rc::clone(&self.progress);
        deferred.add_both(move |result| {
            open.set(open.get() - 1);
            progress.set(progress.get() + 1);
            if let Err(failure) = result {
                failed.borrow_mut().push(short(&failure));
            }
            Ok(())
        })
    }

    /// By all protocols together.
    pub(crate) fn received_in_all(&self) -> usize {
        let lives = self.lives.borrow();
        lives.iter().map(|life| life.received.borrow().len()).sum()
    }

    fn is_over(&self) -> bool {
        self.open.get() == 0 && !self.lives.borrow().iter().any(|life| life.is_open())
    }

    /// Turns until the condition holds, or says why it will not.
    fn until(&self, what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
        let (mut quiet, mut busy) = (0, 0);
        let mut seen = self.progress.get();
        while !condition() {
            self.turns.set(self.turns.get() + 1);
            if self.turns.get() > TURNS {
                return Err(format!("spin: {TURNS} turns, and not yet: {what}"));
            }
            let wait = match quiet {
                0 => Duration::ZERO,
                _ if self.steps.get() == STEPS => LAST_PATIENCE,
                _ if self.reactor.statistics().processes > 0 => LAST_PATIENCE,
                _ => PATIENCE,
            };
            let (start, calls) = (Instant::now(), faults::count());
            let turned = self.reactor.turn(Some(wait));
            turned.map_err(|error| format!("driver: {error}"))?;
            if self.progress.get() != seen {
                seen = self.progress.get();
                (quiet, busy) = (0, 0);
                continue;
            }
            quiet += 1;
            // It did not wait, or has called more than that.
            let is_busy = start.elapsed() < wait / 2 || faults::count() > calls + 1;
            if quiet < QUIET_TURNS && is_busy {
                busy += 1;
                quiet -= 1;
            }
            if busy > BUSY_TURNS {
                let text = "turns in which nothing happened, and not yet";
                return Err(format!("spin: {busy} {text}: {what}"));
            }
            if let (true, Some(due)) = (quiet > 1, self.reactor.next_deadline())
                && due < STEP
            {
                self.clock.advance(due);
                quiet = 0;
            }
            if quiet > QUIET_TURNS {
                if self.steps.get() == STEPS {
                    return Err(format!("hang: nothing is to come, and not yet: {what}"));
                }
                self.steps.set(self.steps.get() + 1);
                self.clock.advance(STEP);
                quiet = 1;
            }
        }
        Ok(())
    }

    /// A port that listens still serves.
    fn check_ports(self: &Rc<Self>) -> Result<(), String> {
        for port in self.ports.borrow().clone() {
            if !port.is_listening() {
                continue;
            }
            let before = self.lives.borrow().len();
            let client = Actor::new().on_made(|transport| {
                transport.abort_connection();
                Ok(())
            });
            self.connect(&port, client);
            // The client's life, and one for whoever serves it.
            self.until("a new peer is served", || {
                self.lives.borrow().len() > before + 1 && self.is_over()
            })?;
        }
        Ok(())
    }

    fn stop_listening(&self) {
        for port in self.ports.borrow_mut().drain(..) {
            port.stop_listening();
        }
        for (port, _) in self.grams.borrow().iter() {
            port.stop_listening().detach();
        }
    }

    /// What does not fit to what is promised of every connection.
    fn broken_promises(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for life in self.lives.borrow().iter() {
            let (made, lost) = (life.made.get(), life.lost.borrow());
            if made > 1 || lost.len() != made as usize {
                wrong.push(format!("made {made} times, lost: {lost:?}"));
            }
        }
        for (_, life) in self.grams.borrow().iter() {
            let counts = (life.started.get(), life.stopped.get());
            if counts != (1, 1) {
                wrong.push(format!(
                    "a datagram port started and stopped {counts:?} times"
                ));
            }
        }
        let statistics = self.reactor.statistics();
        let held = [
            statistics.connections,
            statistics.timers,
            statistics.tasks,
            statistics.processes,
        ];
        if held != [0; 4] {
            wrong.push(format!("leak: {statistics:?}"));
        }
        wrong
    }

    fn ends(&self) -> Vec<String> {
        let lives = self.lives.borrow();
        let lost = lives.iter().map(|life| life.lost.borrow().join(", "));
        lost.chain(self.failed.borrow().iter().cloned()).collect()
    }

    fn disturbed(&self) -> usize {
        let is_rough = self.is_rough.get();
        let lives = self.lives.borrow();
        let odd = lives
            .iter()
            .filter(|life| life.lost.borrow().iter().any(|lost| lost != "done") && !is_rough);
        let failed = if is_rough {
            0
        } else {
            self.failed.borrow().len()
        };
        let statistics = self.reactor.statistics();
        let lost = statistics.accept_errors + statistics.datagrams_dropped;
        odd.count() + failed + usize::try_from(lost).unwrap_or(usize::MAX)
    }
}

/// The endpoint of whoever connects there.
pub(crate) fn to(port: &Port) -> String {
    match port.local_address() {
        Address::Ip(address) => format!("tcp:127.0.0.1:{}", address.port()),
        other => format!("unix:{other}"),
    }
}

/// The driver with all that it ever has: what it makes with the first datagram port stays as long as it does.
#[cfg(all(feature = "uring", target_os = "linux"))]
fn uring(
    clock: ManualClock,
    options: &UringOptions,
) -> std::io::Result<tress_os::Uring<ManualClock>> {
    use tress_core::driver::{BindOptions, Driver};
    let mut driver = tress_os::Uring::with_options(clock, options)?;
    let any = Address::Ip(([127, 0, 0, 1], 0).into());
    let (port, _) = driver.bind(&any, &BindOptions::default())?;
    driver.close(port, false);
    Ok(driver)
}

/// Plays a scenario once, with a fault or without one.
pub(crate) fn run(
    kind: Kind,
    scenario: &Scenario,
    directory: &Path,
    plan: Option<Plan>,
) -> Outcome {
    let before = descriptors();
    let mut outcome = Outcome::default();
    if scenario.makes_reactor {
        faults::begin(plan);
    }
    match Stage::new(kind, directory) {
        Ok(stage) => outcome.play(&Rc::new(stage), scenario, plan),
        Err(_) if scenario.makes_reactor && plan.is_some() => outcome.calls = faults::end(),
        Err(error) => outcome.goes_wrong(format!("there is no driver: {error}")),
    }
    let after = descriptors();
    if after != before {
        outcome.goes_wrong(format!("leak: {before} descriptors before, {after} after"));
    }
    if has_children() {
        outcome.goes_wrong("leak: a child was not waited for");
    }
    outcome.look_for_files(directory, plan);
    outcome
}

impl Outcome {
    fn goes_wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    fn play(&mut self, stage: &Rc<Stage>, scenario: &Scenario, plan: Option<Plan>) {
        let open = descriptors();
        if !scenario.makes_reactor {
            faults::begin(plan);
        }
        let played = (scenario.play)(stage);
        if let Err(failure) = &played {
            self.ends.push(failure.to_string());
            stage.stop_listening();
        }
        let ended = stage.until("the end", || stage.is_over());
        self.calls = faults::end();
        self.disturbed += stage.disturbed();
        self.ends.extend(stage.ends());
        self.has_played = played.is_ok();
        let ended = match ended {
            // The driver is of no use any more: then everything has ended.
            Err(error) if error.starts_with("driver") && plan.is_some() => {
                self.disturbed += 1;
                if stage.reactor.statistics().connections > 0 {
                    self.goes_wrong("leak: connections outlive their driver");
                }
                Ok(())
            }
            ended => ended.and_then(|()| stage.check_ports()),
        };
        stage.stop_listening();
        let is_clean = || descriptors() <= open && stage.reactor.statistics().timers == 0;
        let ended = ended.and_then(|()| stage.until("all is closed", is_clean));
        self.wrong.extend(ended.err());
        self.wrong.extend(stage.broken_promises());
        self.wrong.extend(stage.complaint.take());
        match played {
            Err(_) if plan.is_some() => self.disturbed += 1,
            Err(failure) => self.goes_wrong(format!("without a fault: {failure}")),
            Ok(check) if self.disturbed == 0 => {
                if catch_unwind(AssertUnwindSafe(check)).is_err() {
                    self.goes_wrong("the bytes are not as they should be");
                }
            }
            Ok(_) => {}
        }
    }

    /// None is left, but what could not be removed, or not be looked at before: that stays, and the log says so.
    fn look_for_files(&mut self, directory: &Path, plan: Option<Plan>) {
        let mut files = 0;
        for file in fs::read_dir(directory).into_iter().flatten().flatten() {
            fs::remove_file(file.path()).ok();
            files += 1;
        }
        let could_not = plan.is_some_and(|plan| match plan.call {
            Call::Unlink | Call::Flock | Call::Fstat => true,
            Call::Lstat | Call::Readlink | Call::Kill => self.has_played,
            _ => false,
        });
        if files > 0 && !could_not {
            self.goes_wrong(format!("leak: {files} files are left"));
        }
    }
}

/// Whether a child of this process runs, or has waited to be waited for, which then is done.
fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    waitid(WaitId::All, options).err() != Some(Errno::CHILD)
}

/// How many descriptors this process has.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
