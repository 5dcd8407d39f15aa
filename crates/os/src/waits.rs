//! What a wait that failed means to a driver. Makes no call.
//!
//! | answer | what it means |
//! |---|---|
//! | `EINTR`, `ETIME` | a signal or the time has ended it: nothing is wrong |
//! | `EAGAIN`, `EBUSY`, `ENOMEM`, `ENOBUFS` | the system is short of memory for now: as if nothing had come, at most [`FAILURES_MAX`] times in a row, since the loop would spin |
//! | everything else | it will be the same next time: the driver is of no use any more |
//!
//! libuv ends the process at everything but `EINTR`, tokio panics, and Twisted logs it and waits again, for ever.

use std::io;

/// So many waits in a row may fail for want of memory.
const FAILURES_MAX: u32 = 100;

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    failed: u32,
}

impl Waits {
    /// A wait has ended.
    ///
    /// # Errors
    /// The driver can go on no more.
    #[inline]
    pub(crate) fn ended<T>(&mut self, result: io::Result<T>) -> io::Result<()> {
        match result {
            Ok(_) => self.failed = 0,
            Err(error) => self.failed(error)?,
        }
        Ok(())
    }

    #[cold]
    fn failed(&mut self, error: io::Error) -> io::Result<()> {
        match error.raw_os_error() {
            Some(libc::EINTR | libc::ETIME) => self.failed = 0,
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM | libc::ENOBUFS)
                if self.failed < FAILURES_MAX =>
            {
                self.failed += 1;
            }
            _ => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_is_borne_for_a_while_and_a_defect_is_not() {
        let mut waits = Waits::default();
        let mut ended = |error| match error {
            0 => waits.ended(Ok(())),
            error => waits.ended::<()>(Err(io::Error::from_raw_os_error(error))),
        };
        for good in [0, libc::EINTR, libc::ETIME] {
            for _ in 0..FAILURES_MAX {
                ended(libc::ENOMEM).expect("it may pass");
            }
            ended(good).expect("nothing is wrong");
        }
        for _ in 0..FAILURES_MAX {
            ended(libc::EBUSY).expect("it may pass");
        }
        let error = ended(libc::ENOMEM).expect_err("it does not pass");
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
        for bad in [libc::EBADF, libc::EINVAL, libc::EPIPE] {
            ended(bad).expect_err("it will not get better");
        }
    }
}
