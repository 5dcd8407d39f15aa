//! Child processes: how they are started, what they tell, and the handle on one. Starts none itself: the driver does.
//!
//! ```text
//! Starting --the next turn--> Running --the system says so--> Exited --all pipes closed--> Ended
//! ```
//! Each pipe of a child is a connection of its own, whose protocol passes everything on to the one
//! [`ProcessProtocol`]: so pausing, producers, water marks and closing are those of every connection.
//! Source: Twisted's `internet/process.py`.

mod command;
mod error;
mod line_log;
mod output;
mod pipe;
mod protocol;
mod supervised;

pub use command::{ChildDescriptor, Command, Terminal};
pub use error::{
    ExitStatus, NotWritable, ProcessDone, ProcessExitedAlready, ProcessTerminated, SpawnError,
};
pub use line_log::{LOG_LINE_BYTES_MAX, LineLog};
pub use output::{Output, OutputTooLong, UnexpectedErrorOutput};
pub(crate) use pipe::ChildPipe;
pub use protocol::ProcessProtocol;
pub use supervised::{ChildEvent, ChildState, KILL_TIME, LAST_WORDS, Supervised};

use crate::{
    deferred::{Deferred, Resolver},
    driver::{SocketOption, Token},
    error::Cancelled,
    failure::{Failure, Result},
    reactor::{Core, DelayedCall, Reactor},
    signal::Signal,
    transport::{Link, Transport},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    time::Duration,
};

/// A handle on a child process: cheap to clone, good to keep. It keeps nothing alive.
#[derive(Clone)]
pub struct Process(pub(crate) Rc<Child>);

/// A child process, until its end and as long as anybody has a handle.
pub(crate) struct Child {
    pub(crate) core: Weak<Core>,
    pub(crate) token: Token,
    pub(crate) id: u32,
    pub(crate) program: String,
    pub(crate) is_detached: bool,
    /// How long it may take to end after `SIGTERM` when nothing else is said.
    pub(crate) grace: Duration,
    /// Its terminal stands for all of 0, 1 and 2.
    pub(crate) has_terminal: bool,
    /// Borrowed while it runs. `None` after the end.
    pub(crate) protocol: RefCell<Option<Box<dyn ProcessProtocol>>>,
    /// By the child's own number. The reactor's table owns the links, each of which owns a part of this.
    pub(crate) pipes: RefCell<BTreeMap<u32, Pipe>>,
    pub(crate) state: Cell<State>,
    pub(crate) waiting: RefCell<Vec<Resolver<ExitStatus>>>,
    /// What comes after `SIGTERM`, while it is being stopped.
    pub(crate) next_step: RefCell<Option<DelayedCall>>,
}

/// One end of a pipe to a child.
#[derive(Clone)]
pub(crate) struct Pipe {
    pub(crate) link: Weak<Link>,
    pub(crate) is_writable: bool,
    pub(crate) is_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its protocol has not been told yet.
    Starting,
    Running,
    Exited(ExitStatus),
    /// Without a status when nobody waited for it any more.
    Ended(Option<ExitStatus>),
}

impl Process {
    /// Its number in the system. After it has exited another process may get the same.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// How it exited, if it has.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        match self.0.state.get() {
            State::Starting | State::Running => None,
            State::Exited(status) => Some(status),
            State::Ended(status) => status,
        }
    }

    /// Our end of this descriptor of the child, while it is open: to pause it, to register a producer, to ask for room.
    /// A child's terminal is its 0, 1 and 2.
    #[must_use]
    pub fn pipe(&self, descriptor: u32) -> Option<Transport> {
        let pipe = self.0.pipe(descriptor)?;
        pipe.link.upgrade().filter(|_| pipe.is_open).map(Transport)
    }

    /// Writes to its standard input, or its terminal.
    ///
    /// # Errors
    /// [`ProcessExitedAlready`], or [`NotWritable`]; nothing was written.
    pub fn write(&self, data: &[u8]) -> Result {
        self.write_to_child(0, data)
    }

    /// Writes to this descriptor of the child, after everything written before.
    ///
    /// # Errors
    /// [`ProcessExitedAlready`], or [`NotWritable`]; nothing was written.
    pub fn write_to_child(&self, descriptor: u32, data: &[u8]) -> Result {
        if let Some(status) = self.status() {
            return Err(self.0.exited_already(status).into());
        }
        let why = match self.0.pipe(descriptor) {
            None => "it is none of its pipes",
            Some(pipe) if !pipe.is_writable => "the child writes there",
            Some(_) => match self.pipe(descriptor) {
                Some(transport) if !transport.is_closing() => {
                    transport.write(data);
                    return Ok(());
                }
                _ => "it was closed",
            },
        };
        Err(NotWritable {
            program: self.0.program.clone(),
            descriptor,
            why,
        }
        .into())
    }

    /// Closes our end of this descriptor, once everything written to it has left. Unknown and closed ones are left alone.
    pub fn close_child_descriptor(&self, descriptor: u32) {
        if let Some(transport) = self.pipe(descriptor) {
            transport.lose_connection();
        }
    }

    /// Closes its standard input: the child reads what was written, and then the end.
    pub fn close_stdin(&self) {
        self.close_child_descriptor(0);
    }

    /// Closes its standard output: nothing more of it is read.
    pub fn close_stdout(&self) {
        self.close_child_descriptor(1);
    }

    /// Closes its standard error: nothing more of it is read.
    pub fn close_stderr(&self) {
        self.close_child_descriptor(2);
    }

    /// Closes all its pipes, once everything written has left. The child itself goes on.
    pub fn lose_connection(&self) {
        for transport in self.0.transports() {
            transport.lose_connection();
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// [`ProcessExitedAlready`]; the system has no such signal, or forbids it.
    pub fn signal_process(&self, signal: Signal) -> Result {
        if let Some(status) = self.status() {
            return Err(self.0.exited_already(status).into());
        }
        self.0.signal(signal)
    }

    /// Sends it `SIGTERM`, and `SIGKILL` if it still runs after `grace`. After as long again its pipes are closed,
    /// whoever else may have them. Fires at its end.
    #[track_caller]
    pub fn stop(&self, grace: Duration) -> Deferred<ExitStatus> {
        self.0.stop(grace);
        self.when_ended()
    }

    /// Fires at its end, with how it exited. Fails with [`Cancelled`] when the reactor gives it up.
    #[track_caller]
    pub fn when_ended(&self) -> Deferred<ExitStatus> {
        if let State::Ended(status) = self.0.state.get() {
            return match status {
                Some(status) => Deferred::succeed(status),
                None => Deferred::fail(Cancelled),
            };
        }
        let (resolver, deferred) = Deferred::pair();
        self.0.waiting.borrow_mut().push(resolver);
        deferred
    }

    /// Tells its terminal how large it is; the child gets `SIGWINCH`.
    ///
    /// # Errors
    /// It has no terminal, or has closed it.
    pub fn set_terminal_size(&self, rows: u16, columns: u16) -> Result {
        let transport = self.pipe(1).filter(|_| self.0.has_terminal);
        let transport =
            transport.ok_or_else(|| Failure::msg(format!("{} has no terminal", self.0.program)))?;
        transport.set_option(SocketOption::TerminalSize { rows, columns })
    }
}

impl Child {
    pub(crate) fn pipe(&self, descriptor: u32) -> Option<Pipe> {
        let number = match descriptor {
            0 | 2 if self.has_terminal => 1,
            number => number,
        };
        self.pipes.borrow().get(&number).cloned()
    }

    fn transports(&self) -> Vec<Transport> {
        let pipes = self.pipes.borrow();
        let open = pipes.values().filter(|pipe| pipe.is_open);
        open.filter_map(|pipe| pipe.link.upgrade().map(Transport))
            .collect()
    }

    fn exited_already(&self, status: ExitStatus) -> ProcessExitedAlready {
        ProcessExitedAlready {
            program: self.program.clone(),
            status,
        }
    }

    fn signal(&self, signal: Signal) -> Result {
        let Some(core) = self.core.upgrade() else {
            return Err(crate::error::ReactorGone.into());
        };
        let sent = core.driver.borrow_mut().signal_child(self.token, signal);
        sent.map_err(|error| {
            Failure::from(error).context(format!("sending {signal} to {}", self.program))
        })
    }

    /// Begins to stop it, unless that has begun.
    pub(crate) fn stop(self: &Rc<Self>, grace: Duration) {
        let has_ended = matches!(self.state.get(), State::Ended(_));
        if has_ended || self.next_step.borrow().is_some() {
            return;
        }
        // Of one that has exited only the pipes are there still.
        if !matches!(self.state.get(), State::Exited(_)) {
            // It fails when the child has just exited.
            self.signal(Signal::Term).ok();
        }
        self.step_after(grace);
    }

    /// Looks again after a while.
    fn step_after(self: &Rc<Self>, grace: Duration) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let child = Rc::downgrade(self);
        let call = Reactor(core).call_later(grace, move || {
            if let Some(child) = child.upgrade() {
                child.step(grace);
            }
        });
        self.next_step.replace(Some(call));
    }

    /// It has had its time.
    fn step(self: &Rc<Self>, grace: Duration) {
        match self.state.get() {
            State::Starting | State::Running => {
                self.signal(Signal::Kill).ok();
                self.step_after(grace);
            }
            State::Exited(_) => self.abort_pipes(),
            State::Ended(_) => {}
        }
    }

    fn abort_pipes(&self) {
        for transport in self.transports() {
            transport.abort_connection();
        }
    }

    /// A callback failed: nobody looks after the child any more.
    pub(crate) fn give_up(self: &Rc<Self>) {
        self.abort_pipes();
        self.stop(self.grace);
    }

    /// Tells the protocol that the child was started, if it does not know.
    pub(crate) fn begin(self: &Rc<Self>) -> Result {
        if self.state.get() != State::Starting {
            return Ok(());
        }
        self.state.set(State::Running);
        self.call(|protocol, process| protocol.connection_made(process))
    }

    /// Calls the protocol.
    pub(crate) fn call(
        self: &Rc<Self>,
        callback: impl FnOnce(&mut dyn ProcessProtocol, &Process) -> Result,
    ) -> Result {
        match &mut *self.protocol.borrow_mut() {
            Some(protocol) => callback(&mut **protocol, &Process(Rc::clone(self))),
            None => Ok(()),
        }
    }

    /// Calls the protocol from outside its pipes: what fails ends the child.
    pub(crate) fn tell(
        self: &Rc<Self>,
        callback: impl FnOnce(&mut dyn ProcessProtocol, &Process) -> Result,
    ) {
        let told = catch_unwind(AssertUnwindSafe(|| {
            self.begin()?;
            self.call(callback)
        }));
        let told = told.unwrap_or_else(|payload| Err(Failure::from_panic(&*payload)));
        let name = self.name();
        let core = self.core.upgrade();
        if let Some(core) = &core {
            core.check_stall_named(&name);
        }
        if let Err(failure) = told {
            if let Some(core) = core {
                let what = format!("{name} with {} (process {})", self.program, self.id);
                core.failed(&what, &failure);
            }
            self.give_up();
        }
    }

    fn name(&self) -> &'static str {
        let protocol = self.protocol.try_borrow().ok();
        let protocol = protocol.as_ref().and_then(|protocol| protocol.as_ref());
        protocol.map_or("a process protocol", |protocol| protocol.name())
    }

    /// One of its pipes has ended.
    pub(crate) fn pipe_lost(self: &Rc<Self>, descriptor: u32, reason: &Failure) {
        if let Some(pipe) = self.pipes.borrow_mut().get_mut(&descriptor) {
            pipe.is_open = false;
        }
        self.tell(|protocol, process| protocol.child_connection_lost(process, descriptor, reason));
        self.end_if_over();
    }

    /// The system says that it has exited.
    pub(crate) fn exited(self: &Rc<Self>, status: ExitStatus) {
        self.tell(|_, _| Ok(()));
        self.state.set(State::Exited(status));
        let reason = reason(status);
        self.tell(|protocol, process| protocol.process_exited(process, &reason));
        self.end_if_over();
    }

    fn end_if_over(self: &Rc<Self>) {
        let is_open = self.pipes.borrow().values().any(|pipe| pipe.is_open);
        if let (State::Exited(status), false) = (self.state.get(), is_open) {
            self.end(Some(status), reason(status));
        }
    }

    /// Nothing more comes of it.
    pub(crate) fn end(self: &Rc<Self>, status: Option<ExitStatus>, reason: Failure) {
        self.tell(|_, _| Ok(()));
        self.state.set(State::Ended(status));
        if let Some(step) = self.next_step.take() {
            // It has been made when this comes of it.
            step.cancel().ok();
        }
        let name = self.name();
        let protocol = self.protocol.take();
        if let (Some(core), Some(mut protocol)) = (self.core.upgrade(), protocol) {
            core.catch(name, || protocol.process_ended(reason));
            core.catch(name, || drop(protocol));
        }
        for resolver in self.waiting.take() {
            resolver.fire(status.ok_or_else(|| Cancelled.into()));
        }
    }
}

/// Why its protocol hears no more of it.
fn reason(status: ExitStatus) -> Failure {
    if status.is_success() {
        ProcessDone.into()
    } else {
        ProcessTerminated { status }.into()
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({} {})", self.0.id, self.0.program)
    }
}
