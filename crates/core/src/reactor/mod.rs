//! `Reactor`: the loop. One turn, the calls into it, and the table of everything that is open.
//!
//! One turn, in this order: calls from other threads that were queued when it began (FIFO), timed calls that are due
//! (FIFO among equal deadlines), ready tasks, flush, wait for the driver, deliver what it reports (each callback's
//! output leaves right after it), flush the rest.
//!
//! It knows no socket: everything below is the [`Driver`]'s. User code runs only from here, and while it runs
//! neither the table nor the driver is borrowed.

mod adopt;
mod callers;
mod clients;
mod connections;
mod datagrams;
mod descriptors;
mod dial;
mod drain;
mod extensions;
mod inbox;
mod jobs;
mod lifecycle;
mod mailbox;
#[cfg(all(test, any(loom, shuttle)))]
mod models;
mod pace;
mod ports;
mod processes;
mod rest;
mod settle;
mod shared;
mod signals;
mod statistics;
mod sweep;
mod sync;
mod tasks;
mod timers;

pub(crate) use connections::{fail_calls, lose};
pub(crate) use rest::Rest;
pub(crate) use settle::{Below, Settled};

pub use clients::{Connection, Destination, Target};
pub use inbox::{Rejected, Remote};
pub use jobs::JobOutcome;
pub use lifecycle::{EventType, Phase, TriggerId};
pub use ports::{Port, PortStatistics};
pub use shared::SharedPorts;
pub use signals::{SignalHandle, SignalSender};
pub use statistics::{Histogram, Statistics};
pub use timers::DelayedCall;

use crate::{
    datagram::DatagramTransport,
    driver::{Driver, Lease, Report, Token},
    endpoint::Kinds,
    failure::Failure,
    limits::Limits,
    names::NameResolver,
    process::Child,
    time::Time,
    transport::{Shared, Transport},
};
use callers::Callers;
use datagrams::DatagramPorts;
use dial::{Attempt, Lookups};
use extensions::Extensions;
use inbox::Inbox;
use jobs::Jobs;
use lifecycle::Lifecycle;
use pace::{Ahead, Pace};
use ports::{PeerCounts, PortState};
use shared::Sharing;
use statistics::Counters;
use std::{
    cell::{Cell, RefCell},
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tasks::Tasks;
use timers::Timers;

/// A handle on the loop: cheap to clone. Many can live in one process; each can run, stop and run again.
#[derive(Clone)]
pub struct Reactor(pub(crate) Rc<Core>);

/// A handle on a reactor that does not keep it. `Reactor -> timed call -> Reactor` is a circle that nobody breaks.
#[derive(Clone, Default)]
pub struct WeakReactor(Weak<Core>);

impl WeakReactor {
    /// The reactor, while anybody keeps it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Reactor> {
        self.0.upgrade().map(Reactor)
    }
}

impl fmt::Debug for WeakReactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakReactor")
    }
}

pub(crate) struct Core {
    pub(crate) driver: RefCell<Box<dyn Driver>>,
    table: RefCell<Vec<Entry>>,
    /// The connection whose callback runs, or ran last: whom to blame for a panic.
    current: Cell<Token>,
    pub(crate) shared: Rc<Shared>,
    /// Where received bytes lie for one callback; borrowed for as long as a turn lasts.
    lease: RefCell<Lease>,
    limits: RefCell<Rc<Limits>>,
    timers: RefCell<Timers>,
    /// The earliest of the timed calls and the sweep: what an idle turn compares with.
    deadline: Cell<Time>,
    next_sweep: Cell<Time>,
    sweep_at: Cell<usize>,
    pace: Pace,
    /// Whether the reactor is stopping, and has something to do each turn.
    changing: Cell<bool>,
    running: Cell<bool>,
    /// When a stop gives up waiting for connections.
    drain_until: Cell<Time>,
    inbox: Arc<Inbox>,
    callers: Arc<Callers>,
    jobs: Jobs,
    tasks: RefCell<Tasks>,
    lifecycle: RefCell<Lifecycle>,
    signals: signals::Signals,
    counters: Counters,
    datagrams: DatagramPorts,
    peers: PeerCounts,
    drains: drain::Drains,
    pub(crate) kinds: RefCell<Kinds>,
    pub(crate) names: RefCell<Option<Rc<dyn NameResolver>>>,
    lookups: Lookups,
    extensions: Extensions,
    sharing: RefCell<Sharing>,
}

/// What a token stands for. The generation is beside it so that a late report reaches nobody.
enum Entry {
    Free,
    Port(u32, Rc<PortState>),
    Connecting(u32, Box<Attempt>),
    Conn(u32, Transport),
    Datagrams(u32, DatagramTransport),
    Child(u32, Rc<Child>),
}

impl Entry {
    fn generation(&self) -> Option<u32> {
        match self {
            Self::Free => None,
            Self::Port(generation, _)
            | Self::Connecting(generation, _)
            | Self::Conn(generation, _)
            | Self::Datagrams(generation, _)
            | Self::Child(generation, _) => Some(*generation),
        }
    }
}

impl Reactor {
    /// A reactor on this driver: the only constructor there is.
    pub fn with(driver: impl Driver) -> Self {
        let limits = Limits::default();
        let pace = Pace::new(driver.stopwatch(), driver.now());
        pace.set_stall(limits.stall);
        let core = Rc::new_cyclic(|core| Core {
            table: RefCell::default(),
            current: Cell::new(Token {
                slot: u32::MAX,
                generation: 0,
            }),
            shared: Rc::new(Shared {
                core: core.clone(),
                cork: RefCell::default(),
                dirty: RefCell::default(),
                any_dirty: Cell::new(false),
                coarse: Cell::new(0),
                rest: Rest::default(),
            }),
            lease: RefCell::default(),
            timers: RefCell::default(),
            deadline: Cell::new(Time::NEVER),
            next_sweep: Cell::new(Time::NEVER),
            sweep_at: Cell::new(0),
            pace,
            changing: Cell::new(false),
            running: Cell::new(false),
            drain_until: Cell::new(Time::NEVER),
            inbox: Arc::new(Inbox::new(driver.waker(), limits.thread_calls)),
            callers: Arc::new(Callers::new()),
            jobs: Jobs::default(),
            tasks: RefCell::default(),
            lifecycle: RefCell::default(),
            signals: signals::Signals::default(),
            counters: Counters::default(),
            datagrams: DatagramPorts::default(),
            peers: PeerCounts::default(),
            drains: drain::Drains::default(),
            kinds: RefCell::new(Kinds::builtin()),
            names: RefCell::default(),
            lookups: Lookups::default(),
            extensions: Extensions::default(),
            sharing: RefCell::default(),
            limits: RefCell::new(Rc::new(limits)),
            driver: RefCell::new(Box::new(driver)),
        });
        core.tick(core.pace.now());
        Self(core)
    }

    /// The limits that ports and connections made from now on obey.
    #[must_use]
    pub fn limits(&self) -> Rc<Limits> {
        Rc::clone(&self.0.limits.borrow())
    }

    /// Changes the limits for ports and connections made from now on, and those of the loop itself at once.
    pub fn set_limits(&self, limits: Limits) {
        let core = &self.0;
        let mut driver = core.driver.borrow_mut();
        driver.set_bytes_per_turn(limits.bytes_per_turn);
        driver.set_job_limits((&limits).into());
        drop(driver);
        core.pace.set_stall(limits.stall);
        core.inbox.set_capacity(limits.thread_calls);
        core.limits.replace(Rc::new(limits));
    }

    /// The driver's clock, now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.driver.borrow().now()
    }

    /// The calendar's time.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.0.driver.borrow().wall()
    }

    /// Random bits from the driver, so that a simulation replays them.
    #[must_use]
    pub fn entropy(&self) -> u64 {
        self.0.driver.borrow_mut().entropy()
    }

    /// A handle that does not keep the reactor: for what the reactor itself keeps, such as the function of a timed call.
    #[must_use]
    pub fn downgrade(&self) -> WeakReactor {
        WeakReactor(Rc::downgrade(&self.0))
    }

    /// A handle for other threads.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(&self.0.inbox, &self.0.callers)
    }

    /// One turn of the loop; waits for at most `longest`. For whoever hosts the reactor; `run` does the same.
    ///
    /// # Errors
    /// The driver can go on no more, and everything that was open has ended; or this was called from inside a callback.
    pub fn turn(&self, longest: Option<Duration>) -> io::Result<()> {
        // Time has gone by since the last turn that was not the loop's.
        self.0.pace.begin_turn();
        self.0.shared.rest.end();
        self.turn_again(longest)
    }

    /// A turn right after another.
    fn turn_again(&self, longest: Option<Duration>) -> io::Result<()> {
        let core = &self.0;
        let Ok(mut lease) = core.lease.try_borrow_mut() else {
            return Err(io::Error::other("a turn inside a turn of the same reactor"));
        };
        let stopped = core.before_waiting(self);
        let timeout = if stopped {
            Some(Duration::ZERO)
        } else {
            core.timeout(longest)
        };
        core.count_turn();
        let waited = core.driver.borrow_mut().wait(timeout);
        if let Err(error) = waited {
            lifecycle::give_up(core, &error);
            return Err(error);
        }
        core.pace.begin_turn();
        core.guard(|| core.deliver(&mut lease));
        core.flush();
        Ok(())
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reactor").field(&self.statistics()).finish()
    }
}

impl Core {
    /// Everything a turn does before it waits. True when the reactor has stopped with that.
    #[inline]
    fn before_waiting(self: &Rc<Self>, reactor: &Reactor) -> bool {
        let called = self.inbox.is_signalled();
        if called {
            inbox::run_calls(reactor);
        }
        if self.pace.is_stale() || matches!(self.pace.ahead(), Ahead::Near) {
            self.run_due();
        }
        if called || self.inbox.is_signalled() {
            tasks::run_ready(reactor);
        }
        self.flush();
        self.changing.get() && lifecycle::step(reactor)
    }

    /// Reads the clock and runs what is due: timed calls, then deadlines of connections.
    #[cold]
    #[inline(never)]
    fn run_due(self: &Rc<Self>) {
        let now = self.driver.borrow().now();
        self.tick(now);
        if self.deadline.get() > now {
            return;
        }
        timers::run_due(self, now);
        if self.next_sweep.get() <= now {
            self.sweep(now);
        }
        self.deadline_changed();
    }

    /// Sets the loop's time.
    fn tick(&self, now: Time) {
        self.pace.set_now(now);
        #[expect(clippy::cast_possible_truncation, reason = "it wraps after nine years")]
        self.shared
            .coarse
            .set((now.0 >> crate::transport::COARSE_SHIFT) as u32);
        self.look_ahead();
    }

    /// How long the next wait may take. The driver's own backlog is the driver's business.
    #[inline]
    fn timeout(&self, longest: Option<Duration>) -> Option<Duration> {
        if self.inbox.is_signalled() || self.shared.any_dirty.get() {
            return Some(Duration::ZERO);
        }
        match self.pace.ahead() {
            _ if self.pace.is_stale() => self.exact_timeout(longest),
            Ahead::Nothing => longest,
            Ahead::Far(far) => Some(longest.map_or(far, |longest| longest.min(far))),
            Ahead::Near => self.exact_timeout(longest),
        }
    }

    /// The same when something is due soon.
    #[cold]
    #[inline(never)]
    fn exact_timeout(&self, longest: Option<Duration>) -> Option<Duration> {
        self.tick(self.driver.borrow().now());
        match self.next_deadline() {
            Time::NEVER => longest,
            deadline => {
                let until = deadline.since(self.pace.now());
                Some(longest.map_or(until, |longest| longest.min(until)))
            }
        }
    }

    /// The next deadline has changed, or the loop's own time.
    fn look_ahead(&self) {
        let deadline = self.next_deadline();
        self.pace.look_ahead(deadline);
        self.shared.rest.due(deadline);
    }

    #[inline]
    fn next_deadline(&self) -> Time {
        self.deadline.get().min(self.drain_until.get())
    }

    fn deadline_changed(&self) {
        let timed = self.timers.borrow().first();
        self.deadline.set(timed.min(self.next_sweep.get()));
        self.look_ahead();
    }

    fn has_backlog(&self) -> bool {
        self.inbox.is_signalled()
            || self.shared.any_dirty.get()
            || self.driver.borrow().backlog()
            || self.can_stop()
    }

    /// Calls `f` until it returns: a panic in a callback costs that callback's connection, and `f` goes on.
    fn guard(self: &Rc<Self>, mut f: impl FnMut()) {
        while let Err(payload) = catch_unwind(AssertUnwindSafe(&mut f)) {
            let token = self.current.get();
            match self.link(token) {
                Some(link) if link.has(crate::transport::flags::RUNNING) => {
                    self.fail(token, &link, Failure::from_panic(&*payload));
                }
                // Not a callback of a connection: a defect of the loop itself, which must not be hidden.
                _ => resume_unwind(payload),
            }
        }
    }

    /// Pulls what the driver has to report.
    #[inline]
    fn deliver(self: &Rc<Self>, lease: &mut Lease) {
        loop {
            if self.driver.borrow_mut().next_data(lease) {
                self.data(lease.conn, lease);
                continue;
            }
            let report = self.driver.borrow_mut().next(lease);
            match report {
                Some(Report::Data { conn }) => self.unusual_data(conn, lease),
                Some(Report::Datagrams { port }) => self.datagrams_arrived(port, &lease.datagrams),
                Some(report) => self.report(report),
                None => return,
            }
        }
    }

    /// Flushes connections of which something was asked from outside their own callbacks.
    #[inline]
    fn flush(self: &Rc<Self>) {
        // What is asked meanwhile waits for the next turn, which comes at once: nobody can hold the loop by asking.
        if self.shared.any_dirty.get() {
            self.flush_dirty();
            self.flush_datagrams();
        }
    }

    #[inline]
    fn link(&self, token: Token) -> Option<Transport> {
        match self.table.borrow().get(token.slot as usize) {
            Some(Entry::Conn(generation, link)) if *generation == token.generation => {
                Some(link.clone())
            }
            _ => None,
        }
    }

    /// Puts an entry at its token's place.
    fn put(&self, token: Token, entry: Entry) {
        let mut table = self.table.borrow_mut();
        let slot = token.slot as usize;
        if table.len() <= slot {
            table.resize_with(slot + 1, || Entry::Free);
        }
        let old = std::mem::replace(&mut table[slot], entry);
        drop(table);
        drop(old);
    }

    /// Takes the entry of this token, which is free after this.
    fn take(&self, token: Token) -> Option<Entry> {
        let mut table = self.table.borrow_mut();
        let entry = table.get_mut(token.slot as usize)?;
        if entry.generation()? != token.generation {
            return None;
        }
        Some(std::mem::replace(entry, Entry::Free))
    }

    /// The tokens of all entries that `wanted` chooses.
    fn tokens(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Token> {
        let table = self.table.borrow();
        let chosen = table.iter().enumerate().filter(|(_, entry)| wanted(entry));
        chosen
            .filter_map(|(slot, entry)| {
                Some(Token {
                    slot: u32::try_from(slot).ok()?,
                    generation: entry.generation()?,
                })
            })
            .collect()
    }
}

impl Drop for Core {
    /// Protocols may hold transports and the other way round: taking them out breaks the circle.
    fn drop(&mut self) {
        self.callers.gone();
        self.jobs.forsake();
        for entry in self.table.get_mut().drain(..) {
            if let Entry::Datagrams(_, port) = &entry {
                datagrams::forget(port);
            }
            if let Entry::Conn(_, link) = entry {
                link.set(crate::transport::flags::LOST);
                let protocol = link
                    .0
                    .protocol
                    .try_borrow_mut()
                    .ok()
                    .and_then(|mut p| p.take());
                let gone = (protocol, link.take_pushed());
                if catch_unwind(AssertUnwindSafe(|| drop(gone))).is_err() {
                    tracing::error!(target: "tress", "a protocol panicked while it was dropped");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
