//! The jobs of a driver: no thread runs them, the seed says when each has had its time, and then the loop runs it.
//! Moves no clock and runs none.

use crate::network::{Flight, Network};
use std::collections::{BTreeMap, VecDeque};
use tress_core::{
    Time,
    jobs::{Job, JobCounts, JobId, JobLimits, JobQueue, Refused},
};

/// What a driver has to do with jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    queue: JobQueue,
    limits: JobLimits,
    /// Those that a virtual thread has taken.
    running: BTreeMap<JobId, Job>,
    /// Those that have had their time, for the loop to run.
    due: VecDeque<Job>,
}

impl Jobs {
    pub(crate) fn cancel(&mut self, job: JobId) -> Option<Job> {
        self.queue.remove(job)
    }

    /// The next one whose time has come.
    pub(crate) fn take_due(&mut self) -> Option<Job> {
        self.due.pop_front()
    }

    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    pub(crate) fn counts(&self) -> JobCounts {
        JobCounts {
            threads: 0,
            waiting: self.queue.len(),
            running: self.running.len() + self.due.len(),
        }
    }

    /// The next one, if a virtual thread is free for it.
    fn begin(&mut self) -> Option<JobId> {
        if self.running.len() >= self.limits.threads() {
            return None;
        }
        let (id, job) = self.queue.pop()?;
        self.running.insert(id, job);
        Some(id)
    }
}

impl Network {
    pub(crate) fn start_job(&mut self, process: usize, job: Job) -> Result<JobId, Refused> {
        let jobs = &mut self.process_mut(process).jobs;
        if let Err(error) = jobs.limits.room(jobs.running.len(), jobs.queue.len()) {
            return Err(Refused { job, error });
        }
        let id = jobs.queue.push(job);
        self.begin_jobs(self.now(), process);
        Ok(id)
    }

    pub(crate) fn set_job_limits(&mut self, process: usize, limits: JobLimits) {
        self.process_mut(process).jobs.limits = limits;
        self.begin_jobs(self.now(), process);
    }

    /// A job has had its time; its virtual thread takes the next.
    pub(crate) fn job_ends(&mut self, at: Time, process: usize, job: JobId) {
        let jobs = &mut self.process_mut(process).jobs;
        // It is not there when its driver has been dropped.
        let ended = jobs.running.remove(&job);
        jobs.due.extend(ended);
        self.begin_jobs(at, process);
    }

    fn begin_jobs(&mut self, at: Time, process: usize) {
        while let Some(job) = self.process_mut(process).jobs.begin() {
            let end = at + self.job_time();
            self.launch(end, Flight::Job { process, job });
        }
    }
}
