//! Another process takes the place of this one. Starts none itself: the program has said how (`Registry::set_upgrade`).
//!
//! ```text
//! Running --upgrade--> Upgrading --ready--> Leaving --nobody is connected, or `drain` is over--> the reactor stops
//!    ^                     +--it failed--> Running, as if nothing had been
//! ```
//! Nothing else is changed while it is `Upgrading`: the new process has read the file already, and has copies of the sockets as
//! they were. A signal to read the file again is kept for whichever process goes on.

use super::{
    listeners::Listener,
    tree::{Phase, Tree},
};
use crate::{
    control::{Control, REFUSED},
    registry::{Moment, Successor},
};
use std::{cell::Cell, path::Path, rc::Rc, time::Duration};
use tress_core::{Deferred, Failure, Reactor, Result};
use tress_rpc::Fault;

impl Tree {
    /// Fires with the number of the process when it has taken over.
    ///
    /// # Errors
    /// It cannot begin. What fails later, the Deferred fails with; then everything is as before.
    pub(crate) fn upgrade(&self, binary: Option<&Path>) -> Result<Deferred<u32>, Fault> {
        let (reactor, mut state) = self.changing()?;
        let Some(start) = self.registry.upgrade() else {
            return Err(Fault::new(REFUSED, "this program does not upgrade itself"));
        };
        let many = state.settings.workers.may_be_many();
        let mut stays = state.listeners.iter().filter_map(|it| it.stays(many));
        if let Some(why) = stays.next() {
            return Err(Fault::new(REFUSED, why));
        }
        let limits = reactor.limits();
        state.phase = Phase::Upgrading(false);
        drop(state);
        let (myself, on) = (self.myself.borrow().clone(), reactor.downgrade());
        // Whoever asked may leave: it goes on all the same.
        let (resolver, told) = Deferred::pair();
        let started = start(&reactor, binary, limits.upgrade);
        let decided = started.add_both(move |result| {
            let (Some(tree), Some(reactor)) = (myself.0.upgrade(), on.upgrade()) else {
                return resolver.fail(Failure::msg("the application has ended"));
            };
            match result {
                Ok(successor) => {
                    resolver.resolve(tree.hand_over(&reactor, successor, limits.drain));
                }
                Err(failure) => {
                    tree.goes_on(&myself);
                    resolver.fail(failure);
                }
            }
        });
        decided.detach();
        Ok(told)
    }

    /// Whether an upgrade goes on, after which the file is read again.
    pub(crate) fn reloads_later(&self) -> bool {
        match self.state.try_borrow_mut() {
            Ok(mut state) if matches!(state.phase, Phase::Upgrading(_)) => {
                state.phase = Phase::Upgrading(true);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Another process listens at all that is listened at here: who is connected may finish.
    pub(crate) fn leave(&self) {
        if let Ok(mut state) = self.state.try_borrow_mut() {
            state.phase = Phase::Leaving;
            state.listeners.iter().for_each(Listener::leave);
        }
    }

    /// The other process has its own by now.
    fn end_children(&self) {
        let Ok(state) = self.state.try_borrow() else {
            return;
        };
        let children = state.tasks.iter().filter(|entry| entry.task.is_child());
        children.rev().for_each(|entry| entry.task.stop_and_say());
    }

    /// Whether another process has taken over.
    pub(crate) fn has_left(&self) -> bool {
        let state = self.state.try_borrow();
        state.is_ok_and(|state| state.phase == Phase::Leaving)
    }

    /// No other process does.
    fn goes_on(&self, myself: &Control) {
        let Ok(mut state) = self.state.try_borrow_mut() else {
            return;
        };
        if let Phase::Upgrading(again) = state.phase {
            state.phase = Phase::Running;
            drop(state);
            if again {
                myself.reload_and_say();
            }
        }
    }

    /// All is the other process's from here on.
    fn hand_over(&self, reactor: &Reactor, successor: Successor, limit: Duration) -> u32 {
        let again = self.state.try_borrow();
        let again = again.is_ok_and(|state| state.phase == Phase::Upgrading(true));
        let Successor { process, go } = successor;
        tracing::info!(target: "tress", "process {process} takes over; who is connected here has {limit:?} (`drain`)");
        self.tell(Moment::HandedOver(process));
        self.leave();
        reactor.leave_files();
        self.end_children();
        let others = self.others.borrow().clone();
        let left = [others.leave(reactor, limit), reactor.drain(limit).map(drop)];
        go(again);
        self.stop_after(reactor, left, limit);
        process
    }

    /// Stops the reactor when all have left, at the latest after `limit`.
    fn stop_after(&self, reactor: &Reactor, left: [Deferred<()>; 2], limit: Duration) {
        let staying = Rc::new(Cell::new(left.len()));
        for left in left {
            let (staying, on) = (Rc::clone(&staying), reactor.downgrade());
            let stop = move |()| {
                staying.set(staying.get() - 1);
                if let Some(reactor) = on.upgrade().filter(|_| staying.get() == 0) {
                    // It may have been told to already.
                    reactor.stop().ok();
                }
            };
            left.map(stop).detach();
        }
        let on = reactor.downgrade();
        reactor.call_later(limit, move || {
            if let Some(reactor) = on.upgrade() {
                reactor.stop().ok();
            }
        });
    }
}
