//! What the whole workload shares for one seed: invariants that broke, random decisions, and timed calls that are checked
//! for their order. Knows no protocol.

use crate::mutant::Mutation;
use fastrand::Rng;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};
use tress_core::{Reactor, Time};

/// Violations that are kept; more are only counted.
const MOST_KEPT: usize = 20;

/// Clones are the same one.
#[derive(Clone)]
pub(crate) struct Ledger(Rc<Inner>);

struct Inner {
    broken: RefCell<Vec<String>>,
    broken_count: Cell<usize>,
    rng: RefCell<Rng>,
    mutation: Option<Mutation>,
    planted: Cell<u64>,
}

impl Ledger {
    pub(crate) fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        Self(Rc::new(Inner {
            broken: RefCell::default(),
            broken_count: Cell::new(0),
            rng: RefCell::new(Rng::with_seed(!seed)),
            mutation,
            planted: Cell::new(0),
        }))
    }

    /// An invariant broke.
    pub(crate) fn broke(&self, what: impl Into<String>) {
        self.0.broken_count.set(self.0.broken_count.get() + 1);
        let mut broken = self.0.broken.borrow_mut();
        if broken.len() < MOST_KEPT {
            broken.push(what.into());
        }
    }

    pub(crate) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broke(what());
        }
    }

    pub(crate) fn broken(&self) -> Vec<String> {
        self.0.broken.borrow().clone()
    }

    pub(crate) fn mutation(&self) -> Option<Mutation> {
        self.0.mutation
    }

    /// Whether the bug is to show here: every so often where there is an occasion.
    pub(crate) fn plants(&self, mutation: Mutation, every: u64) -> bool {
        if self.0.mutation != Some(mutation) {
            return false;
        }
        self.0.planted.set(self.0.planted.get() + 1);
        self.0.planted.get().is_multiple_of(every)
    }

    /// A number below `most`.
    pub(crate) fn below(&self, most: u64) -> u64 {
        self.0.rng.borrow_mut().u64(..most.max(1))
    }

    /// A number below `most`.
    pub(crate) fn index(&self, most: usize) -> usize {
        self.0.rng.borrow_mut().usize(..most)
    }

    pub(crate) fn one_in(&self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// A time between two numbers of milliseconds.
    pub(crate) fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }
}

/// The timed calls of one reactor, each of which must come when it is due, and not before one that was due earlier.
#[derive(Clone)]
pub(crate) struct Clockwork(Rc<Works>);

struct Works {
    ledger: Ledger,
    due: RefCell<BTreeSet<(Time, u64)>>,
    next: Cell<u64>,
}

impl Clockwork {
    pub(crate) fn new(ledger: &Ledger) -> Self {
        Self(Rc::new(Works {
            ledger: ledger.clone(),
            due: RefCell::default(),
            next: Cell::new(0),
        }))
    }

    /// Calls `f` later, with the reactor.
    pub(crate) fn later(
        &self,
        reactor: &Reactor,
        delay: Duration,
        f: impl FnOnce(&Reactor) + 'static,
    ) {
        let number = self.0.next.replace(self.0.next.get() + 1);
        let key = (reactor.now() + delay, number);
        self.0.due.borrow_mut().insert(key);
        let late = self.0.ledger.plants(Mutation::TimerReorder, 20);
        let delay = if late {
            delay + Duration::from_millis(7)
        } else {
            delay
        };
        let (works, weak) = (Rc::clone(&self.0), reactor.downgrade());
        reactor.call_later(delay, move || {
            let Some(reactor) = weak.upgrade() else {
                return;
            };
            works.came(key, reactor.now());
            f(&reactor);
        });
    }
}

impl Works {
    fn came(&self, key: (Time, u64), now: Time) {
        let mut due = self.due.borrow_mut();
        let first = due.first().copied();
        self.ledger.check(first == Some(key), || {
            format!("the timed call {key:?} came before {first:?}")
        });
        self.ledger.check(now >= key.0, || {
            format!("the timed call {key:?} came at {now:?}, before it was due")
        });
        due.remove(&key);
    }
}
