//! The default driver: the operating system's sockets, through mio.

use tress_core::{Reactor, Result};

/// A reactor on the default driver. Any number of them can live in one process.
///
/// # Errors
/// The operating system has no room for another.
pub fn reactor() -> Result<Reactor> {
    Ok(Reactor::with(tress_os::Mio::new()?))
}
