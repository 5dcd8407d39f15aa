//! Signals without a thread, which would make every system call of the C library dearer: a handler sets a bit and wakes
//! the loop. And the system's numbers for them. Knows nothing of what signals are for.

use crate::sys;
use signal_hook::SigId;
use std::io;
use tress_core::{Signal, reactor::SignalSender};

/// The signals that one driver catches, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Caught(Vec<(Signal, SigId)>);

impl Caught {
    /// Tells `sender` of this signal.
    pub(crate) fn catch(&mut self, signal: Signal, sender: SignalSender) -> io::Result<()> {
        let number = number(signal)?;
        let refused = match from_number(number) {
            Signal::Kill | Signal::Stop => Some("the system lets no program catch it"),
            Signal::Ill | Signal::Fpe | Signal::Segv => {
                Some("it says that the program is broken, which cannot go on")
            }
            _ => None,
        };
        if let Some(text) = refused {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.0.push((signal, sys::signals::catch(number, sender)?));
        Ok(())
    }

    /// Tells nobody of it any more.
    pub(crate) fn release(&mut self, signal: Signal) {
        for (_, id) in self.0.extract_if(.., |(caught, _)| *caught == signal) {
            sys::signals::release(signal, id);
        }
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (signal, id) in self.0.drain(..) {
            sys::signals::release(signal, id);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for (signal, name) in Signal::NAMED {
            let number = number(*signal).expect("this system has them all");
            assert_eq!(from_number(number), *signal, "{name}");
        }
        assert_eq!(from_number(15), Signal::Term);
        let named = number(Signal::Number(15)).map(from_number);
        assert_eq!(named.expect("it is a number"), Signal::Term);
        assert_eq!(from_number(40), Signal::Number(40));
        assert_eq!(from_number(-1), Signal::Number(u8::MAX));
    }
}
