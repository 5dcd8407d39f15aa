//! How long who writes may wait for who reads: so long in all, and then for a while not at all. Knows no file.

use crate::{
    clock::SystemClock,
    seam::{self, Call},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io::{self, ErrorKind},
    os::fd::BorrowedFd,
    time::Duration,
};
use tress_core::{Time, clock::Clock};

/// So long may all that wait within `PERIOD` take.
const WAITS: Duration = Duration::from_secs(1);
const PERIOD: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// When the period began; `None` when nobody has waited.
    since: Option<Time>,
    spent: Duration,
}

impl Patience {
    /// Until the file takes more, or there is no patience left: that is an error.
    pub(super) fn wait(&mut self, file: BorrowedFd<'_>) -> io::Result<()> {
        let start = SystemClock.now();
        let left = self.left(start);
        let timeout = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        let ready = seam::call(Call::Poll, || {
            let mut files = [PollFd::from_borrowed_fd(file, PollFlags::OUT)];
            Ok(poll(&mut files, Some(&timeout))?)
        });
        self.spent += SystemClock.now().since(start);
        match ready? {
            0 => Err(io::Error::new(
                ErrorKind::TimedOut,
                "whoever reads it is too slow",
            )),
            _ => Ok(()),
        }
    }

    /// There is none left for now: no test waits.
    #[cfg(test)]
    pub(super) fn exhaust(&mut self) {
        self.left(SystemClock.now());
        self.spent = WAITS;
    }

    fn left(&mut self, now: Time) -> Duration {
        if self.since.is_none_or(|since| now.since(since) >= PERIOD) {
            (self.since, self.spent) = (Some(now), Duration::ZERO);
        }
        WAITS.saturating_sub(self.spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_was_waited_counts() {
        let (_reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let mut patience = Patience::default();
        patience.wait(writer.as_fd()).unwrap(); // there is room
        while rustix::io::write(&writer, &[0; 4096]).is_ok() {}
        patience.spent = WAITS - Duration::from_millis(1);
        assert!(patience.wait(writer.as_fd()).is_err());
        assert_eq!(patience.left(SystemClock.now()), Duration::ZERO);
    }

    #[test]
    fn it_is_spent_once_a_period() {
        let mut patience = Patience::default();
        let at = |seconds: u64| Time(seconds * 1_000_000_000);
        assert_eq!(patience.left(at(5)), WAITS);
        patience.spent += Duration::from_millis(400);
        assert_eq!(patience.left(at(6)), Duration::from_millis(600));
        patience.spent += Duration::from_secs(2);
        assert_eq!(patience.left(at(64)), Duration::ZERO);
        assert_eq!(patience.left(at(65)), WAITS);
    }
}
