//! What the commands do. Knows no kind and no protocol.

use crate::{
    Ended, listing,
    logging::{self, Log, Overrides},
    table,
    upgrade::{self, Taking},
};
use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};
use tress_app::{
    Application, Driver, DriverChoice, Manager, Moment, Place, Plan, Registry, Reload, RunError,
    config::LogSection,
    plugin::{self, Which},
};
use tress_core::{Limits, Reactor, Result, Signal, SignalHandle};
use tress_os::{Workers, systemd::ServiceManager};

/// Makes a reactor on the driver that was chosen.
type Make = fn() -> Result<Reactor>;

/// Runs a file until it is told to stop.
pub(crate) fn run(file: &Path, log: Overrides, registry: &Registry) -> Result<(), Ended> {
    // First of all: a process whose place this one takes is told what goes wrong, also with the log.
    upgrade::taking_over(registry.clone(), |registry, place| {
        let section = LogSection::read(file);
        let (registry, log) = logging::start(&section, log, registry).map_err(Ended::Unknown)?;
        let ran = run_here(file, &managed(registry), &Process { log: &log, place });
        log.end();
        ran
    })
}

/// What the process has once, whatever runs in it.
#[derive(Clone, Copy)]
pub(crate) struct Process<'p> {
    pub(crate) log: &'p Log,
    /// Whose place it takes, if anybody's.
    pub(crate) place: &'p Taking,
}

fn run_here(file: &Path, registry: &Registry, process: &Process<'_>) -> Result<(), Ended> {
    let registry = &learnt(Some(file), Which::Named, registry)?;
    let make = driver_of(file)?;
    let plan = Plan::read(file, registry);
    let count = plan
        .as_ref()
        .map_or(1, |plan| plan.workers().count(Workers::available()));
    match plan.filter(|_| count > 1) {
        Some(plan) => run_workers(plan, count, make, process),
        None => {
            let reactor = make().map_err(Ended::NoReactor)?;
            let install = |reactor: &Reactor, reload| install(reactor, reload, process);
            tress_app::run(file, registry, &reactor, install).map_err(Ended::Because)
        }
    }
}

/// The same registry, whose applications tell the service manager that has started this process, if one has.
pub(crate) fn managed(mut registry: Registry) -> Registry {
    let manager = match ServiceManager::of_process() {
        Ok(Some(manager)) => manager,
        Ok(None) => return registry,
        Err(error) => {
            tracing::warn!(target: "tress", "the service manager is told nothing: {error}");
            return registry;
        }
    };
    let watchdog = manager.watchdog();
    let tell = Arc::new(move |moment: Moment<'_>| {
        if let Err(error) = manager.tell(&told(moment)) {
            tracing::warn!(target: "tress", "the service manager was not told: {error}");
        }
    });
    registry.set_manager(Manager { tell, watchdog });
    registry
}

/// As systemd reads it (`sd_notify(3)`).
fn told(moment: Moment<'_>) -> String {
    match moment {
        Moment::Running(status) => format!("READY=1\nSTATUS={status}"),
        Moment::Reloading(at) => {
            let at = at.0 / 1_000;
            format!("RELOADING=1\nMONOTONIC_USEC={at}\nSTATUS=reading the file again")
        }
        Moment::HandedOver(process) => {
            format!("MAINPID={process}\nSTATUS=process {process} has taken over")
        }
        Moment::Stopping => "STOPPING=1\nSTATUS=stopping".to_owned(),
        Moment::Alive => "WATCHDOG=1".to_owned(),
    }
}

/// Signals are the first worker's, as the process has them once.
fn run_workers(plan: Plan, count: usize, make: Make, process: &Process<'_>) -> Result<(), Ended> {
    let workers = Workers::new(count, make);
    let workers = workers.map_err(|error| Ended::NoReactor(error.into()))?;
    let plan = Arc::new(plan);
    let shared = Arc::clone(&plan);
    let (log, taking) = (process.log.clone(), process.place.clone());
    let result = workers.run(move |worker| {
        let place = if worker.is_home() {
            Place::Home
        } else {
            Place::Away(worker.home().clone())
        };
        let process = Process {
            log: &log,
            place: &taking,
        };
        let install = |reactor: &Reactor, reload| install(reactor, reload, &process);
        shared.set_up(worker.reactor(), &place, install)
    });
    result.map_err(Ended::Worker)?;
    plan.stopped();
    Ok(())
}

/// What the registry holds, and what the plug-ins of a file tell.
fn learnt(file: Option<&Path>, which: Which, registry: &Registry) -> Result<Registry, Ended> {
    let Some(file) = file else {
        return Ok(registry.clone());
    };
    plugin::learn(file, which, registry, tress::reactor).map_err(|wrong| {
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Ended::Unknown(wrong.join("\n"))
    })
}

/// Signals, and the sockets of the process whose place this one takes.
pub(crate) fn install(
    reactor: &Reactor,
    reload: Reload,
    process: &Process<'_>,
) -> Result<([SignalHandle; 3], [SignalHandle; 2])> {
    process.log.live_on(reactor);
    process.place.listen(reactor);
    let again = reload.clone();
    let hang_up = reactor.on_signal(Signal::Hup, move |_| {
        tracing::info!(target: "tress", "received SIGHUP, reading again");
        again.now();
    })?;
    let log = process.log.clone();
    let reopen = reactor.on_signal(Signal::Usr1, move |_| log.reopen())?;
    let upgrade = reactor.on_signal(Signal::Usr2, move |_| {
        tracing::info!(target: "tress", "received SIGUSR2, upgrading");
        reload.upgrade();
    })?;
    Ok(([hang_up, reopen, upgrade], reactor.stop_on_signals()?))
}

/// Checks a file, if there is one, and prints the limits, if they are asked for.
pub(crate) fn check(file: Option<&Path>, limits: bool, registry: &Registry) -> Result<(), Ended> {
    let registry = &learnt(file, Which::Named, registry)?;
    let reactor = reactor()?;
    let mut shown = Limits::default();
    if let Some(file) = file {
        let registry = logging::checked(registry);
        let application = Application::load(file, &registry, &reactor)
            .map_err(|problems| Ended::Because(RunError::File(problems)))?;
        shown = application.limits().clone();
        if !limits {
            writeln!(io::stdout(), "{}: nothing wrong", file.display())?;
        }
    }
    if limits {
        io::stdout().write_all(table::limits(&shown).as_bytes())?;
    }
    Ok(())
}

/// Lists everything that a file can name, or shows what has this name. With a file, also what its plug-ins tell.
pub(crate) fn plugins(
    name: Option<&str>,
    file: Option<&Path>,
    registry: &Registry,
) -> Result<(), Ended> {
    let registry = &learnt(file, Which::All, registry)?;
    let reactor = reactor()?;
    registry.install_endpoints(&reactor);
    let text = match name {
        None => listing::all(registry, &reactor),
        Some(name) => listing::one(name, registry, &reactor).map_err(Ended::Unknown)?,
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Prints the schema of the files that this registry can run. With a file, also with what its plug-ins tell.
pub(crate) fn schema(file: Option<&Path>, registry: &Registry) -> Result<(), Ended> {
    let registry = &learnt(file, Which::All, registry)?;
    let reactor = reactor()?;
    registry.install_endpoints(&reactor);
    let text = tress_app::schema::schema(registry, &reactor);
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// The driver that the file asks for.
fn driver_of(file: &Path) -> Result<Make, Ended> {
    let choice = DriverChoice::read(file);
    if choice.driver() == Driver::Mio {
        return Ok(tress::reactor);
    }
    match uring() {
        Ok(make) => Ok(make),
        Err(reason) if choice.driver() == Driver::Auto => {
            tracing::info!(target: "tress", "driver = \"auto\" takes mio: io_uring cannot be had: {reason}");
            Ok(tress::reactor)
        }
        Err(reason) => Err(Ended::Because(choice.refused(&reason))),
    }
}

/// What makes one on io_uring, once that has been tried.
#[cfg(all(feature = "uring", target_os = "linux"))]
fn uring() -> Result<Make, String> {
    let tried = tress::uring_reactor();
    tried.map_err(|failure| failure.to_string())?;
    Ok(tress::uring_reactor)
}

#[cfg(not(all(feature = "uring", target_os = "linux")))]
fn uring() -> Result<Make, String> {
    Err("this program was built without it (feature `uring`, Linux only)".to_owned())
}

/// On the usual driver.
pub(crate) fn reactor() -> Result<Reactor, Ended> {
    tress::reactor().map_err(Ended::NoReactor)
}
