//! Child processes: starting them, their pipes as connections, and their end, their own or the reactor's.

use super::{Core, Entry, Reactor};
use crate::{
    address::{Address, Peer},
    driver::{SpawnedPipe, Token},
    error::NotRunning,
    failure::{Failure, Result},
    process::{
        Child, ChildPipe, Command, ExitStatus, Pipe, Process, ProcessProtocol, SpawnError, State,
    },
    transport::{Link, Origin, Role, Transport, flags::READ_WHEN_FULL},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    rc::Rc,
    time::Duration,
};

impl Reactor {
    /// Starts a child process. Its protocol hears of it from the next turn on, first of all that it was started. When the
    /// reactor stops, children are stopped as by [`Process::stop`], unless they are [`detached`](Command::detached).
    ///
    /// This blocks for as long as the system needs to start a process, about a millisecond.
    ///
    /// # Errors
    /// [`SpawnError`] names the program and the reason: nothing of it is left. Or the reactor is stopping.
    pub fn spawn_process(
        &self,
        command: &Command,
        protocol: impl ProcessProtocol,
    ) -> Result<Process> {
        let core = &self.0;
        if core.is_closing() {
            return Err(NotRunning.into());
        }
        let limits = self.limits();
        if core.counters.processes.get() >= limits.processes {
            let text = format!("{} run already: the limit `processes`", limits.processes);
            return Err(SpawnError {
                program: command.shown(),
                doing: None,
                error: io::Error::other(text),
            }
            .into());
        }
        let spawned = core.driver.borrow_mut().spawn(command)?;
        let child = Rc::new(Child {
            core: Rc::downgrade(core),
            token: spawned.child,
            id: spawned.id,
            program: command.shown(),
            is_detached: command.is_detached,
            grace: limits.shutdown / 2,
            has_terminal: command.terminal.is_some(),
            protocol: RefCell::new(Some(Box::new(protocol))),
            pipes: RefCell::default(),
            state: Cell::new(State::Starting),
            waiting: RefCell::default(),
            next_step: RefCell::default(),
        });
        core.counters
            .processes
            .set(core.counters.processes.get() + 1);
        core.put(
            spawned.child,
            Entry::Child(spawned.child.generation, Rc::clone(&child)),
        );
        // A child may take its time to read what it is sent before the end.
        let mut patient = (*limits).clone();
        patient.shutdown = Duration::ZERO;
        let origin = Rc::new(Origin {
            shared: Rc::clone(&core.shared),
            limits: Rc::new(patient),
            role: Role::Client(None),
            port: None,
        });
        let links = core.add_pipes(&child, &origin, spawned.pipes);
        let (started, weak) = (Rc::clone(&child), self.downgrade());
        self.call_later(Duration::ZERO, move || {
            started.tell(|_, _| Ok(()));
            if let Some(reactor) = weak.upgrade() {
                for link in &links {
                    reactor.0.start_pipe(link);
                }
            }
        });
        Ok(Process(child))
    }
}

impl Core {
    /// Makes connections of the pipes.
    fn add_pipes(
        self: &Rc<Self>,
        child: &Rc<Child>,
        origin: &Rc<Origin>,
        pipes: Vec<SpawnedPipe>,
    ) -> Vec<Transport> {
        let mut links = Vec::new();
        let mut ends = BTreeMap::new();
        for pipe in pipes {
            let peer = Peer::from(Address::Unknown);
            let link = Link::new(origin, pipe.conn, READ_WHEN_FULL, peer);
            let link = Transport(Rc::new(link));
            link.0
                .protocol
                .replace(Some(Box::new(ChildPipe::new(child, pipe.descriptor))));
            let end = Pipe {
                link: Rc::downgrade(&link.0),
                is_writable: pipe.is_writable,
                is_open: true,
            };
            ends.insert(pipe.descriptor, end);
            self.enlist(pipe.conn, &link);
            links.push(link);
        }
        child.pipes.replace(ends);
        links
    }

    /// Begins to read, unless it has ended meanwhile.
    fn start_pipe(self: &Rc<Self>, link: &Transport) {
        let conn = link.0.token;
        if let Some(living) = self.link(conn)
            && Rc::ptr_eq(&living.0, &link.0)
        {
            self.start(conn, link);
        }
    }

    /// The system says that a child has exited.
    pub(super) fn child_exited(&self, token: Token, status: ExitStatus) {
        if let Some(Entry::Child(_, child)) = self.take(token) {
            self.counters
                .processes
                .set(self.counters.processes.get() - 1);
            child.exited(status);
        }
    }

    /// The reactor stops: asks a child to end, or leaves one that is detached to itself. False when it is no child.
    pub(super) fn stop_child(&self, token: Token) -> bool {
        let Some(child) = self.child(token) else {
            return false;
        };
        if child.is_detached {
            self.forget_child(&child, false, NotRunning.into());
        } else {
            child.stop(child.grace);
        }
        true
    }

    /// The reactor waits no longer.
    pub(super) fn abort_children(&self, reason: &Failure) {
        for token in self.tokens(|entry| matches!(entry, Entry::Child(..))) {
            if let Some(child) = self.child(token) {
                self.forget_child(&child, true, reason.clone());
            }
        }
    }

    fn child(&self, token: Token) -> Option<Rc<Child>> {
        match self.table.borrow().get(token.slot as usize) {
            Some(Entry::Child(_, child)) if child.token == token => Some(Rc::clone(child)),
            _ => None,
        }
    }

    fn forget_child(&self, child: &Rc<Child>, kill: bool, reason: Failure) {
        if self.take(child.token).is_none() {
            return;
        }
        self.counters
            .processes
            .set(self.counters.processes.get() - 1);
        self.driver.borrow_mut().close(child.token, kill);
        for pipe in child.pipes.borrow().values() {
            if let Some(link) = pipe.link.upgrade() {
                Transport(link).lose_connection();
            }
        }
        child.end(None, reason);
    }
}
