//! Open files that go through a connection: handing them to the driver, and those that came to the protocol.

use super::Core;
use crate::{
    driver::{Lease, Token},
    outgoing::Outgoing,
    transport::{Transport, flags::PASSING},
};
use std::{io, rc::Rc};

impl Core {
    /// Sends output with the descriptors that wait in it.
    #[cold]
    pub(super) fn send_passing(
        &self,
        conn: Token,
        link: &Transport,
        out: &mut Outgoing,
    ) -> io::Result<()> {
        let mut passing = link.0.rare().passing.borrow_mut();
        let sent = self
            .driver
            .borrow_mut()
            .send_passing(conn, out, &mut passing);
        if passing.is_empty() {
            link.clear(PASSING);
        }
        sent
    }

    /// Gives the protocol what came with the bytes that it gets next. What is not given, for whatever reason, is closed.
    /// True when it wants the bytes.
    pub(super) fn descriptors_arrived(self: &Rc<Self>, conn: Token, lease: &mut Lease) -> bool {
        let Some(link) = self.lowest_link(conn) else {
            lease.descriptors.clear();
            return false;
        };
        // Taken out at once: were they left there by a panic, another connection would get them.
        for descriptor in std::mem::take(&mut lease.descriptors) {
            if link.is_closing() {
                return false;
            }
            self.enter(conn, &link, |protocol, transport| {
                protocol.file_descriptor_received(transport, descriptor)
            });
        }
        !link.is_closing()
    }

    /// Closes what was never sent.
    pub(super) fn close_passing(&self, link: &Transport) {
        if !link.has(PASSING) {
            return;
        }
        link.clear(PASSING);
        let left = std::mem::take(&mut *link.0.rare().passing.borrow_mut());
        let (count, peer) = (left.len(), link.peer());
        tracing::warn!(target: "tress", "{count} file descriptors for {peer} were not sent: the connection ended first, or no byte was written after them");
    }
}
