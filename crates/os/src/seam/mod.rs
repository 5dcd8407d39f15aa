//! The seam between the drivers and the system: every system call of a driver goes through here, so that a test can
//! have any of them fail. Knows what the calls are called and nothing else of them.
//!
//! Without the feature `faults`, which only this crate's own tests turn on, all of it compiles to nothing but the call.
//!
//! A new call site: name the call in [`Call`] (`Read`, `Waitid`, ..), and put around it
//!
//! * `seam::call(Call::Listen, || ..)` when it moves no bytes, which makes it again when a signal comes between;
//! * `seam::once(Call::EpollWait, || ..)` when whoever calls wants to know of a signal himself;
//! * `let room = seam::room(Call::Recv, buffer.len())?` in front of it when it moves bytes (or datagrams), and offer it
//!   no more than that; `seam::write_vectored(Call::Writev, pieces, |pieces| ..)` for pieces.
//!
//! What is made up must be what the system could say. `EAGAIN` and a short read mean that an event follows as soon as
//! there is more: `Mio::tell_again` sees to it for all that is in its slots. In io_uring an operation that fails has
//! taken nothing: see `seam::ring`.
//!
//! A new story goes into `tests/faults`: a function that begins something, and says what must hold in the end if nothing
//! got in the way; all the rest (each call, each fault, ends, descriptors, timers, files) is looked at by itself.
//!
//! What runs in a thread of its own (looking up names does) is outside: a plan belongs to the thread that made it.

#[cfg(feature = "faults")]
pub mod faults;
#[cfg(all(feature = "faults", feature = "uring", target_os = "linux"))]
pub(crate) mod ring;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
#[cfg(all(feature = "uring", target_os = "linux"))]
use std::time::Duration;

/// A system call, by its name; or an operation of io_uring that stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are called as the system calls them")]
pub enum Call {
    Accept,
    AsyncCancel,
    Bind,
    Chmod,
    Connect,
    Dup,
    EpollCreate,
    EpollCtl,
    EpollWait,
    EventFd,
    Flock,
    Fork,
    Fstat,
    Getpeername,
    Getsockname,
    Getsockopt,
    IoUringEnter,
    IoUringRegister,
    IoUringSetup,
    Kill,
    Listen,
    Lstat,
    Open,
    PidfdOpen,
    PidfdSendSignal,
    Pipe,
    Poll,
    PollAdd,
    Read,
    Readlink,
    Recv,
    Recvmmsg,
    Recvmsg,
    Rename,
    Send,
    Sendmmsg,
    Sendmsg,
    Setsockopt,
    Shutdown,
    Socket,
    Socketpair,
    Stat,
    Symlink,
    Timeout,
    Unlink,
    Waitid,
    Writev,
}

/// Makes the call, and makes it again when a signal interrupts it.
#[inline(always)]
pub(crate) fn call<T>(call: Call, mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match before(call).and_then(|()| make()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Makes the call.
#[inline(always)]
pub(crate) fn once<T>(call: Call, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    before(call).and_then(|()| make())
}

/// Right before the call: an error means that it is not to be made.
#[inline(always)]
pub(crate) fn before(call: Call) -> io::Result<()> {
    room(call, 0).map(drop)
}

/// Right before a call that moves at most this many bytes or datagrams: how many of them it may be offered. An error
/// means that it is not to be made.
#[inline(always)]
#[cfg_attr(
    not(feature = "faults"),
    expect(clippy::unnecessary_wraps, reason = "only a test has it fail")
)]
pub(crate) fn room(call: Call, most: usize) -> io::Result<usize> {
    #[cfg(feature = "faults")]
    return faults::room(call, most);
    #[cfg(not(feature = "faults"))]
    {
        let _ = call;
        Ok(most)
    }
}

/// Writes pieces with one call.
#[inline(always)]
pub(crate) fn write_vectored(
    call: Call,
    pieces: &[IoSlice<'_>],
    write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<usize> {
    #[cfg(feature = "faults")]
    if let Some(short) = faults::first_byte(call, pieces)? {
        return write(&[short]);
    }
    let _ = call;
    write(pieces)
}

/// How long the kernel is asked to wait where nobody waits for anything: a test that counts turns does not wait as long.
#[inline]
#[cfg(all(feature = "uring", target_os = "linux"))]
pub(crate) fn rest(rest: Duration) -> Duration {
    #[cfg(feature = "faults")]
    return faults::rest(rest);
    #[cfg(not(feature = "faults"))]
    rest
}
