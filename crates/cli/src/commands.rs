//! What the commands do. Knows no kind and no protocol.

use crate::{
    Ended, listing, logging, table,
    upgrade::{self, Taking},
};
use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};
use tracing::Level;
use tress_app::{
    Application, Driver, DriverChoice, Place, Plan, Registry, Reload, RunError,
    plugin::{self, Which},
};
use tress_core::{Limits, Reactor, Result, Signal, SignalHandle};
use tress_os::Workers;

/// Makes a reactor on the driver that was chosen.
type Make = fn() -> Result<Reactor>;

/// Runs a file until it is told to stop.
pub(crate) fn run(file: &Path, level: Level, registry: &Registry) -> Result<(), Ended> {
    let registry = logging::start(level, registry);
    upgrade::taking_over(registry, |registry, place| run_here(file, registry, place))
}

fn run_here(file: &Path, registry: &Registry, place: &Taking) -> Result<(), Ended> {
    let registry = &learnt(Some(file), Which::Named, registry)?;
    let make = driver_of(file)?;
    let plan = Plan::read(file, registry);
    let count = plan
        .as_ref()
        .map_or(1, |plan| plan.workers().count(Workers::available()));
    match plan.filter(|_| count > 1) {
        Some(plan) => run_workers(plan, count, make, place),
        None => {
            let reactor = make().map_err(Ended::NoReactor)?;
            let install = |reactor: &Reactor, reload| install(reactor, reload, place);
            tress_app::run(file, registry, &reactor, install).map_err(Ended::Because)
        }
    }
}

/// Signals are the first worker's, as the process has them once.
fn run_workers(plan: Plan, count: usize, make: Make, taking: &Taking) -> Result<(), Ended> {
    let workers = Workers::new(count, make);
    let workers = workers.map_err(|error| Ended::NoReactor(error.into()))?;
    let plan = Arc::new(plan);
    let (shared, taking) = (Arc::clone(&plan), taking.clone());
    let result = workers.run(move |worker| {
        let place = if worker.is_home() {
            Place::Home
        } else {
            Place::Away(worker.home().clone())
        };
        let install = |reactor: &Reactor, reload| install(reactor, reload, &taking);
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
    taking: &Taking,
) -> Result<([SignalHandle; 2], [SignalHandle; 2])> {
    taking.listen(reactor);
    let again = reload.clone();
    let hang_up = reactor.on_signal(Signal::Hup, move |_| {
        tracing::info!(target: "tress", "received SIGHUP, reading again");
        again.now();
    })?;
    let upgrade = reactor.on_signal(Signal::Usr2, move |_| {
        tracing::info!(target: "tress", "received SIGUSR2, upgrading");
        reload.upgrade();
    })?;
    Ok(([hang_up, upgrade], reactor.stop_on_signals()?))
}

/// Checks a file, if there is one, and prints the limits, if they are asked for.
pub(crate) fn check(file: Option<&Path>, limits: bool, registry: &Registry) -> Result<(), Ended> {
    let registry = &learnt(file, Which::Named, registry)?;
    let reactor = reactor()?;
    let mut shown = Limits::default();
    if let Some(file) = file {
        let application = Application::load(file, registry, &reactor)
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
