//! Runs one file until the loop is stopped, on one reactor or on several workers. Knows no signal and no thread: the caller stops the reactor and asks for a reload.

use crate::{
    application::{Application, Place},
    config::{self, Config, Problems, WorkersWanted},
    control::Control,
    moments::{self, OtherLoops},
    others::Others,
    registry::{Manager, Portable, Registry},
    services::CannotStart,
};
use std::{cell::RefCell, fmt, path::Path, rc::Rc};
use tress_core::{Deferred, EventType, Failure, Phase, Reactor, Result, error::CannotListen};

/// Why [`run`] did not run, or ended.
#[derive(Debug)]
pub enum RunError {
    /// The file is wrong. Nothing was started.
    File(Problems),
    /// Something in this file could not start. Nothing is left running.
    Start(String, CannotStart),
    /// This file wants so many workers, where there is one reactor.
    Workers(String, usize),
    /// The loop failed.
    Loop(Failure),
}

impl RunError {
    /// What a process that ends because of it returns: 2 for a wrong file, which one is also that names an endpoint where
    /// nothing can listen (in use, not allowed, not ours), 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File(_) | Self::Workers(..) => 2,
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
            Self::Workers(file, count) => write!(
                f,
                "{file}: app.workers: {count} workers, but this program runs files on one reactor"
            ),
            Self::Loop(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs the application in `path` until the reactor is stopped, on this one reactor: a file with `workers = 2` or more is
/// refused, which [`Plan`] is for. `install` is called when the file is right and before anything starts: there the caller
/// arranges for `Reactor::stop` and [`Reload::now`] to be called. What it returns is kept until the end.
///
/// # Errors
/// The file is wrong, something could not start, or the loop failed.
pub fn run<G: 'static>(
    path: &Path,
    registry: &Registry,
    reactor: &Reactor,
    install: impl FnOnce(&Reactor, Reload) -> Result<G>,
) -> Result<(), RunError> {
    let application = Application::load(path, registry, reactor).map_err(RunError::File)?;
    run_loaded(
        &path.to_string_lossy(),
        application,
        registry.manager(),
        reactor,
        install,
    )
}

/// The same for a file whose content is here; `file` is what it is called, and relative paths in it start beside it.
///
/// # Errors
/// The file is wrong, something could not start, or the loop failed.
pub fn run_text<G: 'static>(
    file: &str,
    text: &[u8],
    registry: &Registry,
    reactor: &Reactor,
    install: impl FnOnce(&Reactor, Reload) -> Result<G>,
) -> Result<(), RunError> {
    let loaded = Application::parse(file, text, registry, reactor);
    let application = loaded.map_err(RunError::File)?;
    run_loaded(file, application, registry.manager(), reactor, install)
}

/// Runs an application that was made in the program until the reactor is stopped, which is the caller's: by
/// `reactor.stop_on_signals()?`, say.
///
/// # Errors
/// Something could not start, or the loop failed.
pub fn run_application(application: Application, reactor: &Reactor) -> Result<(), RunError> {
    let name = application.name().to_owned();
    run_loaded(&name, application, None, reactor, |_, _| Ok(()))
}

fn run_loaded<G: 'static>(
    file: &str,
    application: Application,
    manager: Option<&Manager>,
    reactor: &Reactor,
    install: impl FnOnce(&Reactor, Reload) -> Result<G>,
) -> Result<(), RunError> {
    let count = application.workers().count(1);
    if count > 1 {
        return Err(RunError::Workers(file.to_owned(), count));
    }
    let name = application.name().to_owned();
    let application = Rc::new(RefCell::new(application));
    let control = application.borrow().control();
    let reload = Reload(control.clone());
    start(file, &application, reactor, |reactor| {
        install(reactor, reload)
    })?;
    moments::tell(reactor, manager, &control, Rc::new(Vec::new));
    tracing::info!(target: "tress", "{name} is running");
    reactor.run().map_err(RunError::Loop)?;
    tracing::info!(target: "tress", "{name} has stopped");
    Ok(())
}

/// Starts everything, or nothing, and stops it with the reactor.
fn start<G: 'static>(
    file: &str,
    application: &Rc<RefCell<Application>>,
    reactor: &Reactor,
    install: impl FnOnce(&Reactor) -> Result<G>,
) -> Result<(), RunError> {
    let guard = install(reactor).map_err(RunError::Loop)?;
    let started = application.borrow_mut().start(reactor);
    started.map_err(|error| RunError::Start(file.to_owned(), error))?;
    let (application, on) = (Rc::clone(application), reactor.downgrade());
    reactor.add_system_event_trigger(Phase::Before, EventType::Shutdown, move || {
        on.upgrade().map_or_else(
            || Deferred::succeed(()),
            |on| application.borrow_mut().stop(&on),
        )
    });
    reactor.add_system_event_trigger(Phase::After, EventType::Shutdown, move || drop(guard));
    Ok(())
}

/// A file that was read once, to be run by several workers, each on its own thread. Starts no thread itself: the caller
/// makes the reactors and calls [`Plan::set_up`] on each.
#[derive(Debug)]
pub struct Plan {
    file: String,
    bytes: Vec<u8>,
    registry: Portable,
    name: String,
    workers: WorkersWanted,
    /// The other workers', for a reload and an upgrade.
    others: Others,
}

impl Plan {
    /// Reads the file, and no more of it than how many workers it wants: what is wrong with it says [`Plan::set_up`].
    /// `None` when the registry is one thread's ([`Registry::portable`]) or the file cannot be read: then [`run`] says why.
    #[must_use]
    pub fn read(path: &Path, registry: &Registry) -> Option<Self> {
        let file = path.to_string_lossy().into_owned();
        let bytes = config::read_file(path).ok()?;
        let config = Config::read(&bytes, &mut Problems::new(file.clone()));
        Some(Self {
            file,
            bytes,
            registry: registry.portable()?,
            name: config.app.name,
            workers: config.app.workers,
            others: Others::default(),
        })
    }

    /// Says in the log that the application has stopped, as [`run`] does: when all workers have.
    pub fn stopped(&self) {
        tracing::info!(target: "tress", "{} has stopped", self.name);
    }

    /// How many workers the file wants.
    #[must_use]
    pub fn workers(&self) -> WorkersWanted {
        self.workers
    }

    /// Starts the application on one worker's reactor; the one that is [`Place::Home`] comes first. `install` is for that
    /// one only, as for [`run`].
    ///
    /// # Errors
    /// A [`RunError`].
    pub fn set_up<G: 'static>(
        &self,
        reactor: &Reactor,
        place: &Place,
        install: impl FnOnce(&Reactor, Reload) -> Result<G>,
    ) -> Result {
        let registry = self.registry.registry();
        let loaded =
            Application::parse_for(&self.file, &self.bytes, &registry, reactor, place.clone());
        let application = loaded.map_err(RunError::File)?;
        let name = application.name().to_owned();
        let application = Rc::new(RefCell::new(application));
        Others::is_here(reactor, application.borrow().control());
        match place {
            Place::Home => {
                let control = application.borrow().control();
                let reload = Reload(control.clone());
                reload.0.set_others(self.others.clone());
                start(&self.file, &application, reactor, |reactor| {
                    install(reactor, reload)
                })?;
                let others = self.others.clone();
                let others: OtherLoops = Rc::new(move || others.loops());
                moments::tell(reactor, registry.manager(), &control, others);
                tracing::info!(target: "tress", "{name} is running");
            }
            Place::Away(_) => {
                start(&self.file, &application, reactor, |_| Ok(()))?;
                self.others.add(reactor.remote());
            }
        }
        Ok(())
    }
}

/// Asks a running application to read its file again, or to have another process take over; does nothing when it has ended.
#[derive(Clone, Debug)]
pub struct Reload(Control);

impl Reload {
    /// Does it, and says in the log what came of it.
    pub fn now(&self) {
        self.0.reload_and_say();
    }

    /// Has another process take the place of this one, if the program has said how ([`Registry::set_upgrade`]), and says in the
    /// log what came of it.
    pub fn upgrade(&self) {
        self.0.upgrade_and_say();
    }
}
