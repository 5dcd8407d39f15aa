//! Work for threads, as it goes between the core and a driver: a job, how many there may be, and the queue that every
//! driver keeps them in. Starts no thread.

use std::{collections::BTreeMap, fmt, io};

/// Work for a thread. It is called once, and never unwinds when it is the core's.
pub struct Job(Box<dyn FnOnce() + Send>);

/// Names a job of one driver. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u64);

/// How many threads a driver may have for jobs, and how many jobs may wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// Threads at once; zero counts as one.
    pub threads: usize,
    /// Jobs that wait because all of those threads are busy.
    pub waiting: usize,
}

/// What a driver has to do with jobs now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Threads, busy or not; zero where jobs run on the loop's own.
    pub threads: usize,
    /// Jobs that no thread has taken yet.
    pub waiting: usize,
    /// Jobs that a thread has taken and not finished.
    pub running: usize,
}

/// A job that was not taken, and why.
#[derive(Debug)]
pub struct Refused {
    /// The job, as it was.
    pub job: Job,
    /// `QuotaExceeded` when too many wait; `Unsupported` when the driver runs no jobs.
    pub error: io::Error,
}

/// Jobs that wait, first come, first served.
#[derive(Debug, Default)]
pub struct JobQueue {
    waiting: BTreeMap<JobId, Job>,
    last: u64,
}

impl Job {
    /// Work that a thread may do.
    pub fn new(work: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    /// Does it.
    pub fn run(self) {
        (self.0)();
    }
}

impl JobLimits {
    /// Threads at once, at least one.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.max(1)
    }

    /// Whether one more job may come: a thread is there for it, or it may wait.
    ///
    /// # Errors
    /// Why not.
    pub fn room(&self, busy: usize, waiting: usize) -> io::Result<()> {
        let free = self.threads().saturating_sub(busy);
        if waiting < free.saturating_add(self.waiting) {
            return Ok(());
        }
        Err(io::ErrorKind::QuotaExceeded.into())
    }
}

impl Default for JobLimits {
    fn default() -> Self {
        let limits = crate::limits::Limits::default();
        Self {
            threads: limits.threads,
            waiting: limits.jobs_waiting,
        }
    }
}

impl JobQueue {
    /// Takes a job in, at the end.
    pub fn push(&mut self, job: Job) -> JobId {
        self.last += 1;
        let id = JobId(self.last);
        self.waiting.insert(id, job);
        id
    }

    /// The one that has waited longest.
    pub fn pop(&mut self) -> Option<(JobId, Job)> {
        self.waiting.pop_first()
    }

    /// Takes one out, if it still waits.
    pub fn remove(&mut self, id: JobId) -> Option<Job> {
        self.waiting.remove(&id)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// What a driver without jobs says.
#[cold]
pub(crate) fn unsupported(job: Job) -> Refused {
    let text = "this driver runs no jobs on threads";
    Refused {
        job,
        error: io::Error::new(io::ErrorKind::Unsupported, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_first_come_first_served_and_gives_back_what_waits() {
        let mut queue = JobQueue::default();
        let ids: Vec<JobId> = (0..3).map(|_| queue.push(Job::new(|| ()))).collect();
        assert!(queue.remove(ids[1]).is_some());
        assert!(queue.remove(ids[1]).is_none(), "it is not there twice");
        assert_eq!(queue.pop().map(|(id, _)| id), Some(ids[0]));
        assert!(queue.remove(ids[0]).is_none(), "it does not wait any more");
        let next = queue.push(Job::new(|| ()));
        assert!(!ids.contains(&next), "an id is never given out twice");
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn room_is_for_free_threads_and_for_those_that_may_wait() {
        let limits = |threads, waiting| JobLimits { threads, waiting };
        let check = |limits: JobLimits, busy, waiting, room| {
            assert_eq!(limits.room(busy, waiting).is_ok(), room, "{limits:?}");
        };
        check(limits(2, 0), 0, 1, true);
        check(limits(2, 0), 1, 0, true);
        check(limits(2, 0), 1, 1, false);
        check(limits(2, 0), 2, 0, false);
        check(limits(2, 3), 2, 2, true);
        check(limits(2, 3), 2, 3, false);
        check(limits(2, 3), 1, 3, true);
        check(limits(0, 0), 0, 0, true);
        check(limits(2, 1), 5, 1, false);
        check(limits(2, usize::MAX), 2, 1_000_000, true);
    }
}
