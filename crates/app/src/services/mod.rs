//! Services: what starts in order and stops in reverse order, in bounded time. Knows no provider and no file.
//! Source: Twisted's `application/service.py` and `application/internet.py`.

mod multi;
mod server;
#[cfg(test)]
mod tests;
mod timer;

pub(crate) use multi::stop_in_turn;
pub use multi::{CannotStart, MultiService};
pub use server::ServerService;
pub use timer::TimerService;

use std::time::Duration;
use tress_core::{
    Deferred, Protocol, Reactor, Result,
    client::ClientService,
    process::{ChildState, Supervised},
};

/// Something that can be started and stopped, again and again.
pub trait Service {
    /// What logs and errors call it.
    fn name(&self) -> String;

    /// Starts it. Does nothing where it runs.
    ///
    /// # Errors
    /// It cannot; nothing of it is left running.
    fn start(&mut self, reactor: &Reactor) -> Result;

    /// Looks at its sources again.
    fn reload(&mut self) {}

    /// Stops it; what it returns is waited for, in bounded time. Done at once where it does not run.
    fn stop(&mut self) -> Deferred<()>;

    /// How it fares, between a start and a stop.
    fn health(&self) -> Health {
        Health::Well
    }

    /// How often it was started again because it had failed.
    fn restarts(&self) -> u64 {
        0
    }
}

/// How a service fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does what it is for, or it is stopped.
    Well,
    /// It has failed, and is started again after a while.
    Waiting,
    /// It has failed too often: it is started again only when somebody does that.
    GivenUp,
    /// It has done what it was for.
    Finished,
    /// It was stopped, and that is not over.
    Stopping,
}

impl Health {
    /// In one word, for something that was started.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Well => "running",
            Self::Waiting => "waiting",
            Self::GivenUp => "given up",
            Self::Finished => "finished",
            Self::Stopping => "stopping",
        }
    }
}

/// How long a stop may take where nothing else is said: what is left of the limit `shutdown` is for connections.
pub(crate) fn stop_bound(reactor: &Reactor) -> Duration {
    reactor.limits().shutdown * 3 / 4
}

/// A client that keeps its connection starts and stops with the services beside it. It runs on the reactor that it was
/// made with. That the other end is not there yet is no reason not to start: it tries again, as its
/// [`ReconnectPolicy`](tress_core::client::ReconnectPolicy) says.
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

    fn health(&self) -> Health {
        match self.has_given_up() {
            true => Health::GivenUp,
            false => Health::Well,
        }
    }
}

/// A child process runs on the reactor that it was made with. It is started again as its
/// [`RestartPolicy`](tress_core::restart::RestartPolicy) says; that it cannot be started the first time is an error.
impl Service for Supervised {
    fn name(&self) -> String {
        Self::name(self).to_owned()
    }

    fn start(&mut self, _reactor: &Reactor) -> Result {
        Self::start(self)
    }

    fn stop(&mut self) -> Deferred<()> {
        Self::stop(self)
    }

    fn health(&self) -> Health {
        match self.state() {
            ChildState::Stopped | ChildState::Running => Health::Well,
            ChildState::Waiting => Health::Waiting,
            ChildState::Stopping => Health::Stopping,
            ChildState::Finished => Health::Finished,
            ChildState::GivenUp => Health::GivenUp,
        }
    }

    fn restarts(&self) -> u64 {
        Self::restarts(self)
    }
}
