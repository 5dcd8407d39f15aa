//! Signal handlers. Once a signal was caught, its handler stays: while nobody wants the signal, it does what the system
//! did before. Knows no reactor's table.

use crate::signals::number;
use signal_hook::{SigId, low_level};
use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tress_core::{Signal, reactor::SignalSender};

/// Numbers of signals are below this.
const NUMBERS: usize = 65;

/// How many want each signal, in this process.
static WANTED: [AtomicUsize; NUMBERS] = [const { AtomicUsize::new(0) }; NUMBERS];
/// Whether each has its handler for when nobody wants it.
static PREPARED: Mutex<[bool; NUMBERS]> = Mutex::new([false; NUMBERS]);

/// Tells the loop whenever this signal is raised.
pub(crate) fn catch(signal: i32, sender: SignalSender) -> io::Result<SigId> {
    let place = usize::try_from(signal)
        .ok()
        .filter(|place| *place < NUMBERS);
    let place = place.ok_or(io::ErrorKind::InvalidInput)?;
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    if !prepared[place] {
        prepare(signal, place)?;
        prepared[place] = true;
    }
    let action = move || sender.raise();
    // SAFETY: the action runs inside a signal handler. It sets two atomics and writes eight bytes to an eventfd
    // (or a pipe): no lock, no allocation, no drop.
    let id = unsafe { low_level::register(signal, action) }?;
    WANTED[place].fetch_add(1, Ordering::SeqCst);
    Ok(id)
}

/// Tells it no more.
pub(crate) fn release(signal: Signal, id: SigId) {
    let _only_one = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(Ok(place)) = number(signal).map(usize::try_from) {
        WANTED[place].fetch_sub(1, Ordering::SeqCst);
    }
    low_level::unregister(id);
}

/// What was the system's default stays so while nobody wants the signal. What was ignored, or handled by other code,
/// needs nothing: that code's handler is called anyway.
fn prepare(signal: i32, place: usize) -> io::Result<()> {
    if disposition(signal)? != libc::SIG_DFL {
        return Ok(());
    }
    let action = move || {
        if WANTED[place].load(Ordering::SeqCst) == 0 {
            // It fails for signals that it does not know, which are ignored then.
            low_level::emulate_default_handler(signal).ok();
        }
    };
    // SAFETY: the action runs inside a signal handler. It reads an atomic, and what it calls is made for handlers.
    unsafe { low_level::register(signal, action) }.map(drop)
}

/// What the system does at this signal now.
fn disposition(signal: i32) -> io::Result<libc::sighandler_t> {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and there is room for the answer.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, and so has written all of it.
    Ok(unsafe { now.assume_init() }.sa_sigaction)
}
