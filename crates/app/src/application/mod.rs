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
mod serve;
mod status;
mod tree;
mod upgrade;

pub(crate) use tree::Tree;

use crate::{
    config::{self, Position, Problem, Problems, WorkersWanted},
    control::Control,
    registry::Registry,
    services::CannotStart,
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
        let tree = Tree::load(file, bytes, registry, reactor, place)?;
        let settings = tree.settings();
        Ok(Self {
            name: settings.name,
            limits: settings.limits,
            workers: settings.workers,
            tree,
        })
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

    /// Starts everything, or nothing: providers first, then ports, in the order of the file.
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

    /// Stops everything in reverse order, within three quarters of the limit `shutdown`: the rest is for the
    /// connections that are open.
    pub fn stop(&mut self, reactor: &Reactor) -> Deferred<()> {
        self.tree.stop(reactor)
    }
}
