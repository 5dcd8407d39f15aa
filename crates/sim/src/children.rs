//! Child processes of the virtual network: each has a table of its own ends, as a driver has, and a program that is told
//! what is reported there. Programs run while the network is not borrowed ([`deliver`]); what they did is done afterwards.
//!
//! ```text
//! spawned --> running <--STOP/CONT--> stopped
//!                |  \__ blocked: a write waits for room, and everything behind it
//!                v
//!              ended: its ends are closed, ChildExited is on its way to who started it
//! ```

use crate::{
    driver::BUFFER_BYTES,
    faults::Fault,
    network::{Flight, Network, Reported},
    process::Socket,
    program::{Action, Given, MakeProgram, Program, ProgramEvent, ProgramHandle},
    signals::{Fate, by_default, named},
    stream::{End, Owner},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    fmt, io,
    rc::Rc,
    time::Duration,
};
use tress_core::{
    driver::{Report, Spawned, SpawnedPipe, Token},
    process::{ChildDescriptor, Command, ExitStatus, SpawnError},
    signal::Signal,
};

/// "Resource temporarily unavailable".
const EAGAIN: i32 = 11;
/// "No such file or directory".
const ENOENT: i32 = 2;
/// The first number that a child has.
const FIRST_ID: ChildId = 1000;

pub(crate) type ChildId = u32;

/// All programs of a world, and the children that run them.
pub(crate) struct Children {
    programs: BTreeMap<OsString, MakeProgram>,
    living: BTreeMap<ChildId, Child>,
    next: ChildId,
    /// Those that may have heard something.
    runnable: VecDeque<ChildId>,
    /// How children ended, until their drivers say so.
    exits: BTreeMap<ChildId, ExitStatus>,
    /// Tables of children that have ended, to be used again.
    free: Vec<usize>,
    /// Programs that have ended, to be dropped while nothing is borrowed.
    gone: Vec<Program>,
}

struct Child {
    /// Its table of ends.
    process: usize,
    /// `None` when nobody waits for it any more.
    parent: Option<Owner>,
    is_detached: bool,
    has_terminal: bool,
    /// Its program is loaded.
    has_started: bool,
    /// `None` while it runs.
    program: Option<Program>,
    given: Rc<Given>,
    ends: BTreeMap<u32, ChildEnd>,
    caught: BTreeSet<Signal>,
    is_stopped: bool,
    is_runnable: bool,
    /// What came while it was stopped.
    pending: Vec<Signal>,
    happened: VecDeque<Happened>,
    writing: Option<Writing>,
    todo: VecDeque<Action>,
    /// Ends that may have something to report.
    batch: VecDeque<u32>,
}

#[derive(Clone, Copy)]
struct ChildEnd {
    token: Token,
    reads: bool,
    /// It could be read, but the program does not want to.
    is_paused: bool,
    writes: bool,
}

/// A write that blocks the child.
struct Writing {
    descriptor: u32,
    bytes: Vec<u8>,
    sent: usize,
    is_blocked: bool,
}

#[derive(Debug)]
enum Happened {
    Started,
    Data(u32, Vec<u8>),
    Closed(u32),
    Written(u32),
    Signal(Signal),
    Alarm,
}

impl Default for Children {
    fn default() -> Self {
        Self {
            programs: BTreeMap::new(),
            living: BTreeMap::new(),
            next: FIRST_ID,
            runnable: VecDeque::new(),
            exits: BTreeMap::new(),
            free: Vec::new(),
            gone: Vec::new(),
        }
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Children({} living)", self.living.len())
    }
}

impl Children {
    pub(crate) fn add_program(&mut self, name: OsString, make: MakeProgram) {
        self.programs.insert(name, make);
    }

    pub(crate) fn program(&self, command: &Command) -> Result<MakeProgram, SpawnError> {
        let found = self.programs.get(&command.program).map(Rc::clone);
        found.ok_or_else(|| SpawnError {
            program: command.shown(),
            doing: None,
            error: io::Error::from_raw_os_error(ENOENT),
        })
    }

    /// Whether some child may have heard something.
    pub(crate) fn is_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    pub(crate) fn has_exited(&self, id: ChildId) -> bool {
        self.exits.contains_key(&id)
    }

    /// Whether it is to end with the driver that started it.
    pub(crate) fn is_attached(&self, id: ChildId) -> bool {
        self.living.get(&id).is_some_and(|child| !child.is_detached)
    }

    /// It is gone with its host.
    pub(crate) fn forget(&mut self, id: ChildId) {
        self.exits.remove(&id);
        if let Some(child) = self.living.remove(&id) {
            self.gone.extend(child.program);
        }
    }

    /// Those that nobody waits for any more are gone, too.
    pub(crate) fn forget_table(&mut self, process: usize) {
        let gone = self
            .living
            .iter()
            .find(|(_, child)| child.process == process);
        if let Some(id) = gone.map(|(id, _)| *id) {
            self.forget(id);
        }
    }

    /// This child may have heard something.
    pub(crate) fn wake(&mut self, id: ChildId) {
        if let Some(child) = self.living.get_mut(&id)
            && !std::mem::replace(&mut child.is_runnable, true)
        {
            self.runnable.push_back(id);
        }
    }
}

/// Hands over everything that has arrived by now, and runs the programs that hear of it, until nothing more happens at
/// this time.
pub(crate) fn deliver(network: &RefCell<Network>) {
    loop {
        network.borrow_mut().deliver_due();
        let Some((id, mut program, given, happened)) = network.borrow_mut().next_program() else {
            break;
        };
        let mut handle = ProgramHandle {
            given,
            actions: Vec::new(),
        };
        let event = match &happened {
            Happened::Started => ProgramEvent::Started,
            Happened::Data(descriptor, bytes) => ProgramEvent::Data(*descriptor, bytes),
            Happened::Closed(descriptor) => ProgramEvent::Closed(*descriptor),
            Happened::Written(descriptor) => ProgramEvent::Written(*descriptor),
            Happened::Signal(signal) => ProgramEvent::Signal(*signal),
            Happened::Alarm => ProgramEvent::Alarm,
        };
        program(&mut handle, event);
        let mut network = network.borrow_mut();
        network.program_returned(id, program, handle.actions);
    }
    let gone = std::mem::take(&mut network.borrow_mut().children.gone);
    drop(gone);
}

impl Network {
    /// Starts a child that runs `program`, or leaves nothing of it.
    pub(crate) fn spawn(
        &mut self,
        process: usize,
        command: &Command,
        program: Program,
    ) -> Result<Spawned, SpawnError> {
        let plan = plan(command)?;
        self.may_spawn(process).map_err(|error| SpawnError {
            program: command.shown(),
            doing: None,
            error,
        })?;
        let taken = self.take_descriptors(process, plan.len() + 1);
        taken.map_err(|error| failed(command, "its pipes".to_owned(), error))?;
        let id = self.children.next;
        self.children.next += 1;
        let own = self.child_table(self.process(process).host, id);
        let mut ends = BTreeMap::new();
        let mut pipes = Vec::new();
        for (descriptor, reads, writes) in plan {
            let (ours, theirs) = self.add_pipe(process, own, reads, writes);
            let end = ChildEnd {
                token: theirs,
                reads,
                is_paused: false,
                writes,
            };
            let numbers = if command.terminal.is_some() {
                0..=2
            } else {
                descriptor..=descriptor
            };
            ends.extend(numbers.map(|number| (number, end)));
            pipes.push(SpawnedPipe {
                descriptor,
                conn: ours,
                is_writable: reads,
            });
        }
        let mut happened = VecDeque::new();
        if !ends.contains_key(&0) {
            // It is `/dev/null`.
            happened.push_back(Happened::Closed(0));
        }
        let token = self.process_mut(process).add(Socket::Child(id));
        let slot = token.slot;
        let child = Child {
            process: own,
            parent: Some(Owner { process, slot }),
            is_detached: command.is_detached,
            has_terminal: command.terminal.is_some(),
            has_started: false,
            program: Some(program),
            given: Rc::new(Given::of(command)),
            ends,
            caught: BTreeSet::new(),
            is_stopped: false,
            is_runnable: false,
            pending: Vec::new(),
            happened,
            writing: None,
            todo: VecDeque::new(),
            batch: VecDeque::new(),
        };
        self.children.living.insert(id, child);
        let at = self.now() + self.latency();
        self.launch(at, Flight::Started { child: id });
        let child = token;
        Ok(Spawned { child, id, pipes })
    }

    fn may_spawn(&mut self, process: usize) -> io::Result<()> {
        self.check_alive(process)?;
        match self.faults.strikes(Fault::FailedSpawn) {
            true => Err(io::Error::from_raw_os_error(EAGAIN)),
            false => Ok(()),
        }
    }

    /// All of them, or none.
    fn take_descriptors(&mut self, process: usize, count: usize) -> io::Result<()> {
        let host = self.process(process).host;
        for taken in 0..count {
            if let Err(error) = self.host_mut(host).take_descriptor() {
                for _ in 0..taken {
                    self.free_descriptor(process);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// A table for the ends of a new child.
    fn child_table(&mut self, host: usize, id: ChildId) -> usize {
        let table = self.children.free.pop();
        let table = table.filter(|table| !self.process(*table).is_dead);
        let table = table.unwrap_or_else(|| self.add_process(host));
        let process = self.process_mut(table);
        process.host = host;
        process.child = Some(id);
        table
    }

    /// A pipe between a driver and a child, which reads from it, writes to it, or both.
    fn add_pipe(
        &mut self,
        driver: usize,
        child: usize,
        reads: bool,
        writes: bool,
    ) -> (Token, Token) {
        let window = self.policy.window;
        let ours = self.new_end();
        let theirs = ours ^ 1;
        let host = self.process(driver).host;
        let mut add = |process, id, mut end: End| {
            end.hosts = (host, host);
            let token = self.process_mut(process).add(Socket::Stream(id));
            let slot = token.slot;
            end.owner = Some(Owner { process, slot });
            self.insert_end(id, end);
            token
        };
        let mut their_end = End::pipe(window, reads, writes);
        their_end.set_reading(true);
        (
            add(driver, ours, End::pipe(window, writes, reads)),
            add(child, theirs, their_end),
        )
    }

    /// The child's program is loaded.
    pub(crate) fn child_started(&mut self, id: ChildId) {
        if let Some(child) = self.children.living.get_mut(&id) {
            child.has_started = true;
            child.happened.push_front(Happened::Started);
            self.children.wake(id);
        }
    }

    pub(crate) fn child_alarm(&mut self, id: ChildId) {
        if let Some(child) = self.children.living.get_mut(&id) {
            child.happened.push_back(Happened::Alarm);
            self.children.wake(id);
        }
    }

    /// The news of a child's end has reached who started it.
    pub(crate) fn exit_arrives(&mut self, id: ChildId, parent: Owner, status: ExitStatus) {
        let Owner { process, slot } = parent;
        if let Some((_, Socket::Child(there))) = self.process(process).at(slot)
            && there == id
        {
            self.children.exits.insert(id, status);
            self.requeue(process, slot);
        }
    }

    /// What a driver has to say of a child.
    pub(crate) fn child_report(&mut self, process: usize, token: Token, id: ChildId) -> Reported {
        let Some(status) = self.children.exits.remove(&id) else {
            return Reported::Nothing;
        };
        self.process_mut(process).remove(token);
        self.free_descriptor(process);
        Reported::Report(Report::ChildExited {
            child: token,
            status,
        })
    }

    /// Nobody waits for it any more.
    pub(crate) fn give_up_child(&mut self, id: ChildId, kill: bool) {
        self.children.exits.remove(&id);
        let Some(child) = self.children.living.get_mut(&id) else {
            return;
        };
        child.parent = None;
        if kill {
            self.signal_program(id, Signal::Kill);
        }
    }

    pub(crate) fn signal_child(
        &mut self,
        process: usize,
        token: Token,
        signal: Signal,
    ) -> io::Result<()> {
        match self.process(process).get(token) {
            Some(Socket::Child(id)) => {
                // One that has ended and was not waited for takes any signal.
                self.signal_program(id, signal);
                Ok(())
            }
            Some(_) => Err(io::ErrorKind::InvalidInput.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// A terminal has another size.
    pub(crate) fn terminal_resized(&mut self, process: usize, token: Token) -> io::Result<()> {
        let Some(Socket::Stream(id)) = self.process(process).get(token) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let owner = self.end(id ^ 1).and_then(|end| end.owner);
        let child = owner.and_then(|owner| self.process(owner.process).child);
        let child = child.filter(|child| {
            let living = self.children.living.get(child);
            living.is_some_and(|child| child.has_terminal)
        });
        let child = child.ok_or(io::ErrorKind::Unsupported)?;
        self.signal_program(child, Signal::Winch);
        Ok(())
    }

    fn signal_program(&mut self, id: ChildId, signal: Signal) {
        let signal = named(signal);
        let Some(child) = self.children.living.get_mut(&id) else {
            return;
        };
        if child.is_stopped && !matches!(signal, Signal::Kill | Signal::Cont) {
            return child.pending.push(signal);
        }
        let by_default = by_default(signal);
        match by_default {
            Fate::Stop if signal == Signal::Stop => child.is_stopped = true,
            Fate::GoOn => child.is_stopped = false,
            _ => {}
        }
        if signal == Signal::Kill || by_default == Fate::End && !child.caught.contains(&signal) {
            let dumped = false;
            return self.end_child(id, ExitStatus::Signal { signal, dumped });
        }
        if child.caught.contains(&signal) {
            child.happened.push_back(Happened::Signal(signal));
        } else if by_default == Fate::Stop {
            child.is_stopped = true;
        }
        self.children.wake(id);
        if by_default == Fate::GoOn {
            let pending = self.children.living.get_mut(&id);
            for signal in pending.map_or_else(Vec::new, |child| std::mem::take(&mut child.pending))
            {
                self.signal_program(id, signal);
            }
            self.go_on(id);
        }
    }

    /// It ends: its ends are closed, and who started it is told.
    fn end_child(&mut self, id: ChildId, status: ExitStatus) {
        let Some(child) = self.children.living.remove(&id) else {
            return;
        };
        self.children.gone.extend(child.program);
        for token in self.process(child.process).tokens() {
            self.close(child.process, token, false);
        }
        let table = self.process_mut(child.process);
        table.child = None;
        table.take_ready(&mut VecDeque::new());
        self.children.free.push(child.process);
        if let Some(parent) = child.parent {
            self.tell_exit(id, parent, status);
        }
    }

    fn tell_exit(&mut self, id: ChildId, parent: Owner, status: ExitStatus) {
        let at = self.now() + self.latency();
        let child = id;
        self.launch(
            at,
            Flight::Exited {
                child,
                parent,
                status,
            },
        );
    }

    /// The next program that has heard something, and what. The program is taken out until it has returned.
    fn next_program(&mut self) -> Option<(ChildId, Program, Rc<Given>, Happened)> {
        while let Some(&id) = self.children.runnable.front() {
            if let Some(happened) = self.next_happened(id)
                && let Some(child) = self.children.living.get_mut(&id)
                && let Some(program) = child.program.take()
            {
                let given = Rc::clone(&child.given);
                if self.faults.strikes(Fault::KilledChild) {
                    self.children.gone.push(program);
                    self.signal_program(id, Signal::Kill);
                    continue;
                }
                let now = self.now();
                self.statistics.record_program(now, id, kind(&happened));
                return Some((id, program, given, happened));
            }
            self.children.runnable.pop_front();
            if let Some(child) = self.children.living.get_mut(&id) {
                child.is_runnable = false;
            }
        }
        None
    }

    fn next_happened(&mut self, id: ChildId) -> Option<Happened> {
        loop {
            let child = self.children.living.get_mut(&id)?;
            if child.is_stopped || !child.has_started {
                return None;
            }
            if child.writing.is_none()
                && child.todo.is_empty()
                && let Some(happened) = child.happened.pop_front()
            {
                return Some(happened);
            }
            let process = child.process;
            let mut batch = std::mem::take(&mut child.batch);
            if batch.is_empty() {
                self.process_mut(process).take_ready(&mut batch);
            }
            let slot = batch.pop_front()?;
            self.child_mut(id)?.batch = batch;
            if let Some(happened) = self.look_at(id, process, slot) {
                return Some(happened);
            }
        }
    }

    /// What one of a child's ends has to report. What is not for the program is dealt with.
    fn look_at(&mut self, id: ChildId, process: usize, slot: u32) -> Option<Happened> {
        let (token, _) = self.process(process).at(slot)?;
        let number = self.child_mut(id)?.number_of(token);
        let mut buffer = std::mem::take(&mut self.scratch);
        buffer.resize(BUFFER_BYTES, 0);
        let reported = self.report(process, slot, &mut buffer);
        let happened = match reported {
            Reported::Nothing => None,
            Reported::Data(_, length) => {
                let bytes = buffer[..length].to_vec();
                number.map(|number| Happened::Data(number, bytes))
            }
            Reported::Report(Report::ReadClosed { .. }) => number.map(Happened::Closed),
            Reported::Report(Report::Sent { .. }) => {
                self.go_on_writing(id);
                None
            }
            Reported::Report(Report::Closed { .. }) => {
                self.end_broke(id, number);
                None
            }
            Reported::Report(_) => None,
        };
        self.scratch = buffer;
        self.requeue(process, slot);
        happened
    }

    /// Its program has returned, after it has said what it does.
    fn program_returned(&mut self, id: ChildId, program: Program, actions: Vec<Action>) {
        match self.children.living.get_mut(&id) {
            Some(child) => {
                child.program = Some(program);
                child.todo.extend(actions);
                self.go_on(id);
            }
            None => self.children.gone.push(program),
        }
    }

    /// Does what the program said, as far as nothing blocks it.
    fn go_on(&mut self, id: ChildId) {
        while let Some(child) = self.child_mut(id) {
            if child.is_stopped || child.writing.is_some() {
                return;
            }
            let Some(action) = child.todo.pop_front() else {
                return;
            };
            match action {
                Action::Write(descriptor, bytes) => {
                    let end = child.ends.get(&descriptor);
                    if end.is_some_and(|end| end.writes) {
                        child.writing = Some(Writing {
                            descriptor,
                            bytes,
                            sent: 0,
                            is_blocked: false,
                        });
                        self.go_on_writing(id);
                    } else {
                        child.happened.push_back(Happened::Written(descriptor));
                    }
                }
                Action::Read(descriptor, reads) => {
                    if let Some(end) = child.ends.get_mut(&descriptor) {
                        end.is_paused = !reads;
                        let (process, token) = (child.process, end.token);
                        self.set_reading(process, token, reads);
                    }
                }
                Action::Close(descriptor) => self.close_end(id, descriptor),
                Action::Catch(signal) => drop(child.caught.insert(named(signal))),
                Action::Raise(signal) => self.signal_program(id, signal),
                Action::After(time) => {
                    let at = self.now() + time.max(Duration::from_nanos(1));
                    self.launch(at, Flight::Alarm { child: id });
                }
                Action::Exit(code) => self.end_child(id, ExitStatus::Code(code)),
                Action::GoOn(code) => {
                    if let Some(parent) = child.parent.take() {
                        self.tell_exit(id, parent, ExitStatus::Code(code));
                    }
                }
            }
        }
    }

    fn close_end(&mut self, id: ChildId, descriptor: u32) {
        let Some(child) = self.child_mut(id) else {
            return;
        };
        let Some(closed) = child.ends.remove(&descriptor) else {
            return;
        };
        let process = child.process;
        if child.number_of(closed.token).is_none() {
            self.close(process, closed.token, false);
        }
    }

    /// Writes as much as there is room for; the rest blocks the child.
    fn go_on_writing(&mut self, id: ChildId) {
        let Some(child) = self.child_mut(id) else {
            return;
        };
        let process = child.process;
        let Some(mut writing) = child.writing.take() else {
            return;
        };
        let Some(token) = child.ends.get(&writing.descriptor).map(|end| end.token) else {
            return;
        };
        let sent = self.send_bytes(process, token, &writing.bytes[writing.sent..]);
        let is_done = match sent {
            Err(_) => return self.broken_pipe(id, writing.descriptor),
            Ok(sent) => {
                writing.sent += sent;
                writing.sent == writing.bytes.len()
            }
        };
        let changes = writing.is_blocked == is_done;
        let Some(child) = self.child_mut(id) else {
            return;
        };
        if is_done {
            child
                .happened
                .push_back(Happened::Written(writing.descriptor));
        } else {
            writing.is_blocked = true;
            child.writing = Some(writing);
        }
        // One that is blocked reads nothing.
        let readers = child.ends.values();
        let readers = readers.filter(|end| end.reads && !end.is_paused && changes);
        for token in readers.map(|end| end.token).collect::<Vec<_>>() {
            self.set_reading(process, token, is_done);
        }
        self.children.wake(id);
        self.go_on(id);
    }

    /// One of its ends is no more.
    fn end_broke(&mut self, id: ChildId, number: Option<u32>) {
        let Some((child, number)) = self.child_mut(id).zip(number) else {
            return;
        };
        let reads = child.ends.get(&number).is_some_and(|end| end.reads);
        match &child.writing {
            Some(writing) if writing.descriptor == number => {
                child.writing = None;
                self.broken_pipe(id, number);
            }
            _ if reads => child.happened.push_back(Happened::Closed(number)),
            // Who only writes finds out when it does.
            _ => {}
        }
    }

    /// It wrote where nobody reads.
    fn broken_pipe(&mut self, id: ChildId, descriptor: u32) {
        if let Some(child) = self.child_mut(id) {
            child.happened.push_back(Happened::Closed(descriptor));
            self.signal_program(id, Signal::Pipe);
            self.go_on(id);
        }
    }

    fn child_mut(&mut self, id: ChildId) -> Option<&mut Child> {
        self.children.living.get_mut(&id)
    }
}

impl Child {
    /// The first number that it knows an end by.
    fn number_of(&self, token: Token) -> Option<u32> {
        let mut ends = self.ends.iter();
        ends.find(|(_, end)| end.token == token)
            .map(|(number, _)| *number)
    }
}

/// Which pipes a child gets: its number, whether it reads, whether it writes.
fn plan(command: &Command) -> Result<Vec<(u32, bool, bool)>, SpawnError> {
    if command.terminal.is_some() {
        if !command.has_usual_descriptors() {
            let text = "a child in a terminal has no other descriptors";
            let error = io::Error::new(io::ErrorKind::InvalidInput, text);
            return Err(failed(command, "its terminal".to_owned(), error));
        }
        return Ok(vec![(1, true, true)]);
    }
    let descriptors = command.descriptors.iter();
    let planned = descriptors.map(|(&number, what)| match what {
        ChildDescriptor::Read => Ok((number, false, true)),
        ChildDescriptor::Write => Ok((number, true, false)),
        ChildDescriptor::Socket => Ok((number, true, true)),
        _ => {
            let text = "the virtual network has no open files";
            let error = io::Error::new(io::ErrorKind::Unsupported, text);
            Err(failed(command, format!("its descriptor {number}"), error))
        }
    });
    planned.collect()
}

fn failed(command: &Command, doing: String, error: io::Error) -> SpawnError {
    SpawnError {
        program: command.shown(),
        doing: Some(doing),
        error,
    }
}

fn kind(happened: &Happened) -> (u64, usize) {
    match happened {
        Happened::Started => (1, 0),
        Happened::Data(number, bytes) => (2 + u64::from(*number) * 8, bytes.len()),
        Happened::Closed(number) => (3 + u64::from(*number) * 8, 0),
        Happened::Written(number) => (4 + u64::from(*number) * 8, 0),
        Happened::Signal(_) => (5, 0),
        Happened::Alarm => (6, 0),
    }
}
