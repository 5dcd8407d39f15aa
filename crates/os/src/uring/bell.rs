//! What a foreign loop watches instead of the ring. The ring's own descriptor does not do: on a ring whose kernel works
//! only while it is entered, work that arrives is no completion yet, and whoever waits is not told of it (Linux 6.18). So
//! the kernel rings a bell, for each completion and for each such work: `io_uring_register(2)`, `IORING_REGISTER_EVENTFD`.
//!
//! A bell tells that something has come, not that it is still there: it is silenced after each `enter`, and what that left
//! is asked of the ring itself. Who wakes the driver rings it himself: one eventfd that rings another through the ring is
//! put off by the kernel, for milliseconds.

use crate::{
    seam::{self, Call},
    sys,
};
use io_uring::IoUring;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Write},
    os::fd::AsRawFd,
    sync::{Arc, OnceLock},
};

/// None until a foreign loop asks for it: it costs every turn a system call, and a look at the ring another.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<OnceLock<File>>);

/// Whether the foreign loop was told that it may wait, and nothing was asked of the driver since.
#[derive(Default)]
pub(crate) struct Resting(Cell<bool>);

impl Bell {
    /// Its descriptor, readable since the kernel has rung it.
    ///
    /// # Errors
    /// There is no descriptor for it, or the kernel does not ring it.
    pub(crate) fn hang(&self, ring: &IoUring) -> io::Result<i32> {
        if let Some(bell) = self.0.get() {
            return Ok(bell.as_raw_fd());
        }
        let bell = sys::event_descriptor()?;
        seam::call(Call::IoUringRegister, || {
            ring.submitter().register_eventfd(bell.as_raw_fd())
        })?;
        Ok(self.0.get_or_init(|| bell).as_raw_fd())
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.get().is_some()
    }

    /// Something was asked between two turns that only a turn can do: whoever waits is told, once.
    #[inline]
    pub(crate) fn asked(&self, resting: &Resting) {
        if resting.0.replace(false)
            && let Err(error) = self.ring()
        {
            tracing::error!(target: "tress", "the loop around could not be woken: {error}");
        }
    }

    /// From any thread.
    pub(super) fn ring(&self) -> io::Result<()> {
        let bell = self.0.get();
        bell.map_or(Ok(()), |mut bell| bell.write_all(&1_u64.to_ne_bytes()))
    }

    /// After an `enter`: what that has posted rang it, too.
    #[inline]
    pub(crate) fn silence(&self) {
        if let Some(mut bell) = self.0.get() {
            // When it had not been rung there is nothing to read, and when that fails it tells again.
            seam::call(Call::Read, || bell.read(&mut [0; 8])).ok();
        }
    }
}

impl Resting {
    #[inline]
    pub(crate) fn set(&self, rests: bool) {
        self.0.set(rests);
    }
}

/// Whether the ring has completions, or work that becomes completions when it is entered.
pub(crate) fn is_due(ring: &IoUring) -> bool {
    let mut watched = [PollFd::new(ring, PollFlags::IN)];
    let now = Timespec::default();
    let looked = seam::call(Call::Poll, || Ok(poll(&mut watched, Some(&now))?));
    // Who does not know looks again.
    looked.map_or(true, |ready| ready > 0)
}
