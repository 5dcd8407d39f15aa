//! Workers: several reactors, each on a thread of its own, that listen at the same sockets. Makes the threads, copies the
//! sockets, and stops all when one stops. Knows no protocol and no driver by name.
//!
//! ```text
//! the first sets up, opens --> the others set up at copies --> all run --one stops or fails--> all stop
//! the first has ended --> the others are joined, those that have not ended within `worker_stop` are left
//! ```
//! A new peer wakes every worker that waits, as each watches its own copy; the first to accept has it.

use crate::seam::{self, Call};
use std::{
    collections::BTreeMap,
    error::Error,
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
pub use tress_core::limits::WORKERS_MAX;
use tress_core::{
    Descriptor, EventType, Failure, Phase, Reactor, Remote, Result, ThreadFailure,
    reactor::SharedPorts,
};

/// So many reactors on so many threads, not yet started. The first is on the thread that calls [`Workers::run`]: one
/// worker is a reactor, and starts no thread.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    count: usize,
    reactor: fn() -> Result<Reactor>,
}

/// One of the reactors, while it is set up.
#[derive(Debug)]
pub struct Worker {
    reactor: Reactor,
    index: usize,
    count: usize,
    home: Remote,
}

/// There cannot be so many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadWorkers(pub usize);

impl fmt::Display for BadWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count) = self;
        write!(f, "{count} workers: expected 1 to {WORKERS_MAX}")
    }
}

impl Error for BadWorkers {}

/// Workers that had not ended [`Limits::worker_stop`](tress_core::Limits) after the first: a callback of theirs holds
/// their thread. It was left behind, and ends when the callback returns, or with the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkersLeft {
    /// Which, by number, the lowest first.
    pub workers: Vec<usize>,
    /// How long they were waited for.
    pub after: Duration,
}

impl fmt::Display for WorkersLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, after } = self;
        let names: Vec<String> = workers
            .iter()
            .map(|index| format!("worker {index}"))
            .collect();
        write!(
            f,
            "{} did not end within {after:?} (`worker_stop`): a callback holds the thread, which was left behind",
            names.join(" and ")
        )
    }
}

impl Error for WorkersLeft {}

impl Workers {
    /// So many, each on a reactor that `reactor` makes on its thread.
    ///
    /// # Errors
    /// [`BadWorkers`]: none, or more than [`WORKERS_MAX`].
    pub fn new(count: usize, reactor: fn() -> Result<Reactor>) -> Result<Self, BadWorkers> {
        if (1..=WORKERS_MAX).contains(&count) {
            Ok(Self { count, reactor })
        } else {
            Err(BadWorkers(count))
        }
    }

    /// As many as this process may use cores, as far as the system tells, and at least one.
    #[must_use]
    pub fn available() -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        cores.min(WORKERS_MAX)
    }

    /// Calls `setup` for each worker on its thread, the first worker first, and runs them all until one of them is
    /// stopped or fails: then all stop, each within its limit `shutdown`. What `setup` listens at on the first worker is
    /// opened once, and the others listen at copies of it. None runs before all are set up.
    ///
    /// `setup` must not wait for another worker: none runs yet. It is not borrowed from the caller, as a worker whose
    /// callback never returns may outlive this call: when the first has ended, its limit `worker_stop` says how long the
    /// others are waited for. The first is the caller's own thread, which nobody can leave: while a callback of the first
    /// worker does not return, neither does this, as with one reactor.
    ///
    /// # Errors
    /// The first failure: of `setup` (nothing was served then), or of a loop; a panic is one. It says of which, as
    /// `worker 1`, unless it is the first worker's setup. Else [`WorkersLeft`], which is logged in any case.
    pub fn run(self, setup: impl Fn(&Worker) -> Result + Send + Sync + 'static) -> Result {
        let reactor = (self.reactor)()?;
        let home = reactor.remote();
        let first = self.worker(reactor, 0, home);
        if self.count == 1 {
            setup(&first)?;
            return first.reactor.run();
        }
        let crew = Arc::new(Crew::default());
        let mut others = Others::default();
        let result = self.lead(&first, &Arc::new(setup), &crew, &mut others);
        let limit = first.reactor.limits().worker_stop;
        drop(first);
        let left = others.ended(limit);
        if let Err(left) = &left {
            tracing::error!(target: "tress", "{left}");
        }
        if let Some(failure) = crew.lock().failure.take() {
            return Err(failure.into());
        }
        result.and_then(|()| Ok(left?))
    }

    /// All of the life of the first worker, which starts the others. Returns when they are about to end.
    fn lead<S: Fn(&Worker) -> Result + Send + Sync + 'static>(
        &self,
        first: &Worker,
        setup: &Arc<S>,
        crew: &Arc<Crew>,
        others: &mut Others,
    ) -> Result {
        let _span = tracing::info_span!(target: "tress", "worker", number = 0_usize).entered();
        first.reactor.lend_ports();
        setup(first)?;
        let ports = first.reactor.lent_ports();
        // Dropping the gates unopened sends everybody home.
        let mut gates = Vec::with_capacity(self.count - 1);
        let (ready, readied) = channel();
        for index in 1..self.count {
            let (gate, opened) = channel();
            gates.push(gate);
            let ports = ports.copied(copy)?;
            let ready = ready.clone();
            let post = Post { ready, opened };
            let (home, setup) = (first.home.clone(), Arc::clone(setup));
            let (crew, own) = (Arc::clone(crew), *self);
            others.start(index, move || {
                if let Err(failure) = caught(|| own.work(index, home, ports, &*setup, &crew, &post))
                {
                    let failure = failure.context(format!("worker {index}"));
                    crew.failed(failure.into());
                    post.ready.send(false).ok();
                }
            })?;
        }
        drop((ports, ready));
        if !readied.iter().take(self.count - 1).all(|ready| ready) {
            return Ok(()); // the crew knows why
        }
        crew.watch(&first.reactor);
        for gate in gates {
            // One that has ended has said why.
            gate.send(()).ok();
        }
        if let Err(failure) = caught(|| first.reactor.run()) {
            crew.failed(failure.context("worker 0").into());
        }
        Ok(())
    }

    fn worker(&self, reactor: Reactor, index: usize, home: Remote) -> Worker {
        Worker {
            reactor,
            index,
            count: self.count,
            home,
        }
    }

    /// All of the life of a worker that is not the first.
    fn work(
        &self,
        index: usize,
        home: Remote,
        ports: SharedPorts,
        setup: &dyn Fn(&Worker) -> Result,
        crew: &Arc<Crew>,
        post: &Post,
    ) -> Result {
        let _span = tracing::info_span!(target: "tress", "worker", number = index).entered();
        let worker = self.worker((self.reactor)()?, index, home);
        worker.reactor.borrow_ports(ports);
        setup(&worker)?;
        worker.reactor.return_ports();
        crew.watch(&worker.reactor);
        post.ready.send(true).ok();
        if post.opened.recv().is_err() {
            return Ok(()); // another could not be set up
        }
        worker.reactor.run()
    }
}

/// The threads of the other workers, and how they say that they end.
struct Others {
    threads: BTreeMap<usize, JoinHandle<()>>,
    end: Sender<usize>,
    ends: Receiver<usize>,
}

/// Says that this worker's thread ends, when it is dropped there.
struct Ending(usize, Sender<usize>);

impl Drop for Ending {
    fn drop(&mut self) {
        // Whoever waited may have left.
        self.1.send(self.0).ok();
    }
}

impl Default for Others {
    fn default() -> Self {
        let (end, ends) = channel();
        let threads = BTreeMap::new();
        Self { threads, end, ends }
    }
}

impl Others {
    fn start(&mut self, index: usize, work: impl FnOnce() + Send + 'static) -> Result {
        let ending = Ending(index, self.end.clone());
        let thread = thread::Builder::new().name(format!("tress-worker-{index}"));
        let thread = thread.spawn(move || {
            let _ending = ending;
            work();
        });
        let thread = thread.map_err(|error| {
            Failure::from(error).context(format!("worker {index} has no thread"))
        })?;
        self.threads.insert(index, thread);
        Ok(())
    }

    /// Waits until all have ended, for so long; then leaves those that have not.
    fn ended(mut self, limit: Duration) -> Result<(), WorkersLeft> {
        let start = Instant::now();
        while !self.threads.is_empty() {
            let left = limit.saturating_sub(start.elapsed());
            let Ok(index) = self.ends.recv_timeout(left) else {
                break;
            };
            if let Some(thread) = self.threads.remove(&index) {
                // What it failed with is known.
                thread.join().ok();
            }
        }
        if self.threads.is_empty() {
            return Ok(());
        }
        Err(WorkersLeft {
            workers: self.threads.into_keys().collect(),
            after: limit,
        })
    }
}

/// How a worker and the first wait for each other.
struct Post {
    ready: Sender<bool>,
    opened: Receiver<()>,
}

/// What the workers know of each other.
#[derive(Debug, Default)]
struct Crew(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    workers: Vec<Remote>,
    /// The first.
    failure: Option<ThreadFailure>,
}

impl Crew {
    /// When this one stops, all do, and the other way round.
    fn watch(self: &Arc<Self>, reactor: &Reactor) {
        self.lock().workers.push(reactor.remote());
        let crew = Arc::downgrade(self);
        reactor.add_system_event_trigger(Phase::Before, EventType::Shutdown, move || {
            if let Some(crew) = crew.upgrade() {
                crew.stop();
            }
        });
    }

    fn failed(&self, failure: ThreadFailure) {
        self.lock().failure.get_or_insert(failure);
        self.stop();
    }

    /// Each is told once: those that stop already must not be told to when they run again.
    fn stop(&self) {
        let workers = std::mem::take(&mut self.lock().workers);
        for worker in workers {
            worker.stop();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Its loop.
    #[must_use]
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Which it is, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether it is the first: where signals are caught, and what there is one of lives.
    #[must_use]
    pub fn is_home(&self) -> bool {
        self.index == 0
    }

    /// The first worker's loop, from any.
    #[must_use]
    pub fn home(&self) -> &Remote {
        &self.home
    }
}

fn caught(work: impl FnOnce() -> Result) -> Result {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(Failure::from_panic(&*payload)))
}

fn copy(socket: &Descriptor) -> io::Result<Descriptor> {
    let copied: OwnedFd = seam::call(Call::Dup, || socket.as_fd().try_clone_to_owned())?;
    Ok(copied.into())
}
