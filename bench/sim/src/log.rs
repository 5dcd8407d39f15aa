//! A child of the server that gives back every line it is given: what comes back is what was written, from the beginning,
//! each time that it was started. It is started again whenever it ends.

use crate::ledger::{Clockwork, Ledger};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};
use tress_core::{
    Failure, Process, ProcessProtocol, Reactor, Result, WeakReactor, process::Command,
};
use tress_sim::{ProgramEvent, World};

/// What waits to come back, bytes; beyond it lines are left out.
const MOST_WAITING: usize = 1 << 20;

/// Installs the program.
pub(crate) fn install(world: &World) {
    world.add_program("log", || {
        |child: &mut tress_sim::ProgramHandle, event: ProgramEvent<'_>| match event {
            ProgramEvent::Data(0, bytes) => child.write(1, bytes),
            ProgramEvent::Closed(0) => child.exit(0),
            _ => {}
        }
    });
}

/// The child, over all its lives; clones are the same.
#[derive(Clone)]
pub(crate) struct Log(Rc<Inner>);

struct Inner {
    ledger: Ledger,
    clockwork: Clockwork,
    reactor: WeakReactor,
    current: RefCell<Option<(Process, Rc<Life>)>>,
    is_stopping: Cell<bool>,
    returned: Cell<u64>,
}

/// One life of the child.
#[derive(Default)]
struct Life {
    expected: RefCell<VecDeque<u8>>,
    made: Cell<bool>,
    exited: Cell<bool>,
    ended: Cell<bool>,
}

impl Log {
    pub(crate) fn start(reactor: &Reactor, ledger: &Ledger, clockwork: &Clockwork) -> Self {
        let log = Self(Rc::new(Inner {
            ledger: ledger.clone(),
            clockwork: clockwork.clone(),
            reactor: reactor.downgrade(),
            current: RefCell::default(),
            is_stopping: Cell::new(false),
            returned: Cell::new(0),
        }));
        log.spawn(reactor);
        log
    }

    pub(crate) fn stop(&self) {
        self.0.is_stopping.set(true);
    }

    /// How many bytes have come back, and whether one lives.
    pub(crate) fn state(&self) -> (bool, u64) {
        (self.0.current.borrow().is_some(), self.0.returned.get())
    }

    /// Gives it a line.
    pub(crate) fn write(&self, line: &str) {
        let current = self.0.current.borrow();
        let Some((process, life)) = &*current else {
            return;
        };
        let mut expected = life.expected.borrow_mut();
        if expected.len() < MOST_WAITING && process.write(line.as_bytes()).is_ok() {
            expected.extend(line.as_bytes());
        }
    }

    fn spawn(&self, reactor: &Reactor) {
        let life = Rc::new(Life::default());
        let protocol = Watch {
            log: self.clone(),
            life: Rc::clone(&life),
        };
        match reactor.spawn_process(&Command::new("log"), protocol) {
            Ok(process) => drop(self.0.current.replace(Some((process, life)))),
            Err(_) => self.spawn_later(),
        }
    }

    fn spawn_later(&self) {
        let Some(reactor) = self.0.reactor.upgrade() else {
            return;
        };
        let (log, pause) = (self.clone(), self.0.ledger.millis(50, 500));
        self.0.clockwork.later(&reactor, pause, move |reactor| {
            if !log.0.is_stopping.get() {
                log.spawn(reactor);
            }
        });
    }
}

struct Watch {
    log: Log,
    life: Rc<Life>,
}

impl Watch {
    fn check(&self, holds: bool, what: &str) {
        self.log
            .0
            .ledger
            .check(holds, || format!("the child: {what}"));
    }
}

impl ProcessProtocol for Watch {
    fn connection_made(&mut self, _: &Process) -> Result {
        self.check(!self.life.made.replace(true), "made twice");
        Ok(())
    }

    fn out_received(&mut self, _: &Process, data: &[u8]) -> Result {
        self.check(self.life.made.get(), "data before it was made");
        self.check(!self.life.ended.get(), "data after its end");
        let mut expected = self.life.expected.borrow_mut();
        let length = data.len().min(expected.len());
        let is_right = expected.drain(..length).eq(data.iter().copied());
        self.check(is_right, "gave back what it was not given");
        self.log
            .0
            .returned
            .set(self.log.0.returned.get() + data.len() as u64);
        Ok(())
    }

    fn process_exited(&mut self, _: &Process, _: &Failure) -> Result {
        self.check(!self.life.exited.replace(true), "exited twice");
        Ok(())
    }

    fn process_ended(&mut self, _: Failure) {
        self.check(!self.life.ended.replace(true), "ended twice");
        self.check(self.life.made.get(), "ended before it was made");
        self.log.0.current.take();
        self.log.spawn_later();
    }
}
