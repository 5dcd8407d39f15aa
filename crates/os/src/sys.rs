//! The one door for `unsafe`: each function here is safe to call and says why its inside is sound.
#![expect(unsafe_code, reason = "this module is where tress may")]

use signal_hook::SigId;
use std::io;
use tress_core::reactor::SignalSender;

/// Tells the loop whenever this signal is raised.
pub(crate) fn on_signal(signal: i32, sender: SignalSender, number: u32) -> io::Result<SigId> {
    let action = move || sender.raise(number);
    // SAFETY: the action runs inside a signal handler. It sets two atomics and writes eight bytes to an eventfd
    // (or a pipe): no lock, no allocation, no drop.
    unsafe { signal_hook::low_level::register(signal, action) }
}

/// The monotonic clock, in nanoseconds. Shorter than `Instant`, which the loop would notice.
#[inline]
pub(crate) fn monotonic() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the answer, and this clock exists on every system that has it in `libc`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The processor's cycle counter, where it has one that ticks at one rate on all cores.
#[inline]
pub(crate) fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 processor has RDTSC, and it touches no memory.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    return 0;
}
