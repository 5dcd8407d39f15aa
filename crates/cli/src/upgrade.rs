//! How this program is started to take the place of a running one, and how it takes it. Knows no application.

use crate::Ended;
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tress_app::{Registry, Successor, Upgrade};
use tress_core::{Deferred, Reactor, Signal};
use tress_os::upgrade::{self, NotUpgraded, Predecessor, Program};

/// The process whose place this one takes. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Taking(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    /// It serves, and this process is not ready.
    Starting(Predecessor),
    /// Both serve.
    Ready,
    /// This process goes on alone, or has always been alone.
    Alone,
}

/// Runs what is to be run, in place of another process if one has started this one for that. That one is told what goes wrong.
pub(crate) fn taking_over(
    mut registry: Registry,
    run: impl FnOnce(&Registry, &Taking) -> Result<(), Ended>,
) -> Result<(), Ended> {
    let state = match Predecessor::of_process().map_err(Ended::NoReactor)? {
        Some(predecessor) => State::Starting(predecessor),
        None => State::Alone,
    };
    let taking = Taking(Arc::new(Mutex::new(state)));
    match Program::of_process() {
        Ok(program) => {
            registry.set_upgrade(upgrade_of(program, taking.clone()));
        }
        Err(error) => {
            // There is no log yet.
            crate::say(&format_args!("this program cannot upgrade itself: {error}"));
        }
    }
    let ran = run(&registry, &taking);
    if let Err(ended) = &ran {
        taking.failed(ended);
    }
    ran
}

fn upgrade_of(program: Program, taking: Taking) -> Upgrade {
    Arc::new(
        move |reactor: &Reactor, binary: Option<&Path>, limit: Duration| {
            if !taking.is_alone() {
                let why = "this process is just taking over itself; try again";
                return Deferred::fail(NotUpgraded(why.to_owned()));
            }
            let started = upgrade::start(reactor, &program, binary, limit);
            started.map(|successor| Successor {
                process: successor.id(),
                go: Box::new(move |again| {
                    successor.go();
                    if again && let Err(failure) = successor.signal(Signal::Hup) {
                        tracing::warn!(target: "tress", "it is not told to read again: {failure}");
                    }
                }),
            })
        },
    )
}

impl Taking {
    /// The reactor listens at what the other process does, where the same is asked for; and when it runs, that one is told.
    pub(crate) fn listen(&self, reactor: &Reactor) {
        if let State::Starting(predecessor) = &mut *self.lock() {
            reactor.borrow_ports(predecessor.ports());
        } else {
            return;
        }
        let (taking, on) = (self.clone(), reactor.downgrade());
        reactor.call_when_running(move || {
            if let Some(reactor) = on.upgrade() {
                reactor.return_ports();
                taking.ready(&reactor);
            }
        });
    }

    fn ready(&self, reactor: &Reactor) {
        let state = std::mem::replace(&mut *self.lock(), State::Ready);
        let State::Starting(predecessor) = state else {
            return;
        };
        let (taking, old) = (self.clone(), predecessor.id());
        let alone = predecessor.ready(reactor);
        let alone = alone.map(move |()| {
            *taking.lock() = State::Alone;
            tracing::info!(target: "tress", "has taken the place of process {old}");
        });
        alone.detach();
    }

    fn failed(&self, ended: &Ended) {
        let state = std::mem::replace(&mut *self.lock(), State::Alone);
        if let State::Starting(predecessor) = state {
            predecessor.failed(&ended.text().unwrap_or_default());
        }
    }

    fn is_alone(&self) -> bool {
        matches!(*self.lock(), State::Alone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
