//! A reactor that another loop turns, as C sees it: numbers, and nothing that could be wrong silently. Knows no pointer.

use crate::finger::{self, Answered};
use std::{
    cell::Cell,
    rc::Rc,
    thread::{self, ThreadId},
    time::Duration,
};
use tress_core::{Reactor, Result};
use tress_os::{Mio, SystemResolver};

/// What C knows as `tress_reactor`.
#[derive(Clone, Debug)]
pub struct Hosted {
    reactor: Reactor,
    thread: ThreadId,
    /// C has freed it, perhaps while it turns: nobody is called any more.
    is_freed: Rc<Cell<bool>>,
}

impl Hosted {
    pub(crate) fn new() -> Result<Self> {
        let reactor = Reactor::with(Mio::new()?);
        reactor.set_name_resolver(SystemResolver::new());
        reactor.start()?;
        Ok(Self {
            reactor,
            thread: thread::current().id(),
            is_freed: Rc::default(),
        })
    }

    /// Whether this is its thread.
    pub(crate) fn is_here(&self) -> bool {
        self.thread == thread::current().id()
    }

    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.reactor.poll_fd()
    }

    /// Milliseconds, rounded up so that what is due then is due; -1 without end.
    pub(crate) fn deadline(&self) -> i64 {
        let milliseconds = |wait: Duration| wait.as_nanos().div_ceil(1_000_000);
        let wait = self.reactor.rest(None).map(milliseconds);
        wait.map_or(-1, |wait| i64::try_from(wait).unwrap_or(i64::MAX))
    }

    pub(crate) fn turn(&self) -> Result {
        Ok(self.reactor.turn(Some(Duration::ZERO))?)
    }

    pub(crate) fn finger(&self, to: &str, query: &str, answered: Answered) -> Result {
        finger::ask(&self.reactor, to, query, answered.unless(&self.is_freed))
    }

    /// The end, before it is dropped.
    pub(crate) fn free(&self) {
        self.is_freed.set(true);
    }
}
