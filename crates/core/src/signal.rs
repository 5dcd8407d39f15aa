//! Signals by their names in POSIX. Knows no system's numbers but those that a user writes, and raises none.

use crate::wording::unknown;
use std::{fmt, str::FromStr};

/// A signal to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// The terminal has gone; by custom, read the configuration again.
    Hup,
    /// Ctrl-C.
    Int,
    /// Ctrl-\: end and leave a memory image.
    Quit,
    /// An instruction that there is not.
    Ill,
    /// A breakpoint.
    Trap,
    /// `abort` was called.
    Abrt,
    /// Memory that cannot be reached so.
    Bus,
    /// An arithmetic error.
    Fpe,
    /// Ends a process at once; it cannot be caught.
    Kill,
    /// For the program's own purposes; by custom, open the log anew.
    Usr1,
    /// Memory that is not there.
    Segv,
    /// For the program's own purposes.
    Usr2,
    /// Written where nobody reads.
    Pipe,
    /// A timer.
    Alrm,
    /// A polite request to end.
    Term,
    /// A child has ended or stopped.
    Chld,
    /// Goes on with what was stopped.
    Cont,
    /// Stops a process; it cannot be caught.
    Stop,
    /// Ctrl-Z.
    Tstp,
    /// Read from the terminal in the background.
    Ttin,
    /// Wrote to the terminal in the background.
    Ttou,
    /// The processor's time is up.
    Xcpu,
    /// A file grew too large.
    Xfsz,
    /// The terminal has another size.
    Winch,
    /// A system call that there is not.
    Sys,
    /// Any other, by the system's own number.
    Number(u8),
}

/// What is no signal's name, nor a number from 1 to 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSignal(String);

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = Signal::NAMED.iter().map(|(_, name)| *name).collect();
        f.write_str(&unknown("signal", &self.0, &known))
    }
}

impl std::error::Error for UnknownSignal {}

impl Signal {
    /// Those that have names, with their names.
    pub const NAMED: &'static [(Self, &'static str)] = &[
        (Self::Hup, "HUP"),
        (Self::Int, "INT"),
        (Self::Quit, "QUIT"),
        (Self::Ill, "ILL"),
        (Self::Trap, "TRAP"),
        (Self::Abrt, "ABRT"),
        (Self::Bus, "BUS"),
        (Self::Fpe, "FPE"),
        (Self::Kill, "KILL"),
        (Self::Usr1, "USR1"),
        (Self::Segv, "SEGV"),
        (Self::Usr2, "USR2"),
        (Self::Pipe, "PIPE"),
        (Self::Alrm, "ALRM"),
        (Self::Term, "TERM"),
        (Self::Chld, "CHLD"),
        (Self::Cont, "CONT"),
        (Self::Stop, "STOP"),
        (Self::Tstp, "TSTP"),
        (Self::Ttin, "TTIN"),
        (Self::Ttou, "TTOU"),
        (Self::Xcpu, "XCPU"),
        (Self::Xfsz, "XFSZ"),
        (Self::Winch, "WINCH"),
        (Self::Sys, "SYS"),
    ];

    /// The name without `SIG`, if it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let named = Self::NAMED.iter().find(|(signal, _)| *signal == self);
        named.map(|(_, name)| *name)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.name()) {
            (Self::Number(number), _) => write!(f, "signal {number}"),
            (_, Some(name)) => write!(f, "SIG{name}"),
            (_, None) => write!(f, "{self:?}"),
        }
    }
}

/// `TERM` and `SIGTERM`, in capitals or not; or a system's own number, from 1 to 64.
impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        let named = Self::NAMED.iter().find(|(_, name)| *name == short);
        if let Some((signal, _)) = named {
            return Ok(*signal);
        }
        match text.parse() {
            Ok(number @ 1..=64) => Ok(Self::Number(number)),
            _ => Err(UnknownSignal(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Signal, &str>) {
        let parsed = text.parse::<Signal>().map_err(|error| error.to_string());
        match (parsed, expected) {
            (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
            (parsed, expected) => assert_eq!(parsed, expected.map_err(str::to_owned)),
        }
    }

    #[test]
    fn names_and_numbers() {
        check("TERM", Ok(Signal::Term));
        check("SIGTERM", Ok(Signal::Term));
        check("sighup", Ok(Signal::Hup));
        check("9", Ok(Signal::Number(9)));
        check("TREM", Err("did you mean `TERM`?"));
        check("0", Err("unknown signal `0`"));
        check("65", Err("unknown signal `65`"));
        check("", Err("unknown signal"));
        check("SIG", Err("unknown signal `SIG`"));
        check("\u{17f}igterm", Err("unknown signal"));
    }

    #[test]
    fn every_name_is_its_own() {
        for (signal, name) in Signal::NAMED {
            assert_eq!(name.parse(), Ok(*signal));
            assert_eq!(signal.to_string(), format!("SIG{name}"));
        }
        assert_eq!(Signal::Number(40).to_string(), "signal 40");
    }
}
