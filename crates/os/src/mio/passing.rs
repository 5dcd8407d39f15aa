//! Open files over the UNIX sockets of the mio driver: when to send and to receive them.

use super::{Mio, socket, socket::Slot};
use crate::passing;
use std::io;
use tress_core::{clock::Clock, descriptor::Passing, driver::Token, outgoing::Outgoing};

/// Whether a connection gets what comes.
pub(super) fn set(slot: &mut Slot, yes: bool) -> io::Result<()> {
    let socket::Socket::Stream(stream) = &slot.socket else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    passing::check(stream)?;
    if yes {
        slot.set(socket::PASSING);
    } else {
        slot.clear(socket::PASSING);
    }
    Ok(())
}

impl<C: Clock> Mio<C> {
    /// Sends open files with the bytes they go with, and then the rest.
    pub(super) fn send_descriptors(
        &mut self,
        token: Token,
        out: &mut Outgoing,
        files: &mut Passing,
    ) -> io::Result<()> {
        let Some(slot) = self.slot(token) else {
            return Ok(());
        };
        let socket::Socket::Stream(stream) = &slot.socket else {
            return Ok(());
        };
        match passing::send(stream, out, files) {
            Ok(()) if out.is_empty() => Ok(()),
            Ok(()) => tress_core::driver::Driver::send(self, token, out),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_room(token),
            Err(error) => Err(error),
        }
    }
}
