//! One application: a file checked against a registry, and its services. Knows no kind and no protocol by name.
//!
//! ```text
//! bytes --Loader--> Loaded, nothing open --Tree--> listening <--start, stop, attach, detach, reload
//!                                                      +--upgrade--> leaving: another process listens
//! ```
//! A change of what runs, the first start included, is one step (`listeners`): what there is, what is wanted, and the way
//! from one to the other, or back.

#[cfg(test)]
mod tests;

mod change;
mod guard;
mod http;
mod listeners;
mod load;
mod metrics;
mod serve;
mod status;
mod task;
mod tree;
mod upgrade;

pub(crate) use tree::Tree;

use crate::{
    config::{self, Position, Problem, Problems, WorkersWanted},
    control::Control,
    registry::Registry,
    services::{CannotStart, Service},
};
use std::{path::Path, rc::Rc};
use tress_core::{Deferred, Limits, Reactor, Remote, Result};

/// An application that was found right and can be started.
#[derive(Debug)]
pub struct Application {
    name: String,
    limits: Limits,
    workers: WorkersWanted,
    tree: Rc<Tree>,
}

/// On which worker an application is.
#[derive(Clone, Debug)]
pub enum Place {
    /// On the first, or the only one: objects live here.
    Home,
    /// On another: calls to what lives on one reactor go there.
    Away(Remote),
}

impl Application {
    /// Reads and checks a file. Nothing is opened and nothing is started.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, registry: &Registry, reactor: &Reactor) -> Result<Self, Problems> {
        let file = path.to_string_lossy();
        match config::read_file(path) {
            Ok(bytes) => Self::parse(&file, &bytes, registry, reactor),
            Err(error) => {
                let mut problems = Problems::new(file);
                let message = format!("cannot read the file: {error}");
                problems.push(Problem::new(Position::default(), "", message));
                Err(problems)
            }
        }
    }

    /// Checks a file whose content is here. `file` is its path: relative paths in it start at its directory, and a reload
    /// reads it, by the registry's files.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        file: &str,
        bytes: &[u8],
        registry: &Registry,
        reactor: &Reactor,
    ) -> Result<Self, Problems> {
        Self::parse_for(file, bytes, registry, reactor, Place::Home)
    }

    /// The same for one of several workers.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse_for(
        file: &str,
        bytes: &[u8],
        registry: &Registry,
        reactor: &Reactor,
        place: Place,
    ) -> Result<Self, Problems> {
        Tree::load(file, bytes, registry, reactor, place).map(Self::of)
    }

    /// One of no file: nothing is in it but what the program adds. Its limits are the reactor's.
    ///
    /// ```
    /// use tress_app::{Application, services::{ServerService, TimerService}};
    /// # use std::time::Duration;
    /// # use tress_core::{Protocol, testing::memory::Table};
    /// # struct Echo;
    /// # impl Protocol for Echo {}
    /// # let table = Table::new();
    /// # let reactor = table.reactor();
    ///
    /// let mut application = Application::new("echo", reactor);
    /// application.add(reactor, ServerService::new("tcp:8007", || Echo))?;
    /// application.start(reactor)?; // or `tress_app::run_application`, which goes on until the reactor stops
    /// # application.stop(reactor).detach();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(name: &str, reactor: &Reactor) -> Self {
        let tree = Tree::empty(name, &Registry::builtin(), reactor);
        Self::of(tree)
    }

    fn of(tree: Rc<Tree>) -> Self {
        let settings = tree.settings();
        Self {
            name: settings.name,
            limits: settings.limits,
            workers: settings.workers,
            tree,
        }
    }

    /// Adds a service of the program's own. It starts after all that is there, and stops before it, but that endpoints of the
    /// file close first; in an application that runs it starts at once. It is listed, stopped and started by its name (with `-2`
    /// behind it where that is another's), and a reload of the file leaves it as it is.
    ///
    /// # Errors
    /// The application runs and it cannot start: then it has not been added.
    pub fn add(
        &mut self,
        reactor: &Reactor,
        service: impl Service + 'static,
    ) -> Result<(), CannotStart> {
        self.tree.add(reactor, Box::new(service))
    }

    /// What logs call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// On how many workers it is to run.
    #[must_use]
    pub fn workers(&self) -> WorkersWanted {
        self.workers
    }

    /// The limits that it runs under: the defaults, changed by the file as it was when it was loaded.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the application can be asked while it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::of(&self.tree)
    }

    /// Starts everything, or nothing: providers first, then ports, in the order of the file; then child processes and services of
    /// the program's own. Nobody is let in before all have started.
    ///
    /// # Errors
    /// The first that cannot start.
    pub fn start(&mut self, reactor: &Reactor) -> Result<(), CannotStart> {
        self.tree.start(reactor)
    }

    /// Every provider looks at its sources again. The application's file is not read: that does
    /// [`Control::reload_and_say`].
    pub fn reload(&mut self) {
        self.tree.look_again();
    }

    /// Stops everything: ports are closed, then child processes and the program's own services stop, the last started first, then
    /// providers; within three quarters of the limit `shutdown`: the rest is for the
    /// connections that are open.
    pub fn stop(&mut self, reactor: &Reactor) -> Deferred<()> {
        self.tree.stop(reactor)
    }
}
