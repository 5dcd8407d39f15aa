//! Workers: several reactors, each on a thread of its own, that listen at the same sockets. Makes the threads, copies the
//! sockets, and stops all when one stops. Knows no protocol and no driver by name.
//!
//! ```text
//! the first sets up, opens --> the others set up at copies --> all run --one stops or fails--> all stop --> joined
//! ```
//! A new peer wakes every worker that waits, as each watches its own copy; the first to accept has it.

use std::{
    error::Error,
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, Scope, ScopedJoinHandle},
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
    /// `setup` must not wait for another worker: none runs yet.
    ///
    /// # Errors
    /// The first failure: of `setup` (nothing was served then), or of a loop; a panic is one. It says of which, as
    /// `worker 1`, unless it is the first worker's setup.
    pub fn run(self, setup: impl Fn(&Worker) -> Result + Sync) -> Result {
        let reactor = (self.reactor)()?;
        if self.count == 1 {
            let home = reactor.remote();
            let worker = self.worker(reactor, 0, home);
            setup(&worker)?;
            return worker.reactor.run();
        }
        let crew = Arc::new(Crew::default());
        let result = thread::scope(|scope| {
            let mut threads = Vec::with_capacity(self.count - 1);
            let result = self.lead(reactor, &setup, &crew, scope, &mut threads);
            for thread in threads {
                // What it failed with is known; the end of a scope does not wait for the thread's own end.
                thread.join().ok();
            }
            result
        });
        match crew.lock().failure.take() {
            Some(failure) => Err(failure.into()),
            None => result,
        }
    }

    /// All of the life of the first worker, which starts the others. Returns when they are about to end.
    fn lead<'scope, S: Fn(&Worker) -> Result + Sync>(
        &self,
        reactor: Reactor,
        setup: &'scope S,
        crew: &Arc<Crew>,
        scope: &'scope Scope<'scope, '_>,
        threads: &mut Vec<ScopedJoinHandle<'scope, ()>>,
    ) -> Result {
        let _span = tracing::info_span!(target: "tress", "worker", number = 0_usize).entered();
        let home = reactor.remote();
        let first = self.worker(reactor, 0, home.clone());
        first.reactor.lend_ports();
        setup(&first)?;
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
            let (home, crew, own) = (home.clone(), Arc::clone(crew), *self);
            let work = move || {
                if let Err(failure) = caught(|| own.work(index, home, ports, setup, &crew, &post)) {
                    let failure = failure.context(format!("worker {index}"));
                    crew.failed(failure.into());
                    post.ready.send(false).ok();
                }
            };
            let thread = thread::Builder::new().name(format!("tress-worker-{index}"));
            let thread = thread.spawn_scoped(scope, work);
            threads.push(thread.map_err(|error| {
                Failure::from(error).context(format!("worker {index} has no thread"))
            })?);
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
        crew.stop();
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
        setup: &(impl Fn(&Worker) -> Result + Sync),
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
        worker.reactor.run()?;
        crew.stop();
        Ok(())
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
    let copied: OwnedFd = socket.as_fd().try_clone_to_owned()?;
    Ok(copied.into())
}
