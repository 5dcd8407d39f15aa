//! Services: what starts in order and stops in reverse order, in bounded time. Knows no provider and no port.
//! Source: Twisted's `application/service.py`.

#[cfg(test)]
mod tests;

use std::{cell::RefCell, fmt, rc::Rc, time::Duration};
use tress_core::{Deferred, Failure, Protocol, Reactor, Result, Time, client::ClientService};

/// Something that can be started and stopped.
pub trait Service {
    /// What logs and errors call it.
    fn name(&self) -> String;

    /// Starts it.
    ///
    /// # Errors
    /// It cannot; nothing of it is left running.
    fn start(&mut self, reactor: &Reactor) -> Result;

    /// Looks at its sources again.
    fn reload(&mut self) {}

    /// Stops it; what it returns is waited for.
    fn stop(&mut self) -> Deferred<()>;
}

/// A client that keeps its connection starts and stops with the services beside it. It runs on the reactor that it was
/// made with. That the other end is not there yet is no reason not to start: it tries again.
impl<P: Protocol> Service for ClientService<P> {
    fn name(&self) -> String {
        format!("client of `{}`", self.destination())
    }

    fn start(&mut self, _reactor: &Reactor) -> Result {
        self.start_service();
        Ok(())
    }

    fn stop(&mut self) -> Deferred<()> {
        self.stop_service()
    }
}

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

/// Services that start in order and stop in reverse order.
#[derive(Default)]
pub struct MultiService {
    waiting: Vec<Box<dyn Service>>,
    running: Vec<Box<dyn Service>>,
}

impl MultiService {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of services that have started, in this order.
    pub(crate) fn of_running(running: Vec<Box<dyn Service>>) -> Self {
        let waiting = Vec::new();
        Self { waiting, running }
    }

    /// Adds one that starts after those added before.
    pub fn add(&mut self, service: impl Service + 'static) {
        self.waiting.push(Box::new(service));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts them all, or none: those that had started when one failed are stopped again.
    ///
    /// # Errors
    /// The first that cannot start.
    pub fn start(&mut self, reactor: &Reactor, bound: Duration) -> Result<(), CannotStart> {
        for mut service in std::mem::take(&mut self.waiting) {
            if let Err(reason) = service.start(reactor) {
                let service = service.name();
                self.stop(reactor, bound).detach();
                return Err(CannotStart { service, reason });
            }
            self.running.push(service);
        }
        Ok(())
    }

    /// Asks each that runs to look at its sources again.
    pub fn reload(&mut self) {
        for service in &mut self.running {
            service.reload();
        }
    }

    /// Stops them one after the other, the last started first. Fires when the last is done, at most `bound` from
    /// now: from then on what is left is told to stop and not waited for. One that fails is logged.
    pub fn stop(&mut self, reactor: &Reactor, bound: Duration) -> Deferred<()> {
        let stopping = Rc::new(Stopping {
            left: RefCell::new(std::mem::take(&mut self.running)),
            reactor: reactor.clone(),
            until: reactor.now() + bound,
        });
        stop_next(stopping)
    }
}

struct Stopping {
    left: RefCell<Vec<Box<dyn Service>>>,
    reactor: Reactor,
    until: Time,
}

/// Callbacks and no task: the last service is stopped in the same turn in which the time is up.
fn stop_next(stopping: Rc<Stopping>) -> Deferred<()> {
    loop {
        let Some(mut service) = stopping.left.borrow_mut().pop() else {
            return Deferred::succeed(());
        };
        let name = service.name();
        let stopped = match service.stop().try_result() {
            Ok(result) => {
                report(&name, &result);
                continue;
            }
            Err(waiting) => waiting,
        };
        let canceller = stopped.canceller();
        let left = stopping.until.since(stopping.reactor.now());
        let timeout = stopping.reactor.call_later(left, move || {
            if let Some(canceller) = canceller {
                canceller.cancel();
            }
        });
        return stopped.add_both(move |result| {
            timeout.cancel().ok();
            report(&name, &result);
            drop(service);
            stop_next(stopping)
        });
    }
}

fn report(name: &str, result: &Result) {
    if let Err(failure) = result {
        tracing::warn!(target: "tress", "{name} did not stop: {failure}");
    }
}

impl fmt::Debug for MultiService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |services: &[Box<dyn Service>]| -> Vec<String> {
            services.iter().map(|service| service.name()).collect()
        };
        f.debug_struct("MultiService")
            .field("waiting", &names(&self.waiting))
            .field("running", &names(&self.running))
            .finish()
    }
}
