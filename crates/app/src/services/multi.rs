//! `MultiService`: services that start in order and stop in reverse order, in bounded time. Knows nothing of what they do.

use super::{Health, Service, stop_bound};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};
use tress_core::{Deferred, Failure, Reactor, Resolver, Result, Time};

/// Why a [`MultiService`] did not start.
#[derive(Clone, Debug)]
pub struct CannotStart {
    /// Which service.
    pub service: String,
    /// Why.
    pub reason: Failure,
}

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start {}: {}", self.service, self.reason)
    }
}

impl std::error::Error for CannotStart {}

type Shared = Rc<RefCell<dyn Service>>;

/// Services that start in order and stop in reverse order, and are a service themselves. What was stopped can be started again.
///
/// ```
/// use std::time::Duration;
/// use tress_app::services::{MultiService, Service, ServerService, TimerService};
/// # use tress_core::{Protocol, testing::memory::Table};
/// # struct Echo;
/// # impl Protocol for Echo {}
/// # let table = Table::new();
/// # let reactor = table.reactor();
///
/// let mut all = MultiService::new("all");
/// all.add(ServerService::new("tcp:8007", || Echo));
/// all.add(TimerService::new("tidy", Duration::from_secs(60), || println!("tidying up")));
/// all.start(reactor)?;
/// // ...
/// all.stop().detach();
/// # Ok::<(), tress_core::Failure>(())
/// ```
pub struct MultiService {
    name: String,
    bound: Option<Duration>,
    services: Vec<Shared>,
    /// The first so many were started and not stopped.
    running: usize,
    reactor: Option<tress_core::WeakReactor>,
    is_stopping: Rc<Cell<bool>>,
}

impl MultiService {
    /// None yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            bound: None,
            services: Vec::new(),
            running: 0,
            reactor: None,
            is_stopping: Rc::default(),
        }
    }

    /// Stops them all within this time, in place of three quarters of the limit `shutdown`.
    #[must_use]
    pub fn with_bound(mut self, bound: Duration) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Adds one that starts after those added before. Where these run already, [`Service::start`] starts what was added since.
    pub fn add(&mut self, service: impl Service + 'static) {
        self.services.push(Rc::new(RefCell::new(service)));
    }

    /// Takes out the first of this name, and stops it if it runs: that is done when what this returns fires. `None` where there
    /// is none.
    pub fn remove(&mut self, name: &str) -> Option<Deferred<()>> {
        let named = |service: &Shared| service.borrow().name() == name;
        let place = self.services.iter().position(named)?;
        let service = self.services.remove(place);
        if place >= self.running {
            return Some(Deferred::succeed(()));
        }
        self.running -= 1;
        let stopped = service.borrow_mut().stop();
        Some(stopped)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Their names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.services.iter();
        names.map(|service| service.borrow().name()).collect()
    }
}

impl Service for MultiService {
    fn name(&self) -> String {
        self.name.clone()
    }

    /// Starts all that do not run, or none of these: those that had started when one failed are stopped again. What runs and has
    /// failed is started again.
    ///
    /// # Errors
    /// [`CannotStart`]: the first that cannot start. Or they are still being stopped.
    fn start(&mut self, reactor: &Reactor) -> Result {
        if self.is_stopping.get() {
            return Err(Failure::msg(format!(
                "{} is still being stopped",
                self.name
            )));
        }
        self.reactor = Some(reactor.downgrade());
        let before = self.running;
        for (place, service) in self.services.iter().enumerate() {
            let health = service.borrow().health();
            if place < before && matches!(health, Health::Well | Health::Stopping) {
                continue;
            }
            let started = service.borrow_mut().start(reactor);
            if let Err(reason) = started {
                let name = service.borrow().name();
                let started = self.services[before..self.running].to_vec();
                self.running = before;
                let bound = self.bound.unwrap_or_else(|| stop_bound(reactor));
                stop_in_turn(reactor, started, bound).detach();
                return Err(CannotStart {
                    service: name,
                    reason,
                }
                .into());
            }
            self.running = self.running.max(place + 1);
        }
        Ok(())
    }

    /// Asks each that runs to look at its sources again.
    fn reload(&mut self) {
        for service in &self.services[..self.running] {
            service.borrow_mut().reload();
        }
    }

    /// Stops them one after the other, the last started first. Fires when the last is done, at most the bound from now: from then
    /// on what is left is told to stop and not waited for. One that fails is logged.
    fn stop(&mut self) -> Deferred<()> {
        let running = self.services[..self.running].to_vec();
        self.running = 0;
        let reactor = self
            .reactor
            .as_ref()
            .and_then(tress_core::WeakReactor::upgrade);
        let Some(reactor) = reactor.filter(|_| !running.is_empty()) else {
            return Deferred::succeed(());
        };
        let bound = self.bound.unwrap_or_else(|| stop_bound(&reactor));
        self.is_stopping.set(true);
        let is_stopping = Rc::clone(&self.is_stopping);
        stop_in_turn(&reactor, running, bound).add_both(move |result| {
            is_stopping.set(false);
            result
        })
    }

    /// The worst of them.
    fn health(&self) -> Health {
        if self.is_stopping.get() {
            return Health::Stopping;
        }
        let healths: Vec<_> = self.services[..self.running]
            .iter()
            .map(|service| service.borrow().health())
            .collect();
        let bad = [Health::GivenUp, Health::Waiting];
        let worst = bad.into_iter().find(|bad| healths.contains(bad));
        let is_over = !healths.is_empty() && healths.iter().all(|h| *h == Health::Finished);
        worst.unwrap_or(if is_over {
            Health::Finished
        } else {
            Health::Well
        })
    }

    fn restarts(&self) -> u64 {
        let services = self.services.iter();
        services.map(|service| service.borrow().restarts()).sum()
    }
}

/// Stops these one after the other, the last first, in bounded time. What fails is logged.
pub(crate) fn stop_in_turn(
    reactor: &Reactor,
    services: Vec<Shared>,
    bound: Duration,
) -> Deferred<()> {
    stop_next(Rc::new(Stopping {
        left: RefCell::new(services),
        reactor: reactor.clone(),
        until: reactor.now() + bound,
    }))
}

struct Stopping {
    left: RefCell<Vec<Shared>>,
    reactor: Reactor,
    until: Time,
}

/// Callbacks and no task: the last service is stopped in the same turn in which the time is up.
fn stop_next(stopping: Rc<Stopping>) -> Deferred<()> {
    loop {
        let Some(service) = stopping.left.borrow_mut().pop() else {
            return Deferred::succeed(());
        };
        let name = service.borrow().name();
        let stopped = service.borrow_mut().stop();
        let stopped = match stopped.try_result() {
            Ok(result) => {
                report(&name, &result);
                continue;
            }
            Err(waiting) => waiting,
        };
        let left = stopping.until.since(stopping.reactor.now());
        return in_time(&stopping.reactor, stopped, left).add_both(move |result| {
            report(&name, &result);
            drop(service);
            stop_next(stopping)
        });
    }
}

/// Waits so long and cancels then, whatever comes of that.
fn in_time(reactor: &Reactor, waited: Deferred<()>, left: Duration) -> Deferred<()> {
    let (resolver, first) = Deferred::pair();
    let first_to_come: Rc<Cell<Option<Resolver<()>>>> = Rc::new(Cell::new(Some(resolver)));
    let (canceller, late) = (waited.canceller(), Rc::clone(&first_to_come));
    let timeout = reactor.call_later(left, move || {
        if let Some(canceller) = canceller {
            canceller.cancel();
        }
        if let Some(resolver) = late.take() {
            resolver.fail(Failure::msg("it was not waited for any longer"));
        }
    });
    waited
        .add_both(move |result| {
            timeout.cancel().ok();
            if let Some(resolver) = first_to_come.take() {
                resolver.fire(result);
            }
        })
        .detach();
    first
}

fn report(name: &str, result: &Result) {
    if let Err(failure) = result {
        tracing::warn!(target: "tress", "{name} did not stop: {failure}");
    }
}

impl fmt::Debug for MultiService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        let (running, waiting) = names.split_at(self.running);
        f.debug_struct("MultiService")
            .field("name", &self.name)
            .field("running", &running)
            .field("waiting", &waiting)
            .finish()
    }
}
