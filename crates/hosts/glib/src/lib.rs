//! A reactor inside GLib's default main loop, which is GTK's: [`attach`] it, or [`run`] both.
//!
//! GLib watches the reactor's descriptor and its next deadline; the reactor has one turn, and then GLib's other sources
//! have theirs. Everything is on one thread: protocols change widgets, and what a widget's signal calls may write to
//! transports.
//!
//! ```no_run
//! use tress_core::{Reactor, Result};
//!
//! fn main() -> Result {
//!     let reactor = Reactor::with(tress_os::Mio::new()?);
//!     let own = reactor.clone();
//!     glib::timeout_add_local_once(std::time::Duration::from_secs(1), move || {
//!         own.stop().ok();
//!     });
//!     tress_glib::run(&reactor)
//! }
//! ```
//!
//! This crate knows no protocol and no driver. Any driver that has a descriptor to watch will do.

#![forbid(unsafe_code)]

use glib::{ControlFlow, IOCondition, MainContext, MainLoop, Priority, SourceId};
use std::{cell::Cell, fmt, io, rc::Rc, time::Duration};
use tress_core::{Reactor, Result};

/// The longest timeout that GLib is asked for; one that ends too early costs a turn.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A reactor that GLib's default main loop turns, until this is dropped.
#[must_use = "dropping it detaches the reactor"]
pub struct Attached(Rc<Host>);

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attached").field(&self.0.reactor).finish()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.detach();
    }
}

/// Lets GLib's default main loop turn this reactor. Starting and stopping it ([`Reactor::start`]) is up to the caller.
/// When its driver can go on no more, that is logged and the reactor has stopped.
///
/// A callback may run a main loop of its own, as dialogs do: until that ends the reactor has no turn.
///
/// GLib counts milliseconds, so timed calls are at most one late.
///
/// # Errors
/// The driver has no descriptor that could be watched, or another thread owns the default main loop.
pub fn attach(reactor: &Reactor) -> io::Result<Attached> {
    attach_with(reactor, |turned| {
        if let Err(error) = turned {
            tracing::error!(target: "tress", "the reactor inside GLib has ended: {error}");
        }
    })
}

/// Starts the reactor and runs GLib's default main loop until the reactor has stopped. A reactor that runs already goes
/// on.
///
/// # Errors
/// As for [`attach`], or the driver can go on no more.
pub fn run(reactor: &Reactor) -> Result {
    let main_loop = MainLoop::new(None, false);
    let failed: Rc<Cell<Option<io::Error>>> = Rc::default();
    let (quits, own, fails) = (main_loop.clone(), reactor.clone(), Rc::clone(&failed));
    let attached = attach_with(reactor, move |turned| {
        if let Err(error) = turned {
            fails.set(Some(error));
        }
        if !own.is_running() {
            quits.quit();
        }
    })?;
    if !reactor.is_running() {
        reactor.start()?;
    }
    main_loop.run();
    drop(attached);
    failed.take().map_or(Ok(()), |error| Err(error.into()))
}

fn attach_with(
    reactor: &Reactor,
    after_turn: impl Fn(io::Result<()>) + 'static,
) -> io::Result<Attached> {
    let Some(descriptor) = reactor.poll_fd() else {
        let text = "the reactor's driver has no descriptor for another loop to watch";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    };
    let context = MainContext::default();
    // What follows would panic.
    let acquired = context.acquire();
    let acquired = acquired.map_err(|_| {
        io::Error::other("GLib's default main loop belongs to another thread: attach it there")
    })?;
    let host = Rc::new(Host {
        reactor: reactor.clone(),
        descriptor,
        watch: Cell::default(),
        timer: Cell::default(),
        is_turning: Cell::default(),
        after_turn: Box::new(after_turn),
    });
    host.watch();
    // Something may have been asked before.
    host.set_timer(Duration::ZERO);
    drop(acquired);
    Ok(Attached(host))
}

/// What GLib watches for one reactor.
struct Host {
    reactor: Reactor,
    descriptor: i32,
    watch: Cell<Option<SourceId>>,
    /// With the time by GLib's clock, microseconds.
    timer: Cell<Option<(SourceId, i64)>>,
    is_turning: Cell<bool>,
    after_turn: Box<dyn Fn(io::Result<()>)>,
}

impl Host {
    /// One turn, and then everything GLib is to watch until the next.
    fn turn(self: &Rc<Self>) {
        if self.is_turning.replace(true) {
            // A main loop inside a callback: it would come here again and again.
            return self.detach();
        }
        let turned = self.reactor.turn(Some(Duration::ZERO));
        self.is_turning.set(false);
        match &turned {
            Ok(()) => self.rest(),
            Err(_) => self.detach(),
        }
        (self.after_turn)(turned);
    }

    fn rest(self: &Rc<Self>) {
        self.watch();
        if let Some(longest) = self.reactor.rest(None) {
            self.set_timer(longest.min(LONGEST));
        }
    }

    /// Watches the descriptor, unless that goes on.
    fn watch(self: &Rc<Self>) {
        let watch = self.watch.take().unwrap_or_else(|| {
            let host = Rc::clone(self);
            let readable = IOCondition::IN;
            glib_unix::unix_fd_add_local_full(
                self.descriptor,
                Priority::DEFAULT,
                readable,
                move |_, _| {
                    host.turn();
                    ControlFlow::Continue
                },
            )
        });
        self.watch.set(Some(watch));
    }

    /// Turns after this time at the latest. A timer that ends too early is cheaper than one that is set in every turn.
    fn set_timer(self: &Rc<Self>, longest: Duration) {
        let micros = i64::try_from(longest.as_micros()).unwrap_or(i64::MAX);
        let until = glib::monotonic_time().saturating_add(micros);
        match self.timer.take() {
            Some((timer, earlier)) if earlier <= until => self.timer.set(Some((timer, earlier))),
            old => {
                if let Some((old, _)) = old {
                    old.remove();
                }
                let host = Rc::clone(self);
                let after = Duration::from_millis(milliseconds(longest));
                let timer = glib::timeout_add_local_full(after, Priority::DEFAULT, move || {
                    // It is gone with this call.
                    host.timer.take();
                    host.turn();
                    ControlFlow::Break
                });
                self.timer.set(Some((timer, until)));
            }
        }
    }

    fn detach(&self) {
        if let Some(watch) = self.watch.take() {
            watch.remove();
        }
        if let Some((timer, _)) = self.timer.take() {
            timer.remove();
        }
    }
}

/// Rounded up, so that what is due then is due.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A timer that comes before what is due would be set again and again.
    #[test]
    fn a_wait_is_never_rounded_down() {
        for (nanoseconds, expected) in
            [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)]
        {
            assert_eq!(milliseconds(Duration::from_nanos(nanoseconds)), expected);
        }
    }
}
