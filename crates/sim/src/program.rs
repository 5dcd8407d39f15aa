//! Programs of a virtual network: what a child process runs there. A program is told what happens to it and says what it
//! does; it moves nothing itself. Knows no network and no reactor.

use crate::world::World;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    rc::Rc,
    time::Duration,
};
use tress_core::{process::Command, signal::Signal};

/// What happens to a program that runs as a child.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramEvent<'a> {
    /// It runs. Comes first, once.
    Started,
    /// Bytes came to this descriptor; 0 for its terminal.
    Data(u32, &'a [u8]),
    /// Nothing more comes to this descriptor, or nobody reads what was written there any more.
    Closed(u32),
    /// All that it wrote to this descriptor in one [`ProgramHandle::write`] has left.
    Written(u32),
    /// A signal that it catches.
    Signal(Signal),
    /// The time is over that it asked for with [`ProgramHandle::after`].
    Alarm,
}

/// What a program was started with, and what it does next: everything is done in order, when its call has returned.
///
/// As in a process of one thread, a write that the pipe has no room for blocks the program: what it does after that waits,
/// and it hears of nothing, not of a signal that it catches either, until all has left or nobody reads any more.
#[derive(Debug)]
pub struct ProgramHandle {
    pub(crate) given: Rc<Given>,
    pub(crate) actions: Vec<Action>,
}

/// What a program was started with.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) name: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
}

impl Given {
    pub(crate) fn of(command: &Command) -> Self {
        let name = command.name.as_ref().unwrap_or(&command.program);
        Self {
            name: name.clone(),
            arguments: command.arguments.clone(),
            environment: command.resolved_environment([]),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Action {
    Write(u32, Vec<u8>),
    Close(u32),
    Read(u32, bool),
    Catch(Signal),
    Raise(Signal),
    After(Duration),
    Exit(u8),
    GoOn(u8),
}

/// One run of a program.
pub(crate) type Program = Box<dyn FnMut(&mut ProgramHandle, ProgramEvent<'_>)>;
/// Makes one for each child.
pub(crate) type MakeProgram = Rc<dyn Fn() -> Program>;

impl World {
    /// Installs a program on all hosts of this world, under the name that a [`Command`] gives as its program. `make` is called for each child; what it makes is told what happens to that child.
    ///
    /// Its descriptors are pipes of the world, with its window and its latency. Who asks for a terminal gets a pair of
    /// sockets for 0, 1 and 2, which echoes nothing; open files cannot be given to it. Directory, user and group change
    /// nothing, and the environment that can be inherited is empty. A signal that the program does not catch does what it
    /// does on Linux.
    ///
    /// ```
    /// # use tress_core::{Reactor, process::Command};
    /// # use tress_sim::{ProgramEvent, World};
    /// # fn main() -> tress_core::Result<()> {
    /// let world = World::new(1);
    /// world.add_program("cat", || |child, event| match event {
    ///     ProgramEvent::Data(0, bytes) => child.write(1, bytes),
    ///     ProgramEvent::Closed(0) => child.exit(0),
    ///     _ => {}
    /// });
    /// let reactor = Reactor::with(world.host("10.0.0.1"));
    /// assert_eq!(reactor.run_until(reactor.get_process_value(&Command::new("cat")))?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_program<P>(&self, name: &str, make: impl Fn() -> P + 'static)
    where
        P: FnMut(&mut ProgramHandle, ProgramEvent<'_>) + 'static,
    {
        let make: MakeProgram = Rc::new(move || Box::new(make()));
        let mut network = self.0.borrow_mut();
        network.children.add_program(name.into(), make);
    }
}

impl ProgramHandle {
    /// What it finds as its own name.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.given.name
    }

    /// Its arguments, without the name.
    #[must_use]
    pub fn arguments(&self) -> &[OsString] {
        &self.given.arguments
    }

    /// Its environment.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.given.environment
    }

    /// Writes to one of its descriptors. What it does not have, and 0, 1 and 2 that are nothing else, swallow it.
    pub fn write(&mut self, descriptor: u32, bytes: &[u8]) {
        self.actions.push(Action::Write(descriptor, bytes.to_vec()));
    }

    /// Closes one of its descriptors.
    pub fn close(&mut self, descriptor: u32) {
        self.actions.push(Action::Close(descriptor));
    }

    /// Reads from one of its descriptors, as it does from the beginning, or no more until it says so: what is written to
    /// it waits.
    pub fn set_reading(&mut self, descriptor: u32, reads: bool) {
        self.actions.push(Action::Read(descriptor, reads));
    }

    /// Has this signal come as an event from now on; `KILL` and `STOP` never do.
    pub fn catch_signal(&mut self, signal: Signal) {
        self.actions.push(Action::Catch(signal));
    }

    /// Sends itself a signal.
    pub fn raise(&mut self, signal: Signal) {
        self.actions.push(Action::Raise(signal));
    }

    /// Asks for an [`ProgramEvent::Alarm`] when this much time has passed, a nanosecond at least.
    pub fn after(&mut self, time: Duration) {
        self.actions.push(Action::After(time));
    }

    /// Ends with this code.
    pub fn exit(&mut self, code: u8) {
        self.actions.push(Action::Exit(code));
    }

    /// Ends with this code for who started it, while a process that it had started goes on with all its descriptors and
    /// the program. No signal reaches that one.
    pub fn exit_and_go_on(&mut self, code: u8) {
        self.actions.push(Action::GoOn(code));
    }
}
