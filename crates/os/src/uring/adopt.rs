//! Takes over what was opened elsewhere: streams into the ring, all else beside it.

use super::{
    Uring,
    slots::{self, NO_WAIT_AFTER, READING, SHARED, State},
};
use crate::{
    adopting::{self, Adopted},
    seam::{self, Call},
};
use socket2::Socket;
use std::{io, os::fd::OwnedFd};
use tress_core::{
    Address, Descriptor,
    clock::Clock,
    driver::{Opened, Token},
};

impl<C: Clock> Uring<C> {
    /// Takes it over. It is closed when that fails.
    pub(super) fn take_over(&mut self, opened: Opened) -> io::Result<(Token, Address)> {
        match opened {
            Opened::Port(descriptor) => {
                let adopted = adopting::port(descriptor.into())?;
                let (token, address) = self.take(adopted, State::Listening, READING | SHARED)?;
                self.arm(token);
                Ok((token, address))
            }
            Opened::Stream(descriptor) => {
                let adopted = adopting::connection(descriptor.into())?;
                let after = if adopted.has_waited { 0 } else { NO_WAIT_AFTER };
                self.take(adopted, State::Open, SHARED | after)
            }
            opened => self.take_beside(opened),
        }
    }

    /// A copy of a port's socket, for others to accept from. That of a UNIX socket has neither the file nor its lock: those
    /// are the first's.
    pub(super) fn copied(&mut self, token: Token) -> io::Result<Descriptor> {
        let slot = self.slots.get(token).ok_or(io::ErrorKind::NotConnected)?;
        let (State::Listening, Some(socket)) = (slot.state, &slot.socket) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let copied = seam::call(Call::Dup, || socket.try_clone())?;
        if !slot.has(SHARED) {
            // What accepts by itself ends; the port is armed anew when it has.
            socket.set_nonblocking(true)?;
            slot.set(SHARED);
            self.disarm(token);
        }
        Ok(OwnedFd::from(copied).into())
    }

    /// For a stream that does not wait, io_uring would not wait either. A port is asked only when a peer is there.
    fn take(&mut self, adopted: Adopted, state: State, flags: u16) -> io::Result<(Token, Address)> {
        let socket = Socket::from(adopted.socket);
        if state != State::Listening {
            socket.set_nonblocking(false)?;
        }
        let flags = flags | slots::flags_of(&adopted.address);
        let token = self.slots.insert(Some(socket), state, flags);
        Ok((token, adopted.address))
    }
}
