//! A process for the sake of what it writes, or of how it ends. Source: Twisted's `internet/utils.py`.

use super::{Command, ExitStatus, Process, ProcessDone, ProcessProtocol, ProcessTerminated};
use crate::{
    deferred::{Deferred, Resolver},
    error::ConnectionDone,
    failure::{Failure, Result},
    reactor::Reactor,
    signal::Signal,
};
use std::{cell::RefCell, error::Error, fmt, rc::Rc};

/// What a process wrote, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it wrote to its standard output.
    pub out: Vec<u8>,
    /// What it wrote to its standard error.
    pub err: Vec<u8>,
    /// How it ended.
    pub status: ExitStatus,
}

/// A process wrote to its standard error where nobody expected it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnexpectedErrorOutput {
    /// The first of what it wrote.
    pub text: String,
}

impl fmt::Display for UnexpectedErrorOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the process wrote to its standard error: {}", self.text)
    }
}

impl Error for UnexpectedErrorOutput {}

/// A process wrote more than the limit `process_output` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputTooLong {
    /// The limit, bytes.
    pub limit: usize,
}

impl fmt::Display for OutputTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit;
        write!(
            f,
            "the process wrote more than {limit} bytes, which is the limit `process_output`"
        )
    }
}

impl Error for OutputTooLong {}

impl Reactor {
    /// Runs a program with nothing to read, and gives what it wrote to its standard output, however it ended. When it
    /// writes to its standard error it is killed, and this fails with [`UnexpectedErrorOutput`]. Cancelling kills it.
    #[track_caller]
    pub fn get_process_output(&self, command: &Command) -> Deferred<Vec<u8>> {
        let result = self.collect(command, |collector| collector.expects_no_errors = true);
        result.map(|output| output.out)
    }

    /// Runs a program with nothing to read, and gives the code that it ended with. When a signal ended it, or when that is
    /// not known, this fails with [`ProcessTerminated`]. What it writes is thrown away. Cancelling kills it.
    #[track_caller]
    pub fn get_process_value(&self, command: &Command) -> Deferred<u8> {
        let result = self.collect(command, |collector| collector.keeps = false);
        result.add_callback(|output| match output.status {
            ExitStatus::Code(code) => Ok(code),
            status @ (ExitStatus::Signal { .. } | ExitStatus::Unknown) => {
                Err(ProcessTerminated { status }.into())
            }
        })
    }

    /// Runs a program with nothing to read, and gives what it wrote and how it ended. Cancelling kills it.
    #[track_caller]
    pub fn get_process_output_and_value(&self, command: &Command) -> Deferred<Output> {
        self.collect(command, |_| {})
    }

    #[track_caller]
    fn collect(&self, command: &Command, change: impl FnOnce(&mut Collector)) -> Deferred<Output> {
        let process: Rc<RefCell<Option<Process>>> = Rc::default();
        let cancelled = Rc::clone(&process);
        let (resolver, deferred) = Deferred::with_canceller(move || {
            if let Some(process) = &*cancelled.borrow() {
                kill(process);
            }
        });
        let mut collector = Collector {
            out: Vec::new(),
            err: Vec::new(),
            limit: self.limits().process_output,
            keeps: true,
            expects_no_errors: false,
            failure: None,
            resolver: Some(resolver),
        };
        change(&mut collector);
        match self.spawn_process(command, collector) {
            Ok(started) => {
                process.replace(Some(started));
                deferred
            }
            Err(failure) => Deferred::fail(failure),
        }
    }
}

/// Ends it at once. What it has written is of no use any more.
fn kill(process: &Process) {
    process.lose_connection();
    // It fails when the child has just exited.
    process.signal_process(Signal::Kill).ok();
}

struct Collector {
    out: Vec<u8>,
    err: Vec<u8>,
    limit: usize,
    keeps: bool,
    expects_no_errors: bool,
    /// Why it was killed.
    failure: Option<Failure>,
    resolver: Option<Resolver<Output>>,
}

impl Collector {
    fn fail(&mut self, process: &Process, failure: impl Into<Failure>) {
        if self.failure.is_none() {
            self.failure = Some(failure.into());
            kill(process);
        }
    }
}

impl ProcessProtocol for Collector {
    fn connection_made(&mut self, process: &Process) -> Result {
        process.close_stdin();
        Ok(())
    }

    fn child_data_received(&mut self, process: &Process, descriptor: u32, data: &[u8]) -> Result {
        if !self.keeps || self.failure.is_some() {
            return Ok(());
        }
        if descriptor == 2 && self.expects_no_errors {
            let text = String::from_utf8_lossy(data).trim_end().to_owned();
            self.fail(process, UnexpectedErrorOutput { text });
            return Ok(());
        }
        if self.out.len() + self.err.len() + data.len() > self.limit {
            self.fail(process, OutputTooLong { limit: self.limit });
            return Ok(());
        }
        match descriptor {
            2 => self.err.extend_from_slice(data),
            _ => self.out.extend_from_slice(data),
        }
        Ok(())
    }

    fn child_connection_lost(
        &mut self,
        process: &Process,
        descriptor: u32,
        reason: &Failure,
    ) -> Result {
        // Part of what was written must not pass for all of it.
        if self.keeps && descriptor != 0 && reason.check::<ConnectionDone>().is_none() {
            let what = format!("reading descriptor {descriptor} of a process");
            self.fail(process, reason.clone().context(what));
        }
        Ok(())
    }

    fn process_ended(&mut self, reason: Failure) {
        let Some(resolver) = self.resolver.take() else {
            return;
        };
        let status = match reason.check::<ProcessTerminated>() {
            Some(terminated) => Some(terminated.status),
            None => reason.check::<ProcessDone>().map(|_| ExitStatus::Code(0)),
        };
        resolver.fire(match (self.failure.take(), status) {
            (Some(failure), _) => Err(failure),
            (None, Some(status)) => Ok(Output {
                out: std::mem::take(&mut self.out),
                err: std::mem::take(&mut self.err),
                status,
            }),
            (None, None) => Err(reason),
        });
    }

    fn name(&self) -> &'static str {
        "the output of a process"
    }
}
