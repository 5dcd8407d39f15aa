//! One pipe of a child as a connection: its protocol, which passes everything on to that of the process.

use super::Child;
use crate::{
    error::{ConnectionAborted, ConnectionDone, ConnectionLost, TimedOut},
    failure::{Failure, Result},
    protocol::Protocol,
    transport::Transport,
};
use std::rc::Rc;

/// The protocol of a pipe.
pub(crate) struct ChildPipe {
    child: Rc<Child>,
    /// The number that the child knows it by.
    descriptor: u32,
}

impl ChildPipe {
    pub(crate) fn new(child: &Rc<Child>, descriptor: u32) -> Self {
        Self {
            child: Rc::clone(child),
            descriptor,
        }
    }
}

impl Protocol for ChildPipe {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result {
        self.child.begin()?;
        self.child
            .call(|protocol, process| protocol.child_data_received(process, self.descriptor, data))
    }

    fn write_paused(&mut self, _: &Transport) -> Result {
        self.child
            .call(|protocol, process| protocol.child_write_paused(process, self.descriptor))
    }

    fn write_resumed(&mut self, _: &Transport) -> Result {
        self.child
            .call(|protocol, process| protocol.child_write_resumed(process, self.descriptor))
    }

    fn connection_lost(&mut self, reason: Failure) {
        let is_usual = reason.check::<ConnectionDone>().is_some()
            || reason.check::<ConnectionLost>().is_some()
            || reason.check::<ConnectionAborted>().is_some()
            || reason.check::<TimedOut>().is_some();
        if !is_usual {
            self.child.give_up();
        }
        self.child.pipe_lost(self.descriptor, &reason);
    }

    fn name(&self) -> &'static str {
        self.child.name()
    }
}
