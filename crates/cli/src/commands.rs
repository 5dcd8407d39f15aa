//! What the three commands do. Knows no kind and no protocol.

use crate::{Ended, listing, table};
use std::{
    io::{self, Write},
    path::Path,
};
use tracing::Level;
use tress_app::{Application, Driver, DriverChoice, Registry, RunError};
use tress_core::{Limits, Reactor, Result, Signal};

/// Runs a file until it is told to stop.
pub(crate) fn run(file: &Path, level: Level, registry: &Registry) -> Result<(), Ended> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(level)
        .try_init()
        .ok(); // a program of its own may have set one up
    let reactor = reactor_for(file)?;
    let install = |reactor: &Reactor, reload: tress_app::Reload| {
        let hang_up = reactor.on_signal(Signal::Hup, move |_| {
            tracing::info!(target: "tress", "received SIGHUP, reading again");
            reload.now();
        })?;
        Ok((hang_up, reactor.stop_on_signals()?))
    };
    tress_app::run(file, registry, &reactor, install).map_err(Ended::Because)
}

/// Checks a file, if there is one, and prints the limits, if they are asked for.
pub(crate) fn check(file: Option<&Path>, limits: bool, registry: &Registry) -> Result<(), Ended> {
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

/// Lists everything that a file can name, or shows what has this name.
pub(crate) fn plugins(name: Option<&str>, registry: &Registry) -> Result<(), Ended> {
    let reactor = reactor()?;
    registry.install_endpoints(&reactor);
    let text = match name {
        None => listing::all(registry, &reactor),
        Some(name) => listing::one(name, registry, &reactor).map_err(Ended::Unknown)?,
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// On the driver that the file asks for.
fn reactor_for(file: &Path) -> Result<Reactor, Ended> {
    let choice = DriverChoice::read(file);
    if choice.driver() == Driver::Mio {
        return reactor();
    }
    match uring() {
        Ok(reactor) => Ok(reactor),
        Err(reason) if choice.driver() == Driver::Auto => {
            tracing::info!(target: "tress", "driver = \"auto\" takes mio: io_uring cannot be had: {reason}");
            reactor()
        }
        Err(reason) => Err(Ended::Because(choice.refused(&reason))),
    }
}

#[cfg(all(feature = "uring", target_os = "linux"))]
fn uring() -> Result<Reactor, String> {
    tress::uring_reactor().map_err(|failure| failure.to_string())
}

#[cfg(not(all(feature = "uring", target_os = "linux")))]
fn uring() -> Result<Reactor, String> {
    Err("this program was built without it (feature `uring`, Linux only)".to_owned())
}

fn reactor() -> Result<Reactor, Ended> {
    tress::reactor().map_err(Ended::NoReactor)
}
