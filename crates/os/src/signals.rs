//! Signals as calls on the loop, without a thread: a second thread would make every system call of the C library
//! dearer. Knows nothing of what the signals are for.

use crate::sys;
use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGTERM},
};
use std::io;
use tress_core::{Reactor, Signal};

/// Catches signals until it is dropped.
#[derive(Debug)]
pub struct Signals(Vec<SigId>);

impl Signals {
    /// Hang up: by custom, read the configuration again.
    pub const HUP: i32 = SIGHUP;
    /// Ctrl-C.
    pub const INT: i32 = SIGINT;
    /// A polite request to stop.
    pub const TERM: i32 = SIGTERM;

    /// Calls `handler` on the loop after each of these signals, with its number. Signals that come faster than the
    /// loop turns are one.
    ///
    /// # Errors
    /// A signal that cannot be caught.
    pub fn handle(
        reactor: &Reactor,
        signals: &[i32],
        handler: impl Fn(&Reactor, i32) + Clone + 'static,
    ) -> io::Result<Self> {
        let mut caught = Self(Vec::new());
        for &signal in signals {
            let number = u32::try_from(signal).map_err(|_| io::ErrorKind::InvalidInput)?;
            caught
                .0
                .push(sys::on_signal(signal, reactor.signal_sender(), number)?);
            let handler = handler.clone();
            reactor.on_signal(number, move |reactor| handler(reactor, signal));
        }
        Ok(caught)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for &id in &self.0 {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// Stops the reactor in order at Ctrl-C and SIGTERM, while the result is kept. Another signal while it is stopping
/// changes nothing: a stop is bounded anyway.
///
/// # Errors
/// As [`Signals::handle`].
pub fn stop_on_signals(reactor: &Reactor) -> io::Result<Signals> {
    Signals::handle(
        reactor,
        &[Signals::INT, Signals::TERM],
        |reactor, signal| {
            let name = if signal == Signals::INT {
                "SIGINT"
            } else {
                "SIGTERM"
            };
            if reactor.stop().is_ok() {
                tracing::info!(target: "tress", "received {name}, stopping");
            }
        },
    )
}

/// The system's number of a signal.
pub(crate) fn number(signal: Signal) -> io::Result<i32> {
    let found = NUMBERS.iter().find(|(named, _)| *named == signal);
    match (found, signal) {
        (Some((_, number)), _) => Ok(*number),
        (None, Signal::Number(number)) => Ok(number.into()),
        (None, _) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The signal that has this number.
pub(crate) fn from_number(number: i32) -> Signal {
    let found = NUMBERS.iter().find(|(_, known)| *known == number);
    let other = Signal::Number(u8::try_from(number).unwrap_or(u8::MAX));
    found.map_or(other, |(signal, _)| *signal)
}

const NUMBERS: &[(Signal, i32)] = &[
    (Signal::Hup, libc::SIGHUP),
    (Signal::Int, libc::SIGINT),
    (Signal::Quit, libc::SIGQUIT),
    (Signal::Ill, libc::SIGILL),
    (Signal::Trap, libc::SIGTRAP),
    (Signal::Abrt, libc::SIGABRT),
    (Signal::Bus, libc::SIGBUS),
    (Signal::Fpe, libc::SIGFPE),
    (Signal::Kill, libc::SIGKILL),
    (Signal::Usr1, libc::SIGUSR1),
    (Signal::Segv, libc::SIGSEGV),
    (Signal::Usr2, libc::SIGUSR2),
    (Signal::Pipe, libc::SIGPIPE),
    (Signal::Alrm, libc::SIGALRM),
    (Signal::Term, libc::SIGTERM),
    (Signal::Chld, libc::SIGCHLD),
    (Signal::Cont, libc::SIGCONT),
    (Signal::Stop, libc::SIGSTOP),
    (Signal::Tstp, libc::SIGTSTP),
    (Signal::Ttin, libc::SIGTTIN),
    (Signal::Ttou, libc::SIGTTOU),
    (Signal::Xcpu, libc::SIGXCPU),
    (Signal::Xfsz, libc::SIGXFSZ),
    (Signal::Winch, libc::SIGWINCH),
    (Signal::Sys, libc::SIGSYS),
];
