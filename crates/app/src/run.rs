//! Runs one file until the loop is stopped. Knows no signal: the caller stops the reactor and asks for a reload.

use crate::{
    application::Application, config::Problems, registry::Registry, services::CannotStart,
};
use std::{
    cell::RefCell,
    fmt,
    path::Path,
    rc::{Rc, Weak},
};
use tress_core::{EventType, Failure, Phase, Reactor, Result, error::CannotListen};

/// Why [`run`] did not run, or ended.
#[derive(Debug)]
pub enum RunError {
    /// The file is wrong. Nothing was started.
    File(Problems),
    /// Something in this file could not start. Nothing is left running.
    Start(String, CannotStart),
    /// The loop failed.
    Loop(Failure),
}

impl RunError {
    /// What a process that ends because of it returns: 2 for a wrong file, which one is also that names an endpoint where
    /// nothing can listen (in use, not allowed, not ours), 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File(_) => 2,
            Self::Start(_, error) if error.reason.check::<CannotListen>().is_some() => 2,
            Self::Start(..) | Self::Loop(_) => 1,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(problems) => problems.fmt(f),
            Self::Start(file, error) => write!(f, "{file}: {error}"),
            Self::Loop(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs the application in `path` until the reactor is stopped. `install` is called when the file is right and
/// before anything starts: there the caller arranges for `Reactor::stop` and [`Reload::now`] to be called. What it
/// returns is kept until the end.
///
/// # Errors
/// The file is wrong, something could not start, or the loop failed.
pub fn run<G>(
    path: &Path,
    registry: &Registry,
    reactor: &Reactor,
    install: impl FnOnce(&Reactor, Reload) -> Result<G>,
) -> Result<(), RunError> {
    let application = Application::load(path, registry, reactor).map_err(RunError::File)?;
    let name = application.name().to_owned();
    let application = Rc::new(RefCell::new(application));
    let reload = Reload(Rc::downgrade(&application));
    let guard = install(reactor, reload).map_err(RunError::Loop)?;
    let started = application.borrow_mut().start(reactor);
    let file = path.to_string_lossy();
    started.map_err(|error| RunError::Start(file.into_owned(), error))?;
    let on = reactor.clone();
    reactor.add_system_event_trigger(Phase::Before, EventType::Shutdown, move || {
        application.borrow_mut().stop(&on)
    });
    tracing::info!(target: "tress", "{name} is running");
    let result = reactor.run();
    drop(guard);
    result.map_err(RunError::Loop)?;
    tracing::info!(target: "tress", "{name} has stopped");
    Ok(())
}

/// Asks a running application to look at its sources again; does nothing when it has ended.
#[derive(Clone, Debug)]
pub struct Reload(Weak<RefCell<Application>>);

impl Reload {
    /// Does it.
    pub fn now(&self) {
        if let Some(application) = self.0.upgrade()
            && let Ok(mut application) = application.try_borrow_mut()
        {
            application.reload();
        }
    }
}
