//! What signals do on Linux that nobody catches, and their numbers there. Sends none.

use tress_core::signal::Signal;

/// What a signal does that nobody catches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    End,
    Stop,
    GoOn,
    Nothing,
}

pub(crate) fn by_default(signal: Signal) -> Fate {
    match signal {
        Signal::Stop | Signal::Tstp | Signal::Ttin | Signal::Ttou => Fate::Stop,
        Signal::Cont => Fate::GoOn,
        Signal::Chld | Signal::Winch | Signal::Number(URG) => Fate::Nothing,
        _ => Fate::End,
    }
}

/// Urgent data came, which has no name here.
const URG: u8 = 23;

/// The signals that have names, by their numbers on Linux.
#[rustfmt::skip] // as they are counted
const NUMBERS: [Signal; 15] = [
    Signal::Hup, Signal::Int, Signal::Quit, Signal::Ill, Signal::Trap, Signal::Abrt, Signal::Bus, Signal::Fpe,
    Signal::Kill, Signal::Usr1, Signal::Segv, Signal::Usr2, Signal::Pipe, Signal::Alrm, Signal::Term,
];
#[rustfmt::skip] // as they are counted
const MORE_NUMBERS: &[(u8, Signal)] = &[
    (17, Signal::Chld), (18, Signal::Cont), (19, Signal::Stop), (20, Signal::Tstp), (21, Signal::Ttin),
    (22, Signal::Ttou), (24, Signal::Xcpu), (25, Signal::Xfsz), (28, Signal::Winch), (31, Signal::Sys),
];

/// The signal by its name, if it has one.
pub(crate) fn named(signal: Signal) -> Signal {
    let Signal::Number(number) = signal else {
        return signal;
    };
    let first = usize::from(number).checked_sub(1);
    let more = MORE_NUMBERS.iter().find(|(known, _)| *known == number);
    let named = first.and_then(|index| NUMBERS.get(index));
    let named = named.or_else(|| more.map(|(_, signal)| signal));
    named.copied().unwrap_or(signal)
}
