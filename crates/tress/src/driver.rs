//! Reactors on the drivers of the operating system (mio by default, and io_uring), with what this crate's features add.

use tress_core::{Reactor, Result};

/// A reactor on the default driver that looks host names up as the system does. Any number of them can live in one
/// process.
///
/// # Errors
/// The operating system has no room for another.
pub fn reactor() -> Result<Reactor> {
    Ok(wired(Reactor::with(tress_os::Mio::new()?)))
}

/// So many of these reactors, each on a thread of its own, that listen at the same sockets; the first is on the thread
/// that calls [`Workers::run`](tress_os::Workers::run). [`Workers::available`](tress_os::Workers::available) says how
/// many cores there are.
///
/// # Errors
/// None, or more than [`WORKERS_MAX`](tress_os::workers::WORKERS_MAX).
pub fn workers(count: usize) -> Result<tress_os::Workers> {
    Ok(tress_os::Workers::new(count, reactor)?)
}

/// A reactor on the experimental driver over io_uring (feature `uring`, Linux only).
///
/// # Errors
/// The kernel has no io_uring, lacks what the driver needs of it, or does not allow it.
#[cfg(all(feature = "uring", target_os = "linux"))]
pub fn uring_reactor() -> Result<Reactor> {
    Ok(wired(Reactor::with(tress_os::Uring::new()?)))
}

/// With what the features add.
fn wired(reactor: Reactor) -> Reactor {
    reactor.set_name_resolver(tress_os::SystemResolver::new());
    reactor.endpoint_kind("stdio", tress_os::stdio::Stdio);
    reactor.endpoint_kind("systemd", tress_os::systemd::Systemd::of_process());
    #[cfg(feature = "protocols")]
    reactor.endpoint_kind("haproxy", tress_protocols::haproxy::HaProxy);
    #[cfg(feature = "tls")]
    tress_tls::register(&reactor, crate::files::SystemFiles);
    reactor
}
