//! Threads that do jobs: as many as are needed, up to a limit, and no longer than they are. Knows no reactor.
//!
//! No thread is started before the first job: from then on every system call of the C library is dearer in the whole
//! process, and a program that needs none shall not pay for it. (With glibc 2.36 that stays so when the thread has
//! ended.) A thread that has had nothing to do for a while ends, and gives its memory back. What threads share is one
//! mutex and one condition.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use tress_core::jobs::{Job, JobCounts, JobId, JobLimits, JobQueue, Refused};

/// A thread without work ends after this.
pub const IDLE_MAX: Duration = Duration::from_secs(5);

/// The threads of one owner. When it is dropped jobs that no thread has taken are dropped, and each thread ends when it
/// has done what it does; nobody waits for them.
pub(crate) struct Pool(Arc<Office>);

/// Where jobs wait and threads take them.
pub(crate) struct Office {
    name: &'static str,
    idle: Duration,
    desk: Mutex<Desk>,
    /// There is a job, or a thread too many, or everything ends.
    news: Condvar,
}

struct Desk {
    queue: JobQueue,
    limits: JobLimits,
    threads: usize,
    /// How many of them do a job; the others are on their way to the next.
    running: usize,
    closed: bool,
}

/// The pool of one driver.
pub(crate) fn for_jobs() -> Pool {
    Pool::new("tress-job", JobLimits::default(), IDLE_MAX)
}

impl Pool {
    /// A pool without a thread; `name` is what its threads are called.
    pub(crate) fn new(name: &'static str, limits: JobLimits, idle: Duration) -> Self {
        let desk = Desk {
            queue: JobQueue::default(),
            limits,
            threads: 0,
            running: 0,
            closed: false,
        };
        Self(Arc::new(Office {
            name,
            idle,
            desk: Mutex::new(desk),
            news: Condvar::new(),
        }))
    }

    /// Takes a job in, and starts a thread for it if all are busy and there may be more.
    pub(crate) fn start(&self, job: Job) -> Result<JobId, Refused> {
        let office = &self.0;
        let mut desk = lock(&office.desk);
        if let Err(error) = desk.limits.room(desk.running, desk.queue.len()) {
            return Err(Refused { job, error });
        }
        if desk.wants_thread(desk.queue.len() + 1)
            && let Err(error) = office.start_thread(&mut desk)
            && desk.threads == 0
        {
            return Err(Refused { job, error });
        }
        let id = desk.queue.push(job);
        drop(desk);
        office.news.notify_one();
        Ok(id)
    }

    /// Gives back a job that no thread has taken yet.
    pub(crate) fn cancel(&self, job: JobId) -> Option<Job> {
        lock(&self.0.desk).queue.remove(job)
    }

    /// Threads beyond the new limit end as soon as they have nothing to do; jobs that wait get those that may be more.
    pub(crate) fn set_limits(&self, limits: JobLimits) {
        let office = &self.0;
        let mut desk = lock(&office.desk);
        desk.limits = limits;
        while desk.wants_thread(desk.queue.len()) {
            // Those that are there will come to what waits.
            if office.start_thread(&mut desk).is_err() {
                break;
            }
        }
        drop(desk);
        office.news.notify_all();
    }

    pub(crate) fn counts(&self) -> JobCounts {
        self.0.counts()
    }

    /// What goes on when this has been dropped.
    #[cfg(test)]
    pub(crate) fn office(&self) -> Arc<Office> {
        Arc::clone(&self.0)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut desk = lock(&self.0.desk);
        desk.closed = true;
        let mut left = std::mem::take(&mut desk.queue);
        drop(desk);
        self.0.news.notify_all();
        while let Some((_, job)) = left.pop() {
            quietly(|| drop(job));
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts();
        write!(f, "{} threads, {} waiting", counts.threads, counts.waiting)
    }
}

impl Desk {
    /// Whether one more thread would help so many waiting jobs. One that has handed its result over and not come back
    /// counts as busy: so jobs that are asked for one by one may get more than one thread, within the limit.
    fn wants_thread(&self, waiting: usize) -> bool {
        self.threads - self.running < waiting && self.threads < self.limits.threads()
    }
}

impl Office {
    pub(crate) fn counts(&self) -> JobCounts {
        let desk = lock(&self.desk);
        JobCounts {
            threads: desk.threads,
            waiting: desk.queue.len(),
            running: desk.running,
        }
    }

    fn start_thread(self: &Arc<Self>, desk: &mut Desk) -> io::Result<()> {
        let office = Arc::clone(self);
        let thread = thread::Builder::new().name(self.name.to_owned());
        thread.spawn(move || office.work())?;
        desk.threads += 1;
        Ok(())
    }

    /// What a thread does.
    fn work(&self) {
        while let Some(job) = self.next() {
            quietly(|| job.run());
            lock(&self.desk).running -= 1;
        }
    }

    /// The next job; `None` when this thread shall end, and counts no more.
    fn next(&self) -> Option<Job> {
        let mut desk = lock(&self.desk);
        loop {
            if desk.closed || desk.threads > desk.limits.threads() {
                break;
            }
            if let Some((_, job)) = desk.queue.pop() {
                desk.running += 1;
                return Some(job);
            }
            let (back, waited) = self
                .news
                .wait_timeout(desk, self.idle)
                .unwrap_or_else(PoisonError::into_inner);
            desk = back;
            if waited.timed_out() && desk.queue.is_empty() {
                break;
            }
        }
        desk.threads -= 1;
        None
    }
}

/// A job has said all it has to say by itself: a panic must not end its thread, nor whoever drops the pool.
fn quietly(f: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(f)).is_err() {
        tracing::error!(target: "tress", "a job panicked while it was dropped");
    }
}

/// What the lock guards is whole whenever it is free, whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
